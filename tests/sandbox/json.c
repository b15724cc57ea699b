#include "json.h"

#include "mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { JSON_DEPTH = 32 };

struct reader {
    const char *at;
    const char *end;
    const char *why;
    int depth;
};

static bool read_value(struct reader *reader, struct json_object **value);

static bool fail(struct reader *reader, const char *why)
{
    reader->why = why;
    return false;
}

static void skip_space(struct reader *reader)
{
    while (reader->at < reader->end && strchr(" \t\r\n", *reader->at) != NULL &&
           *reader->at != '\0') {
        reader->at++;
    }
}

static bool accept(struct reader *reader, char wanted)
{
    if (reader->at == reader->end || *reader->at != wanted) {
        return false;
    }
    reader->at++;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* True when there was at least one digit. */
static bool skip_digits(struct reader *reader)
{
    const char *start = reader->at;
    while (reader->at < reader->end && is_digit(*reader->at)) {
        reader->at++;
    }
    return reader->at > start;
}

static struct json_object *make_number(const char *literal, bool whole)
{
    if (whole) {
        errno = 0;
        long long number = strtoll(literal, NULL, 10);
        if (errno == 0) {
            return json_object_new_int64(number);
        }
    }
    return json_object_new_double_s(strtod(literal, NULL), literal);
}

static bool read_number(struct reader *reader, struct json_object **value)
{
    const char *start = reader->at;
    bool whole = true;
    accept(reader, '-');
    if (!accept(reader, '0') && !skip_digits(reader)) {
        return fail(reader, "not a value");
    }
    if (accept(reader, '.')) {
        whole = false;
        if (!skip_digits(reader)) {
            return fail(reader, "a number without digits after the point");
        }
    }
    if (accept(reader, 'e') || accept(reader, 'E')) {
        whole = false;
        if (!accept(reader, '+')) {
            accept(reader, '-');
        }
        if (!skip_digits(reader)) {
            return fail(reader, "a number without digits in its exponent");
        }
    }
    char *literal = mem_copy(start, (size_t)(reader->at - start));
    *value = make_number(literal, whole);
    free(literal);
    return true;
}

static bool read_hex4(struct reader *reader, unsigned int *code)
{
    *code = 0;
    for (int i = 0; i < 4; i++) {
        char c = reader->at < reader->end ? *reader->at++ : '\0';
        unsigned int digit = 0;
        if (is_digit(c)) {
            digit = (unsigned int)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            digit = (unsigned int)(c - 'a') + 10;
        } else if (c >= 'A' && c <= 'F') {
            digit = (unsigned int)(c - 'A') + 10;
        } else {
            return fail(reader, "a \\u escape without four hexadecimal digits");
        }
        *code = *code * 16 + digit;
    }
    return true;
}

static void put_code_point(struct text *text, unsigned int code)
{
    char out[4];
    size_t len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned int lead[] = {0, 0x00, 0xc0, 0xe0, 0xf0};
    for (size_t i = len - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    out[0] = (char)(lead[len] | code);
    text_add(text, out, len);
}

static bool read_unicode_escape(struct reader *reader, struct text *text)
{
    unsigned int code = 0;
    if (!read_hex4(reader, &code)) {
        return false;
    }
    if (code >= 0xdc00 && code <= 0xdfff) {
        return fail(reader, "half of a surrogate pair");
    }
    if (code >= 0xd800 && code <= 0xdbff) {
        unsigned int low = 0;
        if (!accept(reader, '\\') || !accept(reader, 'u') || !read_hex4(reader, &low) ||
            low < 0xdc00 || low > 0xdfff) {
            return fail(reader, "half of a surrogate pair");
        }
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    put_code_point(text, code);
    return true;
}

static bool read_escape(struct reader *reader, struct text *text)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    if (accept(reader, 'u')) {
        return read_unicode_escape(reader, text);
    }
    char c = reader->at < reader->end ? *reader->at++ : '\0';
    const char *found = c != '\0' ? strchr(from, c) : NULL;
    if (found == NULL) {
        return fail(reader, "an unknown escape in a string");
    }
    text_add(text, to + (found - from), 1);
    return true;
}

static bool read_character(struct reader *reader, struct text *text)
{
    if (accept(reader, '\\')) {
        return read_escape(reader, text);
    }
    size_t len = text_utf8_len(reader->at, (size_t)(reader->end - reader->at));
    if (len == 0 || (unsigned char)*reader->at < 0x20) {
        return fail(reader, len == 0 ? "not UTF-8" : "a control character in a string");
    }
    text_add(text, reader->at, len);
    reader->at += len;
    return true;
}

static bool read_string(struct reader *reader, struct text *text)
{
    if (!accept(reader, '"')) {
        return fail(reader, "a string was expected");
    }
    while (!accept(reader, '"')) {
        if (reader->at == reader->end) {
            return fail(reader, "a string without an end");
        }
        if (!read_character(reader, text)) {
            return false;
        }
    }
    return true;
}

static bool read_member(struct reader *reader, struct json_object *object)
{
    struct text key = {0};
    struct json_object *value = NULL;
    bool ok = read_string(reader, &key);
    skip_space(reader);
    if (ok && !accept(reader, ':')) {
        ok = fail(reader, "a colon was expected");
    }
    /* json-c's keys end at the first NUL */
    if (ok && strlen(text_peek(&key)) != key.len) {
        ok = fail(reader, "a NUL in a key");
    }
    if (ok && json_object_object_get_ex(object, text_peek(&key), NULL)) {
        ok = fail(reader, "a key twice in one object");
    }
    if (ok && read_value(reader, &value)) {
        json_object_object_add(object, text_peek(&key), value);
    } else {
        ok = false;
    }
    text_free(&key);
    return ok;
}

static bool read_object(struct reader *reader, struct json_object **value)
{
    struct json_object *object = json_object_new_object();
    *value = object;
    skip_space(reader);
    if (accept(reader, '}')) {
        return true;
    }
    do {
        skip_space(reader);
        if (!read_member(reader, object)) {
            return false;
        }
        skip_space(reader);
    } while (accept(reader, ','));
    return accept(reader, '}') || fail(reader, "a comma or the end of an object was expected");
}

static bool read_array(struct reader *reader, struct json_object **value)
{
    struct json_object *array = json_object_new_array();
    *value = array;
    skip_space(reader);
    if (accept(reader, ']')) {
        return true;
    }
    do {
        struct json_object *item = NULL;
        if (!read_value(reader, &item)) {
            return false;
        }
        json_object_array_add(array, item);
        skip_space(reader);
    } while (accept(reader, ','));
    return accept(reader, ']') || fail(reader, "a comma or the end of an array was expected");
}

static bool read_word(struct reader *reader, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(reader->end - reader->at) < len || memcmp(reader->at, word, len) != 0) {
        return fail(reader, "not a value");
    }
    reader->at += len;
    return true;
}

static bool read_string_value(struct reader *reader, struct json_object **value)
{
    struct text string = {0};
    bool ok = read_string(reader, &string) && string.len < INT32_MAX;
    if (ok) {
        *value = json_object_new_string_len(text_peek(&string), (int)string.len);
    }
    text_free(&string);
    return ok;
}

static bool read_kind(struct reader *reader, struct json_object **value)
{
    skip_space(reader);
    if (reader->at == reader->end) {
        return fail(reader, "a value was expected");
    }
    switch (*reader->at) {
    case '{':
        reader->at++;
        return read_object(reader, value);
    case '[':
        reader->at++;
        return read_array(reader, value);
    case '"':
        return read_string_value(reader, value);
    case 't':
        *value = json_object_new_boolean(true);
        return read_word(reader, "true");
    case 'f':
        *value = json_object_new_boolean(false);
        return read_word(reader, "false");
    case 'n':
        return read_word(reader, "null");
    default:
        return read_number(reader, value);
    }
}

static bool read_value(struct reader *reader, struct json_object **value)
{
    if (reader->depth == JSON_DEPTH) {
        return fail(reader, "nested too deeply");
    }
    reader->depth++;
    bool ok = read_kind(reader, value);
    reader->depth--;
    if (!ok) {
        json_object_put(*value);
        *value = NULL;
    }
    return ok;
}

bool json_read(const char *data, size_t len, struct json_object **value, const char **why)
{
    struct reader reader = {.at = data, .end = data + len};
    *value = NULL;
    bool ok = read_value(&reader, value);
    if (ok) {
        skip_space(&reader);
        ok = reader.at == reader.end || fail(&reader, "something behind the value");
    }
    if (!ok) {
        json_object_put(*value);
        *value = NULL;
        *why = reader.why;
    }
    return ok;
}

const char *json_peek_text(struct json_object *value)
{
    return json_object_to_json_string_ext(value,
                                          JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

void json_put_text(struct text *text, struct json_object *value)
{
    text_puts(text, json_peek_text(value));
}

#include "domain/jsontext.h"

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

// ---- letters ----

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && is_space(*at)) {
        at++;
    }
    return at;
}

static bool is_control(char c)
{
    return (unsigned char)c < 0x20;
}

static int hex_digit(char c)
{
    if (str_is_digit(c)) {
        return c - '0';
    }
    char lower = str_lower_char(c);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// ---- escapes ----

enum { CHARACTER_BYTES = 4 };

// Reads the four hex digits of \uXXXX at `at`; -1 when they are not there.
static int32_t read_hex4(const char *at, const char *end)
{
    if (end - at < 4) {
        return -1;
    }
    int32_t code = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);
        if (digit < 0) {
            return -1;
        }
        code = code * 16 + digit;
    }
    return code;
}

static size_t put_utf8(uint32_t code, char out[CHARACTER_BYTES])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    out[0] = (char)(code | (len == 2 ? 0xC0U : len == 3 ? 0xE0U : 0xF0U));
    return len;
}

// The code point of \uXXXX or of a pair of surrogates; `*at` stands behind the 'u' and is moved
// behind the escape. -1 for a lone surrogate, which stands for no character, and for bad digits.
static int32_t read_unicode_escape(const char **at, const char *end)
{
    int32_t code = read_hex4(*at, end);
    if (code < 0 || (code >= 0xDC00 && code <= 0xDFFF)) {
        return -1;
    }
    *at += 4;
    if (code < 0xD800 || code > 0xDBFF) {
        return code;
    }
    if (end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u') {
        return -1;
    }
    int32_t low = read_hex4(*at + 2, end);
    if (low < 0xDC00 || low > 0xDFFF) {
        return -1;
    }
    *at += 6;
    return 0x10000 + (code - 0xD800) * 0x400 + (low - 0xDC00);
}

static char short_escape(char letter)
{
    switch (letter) {
    case '"':
    case '\\':
    case '/':
        return letter;
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default: // letters are no enum
        return '\0';
    }
}

// Decodes one byte or one escape at `*at`, which is not at the end, into `out`. Returns the number
// of bytes, 0 when the escape is wrong; `*at` then stays.
static size_t decode_step(const char **at, const char *end, char out[CHARACTER_BYTES])
{
    const char *p = *at;
    if (*p != '\\') {
        out[0] = *p;
        *at = p + 1;
        return 1;
    }
    if (end - p < 2) {
        return 0;
    }
    size_t len = 1;
    char letter = p[1];
    p += 2;
    if (letter == 'u') {
        int32_t code = read_unicode_escape(&p, end);
        len = code < 0 ? 0 : put_utf8((uint32_t)code, out);
    } else {
        out[0] = short_escape(letter);
        len = out[0] == '\0' ? 0 : 1;
    }
    if (len > 0) {
        *at = p;
    }
    return len;
}

// ---- eight letters at a time ----

#define EIGHT(byte) (UINT64_C(0x0101010101010101) * (byte))

// The highest bit of the first byte that is below `limit` (at most 0x80) is set, and no bit below.
static uint64_t bytes_below(uint64_t eight, uint64_t limit)
{
    return (eight - EIGHT(limit)) & ~eight & EIGHT(0x80);
}

// The first eight letters at `at`, of which the first is the lowest byte.
static uint64_t read_eight(const char *at)
{
    uint64_t eight;
    memcpy(&eight, at, sizeof eight);
    return le64toh(eight);
}

// Quotes and backslashes, the first of which is marked.
static uint64_t mark_special(uint64_t eight)
{
    return bytes_below(eight ^ EIGHT('"'), 1) | bytes_below(eight ^ EIGHT('\\'), 1);
}

// How many of the eight letters stand before the first that is marked.
static ptrdiff_t unmarked(uint64_t marks)
{
    return marks == 0 ? 8 : __builtin_ctzll(marks) / 8;
}

// ---- finding the end of a value, trusting it to be well-formed ----

// Behind the closing quote of the string at `at`; NULL when there is none.
static const char *skip_string(const char *at, const char *end)
{
    const char *p = at + 1;
    while (end - p >= 8) {
        ptrdiff_t plain = unmarked(mark_special(read_eight(p)));
        p += plain;
        if (plain < 8 && *p == '"') {
            return p + 1;
        }
        p += plain < 8 ? 2 : 0; // a backslash, and what it is before
    }
    for (; p < end; p++) {
        if (*p == '"') {
            return p + 1;
        }
        if (*p == '\\') {
            p++;
        }
    }
    return NULL;
}

// Behind the bracket that closes the container at `at`; NULL when there is none. Counts brackets
// without telling them apart: that is jsontext_check's business. `*depth` gets the greatest
// nesting.
static const char *skip_container(const char *at, const char *end, size_t *depth)
{
    size_t open = 0;
    *depth = 0;
    while (at != NULL && at < end) {
        char c = *at;
        at = c == '"' ? skip_string(at, end) : at + 1;
        if (c == '{' || c == '[') {
            open++;
            *depth = open > *depth ? open : *depth;
        } else if ((c == '}' || c == ']') && --open == 0) {
            return at;
        }
    }
    return NULL;
}

static const char *skip_scalar(const char *at, const char *end)
{
    const char *p = at;
    while (p < end && !is_space(*p) && *p != ',' && *p != ']' && *p != '}') {
        p++;
    }
    return p == at ? NULL : p;
}

// Behind the value at `at`, which is not at the end; NULL when it does not end.
static const char *skip_value(const char *at, const char *end)
{
    size_t depth;
    switch (*at) {
    case '"':
        return skip_string(at, end);
    case '{':
    case '[':
        return skip_container(at, end, &depth);
    default: // letters are no enum
        return skip_scalar(at, end);
    }
}

static enum jsontext_kind literal_kind(struct str text, struct str literal, enum jsontext_kind kind)
{
    return str_equal(text, literal) ? kind : JSONTEXT_KIND_ABSENT;
}

static struct jsontext classify(struct str text)
{
    struct jsontext value = {.kind = JSONTEXT_KIND_ABSENT, .text = text};
    switch (text.len == 0 ? '\0' : text.ptr[0]) {
    case '{':
        value.kind = JSONTEXT_KIND_OBJECT;
        break;
    case '[':
        value.kind = JSONTEXT_KIND_ARRAY;
        break;
    case '"':
        value.kind = JSONTEXT_KIND_STRING;
        break;
    case 't':
        value.kind = literal_kind(text, STR("true"), JSONTEXT_KIND_BOOLEAN);
        break;
    case 'f':
        value.kind = literal_kind(text, STR("false"), JSONTEXT_KIND_BOOLEAN);
        break;
    case 'n':
        value.kind = literal_kind(text, STR("null"), JSONTEXT_KIND_NULL);
        break;
    default: // letters are no enum
        if (text.len > 0 && (text.ptr[0] == '-' || str_is_digit(text.ptr[0]))) {
            value.kind = JSONTEXT_KIND_NUMBER;
        }
        break;
    }
    return value;
}

struct jsontext jsontext_of(struct str text)
{
    while (text.len > 0 && is_space(text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    while (text.len > 0 && is_space(text.ptr[text.len - 1])) {
        text.len--;
    }
    return classify(text);
}

size_t jsontext_depth(struct jsontext value)
{
    size_t depth = 0;
    if (value.kind == JSONTEXT_KIND_ARRAY || value.kind == JSONTEXT_KIND_OBJECT) {
        skip_container(value.text.ptr, value.text.ptr + value.text.len, &depth);
    }
    return depth;
}

// ---- walking ----

struct jsontext_walk jsontext_walk_begin(struct jsontext container)
{
    struct jsontext_walk walk = {.object = container.kind == JSONTEXT_KIND_OBJECT};
    if (walk.object || container.kind == JSONTEXT_KIND_ARRAY) {
        walk.at = container.text.ptr + 1;
        walk.end = container.text.ptr + container.text.len;
    }
    return walk;
}

// `at` is NULL from here on: a walk that has ended stays at its end.
static bool walk_end(struct jsontext_walk *walk, bool broken)
{
    *walk = (struct jsontext_walk){.object = walk->object, .broken = broken};
    return false;
}

// Reads `"key" :` and leaves `at` before the value.
static bool walk_key(struct jsontext_walk *walk)
{
    const char *key_end =
        walk->at < walk->end && *walk->at == '"' ? skip_string(walk->at, walk->end) : NULL;
    if (key_end == NULL) {
        return false;
    }
    walk->key = (struct str){walk->at + 1, (size_t)(key_end - walk->at) - 2};
    const char *colon = skip_space(key_end, walk->end);
    if (colon == walk->end || *colon != ':') {
        return false;
    }
    walk->at = skip_space(colon + 1, walk->end);
    return true;
}

static bool walk_value(struct jsontext_walk *walk)
{
    const char *value_end = walk->at < walk->end ? skip_value(walk->at, walk->end) : NULL;
    if (value_end == NULL) {
        return false;
    }
    walk->value = classify((struct str){walk->at, (size_t)(value_end - walk->at)});
    walk->at = value_end;
    return walk->value.kind != JSONTEXT_KIND_ABSENT;
}

bool jsontext_walk_next(struct jsontext_walk *walk)
{
    if (walk->at == NULL) {
        return false;
    }
    bool first = walk->value.kind == JSONTEXT_KIND_ABSENT;
    walk->at = skip_space(walk->at, walk->end);
    if (walk->at == walk->end) {
        return walk_end(walk, true);
    }
    if (*walk->at == (walk->object ? '}' : ']')) {
        return walk_end(walk, skip_space(walk->at + 1, walk->end) != walk->end);
    }
    if (!first && *walk->at != ',') {
        return walk_end(walk, true);
    }
    walk->at = first ? walk->at : skip_space(walk->at + 1, walk->end);
    if ((walk->object && !walk_key(walk)) || !walk_value(walk)) {
        return walk_end(walk, true);
    }
    return true;
}

bool jsontext_key_equal(struct str raw_key, struct str key)
{
    if (raw_key.len == key.len && str_equal(raw_key, key)) {
        return key.len == 0 || memchr(key.ptr, '\\', key.len) == NULL;
    }
    if (raw_key.len < key.len) {
        return false; // escapes only make it longer
    }
    const char *at = raw_key.ptr;
    const char *end = raw_key.ptr + raw_key.len;
    size_t same = 0;
    while (at < end) {
        char bytes[CHARACTER_BYTES];
        size_t len = decode_step(&at, end, bytes);
        if (len == 0 || key.len - same < len || memcmp(key.ptr + same, bytes, len) != 0) {
            return false;
        }
        same += len;
    }
    return same == key.len;
}

struct jsontext jsontext_member(struct jsontext object, struct str key)
{
    struct jsontext found = {.kind = JSONTEXT_KIND_ABSENT};
    if (object.kind != JSONTEXT_KIND_OBJECT) {
        return found;
    }
    struct jsontext_walk walk = jsontext_walk_begin(object);
    while (jsontext_walk_next(&walk)) {
        if (jsontext_key_equal(walk.key, key)) {
            found = walk.value;
        }
    }
    return found;
}

// ---- strings ----

bool jsontext_decode(struct jsontext string, struct buf *out)
{
    struct str text = string.text;
    if (string.kind != JSONTEXT_KIND_STRING || text.len < 2 || text.ptr[text.len - 1] != '"') {
        return false;
    }
    size_t before = out->len;
    const char *at = text.ptr + 1;
    const char *end = text.ptr + text.len - 1;
    while (at < end) {
        const char *escape = memchr(at, '\\', (size_t)(end - at));
        const char *stop = escape == NULL ? end : escape;
        char bytes[CHARACTER_BYTES];
        bool fits = buf_append(out, at, (size_t)(stop - at));
        at = stop;
        size_t len = fits && at < end ? decode_step(&at, end, bytes) : 0;
        if (!fits || (stop < end && (len == 0 || !buf_append(out, bytes, len)))) {
            buf_truncate(out, before);
            return false;
        }
    }
    return true;
}

static bool encode_character(char c, struct buf *out)
{
    switch (c) {
    case '"':
        return buf_append_str(out, STR("\\\""));
    case '\\':
        return buf_append_str(out, STR("\\\\"));
    case '\b':
        return buf_append_str(out, STR("\\b"));
    case '\f':
        return buf_append_str(out, STR("\\f"));
    case '\n':
        return buf_append_str(out, STR("\\n"));
    case '\r':
        return buf_append_str(out, STR("\\r"));
    case '\t':
        return buf_append_str(out, STR("\\t"));
    default: // letters are no enum
        return buf_printf(out, "\\u%04x", (unsigned)(unsigned char)c);
    }
}

static bool encode_content(struct str text, struct buf *out)
{
    size_t run = 0; // start of what is copied as it is
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!is_control(c) && c != '"' && c != '\\') {
            continue;
        }
        if (!buf_append(out, text.ptr + run, i - run) || !encode_character(c, out)) {
            return false;
        }
        run = i + 1;
    }
    return run == text.len || buf_append(out, text.ptr + run, text.len - run);
}

bool jsontext_encode(struct str text, struct buf *out)
{
    size_t before = out->len;
    if (buf_append_char(out, '"') && encode_content(text, out) && buf_append_char(out, '"')) {
        return true;
    }
    buf_truncate(out, before);
    return false;
}

// ---- checking ----

// What may come next. The stack of open brackets is a buffer whose cap is the depth limit.
enum check_state {
    CHECK_STATE_VALUE,      // a value must follow
    CHECK_STATE_FIRST_ITEM, // behind '[': a value or ']'
    CHECK_STATE_FIRST_KEY,  // behind '{': a key or '}'
    CHECK_STATE_KEY,        // behind ',' in an object
    CHECK_STATE_AFTER,      // behind a value: ',' or the closing bracket, or the end
};

struct check {
    enum check_state state;
    const char *at;
    const char *end;
    struct buf open;
    bool form_only;
    const char *problem; // NULL while there is none
};

static bool check_fail(struct check *check, const char *problem)
{
    check->problem = problem;
    return false;
}

// Behind what stands for itself inside a string.
static const char *skip_plain(const char *at, const char *end)
{
    while (end - at >= 8) {
        uint64_t eight = read_eight(at);
        ptrdiff_t plain = unmarked(mark_special(eight) | bytes_below(eight, 0x20));
        at += plain;
        if (plain < 8) {
            return at;
        }
    }
    while (at < end && *at != '"' && *at != '\\' && !is_control(*at)) {
        at++;
    }
    return at;
}

static bool check_string_form(struct check *check)
{
    const char *end = skip_string(check->at, check->end);
    if (end == NULL) {
        return check_fail(check, "a string that does not end");
    }
    check->at = end;
    return true;
}

static bool check_string(struct check *check)
{
    if (check->form_only) {
        return check_string_form(check);
    }
    const char *p = skip_plain(check->at + 1, check->end);
    while (p < check->end && *p != '"') {
        char bytes[CHARACTER_BYTES];
        check->at = p;
        if (is_control(*p)) {
            return check_fail(check, "a control character inside a string");
        }
        if (decode_step(&p, check->end, bytes) == 0) {
            return check_fail(check, "a wrong escape");
        }
        p = skip_plain(p, check->end);
    }
    check->at = p;
    if (p == check->end) {
        return check_fail(check, "a string that does not end");
    }
    check->at++;
    return true;
}

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && str_is_digit(*at)) {
        at++;
    }
    return at;
}

// Behind the number at `at`, by the grammar of RFC 8259 section 6; NULL when it is none.
static const char *skip_number(const char *at, const char *end)
{
    at += at < end && *at == '-';
    const char *digits = skip_digits(at, end);
    if (digits == at || (*at == '0' && digits - at > 1)) {
        return NULL;
    }
    at = digits;
    if (at < end && *at == '.') {
        digits = skip_digits(at + 1, end);
        if (digits == at + 1) {
            return NULL;
        }
        at = digits;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        at += at < end && (*at == '+' || *at == '-');
        digits = skip_digits(at, end);
        return digits == at ? NULL : digits;
    }
    return at;
}

static bool check_scalar(struct check *check)
{
    const char *end = skip_scalar(check->at, check->end);
    struct str text = {check->at, end == NULL ? 0 : (size_t)(end - check->at)};
    enum jsontext_kind kind = classify(text).kind;
    if (kind == JSONTEXT_KIND_ABSENT) {
        return check_fail(check, "no value where one is due");
    }
    if (kind == JSONTEXT_KIND_NUMBER && skip_number(check->at, end) != end) {
        return check_fail(check, "a malformed number");
    }
    check->at = end;
    return true;
}

static bool check_open(struct check *check)
{
    bool object = *check->at == '{';
    if (!buf_append_char(&check->open, object ? '}' : ']')) {
        return check_fail(check, "too deep a nesting");
    }
    check->at++;
    check->state = object ? CHECK_STATE_FIRST_KEY : CHECK_STATE_FIRST_ITEM;
    return true;
}

static bool check_value(struct check *check)
{
    check->state = CHECK_STATE_AFTER;
    switch (*check->at) {
    case '{':
    case '[':
        return check_open(check);
    case '"':
        return check_string(check);
    default: // letters are no enum
        return check_scalar(check);
    }
}

static bool check_key(struct check *check)
{
    if (*check->at != '"') {
        return check_fail(check, "no key where one is due");
    }
    if (!check_string(check)) {
        return false;
    }
    check->at = skip_space(check->at, check->end);
    if (check->at == check->end || *check->at != ':') {
        return check_fail(check, "a key without a colon");
    }
    check->at++;
    check->state = CHECK_STATE_VALUE;
    return true;
}

// The bracket that closes the innermost container; '\0' outside of all.
static char check_closer(const struct check *check)
{
    return check->open.len == 0 ? '\0' : check->open.data[check->open.len - 1];
}

static bool check_close(struct check *check)
{
    buf_truncate(&check->open, check->open.len - 1);
    check->at++;
    check->state = CHECK_STATE_AFTER;
    return true;
}

static bool check_after(struct check *check)
{
    char closer = check_closer(check);
    if (closer == '\0') {
        return check_fail(check, "something behind the value");
    }
    if (*check->at == closer) {
        return check_close(check);
    }
    if (*check->at != ',') {
        return check_fail(check, "neither a comma nor the closing bracket");
    }
    check->at++;
    check->state = closer == '}' ? CHECK_STATE_KEY : CHECK_STATE_VALUE;
    return true;
}

// One token; `at` is not at the end.
static bool check_step(struct check *check)
{
    switch (check->state) {
    case CHECK_STATE_VALUE:
        return check_value(check);
    case CHECK_STATE_FIRST_ITEM:
        return *check->at == ']' ? check_close(check) : check_value(check);
    case CHECK_STATE_FIRST_KEY:
        return *check->at == '}' ? check_close(check) : check_key(check);
    case CHECK_STATE_KEY:
        return check_key(check);
    case CHECK_STATE_AFTER:
        return check_after(check);
    }
    return false;
}

static void check_document(struct check *check)
{
    do {
        check->at = skip_space(check->at, check->end);
    } while (check->at < check->end && check_step(check));
    if (check->problem == NULL &&
        (check->state != CHECK_STATE_AFTER || check_closer(check) != '\0')) {
        check_fail(check, "the end");
    }
}

// Leaves `at` where the problem is.
static void check_text(struct check *check, struct str text, size_t max_depth)
{
    check->at = text.ptr;
    check->end = text.ptr + text.len;
    buf_init(&check->open, max_depth);
    check_document(check);
    buf_free(&check->open);
}

bool jsontext_check(struct str text, size_t max_depth, struct err *err)
{
    if (!str_is_utf8(text)) {
        return err_set(err, ERR_KIND_DATA, "not JSON: not UTF-8");
    }
    if (text.len == 0) {
        return err_set(err, ERR_KIND_DATA, "not JSON: empty");
    }
    struct check check = {.form_only = false};
    check_text(&check, text, max_depth);
    if (check.problem != NULL) {
        return err_set(err, ERR_KIND_DATA, "not JSON: %s at byte %zu", check.problem,
                       (size_t)(check.at - text.ptr));
    }
    return true;
}

bool jsontext_check_form(struct str text, size_t max_depth)
{
    struct check check = {.form_only = true};
    if (text.len == 0) {
        return false;
    }
    check_text(&check, text, max_depth);
    return check.problem == NULL;
}

#include "text.h"

#include "mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_FIRST_ROOM = 256 };

static void reserve(struct text *text, size_t more)
{
    size_t need = text->len + more + 1;
    if (need <= text->room) {
        return;
    }
    size_t room = text->room > 0 ? text->room : TEXT_FIRST_ROOM;
    while (room < need) {
        room *= 2;
    }
    text->data = mem_resize(text->data, room, 1);
    text->room = room;
}

void text_add(struct text *text, const char *data, size_t len)
{
    reserve(text, len);
    if (len > 0) {
        memcpy(text->data + text->len, data, len);
    }
    text->len += len;
    text->data[text->len] = '\0';
}

void text_puts(struct text *text, const char *string)
{
    text_add(text, string, strlen(string));
}

void text_printf(struct text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len <= 0) {
        return;
    }
    reserve(text, (size_t)len);
    va_start(args, format);
    vsnprintf(text->data + text->len, (size_t)len + 1, format, args);
    va_end(args);
    text->len += (size_t)len;
}

char text_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

char text_upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - ('a' - 'A')) : c;
}

static size_t sequence_len(unsigned char first)
{
    if (first < 0x80) {
        return 1;
    }
    if (first >= 0xc2 && first <= 0xdf) {
        return 2;
    }
    if (first >= 0xe0 && first <= 0xef) {
        return 3;
    }
    return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

size_t text_utf8_len(const char *data, size_t left)
{
    const unsigned char *byte = (const unsigned char *)data;
    size_t len = left > 0 ? sequence_len(byte[0]) : 0;
    if (len == 0 || len > left) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((byte[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    /* overlong forms, surrogates, beyond U+10FFFF */
    if ((byte[0] == 0xe0 && byte[1] < 0xa0) || (byte[0] == 0xed && byte[1] > 0x9f) ||
        (byte[0] == 0xf0 && byte[1] < 0x90) || (byte[0] == 0xf4 && byte[1] > 0x8f)) {
        return 0;
    }
    return len;
}

/* Bytes from `data` on that a JSON string may hold as they are. */
static size_t plain_run(const char *data, size_t len)
{
    size_t at = 0;
    while (at < len) {
        unsigned char byte = (unsigned char)data[at];
        size_t step =
            byte < 0x20 || byte == '"' || byte == '\\' ? 0 : text_utf8_len(data + at, len - at);
        if (step == 0) {
            break;
        }
        at += step;
    }
    return at;
}

void text_put_json(struct text *text, const char *data, size_t len)
{
    text_add(text, "\"", 1);
    for (size_t at = 0; at < len;) {
        size_t run = plain_run(data + at, len - at);
        text_add(text, data + at, run);
        at += run;
        if (at == len) {
            break;
        }
        char byte = data[at++];
        if (byte == '"' || byte == '\\') {
            text_printf(text, "\\%c", byte);
        } else {
            text_printf(text, "\\u%04x", (unsigned int)(unsigned char)byte);
        }
    }
    text_add(text, "\"", 1);
}

void text_put_json_string(struct text *text, const char *string)
{
    if (string == NULL) {
        text_puts(text, "null");
    } else {
        text_put_json(text, string, strlen(string));
    }
}

char *text_take(struct text *text)
{
    reserve(text, 0);
    text->data[text->len] = '\0';
    char *data = text->data;
    *text = (struct text){0};
    return data;
}

const char *text_peek(const struct text *text)
{
    return text->data != NULL ? text->data : "";
}

void text_free(struct text *text)
{
    free(text->data);
    *text = (struct text){0};
}

/*
 * text: text that grows while it is put together: answers, journal lines, bodies.
 * A zeroed struct is an empty text. `data` is NUL-terminated as soon as something
 * was added, and NULL before. text_free empties it; text_take hands the memory over.
 */
#ifndef SANDBOX_TEXT_H
#define SANDBOX_TEXT_H

#include <stddef.h>

struct text {
    char *data;
    size_t len;
    size_t room;
};

void text_add(struct text *text, const char *data, size_t len);
void text_puts(struct text *text, const char *string);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* As a JSON string in quotes. Bytes that are no UTF-8 become \u00XX. */
void text_put_json(struct text *text, const char *data, size_t len);

/* As a JSON string, or null. */
void text_put_json_string(struct text *text, const char *string);

/* Never NULL; the caller frees it, the text is empty afterwards. */
char *text_take(struct text *text);

/* "" for an empty text; valid until the text changes. */
const char *text_peek(const struct text *text);

void text_free(struct text *text);

/* ASCII only, whatever the locale says. */
char text_lower(char c);
char text_upper(char c);

/* Length of the UTF-8 sequence at `data` (1 to 4), 0 when it is none. */
size_t text_utf8_len(const char *data, size_t left);

#endif

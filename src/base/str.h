// Borrowed text: a pointer and a length, not NUL-terminated, never owned. Valid as long as what it
// points into. Parsers here reject trailing junk and overflow instead of guessing.
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *ptr;
    size_t len;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
// For printf("%.*s", STR_ARG(s)).
#define STR_ARG(s) (int)(s).len, (s).ptr

// `text` may be NULL: the empty text.
static inline struct str str_of(const char *text)
{
    return (struct str){text, text == NULL ? 0 : strlen(text)};
}

static inline bool str_equal(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

// ASCII case only, whatever the locale.
bool str_equal_nocase(struct str a, struct str b);
bool str_starts(struct str text, struct str prefix);
bool str_ends(struct str text, struct str suffix);

// Without ASCII white space at both ends.
struct str str_trim(struct str text);

// Splits at the first `separator`: `*head` gets what is before it and `*tail` what follows (empty
// when there is none). False when the separator does not occur (head is then all of it).
bool str_split(struct str text, char separator, struct str *head, struct str *tail);

// Whole text must be a decimal integer with an optional sign that fits.
bool str_to_int64(struct str text, int64_t *value);

static inline bool str_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline char str_lower_char(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

// True if the bytes are well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF).
bool str_is_utf8(struct str text);

// Number of characters (code points) of well-formed UTF-8.
size_t str_utf8_count(struct str text);

// The candidate nearest to `word` by edit distance, or NULL when none is close enough to be what
// was meant. `candidates` is an array of `count` NUL-terminated names.
const char *str_nearest(struct str word, const char *const *candidates, size_t count);

#endif

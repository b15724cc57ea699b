#include "base/str.h"

#include "base/mem.h"

#include <stdlib.h>

bool str_equal_nocase(struct str a, struct str b)
{
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (str_lower_char(a.ptr[i]) != str_lower_char(b.ptr[i])) {
            return false;
        }
    }
    return true;
}

bool str_starts(struct str text, struct str prefix)
{
    return text.len >= prefix.len &&
           (prefix.len == 0 || memcmp(text.ptr, prefix.ptr, prefix.len) == 0);
}

bool str_ends(struct str text, struct str suffix)
{
    return text.len >= suffix.len && (suffix.len == 0 || memcmp(text.ptr + text.len - suffix.len,
                                                                suffix.ptr, suffix.len) == 0);
}

static bool str_is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct str str_trim(struct str text)
{
    while (text.len > 0 && str_is_space(text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    while (text.len > 0 && str_is_space(text.ptr[text.len - 1])) {
        text.len--;
    }
    return text;
}

bool str_split(struct str text, char separator, struct str *head, struct str *tail)
{
    const char *at = text.len == 0 ? NULL : memchr(text.ptr, separator, text.len);
    if (at == NULL) {
        *head = text;
        *tail = text.len == 0 ? text : (struct str){text.ptr + text.len, 0}; // may be NULL
        return false;
    }
    size_t before = (size_t)(at - text.ptr);
    *head = (struct str){text.ptr, before};
    *tail = (struct str){at + 1, text.len - before - 1};
    return true;
}

bool str_to_int64(struct str text, int64_t *value)
{
    bool negative = text.len > 0 && text.ptr[0] == '-';
    size_t i = text.len > 0 && (text.ptr[0] == '-' || text.ptr[0] == '+') ? 1 : 0;
    if (i == text.len) {
        return false;
    }
    int64_t result = 0; // counted downwards, where INT64_MIN fits
    for (; i < text.len; i++) {
        if (!str_is_digit(text.ptr[i]) || __builtin_mul_overflow(result, 10, &result) ||
            __builtin_sub_overflow(result, text.ptr[i] - '0', &result)) {
            return false;
        }
    }
    if (!negative && result == INT64_MIN) {
        return false;
    }
    *value = negative ? result : -result;
    return true;
}

// Length of the well-formed sequence at `p`, or 0.
static size_t str_utf8_step(const unsigned char *p, size_t left)
{
    if (p[0] < 0x80) {
        return 1;
    }
    size_t len = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    if (p[0] < 0xC2 || p[0] > 0xF4 || left < len) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    bool bad = (p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) ||
               (p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F);
    return bad ? 0 : len;
}

// Whether the eight bytes at `p` are ASCII.
static bool str_is_ascii8(const unsigned char *p)
{
    uint64_t eight;
    memcpy(&eight, p, sizeof eight);
    return (eight & UINT64_C(0x8080808080808080)) == 0;
}

bool str_is_utf8(struct str text)
{
    const unsigned char *p = (const unsigned char *)text.ptr;
    for (size_t i = 0; i < text.len;) {
        if (text.len - i >= 8 && str_is_ascii8(p + i)) {
            i += 8; // most text, in large steps
            continue;
        }
        size_t step = str_utf8_step(p + i, text.len - i);
        if (step == 0) {
            return false;
        }
        i += step;
    }
    return true;
}

size_t str_utf8_count(struct str text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.len; i++) {
        count += ((unsigned char)text.ptr[i] & 0xC0) != 0x80;
    }
    return count;
}

static size_t str_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

// Levenshtein distance, one row of the table at a time.
static size_t str_distance(struct str a, struct str b)
{
    size_t *row = mem_calloc(b.len + 1, sizeof *row);
    for (size_t j = 0; j <= b.len; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t same = str_lower_char(a.ptr[i - 1]) == str_lower_char(b.ptr[j - 1]) ? 0 : 1;
            size_t here = str_min(diagonal + same, str_min(row[j - 1], row[j]) + 1);
            diagonal = row[j];
            row[j] = here;
        }
    }
    size_t distance = row[b.len];
    free(row);
    return distance;
}

const char *str_nearest(struct str word, const char *const *candidates, size_t count)
{
    const char *best = NULL;
    // A third of the letters may be wrong; and nobody misspells a name of hundreds of letters.
    size_t best_distance = word.len / 3 + 2;
    if (word.len > 100) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        size_t distance = str_distance(word, str_of(candidates[i]));
        if (distance < best_distance) {
            best = candidates[i];
            best_distance = distance;
        }
    }
    return best;
}

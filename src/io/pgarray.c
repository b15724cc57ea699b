#include "io/pgarray.h"

#include <assert.h>
#include <time.h>

enum { PGARRAY_MAX = 256 * 1024 * 1024 }; // far above what a bounded batch can make

static void pgarray_must(bool ok)
{
    assert(ok);
    (void)ok;
}

void pgarray_init(struct pgarray *array)
{
    buf_init(&array->text, PGARRAY_MAX);
    pgarray_must(buf_append_char(&array->text, '{'));
}

static void pgarray_separate(struct pgarray *array)
{
    if (array->text.len > 1) {
        pgarray_must(buf_append_char(&array->text, ','));
    }
}

void pgarray_add_int64(struct pgarray *array, int64_t value)
{
    char digits[20]; // of INT64_MIN, with its sign
    char *first = digits + sizeof digits;
    uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
    do {
        *--first = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0) {
        *--first = '-';
    }
    pgarray_separate(array);
    pgarray_must(buf_append(&array->text, first, (size_t)(digits + sizeof digits - first)));
}

void pgarray_add_text(struct pgarray *array, struct str value)
{
    pgarray_separate(array);
    pgarray_must(buf_append_char(&array->text, '"'));
    size_t from = 0; // what is not written yet; in pieces, which are mostly the whole text
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] == '"' || value.ptr[i] == '\\') {
            pgarray_must(buf_append(&array->text, value.ptr + from, i - from));
            pgarray_must(buf_append_char(&array->text, '\\'));
            from = i;
        }
    }
    pgarray_must(buf_append(&array->text, value.ptr + from, value.len - from));
    pgarray_must(buf_append_char(&array->text, '"'));
}

void pgarray_add_null(struct pgarray *array)
{
    pgarray_separate(array);
    pgarray_must(buf_append_str(&array->text, STR("NULL")));
}

void pgarray_add_time(struct pgarray *array, int64_t time_us)
{
    if (time_us == INT64_MIN || time_us == INT64_MAX) {
        pgarray_separate(array);
        pgarray_must(buf_append_str(&array->text,
                                    time_us == INT64_MIN ? STR("-infinity") : STR("infinity")));
        return;
    }
    int64_t micros = time_us % 1000000;
    time_t seconds = time_us / 1000000 - (micros < 0);
    micros += micros < 0 ? 1000000 : 0;
    struct tm tm;
    char text[64];
    gmtime_r(&seconds, &tm);
    size_t len = strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm);
    pgarray_separate(array);
    pgarray_must(buf_printf(&array->text, "\"%.*s.%06d+00\"", (int)len, text, (int)micros));
}

char *pgarray_take(struct pgarray *array)
{
    pgarray_must(buf_append_char(&array->text, '}'));
    return buf_take(&array->text);
}

// Array parameters for Postgres, as text: {1,2,NULL} and {"a","b\"c"}.
#ifndef IO_PGARRAY_H
#define IO_PGARRAY_H

#include "base/buf.h"

#include <stdint.h>

struct pgarray {
    struct buf text;
};

void pgarray_init(struct pgarray *array);
void pgarray_add_int64(struct pgarray *array, int64_t value);
void pgarray_add_text(struct pgarray *array, struct str value); // UTF-8 without NUL
void pgarray_add_null(struct pgarray *array);
// A time in microseconds since 1970; INT64_MIN is -infinity, INT64_MAX infinity.
void pgarray_add_time(struct pgarray *array, int64_t time_us);
// The literal, which the caller frees; ends the array.
char *pgarray_take(struct pgarray *array);

#endif

// The written forms of single values: durations, rates, ${NAME}. Each parser takes the whole text
// or nothing, and each printer writes what its parser reads back.
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

// 250ms 30s 15m 24h 7d, or 0. No sign, no fraction, no space.
bool value_parse_duration(struct str text, int64_t *ns) MUST_CHECK;
// Of whole milliseconds, not negative.
bool value_print_duration(int64_t ns, struct buf *out) MUST_CHECK;

// 50/s 3000/m 100000/h
bool value_parse_rate(struct str text, int64_t *count, int64_t *per_ns) MUST_CHECK;
bool value_print_rate(int64_t count, int64_t per_ns, struct buf *out) MUST_CHECK;

// Digits only, unlike str_to_int64.
bool value_parse_count(struct str text, int64_t *count) MUST_CHECK;

// Does the text hold a ${NAME}?
bool value_has_variable(struct str text);

// Appends `text` with each ${NAME} replaced by that environment variable; "$${" stands for a plain
// "${", any other "$" for itself. The error names the variable and no value.
bool value_expand(struct str text, struct buf *out, struct err *err) MUST_CHECK;

// Appends the text as a YAML scalar, quoted where it has to be, and so that value_expand gives it
// back.
bool value_print_text(struct str text, struct buf *out) MUST_CHECK;
// The same where no variables are replaced.
bool value_print_name(struct str text, struct buf *out) MUST_CHECK;
// The same, always in quotes.
bool value_print_quoted(struct str text, struct buf *out) MUST_CHECK;

#endif

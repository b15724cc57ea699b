// Exact decimal numbers: from text to an integer that counts tenths, hundredths, ... with no
// floating point in between, so no digit is lost or made up.
//     decimal_scale("340.5", 2) is 34050; decimal_scale("3.4E+2", 2) is 34000
#ifndef DOMAIN_DECIMAL_H
#define DOMAIN_DECIMAL_H

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

enum decimal_result {
    DECIMAL_RESULT_OK,
    DECIMAL_RESULT_NOT_A_NUMBER,
    DECIMAL_RESULT_TOO_PRECISE,  // has more significant decimals than `places`
    DECIMAL_RESULT_OUT_OF_RANGE, // does not fit into 64 bits
};

// `text` is [+-]digits[.digits][e[+-]digits], the whole of it: every JSON number and what Postgres
// prints for a numeric. `*value` is set only when the result is OK. Takes time in proportion to the
// text, whatever the exponent.
enum decimal_result decimal_scale(struct str text, int64_t places, int64_t *value) MUST_CHECK;

#endif

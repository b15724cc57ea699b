#include "domain/decimal.h"

// Beyond any shift that text of less than this many bytes can need; keeps sums from overflowing.
#define DECIMAL_EXPONENT_MAX INT64_C(1000000000000)

enum { INT64_DIGITS = 19 };

struct parts {
    bool negative;
    struct str whole;    // digits before the point
    struct str fraction; // digits behind it
    int64_t exponent;
};

static struct str take_digits(struct str *rest)
{
    struct str digits = {rest->ptr, 0};
    while (digits.len < rest->len && str_is_digit(rest->ptr[digits.len])) {
        digits.len++;
    }
    rest->ptr += digits.len;
    rest->len -= digits.len;
    return digits;
}

static bool take_char(struct str *rest, char c)
{
    if (rest->len == 0 || str_lower_char(rest->ptr[0]) != c) {
        return false;
    }
    rest->ptr++;
    rest->len--;
    return true;
}

// Takes an optional sign; true for a minus.
static bool take_sign(struct str *rest)
{
    return !take_char(rest, '+') && take_char(rest, '-');
}

static int64_t bounded(struct str digits)
{
    int64_t value = 0;
    for (size_t i = 0; i < digits.len && value < DECIMAL_EXPONENT_MAX; i++) {
        value = value * 10 + (digits.ptr[i] - '0');
    }
    return value < DECIMAL_EXPONENT_MAX ? value : DECIMAL_EXPONENT_MAX;
}

static bool split(struct str text, struct parts *parts)
{
    *parts = (struct parts){.negative = take_sign(&text)};
    parts->whole = take_digits(&text);
    if (parts->whole.len == 0) {
        return false;
    }
    if (take_char(&text, '.')) {
        parts->fraction = take_digits(&text);
        if (parts->fraction.len == 0) {
            return false;
        }
    }
    if (take_char(&text, 'e')) {
        bool negative = take_sign(&text);
        struct str digits = take_digits(&text);
        if (digits.len == 0) {
            return false;
        }
        parts->exponent = negative ? -bounded(digits) : bounded(digits);
    }
    return text.len == 0;
}

static struct str without_leading_zeros(struct str digits)
{
    while (digits.len > 0 && digits.ptr[0] == '0') {
        digits.ptr++;
        digits.len--;
    }
    return digits;
}

// Cuts the zeros at the end, at most `digits->len`; returns how many.
static size_t cut_trailing_zeros(struct str *digits)
{
    size_t len = digits->len;
    while (digits->len > 0 && digits->ptr[digits->len - 1] == '0') {
        digits->len--;
    }
    return len - digits->len;
}

// Drops the zeros that say nothing, so that every digit left is significant.
static void strip_zeros(struct parts *parts)
{
    parts->whole = without_leading_zeros(parts->whole);
    cut_trailing_zeros(&parts->fraction);
    if (parts->fraction.len == 0) {
        parts->exponent += (int64_t)cut_trailing_zeros(&parts->whole);
    }
    if (parts->whole.len == 0) {
        size_t len = parts->fraction.len;
        parts->fraction = without_leading_zeros(parts->fraction);
        parts->exponent -= (int64_t)(len - parts->fraction.len);
    }
}

// Appends digits to a number that is counted downwards, where INT64_MIN fits.
static bool append_digits(struct str digits, int64_t *value)
{
    for (size_t i = 0; i < digits.len; i++) {
        if (__builtin_mul_overflow(*value, 10, value) ||
            __builtin_sub_overflow(*value, digits.ptr[i] - '0', value)) {
            return false;
        }
    }
    return true;
}

// The digits with `zeros` behind them. False when that does not fit.
static bool join(const struct parts *parts, int64_t zeros, int64_t *value)
{
    if (zeros > INT64_DIGITS || parts->whole.len + parts->fraction.len > INT64_DIGITS) {
        return false;
    }
    int64_t down = 0;
    struct str padding = {"0000000000000000000", (size_t)zeros};
    if (!append_digits(parts->whole, &down) || !append_digits(parts->fraction, &down) ||
        !append_digits(padding, &down) || (!parts->negative && down == INT64_MIN)) {
        return false;
    }
    *value = parts->negative ? down : -down;
    return true;
}

enum decimal_result decimal_scale(struct str text, int64_t places, int64_t *value)
{
    struct parts parts;
    if (!split(text, &parts)) {
        return DECIMAL_RESULT_NOT_A_NUMBER;
    }
    strip_zeros(&parts);
    if (parts.whole.len + parts.fraction.len == 0) {
        *value = 0;
        return DECIMAL_RESULT_OK;
    }
    int64_t zeros = parts.exponent + places - (int64_t)parts.fraction.len;
    if (zeros < 0) {
        return DECIMAL_RESULT_TOO_PRECISE;
    }
    return join(&parts, zeros, value) ? DECIMAL_RESULT_OK : DECIMAL_RESULT_OUT_OF_RANGE;
}

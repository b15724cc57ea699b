#include "domain/fieldtype.h"

#include "domain/calendar.h"
#include "domain/codes.h"
#include "domain/decimal.h"
#include "domain/instant.h"
#include "domain/phone.h"

#include <assert.h>

const char fieldtype_too_big[] = "is too big for a request";

static const char is_empty[] = "is empty";
static const char is_nested[] = "is an array or an object, not a single value";
static const char is_undecodable[] = "is not well-formed JSON text";

enum {
    EMAIL_BYTES_MAX = 254,
    EMAIL_LOCAL_BYTES_MAX = 64,
    LABEL_BYTES_MAX = 63,
    JSON_DEPTH_MAX = 32,
    NS_PER_US = 1000,
};

// ---- reading the value ----

// The text of a scalar: a string decoded, anything else as JSON writes it. Borrowed from the
// scratch buffer or the value. Returns the reason where there is none.
static const char *read_scalar(const struct fieldtype_input *input, struct str *text)
{
    switch (input->value.kind) {
    case JSONTEXT_KIND_STRING:
        buf_reset(input->scratch);
        if (!jsontext_decode(input->value, input->scratch)) {
            // Decoded text is never longer than the text it is made from.
            return input->value.text.len > input->scratch->cap ? fieldtype_too_big : is_undecodable;
        }
        *text = buf_peek(input->scratch);
        return NULL;
    case JSONTEXT_KIND_BOOLEAN:
    case JSONTEXT_KIND_NUMBER:
        *text = input->value.text;
        return NULL;
    case JSONTEXT_KIND_ARRAY:
    case JSONTEXT_KIND_OBJECT:
        return is_nested;
    case JSONTEXT_KIND_ABSENT:
    case JSONTEXT_KIND_NULL:
        break;
    }
    return "has no value";
}

// The same without white space around it, and not empty.
static const char *read_trimmed(const struct fieldtype_input *input, struct str *text)
{
    const char *reason = read_scalar(input, text);
    if (reason == NULL) {
        *text = str_trim(*text);
        reason = text->len == 0 ? is_empty : NULL;
    }
    return reason;
}

// ---- writing the result ----

static const char *write_string(const struct fieldtype_input *input, struct str text,
                                struct buf *out)
{
    int64_t max_length = input->options->max_length;
    if (max_length > 0 && str_utf8_count(text) > (size_t)max_length) {
        return "is longer than max_length";
    }
    return jsontext_encode(text, out) ? NULL : fieldtype_too_big;
}

// `code` NULL: `reason`.
static const char *write_code(const struct fieldtype_input *input, const char *code,
                              const char *reason, struct buf *out)
{
    return code == NULL ? reason : write_string(input, str_of(code), out);
}

static const char *write_raw(struct str json, struct buf *out)
{
    return buf_append_str(out, json) ? NULL : fieldtype_too_big;
}

static const char *write_integer(int64_t value, struct buf *out)
{
    return buf_printf(out, "%lld", (long long)value) ? NULL : fieldtype_too_big;
}

// ---- the types ----

static const char *convert_text(const struct fieldtype_input *input, struct buf *out)
{
    struct str text;
    const char *reason = read_scalar(input, &text);
    if (reason == NULL && text.len > 0 && memchr(text.ptr, '\0', text.len) != NULL) {
        reason = "contains the character U+0000"; // Postgres has none, standard input may
    }
    return reason != NULL ? reason : write_string(input, text, out);
}

static const char *convert_integer(const struct fieldtype_input *input, struct buf *out)
{
    struct str text;
    int64_t value;
    const char *reason = read_trimmed(input, &text);
    if (reason != NULL) {
        return reason;
    }
    switch (decimal_scale(text, 0, &value)) {
    case DECIMAL_RESULT_OK:
        return write_integer(value, out);
    case DECIMAL_RESULT_NOT_A_NUMBER:
        break;
    case DECIMAL_RESULT_TOO_PRECISE:
        return "is not a whole number";
    case DECIMAL_RESULT_OUT_OF_RANGE:
        return "is beyond 64 bits";
    }
    return "is not a number";
}

static bool is_alphanumeric(char c)
{
    char lower = str_lower_char(c);
    return str_is_digit(c) || (lower >= 'a' && lower <= 'z');
}

// Dots stand between other letters only, here as in the domain.
static bool is_email_local(struct str text)
{
    struct str signs = STR("!#$%&'*+-/=?^_`{|}~");
    bool dot = true;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool allowed = is_alphanumeric(c) || memchr(signs.ptr, (unsigned char)c, signs.len) != NULL;
        if (c == '.' ? dot : !allowed) {
            return false;
        }
        dot = c == '.';
    }
    return !dot && text.len <= EMAIL_LOCAL_BYTES_MAX;
}

static bool is_label(struct str text)
{
    if (text.len == 0 || text.len > LABEL_BYTES_MAX || text.ptr[0] == '-' ||
        text.ptr[text.len - 1] == '-') {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (!is_alphanumeric(text.ptr[i]) && text.ptr[i] != '-') {
            return false;
        }
    }
    return true;
}

// At least two labels, the last of which starts with a letter: no addresses of machines.
static bool is_domain(struct str text)
{
    struct str label;
    struct str rest = text;
    size_t labels = 0;
    bool more = true;
    while (more) {
        more = str_split(rest, '.', &label, &rest);
        if (!is_label(label)) {
            return false;
        }
        labels++;
    }
    return labels >= 2 && !str_is_digit(label.ptr[0]);
}

// ASCII only, as the API's "format: email" is; no quoted local parts, no comments.
static const char *convert_email(const struct fieldtype_input *input, struct buf *out)
{
    static const char reason_email[] = "is not an e-mail address";
    struct str text;
    struct str local;
    struct str domain;
    const char *reason = read_trimmed(input, &text);
    if (reason != NULL) {
        return reason;
    }
    if (text.len > EMAIL_BYTES_MAX || !str_split(text, '@', &local, &domain) ||
        !is_email_local(local) || !is_domain(domain)) {
        return reason_email;
    }
    return write_string(input, text, out);
}

static bool only_digits(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!str_is_digit(text.ptr[i])) {
            return false;
        }
    }
    return true;
}

static const char *convert_phone(const struct fieldtype_input *input, struct buf *out)
{
    struct str text;
    char number[PHONE_BYTES];
    const char *reason = read_trimmed(input, &text);
    // The point and the sign of a JSON number are no punctuation.
    if (reason == NULL && input->value.kind == JSONTEXT_KIND_NUMBER && !only_digits(text)) {
        reason = "is not a phone number";
    }
    if (reason == NULL) {
        reason = phone_to_e164(text, input->options->calling_code, number);
    }
    return reason != NULL ? reason : write_string(input, str_of(number), out);
}

static const char *convert_language(const struct fieldtype_input *input, struct buf *out)
{
    static const char not_a_language[] = "is not an ISO 639-1 language";
    struct str text;
    const char *reason = read_trimmed(input, &text);
    return reason != NULL ? reason : write_code(input, codes_language(text), not_a_language, out);
}

static const char *convert_country(const struct fieldtype_input *input, struct buf *out)
{
    static const char not_a_country[] = "is not an ISO 3166-1 country";
    struct str text;
    const char *reason = read_trimmed(input, &text);
    return reason != NULL ? reason : write_code(input, codes_country(text), not_a_country, out);
}

static const char *convert_us_state(const struct fieldtype_input *input, struct buf *out)
{
    static const char not_a_state[] = "is not a state of the United States";
    struct str text;
    const char *reason = read_trimmed(input, &text);
    return reason != NULL ? reason : write_code(input, codes_us_state(text), not_a_state, out);
}

static const char *convert_currency(const struct fieldtype_input *input, struct buf *out)
{
    static const char not_a_currency[] = "is not an ISO 4217 currency in use";
    struct str text;
    const char *reason = read_trimmed(input, &text);
    if (reason != NULL) {
        return reason;
    }
    const struct codes_currency *currency = codes_currency(text);
    return write_code(input, currency == NULL ? NULL : currency->code, not_a_currency, out);
}

static const char *convert_minor_units(const struct fieldtype_input *input, struct buf *out)
{
    struct str text;
    int64_t value;
    const char *reason = read_trimmed(input, &text);
    if (reason != NULL) {
        return reason;
    }
    if (input->currency.len == 0) {
        return "is an amount without a currency";
    }
    const struct codes_currency *currency = codes_currency(input->currency);
    if (currency == NULL) {
        return "is an amount whose currency is not an ISO 4217 currency in use";
    }
    switch (decimal_scale(text, currency->exponent, &value)) {
    case DECIMAL_RESULT_OK:
        return write_integer(value, out);
    case DECIMAL_RESULT_NOT_A_NUMBER:
        break;
    case DECIMAL_RESULT_TOO_PRECISE:
        return "has more decimals than its currency";
    case DECIMAL_RESULT_OUT_OF_RANGE:
        return "is beyond 64 bits";
    }
    return "is not a number";
}

static const char *read_instant(const struct fieldtype_input *input, int64_t *instant)
{
    static const char not_a_timestamp[] = "is not a timestamp";
    struct str text;
    const char *reason = read_trimmed(input, &text);
    if (reason != NULL) {
        return reason;
    }
    switch (instant_parse(text, input->options->zone, instant)) {
    case INSTANT_RESULT_OK:
        return NULL;
    case INSTANT_RESULT_NOT_A_TIME:
        break;
    case INSTANT_RESULT_INFINITE:
        return "is an infinite timestamp";
    case INSTANT_RESULT_OUT_OF_RANGE:
        return "is before the year 1 or after the year 9999";
    }
    return not_a_timestamp;
}

static const char *convert_timestamp(const struct fieldtype_input *input, struct buf *out)
{
    int64_t instant;
    char text[INSTANT_TEXT_BYTES];
    const char *reason = read_instant(input, &instant);
    if (reason != NULL) {
        return reason;
    }
    instant_print(instant, text);
    return write_string(input, str_of(text), out);
}

static const char *convert_months_since(const struct fieldtype_input *input, struct buf *out)
{
    int64_t instant;
    int64_t months;
    const char *reason = read_instant(input, &instant);
    if (reason != NULL) {
        return reason;
    }
    int64_t now = calendar_floor_div(input->wall_ns, NS_PER_US);
    return instant_months(instant, now, &months) ? write_integer(months, out)
                                                 : "lies in the future";
}

static const char *convert_boolean(const struct fieldtype_input *input, struct buf *out)
{
    static const struct {
        const char *word;
        const char *json;
    } words[] = {
        {"true", "true"},   {"t", "true"},  {"yes", "true"}, {"1", "true"},
        {"false", "false"}, {"f", "false"}, {"no", "false"}, {"0", "false"},
    };
    struct str text;
    const char *reason = read_trimmed(input, &text);
    if (reason != NULL) {
        return reason;
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (str_equal_nocase(text, str_of(words[i].word))) {
            return write_raw(str_of(words[i].json), out);
        }
    }
    return "is not true or false";
}

static const char *convert_json(const struct fieldtype_input *input, struct buf *out)
{
    return jsontext_depth(input->value) > JSON_DEPTH_MAX ? "is nested more than 32 levels deep"
                                                         : write_raw(input->value.text, out);
}

// ---- the table ----

static const struct fieldtype types[] = {
    [FIELDTYPE_ID_TEXT] =
        {
            .id = FIELDTYPE_ID_TEXT,
            .name = "text",
            .makes = FIELDTYPE_MAKES_STRING,
            .help = "The value as it is: numbers with all their digits, true and false as words.",
            .convert = convert_text,
        },
    [FIELDTYPE_ID_INTEGER] =
        {
            .id = FIELDTYPE_ID_INTEGER,
            .name = "integer",
            .makes = FIELDTYPE_MAKES_INTEGER,
            .help = "A whole number of up to 64 bits; zeros behind the point do not matter.",
            .convert = convert_integer,
        },
    [FIELDTYPE_ID_EMAIL] =
        {
            .id = FIELDTYPE_ID_EMAIL,
            .name = "email",
            .makes = FIELDTYPE_MAKES_STRING,
            .help = "An e-mail address in ASCII, kept as it is written.",
            .convert = convert_email,
        },
    [FIELDTYPE_ID_PHONE] =
        {
            .id = FIELDTYPE_ID_PHONE,
            .name = "phone",
            .makes = FIELDTYPE_MAKES_STRING,
            .help = "A phone number, national or with +, as E.164: (415) 555-2671 is +14155552671.",
            .convert = convert_phone,
        },
    [FIELDTYPE_ID_LANGUAGE] =
        {
            .id = FIELDTYPE_ID_LANGUAGE,
            .name = "language",
            .makes = FIELDTYPE_MAKES_STRING,
            .help = "An ISO 639-1 language, also out of a locale: en_US is en.",
            .convert = convert_language,
        },
    [FIELDTYPE_ID_COUNTRY] =
        {
            .id = FIELDTYPE_ID_COUNTRY,
            .name = "country",
            .makes = FIELDTYPE_MAKES_STRING,
            .help = "A country by ISO 3166-1 code or English name, as alpha-3: us is USA.",
            .convert = convert_country,
        },
    [FIELDTYPE_ID_US_STATE] =
        {
            .id = FIELDTYPE_ID_US_STATE,
            .name = "us_state",
            .makes = FIELDTYPE_MAKES_STRING,
            .help = "A state of the US by code or name, as its two letters: California is CA.",
            .convert = convert_us_state,
        },
    [FIELDTYPE_ID_CURRENCY] =
        {
            .id = FIELDTYPE_ID_CURRENCY,
            .name = "currency",
            .makes = FIELDTYPE_MAKES_STRING,
            .help = "An ISO 4217 currency in use, in capitals.",
            .convert = convert_currency,
        },
    [FIELDTYPE_ID_MINOR_UNITS] =
        {
            .id = FIELDTYPE_ID_MINOR_UNITS,
            .name = "minor_units",
            .makes = FIELDTYPE_MAKES_INTEGER,
            .help = "An exact amount in the minor unit of its currency: 340.00 is 34000 in USD.",
            .convert = convert_minor_units,
        },
    [FIELDTYPE_ID_TIMESTAMP] =
        {
            .id = FIELDTYPE_ID_TIMESTAMP,
            .name = "timestamp",
            .makes = FIELDTYPE_MAKES_STRING,
            .help = "A Postgres timestamp or date, as RFC 3339 in UTC with milliseconds.",
            .convert = convert_timestamp,
        },
    [FIELDTYPE_ID_MONTHS_SINCE] =
        {
            .id = FIELDTYPE_ID_MONTHS_SINCE,
            .name = "months_since",
            .makes = FIELDTYPE_MAKES_INTEGER,
            .help = "The whole months from a timestamp or date to now, by the calendar.",
            .convert = convert_months_since,
        },
    [FIELDTYPE_ID_BOOLEAN] =
        {
            .id = FIELDTYPE_ID_BOOLEAN,
            .name = "boolean",
            .makes = FIELDTYPE_MAKES_BOOLEAN,
            .help = "true or false, also written t, f, yes, no, 1, 0.",
            .convert = convert_boolean,
        },
    [FIELDTYPE_ID_JSON] =
        {
            .id = FIELDTYPE_ID_JSON,
            .name = "json",
            .makes = FIELDTYPE_MAKES_ANY,
            .help = "Any JSON value as it is, up to 32 levels deep.",
            .convert = convert_json,
        },
};
static_assert(sizeof types / sizeof types[0] == FIELDTYPE_COUNT, "a row for every type");

const struct fieldtype *fieldtype_get(enum fieldtype_id id)
{
    assert((size_t)id < FIELDTYPE_COUNT);
    return &types[id];
}

const struct fieldtype *fieldtype_find(struct str name)
{
    for (size_t i = 0; i < FIELDTYPE_COUNT; i++) {
        if (str_equal(name, str_of(types[i].name))) {
            return &types[i];
        }
    }
    return NULL;
}

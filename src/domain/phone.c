#include "domain/phone.h"

#include <stdbool.h>

enum {
    DIGITS_MAX = 15, // of E.164
    DIGITS_MIN = 8,
    DIGITS_MIN_TINY = 7, // three of the calling code, four of the number
    DIGITS_ABROAD = 10,  // fewest behind "00" or "011" to be taken for an international number
    DIGITS_NANP = 11,    // with the 1
    // One more than the longest prefix and a number: the rest is cut, and the length still wrong.
    DIGITS_ROOM = DIGITS_MAX + 4,
};

static const char not_a_number[] = "is not a phone number";
static const char wrong_length[] = "has too few or too many digits for a phone number";
static const char not_north_american[] = "is not a North American phone number";

struct digits {
    char at[DIGITS_ROOM];
    size_t len;
    bool plus;
};

// Length of the punctuation character at the front, 0 when it is none.
static size_t punctuation(struct str rest)
{
    static const char *const wide[] = {
        "\xC2\xA0",     // no-break space
        "\xE2\x80\x87", // figure space
        "\xE2\x80\xAF", // narrow no-break space
        "\xE2\x80\x8E", // left-to-right mark
        "\xE2\x80\x90", // hyphen
        "\xE2\x80\x91", // non-breaking hyphen
        "\xE2\x80\x92", // figure dash
        "\xE2\x80\x93", // en dash
        "\xE2\x80\x94", // em dash
        "\xE2\x80\xAA", // left-to-right embedding
        "\xE2\x80\xAC", // pop directional formatting
        "\xE2\x80\xAD", // left-to-right override
        "\xE2\x88\x92", // minus sign
    };
    struct str plain = STR(" \t()[]{}.-_/\\:|~'\"");
    if (memchr(plain.ptr, (unsigned char)rest.ptr[0], plain.len) != NULL) {
        return 1;
    }
    for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++) {
        if (str_starts(rest, str_of(wide[i]))) {
            return strlen(wide[i]);
        }
    }
    return 0;
}

static void add_digit(struct digits *digits, char c)
{
    if (digits->len < DIGITS_ROOM) {
        digits->at[digits->len++] = c;
    }
}

static bool digits_start(const struct digits *digits, struct str prefix)
{
    return str_starts((struct str){digits->at, digits->len}, prefix);
}

static void drop_digits(struct digits *digits, size_t count)
{
    digits->len -= count;
    memmove(digits->at, digits->at + count, digits->len);
}

// Calling codes of countries where a leading zero is part of the number also from abroad.
static bool keeps_zero(struct str calling_code)
{
    static const char *const codes[] = {
        "39",  // Italy
        "225", // Cote d'Ivoire
        "241", // Gabon
        "242", // Congo
        "378", // San Marino
    };
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (str_equal(calling_code, str_of(codes[i]))) {
            return true;
        }
    }
    return false;
}

// Length of a "(0)" at the front, 0 when there is none.
static size_t bracketed_zero(struct str rest)
{
    return str_starts(rest, STR("(0)")) ? 3 : 0;
}

// Is the number international by what was read so far, so that a "(0)" now is an area code's?
static bool zero_is_trunk(const struct digits *digits)
{
    size_t prefix = digits->plus ? 0 : 2;
    return (digits->plus || digits_start(digits, STR("00"))) && digits->len > prefix &&
           !keeps_zero((struct str){digits->at + prefix, digits->len - prefix});
}

static bool collect(struct str text, struct digits *digits)
{
    *digits = (struct digits){.len = 0};
    while (text.len > 0) {
        size_t len = bracketed_zero(text);
        if (len > 0 && zero_is_trunk(digits)) {
            // dropped
        } else if (str_is_digit(text.ptr[0])) {
            len = 1;
            add_digit(digits, text.ptr[0]);
        } else if (text.ptr[0] == '+' && digits->len == 0 && !digits->plus) {
            len = 1;
            digits->plus = true;
        } else {
            len = punctuation(text);
        }
        if (len == 0) {
            return false;
        }
        text = (struct str){text.ptr + len, text.len - len};
    }
    return digits->len > 0;
}

// Turns the prefix that is dialled for another country into the plus that it stands for.
static void apply_exit_code(struct digits *digits, bool north_american)
{
    size_t len = 0;
    if (digits_start(digits, STR("00"))) {
        len = 2;
    } else if (north_american && digits_start(digits, STR("011"))) {
        len = 3;
    }
    if (!digits->plus && len > 0 && digits->len >= len + DIGITS_ABROAD) {
        drop_digits(digits, len);
        digits->plus = true;
    }
}

// Puts the calling code in front of a national number.
static const char *add_calling_code(struct digits *digits, struct str calling_code)
{
    bool north_american = str_equal(calling_code, STR("1"));
    if (north_american && digits->len == DIGITS_NANP && digits->at[0] == '1') {
        return NULL;
    }
    if (!north_american && digits->at[0] == '0' && !keeps_zero(calling_code)) {
        drop_digits(digits, 1);
    }
    if (digits->len + calling_code.len > DIGITS_MAX) {
        return wrong_length;
    }
    memmove(digits->at + calling_code.len, digits->at, digits->len);
    memcpy(digits->at, calling_code.ptr, calling_code.len);
    digits->len += calling_code.len;
    return NULL;
}

static const char *judge(const struct digits *digits)
{
    if (digits->at[0] == '1') {
        bool valid = digits->len == DIGITS_NANP && digits->at[1] >= '2' && digits->at[4] >= '2';
        return valid ? NULL : not_north_american;
    }
    if (digits->at[0] == '0') {
        return not_a_number;
    }
    bool tiny = digits_start(digits, STR("683")) || digits_start(digits, STR("690"));
    size_t least = tiny ? DIGITS_MIN_TINY : DIGITS_MIN;
    return digits->len >= least && digits->len <= DIGITS_MAX ? NULL : wrong_length;
}

const char *phone_to_e164(struct str text, struct str calling_code, char out[PHONE_BYTES])
{
    struct digits digits;
    if (!collect(text, &digits)) {
        return not_a_number;
    }
    calling_code = calling_code.len == 0 ? STR("1") : calling_code;
    apply_exit_code(&digits, str_equal(calling_code, STR("1")));
    const char *reason = digits.plus ? NULL : add_calling_code(&digits, calling_code);
    reason = reason != NULL ? reason : judge(&digits);
    if (reason == NULL) {
        out[0] = '+';
        memcpy(out + 1, digits.at, digits.len);
        out[1 + digits.len] = '\0';
    }
    return reason;
}

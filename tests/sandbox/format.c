#include "format.h"

#include <stddef.h>
#include <string.h>

enum { EMAIL_LEN = 254, EMAIL_LOCAL_LEN = 64, DOMAIN_LABEL_LEN = 63, ID_LEN = 64 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_capital(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_alphanumeric(char c)
{
    return is_digit(c) || is_lower(c) || is_capital(c);
}

/* internationalised addresses are UTF-8 */
static bool is_beyond_ascii(char c)
{
    return ((unsigned char)c & 0x80) != 0;
}

static bool is_email_local(const char *local, size_t len)
{
    if (len == 0 || len > EMAIL_LOCAL_LEN || local[0] == '.' || local[len - 1] == '.') {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        bool fine = is_alphanumeric(local[i]) || is_beyond_ascii(local[i]) ||
                    strchr(".!#$%&'*+/=?^_`{|}~-", local[i]) != NULL;
        if (!fine || (local[i] == '.' && local[i + 1] == '.')) {
            return false;
        }
    }
    return true;
}

static bool is_domain_label(const char *label, size_t len)
{
    if (len == 0 || len > DOMAIN_LABEL_LEN || label[0] == '-' || label[len - 1] == '-') {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (!is_alphanumeric(label[i]) && !is_beyond_ascii(label[i]) && label[i] != '-') {
            return false;
        }
    }
    return true;
}

static bool is_dotted_domain(const char *domain)
{
    int labels = 0;
    for (;;) {
        size_t len = strcspn(domain, ".");
        if (!is_domain_label(domain, len)) {
            return false;
        }
        labels++;
        if (domain[len] == '\0') {
            return labels >= 2;
        }
        domain += len + 1;
    }
}

bool format_is_email(const char *text)
{
    const char *at = strchr(text, '@');
    return at != NULL && strlen(text) <= EMAIL_LEN && is_email_local(text, (size_t)(at - text)) &&
           is_dotted_domain(at + 1);
}

bool format_is_phone(const char *text)
{
    if (*text == '+') {
        text++;
    }
    size_t digits = strspn(text, "0123456789");
    return text[digits] == '\0' && text[0] != '0' && digits >= 2 && digits <= 15;
}

bool format_is_language(const char *text)
{
    return strlen(text) == 2 && is_lower(text[0]) && is_lower(text[1]);
}

bool format_is_three_capitals(const char *text)
{
    return strlen(text) == 3 && is_capital(text[0]) && is_capital(text[1]) && is_capital(text[2]);
}

/* Reads `count` digits and steps over them. -1 when there are none. */
static int take_digits(const char **at, int count)
{
    int number = 0;
    for (int i = 0; i < count; i++) {
        if (!is_digit(**at)) {
            return -1;
        }
        number = number * 10 + (**at - '0');
        (*at)++;
    }
    return number;
}

static bool take_char(const char **at, const char *allowed)
{
    if (**at == '\0' || strchr(allowed, **at) == NULL) {
        return false;
    }
    (*at)++;
    return true;
}

static bool within(int number, int low, int high)
{
    return number >= low && number <= high;
}

static int days_of_month(int year, int month)
{
    static const int days[] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month];
}

static bool take_date(const char **at)
{
    int year = take_digits(at, 4);
    if (year < 0 || !take_char(at, "-")) {
        return false;
    }
    int month = take_digits(at, 2);
    if (!within(month, 1, 12) || !take_char(at, "-")) {
        return false;
    }
    return within(take_digits(at, 2), 1, days_of_month(year, month));
}

static bool take_time(const char **at)
{
    if (!within(take_digits(at, 2), 0, 23) || !take_char(at, ":")) {
        return false;
    }
    if (!within(take_digits(at, 2), 0, 59) || !take_char(at, ":")) {
        return false;
    }
    /* 60: a leap second */
    if (!within(take_digits(at, 2), 0, 60)) {
        return false;
    }
    if (!take_char(at, ".")) {
        return true;
    }
    size_t digits = strspn(*at, "0123456789");
    *at += digits;
    return digits > 0;
}

static bool take_offset(const char **at)
{
    if (take_char(at, "Zz")) {
        return true;
    }
    return take_char(at, "+-") && within(take_digits(at, 2), 0, 23) && take_char(at, ":") &&
           within(take_digits(at, 2), 0, 59);
}

bool format_is_date_time(const char *text)
{
    const char *at = text;
    return take_date(&at) && take_char(&at, "Tt") && take_time(&at) && take_offset(&at) &&
           *at == '\0';
}

bool format_is_id(const char *text)
{
    size_t len = strlen(text);
    if (len == 0 || len > ID_LEN) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (!is_alphanumeric(text[i]) && text[i] != '_' && text[i] != '-') {
            return false;
        }
    }
    return true;
}

bool format_is_uuid(const char *text)
{
    static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    if (strlen(text) != sizeof(shape) - 1) {
        return false;
    }
    for (size_t i = 0; shape[i] != '\0'; i++) {
        bool fine =
            shape[i] == '-' ? text[i] == '-' : strchr("0123456789abcdefABCDEF", text[i]) != NULL;
        if (!fine) {
            return false;
        }
    }
    return true;
}

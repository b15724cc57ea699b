// The standard codes that customers' data is written in, and the many ways people write them:
// countries (ISO 3166-1), US states, languages (ISO 639-1), currencies (ISO 4217). Comparing
// ignores case; names also ignore Latin accents, dots, apostrophes, a leading "the", and which of
// spaces, hyphens, commas or brackets stand between the words. The answers are constants; NULL
// where the text is no such code or name.
#ifndef DOMAIN_CODES_H
#define DOMAIN_CODES_H

#include "base/str.h"

#include <stdint.h>

// Alpha-2, alpha-3 or English name to alpha-3: "us", "U.S.A.", "United States" are "USA".
const char *codes_country(struct str text);

// Code, ISO 3166-2 code or name to the two letters of the US Postal Service: "CA", "US-CA" and
// "California" are "CA". With DC, the territories, the freely associated states and the military
// addresses AA, AE and AP.
const char *codes_us_state(struct str text);

// An ISO 639-1 code, alone or in front of what locales add to it (script, region, encoding), to
// that code in lower case: "en", "en_US.UTF-8", "EN-us" are "en". No three-letter codes, no names.
const char *codes_language(struct str text);

struct codes_currency {
    char code[4];
    int64_t exponent; // digits of the minor unit: 2 for USD, 0 for JPY
};

// A currency in use that has a minor unit (so no precious metals and no test codes).
const struct codes_currency *codes_currency(struct str text);

#endif

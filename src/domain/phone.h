// Phone numbers: from the ways people write them to E.164 ("+14155552671").
//
// With "+" in front the number is kept, less its punctuation; an area code's "(0)" behind the
// calling code is dropped ("+44 (0)20 ..."), except where the zero is dialled from abroad too.
// "00" in front means "+", and so does "011" for a mapping whose numbers are North American, if at
// least ten digits follow: fewer are rather a national number written oddly.
// Without, the number is national, of `calling_code`: North American ones ("1") have ten digits,
// whose area code and exchange start with 2 to 9, and may have a 1 in front; others lose one
// leading trunk zero, except in countries where the zero is part of the number. Other trunk
// prefixes (the 8 of Russia, the 06 of Hungary) and calling codes without "+" are not guessed at.
// The result has 8 to 15 digits; 7 for Niue and Tokelau, whose numbers have four.
//
// Punctuation is blanks, brackets, dots, hyphens, slashes, colons, quotes and their common Unicode
// forms, with the invisible marks that copying from a contact list leaves behind. What could start
// an extension or a second number (letters, ',', ';', '#', '*', another '+') makes it invalid, and
// so do digits that are not ASCII.
#ifndef DOMAIN_PHONE_H
#define DOMAIN_PHONE_H

#include "base/str.h"

enum { PHONE_BYTES = 17 };

// Writes the number, NUL-terminated, and returns NULL; or returns the reason why it cannot, a
// constant sentence. `calling_code` is digits; empty means "1".
const char *phone_to_e164(struct str text, struct str calling_code, char out[PHONE_BYTES]);

#endif

#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>

void fuzz_check(bool kept, const char *file, int line, const char *promise)
{
    if (!kept) {
        fprintf(stderr, "%s:%d: broken promise: %s\n", file, line, promise);
        abort();
    }
}

unsigned pick(struct picks *picks)
{
    return picks->at == picks->end ? 0 : *picks->at++;
}

unsigned pick_of(struct picks *picks, unsigned count)
{
    return pick(picks) % count;
}

// Does one of the characters that are no printable ones, but UTF-8, begin at `i`?
static bool is_hidden(struct str text, size_t i)
{
    struct str rest = {text.ptr + i, text.len - i};
    switch ((unsigned char)rest.ptr[0]) {
    case 0xC2:
        return rest.len > 1 && (unsigned char)rest.ptr[1] < 0xA0;
    case 0xE2:
        return str_starts(rest, STR("\xE2\x80\xA8")) || str_starts(rest, STR("\xE2\x80\xA9"));
    default: // letters are no enum
        return false;
    }
}

bool fuzz_is_printable(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c < 0x20 || c == 0x7F || is_hidden(text, i)) {
            return false;
        }
    }
    return str_is_utf8(text);
}

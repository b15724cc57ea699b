#include "fuzz.h"

#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>

void fuzz_check(bool kept, const char *file, int line, const char *promise)
{
    if (!kept) {
        fprintf(stderr, "%s:%d: broken promise: %s\n", file, line, promise);
        abort();
    }
}

void fuzz_check_line(const char *line)
{
    FUZZ_CHECK(str_is_utf8(str_of(line)));
    for (const char *c = line; *c != '\0'; c++) {
        FUZZ_CHECK((unsigned char)*c >= 0x20 && *c != 0x7F);
    }
}

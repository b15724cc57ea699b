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

#include "mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *check(void *memory)
{
    if (memory == NULL) {
        fputs("imprint-sandbox: out of memory\n", stderr);
        abort();
    }
    return memory;
}

void *mem_alloc(size_t count, size_t size)
{
    return check(calloc(count > 0 ? count : 1, size));
}

void *mem_resize(void *old, size_t count, size_t size)
{
    return check(reallocarray(old, count > 0 ? count : 1, size));
}

char *mem_copy(const char *data, size_t len)
{
    char *copy = mem_alloc(len + 1, 1);
    if (len > 0) {
        memcpy(copy, data, len);
    }
    return copy;
}

char *mem_copy_string(const char *string)
{
    return string == NULL ? NULL : mem_copy(string, strlen(string));
}

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *mem_checked(void *memory)
{
    if (memory == NULL) {
        fputs("imprint-sync: out of memory\n", stderr);
        abort();
    }
    return memory;
}

void *mem_calloc(size_t count, size_t size)
{
    return mem_checked(calloc(count == 0 ? 1 : count, size == 0 ? 1 : size));
}

void *mem_resize(void *old, size_t count, size_t size)
{
    return mem_checked(reallocarray(old, count == 0 ? 1 : count, size == 0 ? 1 : size));
}

char *mem_strndup(const char *text, size_t len)
{
    char *copy = mem_calloc(len + 1, 1);
    if (len > 0) {
        memcpy(copy, text, len);
    }
    return copy;
}

char *mem_strdup(const char *text)
{
    return mem_strndup(text, strlen(text));
}

void mem_free_text(const char *text)
{
    void *memory; // a copy of the pointer, since a cast may not drop the const
    memcpy(&memory, &text, sizeof memory);
    free(memory);
}

void mem_wipe(void *bytes, size_t len)
{
    if (bytes != NULL && len > 0) {
        explicit_bzero(bytes, len);
    }
}

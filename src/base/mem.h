// Memory for our own small objects. Running out of it is not handled but ends the process with a
// line on standard error: the queue is durable and systemd starts us again. A lack of memory that
// was handled could be taken for a fault of the row or of the API, and that would last. Memory
// whose size comes from outside goes through `struct buf`, whose cap says how much may be asked
// for.
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

// Zeroed memory for `count` objects of `size` bytes; never NULL. Freed with free().
void *mem_calloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));

// realloc() for an array; the new part is not zeroed; never NULL.
void *mem_resize(void *old, size_t count, size_t size) __attribute__((returns_nonnull));

// A NUL-terminated copy of `len` bytes. Freed with free().
char *mem_strndup(const char *text, size_t len) __attribute__((returns_nonnull));
char *mem_strdup(const char *text) __attribute__((returns_nonnull));

// Frees text that was allocated and is only read since, as behind a struct str that owns its bytes.
void mem_free_text(const char *text);

// Overwrites `len` bytes so that the compiler cannot leave it out: for keys and passwords.
void mem_wipe(void *bytes, size_t len);

#endif

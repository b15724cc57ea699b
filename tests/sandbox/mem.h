/*
 * mem: memory of a test server. Running out of it ends the process: there is
 * nothing a sandbox could do instead. What is returned is freed with free().
 */
#ifndef SANDBOX_MEM_H
#define SANDBOX_MEM_H

#include <stddef.h>

/* Zeroed; never NULL. */
void *mem_alloc(size_t count, size_t size);

/* Like realloc for an array; never NULL. */
void *mem_resize(void *old, size_t count, size_t size);

/* A NUL-terminated copy. */
char *mem_copy(const char *data, size_t len);

/* NULL stays NULL. */
char *mem_copy_string(const char *string);

#endif

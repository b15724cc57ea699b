// What a fuzz target is: a program that takes any bytes and dies when a promise is broken. With
// clang's libFuzzer (preset fuzz) it makes up its inputs; in all other builds replay.c feeds it the
// committed ones, so that what was once found is tested everywhere.
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

// Called for each input; returns 0. (The name is libFuzzer's.)
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #condition);        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif

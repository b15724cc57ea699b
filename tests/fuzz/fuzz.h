// What a fuzz target is: a program that takes any bytes and dies when a promise is broken. With
// clang's libFuzzer (preset fuzz) it makes up its inputs; in all other builds replay.c feeds it the
// committed ones, so that what was once found is tested everywhere.
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Called for each input; returns 0. (The name is libFuzzer's.)
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Dies when the promise is broken.
#define FUZZ_CHECK(condition) fuzz_check((condition), __FILE__, __LINE__, #condition)
void fuzz_check(bool kept, const char *file, int line, const char *promise);

#endif

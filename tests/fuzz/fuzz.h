// What a fuzz target is: a program that takes any bytes and dies when a promise is broken. With
// clang's libFuzzer (preset fuzz) it makes up its inputs; in all other builds replay.c feeds it the
// committed ones, so that what was once found is tested everywhere.
#ifndef FUZZ_H
#define FUZZ_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Called for each input; returns 0. (The name is libFuzzer's.)
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Dies when the promise is broken.
#define FUZZ_CHECK(condition) fuzz_check((condition), __FILE__, __LINE__, #condition)
void fuzz_check(bool kept, const char *file, int line, const char *promise);

// An input as a source of choices, for targets that make something of it.
struct picks {
    const uint8_t *at;
    const uint8_t *end;
};
// The next byte; 0 behind the end.
unsigned pick(struct picks *picks);
// 0 to `count` - 1.
unsigned pick_of(struct picks *picks, unsigned count);

// UTF-8 that a terminal only prints: no control characters, those of C1 and line separators among
// them.
bool fuzz_is_printable(struct str text);

#endif

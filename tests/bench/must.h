// For the small programs of the benchmark: they measure, and end with a reason when something is
// not as it should be. Numbers are printed as one line of JSON.
#ifndef BENCH_MUST_H
#define BENCH_MUST_H

#include <stdbool.h>
#include <stdint.h>
#include <stdnoreturn.h>

noreturn void die(const char *what, const char *why);
static inline void must(bool ok, const char *what)
{
    if (!ok) {
        die(what, "failed");
    }
}
long must_number(const char *text, const char *what); // from 1

int64_t monotonic_ns(void);

// {"seconds": ..., "count": ..., "cpu_s": ..., "peak_kb": ...} of this process since `started_ns`.
void print_cost(int64_t started_ns, long count);

#endif

#include "must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

noreturn void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

long must_number(const char *text, const char *what)
{
    char *end = NULL;
    long number = strtol(text, &end, 10);
    if (end == text || *end != '\0' || number < 1) {
        die(what, "is a number from 1");
    }
    return number;
}

int64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

// Not ru_maxrss: that begins with what the process was before exec.
static long peak_kb(void)
{
    static const char label[] = "VmHWM:";
    char line[256];
    long peak = 0;
    FILE *status = fopen("/proc/self/status", "re");
    must(status != NULL, "/proc/self/status");
    while (fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, label, sizeof label - 1) == 0) {
            peak = strtol(line + sizeof label - 1, NULL, 10);
        }
    }
    (void)fclose(status);
    return peak;
}

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

void print_cost(int64_t started_ns, long count)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"seconds\": %.6f, \"count\": %ld, \"cpu_s\": %.6f, \"peak_kb\": %ld}\n",
           (double)(monotonic_ns() - started_ns) / 1e9, count,
           seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime), peak_kb());
}

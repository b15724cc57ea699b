// The clocks. Durations and deadlines count on CLOCK_BOOTTIME, which goes on in suspend (a lease
// must end for a machine that slept); wall time only prints and maps. Domain code reads neither:
// it gets `now` as a parameter, read once per turn of the event loop.
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#define CLOCK_NS_PER_US INT64_C(1000)
#define CLOCK_NS_PER_MS INT64_C(1000000)
#define CLOCK_NS_PER_SEC INT64_C(1000000000)

int64_t clock_now_ns(void);  // CLOCK_BOOTTIME
int64_t clock_wall_ns(void); // since 1970-01-01 00:00:00 UTC

#endif

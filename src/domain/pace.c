#include "domain/pace.h"

void pace_begin(struct pace *pace, int64_t now)
{
    pace->full_ns = (pace->full_ns > now ? pace->full_ns : now) + pace->every_ns;
}

int64_t pace_next_ns(const struct pace *pace)
{
    return pace->full_ns - (int64_t)(pace->burst - 1) * pace->every_ns;
}

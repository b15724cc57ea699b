#include "domain/scale.h"

#include <math.h>
#include <stddef.h>

enum { SCALE_LINES = 5 };

double scale_step(double top)
{
    static const double factors[] = {1, 2, 5, 10};
    if (!(top > 0)) {
        return 1;
    }
    double power = pow(10, floor(log10(top / SCALE_LINES)));
    size_t i = 0;
    while (i < 3 && top / (factors[i] * power) > SCALE_LINES) {
        i++;
    }
    return factors[i] * power;
}

int64_t scale_time_step_s(int64_t span_s, int ticks)
{
    static const int64_t steps[] = {1,      2,      5,       10,      15,      30,
                                    60,     120,    300,     600,     900,     1800,
                                    3600,   7200,   10800,   21600,   43200,   86400,
                                    172800, 604800, 1209600, 2419200, 7257600, 31536000};
    size_t i = 0;
    while (i + 1 < sizeof steps / sizeof steps[0] && span_s / steps[i] > ticks) {
        i++;
    }
    return steps[i];
}

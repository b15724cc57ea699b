#include "rate.h"

#include "clock.h"

void rate_init(struct rate *rate, double per_sec, double burst, int64_t now_ns)
{
    *rate = (struct rate){.per_sec = per_sec, .burst = burst < 1 ? 1 : burst, .at_ns = now_ns};
    rate->tokens = rate->burst;
}

static void refill(struct rate *rate, int64_t now_ns)
{
    if (now_ns <= rate->at_ns) {
        return;
    }
    double elapsed_s = (double)(now_ns - rate->at_ns) / (double)CLOCK_NS_PER_SEC;
    rate->at_ns = now_ns;
    rate->tokens += elapsed_s * rate->per_sec;
    if (rate->tokens > rate->burst) {
        rate->tokens = rate->burst;
    }
}

bool rate_take(struct rate *rate, int64_t now_ns, int64_t *wait_ns)
{
    *wait_ns = 0;
    if (rate->per_sec <= 0) {
        return true;
    }
    refill(rate, now_ns);
    if (rate->tokens >= 1) {
        rate->tokens -= 1;
        return true;
    }
    *wait_ns = (int64_t)((1 - rate->tokens) / rate->per_sec * (double)CLOCK_NS_PER_SEC) + 1;
    return false;
}

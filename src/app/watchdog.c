#include "app/watchdog.h"

#include "base/clock.h"
#include "base/mem.h"
#include "io/service.h"

#include <stdlib.h>

// Four looks in the time after which systemd ends the process, but not less often than this.
enum { WATCHDOG_LOOKS = 4 };
#define WATCHDOG_LOOK_NS (5 * CLOCK_NS_PER_SEC)

struct watchdog {
    struct loop *loop;
    struct log *log;
    struct loop_timer *timer;
    int64_t every_ns;
    int64_t next_ns;
    struct pulse pulse;
    enum pulse_duty stuck;
};

static void watchdog_on_timer(void *ctx)
{
    (void)ctx; // the turn's end does the work
}

static void watchdog_plan(struct watchdog *watchdog, int64_t at_ns)
{
    watchdog->next_ns = at_ns;
    loop_timer_set(watchdog->timer, at_ns);
}

struct watchdog *watchdog_create(struct loop *loop, struct log *log)
{
    struct watchdog *watchdog = mem_calloc(1, sizeof *watchdog);
    int64_t every_ns = service_watchdog_ns() / WATCHDOG_LOOKS;
    watchdog->loop = loop;
    watchdog->log = log;
    watchdog->every_ns = every_ns > 0 && every_ns < WATCHDOG_LOOK_NS ? every_ns : WATCHDOG_LOOK_NS;
    watchdog->timer = loop_timer_open(loop, watchdog_on_timer, watchdog);
    pulse_init(&watchdog->pulse);
    watchdog_plan(watchdog, 0);
    return watchdog;
}

void watchdog_destroy(struct watchdog *watchdog)
{
    if (watchdog != NULL) {
        loop_timer_close(watchdog->timer);
        free(watchdog);
    }
}

bool watchdog_is_due(const struct watchdog *watchdog)
{
    return loop_now_ns(watchdog->loop) >= watchdog->next_ns;
}

static void watchdog_log(struct watchdog *watchdog, enum pulse_duty stuck)
{
    if (stuck == PULSE_DUTY_NONE) {
        log_event(watchdog->log, LOG_LEVEL_INFO, "daemon.moving",
                  LOG_TEXT("reason", pulse_duty_name(watchdog->stuck)));
    } else {
        log_event(watchdog->log, LOG_LEVEL_ERROR, "daemon.stuck",
                  LOG_TEXT("reason", pulse_duty_name(stuck)),
                  LOG_I64("overdue_s", watchdog->pulse.overdue_ns / CLOCK_NS_PER_SEC));
    }
}

void watchdog_look(struct watchdog *watchdog, const struct pulse_facts *facts)
{
    int64_t now = loop_now_ns(watchdog->loop);
    enum pulse_duty stuck = pulse_look(&watchdog->pulse, facts, now);
    if (stuck != watchdog->stuck) {
        watchdog_log(watchdog, stuck);
        watchdog->stuck = stuck;
    }
    if (stuck == PULSE_DUTY_NONE) {
        service_alive();
    }
    watchdog_plan(watchdog, now + watchdog->every_ns);
}

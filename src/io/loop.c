#include "io/loop.h"

#include "base/clock.h"
#include "base/mem.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-event.h>

enum { LOOP_SIGNALS = 8 };

struct loop_signal {
    loop_signal_fn fn;
    void *ctx;
};

struct loop {
    sd_event *event;
    loop_turn_fn turn_fn;
    void *turn_ctx;
    struct loop_signal signals[LOOP_SIGNALS];
    size_t signal_count;
};

struct loop_watch {
    sd_event_source *source;
    loop_watch_fn fn;
    void *ctx;
};

struct loop_timer {
    sd_event_source *source;
    loop_timer_fn fn;
    void *ctx;
};

struct loop *loop_create(struct err *err)
{
    struct loop *loop = mem_calloc(1, sizeof *loop);
    int rc = sd_event_new(&loop->event);
    if (rc < 0) {
        free(loop);
        err_set(err, ERR_KIND_INTERNAL, "cannot make an event loop: %s", strerror(-rc));
        return NULL;
    }
    return loop;
}

void loop_destroy(struct loop *loop)
{
    if (loop != NULL) {
        sd_event_unref(loop->event);
        free(loop);
    }
}

bool loop_run(struct loop *loop, struct err *err)
{
    int rc = sd_event_loop(loop->event);
    return rc >= 0 || err_set(err, ERR_KIND_INTERNAL, "event loop: %s", strerror(-rc));
}

void loop_quit(struct loop *loop)
{
    sd_event_exit(loop->event, 0);
}

bool loop_run_until(struct loop *loop, const bool *done, struct err *err)
{
    int rc = 0;
    while (!*done && rc >= 0) {
        rc = sd_event_run(loop->event, UINT64_MAX);
    }
    return rc >= 0 || err_set(err, ERR_KIND_INTERNAL, "event loop: %s", strerror(-rc));
}

int64_t loop_now_ns(const struct loop *loop)
{
    uint64_t now_us = 0;
    int rc = sd_event_now(loop->event, CLOCK_BOOTTIME, &now_us);
    assert(rc >= 0);
    (void)rc;
    return (int64_t)now_us * CLOCK_NS_PER_US;
}

static int loop_on_io(sd_event_source *source, int fd, uint32_t ready, void *userdata)
{
    (void)source;
    (void)fd;
    struct loop_watch *watch = userdata;
    watch->fn(watch->ctx, ready);
    return 0;
}

struct loop_watch *loop_watch_open(struct loop *loop, int fd, uint32_t events, loop_watch_fn fn,
                                   void *ctx)
{
    struct loop_watch *watch = mem_calloc(1, sizeof *watch);
    watch->fn = fn;
    watch->ctx = ctx;
    int rc = sd_event_add_io(loop->event, &watch->source, fd, events, loop_on_io, watch);
    assert(rc >= 0); // a valid descriptor of a kind that epoll takes
    (void)rc;
    return watch;
}

void loop_watch_events(struct loop_watch *watch, uint32_t events)
{
    sd_event_source_set_io_events(watch->source, events);
}

void loop_watch_close(struct loop_watch *watch)
{
    if (watch != NULL) {
        // Disabled first: inside its own callback the source lives on until that returns.
        sd_event_source_set_enabled(watch->source, SD_EVENT_OFF);
        sd_event_source_unref(watch->source);
        free(watch);
    }
}

static int loop_on_time(sd_event_source *source, uint64_t usec, void *userdata)
{
    (void)source;
    (void)usec;
    struct loop_timer *timer = userdata;
    timer->fn(timer->ctx);
    return 0;
}

struct loop_timer *loop_timer_open(struct loop *loop, loop_timer_fn fn, void *ctx)
{
    struct loop_timer *timer = mem_calloc(1, sizeof *timer);
    timer->fn = fn;
    timer->ctx = ctx;
    // Accuracy 1 us: sd-event's default of 250 ms would be felt by the rate.
    int rc =
        sd_event_add_time(loop->event, &timer->source, CLOCK_BOOTTIME, 0, 1, loop_on_time, timer);
    assert(rc >= 0);
    (void)rc;
    sd_event_source_set_enabled(timer->source, SD_EVENT_OFF);
    return timer;
}

void loop_timer_set(struct loop_timer *timer, int64_t at_ns)
{
    // Rounded up: a timer that fires too early finds nothing to do and spins.
    uint64_t at_us = at_ns <= 0 ? 0 : ((uint64_t)at_ns + 999) / 1000;
    sd_event_source_set_time(timer->source, at_us);
    sd_event_source_set_enabled(timer->source, SD_EVENT_ONESHOT);
}

void loop_timer_unset(struct loop_timer *timer)
{
    sd_event_source_set_enabled(timer->source, SD_EVENT_OFF);
}

void loop_timer_close(struct loop_timer *timer)
{
    if (timer != NULL) {
        sd_event_source_set_enabled(timer->source, SD_EVENT_OFF);
        sd_event_source_unref(timer->source);
        free(timer);
    }
}

static int loop_on_post(sd_event_source *source, void *userdata)
{
    (void)source;
    struct loop *loop = userdata;
    loop->turn_fn(loop->turn_ctx);
    return 0;
}

void loop_on_turn(struct loop *loop, loop_turn_fn fn, void *ctx)
{
    bool first = loop->turn_fn == NULL;
    loop->turn_fn = fn;
    loop->turn_ctx = ctx;
    if (first) {
        int rc = sd_event_add_post(loop->event, NULL, loop_on_post, loop);
        assert(rc >= 0);
        (void)rc;
    }
}

static int loop_on_signalfd(sd_event_source *source, const struct signalfd_siginfo *info,
                            void *userdata)
{
    (void)source;
    struct loop_signal *handler = userdata;
    handler->fn(handler->ctx, (int)info->ssi_signo);
    return 0;
}

bool loop_on_signal(struct loop *loop, int signal_number, loop_signal_fn fn, void *ctx,
                    struct err *err)
{
    assert(loop->signal_count < LOOP_SIGNALS);
    struct loop_signal *handler = &loop->signals[loop->signal_count++];
    *handler = (struct loop_signal){.fn = fn, .ctx = ctx};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal_number);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int rc = sd_event_add_signal(loop->event, NULL, signal_number, loop_on_signalfd, handler);
    return rc >= 0 ||
           err_set(err, ERR_KIND_INTERNAL, "signal %d: %s", signal_number, strerror(-rc));
}

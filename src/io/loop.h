// The event loop: sd-event of libsystemd, in the few forms that the daemon needs. One thread; every
// callback runs to its end before the next. `loop_now_ns` is read once per turn, and passed down as
// `now` to code that needs the time.
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;

struct loop *loop_create(struct err *err);
void loop_destroy(struct loop *loop); // after everything made from it

// Runs until loop_quit is called; false when the loop itself failed.
bool loop_run(struct loop *loop, struct err *err) MUST_CHECK;
void loop_quit(struct loop *loop);
// Runs turn by turn until `*done`, which a callback sets: for commands that do one thing after the
// other.
bool loop_run_until(struct loop *loop, const bool *done, struct err *err) MUST_CHECK;

// CLOCK_BOOTTIME at the beginning of this turn.
int64_t loop_now_ns(const struct loop *loop);

// A file descriptor; `events` and `ready` are EPOLLIN, EPOLLOUT, ... The descriptor stays the
// caller's, and must be open until the watch is closed.
struct loop_watch;
typedef void (*loop_watch_fn)(void *ctx, uint32_t ready);
struct loop_watch *loop_watch_open(struct loop *loop, int fd, uint32_t events, loop_watch_fn fn,
                                   void *ctx);
void loop_watch_events(struct loop_watch *watch, uint32_t events);
void loop_watch_close(struct loop_watch *watch); // NULL is fine; allowed in its own callback

// A timer that is unset until loop_timer_set, and again after it has fired.
struct loop_timer;
typedef void (*loop_timer_fn)(void *ctx);
struct loop_timer *loop_timer_open(struct loop *loop, loop_timer_fn fn, void *ctx);
// At `at_ns` on the loop's clock, never before; past times fire in the next turn.
void loop_timer_set(struct loop_timer *timer, int64_t at_ns);
void loop_timer_unset(struct loop_timer *timer);
void loop_timer_close(struct loop_timer *timer);

// Runs once at the end of each turn in which anything happened.
typedef void (*loop_turn_fn)(void *ctx);
void loop_on_turn(struct loop *loop, loop_turn_fn fn, void *ctx);

// Blocks the signal for the process and calls `fn` from the loop instead.
typedef void (*loop_signal_fn)(void *ctx, int signal_number);
bool loop_on_signal(struct loop *loop, int signal_number, loop_signal_fn fn, void *ctx,
                    struct err *err) MUST_CHECK;

#endif

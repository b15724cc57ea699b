#include "app/lessor.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdlib.h>

enum { LESSOR_BEATS = 5 }; // in one lease

struct lessor {
    struct lessor_parts parts;
    struct loop_timer *timer;
    bool ready;
    bool asking;
    bool asked;
    bool draining;
    int64_t asked_ns;
    int64_t next_ns;
    struct lease_wish wish; // of the heartbeat under way
};

static void lessor_on_timer(void *ctx)
{
    (void)ctx; // the turn's end does the work
}

struct lessor *lessor_create(const struct lessor_parts *parts)
{
    struct lessor *lessor = mem_calloc(1, sizeof *lessor);
    lessor->parts = *parts;
    lessor->timer = loop_timer_open(parts->loop, lessor_on_timer, lessor);
    return lessor;
}

void lessor_destroy(struct lessor *lessor)
{
    if (lessor != NULL) {
        loop_timer_close(lessor->timer);
        free(lessor);
    }
}

static void lessor_report(const struct lessor *lessor, const struct lease_change *change,
                          const char *reason)
{
    int64_t held = (int64_t)lease_held(lessor->parts.lease);
    struct log *log = lessor->parts.log;
    if (change->acquired_count > 0) {
        log_event(log, LOG_LEVEL_INFO, "lease.acquire",
                  LOG_I64("slots", (int64_t)change->acquired_count), LOG_I64("held", held));
    }
    if (change->released_count > 0) {
        log_event(log, LOG_LEVEL_INFO, "lease.release",
                  LOG_I64("slots", (int64_t)change->released_count), LOG_I64("held", held));
    }
    if (change->lost_count > 0) {
        log_event(log, LOG_LEVEL_WARNING, "lease.lost",
                  LOG_I64("slots", (int64_t)change->lost_count), LOG_I64("held", held),
                  LOG_TEXT("reason", reason));
    }
}

static bool lessor_can_take(const struct lessor *lessor, int64_t now)
{
    const bool busy[LEASE_SLOTS] = {false};
    struct lease_wish wish;
    lease_plan(lessor->parts.lease, busy, now, &wish);
    return wish.take_count > 0;
}

static void lessor_beat_failed(struct lessor *lessor, const struct pgconn_failure *failure,
                               int64_t now)
{
    lessor->next_ns = now + CLOCK_NS_PER_SEC;
    if (!failure->lost) {
        pgconn_log_failure(lessor->parts.log, "heartbeat", failure);
    }
}

static void lessor_on_beat(void *ctx, const struct pgconn_failure *failure,
                           const struct lease_row *rows, size_t count, int64_t last_id)
{
    struct lessor *lessor = ctx;
    struct lease *lease = lessor->parts.lease;
    int64_t now = loop_now_ns(lessor->parts.loop);
    lessor->asking = false;
    if (failure != NULL) {
        lessor_beat_failed(lessor, failure, now);
        return;
    }
    struct lease_change change;
    lease_apply(lease, &lessor->wish, rows, count, str_of(lessor->parts.instance), lessor->asked_ns,
                now, &change);
    for (size_t i = 0; i < change.acquired_count; i++) {
        lease->slots[change.acquired[i]].floor_id = last_id;
    }
    lessor_report(lessor, &change, "taken by another instance");
    relay_on_lease(lessor->parts.relay, &change);
    // What is free, or has just been given back, need not wait for the next beat; and who holds
    // nothing looks often, to take over at once.
    bool more = lessor_can_take(lessor, now);
    bool standby = lease_held(lease) == 0 && !lessor->draining;
    int64_t interval_ns = lease->lease_ns / LESSOR_BEATS;
    interval_ns = standby && interval_ns > CLOCK_NS_PER_SEC ? CLOCK_NS_PER_SEC : interval_ns;
    lessor->asked = lessor->asked || !more;
    lessor->next_ns = more ? now : now + interval_ns;
}

static bool lessor_may_give(const struct lessor *lessor)
{
    for (int i = 0; i < LEASE_SLOTS; i++) {
        if (lessor->parts.lease->slots[i].mine && !relay_slot_busy(lessor->parts.relay, i)) {
            return true;
        }
    }
    return false;
}

static void lessor_beat(struct lessor *lessor, int64_t now)
{
    bool busy[LEASE_SLOTS];
    for (int i = 0; i < LEASE_SLOTS; i++) {
        busy[i] = relay_slot_busy(lessor->parts.relay, i);
    }
    lease_plan(lessor->parts.lease, busy, now, &lessor->wish);
    lessor->asking = true;
    lessor->asked_ns = clock_now_ns(); // our deadlines count from before we asked
    outbox_heartbeat(lessor->parts.outbox, lessor->parts.lease, &lessor->wish,
                     relay_is_open(lessor->parts.relay), lessor_on_beat, lessor);
}

void lessor_pump(struct lessor *lessor)
{
    int64_t now = loop_now_ns(lessor->parts.loop);
    struct lease_change change;
    lease_expire(lessor->parts.lease, now, &change);
    if (change.lost_count > 0) {
        lessor_report(lessor, &change, "not renewed in time");
        relay_on_lease(lessor->parts.relay, &change);
    }
    if (!lessor->ready || lessor->asking) {
        return;
    }
    bool give = lessor->draining && lessor_may_give(lessor);
    if (now >= lessor->next_ns || give) {
        lessor_beat(lessor, now);
    } else {
        loop_timer_set(lessor->timer, lessor->next_ns);
    }
}

void lessor_on_ready(struct lessor *lessor)
{
    lessor->ready = true;
    lessor->asking = false;
    lessor->asked = false;
    lessor->next_ns = 0;
}

void lessor_on_lost(struct lessor *lessor)
{
    lessor->ready = false;
}

void lessor_drain(struct lessor *lessor)
{
    lessor->draining = true;
    lease_drain(lessor->parts.lease);
}

bool lessor_is_drained(const struct lessor *lessor)
{
    return lease_held(lessor->parts.lease) == 0;
}

bool lessor_has_asked(const struct lessor *lessor)
{
    return lessor->asked;
}

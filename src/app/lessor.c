#include "app/lessor.h"

#include "base/clock.h"
#include "base/mem.h"
#include "domain/peers.h"

#include <stdlib.h>
#include <string.h>

enum { LESSOR_BEATS = 5 }; // in one lease

// While slots that are due to us are another's still, and nobody may say when they are free.
#define LESSOR_LOOK_NS CLOCK_NS_PER_SEC
// Between two tries to take what was locked.
#define LESSOR_RETRY_NS (100 * CLOCK_NS_PER_MS)

struct lessor {
    struct lessor_parts parts;
    struct loop_timer *timer;
    struct peers peers;
    bool ready;
    bool asking;
    bool asked;
    int64_t asked_ns;
    int64_t heard_ns; // the last answer, or the connection
    int64_t next_ns;
    int wants;                  // as last told
    int64_t throttled_until_ns; // as last told
    struct lease_wish wish;     // of the heartbeat under way
};

static void lessor_on_timer(void *ctx)
{
    (void)ctx; // the turn's end does the work
}

struct lessor *lessor_create(const struct lessor_parts *parts)
{
    struct lessor *lessor = mem_calloc(1, sizeof *lessor);
    lessor->parts = *parts;
    lessor->wants = LEASE_SLOTS;
    lessor->timer = loop_timer_open(parts->loop, lessor_on_timer, lessor);
    peers_init(&lessor->peers, parts->lease->lease_ns);
    return lessor;
}

void lessor_destroy(struct lessor *lessor)
{
    if (lessor != NULL) {
        loop_timer_close(lessor->timer);
        free(lessor);
    }
}

// ---- what the log says ---------------------------------------------------------------------

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

// ---- shares --------------------------------------------------------------------------------

// With fewer slots than this the burst holds no whole token.
static int lessor_min_slots(const struct lessor *lessor)
{
    int64_t burst = lessor->parts.burst;
    return burst >= LEASE_SLOTS ? 1 : (int)((LEASE_SLOTS + burst - 1) / burst);
}

static int lessor_wants(const struct lessor *lessor)
{
    const struct relay *relay = lessor->parts.relay;
    return lease_wants(lessor->parts.lease, relay_closed_ns(relay), relay_probe_due(relay),
                       lessor_min_slots(lessor));
}

static int lessor_share(const struct lessor *lessor, int64_t now)
{
    return peers_share(&lessor->peers, str_of(lessor->parts.instance), lessor_wants(lessor),
                       lessor_min_slots(lessor), now);
}

static void lessor_busy(const struct lessor *lessor, bool busy[LEASE_SLOTS])
{
    for (int i = 0; i < LEASE_SLOTS; i++) {
        busy[i] = relay_slot_busy(lessor->parts.relay, i);
    }
}

// What a heartbeat at `now` would take or let go of.
static struct lease_wish lessor_foresee(const struct lessor *lessor, int64_t now)
{
    bool busy[LEASE_SLOTS];
    lessor_busy(lessor, busy);
    struct lease lease = *lessor->parts.lease;
    struct lease_wish wish;
    struct lease_change change;
    lease_plan(&lease, lessor_share(lessor, now), busy, now, &wish, &change);
    return wish;
}

// ---- answers -------------------------------------------------------------------------------

static void lessor_beat_failed(struct lessor *lessor, const struct pgconn_failure *failure,
                               int64_t now)
{
    lessor->next_ns = now + CLOCK_NS_PER_SEC;
    lessor->throttled_until_ns = 0; // to be told again
    if (!failure->lost) {
        outbox_log_failure(lessor->parts.outbox, lessor->parts.log, "heartbeat", failure);
    }
}

static int64_t lessor_earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// When to beat again.
static void lessor_schedule(struct lessor *lessor, int64_t now)
{
    const struct lease *lease = lessor->parts.lease;
    int64_t interval_ns = lease->lease_ns / LESSOR_BEATS;
    int64_t next_ns = now + interval_ns;
    const struct lease_wish wish = lessor_foresee(lessor, now);
    if (wish.take_count + wish.give_count > 0) {
        // At once, unless that is just what was tried.
        bool tried = lessor->wish.take_count + lessor->wish.give_count > 0;
        next_ns = tried ? now + LESSOR_RETRY_NS : now;
    } else {
        lessor->asked = true;
        next_ns = lessor_earlier(next_ns, lease_next_ns(lease));
        if ((int)lease_held(lease) < lessor_share(lessor, now)) {
            next_ns = lessor_earlier(next_ns, now + LESSOR_LOOK_NS);
        }
    }
    lessor->next_ns = next_ns;
}

static void lessor_on_beat(void *ctx, const struct pgconn_failure *failure,
                           const struct outbox_beaten *beaten)
{
    struct lessor *lessor = ctx;
    struct lease *lease = lessor->parts.lease;
    // Read here and not when the turn began: the answer may show a renewal of this very moment,
    // and the wait for others' slots counts from when they were seen.
    int64_t now = clock_now_ns();
    lessor->asking = false;
    lessor->heard_ns = now;
    if (failure != NULL) {
        lessor_beat_failed(lessor, failure, now);
        return;
    }
    // A pause that is on already must be known before the first slot is ours.
    relay_on_pool(lessor->parts.relay, beaten->paused_ns, beaten->throttled_ns);
    peers_see(&lessor->peers, beaten->peers, beaten->peer_count, now);
    lease_on_peers(lease, peers_longest_lease_ns(&lessor->peers));
    struct lease_change change;
    lease_apply(lease, &lessor->wish, beaten->leases, beaten->lease_count,
                str_of(lessor->parts.instance), lessor->asked_ns, now, &change);
    for (size_t i = 0; i < change.acquired_count; i++) {
        lease->slots[change.acquired[i]].floor_id = beaten->last_id;
    }
    lessor_report(lessor, &change, "taken by another instance");
    relay_on_lease(lessor->parts.relay, &change);
    lessor_schedule(lessor, now);
}

// ---- asking --------------------------------------------------------------------------------

static void lessor_beat(struct lessor *lessor, int64_t now)
{
    struct lease *lease = lessor->parts.lease;
    bool busy[LEASE_SLOTS];
    struct lease_change change;
    lessor_busy(lessor, busy);
    lease_plan(lease, lessor_share(lessor, now), busy, now, &lessor->wish, &change);
    lessor_report(lessor, &change, "");
    relay_on_lease(lessor->parts.relay, &change);

    const struct peer *gone[PEERS_MAX];
    int64_t throttled_until_ns = relay_throttled_until_ns(lessor->parts.relay);
    bool throttled = throttled_until_ns > now && throttled_until_ns != lessor->throttled_until_ns;
    lessor->throttled_until_ns = throttled_until_ns;
    lessor->wants = lessor_wants(lessor);
    const struct outbox_beat beat = {
        .lease = lease,
        .wish = &lessor->wish,
        .wants = lessor->wants,
        .yields = lessor->parts.yields,
        .pool_open = relay_is_open(lessor->parts.relay),
        .throttle_ns = throttled ? throttled_until_ns - now : 0,
        .gone = gone,
        .gone_count = peers_gone(&lessor->peers, str_of(lessor->parts.instance), now, gone),
    };
    lessor->asking = true;
    lessor->asked_ns = clock_now_ns(); // our deadlines count from before we asked
    outbox_heartbeat(lessor->parts.outbox, &beat, lessor_on_beat, lessor);
}

// A draining slot of which nothing is in flight any more.
static bool lessor_may_give(const struct lessor *lessor)
{
    const struct lease *lease = lessor->parts.lease;
    for (int i = 0; i < LEASE_SLOTS; i++) {
        const struct lease_slot *slot = &lease->slots[i];
        if (slot->mine && (slot->draining || lease->leaving) &&
            !relay_slot_busy(lessor->parts.relay, i)) {
            return true;
        }
    }
    return false;
}

// What the other instances should hear at once.
static bool lessor_has_news(const struct lessor *lessor, int64_t now)
{
    int64_t throttled_until_ns = relay_throttled_until_ns(lessor->parts.relay);
    return lessor_may_give(lessor) || lessor_wants(lessor) != lessor->wants ||
           (throttled_until_ns > now && throttled_until_ns != lessor->throttled_until_ns);
}

void lessor_expire(struct lessor *lessor)
{
    struct lease_change change;
    lease_expire(lessor->parts.lease, loop_now_ns(lessor->parts.loop), &change);
    if (change.lost_count > 0) {
        lessor_report(lessor, &change, "not renewed in time");
        relay_on_lease(lessor->parts.relay, &change);
    }
}

void lessor_pump(struct lessor *lessor)
{
    int64_t now = loop_now_ns(lessor->parts.loop);
    if (!lessor->ready || lessor->asking) {
        return;
    }
    if (now >= lessor->next_ns || (lessor->asked && lessor_has_news(lessor, now))) {
        lessor_beat(lessor, now);
    } else {
        loop_timer_set(lessor->timer, lessor->next_ns);
    }
}

// ---- what happens around it ----------------------------------------------------------------

void lessor_set_burst(struct lessor *lessor, int64_t burst)
{
    lessor->parts.burst = burst;
    lessor->next_ns = 0;
}

void lessor_on_ready(struct lessor *lessor, bool new_history)
{
    lessor->ready = true;
    lessor->asking = false;
    lessor->asked = false;
    lessor->heard_ns = loop_now_ns(lessor->parts.loop);
    lessor->next_ns = 0;
    memset(&lessor->wish, 0, sizeof lessor->wish);
    if (new_history) {
        lease_on_new_history(lessor->parts.lease, clock_now_ns());
    }
}

void lessor_on_lost(struct lessor *lessor)
{
    lessor->ready = false;
}

void lessor_on_notify(struct lessor *lessor)
{
    lessor->next_ns = 0;
}

void lessor_drain(struct lessor *lessor)
{
    lease_drain(lessor->parts.lease);
    lessor->next_ns = 0;
}

bool lessor_is_drained(const struct lessor *lessor)
{
    return lease_owed(lessor->parts.lease, loop_now_ns(lessor->parts.loop)) == 0 && !lessor->asking;
}

void lessor_tell(const struct lessor *lessor, struct pulse_facts *facts)
{
    facts->heartbeat_call_ns = lessor->ready && lessor->asking ? lessor->asked_ns : 0;
    facts->heard_ns = lessor->heard_ns;
    facts->beat_every_ns = lessor->parts.lease->lease_ns / LESSOR_BEATS;
}

bool lessor_has_asked(const struct lessor *lessor)
{
    return lessor->asked;
}

// The heartbeat, and what it brings from the other instances.
#include "base/clock.h"
#include "base/mem.h"
#include "io/outbox.h"
#include "io/outbox_internal.h"
#include "io/pgarray.h"

#include <stdlib.h>
#include <unistd.h>

// The statements of a heartbeat, in order.
enum { BEAT_LEASES, BEAT_LAST_ID, BEAT_PEERS, BEAT_POOL };

static const char outbox_beat_leases[] =
    "SELECT slot, holder, epoch, renewals FROM imprint_sync.heartbeat("
    "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, "
    "$20)";

// Behind the taking: rows up to here may have been sent by the owner before.
static const char outbox_beat_last_id[] = "SELECT last_value FROM imprint_sync.outbox_id_seq";

// An order that is the same for all.
static const char outbox_beat_peers[] =
    "SELECT i.id, i.beats, i.wants, i.lease_ms, i.kind = 'backfill' FROM "
    "imprint_sync.instance AS i ORDER BY i.started_at, i.id LIMIT 128";

// Times as what is left of them, on the database's clock alone.
static const char outbox_beat_pool[] =
    "SELECT CASE WHEN p.paused_until = 'infinity' THEN -1 WHEN p.paused_until > clock_timestamp()"
    "  THEN ceil(extract(epoch FROM p.paused_until - clock_timestamp()) * 1000) ELSE 0 END::int8,"
    " CASE WHEN p.throttled_until > clock_timestamp() AND p.throttled_by <> $1"
    "  THEN ceil(extract(epoch FROM p.throttled_until - clock_timestamp()) * 1000) ELSE 0 END::int8"
    " FROM imprint_sync.pool AS p";

static void outbox_read_leases(const struct pgrows *rows, struct lease_row list[LEASE_SLOTS],
                               struct outbox_beaten *beaten)
{
    beaten->lease_count = pgrows_count(rows) < LEASE_SLOTS ? pgrows_count(rows) : LEASE_SLOTS;
    beaten->leases = list;
    for (size_t i = 0; i < beaten->lease_count; i++) {
        list[i] = (struct lease_row){.slot = (int)pgrows_int64(rows, i, 0),
                                     .holder = str_of(pgrows_text(rows, i, 1)),
                                     .epoch = pgrows_int64(rows, i, 2),
                                     .renewals = pgrows_int64(rows, i, 3)};
    }
}

static void outbox_read_peers(const struct pgrows *rows, struct peer_row list[PEERS_MAX],
                              struct outbox_beaten *beaten)
{
    beaten->peer_count = pgrows_count(rows) < PEERS_MAX ? pgrows_count(rows) : PEERS_MAX;
    beaten->peers = list;
    for (size_t i = 0; i < beaten->peer_count; i++) {
        list[i] = (struct peer_row){.id = str_of(pgrows_text(rows, i, 0)),
                                    .beats = pgrows_int64(rows, i, 1),
                                    .wants = (int)pgrows_int64(rows, i, 2),
                                    .lease_ns = pgrows_int64(rows, i, 3) * CLOCK_NS_PER_MS,
                                    .yields = pgrows_bool(rows, i, 4)};
    }
}

static void outbox_on_beat(void *ctx, const struct pgconn_failure *failure,
                           const struct pgrows *const *rows)
{
    struct outbox_call *call = ctx;
    struct lease_row leases[LEASE_SLOTS];
    struct peer_row peers[PEERS_MAX];
    struct outbox_beaten beaten = {.last_id = 0};
    if (failure == NULL) {
        outbox_read_leases(rows[BEAT_LEASES], leases, &beaten);
        outbox_read_peers(rows[BEAT_PEERS], peers, &beaten);
        beaten.last_id = pgrows_int64(rows[BEAT_LAST_ID], 0, 0);
        int64_t paused_ms = pgrows_int64(rows[BEAT_POOL], 0, 0);
        beaten.paused_ns = paused_ms < 0 ? INT64_MAX : paused_ms * CLOCK_NS_PER_MS;
        beaten.throttled_ns = pgrows_int64(rows[BEAT_POOL], 0, 1) * CLOCK_NS_PER_MS;
    }
    call->beat(call->ctx, failure, failure == NULL ? &beaten : NULL);
    free(call);
}

static void outbox_beat_slots(struct pgjob *job, const int *slots, size_t count)
{
    struct pgarray array;
    pgarray_init(&array);
    for (size_t i = 0; i < count; i++) {
        pgarray_add_int64(&array, slots[i]);
    }
    pgjob_param(job, pgarray_take(&array));
}

enum outbox_beat_number { BEAT_EPOCH, BEAT_SEEN_EPOCH, BEAT_SEEN_RENEWALS };

static void outbox_beat_numbers(struct pgjob *job, const struct lease *lease, const int *slots,
                                size_t count, enum outbox_beat_number which)
{
    struct pgarray array;
    pgarray_init(&array);
    for (size_t i = 0; i < count; i++) {
        const struct lease_slot *slot = &lease->slots[slots[i]];
        pgarray_add_int64(&array, which == BEAT_EPOCH        ? slot->epoch
                                  : which == BEAT_SEEN_EPOCH ? slot->seen_epoch
                                                             : slot->seen_renewals);
    }
    pgjob_param(job, pgarray_take(&array));
}

static void outbox_beat_wish(struct pgjob *job, const struct lease *lease,
                             const struct lease_wish *wish)
{
    outbox_beat_slots(job, wish->keep, wish->keep_count);
    outbox_beat_numbers(job, lease, wish->keep, wish->keep_count, BEAT_EPOCH);
    outbox_beat_slots(job, wish->take, wish->take_count);
    outbox_beat_numbers(job, lease, wish->take, wish->take_count, BEAT_SEEN_EPOCH);
    outbox_beat_numbers(job, lease, wish->take, wish->take_count, BEAT_SEEN_RENEWALS);
    outbox_beat_slots(job, wish->give, wish->give_count);
    outbox_beat_numbers(job, lease, wish->give, wish->give_count, BEAT_SEEN_EPOCH);
}

static void outbox_beat_gone(struct pgjob *job, const struct outbox_beat *beat)
{
    struct pgarray ids;
    struct pgarray beats;
    pgarray_init(&ids);
    pgarray_init(&beats);
    for (size_t i = 0; i < beat->gone_count; i++) {
        pgarray_add_text(&ids, str_of(beat->gone[i]->id));
        pgarray_add_int64(&beats, beat->gone[i]->beats);
    }
    pgjob_param(job, pgarray_take(&ids));
    pgjob_param(job, pgarray_take(&beats));
}

void outbox_heartbeat(struct outbox *outbox, const struct outbox_beat *beat, outbox_beat_fn done,
                      void *ctx)
{
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    struct pgjob *job =
        outbox_job(outbox, outbox_on_beat, (struct outbox_call){.beat = done, .ctx = ctx});
    pgjob_statement(job, outbox_beat_leases);
    pgjob_param_text(job, outbox->instance);
    pgjob_param_text(job, host);
    pgjob_param_int64(job, getpid());
    pgjob_param_text(job, beat->yields ? "backfill" : "run");
    pgjob_param_text(job, outbox->version);
    pgjob_param_text(job, beat->pool_open ? "true" : "false");
    outbox_beat_wish(job, beat->lease, beat->wish);
    pgjob_param_int64(job, beat->wants);
    outbox_beat_gone(job, beat);
    pgjob_param_int64(job, beat->throttle_ns / CLOCK_NS_PER_MS);
    pgjob_param_text(job, outbox->system_id);
    pgjob_param_text(job, outbox->timeline);
    pgjob_param_int64(job, beat->lease->lease_ns / CLOCK_NS_PER_MS);
    pgjob_statement(job, outbox_beat_last_id);
    pgjob_statement(job, outbox_beat_peers);
    pgjob_statement(job, outbox_beat_pool);
    pgjob_param_text(job, outbox->instance);
    pgconn_submit(outbox->conn, job);
}

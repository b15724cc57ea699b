#include "app/settler.h"

#include "base/clock.h"
#include "base/mem.h"
#include "domain/verdict.h"

#include <stdlib.h>

enum { SETTLER_MAX = 500 }; // updates in one settle
// A settle that failed for no fault of its own.
#define SETTLER_PAUSE_NS (200 * CLOCK_NS_PER_MS)
// An outcome whose rows somebody has locked.
#define SETTLER_LOCKED_NS (5 * CLOCK_NS_PER_SEC)

struct settler {
    struct settler_parts parts;
    struct update *batch[SETTLER_MAX]; // under way
    size_t batch_count;
    size_t batch_max; // halved while a batch fails with a data error
    bool without_texts;
    int64_t after_ns;
    int64_t locked_ns; // when one that was locked out has its next turn
    int64_t began_ns;
};

struct settler *settler_create(const struct settler_parts *parts)
{
    struct settler *settler = mem_calloc(1, sizeof *settler);
    settler->parts = *parts;
    settler->batch_max = SETTLER_MAX;
    return settler;
}

void settler_destroy(struct settler *settler)
{
    free(settler);
}

static int64_t settler_earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// ---- what the log says of an update --------------------------------------------------------

void settler_log_outcome(struct log *log, const struct update *update, const char *type,
                         const char *param, const char *reason)
{
    static const struct {
        enum log_level level;
        const char *event;
    } events[] = {
        [UPDATE_OUTCOME_UNTOUCHED] = {LOG_LEVEL_DEBUG, "update.held"},
        [UPDATE_OUTCOME_DONE] = {LOG_LEVEL_DEBUG, "update.done"},
        [UPDATE_OUTCOME_UNCHANGED] = {LOG_LEVEL_DEBUG, "update.unchanged"},
        [UPDATE_OUTCOME_RETRY] = {LOG_LEVEL_WARNING, "update.retry"},
        [UPDATE_OUTCOME_DEAD] = {LOG_LEVEL_ERROR, "update.dead"},
    };
    if (!log_wants(log, events[update->outcome].level)) {
        return; // mostly: nothing is put together for it
    }
    bool retry = update->outcome == UPDATE_OUTCOME_RETRY;
    // What is no id may be anything, an e-mail address say.
    bool id = update_id_is_valid(str_of(update->customer_id));
    struct log_field fields[] = {
        LOG_TEXT("customer_id", id ? update->customer_id : "(invalid)"),
        LOG_I64("id", update->row_count == 0 ? 0 : update->row_ids[update->row_count - 1]),
        LOG_I64("rows", (int64_t)update->row_count),
        LOG_I64("attempts", update->attempts + (retry ? 1 : 0)),
        LOG_I64(update->http_status != 0 ? "http_status" : NULL, update->http_status),
        LOG_TEXT(reason[0] != '\0' ? "reason" : NULL, reason),
        LOG_TEXT(type[0] != '\0' ? "type" : NULL, type),
        LOG_TEXT(param[0] != '\0' ? "param" : NULL, param),
        LOG_I64(retry ? "retry_in_ms" : NULL, update->retry_after_ns / CLOCK_NS_PER_MS),
    };
    log_write(log, events[update->outcome].level, events[update->outcome].event, fields,
              sizeof fields / sizeof fields[0]);
}

// What was settled without a request: intake fixed its outcome, and gave a reason without values.
static void settler_log_unsent(struct settler *settler, const struct update *update)
{
    settler_log_outcome(settler->parts.log, update, "", "",
                        update->error == NULL ? "" : update->error);
}

// An outcome that was a while in coming: of an answer that seemed to be everyone's at first.
static void settler_log_charged(struct settler *settler, const struct update *update)
{
    const struct verdict *verdict = update->charge;
    settler_log_outcome(settler->parts.log, update, verdict->type, verdict->param,
                        verdict->reason == NULL ? "" : verdict->reason);
}

// ---- settling ------------------------------------------------------------------------------

static void settler_failed(struct settler *settler, const struct pgconn_failure *failure)
{
    size_t count = settler->batch_count;
    settler->batch_count = 0;
    if (failure->lost) {
        return; // kept, and written once the database is back
    }
    bool data = pgconn_failed_with(failure, "21") || pgconn_failed_with(failure, "22") ||
                pgconn_failed_with(failure, "23") || pgconn_failed_with(failure, "54");
    // One row that somebody has locked must not hold up the others.
    bool locked = pgconn_failed_with(failure, "55P03") || pgconn_failed_with(failure, "57014");
    if (data && count > 1) {
        settler->batch_max = count / 2;
        return;
    }
    if (data && !settler->without_texts) {
        settler->without_texts = true;
        return;
    }
    // 40001, 40P01, 53100 and the like: nothing is wrong with the outcomes.
    int64_t now = loop_now_ns(settler->parts.loop);
    settler->after_ns = now + SETTLER_PAUSE_NS;
    if (locked && count > 1) {
        settler->batch_max = count / 2;
    } else if (locked) {
        settler->batch[0]->settle_after_ns = now + SETTLER_LOCKED_NS;
    }
    outbox_log_failure(settler->parts.outbox, settler->parts.log, "settle", failure);
}

// Another owns the slot now: the settle wrote nothing, but has the customer sent once more.
static void settler_log_late(struct settler *settler, const struct update *update)
{
    log_event(settler->parts.log, LOG_LEVEL_WARNING, "update.late",
              LOG_TEXT("customer_id", update->customer_id),
              LOG_TEXT("reason", "the lease went before the answer came: sent once more"));
}

static void settler_finish(struct settler *settler, struct update *update, bool more, int64_t now)
{
    if (update->rest_until_ns > now) {
        updates_move(settler->parts.updates, update, UPDATE_STATE_RESTING);
        return;
    }
    bool untouched = update->outcome == UPDATE_OUTCOME_UNTOUCHED;
    if (untouched) {
        refill_reread(settler->parts.refill, update->slot);
    } else if (more) {
        refill_want(settler->parts.refill, update->key);
    }
    updates_move(settler->parts.updates, update, UPDATE_STATE_GONE);
}

// What was told when its answer came is not told again.
static void settler_tell_settled(struct settler *settler, const struct update *update)
{
    if (update->charge != NULL) {
        settler_log_charged(settler, update);
    } else if (update->started_ns == 0) {
        settler_log_unsent(settler, update);
    } else {
        return;
    }
    settler->parts.stats->unchanged += update->outcome == UPDATE_OUTCOME_UNCHANGED;
    settler->parts.stats->retried += update->outcome == UPDATE_OUTCOME_RETRY;
    settler->parts.stats->dead += update->outcome == UPDATE_OUTCOME_DEAD;
}

static void settler_on_settled(void *ctx, const struct pgconn_failure *failure,
                               const struct outbox_settled *settled)
{
    struct settler *settler = ctx;
    int64_t now = loop_now_ns(settler->parts.loop);
    if (failure != NULL) {
        settler_failed(settler, failure);
        return;
    }
    settler->parts.stats->db_ns = now - settler->began_ns;
    settler->without_texts = false;
    settler->batch_max =
        settler->batch_max * 2 < SETTLER_MAX ? settler->batch_max * 2 : SETTLER_MAX;
    size_t count = settler->batch_count;
    settler->batch_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct update *update = settler->batch[i];
        if (!settled->lost[i]) {
            settler_tell_settled(settler, update);
        } else if (update->sent) {
            settler_log_late(settler, update);
        }
        settler_finish(settler, update, settled->more[i], now);
    }
}

// The next batch, in order; one that was locked out makes a batch of its own.
static size_t settler_collect(struct settler *settler, int64_t now)
{
    size_t count = 0;
    settler->locked_ns = INT64_MAX;
    for (struct update *at = updates_first(settler->parts.updates, UPDATE_STATE_SETTLING);
         at != NULL && count < settler->batch_max; at = updates_next(settler->parts.updates, at)) {
        if (at->settle_after_ns == 0) {
            settler->batch[count++] = at;
        } else if (at->settle_after_ns > now) {
            settler->locked_ns = settler_earlier(settler->locked_ns, at->settle_after_ns);
        } else if (count == 0) {
            settler->batch[0] = at;
            return 1;
        }
    }
    return count;
}

void settler_pump(struct settler *settler, bool ready, int64_t now)
{
    if (!ready || settler->batch_count > 0 || now < settler->after_ns) {
        return;
    }
    size_t count = settler_collect(settler, now);
    if (count == 0) {
        return;
    }
    settler->batch_count = count;
    settler->began_ns = now;
    outbox_settle(settler->parts.outbox, settler->batch, count, !settler->without_texts,
                  settler_on_settled, settler);
}

int64_t settler_next_ns(const struct settler *settler, int64_t now)
{
    int64_t after_ns = settler->after_ns > now ? settler->after_ns : INT64_MAX;
    int64_t locked_ns = settler->locked_ns > now ? settler->locked_ns : INT64_MAX;
    return settler_earlier(after_ns, locked_ns);
}

void settler_tell(const struct settler *settler, struct pulse_facts *facts)
{
    int64_t now = loop_now_ns(settler->parts.loop);
    facts->unsettled = updates_count(settler->parts.updates, UPDATE_STATE_SETTLING);
    facts->settle_call_ns = settler->batch_count > 0 ? settler->began_ns : 0;
    facts->settle_due_ns = settler_next_ns(settler, now);
}

// Poll, fold, settle: the three calls that move updates.
#include "io/outbox.h"

#include "base/clock.h"
#include "base/mem.h"
#include "io/outbox_internal.h"
#include "io/pgarray.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static char *outbox_copy(const char *text)
{
    return text == NULL ? NULL : mem_strdup(text);
}

struct outbox *outbox_create(struct pgconn *conn, const struct outbox_options *options)
{
    struct outbox *outbox = mem_calloc(1, sizeof *outbox);
    outbox->conn = conn;
    outbox->instance = mem_strdup(options->instance);
    outbox->version = mem_strdup(options->version);
    outbox->timeout_ns = options->timeout_ns;
    outbox->fold_hold_thin = outbox_sql_fold_without(false);
    outbox->fold_no_source = outbox_sql_fold_without(true);
    outbox_reconfigure(outbox, options);
    return outbox;
}

static void outbox_drop_options(struct outbox *outbox)
{
    free(outbox->settle);
    free(outbox->source_type);
    free(outbox->source_name);
    free(outbox->find_source);
    free(outbox->fold_with_source);
    free(outbox->source_key);
    free(outbox->source_relation);
}

void outbox_reconfigure(struct outbox *outbox, const struct outbox_options *options)
{
    outbox_drop_options(outbox);
    outbox->source_relation = outbox_copy(options->source_relation);
    outbox->source_key = outbox_copy(options->source_key);
    outbox->mapping = options->mapping;
    outbox->delete_done = options->delete_done;
    outbox->fold_with_source = NULL; // made by hello, which knows the type of the key
    outbox->find_source = NULL;
    outbox->settle = outbox_sql_settle(options->delete_done);
    outbox->source_name = NULL;
    outbox->source_type = NULL;
}

void outbox_destroy(struct outbox *outbox)
{
    if (outbox != NULL) {
        outbox_drop_options(outbox);
        free(outbox->timeline);
        free(outbox->system_id);
        free(outbox->fold_no_source);
        free(outbox->fold_hold_thin);
        free(outbox->version);
        free(outbox->instance);
        free(outbox);
    }
}

struct pgjob *outbox_job(const struct outbox *outbox, pgjob_done_fn on_done,
                         struct outbox_call call)
{
    struct outbox_call *copy = mem_calloc(1, sizeof *copy);
    *copy = call;
    return pgjob_create(outbox->timeout_ns, on_done, copy);
}

// So few customers that planning a statement for them takes longer than running it.
enum { OUTBOX_FEW = 16 };

static void outbox_statement_for(struct pgjob *job, const char *sql, size_t count)
{
    if (count <= OUTBOX_FEW) {
        // A plan that is made once must not depend on how large the tables were then.
        pgjob_plan_settings(job, outbox_sql_by_index);
        pgjob_prepared(job, sql);
    } else {
        pgjob_statement(job, sql);
    }
}

// ---- what fails ----------------------------------------------------------------------------

#define OUTBOX_SAY_AGAIN_NS (60 * CLOCK_NS_PER_SEC)

static struct outbox_trouble *outbox_trouble_of(struct outbox *outbox, const char *during)
{
    struct outbox_trouble *at = outbox->troubles;
    while (at->during != NULL && strcmp(at->during, during) != 0) {
        at++;
        assert(at < outbox->troubles + OUTBOX_TROUBLES);
    }
    at->during = during;
    return at;
}

void outbox_log_failure(struct outbox *outbox, struct log *log, const char *during,
                        const struct pgconn_failure *failure)
{
    struct outbox_trouble *trouble = outbox_trouble_of(outbox, during);
    int64_t now = clock_now_ns();
    bool same = strcmp(trouble->sqlstate, failure->sqlstate) == 0;
    if (same && trouble->said_ns != 0 && now - trouble->said_ns < OUTBOX_SAY_AGAIN_NS) {
        trouble->unsaid++;
        return;
    }
    log_event(log, LOG_LEVEL_ERROR, "db.error", LOG_TEXT("during", during),
              LOG_TEXT("reason", failure->text),
              LOG_I64(trouble->unsaid > 0 ? "unlogged" : NULL, trouble->unsaid));
    trouble->said_ns = now;
    trouble->unsaid = 0;
    memcpy(trouble->sqlstate, failure->sqlstate, sizeof trouble->sqlstate);
}

// ---- poll ----------------------------------------------------------------------------------

enum { OUTBOX_LANE_ROWS = 16 }; // of one lane in one poll

struct outbox_poll_call {
    outbox_polled_fn done;
    void *ctx;
    int64_t limit;
    size_t lane_count;
    size_t sweep_count;
    struct outbox_lane_read *lanes; // lane_count + sweep_count of them
};

static const char outbox_poll_clock[] = "SELECT (extract(epoch FROM now()) * 1000000)::int8";
// A crash of the server ends the connection, and all is declared anew: COMMIT need not wait.
static const char outbox_poll_idle[] =
    "SELECT set_config('synchronous_commit', 'off', true),"
    " imprint_sync.idle(CASE WHEN $1 = 0 THEN 0"
    " ELSE ceil(extract(epoch FROM clock_timestamp()))::int8 + $1::int8 END)";
// ORDER BY repeats the whole index: with less of it the planner has been seen to walk the primary
// key instead. date_part is exact to the microsecond until 2100, and not numeric as extract.
static const char outbox_poll_probe[] =
    "SELECT p.n, r.id, (date_part('epoch', r.due_at) * 1000000)::int8, r.key"
    " FROM unnest($1::int8[], $2::int2[], $3::int2[], $4::timestamptz[], $5::int8[],"
    "  $6::timestamptz[], $7::int8[]) AS p (n, slot, priority, from_due, from_id, to_due, to_id)"
    " CROSS JOIN LATERAL ("
    "  SELECT o.id, o.due_at, o.priority, lower(o.customer_id COLLATE \"C\") AS key"
    "  FROM imprint_sync.outbox AS o"
    "  WHERE o.status = 'pending' AND o.slot = p.slot AND o.priority = p.priority"
    "   AND (o.due_at, o.id) > (p.from_due, p.from_id) AND (o.due_at, o.id) <= (p.to_due, p.to_id)"
    "   AND o.due_at <= now() AND lower(o.customer_id COLLATE \"C\") <> ALL ($8::text[])"
    "   AND ($9::bool IS FALSE OR o.payload IS NOT NULL)"
    "  ORDER BY o.slot, o.priority, o.due_at, o.id LIMIT $10) AS r"
    " ORDER BY r.priority, r.due_at, r.id LIMIT $11";

struct outbox_keys {
    const char **list;
    size_t count;
    size_t room;
};

static bool outbox_keys_have(const struct outbox_keys *keys, const char *key)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (strcmp(keys->list[i], key) == 0) {
            return true;
        }
    }
    return false;
}

static void outbox_keys_add(struct outbox_keys *keys, const char *key)
{
    if (keys->count < keys->room && !outbox_keys_have(keys, key)) {
        keys->list[keys->count++] = key;
    }
}

// Rows come ordered within their lane, and the limit cuts all lanes at one place of the common
// order: so what came of a lane is its beginning.
static void outbox_poll_read(const struct outbox_poll_call *call, const struct pgrows *rows,
                             struct outbox_keys *keys)
{
    size_t total = call->lane_count + call->sweep_count;
    size_t count = pgrows_count(rows);
    int64_t *found = mem_calloc(total, sizeof *found);
    for (size_t i = 0; i < count; i++) {
        size_t lane = (size_t)pgrows_int64(rows, i, 0);
        assert(lane < total);
        call->lanes[lane].last = (struct cursor_place){.due_us = pgrows_int64(rows, i, 2),
                                                       .id = pgrows_int64(rows, i, 1)};
        found[lane]++;
        outbox_keys_add(keys, pgrows_text(rows, i, 3));
    }
    bool cut = (int64_t)count >= call->limit;
    for (size_t lane = 0; lane < total; lane++) {
        call->lanes[lane].exhausted = !cut && found[lane] < OUTBOX_LANE_ROWS;
    }
    free(found);
}

static void outbox_on_polled(void *ctx, const struct pgconn_failure *failure,
                             const struct pgrows *const *rows)
{
    struct outbox_poll_call *call = ctx;
    if (failure != NULL) {
        call->done(call->ctx, failure, NULL);
    } else {
        // The clock's statement stands second, or behind the one that declares idleness.
        const struct pgrows *probe = rows[3] != NULL ? rows[3] : rows[2];
        const struct pgrows *clock = rows[3] != NULL ? rows[2] : rows[1];
        struct outbox_keys keys = {.room = pgrows_count(probe)};
        keys.list = mem_calloc(keys.room, sizeof *keys.list);
        outbox_poll_read(call, probe, &keys);
        const struct outbox_polled polled = {.now_us = pgrows_int64(clock, 0, 0),
                                             .lanes = call->lanes,
                                             .sweep = call->lanes + call->lane_count,
                                             .keys = keys.list,
                                             .key_count = keys.count};
        call->done(call->ctx, NULL, &polled);
        free(keys.list);
    }
    free(call->lanes);
    free(call);
}

struct outbox_lane_arrays {
    struct pgarray n, slot, priority, from_due, from_id, to_due, to_id;
};

static void outbox_add_lane(struct outbox_lane_arrays *arrays, size_t n,
                            const struct outbox_lane *lane)
{
    pgarray_add_int64(&arrays->n, (int64_t)n);
    pgarray_add_int64(&arrays->slot, (int64_t)(lane->lane / CURSOR_PRIORITIES));
    pgarray_add_int64(&arrays->priority, (int64_t)(lane->lane % CURSOR_PRIORITIES));
    pgarray_add_time(&arrays->from_due, lane->from.due_us);
    pgarray_add_int64(&arrays->from_id, lane->from.id);
    pgarray_add_time(&arrays->to_due, lane->to.due_us);
    pgarray_add_int64(&arrays->to_id, lane->to.id);
}

static void outbox_add_lanes(struct pgjob *job, const struct outbox_poll *poll,
                             struct outbox_poll_call *call)
{
    struct outbox_lane_arrays arrays;
    struct pgarray *const all[] = {&arrays.n,        &arrays.slot,    &arrays.priority,
                                   &arrays.from_due, &arrays.from_id, &arrays.to_due,
                                   &arrays.to_id};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        pgarray_init(all[i]);
    }
    for (size_t i = 0; i < poll->lane_count + poll->sweep_count; i++) {
        const struct outbox_lane *lane =
            i < poll->lane_count ? &poll->lanes[i] : &poll->sweep[i - poll->lane_count];
        outbox_add_lane(&arrays, i, lane);
        call->lanes[i] = (struct outbox_lane_read){.lane = lane->lane, .last = lane->from};
    }
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        pgjob_param(job, pgarray_take(all[i]));
    }
}

static char *outbox_text_array(const char *const *texts, size_t count)
{
    struct pgarray array;
    pgarray_init(&array);
    for (size_t i = 0; i < count; i++) {
        pgarray_add_text(&array, str_of(texts[i]));
    }
    return pgarray_take(&array);
}

void outbox_poll(struct outbox *outbox, const struct outbox_poll *poll, outbox_polled_fn done,
                 void *ctx)
{
    struct outbox_poll_call *call = mem_calloc(1, sizeof *call);
    *call = (struct outbox_poll_call){.done = done,
                                      .ctx = ctx,
                                      .limit = poll->limit,
                                      .lane_count = poll->lane_count,
                                      .sweep_count = poll->sweep_count};
    call->lanes = mem_calloc(poll->lane_count + poll->sweep_count, sizeof *call->lanes);
    // In the job as a whole, as a statement without a name is planned like those with one: only a
    // list that stands in the plan is hashed, and any other is gone through for each row.
    void (*add)(struct pgjob *, const char *) =
        poll->skip_count <= OUTBOX_FEW ? pgjob_prepared : pgjob_statement;
    struct pgjob *job = pgjob_create(outbox->timeout_ns, outbox_on_polled, call);
    // After an ANALYZE over a long queue the planner has been seen to read and sort each lane as a
    // whole, for sixteen rows of it.
    add(job, outbox_sql_walk);
    if (poll->idle_for_s >= 0) {
        // Before the last look, so that what commits behind it wakes us.
        add(job, outbox_poll_idle);
        pgjob_param_int64(job, poll->idle_for_s);
    }
    add(job, outbox_poll_clock);
    add(job, outbox_poll_probe);
    outbox_add_lanes(job, poll, call);
    pgjob_param(job, outbox_text_array(poll->skip, poll->skip_count));
    pgjob_param_text(job, poll->skip_thin ? "true" : "false");
    pgjob_param_int64(job, OUTBOX_LANE_ROWS);
    pgjob_param_int64(job, poll->limit);
    pgconn_submit(outbox->conn, job);
}

// ---- fold ----------------------------------------------------------------------------------

// Columns of the fold's result.
enum outbox_fold_column {
    FOLD_KEY,
    FOLD_ID,
    FOLD_SLOT,
    FOLD_ATTEMPTS,
    FOLD_THIN,
    FOLD_TOO_BIG,
    FOLD_PAYLOAD,
    FOLD_FIRST,
    FOLD_CUSTOMER_ID,
    FOLD_PRIORITY,
    FOLD_AGE_US,
    FOLD_SOURCE_COUNT,
    FOLD_SOURCE,
    FOLD_DEAD_IDS,
    FOLD_STATE_HASH,
};

static struct str outbox_cell(const struct pgrows *rows, size_t row, enum outbox_fold_column column)
{
    return (struct str){pgrows_text(rows, row, (int)column), pgrows_length(rows, row, (int)column)};
}

static struct outbox_row outbox_read_row(const struct pgrows *rows, size_t i)
{
    return (struct outbox_row){.id = pgrows_int64(rows, i, FOLD_ID),
                               .attempts = pgrows_int64(rows, i, FOLD_ATTEMPTS),
                               .thin = pgrows_bool(rows, i, FOLD_THIN),
                               .too_big = pgrows_bool(rows, i, FOLD_TOO_BIG),
                               .payload = outbox_cell(rows, i, FOLD_PAYLOAD)};
}

// What its first row tells of a customer.
static struct outbox_customer outbox_read_customer(const struct pgrows *rows, size_t i,
                                                   const struct outbox_row *first)
{
    return (struct outbox_customer){
        .key = outbox_cell(rows, i, FOLD_KEY),
        .slot = (int)pgrows_int64(rows, i, FOLD_SLOT),
        .priority = (int)pgrows_int64(rows, i, FOLD_PRIORITY),
        .rows = first,
        .source_count = pgrows_int64(rows, i, FOLD_SOURCE_COUNT),
        .source = outbox_cell(rows, i, FOLD_SOURCE),
        .dead_ids = outbox_cell(rows, i, FOLD_DEAD_IDS),
        .state_hash = outbox_cell(rows, i, FOLD_STATE_HASH),
    };
}

// The newest row's spelling, the most urgent priority, the oldest age.
static void outbox_add_to_customer(struct outbox_customer *customer, const struct pgrows *rows,
                                   size_t i, const struct outbox_row *row)
{
    int priority = (int)pgrows_int64(rows, i, FOLD_PRIORITY);
    int64_t age_ns = pgrows_int64(rows, i, FOLD_AGE_US) * CLOCK_NS_PER_US;
    customer->customer_id = outbox_cell(rows, i, FOLD_CUSTOMER_ID);
    customer->priority = priority < customer->priority ? priority : customer->priority;
    customer->age_ns =
        age_ns > customer->age_ns || customer->row_count == 0 ? age_ns : customer->age_ns;
    customer->thin = customer->thin || row->thin;
    customer->row_count++;
}

static void outbox_on_folded(void *ctx, const struct pgconn_failure *failure,
                             const struct pgrows *const *results)
{
    struct outbox_call *call = ctx;
    if (failure != NULL) {
        call->folded(call->ctx, failure, NULL, 0);
        free(call);
        return;
    }
    const struct pgrows *rows = results[0];
    size_t count = pgrows_count(rows);
    size_t customers = 0;
    struct outbox_row *list = mem_calloc(count, sizeof *list);
    struct outbox_customer *folded = mem_calloc(count, sizeof *folded);
    for (size_t i = 0; i < count; i++) {
        list[i] = outbox_read_row(rows, i);
        if (pgrows_bool(rows, i, FOLD_FIRST)) {
            folded[customers++] = outbox_read_customer(rows, i, &list[i]);
        }
        assert(customers > 0); // ordered: a customer's first row comes first
        outbox_add_to_customer(&folded[customers - 1], rows, i, &list[i]);
    }
    call->folded(call->ctx, NULL, folded, customers);
    free(folded);
    free(list);
    free(call);
}

static const char *outbox_fold_sql(const struct outbox *outbox, enum outbox_fold_mode mode)
{
    switch (mode) {
    case OUTBOX_FOLD_SOURCE:
        return outbox->fold_with_source != NULL ? outbox->fold_with_source : outbox->fold_hold_thin;
    case OUTBOX_FOLD_HOLD_THIN:
        return outbox->fold_hold_thin;
    case OUTBOX_FOLD_NO_SOURCE:
        return outbox->fold_no_source;
    }
    return outbox->fold_hold_thin;
}

void outbox_fold(struct outbox *outbox, const char *const *keys, size_t count,
                 enum outbox_fold_mode mode, outbox_folded_fn done, void *ctx)
{
    struct pgjob *job =
        outbox_job(outbox, outbox_on_folded, (struct outbox_call){.folded = done, .ctx = ctx});
    outbox_statement_for(job, outbox_fold_sql(outbox, mode), count);
    pgjob_param(job, outbox_text_array(keys, count));
    pgjob_param_text(job, outbox->system_id);
    pgjob_param_text(job, outbox->timeline);
    pgconn_submit(outbox->conn, job);
}

// ---- settle --------------------------------------------------------------------------------

struct outbox_settle_call {
    outbox_settled_fn done;
    void *ctx;
    size_t count;
};

static const char outbox_settle_more[] =
    "SELECT k.ord FROM unnest($1::text[]) WITH ORDINALITY AS k (key, ord)"
    " WHERE EXISTS (SELECT FROM imprint_sync.outbox AS o"
    "  WHERE o.status <> 'done' AND (o.status = 'pending') IS TRUE"
    "   AND lower(o.customer_id COLLATE \"C\") = k.key AND o.due_at <= clock_timestamp())";

static void outbox_mark(const struct pgrows *rows, bool *marks, size_t count)
{
    for (size_t i = 0; i < pgrows_count(rows); i++) {
        int64_t ord = pgrows_int64(rows, i, 0);
        assert(ord >= 1 && (size_t)ord <= count);
        marks[ord - 1] = true;
    }
    (void)count;
}

static void outbox_on_settled(void *ctx, const struct pgconn_failure *failure,
                              const struct pgrows *const *rows)
{
    struct outbox_settle_call *call = ctx;
    if (failure != NULL) {
        call->done(call->ctx, failure, NULL);
    } else {
        bool *lost = mem_calloc(call->count, sizeof *lost);
        bool *more = mem_calloc(call->count, sizeof *more);
        outbox_mark(rows[0], lost, call->count);
        outbox_mark(rows[1], more, call->count);
        const struct outbox_settled settled = {.more = more, .lost = lost};
        call->done(call->ctx, NULL, &settled);
        free(more);
        free(lost);
    }
    free(call);
}

static const char *outbox_outcome_name(enum update_outcome outcome)
{
    switch (outcome) {
    case UPDATE_OUTCOME_UNTOUCHED:
        return "none";
    case UPDATE_OUTCOME_DONE:
    case UPDATE_OUTCOME_UNCHANGED:
        return "done";
    case UPDATE_OUTCOME_RETRY:
        return "retry";
    case UPDATE_OUTCOME_DEAD:
        return "dead";
    }
    return "none";
}

// One element for each customer.
struct outbox_customer_arrays {
    struct pgarray key, slot, epoch, outcome, delay_ms, http_status, error, hash, accepted_id,
        forget, spelling, sent, thin;
};

static void outbox_add_hash(struct pgarray *array, const struct update *update)
{
    if (update->outcome != UPDATE_OUTCOME_DONE || !update->remember) {
        pgarray_add_null(array);
        return;
    }
    static const char digits[] = "0123456789abcdef";
    char hex[2 * UPDATE_HASH_BYTES];
    for (size_t i = 0; i < UPDATE_HASH_BYTES; i++) {
        hex[2 * i] = digits[update->hash[i] >> 4];
        hex[2 * i + 1] = digits[update->hash[i] & 15];
    }
    pgarray_add_text(array, (struct str){hex, sizeof hex});
}

static void outbox_add_error(struct pgarray *array, const struct update *update, bool texts)
{
    if (update->outcome == UPDATE_OUTCOME_UNCHANGED) {
        pgarray_add_text(array, STR("unchanged"));
    } else if (update->error == NULL || update->outcome == UPDATE_OUTCOME_DONE) {
        pgarray_add_null(array);
    } else {
        pgarray_add_text(array,
                         texts ? str_of(update->error) : STR("(the reason could not be stored)"));
    }
}

static void outbox_add_number(struct pgarray *array, bool present, int64_t value)
{
    if (present) {
        pgarray_add_int64(array, value);
    } else {
        pgarray_add_null(array);
    }
}

static void outbox_add_customer(struct outbox_customer_arrays *arrays, const struct update *update,
                                bool texts)
{
    bool counts = update->outcome == UPDATE_OUTCOME_RETRY ||
                  (update->outcome == UPDATE_OUTCOME_DEAD && update->started_ns != 0);
    pgarray_add_text(&arrays->key, str_of(update->key));
    pgarray_add_int64(&arrays->slot, update->slot);
    pgarray_add_int64(&arrays->epoch, update->lease_epoch);
    pgarray_add_text(&arrays->outcome, str_of(outbox_outcome_name(update->outcome)));
    outbox_add_number(&arrays->delay_ms, counts, update->retry_after_ns / CLOCK_NS_PER_MS + 1);
    outbox_add_number(&arrays->http_status, update->http_status != 0, update->http_status);
    outbox_add_error(&arrays->error, update, texts);
    outbox_add_hash(&arrays->hash, update);
    pgarray_add_int64(&arrays->accepted_id,
                      update->row_count == 0 ? 0 : update->row_ids[update->row_count - 1]);
    pgarray_add_text(&arrays->forget, update->forget_state ? STR("t") : STR("f"));
    pgarray_add_text(&arrays->spelling, str_of(update->customer_id));
    pgarray_add_text(&arrays->sent, update->sent ? STR("t") : STR("f"));
    pgarray_add_text(&arrays->thin, update->has_source ? STR("t") : STR("f"));
}

// One element for each row.
struct outbox_row_arrays {
    struct pgarray id, attempts, ord, was_dead;
};

static void outbox_add_row(struct outbox_row_arrays *arrays, int64_t id, int64_t attempts,
                           size_t ord, bool was_dead)
{
    pgarray_add_int64(&arrays->id, id);
    pgarray_add_int64(&arrays->attempts, attempts);
    pgarray_add_int64(&arrays->ord, (int64_t)ord);
    pgarray_add_text(&arrays->was_dead, was_dead ? STR("t") : STR("f"));
}

static void outbox_add_rows(struct outbox_row_arrays *arrays, const struct update *update,
                            size_t ord)
{
    if (update->outcome == UPDATE_OUTCOME_UNTOUCHED) {
        return;
    }
    for (size_t i = 0; i < update->row_count; i++) {
        outbox_add_row(arrays, update->row_ids[i], update->row_attempts[i], ord, false);
    }
    if (update->outcome == UPDATE_OUTCOME_DONE && update->has_source) {
        for (size_t i = 0; i < update->dead_count; i++) {
            outbox_add_row(arrays, update->dead_ids[i], 0, ord, true);
        }
    }
}

static char *outbox_update_keys(struct update *const *updates, size_t count)
{
    struct pgarray keys;
    pgarray_init(&keys);
    for (size_t i = 0; i < count; i++) {
        pgarray_add_text(&keys, str_of(updates[i]->key));
    }
    return pgarray_take(&keys);
}

static void outbox_add_params(struct pgjob *job, const struct outbox *outbox,
                              struct outbox_customer_arrays *c, struct outbox_row_arrays *r)
{
    struct pgarray *const customers[] = {&c->key,         &c->slot,        &c->epoch, &c->outcome,
                                         &c->delay_ms,    &c->http_status, &c->error, &c->hash,
                                         &c->accepted_id, &c->forget};
    struct pgarray *const rows[] = {&r->id, &r->attempts, &r->ord, &r->was_dead};
    struct pgarray *const late[] = {&c->spelling, &c->sent, &c->thin};
    for (size_t i = 0; i < sizeof customers / sizeof customers[0]; i++) {
        pgjob_param(job, pgarray_take(customers[i]));
    }
    pgjob_param_text(job, outbox->instance);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        pgjob_param(job, pgarray_take(rows[i]));
    }
    pgjob_param_text(job, outbox->system_id);
    pgjob_param_text(job, outbox->timeline);
    for (size_t i = 0; i < sizeof late / sizeof late[0]; i++) {
        pgjob_param(job, pgarray_take(late[i]));
    }
}

static void outbox_init_arrays(struct outbox_customer_arrays *c, struct outbox_row_arrays *r)
{
    struct pgarray *const all[] = {
        &c->key,  &c->slot,        &c->epoch,       &c->outcome, &c->delay_ms, &c->error,
        &c->hash, &c->http_status, &c->accepted_id, &c->forget,  &c->spelling, &c->sent,
        &c->thin, &r->id,          &r->attempts,    &r->ord,     &r->was_dead};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        pgarray_init(all[i]);
    }
}

void outbox_settle(struct outbox *outbox, struct update *const *updates, size_t count, bool texts,
                   outbox_settled_fn done, void *ctx)
{
    struct outbox_settle_call *call = mem_calloc(1, sizeof *call);
    *call = (struct outbox_settle_call){.done = done, .ctx = ctx, .count = count};
    struct outbox_customer_arrays customers;
    struct outbox_row_arrays rows;
    outbox_init_arrays(&customers, &rows);
    for (size_t i = 0; i < count; i++) {
        outbox_add_customer(&customers, updates[i], texts);
        outbox_add_rows(&rows, updates[i], i + 1);
    }
    struct pgjob *job = pgjob_create(outbox->timeout_ns, outbox_on_settled, call);
    outbox_statement_for(job, outbox->settle, count);
    outbox_add_params(job, outbox, &customers, &rows);
    outbox_statement_for(job, outbox_settle_more, count);
    pgjob_param(job, outbox_update_keys(updates, count));
    pgconn_submit(outbox->conn, job);
}

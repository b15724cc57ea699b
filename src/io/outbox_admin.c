// The calls of the outbox around the updates: hello, LISTEN, counts, pruning, watches.
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "io/outbox.h"
#include "io/outbox_internal.h"
#include "io/pgarray.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// ---- hello: three jobs, each of which needs to know what the one before found -----------------

struct outbox_hello_call {
    struct outbox *outbox;
    outbox_hello_fn done;
    void *ctx;
    struct outbox_hello hello;
};

static const char outbox_hello_look[] =
    "SELECT pg_backend_pid(), to_regclass('imprint_sync.schema_version') IS NOT NULL";

static const char outbox_hello_schema[] =
    "SELECT (SELECT coalesce(max(version), 0) FROM imprint_sync.schema_version),"
    " (SELECT last_value FROM imprint_sync.outbox_id_seq)";

// The relation by the name in the configuration, and its key column with the type below domains.
static const char outbox_hello_source[] =
    "SELECT format('%I.%I', n.nspname, r.relname), r.relkind,"
    " format_type(t.oid, NULL), t.typcategory"
    " FROM pg_class AS r JOIN pg_namespace AS n ON n.oid = r.relnamespace"
    " LEFT JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attname = $2 AND a.attnum > 0"
    "  AND NOT a.attisdropped"
    " LEFT JOIN LATERAL (WITH RECURSIVE d AS ("
    "   SELECT b.oid, b.typtype, b.typbasetype FROM pg_type AS b WHERE b.oid = a.atttypid"
    "   UNION ALL SELECT b.oid, b.typtype, b.typbasetype FROM d JOIN pg_type AS b"
    "    ON d.typtype = 'd' AND b.oid = d.typbasetype"
    "  ) SELECT d.oid FROM d WHERE d.typtype <> 'd') AS base ON true"
    " LEFT JOIN pg_type AS t ON t.oid = base.oid"
    " WHERE r.oid = to_regclass($1)";

// When we vanish without a word, the server would keep the session and its locks for two hours.
// Through a pooler the session is not ours to set up.
static const char outbox_hello_keepalive[] =
    "SELECT set_config(s.name, s.value, false) FROM (VALUES ('tcp_keepalives_idle', '10'),"
    " ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'),"
    " ('tcp_user_timeout', '15s')) AS s (name, value)";

// The cluster and its history line: what was accepted before a restore or a failover proves
// nothing.
static const char outbox_hello_identity[] =
    "SELECT (SELECT system_identifier::text FROM pg_control_system()),"
    " substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)";

bool outbox_schema_is_right(const struct outbox_hello *hello, struct err *err)
{
    long long version = hello->schema_version;
    switch (hello->schema) {
    case OUTBOX_SCHEMA_RIGHT:
        return true;
    case OUTBOX_SCHEMA_MISSING:
        return err_set(err, ERR_KIND_CONFIG,
                       "the database has no schema imprint_sync: run `imprint-sync migrate`");
    case OUTBOX_SCHEMA_OLD:
        return err_set(err, ERR_KIND_CONFIG,
                       "the schema imprint_sync has version %lld, this program needs %d: run "
                       "`imprint-sync migrate`",
                       version, OUTBOX_SCHEMA_VERSION);
    case OUTBOX_SCHEMA_NEW:
        break;
    }
    return err_set(err, ERR_KIND_CONFIG,
                   "the schema imprint_sync has version %lld, this program knows only %d: install "
                   "the newer imprint-sync",
                   version, OUTBOX_SCHEMA_VERSION);
}

const char *outbox_source_reason(enum outbox_source source)
{
    switch (source) {
    case OUTBOX_SOURCE_NONE:
        return "no source is configured";
    case OUTBOX_SOURCE_READY:
        return "ready";
    case OUTBOX_SOURCE_MISSING:
        return "source.relation does not exist";
    case OUTBOX_SOURCE_NO_COLUMN:
        return "source.customer_id is no column of source.relation";
    case OUTBOX_SOURCE_WRONG_TYPE:
        return "the type of the column source.customer_id cannot hold an Imprint id (uuid, text "
               "and integers can)";
    case OUTBOX_SOURCE_WRONG_KIND:
        return "source.relation is a materialized view or foreign table, which does not show the "
               "state of this moment: use a table or a plain view";
    }
    return "unknown";
}

static void outbox_hello_end(struct outbox_hello_call *call, const struct pgconn_failure *failure)
{
    call->done(call->ctx, failure, failure == NULL ? &call->hello : NULL);
    free(call);
}

static bool outbox_differs(const char *before, const char *now)
{
    return before != NULL && now != NULL && strcmp(before, now) != 0;
}

static void outbox_on_identity(void *ctx, const struct pgconn_failure *failure,
                               const struct pgrows *const *rows)
{
    struct outbox_hello_call *call = ctx;
    if (failure != NULL && failure->lost) {
        outbox_hello_end(call, failure);
        return;
    }
    // Some servers do not offer these functions: then they never tell of a difference.
    struct outbox *outbox = call->outbox;
    char *system_id = failure != NULL ? NULL : mem_strdup(pgrows_text(rows[0], 0, 0));
    char *timeline = failure != NULL ? NULL : mem_strdup(pgrows_text(rows[0], 0, 1));
    call->hello.new_history =
        outbox_differs(outbox->system_id, system_id) || outbox_differs(outbox->timeline, timeline);
    free(outbox->system_id);
    free(outbox->timeline);
    outbox->system_id = system_id;
    outbox->timeline = timeline;
    outbox_hello_end(call, NULL);
}

static enum outbox_source outbox_read_source(struct outbox *outbox, const struct pgrows *rows)
{
    if (pgrows_count(rows) == 0) {
        return OUTBOX_SOURCE_MISSING;
    }
    const char kind = pgrows_text(rows, 0, 1)[0];
    if (kind == 'm' || kind == 'f') {
        return OUTBOX_SOURCE_WRONG_KIND;
    }
    if (pgrows_null(rows, 0, 2)) {
        return OUTBOX_SOURCE_NO_COLUMN;
    }
    char *match =
        outbox_sql_key_match(outbox->source_key, pgrows_text(rows, 0, 2), pgrows_text(rows, 0, 3));
    if (match == NULL) {
        return OUTBOX_SOURCE_WRONG_TYPE;
    }
    free(outbox->source_name);
    free(outbox->source_type);
    outbox->source_name = mem_strdup(pgrows_text(rows, 0, 0));
    outbox->source_type = mem_strdup(pgrows_text(rows, 0, 2));
    free(outbox->fold_with_source);
    outbox->fold_with_source =
        outbox_sql_fold_source(outbox->mapping, pgrows_text(rows, 0, 0), match);
    free(outbox->find_source);
    outbox->find_source = outbox_sql_find_source(outbox->mapping, pgrows_text(rows, 0, 0), match);
    free(match);
    return OUTBOX_SOURCE_READY;
}

static void outbox_on_schema(void *ctx, const struct pgconn_failure *failure,
                             const struct pgrows *const *rows)
{
    struct outbox_hello_call *call = ctx;
    struct outbox *outbox = call->outbox;
    if (failure != NULL) {
        outbox_hello_end(call, failure);
        return;
    }
    struct outbox_hello *hello = &call->hello;
    hello->schema_version = pgrows_int64(rows[0], 0, 0);
    hello->last_id = pgrows_int64(rows[0], 0, 1);
    hello->schema = hello->schema_version < OUTBOX_SCHEMA_VERSION   ? OUTBOX_SCHEMA_OLD
                    : hello->schema_version > OUTBOX_SCHEMA_VERSION ? OUTBOX_SCHEMA_NEW
                                                                    : OUTBOX_SCHEMA_RIGHT;
    hello->source =
        outbox->source_relation == NULL ? OUTBOX_SOURCE_NONE : outbox_read_source(outbox, rows[1]);
    struct pgjob *job = pgjob_create(outbox->timeout_ns, outbox_on_identity, call);
    pgjob_statement(job, outbox_hello_identity);
    pgconn_submit(outbox->conn, job);
}

static void outbox_on_look(void *ctx, const struct pgconn_failure *failure,
                           const struct pgrows *const *rows)
{
    struct outbox_hello_call *call = ctx;
    struct outbox *outbox = call->outbox;
    if (failure != NULL) {
        outbox_hello_end(call, failure);
        return;
    }
    call->hello.behind_pooler = pgrows_int64(rows[0], 0, 0) != pgconn_backend_pid(outbox->conn);
    if (!call->hello.behind_pooler) {
        pgconn_has_session(outbox->conn);
    }
    if (!pgrows_bool(rows[0], 0, 1)) {
        call->hello.schema = OUTBOX_SCHEMA_MISSING;
        outbox_hello_end(call, NULL);
        return;
    }
    struct pgjob *job = pgjob_create(outbox->timeout_ns, outbox_on_schema, call);
    pgjob_statement(job, outbox_hello_schema);
    if (outbox->source_relation != NULL) {
        pgjob_statement(job, outbox_hello_source);
        pgjob_param_text(job, outbox->source_relation);
        pgjob_param_text(job, outbox->source_key);
    }
    if (!call->hello.behind_pooler) {
        pgjob_statement(job, outbox_hello_keepalive);
    }
    pgconn_submit(outbox->conn, job);
}

void outbox_hello(struct outbox *outbox, outbox_hello_fn done, void *ctx)
{
    struct outbox_hello_call *call = mem_calloc(1, sizeof *call);
    *call = (struct outbox_hello_call){.outbox = outbox, .done = done, .ctx = ctx};
    struct pgjob *job = pgjob_create(outbox->timeout_ns, outbox_on_look, call);
    pgjob_statement(job, outbox_hello_look);
    pgconn_submit(outbox->conn, job);
}

// ---- calls without a result --------------------------------------------------------------------

static void outbox_on_done(void *ctx, const struct pgconn_failure *failure,
                           const struct pgrows *const *rows)
{
    (void)rows;
    struct outbox_call *call = ctx;
    call->done(call->ctx, failure);
    free(call);
}

void outbox_listen(struct outbox *outbox, outbox_done_fn done, void *ctx)
{
    struct pgjob *job =
        outbox_job(outbox, outbox_on_done, (struct outbox_call){.done = done, .ctx = ctx});
    pgjob_statement(job, "LISTEN imprint_sync");
    pgconn_submit(outbox->conn, job);
}

void outbox_goodbye(struct outbox *outbox, outbox_done_fn done, void *ctx)
{
    struct pgjob *job =
        outbox_job(outbox, outbox_on_done, (struct outbox_call){.done = done, .ctx = ctx});
    pgjob_statement(job, "SELECT imprint_sync.goodbye($1)");
    pgjob_param_text(job, outbox->instance);
    // Nobody is idle and listening any more.
    pgjob_statement(job, "SELECT imprint_sync.idle(0)");
    pgconn_submit(outbox->conn, job);
}

// ---- for render --------------------------------------------------------------------------------

static struct str outbox_admin_cell(const struct pgrows *rows, int column)
{
    return (struct str){pgrows_text(rows, 0, column), pgrows_length(rows, 0, column)};
}

static void outbox_on_found_source(void *ctx, const struct pgconn_failure *failure,
                                   const struct pgrows *const *rows)
{
    struct outbox_call *call = ctx;
    struct outbox_found found = {.found = false};
    if (failure == NULL) {
        found.source_count = pgrows_int64(rows[0], 0, 0);
        found.source = outbox_admin_cell(rows[0], 1);
    }
    call->found(call->ctx, failure, &found);
    free(call);
}

static void outbox_on_found_row(void *ctx, const struct pgconn_failure *failure,
                                const struct pgrows *const *rows)
{
    struct outbox_call *call = ctx;
    struct outbox_found found = {.found = failure == NULL && pgrows_count(rows[0]) == 1};
    if (found.found) {
        found.customer_id = outbox_admin_cell(rows[0], 0);
        found.thin = pgrows_null(rows[0], 0, 1);
        found.payload = outbox_admin_cell(rows[0], 1);
    }
    call->found(call->ctx, failure, &found);
    free(call);
}

void outbox_find_source(struct outbox *outbox, const char *customer_id, outbox_found_fn done,
                        void *ctx)
{
    assert(outbox->find_source != NULL);
    struct pgjob *job =
        outbox_job(outbox, outbox_on_found_source, (struct outbox_call){.found = done, .ctx = ctx});
    pgjob_statement(job, outbox->find_source);
    pgjob_param_text(job, customer_id);
    pgconn_submit(outbox->conn, job);
}

void outbox_find_row(struct outbox *outbox, int64_t id, outbox_found_fn done, void *ctx)
{
    struct pgjob *job =
        outbox_job(outbox, outbox_on_found_row, (struct outbox_call){.found = done, .ctx = ctx});
    pgjob_statement(job,
                    "SELECT customer_id, payload::text FROM imprint_sync.outbox WHERE id = $1");
    pgjob_param_int64(job, id);
    pgconn_submit(outbox->conn, job);
}

struct outbox_plan_call {
    outbox_plan_fn done;
    void *ctx;
    char *sql;
};

static void outbox_on_plan(void *ctx, const struct pgconn_failure *failure,
                           const struct pgrows *const *rows)
{
    struct outbox_plan_call *call = ctx;
    call->done(call->ctx, failure,
               failure == NULL ? outbox_admin_cell(rows[1], 0) : (struct str){.len = 0});
    free(call->sql);
    free(call);
}

// A small table is scanned, or merged as a whole, although it has an index; with these only one
// that has none is.
const char outbox_sql_by_index[] =
    "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_mergejoin', 'off', true)";

void outbox_plan_source(struct outbox *outbox, outbox_plan_fn done, void *ctx)
{
    assert(outbox->find_source != NULL);
    struct outbox_plan_call *call = mem_calloc(1, sizeof *call);
    struct buf sql;
    buf_init(&sql, OUTBOX_SQL_MAX);
    bool ok = buf_printf(&sql, "EXPLAIN (VERBOSE, FORMAT JSON) %s", outbox->find_source);
    assert(ok);
    (void)ok;
    *call = (struct outbox_plan_call){.done = done, .ctx = ctx, .sql = buf_take(&sql)};
    struct pgjob *job = pgjob_create(outbox->timeout_ns, outbox_on_plan, call);
    pgjob_statement(job, outbox_sql_by_index);
    pgjob_statement(job, call->sql);
    pgjob_param_text(job, "1");
    pgconn_submit(outbox->conn, job);
}

// ---- counts ------------------------------------------------------------------------------------

// Bounded work however long the queue is: 100,000 index entries, then the index's own estimate.
static const char outbox_count_pending[] =
    "SELECT CASE WHEN count(*) <= 100000 THEN count(*) ELSE greatest(count(*),"
    "  (SELECT reltuples::int8 FROM pg_class WHERE oid = 'imprint_sync.outbox_pending'::regclass))"
    "  END, count(*) FILTER (WHERE p.due_at <= now()), count(*) FILTER (WHERE p.attempts > 0),"
    " count(*) FILTER (WHERE p.thin)"
    " FROM (SELECT o.due_at, o.attempts, o.payload IS NULL AS thin FROM imprint_sync.outbox AS o "
    "WHERE o.status = 'pending'"
    "  ORDER BY o.slot, o.priority, o.due_at, o.id LIMIT 100001) AS p";

// Without statistics the planner expects few pending rows, and would fetch and sort them all.
const char outbox_sql_walk[] =
    "SELECT set_config('enable_sort', 'off', true), set_config('enable_bitmapscan', 'off', true),"
    " set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)";

// The first of each lane by due_at; a retry's is later than its creation, so they are looked at
// too.
static const char outbox_count_oldest[] =
    "SELECT coalesce(ceil(extract(epoch FROM now() - min(h.created_at))), 0)::int8"
    " FROM generate_series(0, 63) AS s (slot), generate_series(0, 1) AS p (priority)"
    " CROSS JOIN LATERAL (SELECT o.created_at FROM imprint_sync.outbox AS o"
    "  WHERE o.status = 'pending' AND o.slot = s.slot AND o.priority = p.priority"
    "  ORDER BY o.slot, o.priority, o.due_at, o.id LIMIT 8) AS h";

static const char outbox_count_dead[] =
    "SELECT count(*) FROM (SELECT FROM imprint_sync.outbox AS o WHERE o.status = 'dead'"
    " ORDER BY o.settled_at, o.id LIMIT 100001) AS d";

static const char outbox_count_xmin[] =
    "SELECT coalesce(max(b.age_s), 0) FROM imprint_sync.vacuum_blocker() AS b";

static void outbox_on_counts(void *ctx, const struct pgconn_failure *failure,
                             const struct pgrows *const *rows)
{
    struct outbox_call *call = ctx;
    if (failure != NULL) {
        call->counts(call->ctx, failure, NULL);
    } else {
        const struct outbox_counts counts = {.pending = pgrows_int64(rows[1], 0, 0),
                                             .due = pgrows_int64(rows[1], 0, 1),
                                             .retrying = pgrows_int64(rows[1], 0, 2),
                                             .thin = pgrows_int64(rows[1], 0, 3),
                                             .oldest_s = pgrows_int64(rows[2], 0, 0),
                                             .dead = pgrows_int64(rows[3], 0, 0),
                                             .xmin_age_s = pgrows_int64(rows[4], 0, 0)};
        call->counts(call->ctx, NULL, &counts);
    }
    free(call);
}

void outbox_count(struct outbox *outbox, outbox_counts_fn done, void *ctx)
{
    struct pgjob *job =
        outbox_job(outbox, outbox_on_counts, (struct outbox_call){.counts = done, .ctx = ctx});
    pgjob_statement(job, outbox_sql_walk);
    pgjob_statement(job, outbox_count_pending);
    pgjob_statement(job, outbox_count_oldest);
    pgjob_statement(job, outbox_count_dead);
    pgjob_statement(job, outbox_count_xmin);
    pgconn_submit(outbox->conn, job);
}

// ---- pruning -----------------------------------------------------------------------------------

static void outbox_on_pruned(void *ctx, const struct pgconn_failure *failure,
                             const struct pgrows *const *rows)
{
    struct outbox_call *call = ctx;
    bool ok = failure == NULL;
    call->pruned(call->ctx, failure, ok ? pgrows_int64(rows[0], 0, 0) : 0,
                 ok ? pgrows_int64(rows[0], 0, 1) : 0);
    free(call);
}

void outbox_prune(struct outbox *outbox, int64_t retention_ns, int64_t after, int64_t limit,
                  outbox_pruned_fn done, void *ctx)
{
    struct pgjob *job =
        outbox_job(outbox, outbox_on_pruned, (struct outbox_call){.pruned = done, .ctx = ctx});
    // Along the primary key: an index on settled_at would cost every settle. Rows that stay, dead
    // or pending, are walked over once a round. What `dead retry` must know is noted: how far
    // pruning has come.
    pgjob_statement(job, "WITH page AS MATERIALIZED ("
                         " SELECT o.id, o.status, o.settled_at FROM imprint_sync.outbox AS o"
                         " WHERE o.id > $2 ORDER BY o.id LIMIT $3"
                         "), gone AS (DELETE FROM imprint_sync.outbox AS o USING page"
                         " WHERE page.status = 'done'"
                         "  AND page.settled_at < now() - $1::int8 * interval '1 second'"
                         "  AND o.id = page.id AND o.status = 'done' RETURNING o.id"
                         "), answer AS MATERIALIZED ("
                         " SELECT (SELECT count(*) FROM gone) AS deleted,"
                         "  (SELECT CASE WHEN count(*) = $3 THEN max(id) ELSE 0 END FROM page)"
                         "   AS next"
                         "), noted AS (UPDATE imprint_sync.last_prune AS p SET"
                         "  deleted = CASE $2 WHEN 0 THEN 0 ELSE p.deleted END + a.deleted,"
                         "  kept_since = greatest(p.kept_since, CASE WHEN a.deleted > 0"
                         "   THEN now() - $1::int8 * interval '1 second' END),"
                         "  ended_at = CASE a.next WHEN 0 THEN now() ELSE p.ended_at END"
                         "  FROM answer AS a"
                         ") SELECT deleted, next FROM answer");
    pgjob_param_int64(job, retention_ns / CLOCK_NS_PER_SEC);
    pgjob_param_int64(job, after);
    pgjob_param_int64(job, limit);
    pgconn_submit(outbox->conn, job);
}

// ---- watched tables ----------------------------------------------------------------------------

static void outbox_on_watch(void *ctx, const struct pgconn_failure *failure,
                            const struct pgrows *const *rows)
{
    struct outbox_call *call = ctx;
    size_t count = failure != NULL ? 0 : pgrows_count(rows[0]);
    struct outbox_watch_fault *faults = mem_calloc(count, sizeof *faults);
    for (size_t i = 0; i < count; i++) {
        faults[i] = (struct outbox_watch_fault){.watched = pgrows_text(rows[0], i, 0),
                                                .trigger = pgrows_text(rows[0], i, 1),
                                                .problem = pgrows_text(rows[0], i, 2)};
    }
    call->watch(call->ctx, failure, faults, count);
    free(faults);
    free(call);
}

void outbox_watch_check(struct outbox *outbox, outbox_watch_fn done, void *ctx)
{
    struct pgjob *job =
        outbox_job(outbox, outbox_on_watch, (struct outbox_call){.watch = done, .ctx = ctx});
    pgjob_statement(job, "SELECT watched, trigger_name, problem FROM imprint_sync.watch_check()"
                         " LIMIT 100");
    pgconn_submit(outbox->conn, job);
}

static void outbox_on_watch_errors(void *ctx, const struct pgconn_failure *failure,
                                   const struct pgrows *const *rows)
{
    struct outbox_call *call = ctx;
    size_t count = failure != NULL ? 0 : pgrows_count(rows[0]);
    struct outbox_watch_error *errors = mem_calloc(count, sizeof *errors);
    for (size_t i = 0; i < count; i++) {
        errors[i] = (struct outbox_watch_error){.watched = pgrows_text(rows[0], i, 0),
                                                .sqlstate = pgrows_text(rows[0], i, 1),
                                                .count = pgrows_int64(rows[0], i, 2),
                                                .last_id = pgrows_int64(rows[0], i, 3)};
    }
    call->watch_errors(call->ctx, failure, errors, count);
    free(errors);
    free(call);
}

void outbox_watch_errors(struct outbox *outbox, int64_t after, outbox_watch_errors_fn done,
                         void *ctx)
{
    struct pgjob *job = outbox_job(outbox, outbox_on_watch_errors,
                                   (struct outbox_call){.watch_errors = done, .ctx = ctx});
    pgjob_statement(job, "SELECT watched_name, sqlstate, count(*), max(id)"
                         " FROM imprint_sync.watch_error WHERE id > $1 GROUP BY 1, 2 LIMIT 100");
    pgjob_param_int64(job, after);
    pgjob_statement(job, "DELETE FROM imprint_sync.watch_error WHERE id IN ("
                         " SELECT id FROM imprint_sync.watch_error"
                         " WHERE failed_at < now() - interval '7 days' ORDER BY id LIMIT 1000)");
    pgconn_submit(outbox->conn, job);
}

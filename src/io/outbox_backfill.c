#include "io/outbox_backfill.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "io/outbox_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A page goes over many rows where a condition leaves few.
#define RUN_READ_NS (60 * CLOCK_NS_PER_SEC)

// ---- the statements that depend on the source
// ----------------------------------------------------

static void run_must(bool ok)
{
    assert(ok);
    (void)ok;
}

// ` AND ...`, with the time as parameter `since_param`. The condition ends its line, for it may end
// in a comment.
static void run_sql_condition(struct buf *out, const struct outbox_scope *scope, int since_param)
{
    if (scope->since != NULL) {
        char *column = outbox_sql_identifier(scope->updated_at);
        run_must(buf_printf(out, " AND s.%s >= $%d::timestamptz", column, since_param));
        free(column);
    }
    if (scope->where != NULL) {
        run_must(buf_printf(out, " AND (%s\n)", scope->where));
    }
}

static char *run_sql_page(const struct outbox *outbox, const struct outbox_scope *scope, bool first)
{
    struct buf out;
    buf_init(&out, OUTBOX_SQL_MAX);
    char *key = outbox_sql_identifier(outbox->source_key);
    // The window first: a condition that holds for few rows must not make one page read them all.
    // Order and comparison are the column's own, so its index serves.
    run_must(buf_printf(&out,
                        "WITH w AS MATERIALIZED (SELECT row_number() OVER () AS n, x.k, x.m FROM ("
                        "SELECT s.%s AS k, (true",
                        key));
    run_sql_condition(&out, scope, 4);
    run_must(buf_printf(&out, ") IS TRUE AS m FROM %s AS s WHERE ", outbox->source_name));
    run_must(first ? buf_printf(&out, "s.%s IS NOT NULL AND $1::text IS NULL", key)
                   : buf_printf(&out, "s.%s > $1::%s", key, outbox->source_type));
    run_must(buf_printf(
        &out,
        " ORDER BY s.%s LIMIT $2::int8) AS x"
        "), t AS MATERIALIZED (SELECT w.n, w.k FROM w WHERE w.m ORDER BY w.n LIMIT $3::int8"
        "), c AS (SELECT (SELECT count(*) FROM t) AS taken, (SELECT count(*) FROM w) AS seen)"
        " SELECT ARRAY(SELECT t.k::text FROM t ORDER BY t.n)::text, c.taken,"
        "  coalesce(CASE WHEN c.taken >= $3::int8 THEN (SELECT t.k::text FROM t ORDER BY t.n DESC"
        "   LIMIT 1) ELSE (SELECT w.k::text FROM w ORDER BY w.n DESC LIMIT 1) END, $1::text),"
        "  c.taken < $3::int8 AND c.seen < $2::int8 FROM c",
        key));
    free(key);
    return buf_take(&out);
}

static char *run_sql_keys(const struct outbox *outbox, const struct outbox_scope *scope,
                          const char *head, const char *what, const char *tail)
{
    struct buf out;
    buf_init(&out, OUTBOX_SQL_MAX);
    char *key = outbox_sql_identifier(outbox->source_key);
    run_must(buf_printf(&out, "%s SELECT %s%s%s FROM %s AS s WHERE s.%s IS NOT NULL", head,
                        what == NULL ? "s." : what, what == NULL ? key : "",
                        what == NULL ? "::text" : "", outbox->source_name, key));
    run_sql_condition(&out, scope, 1);
    run_must(what != NULL || buf_printf(&out, " ORDER BY s.%s", key));
    run_must(buf_append_str(&out, str_of(tail)));
    free(key);
    return buf_take(&out);
}

char *outbox_scope_sql_count(const struct outbox *outbox, const struct outbox_scope *scope,
                             int64_t most)
{
    char tail[64];
    snprintf(tail, sizeof tail, " LIMIT %lld) AS x", (long long)most);
    return run_sql_keys(outbox, scope, "SELECT count(*) FROM (", "1", tail);
}

char *outbox_scope_sql_plan(const struct outbox *outbox, const struct outbox_scope *scope)
{
    return run_sql_keys(outbox, scope, "EXPLAIN (FORMAT JSON)", "1", "");
}

char *outbox_scope_sql_sample(const struct outbox *outbox, const struct outbox_scope *scope,
                              int64_t most)
{
    char tail[64];
    snprintf(tail, sizeof tail, " LIMIT %lld", (long long)most);
    return run_sql_keys(outbox, scope, "", NULL, tail);
}

// ---- the walk
// --------------------------------------------------------------------------------------

struct run_call {
    union {
        outbox_run_fn run;
        outbox_run_page_fn page;
        outbox_done_fn done;
        outbox_run_end_fn end;
    };
    void *ctx;
};

static struct run_call *run_call(struct run_call call)
{
    struct run_call *copy = mem_calloc(1, sizeof *copy);
    *copy = call;
    return copy;
}

static enum outbox_run_state run_state(const char *name)
{
    static const char *const names[] = {[OUTBOX_RUN_RUNNING] = "running",
                                        [OUTBOX_RUN_PAUSED] = "paused",
                                        [OUTBOX_RUN_DONE] = "done",
                                        [OUTBOX_RUN_CANCELLED] = "cancelled"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], name) == 0) {
            return (enum outbox_run_state)i;
        }
    }
    return OUTBOX_RUN_GONE;
}

static const char run_renew[] =
    "UPDATE imprint_sync.backfill_run SET holder_renewals = holder_renewals + 1,"
    " updated_at = clock_timestamp(), settled_per_s = $3::real WHERE id = $1 AND holder = $2";
static const char run_look[] =
    "SELECT state, holder IS NOT DISTINCT FROM $2, walked, position, enqueued, done, unchanged,"
    " dead, retried FROM imprint_sync.backfill_run WHERE id = $1";

static void run_on_look(void *ctx, const struct pgconn_failure *failure,
                        const struct pgrows *const *rows)
{
    struct run_call *call = ctx;
    struct outbox_run run = {.state = OUTBOX_RUN_GONE};
    const struct pgrows *row = failure != NULL ? NULL : rows[1] != NULL ? rows[1] : rows[0];
    if (row != NULL && pgrows_count(row) > 0) {
        run = (struct outbox_run){
            .state = run_state(pgrows_text(row, 0, 0)),
            .held = pgrows_bool(row, 0, 1),
            .walked = pgrows_bool(row, 0, 2),
            .position = pgrows_null(row, 0, 3) ? NULL : pgrows_text(row, 0, 3),
            .enqueued = pgrows_int64(row, 0, 4),
            .done = pgrows_int64(row, 0, 5),
            .unchanged = pgrows_int64(row, 0, 6),
            .dead = pgrows_int64(row, 0, 7),
            .retried = pgrows_int64(row, 0, 8),
        };
    }
    call->run(call->ctx, failure, failure == NULL ? &run : NULL);
    free(call);
}

void outbox_run_look(struct outbox *outbox, int64_t run_id, bool renew, double per_s,
                     outbox_run_fn done, void *ctx)
{
    struct pgjob *job = pgjob_create(outbox->timeout_ns, run_on_look,
                                     run_call((struct run_call){.run = done, .ctx = ctx}));
    if (renew) {
        char rate[32];
        snprintf(rate, sizeof rate, "%.3f", per_s);
        pgjob_statement(job, run_renew);
        pgjob_param_int64(job, run_id);
        pgjob_param_text(job, outbox->instance);
        pgjob_param_text(job, rate);
    }
    pgjob_statement(job, run_look);
    pgjob_param_int64(job, run_id);
    pgjob_param_text(job, outbox->instance);
    pgconn_submit(outbox->conn, job);
}

static void run_on_read(void *ctx, const struct pgconn_failure *failure,
                        const struct pgrows *const *rows)
{
    struct run_call *call = ctx;
    struct outbox_run_page page = {.count = 0};
    if (failure == NULL) {
        page = (struct outbox_run_page){
            .keys = pgrows_text(rows[1], 0, 0),
            .count = pgrows_int64(rows[1], 0, 1),
            .position = pgrows_null(rows[1], 0, 2) ? NULL : pgrows_text(rows[1], 0, 2),
            .walked = pgrows_bool(rows[1], 0, 3),
        };
    }
    call->page(call->ctx, failure, failure == NULL ? &page : NULL);
    free(call);
}

void outbox_run_read(struct outbox *outbox, const struct outbox_scope *scope, const char *after,
                     int64_t window, int64_t most, outbox_run_page_fn done, void *ctx)
{
    assert(outbox->source_name != NULL);
    struct pgjob *job = pgjob_create(RUN_READ_NS, run_on_read,
                                     run_call((struct run_call){.page = done, .ctx = ctx}));
    char *sql = run_sql_page(outbox, scope, after == NULL);
    pgjob_statement(job, "SET TRANSACTION READ ONLY");
    pgjob_statement(job, sql);
    pgjob_param_text(job, after);
    pgjob_param_int64(job, window);
    pgjob_param_int64(job, most);
    if (scope->since != NULL) {
        pgjob_param_text(job, scope->since);
    }
    pgconn_submit(outbox->conn, job);
    free(sql);
}

static void run_on_enqueued(void *ctx, const struct pgconn_failure *failure,
                            const struct pgrows *const *rows)
{
    (void)rows;
    struct run_call *call = ctx;
    call->done(call->ctx, failure);
    free(call);
}

void outbox_run_enqueue(struct outbox *outbox, int64_t run_id, const char *from,
                        const struct outbox_run_page *page, outbox_done_fn done, void *ctx)
{
    struct pgjob *job = pgjob_create(outbox->timeout_ns, run_on_enqueued,
                                     run_call((struct run_call){.done = done, .ctx = ctx}));
    pgjob_statement(job, "SELECT imprint_sync.backfill_page($1, $2, $3, $4, $5, $6)");
    pgjob_param_int64(job, run_id);
    pgjob_param_text(job, outbox->instance);
    pgjob_param_text(job, from);
    pgjob_param_text(job, page->position);
    pgjob_param_text(job, page->walked ? "true" : "false");
    pgjob_param_text(job, page->keys);
    pgconn_submit(outbox->conn, job);
}

#define RUN_RELEASE                                                                                \
    "UPDATE imprint_sync.backfill_run SET holder = NULL, settled_per_s = NULL,"                    \
    " updated_at = clock_timestamp(),"                                                             \
    " state = CASE state WHEN 'running' THEN 'paused' ELSE state END"                              \
    " WHERE id = $1::int8 AND holder = $2::text RETURNING 1"

const char outbox_run_release[] = RUN_RELEASE;

static const char run_finish[] =
    "UPDATE imprint_sync.backfill_run SET holder = NULL, settled_per_s = NULL, state = 'done',"
    " updated_at = clock_timestamp(), finished_at = clock_timestamp()"
    " WHERE id = $1::int8 AND holder = $2::text AND state = 'running' AND NOT EXISTS ("
    "  SELECT FROM imprint_sync.outbox AS o WHERE o.run_id = $1::int8 AND o.status <> 'done'"
    "   AND (o.status = 'pending') IS TRUE) RETURNING 1";

static void run_on_end(void *ctx, const struct pgconn_failure *failure,
                       const struct pgrows *const *rows)
{
    struct run_call *call = ctx;
    call->end(call->ctx, failure, failure == NULL && pgrows_count(rows[0]) > 0);
    free(call);
}

void outbox_run_end(struct outbox *outbox, int64_t run_id, bool finished, outbox_run_end_fn done,
                    void *ctx)
{
    struct pgjob *job = pgjob_create(outbox->timeout_ns, run_on_end,
                                     run_call((struct run_call){.end = done, .ctx = ctx}));
    pgjob_statement(job, finished ? run_finish : outbox_run_release);
    pgjob_param_int64(job, run_id);
    pgjob_param_text(job, outbox->instance);
    pgconn_submit(outbox->conn, job);
}

// ---- for commands
// ----------------------------------------------------------------------------------

const char outbox_run_since[] =
    "SELECT (coalesce($1::timestamptz, clock_timestamp() - $2::int8 * interval '1 millisecond')"
    " - $3::int8 * interval '1 millisecond')::text";

const char outbox_run_find[] =
    "SELECT id, state, scope, argument, since, relation, key_column, force, rate, row_limit, ahead,"
    " total, total_exact, holder, holder_renewals, done + unchanged + dead, done, unchanged,"
    " enqueued - done - unchanged - dead"
    " FROM imprint_sync.backfill_run WHERE name = $1::text";

const char outbox_run_add[] =
    "INSERT INTO imprint_sync.backfill_run (name, scope, argument, since, relation, key_column,"
    " force, rate, row_limit, ahead, total, total_exact, holder)"
    " VALUES ($1::text, $2::text, $3::text, $4::timestamptz, $5::text, $6::text, $7::bool,"
    "  $8::text, $9::int8, $10::int4, $11::int8, $12::bool, $13::text)"
    " ON CONFLICT (name) DO NOTHING RETURNING id";

const char outbox_run_take[] =
    "UPDATE imprint_sync.backfill_run SET holder = $2::text, holder_renewals = holder_renewals + 1,"
    " state = 'running', updated_at = clock_timestamp(), rate = coalesce($5::text, rate),"
    " row_limit = coalesce($6::int8, row_limit), ahead = coalesce($7::int4, ahead)"
    " WHERE id = $1::int8 AND state IN ('running', 'paused') AND (holder IS NULL"
    "  OR (holder = $3::text AND holder_renewals = $4::int8)) RETURNING id";

const char outbox_run_forget[] = "DELETE FROM imprint_sync.backfill_run WHERE id = $1::int8"
                                 " AND state IN ('done', 'cancelled')";

#define RUN_TIME(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"

const char outbox_run_list[] =
    "SELECT coalesce(jsonb_agg(jsonb_build_object('name', b.name, 'scope', b.scope,"
    "  'state', b.state, 'total', b.total, 'total_exact', b.total_exact, 'enqueued', b.enqueued,"
    "  'done', b.done, 'unchanged', b.unchanged, 'dead', b.dead, 'retried', b.retried,"
    "  'waiting', greatest(b.enqueued - b.done - b.unchanged - b.dead, 0), 'walked', b.walked,"
    "  'force', b.force, 'rate', b.rate, 'limit', b.row_limit, 'ahead', b.ahead,"
    "  'holder', b.holder, 'settled_per_s', round(b.settled_per_s::numeric, 1),"
    "  'created_at', " RUN_TIME("b.created_at") ", 'updated_at', " RUN_TIME(
        "b.updated_at") ","
                        "  'finished_at', " RUN_TIME(
                            "b.finished_at") ")"
                                             "  ORDER BY b.state IN ('done', 'cancelled'), b.id "
                                             "DESC), '[]')"
                                             " FROM (SELECT * FROM imprint_sync.backfill_run"
                                             "  ORDER BY state IN ('done', 'cancelled'), id DESC "
                                             "LIMIT 1000) AS b";

const char outbox_run_pause[] =
    "WITH p AS (UPDATE imprint_sync.backfill_run SET state = 'paused',"
    "  updated_at = clock_timestamp() WHERE name = $1::text AND state = 'running' RETURNING 1)"
    " SELECT id, state FROM imprint_sync.backfill_run WHERE name = $1::text";

const char outbox_run_cancel[] =
    "WITH c AS (UPDATE imprint_sync.backfill_run SET state = 'cancelled',"
    "  updated_at = clock_timestamp(), finished_at = clock_timestamp()"
    "  WHERE name = $1::text AND state IN ('running', 'paused') RETURNING 1)"
    " SELECT id, state FROM imprint_sync.backfill_run WHERE name = $1::text";

const char outbox_run_cancel_rows[] =
    "SELECT imprint_sync.backfill_cancel_rows($1::int8, $2::int4)";

const char outbox_run_reasons[] =
    "SELECT sum(e.n)::int8, imprint_sync.error_type(e.http_status, e.error) || coalesce(' ' ||"
    "  nullif(array_to_string(imprint_sync.error_params(e.http_status, e.error), ','), ''), '')"
    " FROM (SELECT o.http_status, o.error, count(*) AS n FROM imprint_sync.outbox AS o"
    "  WHERE o.run_id = $1::int8 AND o.status <> 'done' AND (o.status = 'dead') IS TRUE"
    "  GROUP BY 1, 2) AS e GROUP BY 2 ORDER BY 1 DESC, 2";

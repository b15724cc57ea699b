#include "io/outbox_status.h"

#include "base/mem.h"
#include "io/outbox_internal.h"

#include <stdlib.h>

static const char status_database[] =
    "SELECT jsonb_build_object('name', current_database(),"
    " 'server_version', current_setting('server_version'), 'at', now(),"
    " 'schema_version', (SELECT max(version) FROM imprint_sync.schema_version))";

// Slot after slot, of each lane 100,000 rows at most. Customers are spread evenly over the slots,
// so that beyond these the slots that were read to their end tell of the others.
static const char status_queue[] =
    "WITH lane AS MATERIALIZED ("
    " SELECT p.priority, c.* FROM (VALUES (0::int2), (1)) AS p (priority)"
    " CROSS JOIN LATERAL ("
    "  SELECT r.slot, count(*) AS n, count(*) FILTER (WHERE r.due_at <= now()) AS due,"
    "   count(*) FILTER (WHERE r.attempts > 0) AS retrying, count(*) FILTER (WHERE r.thin) AS thin,"
    "   min(r.created_at) AS oldest, min(r.due_at) FILTER (WHERE r.due_at <= now()) AS late"
    "  FROM (SELECT o.* FROM generate_series(0, 63) AS s (slot) CROSS JOIN LATERAL ("
    "    SELECT o.slot, o.due_at, o.created_at, o.attempts, o.payload IS NULL AS thin"
    "     FROM imprint_sync.outbox AS o"
    "     WHERE o.status = 'pending' AND o.slot = s.slot AND o.priority = p.priority"
    "     ORDER BY o.slot, o.priority, o.due_at, o.id) AS o LIMIT 100001) AS r"
    "  GROUP BY r.slot) AS c"
    "), head AS MATERIALIZED ("
    // The oldest of the others: the first of each lane, and retries are due later than they came.
    " SELECT p.priority, min(h.created_at) AS oldest,"
    "  min(h.due_at) FILTER (WHERE h.due_at <= now()) AS late"
    " FROM generate_series(0, 63) AS s (slot), (VALUES (0::int2), (1)) AS p (priority)"
    " CROSS JOIN LATERAL (SELECT o.created_at, o.due_at FROM imprint_sync.outbox AS o"
    "  WHERE o.status = 'pending' AND o.slot = s.slot AND o.priority = p.priority"
    "  ORDER BY o.slot, o.priority, o.due_at, o.id LIMIT 8) AS h GROUP BY p.priority"
    "), read AS MATERIALIZED ("
    " SELECT l.priority, sum(l.n) AS n, sum(l.due) AS due, sum(l.retrying) AS retrying,"
    "  sum(l.thin) AS thin, min(l.oldest) AS oldest, min(l.late) AS late,"
    "  sum(l.n) FILTER (WHERE l.slot < m.slot) * 64.0 / nullif(max(m.slot), 0) AS spread"
    " FROM lane AS l JOIN (SELECT priority, max(slot) AS slot FROM lane GROUP BY 1) AS m"
    "  USING (priority) GROUP BY l.priority"
    "), total AS MATERIALIZED ("
    " SELECT r.*, r.n <= 100000 AS exact, CASE WHEN r.n <= 100000 THEN r.n ELSE greatest(r.n,"
    "   coalesce(r.spread, (SELECT c.reltuples FROM pg_class AS c"
    "    WHERE c.oid = 'imprint_sync.outbox_pending'::regclass))) END AS pending"
    " FROM read AS r"
    ") SELECT jsonb_object_agg(CASE p.priority WHEN 0 THEN 'live' ELSE 'backfill' END,"
    "  jsonb_build_object('pending', coalesce(round(t.pending), 0)::int8,"
    "   'exact', coalesce(t.exact, true),"
    "   'due', coalesce(round(t.due * t.pending / t.n), 0)::int8,"
    "   'retrying', coalesce(round(t.retrying * t.pending / t.n), 0)::int8,"
    "   'thin', coalesce(round(t.thin * t.pending / t.n), 0)::int8,"
    "   'oldest_s', round(extract(epoch FROM now() - least(t.oldest, h.oldest)), 1),"
    "   'late_s', round(extract(epoch FROM now() - least(t.late, h.late)), 1)))"
    " FROM (VALUES (0::int2), (1)) AS p (priority)"
    " LEFT JOIN total AS t USING (priority) LEFT JOIN head AS h USING (priority)";

// How many there are, up to 100,000, from the index alone; why, of the newest 10,000.
static const char status_dead[] =
    "WITH n AS MATERIALIZED ("
    " SELECT count(*) AS n, max(d.settled_at) AS newest FROM (SELECT o.settled_at"
    "  FROM imprint_sync.outbox AS o WHERE o.status = 'dead'"
    "  ORDER BY o.settled_at DESC, o.id DESC LIMIT 100001) AS d"
    "), g AS ("
    " SELECT e.http_status, imprint_sync.error_type(e.http_status, e.error) AS type,"
    "  imprint_sync.error_params(e.http_status, e.error) AS params, sum(e.n) AS n,"
    "  max(e.newest) AS newest"
    " FROM (SELECT d.http_status, d.error, count(*) AS n, max(d.settled_at) AS newest"
    "  FROM (SELECT o.http_status, o.error, o.settled_at FROM imprint_sync.outbox AS o"
    "   WHERE o.status = 'dead' ORDER BY o.settled_at DESC, o.id DESC LIMIT 10000) AS d"
    "  GROUP BY 1, 2) AS e GROUP BY 1, 2, 3"
    ") SELECT jsonb_build_object('rows', least(n.n, 100000), 'exact', n.n <= 100000,"
    "  'newest_s', round(extract(epoch FROM now() - n.newest)),"
    "  'reasons', coalesce((SELECT jsonb_agg(jsonb_build_object('rows', t.n,"
    "    'http_status', t.http_status, 'type', t.type, 'params', t.params,"
    "    'newest_s', round(extract(epoch FROM now() - t.newest))) ORDER BY t.n DESC, t.type)"
    "   FROM (SELECT * FROM g ORDER BY n DESC LIMIT 10) AS t), '[]'))"
    " FROM n";

static const char status_instances[] =
    "SELECT coalesce(jsonb_agg(jsonb_build_object('id', i.id, 'host', i.host, 'pid', i.pid,"
    "  'version', i.version, 'kind', i.kind, 'alive', i.alive, 'started_at', i.started_at,"
    "  'up_s', round(extract(epoch FROM clock_timestamp() - i.started_at)),"
    "  'seen_s', round(extract(epoch FROM clock_timestamp() - i.seen_at), 1),"
    "  'pool_open', i.pool_open, 'slots', coalesce(l.n, 0), 'slot_ranges', coalesce(l.ranges, ''),"
    "  'reported_s', round(extract(epoch FROM clock_timestamp() - i.reported_at), 1),"
    "  'stats', i.stats) ORDER BY i.alive DESC, l.n DESC NULLS LAST, i.started_at), '[]')"
    " FROM (SELECT i.*, i.seen_at > clock_timestamp() - $1::int8 * interval '1 second' AS alive"
    // Who crashed stays in the table; a day later only if it still holds something.
    "  FROM imprint_sync.instance AS i WHERE i.seen_at > clock_timestamp() - interval '1 day'"
    "   OR EXISTS (SELECT FROM imprint_sync.lease AS h WHERE h.holder = i.id)"
    "  ORDER BY i.seen_at DESC LIMIT 50) AS i"
    " LEFT JOIN (SELECT y.holder, sum(y.n)::int8 AS n, string_agg(CASE y.a WHEN y.b"
    "   THEN y.a::text ELSE y.a || '-' || y.b END, ',' ORDER BY y.a) AS ranges"
    "  FROM (SELECT x.holder, min(x.slot) AS a, max(x.slot) AS b, count(*) AS n FROM ("
    "    SELECT holder, slot, slot - row_number() OVER (PARTITION BY holder ORDER BY slot) AS run"
    "     FROM imprint_sync.lease WHERE holder IS NOT NULL) AS x GROUP BY x.holder, x.run) AS y"
    "  GROUP BY y.holder) AS l ON l.holder = i.id";

static const char status_watches[] =
    "SELECT jsonb_build_object("
    " 'tables', coalesce((SELECT jsonb_agg(jsonb_build_object('table', w.watched_name,"
    "   'key', w.watched_key, 'source', w.source_name) ORDER BY w.watched_name, w.watched_key)"
    "  FROM imprint_sync.watched AS w), '[]'),"
    " 'problems', coalesce((SELECT jsonb_agg(to_jsonb(c)) FROM (SELECT c.watched AS table,"
    "   c.trigger_name AS trigger, c.problem FROM imprint_sync.watch_check() AS c LIMIT 20) AS c),"
    "  '[]'),"
    " 'errors', coalesce((SELECT jsonb_agg(to_jsonb(e)) FROM (SELECT r.watched_name AS table,"
    "   r.sqlstate, count(*) AS calls,"
    "   round(extract(epoch FROM clock_timestamp() - max(r.failed_at))) AS newest_s"
    "   FROM (SELECT * FROM imprint_sync.watch_error ORDER BY id DESC LIMIT 100000) AS r"
    "   GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 20) AS e), '[]'))";

static const char status_storage[] =
    "SELECT jsonb_build_object("
    " 'outbox_bytes', pg_total_relation_size(s.relid), 'table_bytes', pg_table_size(s.relid),"
    " 'index_bytes', pg_indexes_size(s.relid), 'live_tuples', s.n_live_tup,"
    " 'dead_tuples', s.n_dead_tup, 'vacuumed_s', round(extract(epoch FROM clock_timestamp()"
    "  - greatest(s.last_vacuum, s.last_autovacuum))),"
    " 'customer_state_bytes', pg_total_relation_size('imprint_sync.customer_state'))"
    " FROM pg_stat_user_tables AS s WHERE s.relid = 'imprint_sync.outbox'::regclass";

static const char status_vacuum[] =
    "SELECT jsonb_build_object('blocker',"
    " (SELECT to_jsonb(b) FROM imprint_sync.vacuum_blocker() AS b))";

static const char status_prune[] = "SELECT jsonb_build_object('ended_s', round(extract(epoch FROM "
                                   "clock_timestamp() - p.ended_at)),"
                                   " 'deleted', p.deleted) FROM imprint_sync.last_prune AS p";

// Those that are not over; without what they were asked for, which may quote values.
static const char status_backfills[] =
    "SELECT coalesce(jsonb_agg(jsonb_build_object('name', b.name, 'scope', b.scope,"
    "  'state', b.state, 'total', b.total, 'total_exact', b.exact, 'settled', b.settled,"
    "  'waiting', b.enqueued - b.settled, 'unchanged', b.unchanged, 'dead', b.dead,"
    "  'settled_per_s', round(b.settled_per_s::numeric, 1), 'holder', b.holder,"
    "  'seen_s', round(extract(epoch FROM clock_timestamp() - b.updated_at), 1),"
    "  'left_s', round(greatest(b.total - b.settled, 0)"
    "    / nullif(b.settled_per_s, 0)::numeric)) ORDER BY b.id), '[]')"
    " FROM (SELECT r.id, r.name, r.scope, r.state, r.enqueued, r.unchanged, r.dead,"
    "   r.settled_per_s, r.holder, r.updated_at, r.done + r.unchanged + r.dead AS settled,"
    "   CASE WHEN r.walked THEN r.enqueued ELSE greatest(r.total, r.enqueued) END AS total,"
    "   r.total_exact OR r.walked AS exact FROM imprint_sync.backfill_run AS r"
    "  WHERE r.state IN ('running', 'paused') ORDER BY r.id DESC LIMIT 50) AS b";

// A part more is a row here and, for people, a function in app/status_view.c.
static const struct {
    const char *name;
    const char *sql;
    bool needs_silent_s; // its $1
} status_sections[] = {
    {"database", status_database, false},   {"queue", status_queue, false},
    {"dead", status_dead, false},           {"instances", status_instances, true},
    {"watches", status_watches, false},     {"storage", status_storage, false},
    {"vacuum", status_vacuum, false},       {"prune", status_prune, false},
    {"backfills", status_backfills, false},
};
enum { STATUS_SECTIONS = sizeof status_sections / sizeof status_sections[0] };

struct outbox_status_call {
    outbox_status_fn done;
    void *ctx;
};

static void outbox_on_status(void *ctx, const struct pgconn_failure *failure,
                             const struct pgrows *const *rows)
{
    struct outbox_status_call *call = ctx;
    struct outbox_section sections[STATUS_SECTIONS];
    for (size_t i = 0; failure == NULL && i < STATUS_SECTIONS; i++) {
        // The first statement only sets things.
        const struct pgrows *answer = rows[i + 1];
        bool any = pgrows_count(answer) > 0 && !pgrows_null(answer, 0, 0);
        sections[i] =
            (struct outbox_section){.name = status_sections[i].name,
                                    .json = any ? str_of(pgrows_text(answer, 0, 0)) : STR("null")};
    }
    call->done(call->ctx, failure, sections, failure == NULL ? STATUS_SECTIONS : 0);
    free(call);
}

void outbox_status(struct outbox *outbox, int64_t silent_s, outbox_status_fn done, void *ctx)
{
    struct outbox_status_call *call = mem_calloc(1, sizeof *call);
    *call = (struct outbox_status_call){.done = done, .ctx = ctx};
    struct pgjob *job = pgjob_create(outbox->timeout_ns, outbox_on_status, call);
    pgjob_statement(job, outbox_sql_walk);
    for (size_t i = 0; i < STATUS_SECTIONS; i++) {
        pgjob_statement(job, status_sections[i].sql);
        if (status_sections[i].needs_silent_s) {
            pgjob_param_int64(job, silent_s);
        }
    }
    pgconn_submit(outbox->conn, job);
}

static void outbox_on_reported(void *ctx, const struct pgconn_failure *failure,
                               const struct pgrows *const *rows)
{
    (void)ctx;
    (void)failure; // the next one comes in a few seconds
    (void)rows;
}

void outbox_report(struct outbox *outbox, const char *json)
{
    struct pgjob *job = pgjob_create(outbox->timeout_ns, outbox_on_reported, NULL);
    // The next one comes in seconds: no COMMIT behind it has to wait for the disk.
    pgjob_statement(job, "SELECT set_config('synchronous_commit', 'off', true),"
                         " imprint_sync.report($1, $2::jsonb)");
    pgjob_param_text(job, outbox->instance);
    pgjob_param_text(job, json);
    pgconn_submit(outbox->conn, job);
}

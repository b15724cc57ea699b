// The two statements of the outbox that depend on the configuration.
#include "io/outbox_internal.h"

#include "base/buf.h"
#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

// Behind upper(x or lower(x: ASCII only, in any locale; "default" takes the "C" back, which would
// keep the planner from the source's index. (translate() does without, but takes 2 us for an id.)
#define OUTBOX_ASCII " COLLATE \"C\") COLLATE \"default\""

static void outbox_sql_must(bool ok)
{
    assert(ok);
    (void)ok;
}

char *outbox_sql_identifier(const char *name)
{
    struct buf out;
    buf_init(&out, OUTBOX_SQL_MAX);
    outbox_sql_must(buf_append_char(&out, '"'));
    for (const char *p = name; *p != '\0'; p++) {
        outbox_sql_must(*p != '"' || buf_append_char(&out, '"'));
        outbox_sql_must(buf_append_char(&out, *p));
    }
    outbox_sql_must(buf_append_char(&out, '"'));
    return buf_take(&out);
}

char *outbox_sql_key_match(const char *column, const char *type_name, const char *type_category)
{
    struct buf out;
    buf_init(&out, OUTBOX_SQL_MAX);
    char *name = outbox_sql_identifier(column);
    if (strcmp(type_name, "uuid") == 0) {
        // The pattern first: a cast of anything else would fail the whole batch.
        outbox_sql_must(
            buf_printf(&out,
                       "s.%s = CASE WHEN c.key ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'"
                       " THEN c.key::pg_catalog.uuid END",
                       name));
    } else if (strcmp(type_name, "smallint") == 0 || strcmp(type_name, "integer") == 0 ||
               strcmp(type_name, "bigint") == 0) {
        outbox_sql_must(buf_printf(&out,
                                   "s.%s = CASE WHEN c.key ~ '^[1-9][0-9]{0,17}$'"
                                   " THEN c.key::pg_catalog.int8 END",
                                   name));
    } else if (strcmp(type_category, "S") == 0) {
        // As written, then upper, then lower: lower() around the column would scan the table, and
        // so would any COLLATE in here, which would not be the index's.
        outbox_sql_must(buf_printf(&out, "s.%s = ANY (ARRAY[c.spelling, c.upper, c.key]::%s[])",
                                   name, type_name));
    }
    free(name);
    if (out.len == 0) {
        return NULL;
    }
    return buf_take(&out);
}

// Only the columns that the mapping reads: the less personal data travels, the better.
static void outbox_sql_columns(struct buf *out, const struct mapping *mapping)
{
    size_t count = mapping_column_count(mapping);
    for (size_t i = 0; i < count; i++) {
        char *name = outbox_sql_identifier(mapping_column_name(mapping, i));
        outbox_sql_must(buf_printf(out, "%ss.%s", i == 0 ? "" : ", ", name));
        free(name);
    }
}

static const char outbox_fold_rows[] =
    // One row of the result for each row of the outbox; what is asked once for a customer stands in
    // its first row. Sizes are summed before any payload is fetched: a customer may have 1,000 rows
    // of 1 MiB. Small payloads are not compressed, so their stored size will do.
    // IS TRUE hides the status from the planner, which without statistics has been seen to read all
    // of outbox_pending for each customer: 178 s instead of 10 ms for 500 of them.
    // f is not materialized: its rows come in order, and a CTE's would be sorted once more.
    "WITH k AS MATERIALIZED ("
    " SELECT u.key, upper(u.key" OUTBOX_ASCII " AS upper, u.ord"
    "  FROM unnest($1::text[]) WITH ORDINALITY AS u (key, ord)"
    "), g AS ("
    " SELECT k.ord, k.key, k.upper, o.*, max(o.due_at) OVER (PARTITION BY k.ord) AS last_due,"
    "  sum(CASE WHEN o.bytes > 1048576 THEN 0 ELSE o.bytes END) OVER (ORDER BY k.ord, o.id)"
    "   - CASE WHEN o.bytes > 1048576 THEN 0 ELSE o.bytes END AS bytes_before"
    " FROM k CROSS JOIN LATERAL ("
    "  SELECT o.id, o.customer_id, o.slot, o.attempts, o.due_at, o.created_at, o.priority,"
    "   o.payload, CASE WHEN o.payload IS NULL THEN 0"
    "    WHEN pg_column_size(o.payload) < 2000 THEN pg_column_size(o.payload)"
    "    ELSE octet_length(o.payload::text) END AS bytes"
    "  FROM imprint_sync.outbox AS o"
    "  WHERE o.status <> 'done' AND (o.status = 'pending') IS TRUE"
    "   AND lower(o.customer_id COLLATE \"C\") = k.key%s"
    "  ORDER BY lower(o.customer_id COLLATE \"C\"), o.id LIMIT 1000) AS o"
    "), f AS ("
    " SELECT g.*, row_number() OVER w AS nth, bool_or(g.payload IS NULL) OVER w AS thin,"
    "  last_value(g.customer_id) OVER w AS spelling"
    " FROM g WHERE g.last_due <= now() AND g.bytes_before < 8388608"
    " WINDOW w AS (PARTITION BY g.ord ORDER BY g.id"
    "  ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)"
    ")";

static const char outbox_fold_result[] =
    " SELECT c.key, c.id, c.slot, c.attempts, c.payload IS NULL, c.bytes > 1048576,"
    "  CASE WHEN c.bytes <= 1048576 THEN c.payload::text END, c.nth = 1,"
    "  c.customer_id, c.priority,"
    // date_part, as extract computes in numeric; c.thin by the caller, who sees all rows as well.
    "  (date_part('epoch', now() - c.created_at) * 1000000)::int8,"
    "  %s, %s,"
    "  CASE WHEN c.nth = 1 AND c.thin THEN ARRAY(SELECT d.id FROM imprint_sync.outbox AS d"
    "   WHERE d.status <> 'done' AND (d.status = 'dead') IS TRUE AND d.payload IS NULL"
    "    AND lower(d.customer_id COLLATE \"C\") = c.key"
    "   ORDER BY lower(d.customer_id COLLATE \"C\"), d.id LIMIT 1000) END,"
    "  CASE WHEN c.nth = 1 THEN (SELECT encode(t.body_hash, 'hex')"
    "   FROM imprint_sync.customer_state AS t WHERE t.customer_key = c.key"
    "    AND (t.system_id = $2) IS NOT FALSE AND (t.timeline = $3) IS NOT FALSE) END"
    " FROM f AS c%s ORDER BY c.ord, c.id";

char *outbox_sql_fold_without(bool thin_rows)
{
    struct buf out;
    buf_init(&out, OUTBOX_SQL_MAX);
    outbox_sql_must(
        buf_printf(&out, outbox_fold_rows, thin_rows ? "" : " AND o.payload IS NOT NULL"));
    outbox_sql_must(buf_printf(&out, outbox_fold_result, "0", "NULL::text", ""));
    return buf_take(&out);
}

char *outbox_sql_fold_source(const struct mapping *mapping, const char *relation,
                             const char *key_match)
{
    struct buf out;
    buf_init(&out, OUTBOX_SQL_MAX);
    outbox_sql_must(buf_printf(&out, outbox_fold_rows, ""));
    // In the same statement, so in the same snapshot; for the first row of each customer only.
    struct buf source;
    buf_init(&source, OUTBOX_SQL_MAX);
    outbox_sql_must(buf_append_str(
        &source, STR(" LEFT JOIN LATERAL ("
                     " SELECT count(*) AS n, (array_agg(z.source))[1] AS source FROM ("
                     "  SELECT to_jsonb(w)::text AS source FROM (SELECT ")));
    outbox_sql_columns(&source, mapping);
    outbox_sql_must(buf_printf(&source,
                               " FROM %s AS s WHERE c.nth = 1 AND c.thin AND %s LIMIT 2) AS w)"
                               " AS z) AS x ON true",
                               relation, key_match));
    outbox_sql_must(buf_printf(&out, outbox_fold_result, "x.n", "x.source", buf_peek(&source).ptr));
    buf_free(&source);
    return buf_take(&out);
}

char *outbox_sql_find_source(const struct mapping *mapping, const char *relation,
                             const char *key_match)
{
    struct buf out;
    buf_init(&out, OUTBOX_SQL_MAX);
    outbox_sql_must(buf_append_str(&out, STR("WITH c AS MATERIALIZED (SELECT $1::text AS spelling,"
                                             "  lower($1" OUTBOX_ASCII " AS key,"
                                             "  upper($1" OUTBOX_ASCII " AS upper)"
                                             " SELECT count(*), (array_agg(to_jsonb(w)::text))[1]"
                                             " FROM c CROSS JOIN LATERAL (SELECT ")));
    outbox_sql_columns(&out, mapping);
    outbox_sql_must(buf_printf(&out, " FROM %s AS s WHERE %s LIMIT 2) AS w", relation, key_match));
    return buf_take(&out);
}

// Only a row that is as it was read: a settle that is run twice, or comes late, changes nothing.
// The customer tells it from another row that a restored database gave the same id.
#define OUTBOX_AS_READ                                                                             \
    "o.id = r.id AND lower(o.customer_id COLLATE \"C\") = r.key"                                   \
    " AND o.status = CASE WHEN r.was_dead THEN 'dead' ELSE 'pending' END"                          \
    " AND (r.was_dead OR o.attempts = r.attempts)"
#define OUTBOX_CHANGED " RETURNING r.ord, o.run_id, r.outcome, r.error, r.was_dead"

static const char outbox_settle_head[] =
    "WITH c AS MATERIALIZED ("
    " SELECT * FROM unnest($1::text[], $2::int2[], $3::int8[], $4::text[], $5::int8[], $6::int2[],"
    "  $7::text[], $8::text[], $9::int8[], $10::bool[], $18::text[], $19::bool[], $20::bool[])"
    "  WITH ORDINALITY"
    "  AS c (key, slot, epoch, outcome, delay_ms, http_status, error, hash, accepted_id, forget,"
    "   spelling, sent, thin, ord)"
    "), held AS MATERIALIZED ("
    // Fenced: whoever takes the slot waits for this lock, or has changed the epoch already.
    " SELECT l.slot, l.epoch FROM imprint_sync.lease AS l"
    " WHERE l.holder = $11 AND EXISTS (SELECT FROM c WHERE c.slot = l.slot AND c.epoch = l.epoch)"
    " ORDER BY l.slot FOR KEY SHARE OF l"
    // IS TRUE, here and below, makes a hash of the list: by joins this would grow with the square.
    "), v AS MATERIALIZED ("
    " SELECT c.*, ((c.slot, c.epoch) IN (SELECT held.slot, held.epoch FROM held)) IS TRUE AS mine"
    "  FROM c"
    "), ours AS MATERIALIZED ("
    " SELECT v.* FROM v WHERE v.mine"
    "), late AS MATERIALIZED ("
    // Sent, but the slot went before the answer came: another may have sent something newer before
    // or after it. Nothing is settled; the newest state goes once more.
    " SELECT v.* FROM v WHERE v.sent AND NOT v.mine"
    "), r AS MATERIALIZED ("
    " SELECT r.id, r.attempts, r.was_dead, ours.* FROM unnest($12::int8[], $13::int4[],"
    "  $14::int8[], $15::bool[]) AS r (id, attempts, ord, was_dead) JOIN ours USING (ord)"
    "), u AS ("
    // Absolute values.
    " UPDATE imprint_sync.outbox AS o SET"
    "  status = CASE r.outcome WHEN 'retry' THEN 'pending' ELSE r.outcome END,"
    "  attempts = r.attempts"
    "   + CASE WHEN r.outcome <> 'done' AND r.delay_ms IS NOT NULL THEN 1 ELSE 0 END,"
    "  due_at = CASE r.outcome WHEN 'retry' THEN clock_timestamp()"
    "   + r.delay_ms * interval '1 millisecond' ELSE o.due_at END,"
    "  settled_at = CASE r.outcome WHEN 'retry' THEN NULL ELSE clock_timestamp() END,"
    "  http_status = r.http_status, error = CASE WHEN r.was_dead THEN 'superseded' ELSE r.error END"
    " FROM r WHERE " OUTBOX_AS_READ "%s" OUTBOX_CHANGED ")%s, x AS ("
    // What really changed.
    " SELECT * FROM u%s"
    "), n AS ("
    // By run: so a settle that is run twice counts once.
    " SELECT x.run_id,"
    "  count(*) FILTER (WHERE x.outcome = 'done' AND (x.error = 'unchanged') IS NOT TRUE) AS done,"
    "  count(*) FILTER (WHERE x.outcome = 'done' AND x.error = 'unchanged') AS unchanged,"
    "  count(*) FILTER (WHERE x.outcome = 'dead') - count(*) FILTER (WHERE x.was_dead) AS dead,"
    "  count(*) FILTER (WHERE x.outcome = 'retry') AS retried"
    " FROM x WHERE x.run_id IS NOT NULL GROUP BY x.run_id"
    "), run AS MATERIALIZED ("
    // In one order, for two settles may count for the same runs.
    " SELECT b.id FROM imprint_sync.backfill_run AS b WHERE b.id IN (SELECT n.run_id FROM n)"
    " ORDER BY b.id FOR NO KEY UPDATE"
    "), counted AS ("
    " UPDATE imprint_sync.backfill_run AS b SET done = b.done + n.done,"
    "  unchanged = b.unchanged + n.unchanged, dead = b.dead + n.dead,"
    "  retried = b.retried + n.retried"
    " FROM n JOIN run ON run.id = n.run_id WHERE b.id = n.run_id"
    "), st AS ("
    " INSERT INTO imprint_sync.customer_state AS t"
    "  (customer_key, system_id, timeline, accepted_id, accepted_at, body_hash)"
    " SELECT ours.key, $16, $17, ours.accepted_id, clock_timestamp(), decode(ours.hash, 'hex')"
    // Only with a row that it settles: one that comes late, or twice, would bring an older hash
    // back, and a later change to what that stands for would not be sent.
    " FROM ours WHERE ours.hash IS NOT NULL AND (ours.ord IN (SELECT x.ord FROM x)) IS TRUE"
    " ORDER BY ours.key"
    " ON CONFLICT (customer_key) DO UPDATE SET system_id = excluded.system_id,"
    "  timeline = excluded.timeline, accepted_id = excluded.accepted_id,"
    "  accepted_at = excluded.accepted_at, body_hash = excluded.body_hash"
    "), fg AS ("
    " DELETE FROM imprint_sync.customer_state AS t"
    " WHERE t.customer_key IN (SELECT ours.key FROM ours WHERE ours.forget"
    "  UNION ALL SELECT late.key FROM late)"
    "), at AS ("
    " INSERT INTO imprint_sync.outbox (customer_id)"
    " SELECT late.spelling FROM late WHERE late.thin ORDER BY late.ord"
    "), ar AS ("
    // The source may not have this customer: what came later is due again, so that the fold ends
    // with the newest. By id, as no index has the done rows of a customer. What is pending behind
    // them may be in another's memory, to be sent alone: with other attempts it is not settled by
    // that, but sent once more, with them. It costs no attempt: an update's are its rows' fewest.
    // A run has counted what was done, and does not count it again.
    " UPDATE imprint_sync.outbox AS o SET status = 'pending',"
    "  run_id = CASE o.status WHEN 'pending' THEN o.run_id END,"
    "  attempts = CASE o.status WHEN 'pending' THEN o.attempts + 1 ELSE 0 END,"
    "  due_at = CASE o.status WHEN 'pending' THEN o.due_at ELSE clock_timestamp() END,"
    "  settled_at = NULL, http_status = NULL, error = NULL"
    " WHERE o.status <> 'dead' AND o.id = ANY (ARRAY(SELECT n.id FROM late CROSS JOIN LATERAL ("
    "   SELECT n.id, bool_or(n.status = 'done') OVER () AS again FROM imprint_sync.outbox AS n"
    "    WHERE n.id > late.accepted_id AND n.status <> 'dead'"
    "     AND lower(n.customer_id COLLATE \"C\") = late.key ORDER BY n.id OFFSET 0) AS n"
    "  WHERE NOT late.thin AND n.again))"
    ") SELECT v.ord FROM v WHERE NOT v.mine";

char *outbox_sql_settle(bool delete_done)
{
    struct buf out;
    buf_init(&out, OUTBOX_SQL_MAX);
    outbox_sql_must(
        buf_printf(&out, outbox_settle_head, delete_done ? " AND r.outcome <> 'done'" : "",
                   delete_done ? ", d AS ("
                                 " DELETE FROM imprint_sync.outbox AS o USING r"
                                 " WHERE r.outcome = 'done' AND " OUTBOX_AS_READ OUTBOX_CHANGED ")"
                               : "",
                   delete_done ? " UNION ALL SELECT * FROM d" : ""));
    return buf_take(&out);
}

#include "io/outbox_dead.h"

// By the index outbox_dead, with ids by the primary key.
#define DEAD_WHERE                                                                                 \
    " FROM imprint_sync.outbox AS o WHERE o.status = 'dead'"                                       \
    " AND ($1::int8[] IS NULL OR o.id = ANY ($1::int8[]))"                                         \
    " AND ($2::text IS NULL"                                                                       \
    "  OR lower(o.customer_id COLLATE \"C\") = lower($2::text COLLATE \"C\"))"                     \
    " AND ($3::text IS NULL OR imprint_sync.error_type(o.http_status, o.error) = $3::text)"        \
    " AND ($4::text IS NULL"                                                                       \
    "  OR $4::text = ANY (imprint_sync.error_params(o.http_status, o.error)))"                     \
    " AND ($5::timestamptz IS NULL OR o.settled_at >= $5::timestamptz)"

// Ends to_char(COLUMN.
#define DEAD_TIME " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"

const char outbox_dead_since[] = "SELECT coalesce($1::timestamptz, clock_timestamp() - $2::int8 * "
                                 "interval '1 millisecond')::text";

const char outbox_dead_groups[] =
    "SELECT sum(e.n), e.http_status, imprint_sync.error_type(e.http_status, e.error),"
    "  array_to_string(imprint_sync.error_params(e.http_status, e.error), ','),"
    "  to_char(min(e.oldest)" DEAD_TIME ", to_char(max(e.newest)" DEAD_TIME ","
    "  array_to_string((string_to_array(string_agg(e.ids, ',' ORDER BY e.ids), ','))[1:3], ','),"
    "  imprint_sync.error_reason(e.http_status, e.error)"
    " FROM (SELECT d.http_status, d.error, count(*) AS n, min(d.settled_at) AS oldest,"
    "   max(d.settled_at) AS newest,"
    "   array_to_string((array_agg(d.id ORDER BY d.id))[1:3], ',') AS ids"
    "  FROM (SELECT o.id, o.http_status, o.error, o.settled_at" DEAD_WHERE
    "   ORDER BY o.settled_at DESC, o.id DESC LIMIT 100000) AS d GROUP BY 1, 2) AS e"
    " GROUP BY 2, 3, 4, 8 ORDER BY 1 DESC, 3, 4 LIMIT $6::int8";

const char outbox_dead_rows[] =
    "SELECT o.id, o.customer_id, to_char(o.settled_at" DEAD_TIME ", o.attempts, o.http_status,"
    " imprint_sync.error_type(o.http_status, o.error),"
    " array_to_string(imprint_sync.error_params(o.http_status, o.error), ','),"
    " imprint_sync.error_reason(o.http_status, o.error)" DEAD_WHERE
    " ORDER BY o.settled_at DESC, o.id DESC LIMIT $6::int8";

const char outbox_dead_count[] =
    "SELECT count(*), count(DISTINCT d.key), clock_timestamp()::text"
    " FROM (SELECT lower(o.customer_id COLLATE \"C\") AS key" DEAD_WHERE
    "  ORDER BY o.settled_at, o.id LIMIT $6::int8) AS d";

const char outbox_dead_batch[] =
    "SELECT coalesce(array_agg(d.id), '{}'), max(d.settled_at)::text,"
    "  (array_agg(d.id ORDER BY d.settled_at DESC, d.id DESC))[1], count(*)"
    " FROM (SELECT o.id, o.settled_at" DEAD_WHERE
    "  AND o.settled_at <= $6::timestamptz AND (o.settled_at, o.id) > ($7::timestamptz, $8::int8)"
    "  ORDER BY o.settled_at, o.id LIMIT $9::int8) AS d";

const char outbox_dead_show[] =
    "SELECT o.id, o.customer_id, o.status, CASE o.priority WHEN 0 THEN 'live' ELSE 'backfill' END,"
    " to_char(o.created_at" DEAD_TIME ", to_char(o.settled_at" DEAD_TIME ","
    " to_char(o.due_at" DEAD_TIME ", o.attempts, o.http_status,"
    " CASE WHEN o.error IS NOT NULL THEN imprint_sync.error_type(o.http_status, o.error) END,"
    " CASE WHEN o.error IS NOT NULL THEN"
    "  array_to_string(imprint_sync.error_params(o.http_status, o.error), ',') END,"
    " imprint_sync.error_reason(o.http_status, o.error), o.payload IS NULL,"
    " (SELECT string_agg(k, ',' ORDER BY k) FROM jsonb_object_keys(o.payload) AS k),"
    " (SELECT count(*) FROM imprint_sync.outbox AS l WHERE l.status <> 'done'"
    "   AND (l.status = 'pending') IS TRUE AND l.id <> o.id"
    "   AND lower(l.customer_id COLLATE \"C\") = lower(o.customer_id COLLATE \"C\")),"
    " (SELECT count(*) FROM imprint_sync.outbox AS l WHERE l.status <> 'done'"
    "   AND (l.status = 'dead') IS TRUE AND l.id <> o.id"
    "   AND lower(l.customer_id COLLATE \"C\") = lower(o.customer_id COLLATE \"C\")),"
    " s.accepted_id, to_char(s.accepted_at" DEAD_TIME
    " FROM imprint_sync.outbox AS o LEFT JOIN imprint_sync.customer_state AS s"
    "  ON s.customer_key = lower(o.customer_id COLLATE \"C\") WHERE o.id = $1::int8";

const char outbox_dead_reveal[] =
    "SELECT jsonb_pretty(payload), error FROM imprint_sync.outbox WHERE id = $1::int8";

const char outbox_dead_retry_thin[] = "SELECT imprint_sync.retry_thin($1::int8[])";

const char outbox_dead_retry_later[] =
    "SELECT array_to_string(l.later, ','), l.next, l.since"
    " FROM imprint_sync.retry_later($1::int8[], $2::int8, $3::int4) AS l";

// Held longer than this command takes from one half to the other; if it is killed between, so long.
const char outbox_dead_retry_hold[] =
    "SELECT h.held, cardinality(h.held), h.refused, h.changed FROM imprint_sync.retry_hold("
    "$1::int8[], $2::int8[], $3::int8, $4::bool,"
    " (SELECT greatest(p.kept_since, clock_timestamp() - $5::int8 * interval '1 second')"
    "   FROM imprint_sync.last_prune AS p), interval '1 minute') AS h";

const char outbox_dead_retry_release[] = "SELECT imprint_sync.retry_release($1::int8[], $2::int8)";

const char outbox_dead_due[] =
    "SELECT (SELECT count(*) FROM (SELECT FROM generate_series(0, 63) AS s (slot),"
    "   generate_series(0, 1) AS p (priority) CROSS JOIN LATERAL ("
    "    SELECT FROM imprint_sync.outbox AS o WHERE o.status = 'pending' AND o.slot = s.slot"
    "     AND o.priority = p.priority AND o.due_at <= now()"
    "     ORDER BY o.slot, o.priority, o.due_at, o.id LIMIT $1::int8) AS o LIMIT $1::int8) AS d),"
    " (SELECT count(*) FROM imprint_sync.instance AS i"
    "   WHERE i.seen_at > clock_timestamp() - $2::int8 * interval '1 second')";

const char outbox_dead_discard[] =
    "WITH gone AS (DELETE FROM imprint_sync.outbox AS o"
    "  WHERE o.id = ANY ($1::int8[]) AND o.status = 'dead' RETURNING o.*"
    "), kept AS (INSERT INTO imprint_sync.discarded (row_id, customer_id, created_at, died_at,"
    "  attempts, http_status, error_type, error_params, discarded_by)"
    " SELECT g.id, g.customer_id, g.created_at, g.settled_at, g.attempts, g.http_status,"
    "  imprint_sync.error_type(g.http_status, g.error),"
    "  imprint_sync.error_params(g.http_status, g.error), $2::text FROM gone AS g RETURNING 1"
    ") SELECT count(*) FROM kept";

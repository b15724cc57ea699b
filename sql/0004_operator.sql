-- For the operator: what the daemons report of themselves, what status and the dead commands need.

SET LOCAL search_path = pg_catalog, pg_temp;

-- Lets vacuum_blocker() see the sessions of other roles. Only a superuser may grant it before
-- PostgreSQL 16; without it the blocker is shown by pid, role and age in transactions.
DO $$
BEGIN
    IF NOT pg_has_role('imprint_sync_owner', 'pg_read_all_stats', 'USAGE') THEN
        GRANT pg_read_all_stats TO imprint_sync_owner;
    END IF;
EXCEPTION WHEN insufficient_privilege OR unique_violation THEN
    NULL;
END
$$;

SET LOCAL ROLE imprint_sync_owner;

DO $$
BEGIN
    IF current_user <> 'imprint_sync_owner' THEN
        RAISE EXCEPTION 'this file must run inside one transaction (psql --single-transaction)';
    END IF;
END
$$;


-- 1. Dead rows -------------------------------------------------------------------------------

-- Rows that never die are not in it, so it costs them nothing. Through outbox_customer a few dead
-- rows are only found by walking over all pending ones.
CREATE INDEX outbox_dead ON imprint_sync.outbox (settled_at, id) WHERE status = 'dead';

-- The stored error, taken apart: "TYPE param: message" of the API, "Bad Request: field: message"
-- of the framework behind it, "target: column c: reason; ..." of the mapping, or a token of ours.
-- Nothing here that could be a customer's value: words of the API only if they look like names.
-- Without regular expressions that capture: those take 100 us a row.
CREATE FUNCTION imprint_sync.error_is_name(p_word text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN p_word <> '' AND length(p_word) <= 64 AND p_word !~ '[^A-Za-z0-9_.\[\]-]';

CREATE FUNCTION imprint_sync.error_type(p_http_status smallint, p_error text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN p_error IS NULL OR left(p_error, 1) = '(' THEN 'unknown'
        WHEN length(p_error) <= 64 AND p_error !~ '[^a-z0-9_]' THEN p_error
        WHEN p_http_status IS NULL THEN
            CASE WHEN split_part(p_error, ':', 1) IN
                      ('source.missing', 'source.duplicate', 'source', 'customer_id', 'payload', 'request')
                 THEN split_part(p_error, ':', 1) ELSE 'mapping' END
        WHEN split_part(p_error, ': ', 1) IN
             ('Bad Request', 'Not Found', 'Method Not Allowed', 'Payload Too Large',
              'Content Too Large', 'Unprocessable Entity', 'Unprocessable Content')
        THEN split_part(p_error, ': ', 1)
        WHEN position(': ' IN p_error) > 0
         AND imprint_sync.error_is_name(split_part(split_part(p_error, ': ', 1), ' ', 1))
         AND split_part(split_part(p_error, ': ', 1), ' ', 3) = ''
        THEN split_part(split_part(p_error, ': ', 1), ' ', 1)
        ELSE 'unknown'
    END;

CREATE FUNCTION imprint_sync.error_targets(p_error text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ARRAY(SELECT DISTINCT split_part(reason, ': ', 1)
                   FROM unnest(string_to_array(p_error, '; ')) AS reason ORDER BY 1)
$$;

CREATE FUNCTION imprint_sync.error_params(p_http_status smallint, p_error text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN p_http_status IS NULL THEN
            CASE WHEN imprint_sync.error_type(p_http_status, p_error) = 'mapping'
                 THEN imprint_sync.error_targets(p_error) ELSE '{}' END
        -- The framework: a word of its own, then "field: message".
        WHEN imprint_sync.error_type(p_http_status, p_error) LIKE '% %' THEN
            CASE WHEN imprint_sync.error_is_name(split_part(p_error, ': ', 2))
                  AND split_part(p_error, ': ', 3) <> ''
                 THEN ARRAY[split_part(p_error, ': ', 2)] ELSE '{}' END
        WHEN imprint_sync.error_type(p_http_status, p_error) <> 'unknown'
         AND imprint_sync.error_is_name(split_part(split_part(p_error, ': ', 1), ' ', 2))
        THEN ARRAY[split_part(split_part(p_error, ': ', 1), ' ', 2)]
        ELSE '{}'
    END;

-- What may be shown without asking: our own reasons quote no value, the API's messages may.
CREATE FUNCTION imprint_sync.error_reason(p_http_status smallint, p_error text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN p_http_status IS NULL THEN p_error END;

-- What was given up for good. Without payload and message: those may hold personal data.
CREATE TABLE imprint_sync.discarded (
    row_id       bigint      NOT NULL,
    customer_id  text        NOT NULL,
    created_at   timestamptz NOT NULL,
    died_at      timestamptz,
    attempts     int         NOT NULL,
    http_status  smallint,
    error_type   text        NOT NULL,
    error_params text[]      NOT NULL,
    discarded_at timestamptz NOT NULL DEFAULT now(),
    discarded_by text        NOT NULL,          -- whoever ran the command
    role         name        NOT NULL DEFAULT session_user
);

COMMENT ON TABLE imprint_sync.discarded IS 'rows that `dead discard` deleted, for the record';

-- Settling locks its lease rows FOR KEY SHARE: from here on none of these customers is settled, and
-- none is half settled, until this transaction ends. Without that, the two could each wait for a
-- row that the other has.
CREATE FUNCTION imprint_sync.retry_lock(p_ids bigint[]) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- PERFORM reads all rows, which a function in SQL need not.
    PERFORM FROM imprint_sync.lease AS l
      WHERE l.slot IN (SELECT o.slot FROM imprint_sync.outbox AS o WHERE o.id = ANY (p_ids))
      ORDER BY l.slot FOR UPDATE;
END
$$;

-- With a source: dead rows come back without their values, and the daemon reads the customer from
-- the source. Old values cannot win over newer ones, whatever else is under way.
CREATE FUNCTION imprint_sync.retry_thin(p_ids bigint[]) RETURNS bigint
    LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    SELECT imprint_sync.retry_lock(p_ids);
    WITH changed AS (
        UPDATE imprint_sync.outbox
           SET status = 'pending', attempts = 0, due_at = clock_timestamp(), settled_at = NULL,
               http_status = NULL, error = NULL, payload = NULL
         WHERE id = ANY (p_ids) AND status = 'dead'
        RETURNING 1
    )
    SELECT count(*) FROM changed;
$$;

-- Without a source a row comes back together with all later rows of its customer, so that these win
-- again. retry_later() finds those that are done, a page at a time: there is no index for them.
-- From p_after = 0, again with the `next` that it returned, until that is NULL. `since` is the last
-- row of the page that is older than any transaction that may still be open: what commits later
-- lies behind it.
CREATE FUNCTION imprint_sync.retry_later(p_ids bigint[], p_after bigint, p_page int,
                                         OUT later bigint[], OUT next bigint, OUT since bigint)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH first AS MATERIALIZED (
        SELECT lower(customer_id COLLATE "C") AS key, min(id) AS id
          FROM imprint_sync.outbox WHERE id = ANY (p_ids) GROUP BY 1
    ), page AS MATERIALIZED (
        SELECT o.id, lower(o.customer_id COLLATE "C") AS key, o.status, o.created_at
          FROM imprint_sync.outbox AS o
         WHERE o.id > greatest(p_after, (SELECT min(id) FROM first)) ORDER BY o.id LIMIT p_page
    )
    SELECT coalesce((SELECT array_agg(p.id) FROM page AS p JOIN first AS f USING (key)
                      WHERE p.id > f.id AND p.status <> 'dead'), '{}'),
           (SELECT CASE WHEN count(*) = p_page THEN max(id) END FROM page),
           coalesce((SELECT max(id) FROM page
                      WHERE created_at < clock_timestamp() - interval '10 minutes'), 0);
$$;

-- Of these customers, from these rows on: what is settled becomes pending, and of what is pending
-- the attempts change, so that an answer under way, which knows only some of the rows, settles
-- none. Looks at p_later and at everything behind row p_since.
CREATE FUNCTION imprint_sync.retry_rows(
    p_ids bigint[], p_later bigint[], p_since bigint, p_due_at timestamptz
) RETURNS bigint
    LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    WITH first AS MATERIALIZED (
        SELECT lower(customer_id COLLATE "C") AS key, min(id) AS id
          FROM imprint_sync.outbox WHERE id = ANY (p_ids) GROUP BY 1
    ), found AS MATERIALIZED (
        SELECT o.id FROM first AS f JOIN imprint_sync.outbox AS o
            ON lower(o.customer_id COLLATE "C") = f.key AND o.status <> 'done' AND o.id >= f.id
        UNION
        SELECT o.id FROM imprint_sync.outbox AS o
          JOIN first AS f ON f.key = lower(o.customer_id COLLATE "C") AND o.id >= f.id
         WHERE o.id = ANY (p_later)
        UNION
        SELECT o.id FROM imprint_sync.outbox AS o
          JOIN first AS f ON f.key = lower(o.customer_id COLLATE "C") AND o.id >= f.id
         WHERE o.id > p_since
    ), changed AS (
        UPDATE imprint_sync.outbox AS o
           SET attempts = CASE o.status WHEN 'pending' THEN o.attempts + 1 ELSE 0 END,
               due_at = p_due_at, settled_at = NULL, http_status = NULL, error = NULL,
               status = 'pending'
          FROM found WHERE o.id = found.id
        RETURNING 1
    )
    SELECT count(*) FROM changed;
$$;

-- First half. Refused, unless p_force, are customers of whom later rows may be gone: those whose
-- row was made before p_kept_since, and those of whom something newer was accepted that is not
-- there any more. The others are held for p_hold: nothing of them is fetched until the second half.
CREATE FUNCTION imprint_sync.retry_hold(
    p_ids bigint[], p_later bigint[], p_since bigint, p_force boolean, p_kept_since timestamptz,
    p_hold interval, OUT held bigint[], OUT refused bigint, OUT changed bigint
)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- First the lock: what follows sees what the settles before have written.
    PERFORM imprint_sync.retry_lock(p_ids);
    SELECT coalesce(array_agg(d.id) FILTER (WHERE d.safe), '{}'),
           count(*) FILTER (WHERE NOT d.safe)
      INTO held, refused
      FROM (SELECT o.id, p_force OR (
                bool_and(o.created_at > p_kept_since) OVER w
                AND NOT coalesce(bool_or(s.accepted_id > o.id AND a.id IS NULL) OVER w, false)) AS safe
              FROM imprint_sync.outbox AS o
              LEFT JOIN imprint_sync.customer_state AS s
                ON s.customer_key = lower(o.customer_id COLLATE "C")
              LEFT JOIN imprint_sync.outbox AS a ON a.id = s.accepted_id
             WHERE o.id = ANY (p_ids) AND o.status = 'dead'
            WINDOW w AS (PARTITION BY lower(o.customer_id COLLATE "C"))) AS d;
    changed := imprint_sync.retry_rows(held, p_later, p_since, clock_timestamp() + p_hold);
END
$$;

-- Second half, in a transaction of its own. An update that was fetched without the rows put back
-- was fetched before the first half was committed; so its rows are visible here, pending or settled
-- meanwhile, and join. From now on all are due.
CREATE FUNCTION imprint_sync.retry_release(p_held bigint[], p_since bigint) RETURNS bigint
    LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    SELECT imprint_sync.retry_lock(p_held);
    SELECT imprint_sync.retry_rows(p_held, '{}', p_since, clock_timestamp());
$$;


-- 2. What the daemons say of themselves ------------------------------------------------------

ALTER TABLE imprint_sync.instance
    ADD COLUMN stats       jsonb,
    ADD COLUMN reported_at timestamptz;

COMMENT ON COLUMN imprint_sync.instance.stats IS 'what `imprint-sync status` shows of this instance';

-- Every few seconds; of an instance that has said goodbye, nothing.
CREATE FUNCTION imprint_sync.report(p_instance text, p_stats jsonb) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE imprint_sync.instance SET stats = p_stats, reported_at = clock_timestamp()
     WHERE id = p_instance;
$$;

-- One row: the last round of pruning. Done rows that settled before kept_since are gone.
CREATE TABLE imprint_sync.last_prune (
    one_row    boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    ended_at   timestamptz,
    deleted    bigint      NOT NULL DEFAULT 0,
    kept_since timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO imprint_sync.last_prune DEFAULT VALUES;


-- 3. What keeps vacuum from cleaning ---------------------------------------------------------

-- The holder of the oldest snapshot that the outbox's dead rows must wait for; no row: nobody.
-- Of a session no query: that may quote a customer's values.
CREATE FUNCTION imprint_sync.vacuum_blocker()
    RETURNS TABLE (kind text, pid int, name text, application text, state text, age_s bigint,
                   age_xids bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT b.kind, b.pid, b.name, b.application, b.state,
           extract(epoch FROM clock_timestamp() - b.since)::bigint, b.age_xids
      FROM (
        SELECT 'session' AS kind, a.pid, coalesce(a.usename, 'role ' || a.usesysid) AS name,
               a.application_name AS application, a.state, a.xact_start AS since,
               greatest(age(a.backend_xmin), age(a.backend_xid))::bigint AS age_xids
          FROM pg_stat_activity AS a
         WHERE (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
           AND a.pid <> pg_backend_pid()
           AND (a.datname = current_database() OR a.datname IS NULL)
           AND a.backend_type IS DISTINCT FROM 'autovacuum worker'
        UNION ALL
        SELECT 'prepared transaction', NULL, p.gid, p.owner, NULL, p.prepared,
               age(p.transaction)::bigint
          FROM pg_prepared_xacts AS p WHERE p.database = current_database()
        UNION ALL
        SELECT 'replication slot', s.active_pid, s.slot_name, s.plugin, NULL, NULL,
               age(s.xmin)::bigint
          FROM pg_replication_slots AS s WHERE s.xmin IS NOT NULL
      ) AS b
     ORDER BY b.age_xids DESC, b.since LIMIT 1;
$$;


-- 4. Rights ----------------------------------------------------------------------------------

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA imprint_sync FROM PUBLIC;
GRANT EXECUTE ON FUNCTION imprint_sync.slot_of(text) TO PUBLIC;

GRANT SELECT, INSERT ON imprint_sync.discarded TO imprint_sync_daemon;
GRANT SELECT, UPDATE (ended_at, deleted, kept_since) ON imprint_sync.last_prune TO imprint_sync_daemon;
GRANT EXECUTE ON FUNCTION
    imprint_sync.error_type(smallint, text),
    imprint_sync.error_params(smallint, text),
    imprint_sync.error_is_name(text),
    imprint_sync.error_targets(text),
    imprint_sync.error_reason(smallint, text),
    imprint_sync.retry_lock(bigint[]),
    imprint_sync.retry_thin(bigint[]),
    imprint_sync.retry_later(bigint[], bigint, int),
    imprint_sync.retry_rows(bigint[], bigint[], bigint, timestamptz),
    imprint_sync.retry_hold(bigint[], bigint[], bigint, boolean, timestamptz, interval),
    imprint_sync.retry_release(bigint[], bigint),
    imprint_sync.report(text, jsonb),
    imprint_sync.vacuum_blocker()
   TO imprint_sync_daemon;

-- Backfills: runs that walk over the source and enqueue thin rows, a bounded number ahead.

SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE imprint_sync_owner;

DO $$
BEGIN
    IF current_user <> 'imprint_sync_owner' THEN
        RAISE EXCEPTION 'this file must run inside one transaction (psql --single-transaction)';
    END IF;
END
$$;


-- 1. Runs ------------------------------------------------------------------------------------

CREATE TABLE imprint_sync.backfill_run (
    id              bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text        NOT NULL UNIQUE CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$'),
    scope           text        NOT NULL CHECK (scope IN ('all', 'since', 'where', 'customers')),
    -- As it was given: a time, a condition, or the SHA-256 of a list of ids.
    argument        text,
    since           timestamptz,                    -- of scope since, less the overlap
    relation        text        NOT NULL,
    key_column      text        NOT NULL,
    force           boolean     NOT NULL DEFAULT false,
    rate            text,                           -- NULL: delivery.rate alone
    row_limit       bigint,                         -- NULL: none
    ahead           int         NOT NULL CHECK (ahead > 0),
    state           text        NOT NULL DEFAULT 'running'
                                CHECK (state IN ('running', 'paused', 'done', 'cancelled')),
    position        text,                           -- the last key, or line; NULL: at the beginning
    walked          boolean     NOT NULL DEFAULT false, -- to the end
    -- enqueued = done + unchanged + dead + those that wait
    enqueued        bigint      NOT NULL DEFAULT 0,
    done            bigint      NOT NULL DEFAULT 0,
    unchanged       bigint      NOT NULL DEFAULT 0,
    dead            bigint      NOT NULL DEFAULT 0,
    retried         bigint      NOT NULL DEFAULT 0,
    total           bigint,                         -- customers to enqueue, as counted at the start
    total_exact     boolean     NOT NULL DEFAULT false,
    settled_per_s   real,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at     timestamptz,
    -- The process at work. Another takes over only what is given back, or what it has itself seen
    -- without a renewal for a full lease.
    holder          text,
    holder_renewals bigint      NOT NULL DEFAULT 0
) WITH (
    -- One row changes with every settle: room for its versions in the same page keeps them HOT.
    fillfactor = 10
);

COMMENT ON TABLE imprint_sync.backfill_run IS 'what `imprint-sync backfill` was asked to do, and how far it is';
COMMENT ON COLUMN imprint_sync.backfill_run.argument IS 'may quote customers'' values: never logged';

-- To cancel a run and to say why its rows died. Live rows are not in it, so it costs them nothing.
CREATE INDEX outbox_run ON imprint_sync.outbox (run_id, id)
    WHERE run_id IS NOT NULL AND status <> 'done';


-- 2. Enqueueing ------------------------------------------------------------------------------

-- One page: rows, place and count together, or nothing of it. The run's row is locked last: a
-- settle, too, has its rows and customer_state before it counts.
CREATE FUNCTION imprint_sync.backfill_page(
    p_run bigint, p_holder text, p_from text, p_to text, p_walked boolean, p_keys text[]
) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    added bigint;
BEGIN
    -- Forgotten: so the customer is sent although nothing has changed.
    IF (SELECT b.force FROM imprint_sync.backfill_run AS b WHERE b.id = p_run) THEN
        DELETE FROM imprint_sync.customer_state AS t USING (
            SELECT s.customer_key FROM imprint_sync.customer_state AS s
             WHERE s.customer_key IN (SELECT lower(k COLLATE "C") FROM unnest(p_keys) AS k)
             ORDER BY s.customer_key FOR UPDATE) AS f
         WHERE t.customer_key = f.customer_key;
    END IF;

    INSERT INTO imprint_sync.outbox (customer_id, priority, run_id)
    SELECT k.key, 1, p_run FROM unnest(p_keys) WITH ORDINALITY AS k (key, n)
     GROUP BY k.key ORDER BY min(k.n);
    GET DIAGNOSTICS added = ROW_COUNT;

    UPDATE imprint_sync.backfill_run AS b
       SET position = p_to, walked = p_walked, enqueued = b.enqueued + added,
           holder_renewals = b.holder_renewals + 1, updated_at = clock_timestamp()
     WHERE b.id = p_run AND b.holder = p_holder AND b.state = 'running'
       AND b.position IS NOT DISTINCT FROM p_from;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the run is another''s, or at another place' USING ERRCODE = 'object_in_use';
    END IF;
    RETURN added;
END
$$;

-- What waits is deleted, a bounded number at a time; returns how many. What is being settled is
-- skipped, and is counted by that.
CREATE FUNCTION imprint_sync.backfill_cancel_rows(p_run bigint, p_limit int) RETURNS bigint
    LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    WITH gone AS (
        DELETE FROM imprint_sync.outbox WHERE id IN (
            SELECT o.id FROM imprint_sync.outbox AS o
             WHERE o.run_id = p_run AND o.status <> 'done' AND (o.status = 'pending') IS TRUE
             ORDER BY o.run_id, o.id LIMIT p_limit FOR UPDATE SKIP LOCKED)
        RETURNING 1
    ), counted AS (
        UPDATE imprint_sync.backfill_run AS b SET enqueued = b.enqueued - (SELECT count(*) FROM gone)
         WHERE b.id = p_run AND EXISTS (SELECT FROM gone)
    )
    SELECT count(*) FROM gone;
$$;

-- As before, and what is put back is no longer counted as dead.
CREATE OR REPLACE FUNCTION imprint_sync.retry_thin(p_ids bigint[]) RETURNS bigint
    LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    SELECT imprint_sync.retry_lock(p_ids);
    WITH changed AS (
        UPDATE imprint_sync.outbox
           SET status = 'pending', attempts = 0, due_at = clock_timestamp(), settled_at = NULL,
               http_status = NULL, error = NULL, payload = NULL
         WHERE id = ANY (p_ids) AND status = 'dead'
        RETURNING run_id
    ), run AS MATERIALIZED (
        SELECT b.id FROM imprint_sync.backfill_run AS b
         WHERE b.id IN (SELECT run_id FROM changed) ORDER BY b.id FOR NO KEY UPDATE
    ), counted AS (
        UPDATE imprint_sync.backfill_run AS b SET dead = b.dead - c.n
          FROM (SELECT run_id, count(*) AS n FROM changed GROUP BY run_id) AS c JOIN run ON run.id = c.run_id
         WHERE b.id = c.run_id
    )
    SELECT count(*) FROM changed;
$$;


-- 3. Rights ----------------------------------------------------------------------------------

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA imprint_sync FROM PUBLIC;
GRANT EXECUTE ON FUNCTION imprint_sync.slot_of(text) TO PUBLIC;

GRANT SELECT, INSERT, UPDATE, DELETE ON imprint_sync.backfill_run TO imprint_sync_daemon;
-- What must be sent once more is the run's no longer.
GRANT UPDATE (run_id) ON imprint_sync.outbox TO imprint_sync_daemon;
GRANT EXECUTE ON FUNCTION
    imprint_sync.backfill_page(bigint, text, text, text, boolean, text[]),
    imprint_sync.backfill_cancel_rows(bigint, int)
   TO imprint_sync_daemon;

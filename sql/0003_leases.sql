-- Many instances: fair shares of the slots, pauses that all of them keep, servers that changed.

SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE imprint_sync_owner;

ALTER TABLE imprint_sync.instance
    -- At most so many slots: 64, or fewer from an instance that does not reach the API.
    ADD COLUMN wants    smallint NOT NULL DEFAULT 64,
    -- How long its leases last: others wait so long before they take one, if not longer.
    ADD COLUMN lease_ms bigint   NOT NULL DEFAULT 0;

-- 1. The way to the API, as all instances share it -------------------------------------------

CREATE TABLE imprint_sync.pool (
    one             boolean PRIMARY KEY DEFAULT true CHECK (one),
    paused_until    timestamptz,        -- by an operator; 'infinity': until resume()
    paused_at       timestamptz,
    paused_by       text,
    throttled_until timestamptz,        -- as the API told one of the instances
    throttled_by    text
);

INSERT INTO imprint_sync.pool DEFAULT VALUES;

CREATE FUNCTION imprint_sync.pause(p_until timestamptz) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_until IS NULL OR p_until <= clock_timestamp() THEN
        RAISE EXCEPTION 'a pause must end in the future' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    UPDATE imprint_sync.pool
       SET paused_until = p_until, paused_at = clock_timestamp(), paused_by = session_user;
    PERFORM pg_notify('imprint_sync', 'lease');
END
$$;

CREATE FUNCTION imprint_sync.resume() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE imprint_sync.pool SET paused_until = NULL, paused_at = NULL, paused_by = NULL;
    PERFORM pg_notify('imprint_sync', 'lease');
END
$$;

-- 2. The server of the last heartbeat --------------------------------------------------------

-- Another system identifier or timeline than this: a restore or a failover, which may have lost
-- the grant of a slot that looks free.
CREATE TABLE imprint_sync.server (
    one       boolean PRIMARY KEY DEFAULT true CHECK (one),
    system_id text,
    timeline  text
);

INSERT INTO imprint_sync.server DEFAULT VALUES;

DO $$
BEGIN
    UPDATE imprint_sync.server
       SET system_id = (SELECT system_identifier::text FROM pg_control_system()),
           timeline = substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8);
EXCEPTION WHEN undefined_function OR insufficient_privilege OR feature_not_supported THEN
    NULL;               -- a server that does not tell never differs
END
$$;

-- 3. The heartbeat ---------------------------------------------------------------------------

DROP FUNCTION imprint_sync.heartbeat(text, text, int, text, text, boolean, smallint[], bigint[],
                                     smallint[], bigint[], bigint[], smallint[], bigint[]);

-- One heartbeat. Every decision is the caller's; this compares and sets.
--   give: only what is still the caller's       keep: the same, renewed
--   take: free slots, and slots that are still as the caller saw them a full lease ago
--   gone: instances that the caller has seen without a heartbeat for a full lease
--   throttle_ms: the API told the caller to stay away so long; 0: nothing new
--   system_id, timeline: of the server, as the caller knows them
-- Slots are gone through in ascending order, whatever is done to them, and a settle locks its
-- lease rows in that order as well: so no two of them wait for each other.
CREATE FUNCTION imprint_sync.heartbeat(
    p_instance text, p_host text, p_pid int, p_kind text, p_version text, p_pool_open boolean,
    p_keep smallint[], p_keep_epochs bigint[],
    p_take smallint[], p_take_epochs bigint[], p_take_renewals bigint[],
    p_give smallint[], p_give_epochs bigint[],
    p_wants int DEFAULT 64, p_gone text[] DEFAULT '{}', p_gone_beats bigint[] DEFAULT '{}',
    p_throttle_ms bigint DEFAULT 0,
    p_system_id text DEFAULT NULL, p_timeline text DEFAULT NULL, p_lease_ms bigint DEFAULT 0
) RETURNS TABLE (slot smallint, holder text, epoch bigint, renewals bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    want   record;
    moved  boolean := false;    -- something that another instance waits for
BEGIN
    -- A grant must survive a crash of the server; what it waits for besides is the DBA's choice.
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'local', true);
    END IF;

    -- The first one after a failover or a restore: what looks free may have been granted. Held by
    -- nobody it is taken like the slot of an instance that died, after a full lease.
    UPDATE imprint_sync.server SET system_id = p_system_id, timeline = p_timeline
     WHERE system_id <> p_system_id OR timeline <> p_timeline;
    IF FOUND THEN
        UPDATE imprint_sync.lease SET holder = '(failover)', renewals = renewals + 1
         WHERE holder IS NULL;
    END IF;

    INSERT INTO imprint_sync.instance AS i (id, beats, host, pid, kind, version, pool_open, wants,
                                            lease_ms)
    VALUES (p_instance, 1, p_host, p_pid, p_kind, p_version, p_pool_open, p_wants, p_lease_ms)
    ON CONFLICT (id) DO UPDATE
       SET beats = i.beats + 1, seen_at = clock_timestamp(), host = excluded.host,
           pid = excluded.pid, kind = excluded.kind, version = excluded.version,
           pool_open = excluded.pool_open, wants = excluded.wants, lease_ms = excluded.lease_ms
    RETURNING i.beats = 1 INTO moved;

    FOR want IN
        SELECT 'give' AS what, g.slot, g.epoch, NULL::bigint AS renewals
          FROM unnest(p_give, p_give_epochs) AS g (slot, epoch)
        UNION ALL
        SELECT 'keep', k.slot, k.epoch, NULL FROM unnest(p_keep, p_keep_epochs) AS k (slot, epoch)
        UNION ALL
        SELECT 'take', t.slot, t.epoch, t.renewals
          FROM unnest(p_take, p_take_epochs, p_take_renewals) AS t (slot, epoch, renewals)
        ORDER BY 2, 1
    LOOP
        IF want.what = 'give' THEN
            UPDATE imprint_sync.lease AS l SET holder = NULL
             WHERE l.slot = want.slot AND l.holder = p_instance AND l.epoch = want.epoch;
            moved := moved OR FOUND;
        ELSIF want.what = 'keep' THEN
            -- A plain UPDATE does not wait for the FOR KEY SHARE of a running settle.
            UPDATE imprint_sync.lease AS l SET renewals = l.renewals + 1
             WHERE l.slot = want.slot AND l.holder = p_instance AND l.epoch = want.epoch;
        ELSE
            -- FOR UPDATE conflicts with the FOR KEY SHARE of a running settle. The taker does
            -- not wait here but comes again with its next heartbeat: a settle that is stuck in a
            -- pooler would otherwise keep every taker from renewing its own leases.
            PERFORM FROM imprint_sync.lease AS l
              WHERE l.slot = want.slot
                AND (l.holder IS NULL OR (l.epoch = want.epoch AND l.renewals = want.renewals))
                FOR UPDATE SKIP LOCKED;
            IF FOUND THEN
                UPDATE imprint_sync.lease AS l
                   SET holder = p_instance, epoch = l.epoch + 1, renewals = l.renewals + 1
                 WHERE l.slot = want.slot;
            END IF;
        END IF;
    END LOOP;

    DELETE FROM imprint_sync.instance AS i USING unnest(p_gone, p_gone_beats) AS g (id, beats)
     WHERE i.id = g.id AND i.beats = g.beats
       AND NOT EXISTS (SELECT FROM imprint_sync.lease AS l WHERE l.holder = i.id);

    IF p_throttle_ms > 0 THEN
        UPDATE imprint_sync.pool
           SET throttled_until = clock_timestamp() + p_throttle_ms * interval '1 millisecond',
               throttled_by = p_instance
         WHERE (throttled_until > clock_timestamp() + p_throttle_ms * interval '1 millisecond')
               IS NOT TRUE;
        moved := moved OR FOUND;
    END IF;

    -- COMMIT fails when the queue is full, which one stuck listener of anybody's can cause.
    IF moved AND pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('imprint_sync', 'lease');
    END IF;
    RETURN QUERY SELECT l.slot, l.holder, l.epoch, l.renewals FROM imprint_sync.lease AS l ORDER BY 1;
END
$$;

-- The others need not wait for a heartbeat to see that one has left.
CREATE OR REPLACE FUNCTION imprint_sync.goodbye(p_instance text) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM imprint_sync.instance WHERE id = p_instance;
    SELECT pg_notify('imprint_sync', 'lease');
$$;

-- 4. Rights ----------------------------------------------------------------------------------

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA imprint_sync FROM PUBLIC;
GRANT EXECUTE ON FUNCTION imprint_sync.slot_of(text) TO PUBLIC;
GRANT SELECT ON imprint_sync.pool, imprint_sync.server TO imprint_sync_daemon;
GRANT EXECUTE ON FUNCTION
    imprint_sync.pause(timestamptz),
    imprint_sync.resume(),
    imprint_sync.heartbeat(text, text, int, text, text, boolean, smallint[], bigint[],
                           smallint[], bigint[], bigint[], smallint[], bigint[], int,
                           text[], bigint[], bigint, text, text, bigint)
   TO imprint_sync_daemon;

-- The outbox, the leases and the roles.
--
-- One migration = one transaction that the runner opens and commits. Everything is created as
-- imprint_sync_owner, and the role stays set until that COMMIT: the runner's own INSERT into
-- schema_version then needs no further right.

-- Nothing in the migrating role's search_path may stand in for a built-in function.
SET LOCAL search_path = pg_catalog, pg_temp;

-- Roles belong to the cluster, not to the database: another database may have made them already,
-- or be making them right now.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['imprint_sync_owner', 'imprint_sync_daemon'] LOOP
        IF to_regrole(role_name) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
    END LOOP;

    -- A superuser needs no membership. USAGE, not MEMBER: PostgreSQL 16 makes the creator a
    -- member that may grant the role but not become it.
    IF NOT pg_has_role(current_user, 'imprint_sync_owner', 'USAGE') THEN
        BEGIN
            GRANT imprint_sync_owner TO CURRENT_USER;
        EXCEPTION WHEN insufficient_privilege OR unique_violation THEN
            NULL;                       -- SET ROLE below has the last word
        END;
    END IF;
END
$$;

CREATE SCHEMA imprint_sync AUTHORIZATION imprint_sync_owner;

SET LOCAL ROLE imprint_sync_owner;

DO $$
BEGIN
    -- Outside a transaction SET LOCAL only warns, and the objects would belong to the caller.
    IF current_user <> 'imprint_sync_owner' THEN
        RAISE EXCEPTION 'this file must run inside one transaction (psql --single-transaction)';
    END IF;
END
$$;

-- Not IN SCHEMA: defaults of a schema can only add to the built-in EXECUTE for PUBLIC.
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

CREATE TABLE imprint_sync.schema_version (
    version    int PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON SCHEMA imprint_sync IS
    'imprint-sync: customer changes on their way to Imprint (sql/README.md)';


-- 1. Outbox ---------------------------------------------------------------------------------

-- 0..63, the same on every version, platform and locale. The bytes are hashed as the database
-- stores them: convert_to() fails on text without a UTF-8 form, and no id may fail an INSERT.
CREATE FUNCTION imprint_sync.slot_of(customer_id text) RETURNS smallint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (get_byte(sha256(decode(
               replace(lower(customer_id COLLATE "C"), E'\\', E'\\\\'), 'escape')), 0) & 63)::smallint;

-- Domains, not CHECKs of the table: those are read and planned anew at every INSERT, 10 us of it.
CREATE DOMAIN imprint_sync.outbox_attempts AS int CHECK (VALUE >= 0);
CREATE DOMAIN imprint_sync.outbox_priority AS smallint CHECK (VALUE IN (0, 1));
CREATE DOMAIN imprint_sync.outbox_status AS text CHECK (VALUE IN ('pending', 'done', 'dead'));
-- A JSON null, as some ORMs write it, is refused.
CREATE DOMAIN imprint_sync.outbox_payload AS jsonb CHECK (jsonb_typeof(VALUE) = 'object');

-- What a settle changes stands last, the rest first: an update within one page logs only what
-- lies behind the common prefix.
CREATE TABLE imprint_sync.outbox (
    id          bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,  -- more than 1 breaks order
    -- The clock, not now(): a transaction that ran long before it inserts must not be late for
    -- the polling cursor.
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    run_id      bigint,
    attempts    imprint_sync.outbox_attempts NOT NULL DEFAULT 0,
    priority    imprint_sync.outbox_priority NOT NULL DEFAULT 0,
    -- slot_of(), written out: each statement that inserts would inline it anew, for 10 us.
    slot        smallint    GENERATED ALWAYS AS ((get_byte(sha256(decode(
        replace(lower(customer_id COLLATE "C"), E'\\', E'\\\\'), 'escape')), 0) & 63)::smallint) STORED,
    customer_id text        NOT NULL,
    payload     imprint_sync.outbox_payload,    -- NULL: a thin row
    status      imprint_sync.outbox_status NOT NULL DEFAULT 'pending',
    http_status smallint,
    settled_at  timestamptz,
    error       text
) WITH (
    -- Half a page stays free for the settled version of each row. It is never a HOT update
    -- (status is in the indexes' predicates), but within the page only what changed is logged:
    -- 175 bytes where fillfactor 100 logs 1,136 for a payload of 821.
    fillfactor = 50,
    -- A share of the table is the wrong measure for a queue: a large history would put off the
    -- cleaning of the few hot pages in front.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 100000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 10000,
    autovacuum_vacuum_cost_delay = 0
);

-- Polling: one cursor a slot and priority.
CREATE INDEX outbox_pending ON imprint_sync.outbox (slot, priority, due_at, id)
    WHERE status = 'pending';
-- Fold, re-reading a customer after it settled, and the lists of dead rows.
CREATE INDEX outbox_customer ON imprint_sync.outbox (lower(customer_id COLLATE "C"), id)
    WHERE status <> 'done';
-- No index for pruning: it would cost every settle, and walking the primary key finds the
-- oldest rows as well (README).

COMMENT ON TABLE imprint_sync.outbox IS
    'customer changes to send; an application writes (customer_id, payload) after its own change, in the same transaction';
COMMENT ON COLUMN imprint_sync.outbox.payload IS
    'NULL (thin row): the daemon reads the customer from the source; else the changed columns';
COMMENT ON COLUMN imprint_sync.outbox.slot IS 'the lease that covers this customer';

-- An absurd id is settled as dead by the daemon, but it must not fail the INSERT because an
-- index entry holds no more than 2,704 bytes. What is left is still too long to be an id.
CREATE FUNCTION imprint_sync.outbox_cut() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.customer_id := left(NEW.customer_id, 200);
    RETURN NEW;
END
$$;

CREATE TRIGGER outbox_cut BEFORE INSERT ON imprint_sync.outbox
    FOR EACH ROW WHEN (octet_length(NEW.customer_id) > 800)
    EXECUTE FUNCTION imprint_sync.outbox_cut();


-- 2. Waking an idle daemon -------------------------------------------------------------------

-- Holds the epoch second until which the daemon counts as idle. A sequence, since setval is not
-- transactional: no bloat, seen inside old snapshots, and it runs out by itself after a crash.
CREATE SEQUENCE imprint_sync.idle_until AS bigint MINVALUE 0 START 0;

CREATE FUNCTION imprint_sync.idle(p_until_epoch bigint) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT setval('imprint_sync.idle_until', greatest(p_until_epoch, 0));
$$;

CREATE FUNCTION imprint_sync.outbox_wake() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- PREPARE TRANSACTION fails after a NOTIFY. COMMIT fails when the queue is full, which one
    -- stuck listener of anybody's can cause.
    IF current_setting('max_prepared_transactions') = '0'
       AND pg_notification_queue_usage() < 0.5 AND EXISTS (SELECT FROM added)
    THEN
        PERFORM pg_notify('imprint_sync', '');
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER outbox_wake AFTER INSERT ON imprint_sync.outbox
    REFERENCING NEW TABLE AS added
    -- Here, not in the function: the usual answer, no, costs 5 us instead of 20.
    FOR EACH STATEMENT WHEN (date_part('epoch', clock_timestamp())
                             < pg_sequence_last_value('imprint_sync.idle_until'))
    EXECUTE FUNCTION imprint_sync.outbox_wake();
-- The condition is evaluated with the rights of whoever inserts.
GRANT SELECT ON SEQUENCE imprint_sync.idle_until TO PUBLIC;


-- 3. What was last accepted ------------------------------------------------------------------

CREATE TABLE imprint_sync.customer_state (
    customer_key text PRIMARY KEY,      -- lower(customer_id COLLATE "C")
    system_id    text,                  -- state of another server or timeline does not count
    timeline     text,
    accepted_id  bigint,                -- the newest outbox row in the accepted request
    accepted_at  timestamptz,
    body_hash    bytea                  -- SHA-256 over destination and body
) WITH (
    -- A little room in the page keeps the upsert of a known customer HOT.
    fillfactor = 90,
    autovacuum_vacuum_scale_factor = 0.05
);


-- 4. Leases ----------------------------------------------------------------------------------

CREATE TABLE imprint_sync.lease (
    slot     smallint PRIMARY KEY CHECK (slot BETWEEN 0 AND 63),
    holder   text,                      -- NULL: free
    epoch    bigint NOT NULL DEFAULT 0, -- +1 at every change of owner: what a settle is fenced by
    renewals bigint NOT NULL DEFAULT 0  -- +1 at every heartbeat: what a taker watches, not a clock
);                                      -- one page; renewals are HOT and pruned in place: a test holds it

INSERT INTO imprint_sync.lease (slot) SELECT generate_series(0, 63);

CREATE TABLE imprint_sync.instance (
    id         text PRIMARY KEY,
    beats      bigint      NOT NULL DEFAULT 0,  -- alive means: this grows
    host       text,
    pid        int,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind       text,
    pool_open  boolean,
    version    text
);

-- One heartbeat. Every decision is the caller's; this compares and sets.
--   give: only what is still the caller's       keep: the same, renewed
--   take: free slots, and slots that are still as the caller saw them a full lease ago
-- Slots are gone through in ascending order, whatever is done to them, and a settle locks its
-- lease rows in that order as well: so no two of them wait for each other.
CREATE FUNCTION imprint_sync.heartbeat(
    p_instance text, p_host text, p_pid int, p_kind text, p_version text, p_pool_open boolean,
    p_keep smallint[], p_keep_epochs bigint[],
    p_take smallint[], p_take_epochs bigint[], p_take_renewals bigint[],
    p_give smallint[], p_give_epochs bigint[]
) RETURNS TABLE (slot smallint, holder text, epoch bigint, renewals bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    want record;
BEGIN
    INSERT INTO imprint_sync.instance AS i (id, beats, host, pid, kind, version, pool_open)
    VALUES (p_instance, 1, p_host, p_pid, p_kind, p_version, p_pool_open)
    ON CONFLICT (id) DO UPDATE
       SET beats = i.beats + 1, seen_at = clock_timestamp(), host = excluded.host,
           pid = excluded.pid, kind = excluded.kind, version = excluded.version,
           pool_open = excluded.pool_open;

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

    RETURN QUERY SELECT l.slot, l.holder, l.epoch, l.renewals FROM imprint_sync.lease AS l ORDER BY 1;
END
$$;

CREATE FUNCTION imprint_sync.goodbye(p_instance text) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM imprint_sync.instance WHERE id = p_instance;
$$;


-- 5. Rights ----------------------------------------------------------------------------------

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA imprint_sync FROM PUBLIC;
-- Reads nothing; the applications may ask, too.
GRANT EXECUTE ON FUNCTION imprint_sync.slot_of(text) TO PUBLIC;

GRANT USAGE ON SCHEMA imprint_sync TO imprint_sync_daemon;
GRANT SELECT ON imprint_sync.schema_version, imprint_sync.instance TO imprint_sync_daemon;

GRANT SELECT, DELETE,
      INSERT (customer_id, payload, priority, run_id),
      UPDATE (status, attempts, due_at, settled_at, http_status, error, payload)
   ON imprint_sync.outbox TO imprint_sync_daemon;
-- last_value: which rows were already there when a slot was taken.
GRANT SELECT ON SEQUENCE imprint_sync.outbox_id_seq, imprint_sync.idle_until TO imprint_sync_daemon;
GRANT SELECT, INSERT, UPDATE, DELETE ON imprint_sync.customer_state TO imprint_sync_daemon;

-- FOR KEY SHARE asks for the right to update some column; the lease itself changes only
-- through heartbeat().
GRANT SELECT, UPDATE (renewals) ON imprint_sync.lease TO imprint_sync_daemon;
GRANT EXECUTE ON FUNCTION
    imprint_sync.idle(bigint),
    imprint_sync.goodbye(text),
    imprint_sync.heartbeat(text, text, int, text, text, boolean, smallint[], bigint[],
                           smallint[], bigint[], bigint[], smallint[], bigint[])
   TO imprint_sync_daemon;

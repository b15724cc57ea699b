-- Who may do what, by trying what must not be allowed.
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
SELECT no_plan();

CREATE ROLE t_app;
CREATE ROLE t_daemon IN ROLE imprint_sync_daemon;
CREATE ROLE t_stranger;
GRANT USAGE ON SCHEMA imprint_sync TO t_app;
GRANT INSERT (customer_id, payload) ON imprint_sync.outbox TO t_app;

-- 'ok', or the SQLSTATE
CREATE FUNCTION pg_temp.as_role(who name, statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', who);
    EXECUTE statement;
    RESET ROLE;
    RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;

-- owner
SELECT is((SELECT rolcanlogin OR rolsuper FROM pg_roles WHERE rolname = 'imprint_sync_owner'), false, 'the owner cannot log in');
SELECT is((SELECT rolcanlogin OR rolsuper FROM pg_roles WHERE rolname = 'imprint_sync_daemon'), false, 'nor can the group');
SELECT is_empty($$SELECT relname FROM pg_class WHERE relnamespace = 'imprint_sync'::regnamespace
                   AND relowner <> 'imprint_sync_owner'::regrole$$, 'every relation belongs to the owner');
SELECT is_empty($$SELECT proname FROM pg_proc WHERE pronamespace = 'imprint_sync'::regnamespace
                   AND proowner <> 'imprint_sync_owner'::regrole$$, 'every function belongs to the owner');
SELECT is((SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'imprint_sync'), 'imprint_sync_owner', 'and so does the schema');

-- functions
CREATE FUNCTION pg_temp.public_may(f oid) RETURNS boolean LANGUAGE sql AS $$
    SELECT EXISTS (SELECT FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                    WHERE p.oid = f AND a.grantee = 0 AND a.privilege_type = 'EXECUTE') $$;
SELECT is((SELECT string_agg(proname, ' ') FROM pg_proc WHERE pronamespace = 'imprint_sync'::regnamespace AND pg_temp.public_may(oid)),
          'slot_of', 'PUBLIC may execute slot_of and no other function');
SELECT is((SELECT string_agg(c.relname || ' ' || a.privilege_type, ', ') FROM pg_class c, aclexplode(c.relacl) a
            WHERE c.relnamespace = 'imprint_sync'::regnamespace AND a.grantee = 0),
          'idle_until SELECT', 'and read the sequence that the wake-up trigger''s condition needs, nothing else');
SET LOCAL ROLE imprint_sync_owner;
CREATE FUNCTION imprint_sync.t_later() RETURNS int LANGUAGE sql AS 'SELECT 1';
RESET ROLE;
SELECT is(pg_temp.public_may('imprint_sync.t_later()'::regprocedure), false, 'nor any that a later migration adds');
SELECT is_empty($$SELECT proname FROM pg_proc WHERE pronamespace = 'imprint_sync'::regnamespace AND prosecdef
                   AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false)$$,
                'every SECURITY DEFINER function has a fixed search_path that ends in pg_temp');
SELECT is((SELECT prosecdef FROM pg_proc WHERE oid = 'imprint_sync.watch(regclass,name,name,regclass,name)'::regprocedure), false,
          'watch runs with the rights of its caller');

-- an application: two columns, and nothing else
SELECT is(pg_temp.as_role('t_app', $$INSERT INTO imprint_sync.outbox (customer_id, payload) VALUES ('a', '{}')$$), 'ok', 'app: insert');
SELECT is(pg_temp.as_role('t_app', $$INSERT INTO imprint_sync.outbox (customer_id) VALUES (repeat('a', 5000))$$), 'ok', 'app: insert an absurd id');
SELECT is(pg_temp.as_role('t_app', s), '42501', 'app may not: ' || s) FROM unnest(ARRAY[
    $$INSERT INTO imprint_sync.outbox (customer_id, status) VALUES ('a', 'done')$$,
    $$INSERT INTO imprint_sync.outbox (customer_id, priority) VALUES ('a', 1)$$,
    $$INSERT INTO imprint_sync.outbox (customer_id, due_at) VALUES ('a', 'infinity')$$,
    $$INSERT INTO imprint_sync.outbox (customer_id) VALUES ('a') RETURNING id$$,
    $$SELECT customer_id FROM imprint_sync.outbox$$,
    $$UPDATE imprint_sync.outbox SET status = 'done'$$,
    $$DELETE FROM imprint_sync.outbox$$,
    $$TRUNCATE imprint_sync.outbox$$,
    $$SELECT nextval('imprint_sync.outbox_id_seq')$$,
    $$SELECT setval('imprint_sync.idle_until', 0)$$,
    $$SELECT imprint_sync.idle(0)$$,
    $$SELECT imprint_sync.goodbye('x')$$,
    $$SELECT imprint_sync.heartbeat('x', '', 1, '', '', true, '{}', '{}', '{}', '{}', '{}', '{}', '{}')$$,
    $$SELECT imprint_sync.watch('pg_class', 'oid', 'oid', 'pg_class', 'oid')$$,
    $$SELECT imprint_sync.unwatch('pg_class')$$,
    $$SELECT imprint_sync.watch_check()$$,
    $$SELECT imprint_sync.report('x', '{}')$$,
    $$SELECT imprint_sync.retry_thin('{}')$$,
    $$SELECT imprint_sync.retry_lock('{}')$$,
    $$SELECT imprint_sync.vacuum_blocker()$$,
    $$SELECT * FROM imprint_sync.discarded$$,
    $$SELECT * FROM imprint_sync.customer_state$$,
    $$SELECT * FROM imprint_sync.lease$$,
    $$SELECT * FROM imprint_sync.watch_error$$,
    $$CREATE TABLE imprint_sync.mine ()$$]) AS s;
SELECT is(pg_temp.as_role('t_stranger', $$INSERT INTO imprint_sync.outbox (customer_id) VALUES ('a')$$), '42501', 'a stranger may not insert');

-- the daemon: read, settle, call
SELECT is(pg_temp.as_role('t_daemon', s), 'ok', 'daemon may: ' || s) FROM unnest(ARRAY[
    $$SELECT * FROM imprint_sync.outbox$$,
    $$UPDATE imprint_sync.outbox SET status = 'done', attempts = 1, due_at = now(), settled_at = now(), http_status = 200, error = 'x', payload = NULL, run_id = NULL$$,
    $$INSERT INTO imprint_sync.outbox (customer_id, payload, priority, run_id) VALUES ('a', NULL, 1, 1)$$,
    $$DELETE FROM imprint_sync.outbox WHERE customer_id = 'nobody'$$,
    $$SELECT last_value FROM imprint_sync.outbox_id_seq$$,
    $$SELECT last_value FROM imprint_sync.idle_until$$,
    $$INSERT INTO imprint_sync.customer_state (customer_key) VALUES ('a') ON CONFLICT (customer_key) DO UPDATE SET accepted_id = 1$$,
    $$SELECT * FROM imprint_sync.customer_state$$,
    $$DELETE FROM imprint_sync.customer_state$$,
    $$SELECT slot FROM imprint_sync.lease ORDER BY slot FOR KEY SHARE$$,
    $$SELECT * FROM imprint_sync.instance$$,
    $$SELECT * FROM imprint_sync.watched$$,
    $$SELECT * FROM imprint_sync.watch_check()$$,
    $$DELETE FROM imprint_sync.watch_error WHERE id <= 0$$,
    $$SELECT * FROM imprint_sync.schema_version$$,
    $$SELECT imprint_sync.report('x', '{}')$$,
    $$SELECT * FROM imprint_sync.vacuum_blocker()$$,
    $$SELECT imprint_sync.error_type(400::smallint, 'x'), imprint_sync.error_params(400::smallint, 'x')$$,
    $$SELECT imprint_sync.retry_thin('{1}')$$,
    $$SELECT imprint_sync.retry_later('{1}', 0, 10)$$,
    $$SELECT imprint_sync.retry_hold('{1}', '{}', 0, false, now(), '1 min')$$,
    $$SELECT imprint_sync.retry_release('{1}', 0)$$,
    $$INSERT INTO imprint_sync.discarded (row_id, customer_id, created_at, attempts, error_type, error_params, discarded_by)
      VALUES (1, 'a', now(), 1, 't', '{}', 'me')$$,
    $$UPDATE imprint_sync.last_prune SET ended_at = now(), deleted = 1, kept_since = now()$$,
    $$SELECT imprint_sync.idle(0)$$,
    $$SELECT imprint_sync.heartbeat('x', '', 1, '', '', true, '{}', '{}', '{}', '{}', '{}', '{}', '{}')$$,
    $$SELECT imprint_sync.goodbye('x')$$]) AS s;
SELECT is(pg_temp.as_role('t_daemon', s), '42501', 'daemon may not: ' || s) FROM unnest(ARRAY[
    $$UPDATE imprint_sync.outbox SET customer_id = 'b'$$,
    $$UPDATE imprint_sync.outbox SET created_at = now()$$,
    $$INSERT INTO imprint_sync.outbox (customer_id, status) VALUES ('a', 'done')$$,
    $$TRUNCATE imprint_sync.outbox$$,
    $$ALTER TABLE imprint_sync.outbox DISABLE TRIGGER USER$$,
    $$UPDATE imprint_sync.lease SET holder = 'me'$$,
    $$UPDATE imprint_sync.lease SET epoch = epoch + 1$$,
    $$DELETE FROM imprint_sync.lease$$,
    $$INSERT INTO imprint_sync.lease (slot) VALUES (1)$$,
    $$UPDATE imprint_sync.instance SET beats = 0$$,
    $$UPDATE imprint_sync.instance SET stats = NULL$$,
    $$DELETE FROM imprint_sync.discarded$$,
    $$DELETE FROM imprint_sync.last_prune$$,
    $$INSERT INTO imprint_sync.watched (watched_name) VALUES ('x')$$,
    $$INSERT INTO imprint_sync.watch_error (watched_name, trigger_name, sqlstate) VALUES ('x', 'x', 'x')$$,
    $$INSERT INTO imprint_sync.schema_version VALUES (99)$$,
    $$SELECT imprint_sync.watch('pg_class', 'oid', 'oid', 'pg_class', 'oid')$$,
    $$SELECT imprint_sync.unwatch('pg_class')$$,
    $$CREATE FUNCTION imprint_sync.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'$$]) AS s;
SELECT is(pg_has_role('t_daemon', 'imprint_sync_owner', 'MEMBER'), false, 'the daemon cannot become the owner');

SELECT * FROM finish();
ROLLBACK;

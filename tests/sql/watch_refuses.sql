-- What watch() refuses, with a message that says why, and who may call it.
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
SELECT no_plan();
SET LOCAL client_min_messages = error;

CREATE SCHEMA t_crm;
CREATE TABLE t_crm.customers (id int PRIMARY KEY, imprint_id text, doc json, tags int[], at xid);
CREATE TABLE t_crm.orders (id int PRIMARY KEY, customer int, ref uuid, doc json);
CREATE VIEW t_crm.v AS SELECT * FROM t_crm.customers;
CREATE MATERIALIZED VIEW t_crm.m AS SELECT * FROM t_crm.customers;
CREATE SEQUENCE t_crm.s;
CREATE TEMP TABLE tmp (customer int);
CREATE TABLE t_crm.parts (customer int) PARTITION BY LIST (customer);
CREATE TABLE t_crm.part PARTITION OF t_crm.parts DEFAULT;

CREATE FUNCTION pg_temp.refused(args text, state text, message text, what text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT throws_like('SELECT imprint_sync.watch(' || args || ')', message, what)
    UNION ALL
    SELECT throws_ok('SELECT imprint_sync.watch(' || args || ')', state, NULL, what || ': ' || state) $$;

SELECT pg_temp.refused($$'t_crm.customers', 'id', 'imprint_id', 't_crm.v', 'id'$$, '42809', 't_crm.v cannot be watched: it is a view%', 'a view');
SELECT pg_temp.refused($$'t_crm.customers', 'id', 'imprint_id', 't_crm.m', 'id'$$, '42809', '%a materialized view%', 'a materialized view');
SELECT pg_temp.refused($$'t_crm.customers', 'id', 'imprint_id', 't_crm.s', 'last_value'$$, '42809', 't_crm.s cannot be watched%', 'a sequence');
SELECT pg_temp.refused($$'t_crm.customers', 'id', 'imprint_id', 'tmp', 'customer'$$, '42809', '%temporary table', 'a temporary table');
SELECT pg_temp.refused($$'t_crm.customers', 'id', 'imprint_id', 'pg_class', 'oid'$$, '42809', '%belongs to schema pg_catalog', 'a system table');
SELECT pg_temp.refused($$'t_crm.customers', 'id', 'imprint_id', 'information_schema.sql_features', 'feature_id'$$, '42809', '%information_schema', 'the other system schema');
SELECT pg_temp.refused($$'t_crm.customers', 'id', 'imprint_id', 'imprint_sync.outbox', 'id'$$, '42809', '%belongs to schema imprint_sync', 'the outbox');
SELECT pg_temp.refused($$'t_crm.customers', 'id', 'imprint_id', 't_crm.part', 'customer'$$, '42809', 't_crm.part cannot be watched alone: it is a part of t_crm.parts', 'a partition alone');
SELECT pg_temp.refused($$'t_crm.m', 'id', 'imprint_id', 't_crm.orders', 'customer'$$, '42809', 't_crm.m cannot be the source%', 'a materialized view as the source');
SELECT pg_temp.refused($$'t_crm.customers', 'nope', 'imprint_id', 't_crm.orders', 'customer'$$, '42703', 't_crm.customers has no column nope', 'no source key');
SELECT pg_temp.refused($$'t_crm.customers', 'id', 'nope', 't_crm.orders', 'customer'$$, '42703', 't_crm.customers has no column nope', 'no id column');
SELECT pg_temp.refused($$'t_crm.customers', 'id', 'imprint_id', 't_crm.orders', 'nope'$$, '42703', 't_crm.orders has no column nope', 'no key column');
SELECT pg_temp.refused($$'t_crm.customers', 'id', 'imprint_id', 't_crm.orders', 'ctid'$$, '42703', '%no column ctid', 'a system column');
SELECT pg_temp.refused($$'t_crm.customers', 'id', 'imprint_id', 't_crm.orders', NULL$$, '42703', '%no column NULL', 'NULL');
SELECT pg_temp.refused($$NULL, 'id', 'imprint_id', 't_crm.orders', 'customer'$$, '42P01', 'there is no relation%', 'NULL as the source');
SELECT pg_temp.refused($$'t_crm.customers', 'id', 'imprint_id', NULL, 'customer'$$, '42P01', 'there is no relation%', 'NULL as the table');
SELECT pg_temp.refused($$'t_crm.customers', 'id', 'imprint_id', 't_crm.orders', 'ref'$$, '42804', 'column ref of t_crm.orders (uuid) cannot be compared with column id of t_crm.customers (integer)', 'uuid and int');
SELECT pg_temp.refused($$'t_crm.customers', 'doc', 'imprint_id', 't_crm.orders', 'doc'$$, '42804', '%json%cannot be compared%', 'json keys');
SELECT pg_temp.refused($$'t_crm.customers', 'imprint_id', 'imprint_id', 't_crm.orders', 'doc'$$, '42804', '%json%cannot be compared%', 'a json key without lookup');
SELECT pg_temp.refused($$'t_crm.customers', 'tags', 'imprint_id', 't_crm.customers', 'tags'$$, '42804', '%cannot be compared%', 'array keys');
SELECT throws_ok($$SELECT imprint_sync.watch('t_crm.nope', 'id', 'imprint_id', 't_crm.orders', 'customer')$$, '42P01', NULL, 'no such table');

-- foreign tables, alone and as a partition, where transition tables would fail every INSERT
CREATE FOREIGN DATA WRAPPER t_fdw;
CREATE SERVER t_server FOREIGN DATA WRAPPER t_fdw;
CREATE FOREIGN TABLE t_crm.f (customer int) SERVER t_server;
SELECT pg_temp.refused($$'t_crm.customers', 'id', 'imprint_id', 't_crm.f', 'customer'$$, '42809', '%a foreign table%', 'a foreign table');
CREATE FOREIGN TABLE t_crm.part_f PARTITION OF t_crm.parts FOR VALUES IN (1) SERVER t_server;
SELECT pg_temp.refused($$'t_crm.customers', 'id', 'imprint_id', 't_crm.parts', 'customer'$$, '42809', 't_crm.part_f cannot be watched%', 'a foreign partition');

-- what a subscription writes
INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate) VALUES (1, 't_crm.orders'::regclass, 'r');
SELECT pg_temp.refused($$'t_crm.customers', 'id', 'imprint_id', 't_crm.orders', 'customer'$$, '42809', '%a subscription writes it%', 'a subscription target');
DELETE FROM pg_subscription_rel WHERE srrelid = 't_crm.orders'::regclass;

SELECT is((SELECT count(*) FROM imprint_sync.watched WHERE source_name LIKE 't\_crm.%' OR watched_name LIKE 't\_crm.%'), 0::bigint, 'what is refused leaves nothing behind');
SELECT is((SELECT count(*) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = 't_crm'::regnamespace AND NOT tgisinternal), 0::bigint, 'no trigger');

-- who may call it: a member of the owner role, with its own rights on the tables
CREATE ROLE t_dba IN ROLE imprint_sync_owner;
CREATE ROLE t_half IN ROLE imprint_sync_owner;
CREATE FUNCTION pg_temp.as_role(who name, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE hint text;
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', who);
    EXECUTE statement;
    RESET ROLE;
    RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN SQLSTATE || ' ' || SQLERRM || coalesce(' / ' || nullif(hint, ''), '');
END $$;
GRANT USAGE ON SCHEMA t_crm TO t_half;
SELECT is(pg_temp.as_role('t_half', $$SELECT imprint_sync.watch('t_crm.v', 'id', 'imprint_id', 't_crm.orders', 'customer')$$),
          '42501 role t_half may not create triggers on t_crm.orders / Call watch as the owner of the table.', 'no right to create triggers');
GRANT TRIGGER ON t_crm.orders TO t_half;
SELECT is(pg_temp.as_role('t_half', $$SELECT imprint_sync.watch('t_crm.v', 'id', 'imprint_id', 't_crm.orders', 'customer')$$),
          '42501 role t_half may not grant imprint_sync_owner what its triggers need / Let the owner run first: '
          'GRANT USAGE ON SCHEMA t_crm TO imprint_sync_owner; GRANT SELECT (id, imprint_id) ON t_crm.v TO imprint_sync_owner', 'no right to grant: it says what is missing');
GRANT USAGE ON SCHEMA t_crm TO imprint_sync_owner;
GRANT SELECT (id, imprint_id) ON t_crm.v TO imprint_sync_owner;
SELECT is(pg_temp.as_role('t_half', $$SELECT imprint_sync.watch('t_crm.v', 'id', 'imprint_id', 't_crm.orders', 'customer')$$), 'ok', 'what was granted before need not be granted');
REVOKE USAGE ON SCHEMA t_crm FROM imprint_sync_owner;
SELECT is((SELECT string_agg(problem, ', ') FROM imprint_sync.watch_check()), 'imprint_sync_owner may not read t_crm.v', 'a right taken away is reported');
SELECT imprint_sync.unwatch('t_crm.orders');
CREATE SCHEMA t_own AUTHORIZATION t_dba;
SET LOCAL ROLE t_dba;
CREATE TABLE t_own.customers (id int PRIMARY KEY, imprint_id text, secret text);
CREATE TABLE t_own.orders (customer int);
SELECT lives_ok($$SELECT imprint_sync.watch('t_own.customers', 'id', 'imprint_id', 't_own.orders', 'customer')$$, 'the owner of the tables');
RESET ROLE;
SELECT is(has_column_privilege('imprint_sync_owner', 't_own.customers', 'secret', 'SELECT'), false, 'only the two columns are granted');
SELECT is((SELECT proowner::regrole::text FROM pg_proc WHERE oid = (SELECT tgfoid FROM pg_trigger WHERE tgrelid = 't_own.orders'::regclass LIMIT 1)),
          'imprint_sync_owner', 'the trigger function belongs to the owner role, whoever asked for it');
INSERT INTO t_own.customers VALUES (1, 'D1');
INSERT INTO t_own.orders VALUES (1);
SELECT is((SELECT count(*) FROM imprint_sync.outbox WHERE customer_id = 'D1'), 1::bigint, 'and works');

-- a source that the trigger would not be able to read in full
CREATE VIEW t_crm.invoker WITH (security_invoker) AS SELECT * FROM t_crm.customers;
SELECT pg_temp.refused($$'t_crm.invoker', 'id', 'imprint_id', 't_crm.orders', 'customer'$$, '42501', 'permission denied%', 'a view with the rights of its reader');
CREATE TABLE t_crm.rls (id int PRIMARY KEY, imprint_id text);
ALTER TABLE t_crm.rls ENABLE ROW LEVEL SECURITY;
SELECT pg_temp.refused($$'t_crm.rls', 'id', 'imprint_id', 't_crm.orders', 'customer'$$, 'P0001', 'row security of t_crm.rls hides%', 'row security that hides rows');

SELECT * FROM finish();
ROLLBACK;

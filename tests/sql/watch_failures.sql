-- A trigger that fails never fails the CRM's statement, and is found by the check. The WARNING is
-- in test_sessions.py.
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
SELECT no_plan();
SET LOCAL client_min_messages = error;

CREATE SCHEMA t_crm;
CREATE TABLE t_crm.customers (id int PRIMARY KEY, imprint_id text, amount text);
CREATE TABLE t_crm.orders (id int PRIMARY KEY, customer int);
CREATE VIEW t_crm.v AS SELECT id, imprint_id || CASE WHEN amount::numeric > 0 THEN '' ELSE '' END AS imprint_id FROM t_crm.customers;
SELECT imprint_sync.watch('t_crm.v', 'id', 'imprint_id', 't_crm.orders', 'customer');
INSERT INTO t_crm.customers VALUES (1, 'C1', '5'), (2, 'C2', 'n/a');
DELETE FROM imprint_sync.outbox;
DELETE FROM imprint_sync.watch_error;

CREATE FUNCTION pg_temp.problems() RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(DISTINCT watched || ': ' || problem, ', '), '') FROM imprint_sync.watch_check() $$;
CREATE FUNCTION pg_temp.errors() RETURNS text LANGUAGE plpgsql AS $$
DECLARE seen text;
BEGIN
    SELECT coalesce(string_agg(format('%s %s', watched_name, sqlstate), ', ' ORDER BY id), '') INTO seen FROM imprint_sync.watch_error;
    DELETE FROM imprint_sync.watch_error;
    RETURN seen;
END $$;

SELECT is(pg_temp.problems(), '', 'all is well');
SELECT lives_ok($$INSERT INTO t_crm.orders VALUES (1, 1)$$, 'a good row');
SELECT is(pg_temp.errors(), '', 'no error');
SELECT lives_ok($$INSERT INTO t_crm.orders VALUES (2, 2)$$, 'a source row that cannot be read does not fail the INSERT');
SELECT is((SELECT count(*) FROM t_crm.orders), 2::bigint, 'the row is there');
SELECT is(pg_temp.errors(), 't_crm.orders 22P02', 'the failure is written down, without a value');
SELECT is((SELECT count(*) FROM imprint_sync.outbox), 1::bigint, 'only the good row was enqueued');

-- the queue itself fails, then even the list of failures
ALTER TABLE imprint_sync.outbox ADD CONSTRAINT t_never CHECK (customer_id = '') NOT VALID;
SELECT lives_ok($$UPDATE t_crm.orders SET customer = NULL WHERE id = 1$$, 'a queue that cannot be written');
SELECT is(pg_temp.errors(), 't_crm.orders 23514', 'is written down');
ALTER TABLE imprint_sync.watch_error ADD CONSTRAINT t_never CHECK (watched_name = '') NOT VALID;
SELECT lives_ok($$INSERT INTO t_crm.orders VALUES (3, 1)$$, 'nor is there a way to fail twice');
SELECT is(pg_temp.errors(), '', 'which leaves nothing but the warning');
ALTER TABLE imprint_sync.outbox DROP CONSTRAINT t_never;
ALTER TABLE imprint_sync.watch_error DROP CONSTRAINT t_never;

-- ASSERT is not among OTHERS; 40001 must reach the CRM, which repeats its transaction
CREATE FUNCTION t_crm.fails(state text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF state = 'assert' THEN ASSERT false, 'secret'; END IF;
    RAISE EXCEPTION 'secret' USING ERRCODE = state;
END $$;
CREATE TABLE t_crm.mode (state text);
INSERT INTO t_crm.mode VALUES ('assert');
CREATE OR REPLACE VIEW t_crm.v AS SELECT id, imprint_id FROM t_crm.customers WHERE t_crm.fails((SELECT state FROM t_crm.mode));
SELECT lives_ok($$INSERT INTO t_crm.orders VALUES (4, 1)$$, 'a failed assertion in the source');
SELECT is(pg_temp.errors(), 't_crm.orders P0004', 'is written down');
UPDATE t_crm.mode SET state = '40001';
SELECT throws_ok($$INSERT INTO t_crm.orders VALUES (5, 1)$$, '40001', NULL, 'a serialization failure is not swallowed');
UPDATE t_crm.mode SET state = '55P03';
SELECT lives_ok($$INSERT INTO t_crm.orders VALUES (5, 1)$$, 'a lock that was not got in time');
SELECT is(pg_temp.errors(), 't_crm.orders 55P03', 'is written down');
CREATE OR REPLACE VIEW t_crm.v AS SELECT id, imprint_id FROM t_crm.customers;

-- columns renamed by a later version of the CRM
ALTER TABLE t_crm.orders RENAME customer TO client;
SELECT lives_ok($$INSERT INTO t_crm.orders VALUES (6, 1)$$, 'key column renamed: INSERT');
SELECT lives_ok($$UPDATE t_crm.orders SET client = 2 WHERE id = 6$$, 'UPDATE');
SELECT lives_ok($$DELETE FROM t_crm.orders WHERE id = 6$$, 'DELETE');
SELECT is(pg_temp.errors(), 't_crm.orders 42703, t_crm.orders 42703, t_crm.orders 42703', 'each is written down');
SELECT is(pg_temp.problems(), 't_crm.orders: key column customer missing', 'and the check says why');
ALTER TABLE t_crm.orders RENAME client TO customer;
SELECT is(pg_temp.problems(), '', 'renamed back');
ALTER VIEW t_crm.v RENAME imprint_id TO imprint;
SELECT lives_ok($$INSERT INTO t_crm.orders VALUES (6, 1)$$, 'source column renamed');
SELECT is(pg_temp.errors(), 't_crm.orders 42703', 'is written down');
SELECT is(pg_temp.problems(), 't_crm.orders: source column imprint_id missing', 'and reported');
ALTER VIEW t_crm.v RENAME imprint TO imprint_id;
ALTER VIEW t_crm.v RENAME TO w;
SELECT lives_ok($$INSERT INTO t_crm.orders VALUES (7, 1)$$, 'source renamed');
SELECT is(pg_temp.errors(), 't_crm.orders 42P01', 'is written down');
SELECT is(pg_temp.problems(), 't_crm.orders: source t_crm.v renamed to t_crm.w', 'and reported');
SELECT imprint_sync.watch('t_crm.w', 'id', 'imprint_id', 't_crm.orders', 'customer');
SELECT is(pg_temp.problems(), '', 'watching again repairs it');
DELETE FROM imprint_sync.outbox;
INSERT INTO t_crm.orders VALUES (8, 1);
SELECT is((SELECT string_agg(customer_id, ' ') FROM imprint_sync.outbox), 'C1', 'and it works');
DROP VIEW t_crm.w;
SELECT lives_ok($$INSERT INTO t_crm.orders VALUES (9, 1)$$, 'source dropped');
SELECT is(pg_temp.problems(), 't_crm.orders: source t_crm.w dropped', 'is reported');
SELECT imprint_sync.watch('t_crm.customers', 'id', 'imprint_id', 't_crm.orders', 'customer');
SELECT is(pg_temp.problems(), '', 'another source repairs it');
ALTER TABLE t_crm.customers ENABLE ROW LEVEL SECURITY;
SELECT is(pg_temp.problems(), 't_crm.orders: row security of t_crm.customers hides rows', 'row security switched on later');
ALTER TABLE t_crm.customers DISABLE ROW LEVEL SECURITY;
DELETE FROM imprint_sync.watch_error;

-- triggers lost
CREATE FUNCTION pg_temp.trigger(event text) RETURNS name LANGUAGE sql AS $$
    SELECT imprint_sync.watch_trigger_name((SELECT id FROM imprint_sync.watched WHERE watched = 't_crm.orders'::regclass), event) $$;
DO $$ BEGIN EXECUTE format('ALTER TABLE t_crm.orders DISABLE TRIGGER %I', pg_temp.trigger('INSERT')); END $$;
SELECT results_eq($$SELECT * FROM imprint_sync.watch_check()$$, $$VALUES ('t_crm.orders', pg_temp.trigger('INSERT')::text, 'trigger disabled')$$, 'a disabled trigger');
SELECT imprint_sync.watch('t_crm.customers', 'id', 'imprint_id', 't_crm.orders', 'customer');
SELECT is(pg_temp.problems(), '', 'is enabled again');
DO $$ BEGIN EXECUTE format('DROP TRIGGER %I ON t_crm.orders', pg_temp.trigger('DELETE')); END $$;
SELECT results_eq($$SELECT * FROM imprint_sync.watch_check()$$, $$VALUES ('t_crm.orders', pg_temp.trigger('DELETE')::text, 'trigger missing')$$, 'a dropped trigger');
SELECT imprint_sync.watch('t_crm.customers', 'id', 'imprint_id', 't_crm.orders', 'customer');
SELECT is(pg_temp.problems(), '', 'is made again');
DO $$ BEGIN EXECUTE format('ALTER TABLE t_crm.orders ENABLE ALWAYS TRIGGER %I', pg_temp.trigger('INSERT')); END $$;
SELECT is(pg_temp.problems(), '', 'ENABLE ALWAYS is fine');
CREATE FUNCTION t_crm.other() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
DO $$ BEGIN EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER UPDATE ON t_crm.orders FOR EACH STATEMENT EXECUTE FUNCTION t_crm.other()', pg_temp.trigger('UPDATE')); END $$;
SELECT is(pg_temp.problems(), 't_crm.orders: trigger replaced', 'a replaced trigger');
SELECT imprint_sync.watch('t_crm.customers', 'id', 'imprint_id', 't_crm.orders', 'customer');
SELECT is(pg_temp.problems(), '', 'is put right');
-- a key that was unique when it was watched
CREATE TABLE t_crm.cards (customer int UNIQUE, v int);
SELECT imprint_sync.watch('t_crm.customers', 'id', 'imprint_id', 't_crm.cards', 'customer');
ALTER TABLE t_crm.cards DROP CONSTRAINT cards_customer_key;
SELECT is(pg_temp.problems(), 't_crm.cards: trigger missing', 'a key that is unique no more needs a DELETE trigger');
SELECT imprint_sync.unwatch('t_crm.cards');

-- tables renamed, swapped, dropped
ALTER TABLE t_crm.orders RENAME TO orders_old;
SELECT is(pg_temp.problems(), '', 'a renamed table is still watched');
DELETE FROM imprint_sync.outbox;
INSERT INTO t_crm.orders_old VALUES (20, 1);
SELECT is((SELECT string_agg(customer_id, ' ') FROM imprint_sync.outbox), 'C1', 'and works');
CREATE TABLE t_crm.orders (id int PRIMARY KEY, customer int);
SELECT is(pg_temp.problems(), 't_crm.orders: another table has its name now', 'a table swapped by rename');
DROP TABLE t_crm.orders_old;
SELECT is(pg_temp.problems(), 't_crm.orders: table dropped', 'a dropped table');
SELECT is((SELECT sum(imprint_sync.unwatch(watched)) FROM imprint_sync.watched WHERE watched_name = 't_crm.orders'), 1::bigint, 'can be unwatched');
SELECT is(pg_temp.problems(), '', 'and is forgotten');
SELECT is((SELECT count(*) FROM pg_proc WHERE pronamespace = 'imprint_sync'::regnamespace AND proname ~ '^watch_[0-9]+$'), (SELECT count(*) FROM imprint_sync.watched), 'with its function');

-- nothing of the session's search_path is ever called
CREATE SCHEMA t_evil;
GRANT USAGE ON SCHEMA t_evil TO PUBLIC;     -- a schema that one may not use is not searched
CREATE FUNCTION t_evil.trap() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;
CREATE FUNCTION t_evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT t_evil.trap()::timestamptz';
CREATE FUNCTION t_evil.format(text, VARIADIC text[]) RETURNS text LANGUAGE sql AS 'SELECT t_evil.trap()';
CREATE FUNCTION t_evil.lower(text) RETURNS text LANGUAGE sql AS 'SELECT t_evil.trap()';
CREATE FUNCTION t_evil.sha256(bytea) RETURNS bytea LANGUAGE sql AS 'SELECT t_evil.trap()::bytea';
CREATE FUNCTION t_evil.array_agg(int) RETURNS int[] LANGUAGE sql AS 'SELECT t_evil.trap()::int[]';
CREATE FUNCTION t_evil.pg_notify(text, text) RETURNS void LANGUAGE sql AS 'SELECT t_evil.trap()';
CREATE FUNCTION t_evil.current_setting(text) RETURNS text LANGUAGE sql AS 'SELECT t_evil.trap()';
CREATE FUNCTION t_evil.eq(int, int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;
CREATE OPERATOR t_evil.= (LEFTARG = int, RIGHTARG = int, FUNCTION = t_evil.eq);
CREATE TABLE t_evil.outbox (customer_id text);
CREATE TABLE t_evil.watched (customer_id text);
CREATE TABLE t_evil.pg_class (oid int);
CREATE TABLE t_crm.items (id int, customer int);
SET LOCAL search_path = t_evil, pg_catalog, public;
CREATE TEMP TABLE outbox (customer_id text);
CREATE TEMP TABLE pg_trigger (oid int);
CREATE FUNCTION pg_temp.current_setting(text) RETURNS text LANGUAGE sql AS 'SELECT t_evil.trap()';
SELECT imprint_sync.idle(9999999999);
-- Not within pgTAP's functions, which would step into the traps themselves.
SELECT imprint_sync.watch('t_crm.customers', 'id', 'imprint_id', 't_crm.items', 'customer');
INSERT INTO t_crm.items VALUES (1, 1);
UPDATE t_crm.items SET customer = 2;
SELECT FROM imprint_sync.heartbeat('t_x', '', 1, '', '', true, '{}', '{}', '{}', '{}', '{}', '{}', '{}');
SELECT imprint_sync.goodbye('t_x');
SELECT FROM imprint_sync.watch_check();
SELECT imprint_sync.unwatch('t_crm.items');
SET LOCAL search_path = public;
SELECT imprint_sync.idle(0);
SELECT is(pg_temp.errors(), '', 'hijack: nothing failed');
SELECT is((SELECT count(*) FROM imprint_sync.outbox WHERE customer_id IN ('C1', 'C2')), 4::bigint, 'hijack: the rows are in the queue');

SELECT * FROM finish();
ROLLBACK;

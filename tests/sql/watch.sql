-- What a change of a watched table enqueues.
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
SELECT no_plan();
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS citext SCHEMA public;

CREATE SCHEMA t_crm;
CREATE TABLE t_crm.customers (id int PRIMARY KEY, imprint_id text, name text, doc json);
CREATE TABLE t_crm.addresses (id int PRIMARY KEY, city text, doc json, keys int, k text, n text, o text, new_rows text,
    customer int REFERENCES t_crm.customers ON DELETE SET NULL ON UPDATE CASCADE);
CREATE TABLE t_crm.orders (id int PRIMARY KEY, customer int REFERENCES t_crm.customers ON DELETE CASCADE, amount numeric);
CREATE VIEW t_crm.source AS
    SELECT c.id, c.imprint_id, c.name, c.id AS keys, o.total FROM t_crm.customers c
      LEFT JOIN (SELECT customer, sum(amount) AS total FROM t_crm.orders GROUP BY 1) o ON o.customer = c.id;
SELECT imprint_sync.watch('t_crm.source', 'id', 'imprint_id', 't_crm.customers', 'id');
SELECT imprint_sync.watch('t_crm.source', 'keys', 'imprint_id', 't_crm.addresses', 'customer');
SELECT imprint_sync.watch('t_crm.source', 'id', 'imprint_id', 't_crm.orders', 'customer');

-- Runs one statement and says which customers it enqueued.
CREATE FUNCTION pg_temp.enqueued(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE seen text;
BEGIN
    DELETE FROM imprint_sync.outbox;
    EXECUTE statement;
    SELECT string_agg(customer_id || CASE WHEN payload IS NULL AND priority = 0 AND status = 'pending' THEN '' ELSE '?' END,
                      ' ' ORDER BY customer_id COLLATE "C") INTO seen FROM imprint_sync.outbox;
    RETURN coalesce(seen, '');
END $$;

-- the customer's own row
SELECT is(pg_temp.enqueued($$INSERT INTO t_crm.customers SELECT i, 'C' || i, 'n' || i, '{}' FROM generate_series(1, 4) i$$),
          'C1 C2 C3 C4', 'INSERT of several rows: each customer, thin and live');
SELECT is(pg_temp.enqueued($$INSERT INTO t_crm.customers VALUES (5, NULL, 'unlinked', NULL)$$), '', 'no Imprint id, nothing to send');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.customers SET name = 'x' WHERE id = 1$$), 'C1', 'UPDATE');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.customers SET name = name$$), '', 'an UPDATE that changes nothing enqueues nothing');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.customers SET name = 'x'$$), 'C2 C3 C4', 'only rows that changed');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.customers SET doc = '{"a": 1}' WHERE id = 2$$), 'C2', 'json columns are compared');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.customers SET name = NULL WHERE id = 2$$), 'C2', 'to NULL');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.customers SET name = '' WHERE id = 2$$), 'C2', 'NULL and empty are different');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.customers SET imprint_id = 'C5' WHERE id = 5$$), 'C5', 'linking enqueues');
SELECT is(pg_temp.enqueued($$INSERT INTO t_crm.customers VALUES (1, 'C1', 'y', NULL), (6, 'C6', 'z', NULL)
                             ON CONFLICT (id) DO UPDATE SET name = excluded.name$$), 'C1 C6', 'ON CONFLICT: inserted and updated');
SELECT is(pg_temp.enqueued($$INSERT INTO t_crm.customers VALUES (1, 'C1', 'y', NULL)
                             ON CONFLICT (id) DO UPDATE SET name = excluded.name$$), '', 'ON CONFLICT that changes nothing');
SELECT is(pg_temp.enqueued($$INSERT INTO t_crm.customers VALUES (1, 'C1', 'q', NULL) ON CONFLICT DO NOTHING$$), '', 'ON CONFLICT DO NOTHING');
SELECT is(pg_temp.enqueued($$MERGE INTO t_crm.customers c USING (VALUES (6, 'm'), (7, 'm')) v (id, name) ON c.id = v.id
                             WHEN MATCHED THEN UPDATE SET name = v.name
                             WHEN NOT MATCHED THEN INSERT VALUES (v.id, 'C7', v.name, NULL)$$), 'C6 C7', 'MERGE');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.customers SET name = CASE id WHEN 1 THEN 'swap1' ELSE name END,
                                    id = CASE id WHEN 3 THEN 30 ELSE id END WHERE id IN (1, 3)$$), 'C1 C3', 'a changed key: the customer under its new key');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.customers SET id = 3 WHERE id = 30$$), 'C3', 'and back');
SELECT is(pg_temp.enqueued($$DELETE FROM t_crm.customers WHERE id = 7$$), '', 'the customer''s own row deleted: nobody to send');
SELECT hasnt_trigger('t_crm', 'customers', imprint_sync.watch_trigger_name((SELECT id FROM imprint_sync.watched WHERE watched = 't_crm.customers'::regclass), 'DELETE'),
                     'no DELETE trigger where the key is unique');

DELETE FROM imprint_sync.outbox;
COPY t_crm.customers (id, imprint_id) FROM STDIN;
8	C8
9	C9
\.
SELECT is((SELECT string_agg(customer_id, ' ' ORDER BY customer_id) FROM imprint_sync.outbox), 'C8 C9', 'COPY');

-- rows that belong to a customer; the table and the source have columns named like the function's own names
SELECT is(pg_temp.enqueued($$INSERT INTO t_crm.addresses (id, customer, n, keys) SELECT i, 1 + i % 2, 'n', 99 FROM generate_series(1, 10) i$$),
          'C1 C2', 'each customer once a statement');
SELECT is(pg_temp.enqueued($$INSERT INTO t_crm.addresses (id, customer) SELECT i, 4 FROM generate_series(101, 2600) i$$),
          'C4', 'however many rows it has');
SELECT is(pg_temp.enqueued($$INSERT INTO t_crm.addresses (id, customer) VALUES (11, NULL)$$), '', 'NULL key');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.addresses SET city = 'x' WHERE id = 11$$), '', 'NULL key updated');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.addresses SET customer = 3 WHERE id = 1$$), 'C2 C3', 'a moved row marks both');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.addresses SET customer = NULL WHERE id = 1$$), 'C3', 'moved to nobody');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.addresses SET customer = 3 WHERE id = 1$$), 'C3', 'and from nobody');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.addresses SET customer = 2 WHERE id = 1$$), 'C2 C3', 'a single row that moves marks both');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.addresses SET customer = 3 WHERE id = 1$$), 'C2 C3', 'and back');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.addresses SET k = 'k', o = 'o', new_rows = 'r' WHERE id = 1$$), 'C3', 'columns may have any name');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.addresses SET n = 'other' WHERE id = 1$$), 'C3', 'also that of an alias');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.addresses SET doc = '{"x":1}' WHERE id = 2$$), 'C1', 'json column');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.addresses SET doc = '{"x":1}' WHERE id = 2$$), '', 'json column unchanged');
SELECT is(pg_temp.enqueued($$DELETE FROM t_crm.addresses WHERE id IN (1, 2)$$), 'C1 C3', 'DELETE changes a customer that lives on');
SELECT is(pg_temp.enqueued($$DELETE FROM t_crm.addresses WHERE false$$), '', 'DELETE of nothing');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.addresses a SET city = b.city FROM (VALUES (3, 'p'), (5, 'p')) b (id, city) WHERE a.id = b.id$$),
          'C2', 'UPDATE of several rows of one customer');
-- two rows swap their contents: as sets of rows old and new differ in the keys only
SELECT is(pg_temp.enqueued($$UPDATE t_crm.addresses SET customer = CASE customer WHEN 1 THEN 2 ELSE 1 END WHERE id IN (3, 4)$$), 'C1 C2', 'swapped customers');

-- cascades
INSERT INTO t_crm.orders SELECT i, 1 + i % 4, i FROM generate_series(1, 20) i;
SELECT is(pg_temp.enqueued($$UPDATE t_crm.customers SET id = 40 WHERE id = 9$$), 'C9', 'ON UPDATE CASCADE without children');
UPDATE t_crm.addresses SET customer = 40 WHERE id = 5;
SELECT is(pg_temp.enqueued($$UPDATE t_crm.customers SET id = 9 WHERE id = 40$$), 'C9 C9', 'ON UPDATE CASCADE: the parent''s statement and the child''s');
CREATE TABLE t_crm.groups (id int PRIMARY KEY);
CREATE TABLE t_crm.memberships (grp int REFERENCES t_crm.groups ON DELETE CASCADE, customer int);
SELECT imprint_sync.watch('t_crm.source', 'id', 'imprint_id', 't_crm.memberships', 'customer');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.orders SET amount = 3.00 WHERE id = 3$$), 'C4', '3 and 3.00 are equal, not the same');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.orders SET amount = 3.00 WHERE id = 3$$), '', '3.00 and 3.00 are the same');
INSERT INTO t_crm.groups VALUES (1), (2);
INSERT INTO t_crm.memberships VALUES (1, 1), (1, 2), (2, 3);
SELECT is(pg_temp.enqueued($$DELETE FROM t_crm.groups WHERE id = 1$$), 'C1 C2', 'ON DELETE CASCADE: the customers of the deleted children');
SELECT is(pg_temp.enqueued($$DELETE FROM t_crm.customers WHERE id = 9$$), '', 'ON DELETE SET NULL of a customer that is gone');
SELECT is((SELECT count(*) FROM imprint_sync.watch_error), 0::bigint, 'and nothing failed so far');

-- more keys than one array holds
INSERT INTO t_crm.customers SELECT i, 'C' || i FROM generate_series(1001, 3500) i;
SELECT is(length(pg_temp.enqueued($$UPDATE t_crm.customers SET name = 'bulk' WHERE id > 1000$$)), 2500 * 6 - 1, 'a statement of 2,500 customers');
SELECT is((SELECT count(DISTINCT customer_id) FROM imprint_sync.outbox), 2500::bigint, 'each of them once');

-- the key is the Imprint id: no lookup, so no source row is needed
CREATE TABLE t_crm.prefs (imprint_id text, news boolean);
SELECT imprint_sync.watch('t_crm.source', 'imprint_id', 'imprint_id', 't_crm.prefs', 'imprint_id');
SELECT is(pg_temp.enqueued($$INSERT INTO t_crm.prefs VALUES ('P1', true), ('P1', false), (NULL, true), ('P2', true)$$), 'P1 P2', 'direct: INSERT');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.prefs SET imprint_id = 'P3' WHERE imprint_id = 'P2'$$), 'P2 P3', 'direct: moved');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.prefs SET news = news$$), '', 'direct: unchanged');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.prefs SET news = false WHERE imprint_id IS NULL$$), '', 'direct: nobody''s row');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.prefs SET imprint_id = 'P4' WHERE imprint_id IS NULL$$), 'P4', 'direct: it becomes somebody''s');
SELECT is((SELECT count(*) FROM imprint_sync.watch_error), 0::bigint, 'and nothing failed so far');
SELECT is(pg_temp.enqueued($$DELETE FROM t_crm.prefs WHERE imprint_id = 'P1'$$), 'P1', 'direct: DELETE, key not unique');

-- two source rows with one Imprint id: the daemon settles that as dead, it needs no two rows
CREATE TABLE t_crm.twice (id int, imprint_id text);
CREATE TABLE t_crm.notes (twice int);
INSERT INTO t_crm.twice VALUES (1, 'T1'), (2, 'T1'), (3, 'T3');
SELECT imprint_sync.watch('t_crm.twice', 'id', 'imprint_id', 't_crm.notes', 'twice');
SELECT is(pg_temp.enqueued($$INSERT INTO t_crm.notes VALUES (1), (2)$$), 'T1', 'two keys of one customer');

-- which unique indexes say "the customer's own row"
CREATE TABLE t_crm.u (a int, b int, c int, d int UNIQUE DEFERRABLE, e int, f int, g int UNIQUE);
CREATE UNIQUE INDEX ON t_crm.u (a) WHERE a > 0;
CREATE UNIQUE INDEX ON t_crm.u (b, c);
CREATE UNIQUE INDEX ON t_crm.u ((e + 1));
CREATE UNIQUE INDEX ON t_crm.u (f) INCLUDE (a);
SELECT is((SELECT string_agg(v, ' ') FROM imprint_sync.watch_events('t_crm.u', k) v), 'INSERT UPDATE DELETE', k || ' is not unique')
  FROM unnest('{a,b,c,d,e}'::name[]) k;
SELECT is((SELECT string_agg(v, ' ') FROM imprint_sync.watch_events('t_crm.u', k) v), 'INSERT UPDATE', k || ' is unique')
  FROM unnest('{f,g}'::name[]) k;

-- types: native comparison, by the type's own equality
CREATE DOMAIN t_crm.ref AS int;
CREATE TABLE t_crm.by_domain (customer t_crm.ref, v int);
CREATE TABLE t_crm.by_bigint (customer bigint, v int);
CREATE TABLE t_crm.padded (code char(3) PRIMARY KEY, imprint_id text);
CREATE TABLE t_crm.by_code (code char(3), v bit(4));
SELECT imprint_sync.watch('t_crm.padded', 'code', 'imprint_id', 't_crm.by_code', 'code');
INSERT INTO t_crm.padded VALUES ('ab', 'CA'), ('xyz', 'CX');
SELECT is(pg_temp.enqueued($$INSERT INTO t_crm.by_code VALUES ('ab', '1010')$$), 'CA', 'a key of fixed length');
SELECT is(pg_temp.enqueued($$INSERT INTO t_crm.by_code VALUES ('xyz', '1010'), ('ab', '0001')$$), 'CA CX', 'two of them');
SELECT is((SELECT count(*) FROM imprint_sync.watch_error), 0::bigint, 'without a failure');
SELECT imprint_sync.watch('t_crm.source', 'id', 'imprint_id', 't_crm.by_domain', 'customer');
SELECT imprint_sync.watch('t_crm.source', 'id', 'imprint_id', 't_crm.by_bigint', 'customer');
SELECT is(pg_temp.enqueued($$INSERT INTO t_crm.by_domain VALUES (1, 1)$$), 'C1', 'a domain');
SELECT is(pg_temp.enqueued($$INSERT INTO t_crm.by_bigint VALUES (2, 1)$$), 'C2', 'bigint to int');
CREATE TABLE t_crm.accounts (mail citext PRIMARY KEY, imprint_id uuid);
CREATE TABLE t_crm.logins (mail citext, v float8, at timestamptz, code varchar(10), flag char(5));
SELECT imprint_sync.watch('t_crm.accounts', 'mail', 'imprint_id', 't_crm.logins', 'mail');
INSERT INTO t_crm.accounts VALUES ('Ada@example.com', '00000000-0000-0000-0000-00000000000A');
SELECT is(pg_temp.enqueued($$INSERT INTO t_crm.logins VALUES ('ADA@EXAMPLE.COM', 1)$$), '00000000-0000-0000-0000-00000000000a', 'citext, uuid');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.logins SET mail = 'ada@example.com'$$), '00000000-0000-0000-0000-00000000000a', 'equal is not the same');
CREATE DOMAIN t_crm.mail AS citext;
CREATE TABLE t_crm.mails (mail t_crm.mail);
SELECT imprint_sync.watch('t_crm.accounts', 'mail', 'imprint_id', 't_crm.mails', 'mail');
SELECT is(pg_temp.enqueued($$INSERT INTO t_crm.mails VALUES ('ADA@EXAMPLE.COM')$$), '00000000-0000-0000-0000-00000000000a', 'a domain over citext');
SET LOCAL extra_float_digits = -15;
SELECT is(pg_temp.enqueued($$UPDATE t_crm.logins SET v = 1.0000000001$$), '00000000-0000-0000-0000-00000000000a', 'a difference that the session would not print');
RESET extra_float_digits;
SET LOCAL "DateStyle" = 'SQL, DMY'; SET LOCAL TimeZone = 'Asia/Pyongyang';
UPDATE t_crm.logins SET at = '2015-08-14 15:20:00Z';
SELECT is(pg_temp.enqueued($$UPDATE t_crm.logins SET at = at - interval '30 min'$$), '00000000-0000-0000-0000-00000000000a', 'nor the hour that the clock repeats');
RESET "DateStyle"; RESET TimeZone;

-- names that need quoting
CREATE SCHEMA "t ""x"" %1$s $$";
CREATE TABLE "t ""x"" %1$s $$"."cust'omers %s" ("id ;--" int PRIMARY KEY, "Imprint %I" text, "a $sql$ b" text);
SELECT imprint_sync.watch('"t ""x"" %1$s $$"."cust''omers %s"', 'id ;--', 'Imprint %I', '"t ""x"" %1$s $$"."cust''omers %s"', 'id ;--');
SELECT is(pg_temp.enqueued('INSERT INTO "t ""x"" %1$s $$"."cust''omers %s" VALUES (1, ''Q1'')'), 'Q1', 'any identifier works');
SELECT is(pg_temp.enqueued('UPDATE "t ""x"" %1$s $$"."cust''omers %s" SET "a $sql$ b" = ''x'''), 'Q1', 'in the UPDATE trigger too');

-- partitions, two levels, and a classic child
CREATE TABLE t_crm.events (id int, customer int, day date, v int) PARTITION BY RANGE (day);
CREATE TABLE t_crm.events_1 PARTITION OF t_crm.events FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE t_crm.events_2 PARTITION OF t_crm.events FOR VALUES FROM ('2024-02-01') TO ('2024-03-01') PARTITION BY LIST (customer);
CREATE TABLE t_crm.events_2a PARTITION OF t_crm.events_2 DEFAULT;
SELECT imprint_sync.watch('t_crm.source', 'id', 'imprint_id', 't_crm.events', 'customer');
SELECT is(pg_temp.enqueued($$INSERT INTO t_crm.events VALUES (1, 1, '2024-01-05', 1), (2, 2, '2024-02-05', 1)$$), 'C1 C2', 'through the parent, once');
SELECT is(pg_temp.enqueued($$INSERT INTO t_crm.events_1 VALUES (3, 3, '2024-01-06', 1)$$), 'C3', 'into a partition');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.events_2a SET v = 2$$), 'C2', 'in a partition of a partition');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.events_2 SET v = 3$$), 'C2', 'in the middle');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.events SET day = '2024-02-07' WHERE id = 1$$), 'C1', 'moved to another partition');
SELECT is(pg_temp.enqueued($$DELETE FROM t_crm.events_1$$), 'C3', 'DELETE in a partition');
CREATE TABLE t_crm.events_3 PARTITION OF t_crm.events FOR VALUES FROM ('2024-03-01') TO ('2024-04-01');
SELECT is((SELECT string_agg(watched || ': ' || problem, ', ') FROM imprint_sync.watch_check()),
          repeat('t_crm.events_3: partition without trigger, ', 2) || 't_crm.events_3: partition without trigger', 'a partition added later is reported');
SELECT imprint_sync.watch('t_crm.source', 'id', 'imprint_id', 't_crm.events', 'customer');
SELECT is_empty($$SELECT * FROM imprint_sync.watch_check()$$, 'and watched when asked again');
SELECT is(pg_temp.enqueued($$INSERT INTO t_crm.events_3 VALUES (3, 3, '2024-03-06', 1)$$), 'C3', 'it works');
CREATE TABLE t_crm.base (customer int, v int);
CREATE TABLE t_crm.child (w int) INHERITS (t_crm.base);
SELECT imprint_sync.watch('t_crm.source', 'id', 'imprint_id', 't_crm.base', 'customer');
SELECT is(pg_temp.enqueued($$INSERT INTO t_crm.child VALUES (4, 1, 1)$$), 'C4', 'a child by inheritance');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.base SET v = 2$$), 'C4', 'through its parent');

-- a CRM role needs no right but its own
CREATE ROLE t_crm_user;
GRANT USAGE ON SCHEMA t_crm TO t_crm_user;
GRANT INSERT, UPDATE, DELETE, SELECT ON t_crm.orders TO t_crm_user;
DELETE FROM imprint_sync.outbox;
SET LOCAL ROLE t_crm_user;
INSERT INTO t_crm.orders VALUES (100, 4, 1);
RESET ROLE;
SELECT is((SELECT string_agg(customer_id, ' ') FROM imprint_sync.outbox), 'C4', 'a role without rights on the queue');
SELECT is((SELECT count(*) FROM imprint_sync.watch_error), 0::bigint, 'and nothing failed');

-- idempotent; unwatch
CREATE TEMP TABLE triggers AS SELECT oid FROM pg_trigger WHERE tgname LIKE 'imprint\_sync\_%';
SELECT imprint_sync.watch('t_crm.source', 'id', 'imprint_id', 't_crm.orders', 'customer');
SELECT set_eq($$SELECT oid FROM pg_trigger WHERE tgname LIKE 'imprint\_sync\_%'$$, $$SELECT oid FROM triggers$$, 'watching again adds nothing');
SELECT is((SELECT count(*) FROM imprint_sync.watched WHERE watched = 't_crm.orders'::regclass), 1::bigint, 'nor a second entry');
SELECT is(imprint_sync.unwatch('t_crm.orders', 'id'), 0, 'unwatch of another key');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.orders SET amount = 5$$) <> '', true, 'takes nothing away');
SELECT is(imprint_sync.unwatch('t_crm.orders', 'customer'), 1, 'unwatch');
SELECT is(pg_temp.enqueued($$UPDATE t_crm.orders SET amount = 6$$), '', 'enqueues no more');
SELECT is(imprint_sync.unwatch('t_crm.events'), 1, 'unwatch of a partitioned table');
SELECT is((SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'imprint\_sync\_%' AND tgrelid::regclass::text ~ 'events|orders'), 0::bigint, 'takes the partitions'' triggers');
SELECT is((SELECT count(*) FROM pg_proc WHERE pronamespace = 'imprint_sync'::regnamespace AND proname ~ '^watch_[0-9]+$'),
          (SELECT count(*) FROM imprint_sync.watched), 'and leaves no function behind');

SELECT * FROM finish();
ROLLBACK;

-- The outbox table: what may be written, how it is read, and by which plans.
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
SELECT no_plan();

-- slot: the same for every spelling of a customer, on every platform and version
SELECT is(imprint_sync.slot_of('a'), (get_byte(sha256('a'), 0) & 63)::smallint, 'slot is from SHA-256');
SELECT is(imprint_sync.slot_of('AbC-1'), imprint_sync.slot_of('aBc-1'), 'case does not change the slot');
SELECT is(imprint_sync.slot_of(E'a\\x41'), (get_byte(sha256(convert_to(E'a\\x41', 'UTF8')), 0) & 63)::smallint,
          'a backslash is a byte like others');
SELECT is(imprint_sync.slot_of('\x41'), (get_byte(sha256(convert_to('\x41', 'UTF8')), 0) & 63)::smallint,
          'also at the start');
SELECT is(imprint_sync.slot_of('É'), (get_byte(sha256(convert_to('É', 'UTF8')), 0) & 63)::smallint,
          'only ASCII is folded, whatever the locale');
SELECT is((SELECT count(DISTINCT imprint_sync.slot_of(i::text)) FROM generate_series(1, 5000) i), 64::bigint,
          'all 64 slots are used');
SELECT ok((SELECT min(imprint_sync.slot_of(i::text)) = 0 AND max(imprint_sync.slot_of(i::text)) = 63
             FROM generate_series(1, 5000) i), 'and no other');
SELECT is((SELECT provolatile FROM pg_proc WHERE oid = 'imprint_sync.slot_of(text)'::regprocedure), 'i',
          'slot_of is immutable');

-- rows
SELECT lives_ok($$INSERT INTO imprint_sync.outbox (customer_id) VALUES ('thin')$$, 'a thin row');
SELECT lives_ok($$INSERT INTO imprint_sync.outbox (customer_id, payload) VALUES ('app', '{"email": null}')$$,
                'an application row');
SELECT throws_ok($$INSERT INTO imprint_sync.outbox (customer_id, payload) VALUES ('x', 'null')$$, '23514', NULL,
                 'JSON null is no payload');
SELECT throws_ok($$INSERT INTO imprint_sync.outbox (customer_id, payload) VALUES ('x', '[{}]')$$, '23514', NULL,
                 'an array is no payload');
SELECT throws_ok($$INSERT INTO imprint_sync.outbox (customer_id) VALUES (NULL)$$, '23502', NULL,
                 'a customer is needed');
SELECT throws_ok($$INSERT INTO imprint_sync.outbox (customer_id, priority) VALUES ('x', 2)$$, '23514', NULL,
                 'a priority that nobody polls is refused');
SELECT throws_ok($$INSERT INTO imprint_sync.outbox (customer_id, priority) VALUES ('x', -1)$$, '23514', NULL,
                 'also a negative one');
SELECT throws_ok($$INSERT INTO imprint_sync.outbox (customer_id, attempts) VALUES ('x', -1)$$, '23514', NULL,
                 'attempts are not negative');
SELECT throws_ok($$INSERT INTO imprint_sync.outbox (customer_id, status) VALUES ('x', 'sent')$$, '23514', NULL,
                 'three states');
SELECT throws_ok($$INSERT INTO imprint_sync.outbox (id, customer_id) VALUES (1, 'x')$$, '428C9', NULL,
                 'the id is not chosen by the writer');
SELECT results_eq($$SELECT status::text, attempts::int, priority::smallint, payload::jsonb, settled_at, http_status, error, run_id
                      FROM imprint_sync.outbox WHERE customer_id = 'thin'$$,
                  $$VALUES ('pending', 0, 0::smallint, NULL::jsonb, NULL::timestamptz, NULL::smallint, NULL, NULL::bigint)$$,
                  'a new row is pending, live, untried');

-- late commits: the times are those of the insert, not of the start of its transaction
SELECT pg_sleep(0.02);
INSERT INTO imprint_sync.outbox (customer_id) VALUES ('late');
SELECT ok((SELECT created_at > now() + interval '15 ms' AND due_at > now() + interval '15 ms'
             FROM imprint_sync.outbox WHERE customer_id = 'late'), 'times are taken from the clock, not the transaction');
SELECT is((SELECT seqcache FROM pg_sequence WHERE seqrelid = 'imprint_sync.outbox_id_seq'::regclass), 1::bigint,
          'ids are not cached by sessions');

-- an absurd id must not break an INSERT: it is the daemon that settles it as dead
CREATE TEMP TABLE odd (id text);
INSERT INTO odd VALUES (''), (' '), ('../accounts/1'), (E'\x01'), ('\x'), ('é\'), (repeat('x', 100000)),
    (repeat('🦊', 300)),
    ((SELECT string_agg(md5(i::text), '') FROM generate_series(1, 2000) i));   -- does not compress
SELECT lives_ok($$INSERT INTO imprint_sync.outbox (customer_id) SELECT id FROM odd$$, 'any text may be written');
SELECT is((SELECT count(*) FROM imprint_sync.outbox o JOIN odd ON o.customer_id = odd.id), 6::bigint,
          'short ids are kept as they are');
SELECT ok((SELECT count(*) = 3 AND min(length(customer_id)) > 64 FROM imprint_sync.outbox
            WHERE length(customer_id) > 20), 'long ones are cut, and are still too long to be an id');
SELECT lives_ok($$INSERT INTO imprint_sync.outbox (customer_id) VALUES (repeat('🦊', 200))$$, 'the longest uncut id fits the index');
SELECT is((SELECT count(*) FROM imprint_sync.outbox WHERE slot IS DISTINCT FROM imprint_sync.slot_of(customer_id)), 0::bigint, 'each in its slot');
SET LOCAL session_replication_role = replica;
INSERT INTO imprint_sync.outbox (customer_id) VALUES ('replicated');
RESET session_replication_role;
SELECT is((SELECT slot FROM imprint_sync.outbox WHERE customer_id = 'replicated'), imprint_sync.slot_of('replicated'),
          'also where triggers are off');
-- an application that writes through a view of somebody else's needs no right on the schema
CREATE ROLE t_through_view;
CREATE SCHEMA t_app;
CREATE VIEW t_app.changes AS SELECT customer_id, payload FROM imprint_sync.outbox;
GRANT USAGE ON SCHEMA t_app TO t_through_view;
GRANT INSERT ON t_app.changes TO t_through_view;
SET LOCAL ROLE t_through_view;
INSERT INTO t_app.changes (customer_id) VALUES ('through a view');
RESET ROLE;
SELECT is((SELECT count(*) FROM imprint_sync.outbox WHERE customer_id = 'through a view'), 1::bigint, 'a view may be written to');

COPY imprint_sync.outbox (customer_id, payload) FROM STDIN;
copied	{"a": 1}
copied	\N
\.
SELECT is((SELECT count(*) FROM imprint_sync.outbox WHERE customer_id = 'copied'), 2::bigint, 'COPY writes rows');

-- plans
INSERT INTO imprint_sync.outbox (customer_id, status, settled_at, priority)
SELECT 'c' || i % 9000, CASE WHEN i % 50 = 0 THEN 'dead' WHEN i % 3 = 0 THEN 'pending' ELSE 'done' END,
       CASE WHEN i % 50 = 0 OR i % 3 > 0 THEN clock_timestamp() - interval '1 day' END, i % 2
  FROM generate_series(1, 30000) i;
ANALYZE imprint_sync.outbox;

CREATE FUNCTION pg_temp.plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; lines text := '';
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP lines := lines || line || E'\n'; END LOOP;
    RETURN lines;
END $$;

SELECT matches(pg_temp.plan_of($$
    SELECT r.id FROM unnest('{0,1,2,3}'::smallint[]) AS c (slot)
     CROSS JOIN LATERAL (SELECT o.id FROM imprint_sync.outbox o
        WHERE o.status = 'pending' AND o.slot = c.slot AND o.priority = 0 AND (o.due_at, o.id) > ('-infinity', 0)
          AND o.due_at <= now() ORDER BY o.due_at, o.id LIMIT 16) r$$),
    'Index.*Scan using outbox_pending.*\n *Index Cond: [^\n]*slot = [^\n]*priority = 0[^\n]*due_at', 'a poll reads outbox_pending');
SELECT doesnt_match(pg_temp.plan_of($$
    SELECT o.id FROM imprint_sync.outbox o
     WHERE o.status = 'pending' AND o.slot = 3::smallint AND o.priority = 0::smallint ORDER BY o.due_at, o.id LIMIT 16$$),
    'Sort|Seq Scan', 'and needs no sort');
SELECT matches(pg_temp.plan_of($$
    SELECT o.id FROM imprint_sync.outbox o
     WHERE lower(o.customer_id COLLATE "C") = 'c7' AND o.status = 'pending' ORDER BY o.id LIMIT 1000$$),
    'outbox_customer', 'a customer''s pending rows are found by index');
SELECT matches(pg_temp.plan_of($$
    SELECT o.id FROM imprint_sync.outbox o WHERE lower(o.customer_id COLLATE "C") = 'c7' AND o.status = 'dead'$$),
    'outbox_customer', 'and its dead rows');
SELECT doesnt_match(pg_temp.plan_of($$
    SELECT o.id FROM imprint_sync.outbox o WHERE lower(o.customer_id COLLATE "C") = 'c7' AND o.status = 'dead'$$),
    'Seq Scan', 'without reading the history');

-- pruning as in sql/README.md: done rows only, oldest first, without an index of its own
PREPARE prune (bigint, timestamptz, int) AS
    WITH page AS (
        SELECT id, created_at FROM imprint_sync.outbox WHERE id > $1 ORDER BY id LIMIT $3
    ), gone AS (
        DELETE FROM imprint_sync.outbox o USING page p
         WHERE o.id = p.id AND o.status = 'done' AND o.settled_at < $2 RETURNING o.id
    )
    SELECT (SELECT count(*) FROM gone) AS deleted, (SELECT max(id) FROM page WHERE created_at < $2) AS next;
SELECT matches(pg_temp.plan_of($$EXECUTE prune (0, now(), 100)$$), 'Index Scan using outbox_pkey', 'pruning walks the primary key');
CREATE TEMP TABLE before AS SELECT status, count(*) AS n FROM imprint_sync.outbox GROUP BY 1;
SELECT lives_ok($$EXECUTE prune (0, now() - interval '1 hour', 1000000)$$, 'prune');
SELECT results_eq($$SELECT status, count(*) FROM imprint_sync.outbox GROUP BY 1 ORDER BY 1$$,
                  $$SELECT status, n FROM before WHERE status <> 'done' ORDER BY 1$$,
                  'pruning takes done rows and leaves pending and dead ones');

-- customer_state
SELECT col_is_pk('imprint_sync', 'customer_state', 'customer_key', 'one state a customer');

SELECT * FROM finish();
ROLLBACK;

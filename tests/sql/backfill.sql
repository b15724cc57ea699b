-- Runs and their pages, and what putting dead rows back does to the counts. What a settle counts is
-- in tests/e2e/test_backfill.py.
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
SELECT no_plan();
DELETE FROM imprint_sync.outbox;
DELETE FROM imprint_sync.customer_state;
DELETE FROM imprint_sync.backfill_run;
CREATE ROLE t_backfill IN ROLE imprint_sync_daemon;

CREATE FUNCTION pg_temp.add(n text, forced boolean DEFAULT false) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO imprint_sync.backfill_run (name, scope, relation, key_column, ahead, holder, force)
    VALUES (n, 'all', 'crm.c', 'id', 10, 'me', forced) RETURNING id $$;
CREATE FUNCTION pg_temp.id(n text) RETURNS bigint LANGUAGE sql AS 'SELECT id FROM imprint_sync.backfill_run WHERE name = n';
CREATE FUNCTION pg_temp.run(n text) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s %s at %s, %s enqueued, walked %s', state, holder, coalesce(position, '-'), enqueued, walked)
      FROM imprint_sync.backfill_run WHERE name = n $$;

-- names and scopes
SELECT throws_ok($$SELECT pg_temp.add('a b')$$, '23514', NULL, 'a name is a word');
SELECT throws_ok($$INSERT INTO imprint_sync.backfill_run (name, scope, relation, key_column, ahead) VALUES ('x', 'some', 'r', 'k', 1)$$,
                 '23514', NULL, 'a scope is one of four');
SELECT isnt(pg_temp.add('a'), NULL, 'a run is added');
SELECT throws_ok($$SELECT pg_temp.add('a')$$, '23505', NULL, 'a name is taken once');

-- a page, as the daemon's role
SET LOCAL ROLE t_backfill;
SELECT is(imprint_sync.backfill_page((SELECT id FROM imprint_sync.backfill_run WHERE name = 'a'), 'me', NULL, 'k3', false, '{k2,k1,k2,K3}'),
          3::bigint, 'a key that stands there twice is enqueued once');
RESET ROLE;
SELECT is(pg_temp.run('a'), 'running me at k3, 3 enqueued, walked f', 'place and count go with the rows');
SELECT results_eq($$SELECT customer_id, priority::smallint, status::text, payload IS NULL FROM imprint_sync.outbox WHERE run_id = pg_temp.id('a') ORDER BY id$$,
                  $$VALUES ('k2', 1::smallint, 'pending', true), ('k1', 1::smallint, 'pending', true), ('K3', 1::smallint, 'pending', true)$$,
                  'thin rows behind all live ones, in the order of the page');
SELECT throws_ok($$SELECT imprint_sync.backfill_page(pg_temp.id('a'), 'me', NULL, 'k3', false, '{k4}')$$, '55006', NULL, 'not from another place');
SELECT throws_ok($$SELECT imprint_sync.backfill_page(pg_temp.id('a'), 'other', 'k3', 'k4', false, '{k4}')$$, '55006', NULL, 'not by another process');
UPDATE imprint_sync.backfill_run SET state = 'paused' WHERE name = 'a';
SELECT throws_ok($$SELECT imprint_sync.backfill_page(pg_temp.id('a'), 'me', 'k3', 'k4', false, '{k4}')$$, '55006', NULL, 'not while it is paused');
UPDATE imprint_sync.backfill_run SET state = 'running' WHERE name = 'a';
SELECT is((SELECT count(*) FROM imprint_sync.outbox), 3::bigint, 'and then no row is left behind');
SELECT is(imprint_sync.backfill_page(pg_temp.id('a'), 'me', 'k3', 'k9', true, '{}'), 0::bigint, 'an empty page');
SELECT is(pg_temp.run('a'), 'running me at k9, 3 enqueued, walked t', 'moves the place too');

-- what was accepted is forgotten with force only
INSERT INTO imprint_sync.customer_state (customer_key) VALUES ('k1'), ('k3'), ('k5');
SELECT imprint_sync.backfill_page(pg_temp.add('b'), 'me', NULL, 'k3', false, '{k1,K3}');
SELECT is((SELECT count(*) FROM imprint_sync.customer_state), 3::bigint, 'without force nothing is forgotten');
SELECT imprint_sync.backfill_page(pg_temp.add('c', true), 'me', NULL, 'k3', false, '{k1,K3}');
SELECT results_eq('SELECT customer_key FROM imprint_sync.customer_state', ARRAY['k5'], 'with force the page''s customers are');

-- cancelling
UPDATE imprint_sync.outbox SET status = 'dead', settled_at = now(), error = 'timeout' WHERE run_id = pg_temp.id('a') AND customer_id = 'k2';
UPDATE imprint_sync.backfill_run SET dead = 1 WHERE name = 'a';
SET LOCAL ROLE t_backfill;
SELECT is(imprint_sync.backfill_cancel_rows((SELECT id FROM imprint_sync.backfill_run WHERE name = 'a'), 1), 1::bigint, 'so many at a time');
SELECT is(imprint_sync.backfill_cancel_rows((SELECT id FROM imprint_sync.backfill_run WHERE name = 'a'), 5), 1::bigint, 'the rest');
SELECT is(imprint_sync.backfill_cancel_rows((SELECT id FROM imprint_sync.backfill_run WHERE name = 'a'), 5), 0::bigint, 'to the end');
RESET ROLE;
SELECT is(pg_temp.run('a'), 'running me at k9, 1 enqueued, walked t', 'what was deleted no longer counts as enqueued');
SELECT is((SELECT string_agg(customer_id || ' ' || status, ',') FROM imprint_sync.outbox WHERE run_id = pg_temp.id('a')), 'k2 dead', 'dead rows stay');
SELECT is((SELECT count(*) FROM imprint_sync.outbox WHERE run_id IS DISTINCT FROM pg_temp.id('a')), 4::bigint, 'and so do those of others');

-- dead retry
SET LOCAL ROLE t_backfill;
SELECT is(imprint_sync.retry_thin(ARRAY(SELECT id FROM imprint_sync.outbox WHERE status = 'dead')), 1::bigint, 'a dead row goes back');
RESET ROLE;
SELECT is((SELECT dead FROM imprint_sync.backfill_run WHERE name = 'a'), 0::bigint, 'and is no longer counted as dead');

SELECT * FROM finish();
ROLLBACK;

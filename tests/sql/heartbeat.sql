-- Leases: the function compares and sets; what two sessions do to each other is in test_sessions.py.
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
SELECT no_plan();
UPDATE imprint_sync.lease SET holder = NULL, epoch = 0, renewals = 0;
DELETE FROM imprint_sync.instance;

CREATE FUNCTION pg_temp.beat(me text, keep smallint[], keep_epochs bigint[], take smallint[], take_epochs bigint[],
                             take_renewals bigint[], give smallint[], give_epochs bigint[]) RETURNS bigint
LANGUAGE sql AS $$
    SELECT count(*) FROM imprint_sync.heartbeat(me, 'host', 7, 'run', '1.0', true, keep, keep_epochs,
                                                take, take_epochs, take_renewals, give, give_epochs) $$;
CREATE FUNCTION pg_temp.lease(s int) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s/%s/%s', coalesce(holder, '-'), epoch, renewals) FROM imprint_sync.lease WHERE slot = s $$;

SELECT is((SELECT count(*) FROM imprint_sync.lease), 64::bigint, 'there are 64 leases');
SELECT throws_ok($$INSERT INTO imprint_sync.lease (slot) VALUES (64)$$, '23514', NULL, 'and no other');

SELECT is(pg_temp.beat('A', '{}', '{}', '{5,3,4}', '{0,0,0}', '{0,0,0}', '{}', '{}'), 64::bigint, 'all leases are returned');
SELECT is(pg_temp.lease(3) || pg_temp.lease(4) || pg_temp.lease(5), 'A/1/1A/1/1A/1/1', 'free slots are taken');
SELECT is(pg_temp.lease(6), '-/0/0', 'others are not touched');
SELECT results_eq($$SELECT id, beats, host, pid, kind, version, pool_open FROM imprint_sync.instance$$,
                  $$VALUES ('A', 1::bigint, 'host', 7, 'run', '1.0', true)$$, 'the instance is registered');

SELECT pg_temp.beat('A', '{3,4,5}', '{1,1,0}', '{}', '{}', '{}', '{}', '{}');
SELECT is(pg_temp.lease(3) || pg_temp.lease(4), 'A/1/2A/1/2', 'own leases are renewed');
SELECT is(pg_temp.lease(5), 'A/1/1', 'not by an old epoch');
SELECT is((SELECT beats FROM imprint_sync.instance WHERE id = 'A'), 2::bigint, 'beats count up');

SELECT pg_temp.beat('B', '{3}', '{1}', '{}', '{}', '{}', '{4}', '{1}');
SELECT is(pg_temp.lease(3) || pg_temp.lease(4), 'A/1/2A/1/2', 'nobody renews or gives back what is another''s');

SELECT pg_temp.beat('B', '{}', '{}', '{3,4,5}', '{1,1,0}', '{2,1,1}', '{}', '{}');
SELECT is(pg_temp.lease(3), 'B/2/3', 'a slot that did not change since it was seen is taken, epoch + 1');
SELECT is(pg_temp.lease(4), 'A/1/2', 'a slot that was renewed since is not');
SELECT is(pg_temp.lease(5), 'A/1/1', 'nor one of another epoch');
SELECT pg_temp.beat('A', '{3}', '{1}', '{}', '{}', '{}', '{3}', '{1}');
SELECT is(pg_temp.lease(3), 'B/2/3', 'the old owner neither renews nor gives back');

SELECT pg_temp.beat('A', '{}', '{}', '{}', '{}', '{}', '{4,5}', '{1,9}');
SELECT is(pg_temp.lease(4), '-/1/2', 'a slot is given back, its epoch stays');
SELECT is(pg_temp.lease(5), 'A/1/1', 'not by another epoch');
SELECT pg_temp.beat('B', '{}', '{}', '{4}', '{0}', '{0}', '{}', '{}');
SELECT is(pg_temp.lease(4), 'B/2/3', 'a slot given back is free whatever was seen of it');
SELECT pg_temp.beat('A', '{}', '{}', '{3,NULL,7}', '{2,0}', '{3}', '{}', '{}');
SELECT is(pg_temp.lease(3), 'A/3/4', 'a take names slot, epoch and renewals');
SELECT is(pg_temp.lease(7), 'A/1/1', 'a free slot needs neither');
SELECT pg_temp.beat('B', '{}', '{}', '{3}', '{3}', '{}', NULL, NULL);
SELECT is(pg_temp.lease(3), 'A/3/4', 'a missing number never matches');
SELECT throws_ok($$SELECT pg_temp.beat(NULL, '{}', '{}', '{}', '{}', '{}', '{}', '{}')$$, '23502', NULL, 'an instance has an id');
SELECT is((SELECT array_agg(slot) = (SELECT array_agg(g::smallint) FROM generate_series(0, 63) g)
             FROM imprint_sync.heartbeat('A', '', 1, '', '', true, '{}', '{}', '{}', '{}', '{}', '{}', '{}')), true, 'in order of slot');
SELECT results_eq($$SELECT holder, epoch, renewals FROM imprint_sync.heartbeat('A', '', 1, '', '', false, '{3}', '{3}', '{}', '{}', '{}', '{}', '{}') WHERE slot = 3$$,
                  $$VALUES ('A', 3::bigint, 5::bigint)$$, 'what is returned is what is so after the call');
SELECT is((SELECT pool_open FROM imprint_sync.instance WHERE id = 'A'), false, 'the pool''s state is carried');

SELECT imprint_sync.goodbye('A');
SELECT results_eq($$SELECT id FROM imprint_sync.instance$$, $$VALUES ('B')$$, 'goodbye removes one instance');

SELECT imprint_sync.idle(1234567890123);
SELECT is((SELECT last_value FROM imprint_sync.idle_until), 1234567890123, 'idle sets the epoch second');
SELECT imprint_sync.idle(-5);
SELECT is((SELECT last_value FROM imprint_sync.idle_until), 0::bigint, 'and takes anything in the past for busy');

SELECT * FROM finish();
ROLLBACK;

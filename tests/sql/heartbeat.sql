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

-- What the instances tell each other.
CREATE FUNCTION pg_temp.tell(me text, wants int DEFAULT 64, gone text[] DEFAULT '{}', gone_beats bigint[] DEFAULT '{}',
                             throttle_ms bigint DEFAULT 0, system_id text DEFAULT NULL, timeline text DEFAULT NULL,
                             lease_ms bigint DEFAULT 0) RETURNS bigint
LANGUAGE sql AS $$
    SELECT count(*) FROM imprint_sync.heartbeat(me, 'host', 7, 'run', '1.0', true, '{}', '{}', '{}', '{}', '{}', '{}', '{}',
                                                wants, gone, gone_beats, throttle_ms, system_id, timeline, lease_ms) $$;
SELECT pg_temp.tell('C', 7);
SELECT is((SELECT wants FROM imprint_sync.instance WHERE id = 'C'), 7::smallint, 'how many slots it wants is carried');
SELECT pg_temp.tell('D');
SELECT pg_temp.tell('C', 0, '{D,A,C,nobody}', '{2,99,7,1}');
SELECT ok(EXISTS (SELECT FROM imprint_sync.instance WHERE id = 'D'), 'one that beat since it was looked at stays');
SELECT pg_temp.tell('C', 0, '{D}', '{1}');
SELECT ok(NOT EXISTS (SELECT FROM imprint_sync.instance WHERE id = 'D'), 'one that did not is struck off');
SELECT pg_temp.tell('C', 0, '{A}', ARRAY[(SELECT beats FROM imprint_sync.instance WHERE id = 'A')]);
SELECT ok(EXISTS (SELECT FROM imprint_sync.instance WHERE id = 'A'), 'but not while a slot is in its name');

SELECT results_eq($$SELECT paused_until, throttled_until FROM imprint_sync.pool$$, $$VALUES (NULL::timestamptz, NULL::timestamptz)$$, 'nothing is paused');
SELECT pg_temp.tell('C', 64, '{}', '{}', 60000);
SELECT ok((SELECT throttled_until - clock_timestamp() BETWEEN '59 s' AND '60 s' AND throttled_by = 'C' FROM imprint_sync.pool), 'a throttle is kept for all');
SELECT pg_temp.tell('B', 64, '{}', '{}', 1000);
SELECT ok((SELECT throttled_until - clock_timestamp() > '50 s' AND throttled_by = 'C' FROM imprint_sync.pool), 'and never shortened');
SELECT pg_temp.tell('B', 64, '{}', '{}', 90000);
SELECT is((SELECT throttled_by FROM imprint_sync.pool), 'B', 'a longer one counts');

SELECT imprint_sync.pause('infinity');
SELECT ok((SELECT paused_until = 'infinity' AND paused_by = session_user AND paused_at IS NOT NULL FROM imprint_sync.pool), 'a pause without an end');
SELECT throws_ok($$SELECT imprint_sync.pause(now() - interval '1 s')$$, '22023', NULL, 'none that is over');
SELECT throws_ok($$SELECT imprint_sync.pause(NULL)$$, '22023', NULL, 'none without a time');
SELECT imprint_sync.resume();
SELECT ok((SELECT paused_until IS NULL AND paused_by IS NULL FROM imprint_sync.pool), 'and its end');

SELECT ok((SELECT system_id IS NOT NULL AND timeline ~ '^[0-9A-F]{8}$' FROM imprint_sync.server), 'the server of the migration is known');
UPDATE imprint_sync.lease SET holder = NULL, epoch = 4, renewals = 9 WHERE slot IN (8, 9);
UPDATE imprint_sync.lease SET holder = 'X', epoch = 4, renewals = 9 WHERE slot = 10;
SELECT pg_temp.tell('C');
SELECT is(pg_temp.lease(8), '-/4/9', 'a server that does not tell differs from none');
SELECT pg_temp.tell('C', system_id => system_id, timeline => timeline) FROM imprint_sync.server;
SELECT is(pg_temp.lease(8), '-/4/9', 'the same changes nothing');
SELECT pg_temp.tell('C', system_id => system_id, timeline => 'FFFFFFFF') FROM imprint_sync.server;
SELECT is(pg_temp.lease(8) || pg_temp.lease(9), '(failover)/4/10(failover)/4/10', 'on another timeline what was free is held by nobody');
SELECT is(pg_temp.lease(10), 'X/4/9', 'and what is held stays');
SELECT is((SELECT timeline FROM imprint_sync.server), 'FFFFFFFF', 'it is known from now on');
SELECT pg_temp.beat('C', '{}', '{}', '{8}', '{4}', '{10}', '{}', '{}');
SELECT is(pg_temp.lease(8), 'C/5/11', 'it is taken like another''s');
SELECT pg_temp.tell('C', system_id => 'other', timeline => 'FFFFFFFF');
SELECT is((SELECT system_id FROM imprint_sync.server), 'other', 'another system as well');
SELECT pg_temp.tell('C', lease_ms => 45000);
SELECT is((SELECT lease_ms FROM imprint_sync.instance WHERE id = 'C'), 45000::bigint, 'how long its leases last is carried');
UPDATE imprint_sync.lease SET holder = NULL WHERE slot = 8;
SELECT throws_ok($$INSERT INTO imprint_sync.pool DEFAULT VALUES$$, '23505', NULL, 'there is one pool');
DELETE FROM imprint_sync.instance WHERE id IN ('C', 'D');

SELECT imprint_sync.goodbye('A');
SELECT results_eq($$SELECT id FROM imprint_sync.instance$$, $$VALUES ('B')$$, 'goodbye removes one instance');

SELECT imprint_sync.idle(1234567890123);
SELECT is((SELECT last_value FROM imprint_sync.idle_until), 1234567890123, 'idle sets the epoch second');
SELECT imprint_sync.idle(-5);
SELECT is((SELECT last_value FROM imprint_sync.idle_until), 0::bigint, 'and takes anything in the past for busy');

SELECT * FROM finish();
ROLLBACK;

-- Dead rows taken apart and put back, reports, and who holds vacuum back. What a running daemon and
-- a retry do to each other is in tests/e2e/test_dead.py.
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
SELECT no_plan();
DELETE FROM imprint_sync.outbox;
DELETE FROM imprint_sync.customer_state;
DELETE FROM imprint_sync.instance;

-- errors
CREATE FUNCTION pg_temp.parts(status int, error text) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws('|', imprint_sync.error_type(status::smallint, error),
                     array_to_string(imprint_sync.error_params(status::smallint, error), ','),
                     coalesce(imprint_sync.error_reason(status::smallint, error), '-')) $$;
SELECT is(pg_temp.parts(status, error), expected, format('parts of %s %s', status, error)) FROM (VALUES
    (400, 'INVALID_REQUEST_ERROR email: Invalid email format jane@', 'INVALID_REQUEST_ERROR|email|-'),
    (404, 'CUSTOMER_NOT_FOUND_ERROR: none', 'CUSTOMER_NOT_FOUND_ERROR||-'),
    (400, 'T customer_history.address[0].line-1: m', 'T|customer_history.address[0].line-1|-'),
    (400, 'Bad Request: email: must be a well-formed email address', 'Bad Request|email|-'),
    (400, 'Bad Request: Jane Doe is no name', 'Bad Request||-'),
    (400, 'Bad Request', 'Bad Request||-'),
    (400, 'jane@example.com Jane: m', 'unknown||-'),
    (400, 'Jane Doe: m', 'Jane|Doe|-'),         -- as the log has it: they look like names
    (503, 'server_error', 'server_error||-'),
    (NULL, 'timeout', 'timeout||timeout'),
    (NULL, 'email: column mail: is no e-mail address; phone: column m: is no number',
     'mapping|email,phone|email: column mail: is no e-mail address; phone: column m: is no number'),
    (NULL, 'source.missing: the source has no row of this customer', 'source.missing||source.missing: the source has no row of this customer'),
    (NULL, 'payload: is over 1 MiB', 'payload||payload: is over 1 MiB'),
    (NULL, '(the reason could not be stored)', 'unknown||(the reason could not be stored)'),
    (NULL, NULL, 'unknown||-')) AS t (status, error, expected);

-- with a source: thin, due at once, and only what is dead
CREATE FUNCTION pg_temp.add(customer text, payload jsonb, state text, made interval DEFAULT '0') RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO imprint_sync.outbox (customer_id, payload, status, settled_at, attempts, http_status, error, created_at)
    VALUES (customer, payload, state, CASE state WHEN 'pending' THEN NULL ELSE now() END, CASE state WHEN 'pending' THEN 0 ELSE 3 END,
            CASE state WHEN 'dead' THEN 400 END, CASE state WHEN 'dead' THEN 'T p: m' END, clock_timestamp() - made) RETURNING id $$;
CREATE FUNCTION pg_temp.state(row_id bigint) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s %s %s %s %s', status, attempts, coalesce(payload::text, 'thin'), coalesce(error, '-'),
                  CASE WHEN due_at > clock_timestamp() THEN 'held' ELSE 'due' END) FROM imprint_sync.outbox WHERE id = row_id $$;
CREATE TEMP TABLE r (name text PRIMARY KEY, id bigint);
INSERT INTO r SELECT 'dead', pg_temp.add('Alpha', '{"a": 1}', 'dead');
INSERT INTO r SELECT 'done', pg_temp.add('Alpha', '{"a": 2}', 'done');
CREATE FUNCTION pg_temp.id(n text) RETURNS bigint LANGUAGE sql AS 'SELECT id FROM r WHERE name = n';
SELECT is(imprint_sync.retry_thin(ARRAY[pg_temp.id('dead'), pg_temp.id('done'), 999999]), 1::bigint, 'only dead rows go back');
SELECT is(pg_temp.state(pg_temp.id('dead')), 'pending 0 thin - due', 'without their values, due, attempts anew');
SELECT is(pg_temp.state(pg_temp.id('done')), 'done 3 {"a": 2} - due', 'what is done stays done');

-- without a source: all later rows of the customer come back, in whatever case its id is written
INSERT INTO r SELECT 'b dead', pg_temp.add('Beta', '{"a": 1}', 'dead');
INSERT INTO r SELECT 'b done', pg_temp.add('BETA', '{"a": 2}', 'done');
INSERT INTO r SELECT 'other', pg_temp.add('Gamma', '{"a": 3}', 'done');
INSERT INTO r SELECT 'b dead 2', pg_temp.add('beta', '{"a": 4}', 'dead');
INSERT INTO r SELECT 'b pending', pg_temp.add('beta', '{"a": 5}', 'pending');
SELECT results_eq($$SELECT later, next FROM imprint_sync.retry_later(ARRAY[pg_temp.id('b dead')], 0, 100)$$,
                  $$SELECT ARRAY[pg_temp.id('b done'), pg_temp.id('b pending')], NULL::bigint$$, 'the later rows are found');
SELECT is((SELECT next FROM imprint_sync.retry_later(ARRAY[pg_temp.id('b dead')], 0, 2)), pg_temp.id('other'), 'a page at a time');
SELECT results_eq($$SELECT * FROM imprint_sync.retry_hold(ARRAY[pg_temp.id('b dead')], ARRAY[pg_temp.id('b done')], pg_temp.id('b pending'), false, '-infinity', '1 min')$$,
                  $$SELECT ARRAY[pg_temp.id('b dead')], 0::bigint, 4::bigint$$, 'one row brings back three others');
SELECT is(pg_temp.state(pg_temp.id('b dead')), 'pending 0 {"a": 1} - held', 'it is held, with its values');
SELECT is(pg_temp.state(pg_temp.id('b done')), 'pending 0 {"a": 2} - held', 'so is what was done');
SELECT is(pg_temp.state(pg_temp.id('b dead 2')), 'pending 0 {"a": 4} - held', 'and what died later');
SELECT is(pg_temp.state(pg_temp.id('b pending')), 'pending 1 {"a": 5} - held', 'what is pending has other attempts than an answer under way knows');
SELECT is(pg_temp.state(pg_temp.id('other')), 'done 3 {"a": 3} - due', 'other customers are left alone');
-- meanwhile: a row that was fetched without the others is settled
INSERT INTO r SELECT 'b late', pg_temp.add('beta', '{"a": 6}', 'done');
SELECT is(imprint_sync.retry_release(ARRAY[pg_temp.id('b dead')], pg_temp.id('b pending')), 5::bigint, 'then all are released');
SELECT is(pg_temp.state(pg_temp.id('b late')), 'pending 0 {"a": 6} - due', 'with what settled between');
SELECT is(pg_temp.state(pg_temp.id('b dead')), 'pending 1 {"a": 1} - due', 'and no answer under way settles any of them');

-- refused where later rows may be gone
INSERT INTO r SELECT 'old', pg_temp.add('Delta', '{"a": 1}', 'dead', '8 days');
CREATE FUNCTION pg_temp.hold(n text, force boolean) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s held %s refused', cardinality(held), refused)
      FROM imprint_sync.retry_hold(ARRAY[pg_temp.id(n)], '{}', pg_temp.id(n), force, clock_timestamp() - interval '7 days', '1 min') $$;
SELECT is(pg_temp.hold('old', false), '0 held 1 refused', 'older than what is kept: refused');
SELECT is(pg_temp.state(pg_temp.id('old')), 'dead 3 {"a": 1} T p: m due', 'it is as it was');
SELECT is(pg_temp.hold('old', true), '1 held 0 refused', 'unless forced');
INSERT INTO r SELECT 'e dead', pg_temp.add('Epsilon', '{"a": 1}', 'dead');
INSERT INTO imprint_sync.customer_state (customer_key, accepted_id) SELECT 'epsilon', pg_temp.id('e dead') + 1000;
SELECT is(pg_temp.hold('e dead', false), '0 held 1 refused', 'something newer was accepted and is gone: refused');
UPDATE imprint_sync.customer_state SET accepted_id = pg_temp.id('e dead') - 1;
SELECT is(pg_temp.hold('e dead', false), '1 held 0 refused', 'what was accepted before does not matter');

-- reports
SELECT imprint_sync.heartbeat('A', 'host', 7, 'run', '1.0', true, '{}', '{}', '{}', '{}', '{}', '{}', '{}');
SELECT imprint_sync.report('A', '{"sent": 1}'), imprint_sync.report('nobody', '{}');
SELECT results_eq($$SELECT id, stats, reported_at IS NOT NULL FROM imprint_sync.instance$$,
                  $$VALUES ('A', '{"sent": 1}'::jsonb, true)$$, 'an instance reports of itself; nobody else appears');

-- vacuum: this session does not count; others are in test_status.py
SELECT is((SELECT count(*) FROM imprint_sync.vacuum_blocker() WHERE pid = pg_backend_pid()), 0::bigint, 'who asks does not hold it back');
SELECT is((SELECT pg_has_role('imprint_sync_owner', 'pg_read_all_stats', 'USAGE')), true, 'it sees the sessions of all');
SELECT throws_ok($$INSERT INTO imprint_sync.last_prune (one_row) VALUES (true)$$, '23505', NULL, 'there is one last round');

SELECT * FROM finish();
ROLLBACK;

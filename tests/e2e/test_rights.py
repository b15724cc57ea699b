"""What the daemon's role may do, and what it may not; what others may do to it."""

import contextlib

import psycopg2
import pytest

import checker
import harness
from harness import email, new_customer
from test_check import about, look


@contextlib.contextmanager
def session(db, role="sync_daemon"):
    with contextlib.closing(db.cluster.connect(db.name, role)) as connection:
        yield connection.cursor()


# ---- without one right -----------------------------------------------------------------------------

# Those of operators' commands; the daemon does without them.
OPERATOR = ("retry_", "error_", "discarded", "backfill", "pause", "resume", "vacuum_blocker", "SCHEMA crm")


def test_a_right_that_is_taken_from_a_daemon_at_work_loses_nothing(db, sandbox, config, daemon):
    """One after the other. It says so and waits, or can do without; once `check` has named the right
    and it is given back, every row is delivered."""
    names = [e["text"] for e in about(look(config), "right")
             if not any(word in e["text"] for word in OPERATOR)]
    said = set()
    for name in names:
        daemon.start()
        seen = len(daemon.log())
        db.execute(f"REVOKE {name} FROM imprint_sync_daemon")
        customer, other = new_customer(), new_customer()
        number = int(customer[:8], 16)
        db.execute("INSERT INTO crm.customers (id, imprint_customer_id, email, currency)"
                   " VALUES (%s, %s, %s, 'USD')", number, customer, f"c{number}@example.com")
        last = db.add(other, email(other))
        harness.wait_until(lambda: db.row(last)["status"] != "pending"
                           or "42501" in daemon.log()[seen:], f"without {name}: it says so")
        if "42501" in daemon.log()[seen:]:
            said.add(name)
            [missing] = [e["text"] for e in look(config, code=78) if e["level"] == "failed"]
            assert missing == f"{name} is missing" or "crm.imprint_customers" in missing
        db.execute(f"GRANT {name} TO imprint_sync_daemon")
        db.wait_drained()
        assert daemon.stop() == 0, name
    checker.check_all(db, sandbox, rows=2 * len(names))
    assert {row["status"] for row in db.rows()} == {"done"}
    assert len(said) >= 8, said


# ---- what it must not do -----------------------------------------------------------------------------

FORBIDDEN = [
    "SELECT * FROM crm.customers", "SELECT * FROM crm.orders", "SELECT line1 FROM crm.addresses",
    "INSERT INTO crm.customers (id) VALUES (1)",
    "UPDATE crm.customers SET email = 'x'", "DELETE FROM crm.customers", "TRUNCATE crm.customers",
    "ALTER TABLE crm.customers DISABLE TRIGGER ALL", "DROP TABLE crm.customers",
    "DROP VIEW crm.imprint_customers", "CREATE INDEX ON crm.customers (email)",
    "CREATE TRIGGER mine AFTER INSERT ON crm.customers EXECUTE FUNCTION imprint_sync.outbox_wake()",
    "DO $$BEGIN LOCK TABLE crm.customers; END$$", "DO $$BEGIN LOCK TABLE imprint_sync.lease; END$$",
    "CREATE TABLE crm.mine ()", "CREATE TABLE imprint_sync.mine ()", "CREATE TABLE public.mine ()",
    "CREATE SCHEMA mine", "CREATE DATABASE mine", "CREATE ROLE mine", "CREATE EXTENSION postgres_fdw",
    "CREATE FUNCTION imprint_sync.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE OR REPLACE FUNCTION imprint_sync.idle(bigint) RETURNS void LANGUAGE sql AS ''",
    "ALTER FUNCTION imprint_sync.idle(bigint) RESET ALL",
    "ALTER TABLE imprint_sync.outbox DISABLE TRIGGER USER", "ALTER TABLE imprint_sync.outbox ADD mine int",
    "TRUNCATE imprint_sync.outbox", "UPDATE imprint_sync.outbox SET customer_id = 'x'",
    "UPDATE imprint_sync.outbox SET created_at = now()", "UPDATE imprint_sync.outbox SET id = DEFAULT",
    "UPDATE imprint_sync.lease SET holder = 'me'", "UPDATE imprint_sync.lease SET epoch = 0",
    "UPDATE imprint_sync.instance SET beats = 0", "DELETE FROM imprint_sync.watched",
    "UPDATE imprint_sync.pool SET paused_until = NULL", "DELETE FROM imprint_sync.schema_version",
    "SELECT setval('imprint_sync.outbox_id_seq', 1)", "SELECT nextval('imprint_sync.outbox_id_seq')",
    "SELECT imprint_sync.watch('crm.imprint_customers', 'crm_id', 'crm_id', 'crm.orders', 'id')",
    "SELECT imprint_sync.unwatch('crm.customers')",
    "SELECT imprint_sync.watch_create_function(w) FROM imprint_sync.watched w",
    "SET ROLE imprint_sync_owner", "SET ROLE postgres", "SET SESSION AUTHORIZATION postgres",
    "GRANT imprint_sync_daemon TO pg_monitor", "ALTER ROLE imprint_sync_owner LOGIN",
    "COPY (SELECT 1) TO PROGRAM 'true'", "COPY (SELECT 1) TO '/tmp/imprint-sync-mine'",
    "SELECT pg_read_file('/etc/passwd')", "SELECT lo_import('/etc/passwd')",
    "SELECT * FROM pg_authid", "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()",
    "SET session_replication_role = replica",
]


def test_what_the_role_must_not_do(db):
    """As a member of imprint_sync_daemon that may read the source, and nothing else."""
    allowed = {}
    with session(db) as cursor:
        for statement in FORBIDDEN:
            try:
                cursor.execute(statement)
                allowed[statement] = "done"
            except psycopg2.Error as error:
                if error.pgcode != "42501":
                    allowed[statement] = error.pgcode
    assert allowed == {}


# ---- who shapes the session of a writer ---------------------------------------------------------------

TRAPS = """
    CREATE SCHEMA trap AUTHORIZATION writer;
    SET ROLE writer;
    CREATE TABLE trap.outbox (customer_id text, payload jsonb);
    CREATE FUNCTION trap.spring() RETURNS void LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'sprung as %%', current_user; END $$;
    CREATE FUNCTION trap.array_agg(bigint) RETURNS bigint[] LANGUAGE sql AS
        'SELECT trap.spring(); SELECT NULL::bigint[]';
    CREATE FUNCTION trap.unnest(bigint[]) RETURNS SETOF bigint LANGUAGE sql AS
        'SELECT trap.spring(); SELECT NULL::bigint';
    CREATE FUNCTION trap.lower(text) RETURNS text LANGUAGE sql AS 'SELECT trap.spring(); SELECT $1';
    CREATE FUNCTION trap.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS
        'SELECT trap.spring(); SELECT now()';
    CREATE FUNCTION trap.pg_notify(text, text) RETURNS void LANGUAGE sql AS 'SELECT trap.spring()';
    CREATE FUNCTION trap.sha256(bytea) RETURNS bytea LANGUAGE sql AS 'SELECT trap.spring(); SELECT $1';
    CREATE FUNCTION trap.slot_of(text) RETURNS smallint LANGUAGE sql AS
        'SELECT trap.spring(); SELECT 1::smallint';
    CREATE FUNCTION trap.eq(bigint, bigint) RETURNS boolean LANGUAGE sql AS
        'SELECT trap.spring(); SELECT true';
    CREATE OPERATOR trap.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = trap.eq);
    CREATE FUNCTION trap.ne(numeric, int) RETURNS boolean LANGUAGE sql AS
        'SELECT trap.spring(); SELECT true';
    CREATE OPERATOR trap.<> (LEFTARG = numeric, RIGHTARG = int, FUNCTION = trap.ne);
    CREATE TEMP TABLE outbox (customer_id text, payload jsonb);
    CREATE TEMP TABLE watch_error (watched_name text, trigger_name text, sqlstate text);
    CREATE TEMP TABLE new_rows (id bigint, customer_id bigint);
    CREATE TEMP TABLE old_rows (id bigint, customer_id bigint);
    CREATE TEMP TABLE customers (id bigint);
    CREATE TEMP TABLE imprint_customers (crm_id bigint, imprint_customer_id uuid);
    CREATE TEMP TABLE pg_class (oid oid);
    CREATE FUNCTION pg_temp.array_agg(bigint) RETURNS bigint[] LANGUAGE sql AS
        'SELECT trap.spring(); SELECT NULL::bigint[]';
"""


@pytest.fixture
def writer(db):
    """A role of the CRM, which may write its tables and create what it likes."""
    db.execute("CREATE ROLE writer LOGIN; GRANT USAGE ON SCHEMA crm, imprint_sync TO writer;"
               "GRANT ALL ON ALL TABLES IN SCHEMA crm TO writer;"
               "GRANT INSERT (customer_id, payload) ON imprint_sync.outbox TO writer;"
               "GRANT TEMPORARY ON DATABASE " + db.name + " TO writer;"
               "GRANT CREATE ON SCHEMA public TO writer")
    yield "writer"
    db.execute("DROP OWNED BY writer CASCADE; DROP ROLE writer")


@pytest.mark.parametrize("path", [
    "trap, public, pg_catalog", "pg_temp, trap, pg_catalog", "trap", "pg_temp", "", "no_such, trap"])
def test_no_writer_springs_a_trap_in_a_trigger(db, sandbox, config, daemon, writer, path):
    customer, other = new_customer(), new_customer()
    with session(db, "postgres") as cursor:
        cursor.execute(TRAPS.replace("%%", "%"))
        cursor.execute("SELECT pg_catalog.set_config('search_path', %s, false)", [path])
        cursor.execute("INSERT INTO crm.customers (id, imprint_customer_id, email, currency)"
                       " VALUES (1, %s::uuid, 'a@example.com', 'USD')", [customer])
        cursor.execute("INSERT INTO crm.orders (customer_id, amount) VALUES (1, 5)")
        cursor.execute("UPDATE crm.orders SET amount = 6.5 WHERE customer_id OPERATOR(pg_catalog.=) 1")
        cursor.execute("UPDATE crm.customers SET email = 'b@example.com'")
        cursor.execute("DELETE FROM crm.orders")
        cursor.execute("INSERT INTO imprint_sync.outbox (customer_id, payload)"
                       " VALUES (%s, '{\"email\": \"c@example.com\"}')", [other])
        cursor.execute("SELECT pg_catalog.count(*) FROM pg_temp.outbox")
        assert cursor.fetchone() == (0,)
    assert db.value("SELECT count(*) FROM imprint_sync.watch_error") == 0
    assert len(db.rows(customer)) == 5 and len(db.rows(other)) == 1
    daemon.start()
    db.wait_drained()
    assert {row["status"] for row in db.rows()} == {"done"}
    assert sandbox.state(customer)["email"] == "b@example.com"


# ---- --where -----------------------------------------------------------------------------------------

def test_where_is_a_condition_and_nothing_more(db, sandbox, config, tmp_path):
    """With the daemon's rights, in a transaction that only reads."""
    customer = new_customer()
    db.execute("INSERT INTO crm.customers (id, imprint_customer_id, email, currency)"
               " VALUES (1, %s, 'a@example.com', 'USD')", customer)
    db.execute("DELETE FROM imprint_sync.outbox;"
               "CREATE TABLE public.spoils (n int); GRANT ALL ON public.spoils TO PUBLIC;"
               "CREATE SEQUENCE public.steps; GRANT ALL ON SEQUENCE public.steps TO PUBLIC;"
               "CREATE FUNCTION public.spoil() RETURNS boolean LANGUAGE plpgsql AS"
               " $$BEGIN INSERT INTO public.spoils VALUES (1); RETURN true; END$$;"
               "CREATE FUNCTION public.unlock() RETURNS boolean LANGUAGE plpgsql AS"
               " $$BEGIN PERFORM set_config('transaction_read_only', 'off', true);"
               " INSERT INTO public.spoils VALUES (1); RETURN true; END$$")
    file = tmp_path / "program"
    for condition in [
            "true); DELETE FROM public.spoils; --", "true; DROP TABLE public.spoils",
            "true); COMMIT; INSERT INTO public.spoils VALUES (1); SELECT (true",
            "public.spoil()", "public.unlock()", "set_config('transaction_read_only', 'off', true) = 'off'"
            " AND public.spoil()", "nextval('public.steps') > 0", "setval('public.steps', 9) > 0",
            "(SELECT count(*) FROM crm.orders) >= 0",
            "EXISTS (SELECT FROM pg_catalog.pg_authid)", "pg_read_file('/etc/passwd') <> ''",
            f"true); COPY (SELECT 1) TO PROGRAM 'touch {file}'; --",
            "EXISTS (DELETE FROM public.spoils RETURNING 1)",
            "EXISTS (WITH x AS (INSERT INTO public.spoils VALUES (1) RETURNING 1) SELECT FROM x)",
            "query_to_xml('INSERT INTO public.spoils VALUES (1)', true, false, '') IS NULL",
            "query_to_xml('DROP TABLE public.spoils', true, false, '') IS NULL", "(", ")", "--", "/*", "'",
            "true) OR (", "\\", "$1", "id = $1"]:
        run = config.command("backfill", "--where", condition, "--name", "w")
        assert run.returncode in (64, 78), (condition, run.returncode, run.stderr)
        assert "--where" in run.stderr, (condition, run.stderr)
    assert db.value("SELECT count(*) FROM public.spoils") == 0
    assert db.value("SELECT is_called FROM public.steps") is False
    assert not file.exists() and db.rows() == [] and sandbox.journal() == []

    # What only waits or locks ends with its transaction or its time, and hinders nobody.
    for condition in ["pg_try_advisory_lock(7)", "pg_advisory_xact_lock(7) IS NOT NULL",
                      "set_config('statement_timeout', '0', false) = '0'",
                      "set_config('search_path', 'public', false) <> ''", "pg_sleep(0.1) IS NOT NULL",
                      "true -- )"]:
        run = config.command("backfill", "--where", condition, "--force")
        assert run.returncode == 0, (condition, run.returncode, run.stderr)
    assert {row["status"] for row in db.rows()} == {"done"}
    assert db.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0

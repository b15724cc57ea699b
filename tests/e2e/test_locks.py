"""Statements that wait, are cancelled, collide, or find no room."""

import contextlib
import os
import subprocess
import time

import psycopg2
import pytest

import harness
import trouble
from harness import email, new_customer


# ---- locks ---------------------------------------------------------------------------------------

@contextlib.contextmanager
def locked(db, statement, *values):
    """Another session's transaction, open until the end."""
    connection = db.connect()
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, values or None)
        yield connection
    finally:
        connection.rollback()
        connection.close()


def test_a_locked_outbox(db, sandbox, config, daemon):
    """Nothing can be read or settled; the leases are kept all the while."""
    config.change(trouble.STEADY)
    config.change({"outbox": {"lease": "10s"}})
    sandbox.faults("delay=30")
    daemon.start()
    customers = [new_customer() for _ in range(400)]
    trouble.add_each(db, customers)
    harness.wait_until(lambda: len(sandbox.journal()) > 50, "it is at work")
    with locked(db, "LOCK TABLE imprint_sync.outbox IN ACCESS EXCLUSIVE MODE"):
        daemon.wait_event("db.error", during="settle")
        began, lines = time.monotonic(), len(daemon.events("stats"))
        renewals = db.value("SELECT sum(renewals) FROM imprint_sync.lease")
        harness.wait_until(lambda: db.value("SELECT sum(renewals) FROM imprint_sync.lease")
                           >= renewals + 3 * 64, "it renews its leases")
        lines = len(daemon.events("stats")) - lines
        assert lines >= int(time.monotonic() - began) - 1, "it waits for a count in order to say it"
    trouble.check_each_once(db, sandbox, customers)
    assert not daemon.events("db.lost") and not daemon.events("lease.lost")
    assert all("55P03" in e["reason"] for e in daemon.events("db.error"))


def test_a_locked_row_holds_up_nobody_else(db, sandbox, config, daemon):
    """Another session has locked one pending row, and does not let go."""
    customers = [new_customer() for _ in range(60)]
    trouble.add_each(db, customers)
    with locked(db, "SELECT FROM imprint_sync.outbox WHERE customer_id = %s FOR UPDATE",
                customers[20]):
        daemon.start()
        harness.wait_until(lambda: db.pending() == 1, "all the others settle")
        late = [new_customer() for _ in range(20)]
        trouble.add_each(db, late)
        harness.wait_until(lambda: db.pending() == 1, "and those that come later")
        [pending] = db.query("SELECT customer_id FROM imprint_sync.outbox WHERE status = 'pending'")
        assert pending["customer_id"] == customers[20]
    trouble.check_each_once(db, sandbox, customers + late)
    assert not daemon.events("db.lost") and not daemon.events("lease.lost")


def test_a_locked_source(db, sandbox, config, daemon):
    """As a migration of the CRM has it: thin rows wait, application rows do not."""
    config.change({"outbox": {"lease": "10s"}})
    customer = new_customer()
    db.execute("INSERT INTO crm.customers (id, imprint_customer_id, email, currency)"
               " VALUES (1, %s, 'a@example.com', 'USD')", customer)
    with locked(db, "LOCK TABLE crm.customers IN ACCESS EXCLUSIVE MODE"):
        daemon.start()
        daemon.wait_event("source.held")
        for _ in range(5):
            db.wait_settled(trouble.add_many(db, 1)[0])
        assert db.pending() == 1
    db.wait_drained()
    assert len(sandbox.journal(customer)) == 1
    daemon.wait_event("source.ready")
    assert not daemon.events("lease.lost")


def test_a_locked_lease(db, sandbox, config, daemon):
    """An idle daemon cannot renew that one for a while, and says so once."""
    daemon.start()
    with locked(db, "SELECT FROM imprint_sync.lease WHERE slot = 7 FOR UPDATE"):
        daemon.wait_event("db.error", during="heartbeat")
    trouble.add_many(db, 200)
    db.wait_drained()
    assert len(daemon.events("db.error", during="heartbeat")) == 1


def test_a_long_transaction_holds_up_nothing(db, sandbox, config, daemon):
    daemon.start()
    with locked(db, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;"
                    " SELECT txid_current(), count(*) FROM imprint_sync.outbox"):
        for _ in range(20):
            ids = trouble.add_many(db, 20)
            db.wait_settled(ids[-1])
        db.wait_drained()


def test_statements_that_are_cancelled(db, sandbox, config, daemon):
    """57014 at any call, as statement_timeout has it: each is tried again."""
    config.change(trouble.STEADY)
    sandbox.faults("delay=20")
    daemon.start()
    with trouble.Load(db.dsn("postgres"), 150) as load:
        for goal in range(40, 400, 40):
            harness.wait_until(lambda n=goal: len(sandbox.journal()) > n, "it goes on")
            harness.wait_until(lambda: db.value(
                "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity"
                " WHERE usename = 'sync_daemon' AND datname = current_database()"
                " AND state = 'active' AND query NOT LIKE 'SET%%'"), "a statement is cancelled")
        customers = load.finish()
    trouble.check_each_once(db, sandbox, customers)
    assert any("57014" in e["reason"] for e in daemon.events("db.error"))
    assert not daemon.events("db.lost")


FAIL_SETTLES = """
    CREATE SEQUENCE public.tries;
    GRANT ALL ON public.tries TO PUBLIC;
    CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('public.tries') <= 3 THEN
            RAISE EXCEPTION 'again' USING ERRCODE = '{state}';
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER fail AFTER UPDATE ON imprint_sync.outbox FOR EACH STATEMENT
        EXECUTE FUNCTION public.fail();"""


@pytest.mark.parametrize("state", ["40001", "40P01", "53100", "53200", "57014", "58030", "XX000"])
def test_a_settle_that_fails_is_repeated_and_nothing_else(db, sandbox, config, daemon, state):
    db.execute(FAIL_SETTLES.format(state=state))
    customers = [new_customer() for _ in range(20)]
    for customer in customers:
        db.add(customer, email(customer))
    daemon.start()
    trouble.check_each_once(db, sandbox, customers)
    assert db.value("SELECT last_value FROM public.tries") > 3
    assert len(daemon.events("db.error", during="settle")) == 1


def test_a_real_deadlock(db, sandbox, config, daemon):
    """Two rows of one batch, locked by another session the other way round."""
    first, second = [new_customer() for _ in range(2)]
    a, b = db.add(first, email(first)), db.add(second, email(second))
    sandbox.faults("delay=500")
    db.execute(f"ALTER DATABASE {db.name} SET deadlock_timeout = '100ms'")  # before the lock's
    other = db.connect()
    with contextlib.closing(other), other.cursor() as cursor:
        cursor.execute("SET deadlock_timeout = '10s'")
        cursor.execute("SELECT FROM imprint_sync.outbox WHERE id = %s FOR UPDATE", (b,))
        daemon.start()
        harness.wait_until(lambda: db.value(
            "SELECT count(*) FROM pg_locks WHERE NOT granted"), "the settle waits")
        with contextlib.suppress(psycopg2.Error):
            cursor.execute("SELECT FROM imprint_sync.outbox WHERE id = %s FOR UPDATE", (a,))
        other.rollback()
    trouble.check_each_once(db, sandbox, [first, second])


# ---- full ----------------------------------------------------------------------------------------

TMPFS = 'mount -t tmpfs -o size=24m,mode=700,uid=postgres none "$1" && shift && exec "$@"'


@pytest.fixture
def small_disk():
    """A cluster with a tablespace of 24 MiB, which only it can see."""
    if os.geteuid() != 0:
        pytest.skip("a small file system needs root")
    cluster = harness.Cluster()
    space = cluster.folder / "space"
    space.mkdir()
    cluster.wrapper = ["unshare", "-m", "sh", "-c", TMPFS, "sh", str(space)]
    try:
        probe = subprocess.run([*cluster.wrapper, "true"], capture_output=True, text=True,
                               check=False)
        if probe.returncode != 0:
            pytest.skip(f"no small file system here: {probe.stderr.strip()}")
        cluster.start()
        cluster.make_template()
        cluster.sql("postgres", f"CREATE TABLESPACE small LOCATION '{space}'")
        cluster.sql("postgres", "CREATE DATABASE crm TEMPLATE sync_template TABLESPACE small")
        yield cluster
    finally:
        cluster.remove()


def fill(db):
    db.execute("CREATE TABLE filler (t text); ALTER TABLE filler ALTER t SET STORAGE PLAIN")
    for rows in (1000, 10, 1):
        with contextlib.suppress(psycopg2.errors.DiskFull):
            while True:
                db.execute("INSERT INTO filler SELECT repeat('x', 7000) FROM generate_series(1, %s)"
                           % rows)


def test_a_full_disk(small_disk, sandbox, config, daemon):
    db = harness.Database(small_disk, "crm")
    config.change({"database": {"dsn": db.dsn()}, "outbox": {"batch": 50},
                   "delivery": {"workers": 8, "rate": "200/s", "burst": 10}})
    customers = [new_customer() for _ in range(700)]
    trouble.add_each(db, customers)
    daemon.start()
    fill(db)
    assert "53100" in daemon.wait_event("db.error", during="settle")["reason"]
    harness.wait_until(lambda: len(daemon.events("stats")) > 4, "time passes")
    sent, settled = len(sandbox.journal()), 700 - db.pending()
    assert sent - settled <= 8 + 50 + 8, (sent, settled)
    before = len(daemon.events("stats"))
    harness.wait_until(lambda: len(daemon.events("stats")) > before + 2, "time passes")
    assert len(sandbox.journal()) - (700 - db.pending()) <= 8 + 50 + 8
    db.execute("DROP TABLE filler")
    trouble.check_each_once(db, sandbox, customers)
    assert len(daemon.events("db.error", during="settle")) == 1
    db.connection.close()

"""Through PgBouncer in transaction mode, where a session is nobody's own."""

import signal

import pytest

import harness
import trouble
from harness import email, new_customer


@pytest.fixture(params=[5, 1], ids=["pool of 5", "pool of 1"])
def bouncer(cluster, tmp_path, request):
    bouncer = trouble.PgBouncer(cluster, tmp_path, request.param).start()
    try:
        yield bouncer
    finally:
        bouncer.remove()


@pytest.fixture
def config(config, db, bouncer):
    config.change(trouble.STEADY)
    config.change({"database": {"dsn": bouncer.dsn(db.name)}})
    yield config
    bouncer.stop()  # or the database could not be dropped


def test_everything_works_by_polling(db, sandbox, config, daemon):
    customers = [new_customer() for _ in range(300)]
    trouble.add_each(db, customers)
    db.execute("INSERT INTO crm.customers (id, imprint_customer_id, email, currency)"
               " VALUES (1, %s, 'a@example.com', 'USD')", thin := new_customer())
    daemon.start()
    trouble.check_each_once(db, sandbox, [*customers, thin])
    assert "listen_dsn" in daemon.wait_event("db.notify")["reason"]
    assert daemon.stop() == 0
    assert db.value("SELECT count(*) FROM imprint_sync.lease WHERE holder IS NOT NULL") == 0
    run = config.command("check")
    assert run.returncode == 0 and "listen_dsn" in run.stdout


def test_listen_dsn_goes_around_it(db, sandbox, config, daemon):
    config.change({"database": {"listen_dsn": db.dsn("postgres")},
                   "outbox": {"poll_interval": "60s"}})
    listeners = ("FROM pg_stat_activity WHERE datname = current_database()"
                 " AND application_name = 'imprint-sync' AND usename = 'postgres'")

    def idle():
        return db.value("SELECT last_value > extract(epoch FROM clock_timestamp())"
                        " FROM imprint_sync.idle_until")

    daemon.start()
    for _ in range(4):
        harness.wait_until(idle, "it is idle", 30)
        db.wait_settled(db.add(customer := new_customer(), email(customer)), 20)
    assert not daemon.events("db.notify")
    # This way, too, is found again when it is lost, and what was written meanwhile is looked for.
    harness.wait_until(idle, "it is idle", 30)
    with db.connect() as other, other.cursor() as cursor:
        cursor.execute(f"SELECT pg_terminate_backend(pid) {listeners}")
        cursor.execute("INSERT INTO imprint_sync.outbox (customer_id, payload)"
                       " VALUES (%s, '{\"email\": \"a@example.com\"}') RETURNING id",
                       (new_customer(),))
        row_id = cursor.fetchone()[0]
    other.close()
    db.wait_settled(row_id, 20)
    assert not daemon.events("db.lost")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_restart_of_it_under_load(db, sandbox, config, daemon, bouncer, how):
    sandbox.faults("delay=30")
    daemon.start()
    with trouble.Load(db.dsn("postgres"), 150) as load:
        for outages in (1, 2):
            before = len(sandbox.journal())
            harness.wait_until(lambda n=before: len(sandbox.journal()) > n + 60, "it is at work")
            bouncer.stop(how)
            daemon.wait_event("db.lost", outages)
            bouncer.start()
            daemon.wait_event("db.connect", outages + 1)
        customers = load.finish()
    trouble.check_each_once(db, sandbox, customers)
    assert len(daemon.events("db.lost")) == 2 and not daemon.events("lease.lost")


def test_a_restart_of_postgres_behind_it(cluster, db, sandbox, config, daemon):
    sandbox.faults("delay=30")
    daemon.start()
    with trouble.Load(db.dsn("postgres"), 150) as load:
        harness.wait_until(lambda: len(sandbox.journal()) > 60, "it is at work")
        cluster.stop()
        daemon.wait_event("db.lost")
        cluster.start()
        daemon.wait_event("db.connect", 2)
        customers = load.finish()
    db.reconnect()
    trouble.check_each_once(db, sandbox, customers)
    assert len(daemon.events("db.lost")) == 1


def test_a_failing_statement_leaves_nothing_behind_in_the_pool(db, sandbox, config, daemon):
    """The transaction is rolled back, and the timeouts were the transaction's own."""
    daemon.start()
    db.execute("ALTER SCHEMA imprint_sync RENAME TO elsewhere")
    daemon.wait_event("db.error")
    db.execute("ALTER SCHEMA elsewhere RENAME TO imprint_sync")
    db.wait_settled(db.add(customer := new_customer(), email(customer)))
    with harness.psycopg2.connect(config.tree["database"]["dsn"]) as other, other.cursor() as cursor:
        for _ in range(10):
            cursor.execute("SELECT current_setting('statement_timeout'),"
                           " current_setting('lock_timeout')")
            assert cursor.fetchone() == ("0", "0")
            other.commit()
    other.close()

"""The database is restarted, refuses connections, or is not what it was."""

import signal

import psycopg2
import pytest

import harness
import trouble
from harness import new_customer


@pytest.fixture
def own_cluster():
    """For what concerns a whole server."""
    with harness.Cluster().running() as cluster:
        yield cluster


# ---- restarts ----------------------------------------------------------------------------------

@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_a_restart_under_load_loses_and_repeats_nothing(cluster, db, sandbox, config, daemon, how):
    config.change(trouble.STEADY)
    sandbox.faults("delay=30")
    daemon.start()
    with trouble.Load(db.dsn("postgres"), 150) as load:
        for outages in (1, 2, 3):
            before = len(sandbox.journal())
            harness.wait_until(lambda n=before: len(sandbox.journal()) > n + 40, "it is at work")
            cluster.stop(how)
            daemon.wait_event("db.lost", outages)
            cluster.start()
            daemon.wait_event("db.connect", outages + 1)
        customers = load.finish()
    db.reconnect()
    trouble.check_each_once(db, sandbox, customers)
    assert len(daemon.events("db.lost")) == 3
    assert len(daemon.events("db.connect")) == 4
    assert not daemon.events("lease.lost")


def test_an_outage_is_said_once_however_long(cluster, db, sandbox, config, daemon):
    daemon.start()
    cluster.stop()
    daemon.wait_event("db.lost")
    harness.wait_until(lambda: len(daemon.events("stats", paused="database")) >= 3, "it waits")
    assert len(daemon.events("db.lost")) == 1
    cluster.start()
    db.reconnect()
    daemon.wait_event("db.connect", 2)
    db.wait_settled(trouble.add_many(db, 1)[0])
    assert len(daemon.events("db.lost")) == 1


# ---- a server that answers, but not as it should ----------------------------------------------

def test_too_many_connections_at_reconnect(db, sandbox, config, daemon):
    daemon.start()
    db.execute("ALTER ROLE sync_daemon CONNECTION LIMIT 0")
    try:
        trouble.terminate(db)
        assert "too many connections" in daemon.wait_event("db.lost")["reason"] or \
            harness.wait_until(lambda: daemon.events("stats", paused="database"), "it waits")
    finally:
        db.execute("ALTER ROLE sync_daemon CONNECTION LIMIT -1")
    daemon.wait_event("db.connect", 2)
    db.wait_settled(trouble.add_many(db, 1)[0])
    assert len(daemon.events("db.lost")) == 1


def test_a_password_that_is_changed(cluster, db, sandbox, config, daemon):
    """28P01 until the file has the new one; it is read at every attempt."""
    password = config.folder / "password"
    password.write_text("the-old-one\n")
    db.execute("ALTER ROLE sync_daemon PASSWORD 'the-old-one'")
    config.change({"database": {"dsn": cluster.tcp_dsn(db.name, "sync_daemon"),
                                "password_file": str(password)}})
    daemon.start()
    db.execute("ALTER ROLE sync_daemon PASSWORD 'the-new-one'")
    trouble.terminate(db)
    daemon.wait_event("db.lost")
    harness.wait_until(lambda: daemon.events("stats", paused="database"), "it waits")
    password.write_text("the-new-one\n")
    daemon.wait_event("db.connect", 2)
    db.wait_settled(trouble.add_many(db, 1)[0])
    assert len(daemon.events("db.lost")) == 1
    assert "the-old-one" not in daemon.log() and "the-new-one" not in daemon.log()


def test_a_server_that_is_starting_up(own_cluster, sandbox, config, daemon):
    """57P03: a standby without hot_standby refuses connections as one that is recovering does."""
    db = harness.Database(own_cluster, "sync_template")
    config.change({"database": {"dsn": db.dsn()}})
    daemon.start()
    own_cluster.stop()
    (own_cluster.folder / "data/standby.signal").touch()
    own_cluster.settings = ("hot_standby=off",)
    own_cluster.launch()

    def refuses():
        try:
            db.reconnect()
        except psycopg2.OperationalError as error:
            return "not accepting connections" in str(error)
        return False

    harness.wait_until(refuses, "it refuses")
    daemon.wait_event("stats", len(daemon.events("stats")) + 2)
    own_cluster.stop()
    (own_cluster.folder / "data/standby.signal").unlink()
    own_cluster.settings = ()
    own_cluster.start()
    db.reconnect()
    daemon.wait_event("db.connect", 2)
    db.wait_settled(trouble.add_many(db, 1)[0])
    assert len(daemon.events("db.lost")) == 1


def test_a_server_that_is_read_only_for_a_while(cluster, db, sandbox, config, daemon):
    """The only one there is: it waits, keeps the outcomes, and writes them afterwards."""
    config.change(trouble.STEADY)
    sandbox.faults("delay=30")
    daemon.start()
    customers = [new_customer() for _ in range(300)]
    trouble.add_each(db, customers)
    harness.wait_until(lambda: len(sandbox.journal()) > 50, "it is at work")
    try:
        cluster.sql("postgres", f"ALTER DATABASE {db.name} SET default_transaction_read_only = on")
        trouble.terminate(db)
        daemon.wait_event("db.lost")
        daemon.wait_event("stats", len(daemon.events("stats")) + 2)
    finally:
        cluster.sql("postgres", f"ALTER DATABASE {db.name} RESET default_transaction_read_only")
    daemon.wait_event("db.connect", 2)
    trouble.check_each_once(db, sandbox, customers)
    assert len(daemon.events("db.lost")) == 1


def test_a_database_that_is_dropped_and_comes_back(cluster, db, sandbox, config, daemon):
    daemon.start()
    db.wait_settled(trouble.add_many(db, 1)[0])
    db.connection.close()
    cluster.sql("postgres", f"DROP DATABASE {db.name} WITH (FORCE)")
    daemon.wait_event("db.lost")
    harness.wait_until(lambda: daemon.events("stats", paused="database"), "it waits")
    cluster.sql("postgres", f"CREATE DATABASE {db.name} TEMPLATE sync_template")
    db.reconnect()
    daemon.wait_event("db.connect", 2)
    db.wait_settled(trouble.add_many(db, 1)[0])
    assert len(daemon.events("db.lost")) == 1


def test_a_database_that_comes_back_before_its_schema(cluster, db, sandbox, config, daemon):
    """As pg_restore has it: first the database, then what is in it."""
    daemon.start()
    db.connection.close()
    cluster.sql("postgres", f"DROP DATABASE {db.name} WITH (FORCE)")
    cluster.sql("postgres", f"CREATE DATABASE {db.name} TEMPLATE template0")
    db.reconnect()
    harness.wait_until(lambda: db.value(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'sync_daemon'"
        " AND datname = current_database()"), "it is connected, and finds no schema")
    harness.wait_until(lambda: daemon.events("stats", paused="database"), "it waits")
    owner = config.folder / "owner"
    owner.mkdir()
    as_owner = harness.Config(owner, {"database": {"dsn": db.dsn("postgres")}})
    assert as_owner.command("migrate").returncode == 0
    daemon.wait_event("db.connect", 2)
    db.wait_settled(trouble.add_many(db, 1)[0])
    assert len(daemon.events("db.lost")) == 1


def test_a_schema_that_goes_away_while_connected(db, sandbox, config, daemon):
    daemon.start()
    db.execute("ALTER SCHEMA imprint_sync RENAME TO elsewhere")
    harness.wait_until(lambda: daemon.events("db.error"), "it says so")
    before = len(daemon.events("stats"))
    harness.wait_until(lambda: len(daemon.events("stats")) > before + 3, "time passes")
    db.execute("ALTER SCHEMA elsewhere RENAME TO imprint_sync")
    db.wait_settled(trouble.add_many(db, 1)[0])
    # Once for each kind of call, not once for each call.
    said = [e["during"] for e in daemon.events("db.error")]
    assert len(said) == len(set(said)), said

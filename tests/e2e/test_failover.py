"""A Postgres that is a failover cluster: a real streaming standby takes over."""

import contextlib
import signal

import pytest

import checker
import harness
import trouble
from harness import new_customer


@pytest.fixture
def pair():
    """A primary, and a standby without which it commits nothing; each with the database crm."""
    primary = harness.Cluster()
    standby = trouble.Standby(primary)
    try:
        primary.start()
        primary.make_template()
        primary.sql("postgres", "CREATE DATABASE crm TEMPLATE sync_template")
        standby.start()
        primary.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.sql("postgres", "SELECT pg_reload_conf()")
        yield primary, standby
    finally:
        standby.remove()
        primary.remove()


@pytest.fixture
def hosts(pair):
    primary, standby = pair
    return (f"host={primary.folder},{standby.folder} port={primary.port},{standby.port}"
            " dbname=crm user=sync_daemon")


@pytest.fixture
def config(tmp_path, sandbox, hosts):
    config = harness.Config(tmp_path, {"database": {"dsn": hosts},
                                       "imprint": {"base_url": sandbox.url}})
    config.change(trouble.STEADY)
    return config


def all_done(database, customers):
    done = {row["customer_id"] for row in database.rows() if row["status"] == "done"}
    return done.issuperset(customers)


def test_a_standby_is_promoted(pair, sandbox, config, daemon):
    """The primary is killed under load. What was committed is delivered; what Imprint accepted for
    the old history counts for nothing in the new one."""
    primary, standby = pair
    config.change({"database": {"dsn": config.tree["database"]["dsn"]
                                + " target_session_attrs=read-write"},
                   "outbox": {"lease": "8s"}})
    old = harness.Database(primary, "crm")
    same = new_customer()
    daemon.start()
    for expected in (1, 2):  # the second only proves that it would be left out
        old.wait_settled(old.add(same, harness.email(same)))
    assert len(sandbox.journal(same)) == 1
    with trouble.Load([primary.dsn("crm"), standby.dsn("crm")], 100) as load:
        harness.wait_until(lambda: len(sandbox.journal()) > 100, "it is at work")
        primary.stop(signal.SIGKILL)
        daemon.wait_event("db.lost")
        standby.promote()
        daemon.wait_event("db.connect", 2)
        before = len(load.customers)
        harness.wait_until(lambda: len(load.customers) > before + 100, "the application goes on")
        customers = load.finish()
    new = harness.Database(standby, "crm")
    new.wait_drained()
    checker.check_settled(new)
    checker.check_no_overlap(sandbox.journal())
    checker.check_newest(sandbox, {c: harness.email(c) for c in customers})
    assert all_done(new, customers)
    assert len(daemon.events("db.lost")) == 1 and len(daemon.events("db.connect")) == 2
    # The state is of the old timeline.
    row = new.wait_settled(new.add(same, harness.email(same)))
    assert row["error"] != "unchanged" and len(sandbox.journal(same)) == 2
    row = new.wait_settled(new.add(same, harness.email(same)))
    assert row["error"] == "unchanged"
    old.connection.close()
    new.connection.close()


def test_rows_that_never_were(pair, sandbox, config, daemon):
    """Rows that the standby did not get are lost with the primary, and their ids are used again.
    The outcomes of the old rows must not settle the new ones."""
    primary, standby = pair
    config.change({"delivery": {"workers": 100, "burst": 100}, "outbox": {"lease": "90s"},
                   "imprint": {"timeout": "30s"}})
    old = harness.Database(primary, "crm")
    daemon.start()
    old.wait_settled(trouble.add_many(old, 1)[0])
    primary.sql("postgres", "ALTER SYSTEM RESET synchronous_standby_names")
    primary.sql("postgres", "SELECT pg_reload_conf()")
    sandbox.faults("delay=1500")
    standby.stop()
    lost = [new_customer() for _ in range(100)]
    trouble.add_each(old, lost)
    ids = old.query("SELECT min(id), max(id) FROM imprint_sync.outbox WHERE status = 'pending'")[0]
    ids = ids["min"], ids["max"]
    # Out of quiet it sends four, until one of them is accepted.
    harness.wait_until(lambda: sandbox.control("GET", "stats")["in_progress"] == 96, "all are sent")
    daemon.process.send_signal(signal.SIGSTOP)
    primary.stop(signal.SIGKILL)
    standby.start()
    standby.promote()
    new = harness.Database(standby, "crm")
    harness.wait_until(lambda: not new.value("SELECT pg_is_in_recovery()"), "it is promoted")
    customers = [new_customer() for _ in range(100)]
    trouble.add_each(new, customers)
    again = new.value("SELECT count(*) FROM imprint_sync.outbox WHERE id BETWEEN %s AND %s", *ids)
    assert again > 30
    harness.wait_until(lambda: sandbox.control("GET", "stats")["in_progress"] == 0, "all are answered")
    daemon.process.send_signal(signal.SIGCONT)
    daemon.wait_event("db.connect", 2)
    new.wait_drained()
    checker.check_settled(new)
    checker.check_done_means_accepted(new, sandbox.journal())
    assert {entry["customer"] for entry in sandbox.journal()}.issuperset(customers)
    new.connection.close()


def test_a_primary_that_becomes_read_only(pair, sandbox, config, daemon):
    """25006 on a connection that stays open: it is left, and the server that takes writes found."""
    primary, standby = pair
    daemon.start()
    with trouble.Load([primary.dsn("crm"), standby.dsn("crm")], 100) as load:
        harness.wait_until(lambda: len(sandbox.journal()) > 100, "it is at work")
        primary.sql("postgres", "ALTER SYSTEM SET default_transaction_read_only = on")
        primary.sql("postgres", "SELECT pg_reload_conf()")
        assert daemon.wait_event("db.lost")["sqlstate"] == "25006"
        standby.promote()
        daemon.wait_event("db.connect", 2)
        before = len(load.customers)
        harness.wait_until(lambda: len(load.customers) > before + 100, "the application goes on")
        customers = load.finish()
    new = harness.Database(standby, "crm")
    new.wait_drained()
    checker.check_settled(new)
    assert all_done(new, customers)
    checker.check_no_overlap(sandbox.journal())
    assert len(daemon.events("db.lost")) == 1 and len(daemon.events("db.connect")) == 2
    new.connection.close()


def test_the_standby_may_stand_first(pair, sandbox, config, daemon):
    primary, standby = pair
    for attrs in "", "target_session_attrs=primary":
        config.change({"database": {
            "dsn": f"host={standby.folder},{primary.folder} port={standby.port},{primary.port}"
            f" dbname=crm user=sync_daemon {attrs}"}})
        daemon.start()
        with contextlib.closing(primary.connect("crm")) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'sync_daemon'")
            assert cursor.fetchone()[0] == 1
        assert daemon.stop() == 0


REFUSED = [
    ("target_session_attrs=any", "takes no writes"),
    ("target_session_attrs=prefer-standby", "takes no writes"),
    ("target_session_attrs=standby", "takes no writes"),
    ("host=a,b port=1,2,3", "3 ports for 2 hosts"),
    ("host=a,b hostaddr=127.0.0.1", "each host needs its address"),
    ("service=crm", "name the hosts here"),
    ("hsot=a", "unknown setting"),
]


@pytest.mark.parametrize("key", ["dsn", "listen_dsn"])
@pytest.mark.parametrize("dsn, reason", REFUSED)
@pytest.mark.parametrize("command", [["check", "--offline"], ["run"]])
def test_a_dsn_that_cannot_do(db, sandbox, tmp_path, command, key, dsn, reason):
    config = harness.Config(tmp_path, {"database": {"dsn": db.dsn()}})
    config.change({"database": {key: dsn}})
    run = config.command(*command)
    assert run.returncode == 78, run.stdout + run.stderr
    assert f"database.{key}: " in run.stderr and reason in run.stderr


def test_more_hosts_than_anybody_has(db, sandbox, tmp_path):
    """None is left out: the one that answers is the last."""
    config = harness.Config(tmp_path, {
        "imprint": {"base_url": sandbox.url},
        "database": {"dsn": f"host={'/nonexistent,' * 40}{db.cluster.folder}"
                     f" port={db.cluster.port} dbname={db.name} user=sync_daemon"}})
    assert config.command("check").returncode == 0


def test_hosts_of_the_environment(db, sandbox, tmp_path, monkeypatch):
    """As libpq has it, lists included."""
    config = harness.Config(tmp_path, {
        "imprint": {"base_url": sandbox.url},
        "database": {"dsn": f"dbname={db.name} user=sync_daemon"}})
    monkeypatch.setenv("PGHOST", f"/nonexistent,{db.cluster.folder}")
    monkeypatch.setenv("PGPORT", f"1,{db.cluster.port}")
    run = config.command("check")
    assert run.returncode == 0, run.stdout + run.stderr

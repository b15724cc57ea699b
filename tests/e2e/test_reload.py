"""SIGHUP: everything is read and checked, then taken over at once, or nothing is."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

import checker
import harness
from harness import KEY, email, new_customer

OTHER_KEY = "e2e-key-b81d04e6"
NS = 10**9


def add_many(db, count):
    return [db.add(c, email(c)) for c in (new_customer() for _ in range(count))]


def answers(daemon):
    return daemon.events("daemon.reload")


def hang_up(daemon, level="info", **fields):
    """One SIGHUP, and the event that answers it."""
    before = len(answers(daemon))
    daemon.process.send_signal(signal.SIGHUP)
    event = harness.wait_until(lambda: answers(daemon)[before:], "the reload is answered")[0]
    assert event["level"] == level, event
    assert {k: event.get(k) for k in fields} == fields, event
    return event


def reload(daemon, changes, level="info", **fields):
    daemon.config.change(changes)
    return hang_up(daemon, level, **fields)


def refused(daemon, changes, count):
    """A reload that is not taken: its events, `count` of them."""
    before = len(answers(daemon))
    daemon.config.change(changes)
    daemon.process.send_signal(signal.SIGHUP)
    harness.wait_until(lambda: len(answers(daemon)) >= before + count, "the reload is refused")
    daemon.wait_event("stats", len(daemon.events("stats")) + 1)  # nothing more comes
    events = answers(daemon)[before:]
    assert len(events) == count and {e["level"] for e in events} == {"error"}, events
    return events


def in_progress(sandbox):
    return sandbox.control("GET", "stats")["in_progress"]


def wait_in_progress(sandbox, count):
    harness.wait_until(lambda: in_progress(sandbox) == count, f"{count} requests in flight")


def body(sandbox, customer):
    return sandbox.journal(customer)[-1]["body"]


# ---- what is taken over ------------------------------------------------------------------------

def test_the_rate_goes_up_and_down(db, sandbox, config, daemon):
    config.change({"delivery": {"rate": "10/s", "burst": 1}})
    daemon.start()
    ids = add_many(db, 150)
    harness.wait_until(lambda: len(sandbox.journal()) >= 10, "it is at work")
    reload(daemon, {"delivery": {"rate": "100/s"}}, changed="delivery.rate")
    before = len(sandbox.journal())
    harness.wait_until(lambda: len(sandbox.journal()) >= before + 60, "it goes faster")
    reload(daemon, {"delivery": {"rate": "20/s"}}, changed="delivery.rate")
    after = len(sandbox.journal())
    db.wait_drained()
    journal = sandbox.journal()
    checker.check_rate(journal[:10], 10, 1)
    checker.check_rate(journal, 100, 1)
    checker.check_rate(journal[after + 3:], 20, 1)
    # 60 requests at 10/s would have taken 6 s.
    assert journal[before + 59]["start_ns"] - journal[before]["start_ns"] < 4 * NS
    assert {db.row(i)["status"] for i in ids} == {"done"}
    assert float(daemon.events("stats")[-1]["rate_limit"]) == 20


def test_workers_go_up_and_down(db, sandbox, config, daemon):
    config.change({"delivery": {"workers": 2}, "imprint": {"timeout": "5s"}})
    sandbox.faults("delay=700")
    daemon.start()
    add_many(db, 50)
    wait_in_progress(sandbox, 2)
    reload(daemon, {"delivery": {"workers": 8}}, changed="delivery.workers")
    wait_in_progress(sandbox, 8)
    assert sandbox.control("GET", "stats")["max_concurrent"] == 8  # old and new ones together
    reload(daemon, {"delivery": {"workers": 3}}, changed="delivery.workers")
    wait_in_progress(sandbox, 3)
    sandbox.faults()
    db.wait_drained()
    checker.check_all(db, sandbox, rows=50)
    assert len(sandbox.journal()) == 50


def test_a_mapping_reaches_what_has_not_begun(db, sandbox, config, daemon):
    config.change({"mapping": {"email": "email", "first_name": "name"},
                   "delivery": {"workers": 1}, "imprint": {"timeout": "5s"}})
    sandbox.faults("delay=1500,count=1")
    daemon.start()
    first, second, third = (new_customer() for _ in range(3))
    row = {"email": "a@example.com", "name": "Ada"}
    db.add(first, row)
    wait_in_progress(sandbox, 1)
    db.add(second, row)  # waits behind it, perhaps mapped already
    reload(daemon, {"mapping": {"email": "email", "last_name": "name"}}, changed="")
    assert in_progress(sandbox) == 1
    db.add(third, row)
    db.wait_drained()
    assert body(sandbox, first) == {"email": "a@example.com", "first_name": "Ada"}
    assert body(sandbox, second) == {"email": "a@example.com", "last_name": "Ada"}
    assert body(sandbox, third) == {"email": "a@example.com", "last_name": "Ada"}
    assert len(sandbox.journal()) == 3
    checker.check_all(db, sandbox, rows=3)


@pytest.fixture
def people(db, config):
    db.execute("""
        CREATE TABLE crm.people (imprint_id text, email text, name text);
        CREATE TABLE crm.members (member_id text, email text, name text);
        CREATE INDEX ON crm.people (imprint_id);
        CREATE INDEX ON crm.members (member_id);
        GRANT SELECT ON crm.people, crm.members TO imprint_sync_daemon""")
    config.change({"source": {"relation": "crm.people", "customer_id": "imprint_id",
                              "updated_at": None}, "mapping": {"email": "email"}})

    def add(customer, relation="people", address="a@example.com", row=True):
        db.execute(f"INSERT INTO crm.{relation} VALUES (%s, %s, 'Ada')", customer, address)
        return db.add(customer) if row else None

    return add


def test_columns_and_source_are_read_anew(db, sandbox, config, daemon, people):
    daemon.start()
    first, second, third = (new_customer() for _ in range(3))
    db.wait_settled(people(first))
    reload(daemon, {"mapping": {"email": "email", "first_name": "name"}}, changed="")
    db.wait_settled(people(second))
    reload(daemon, {"source": {"relation": "crm.members", "customer_id": "member_id"}},
           changed="source.relation,source.customer_id")
    db.wait_settled(people(third, "members", "m@example.com"))
    assert body(sandbox, first) == {"email": "a@example.com"}
    assert body(sandbox, second) == {"email": "a@example.com", "first_name": "Ada"}
    assert body(sandbox, third) == {"email": "m@example.com", "first_name": "Ada"}
    checker.check_all(db, sandbox, rows=3)


def test_what_is_being_read_when_it_comes_is_read_again(db, sandbox, config, daemon, people):
    daemon.start()
    customer = new_customer()
    people(customer, row=False)
    with contextlib.closing(db.connect()) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE crm.people")
        row_id = db.add(customer)
        harness.wait_until(lambda: db.value(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND usename = 'sync_daemon'"), "the source is being read")
        reload(daemon, {"mapping": {"email": "email", "first_name": "name"}}, changed="")
        other.rollback()
    assert db.wait_settled(row_id)["status"] == "done"
    assert body(sandbox, customer) == {"email": "a@example.com", "first_name": "Ada"}


def test_a_source_that_is_missing_holds_and_the_next_reload_ends_it(db, sandbox, config, daemon, people):
    daemon.start()
    reload(daemon, {"source": {"relation": "crm.peeple"}}, changed="source.relation")
    row_id = people(new_customer())
    daemon.wait_event("source.held", relation="crm.peeple")
    assert db.row(row_id)["status"] == "pending"
    reload(daemon, {"source": {"relation": "crm.people"}})
    assert db.wait_settled(row_id)["status"] == "done"
    daemon.wait_event("source.ready")


def test_a_look_at_the_source_that_fails_is_repeated(db, sandbox, config, daemon):
    daemon.start()
    db.execute("REVOKE SELECT ON imprint_sync.schema_version FROM imprint_sync_daemon")
    hang_up(daemon, changed="")
    daemon.wait_event("db.error", during="hello")
    [row_id] = add_many(db, 1)
    db.execute("GRANT SELECT ON imprint_sync.schema_version TO imprint_sync_daemon")
    assert db.wait_settled(row_id)["status"] == "done"


def test_what_died_of_the_mapping_passes_with_another(db, sandbox, config, daemon, people):
    daemon.start()
    customer = new_customer()
    dead = people(customer, address="no address")
    assert db.wait_settled(dead)["status"] == "dead"
    reload(daemon, {"mapping": {"email": {"from": "email", "on_invalid": "omit"},
                                "first_name": "name"}})
    assert db.wait_settled(db.add(customer))["status"] == "done"
    assert body(sandbox, customer) == {"first_name": "Ada"}
    assert db.row(dead)["status"] == "done"  # superseded: the same source row was accepted


def test_level_and_format_of_the_log(db, sandbox, config, daemon):
    config.change({"log": {"level": "info"}})
    daemon.start()
    [first] = add_many(db, 1)
    db.wait_settled(first)
    reload(daemon, {"log": {"level": "debug", "format": "json"}}, changed="log.level,log.format")
    [second] = add_many(db, 1)
    daemon.wait_event("update.done", id=second)
    reload(daemon, {"log": {"level": "error", "format": "logfmt"}})
    [third] = add_many(db, 1)
    db.wait_settled(third)
    assert daemon.stop() == 0
    lines = daemon.log().split("\n")
    reloads = [n for n, line in enumerate(lines) if "daemon.reload" in line]
    assert all(line.startswith("{") for line in lines[reloads[0]:reloads[1]])
    assert lines[reloads[1] + 1:] == [""]  # error: nothing more
    assert not daemon.events("update.done", id=first)


def test_the_stats_come_by_the_new_interval(db, sandbox, config, daemon):
    config.change({"log": {"stats_interval": "1h"}})
    daemon.start()
    assert not daemon.events("stats")
    reload(daemon, {"log": {"stats_interval": "200ms"}}, changed="log.stats_interval")
    daemon.wait_event("stats", 2)


def test_a_timeout_is_that_of_the_requests_begin(db, sandbox, config, daemon):
    config.change({"imprint": {"timeout": "5s", "connect_timeout": "500ms"},
                   "delivery": {"workers": 1}})
    sandbox.faults("delay=1500,count=1")
    daemon.start()
    [first] = add_many(db, 1)
    wait_in_progress(sandbox, 1)
    reload(daemon, {"imprint": {"timeout": "500ms"}}, changed="imprint.timeout")
    assert db.wait_settled(first)["status"] == "done"
    sandbox.faults("delay=1500,count=1")
    [second] = add_many(db, 1)
    daemon.wait_event("update.retry", reason="timeout")
    assert db.wait_settled(second)["status"] == "done"


def test_retention_and_outcomes(db, sandbox, config, daemon):
    daemon.start()
    [kept] = add_many(db, 1)
    assert db.wait_settled(kept)["status"] == "done"
    reload(daemon, {"outbox": {"retention": "0"}, "retry": {"outcomes": {"409": "dead", "503": "dead"}}},
           changed="retry.outcomes,outbox.retention")
    [gone] = add_many(db, 1)
    harness.wait_until(lambda: gone not in [r["id"] for r in db.rows()], "done rows go at once")
    sandbox.faults("status=503,count=1")
    [dead] = add_many(db, 1)
    assert db.wait_settled(dead)["status"] == "dead"


# ---- where it goes, and with which key ---------------------------------------------------------

@pytest.fixture
def other(tmp_path):
    folder = tmp_path / "other"
    folder.mkdir()
    sandbox = harness.Sandbox(folder, "--api-key", OTHER_KEY)
    sandbox.start()
    yield sandbox
    sandbox.stop()


def test_another_destination_with_its_key(db, sandbox, other, config, daemon):
    config.change({"imprint": {"timeout": "5s"}, "delivery": {"workers": 4}})
    sandbox.faults("delay=1000")
    daemon.start()
    ids = add_many(db, 30)
    wait_in_progress(sandbox, 4)
    key_file = config.folder / "other_key"
    key_file.write_text(OTHER_KEY)
    reload(daemon, {"imprint": {"base_url": other.url, "api_key_file": str(key_file)}},
           changed="imprint.base_url,imprint.api_key_file")
    db.wait_drained()
    harness.wait_until(lambda: len(sandbox.journal()) + len(other.journal()) >= 30, "all are there")
    # No key ever met the other one's destination.
    assert {e["status"] for e in sandbox.journal() + other.journal()} == {200}
    assert 4 <= len(sandbox.journal()) < 30
    assert {db.row(i)["status"] for i in ids} == {"done"}


def test_what_another_destination_accepted_is_sent_again(db, sandbox, other, config, daemon):
    daemon.start()
    customer = new_customer()
    db.wait_settled(db.add(customer, email(customer)))
    assert db.wait_settled(db.add(customer, email(customer)))["error"] == "unchanged"
    config.key_file.write_text(OTHER_KEY)
    reload(daemon, {"imprint": {"base_url": other.url}})
    db.wait_settled(db.add(customer, email(customer)))
    assert [e["status"] for e in other.journal(customer)] == [200]


def test_the_key_in_the_same_file(db, sandbox, config, daemon):
    daemon.start()
    [first] = add_many(db, 1)
    db.wait_settled(first)
    sandbox.keys(OTHER_KEY)
    config.key_file.write_text(OTHER_KEY)
    hang_up(daemon, changed="imprint.api_key_file")
    hang_up(daemon, changed="")
    [second] = add_many(db, 1)
    assert db.wait_settled(second)["status"] == "done"
    assert [e["status"] for e in sandbox.journal()] == [200, 200]
    assert OTHER_KEY not in daemon.log() and KEY not in daemon.log()


@pytest.mark.parametrize("how", ["written", "replaced"])
def test_a_key_file_that_changes_is_read_without_a_signal(db, sandbox, config, daemon, how):
    daemon.start()
    [first] = add_many(db, 1)
    db.wait_settled(first)
    sandbox.keys(OTHER_KEY)
    if how == "written":
        config.key_file.write_text(OTHER_KEY)
    else:
        (config.folder / "new").write_text(OTHER_KEY)
        os.replace(config.folder / "new", config.key_file)
    daemon.wait_event("api.key", level="info")
    [second] = add_many(db, 1)
    assert db.wait_settled(second)["status"] == "done"
    assert [e["status"] for e in sandbox.journal()] == [200, 200]  # no refusal was needed
    assert not answers(daemon) and OTHER_KEY not in daemon.log()


def test_a_key_file_that_others_may_read_is_not_taken_over(db, sandbox, config, daemon):
    daemon.start()
    sandbox.keys(KEY, OTHER_KEY)
    new = config.folder / "new"
    new.write_text(OTHER_KEY)
    new.chmod(0o644)
    new.replace(config.key_file)
    warning = daemon.wait_event("api.key", level="warning")
    assert "Other users may access it; remove their rights (chmod o=)" in warning["reason"]
    assert str(config.key_file) in warning["reason"] and OTHER_KEY not in daemon.log()
    sandbox.keys(KEY)
    [row_id] = add_many(db, 1)
    assert db.wait_settled(row_id)["status"] == "done"  # the key of before
    config.key_file.chmod(0o640)
    daemon.wait_event("api.key", level="info")
    sandbox.keys(OTHER_KEY)
    [row_id] = add_many(db, 1)
    assert db.wait_settled(row_id)["status"] == "done"
    assert {e["status"] for e in sandbox.journal()} == {200}


def test_a_password_file_that_others_may_read_is_not_used(db, sandbox, config, daemon):
    password_file = config.folder / "db_password"
    password_file.write_text("zq-password\n")
    config.change({"database": {"password_file": str(password_file)}})
    daemon.start()
    password_file.chmod(0o644)
    db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'sync_daemon'")
    daemon.wait_event("stats", 4, paused="database")
    assert len(daemon.events("db.connect")) == 1
    assert "chmod o=" in config.command("status").stderr
    password_file.chmod(0o600)
    daemon.wait_event("db.connect", 2)
    [row_id] = add_many(db, 1)
    assert db.wait_settled(row_id)["status"] == "done"


def test_a_key_file_that_cannot_be_used_is_said_once(db, sandbox, config, daemon):
    daemon.start()
    config.key_file.write_text("")
    warning = daemon.wait_event("api.key", level="warning")
    assert "is empty" in warning["reason"]
    [row_id] = add_many(db, 1)
    assert db.wait_settled(row_id)["status"] == "done"  # the key of before
    config.key_file.write_text(f"{KEY}\n")
    before = len(daemon.events("stats"))
    daemon.wait_event("stats", before + 3)
    assert len(daemon.events("api.key")) == 1  # no other key, nothing to say


def test_certificates_are_read_anew_also_where_connections_are_kept(db, tmp_path, daemon, config):
    sandbox = harness.Sandbox(tmp_path, tls=True).start()
    trusted = tmp_path / "trusted.pem"
    shutil.copy(tmp_path / "ca.pem", trusted)
    config.change({"imprint": {"base_url": sandbox.url, "ca_file": str(trusted)}})
    daemon.start()
    db.wait_settled(*add_many(db, 1))
    (tmp_path / "else").mkdir()
    subprocess.run([harness.program("imprint-sandbox"), "--make-cert", str(tmp_path / "else")], check=True)
    shutil.copy(tmp_path / "else/ca.pem", trusted)
    db.wait_settled(*add_many(db, 1))
    assert len({e["conn"] for e in sandbox.journal()}) == 1  # kept: nobody looks at the file
    hang_up(daemon, changed="")
    [row_id] = add_many(db, 1)
    daemon.wait_event("update.retry", reason="tls")
    shutil.copy(tmp_path / "ca.pem", trusted)
    hang_up(daemon, changed="")
    assert db.wait_settled(row_id)["status"] == "done"
    sandbox.stop()


def test_a_wrong_address_is_mended_while_the_api_seems_down(db, sandbox, config, daemon):
    good = config.tree["imprint"]["base_url"]
    config.change({"imprint": {"base_url": f"http://127.0.0.1:{harness.free_port()}"}})
    daemon.start()
    ids = add_many(db, 30)
    daemon.wait_event("api.down")
    hang_up(daemon, changed="")  # a reload that mends nothing harms nothing
    reload(daemon, {"imprint": {"base_url": good}}, changed="imprint.base_url")
    daemon.wait_event("api.up")
    db.wait_drained()
    assert {db.row(i)["status"] for i in ids} == {"done"}
    checker.check_all(db, sandbox, rows=30)


def test_nobody_is_charged_for_an_answer_to_what_was_before(db, sandbox, config, daemon):
    sandbox.faults("status=403,count=1")
    daemon.start()
    [first] = add_many(db, 1)
    daemon.wait_event("api.unauthorized")
    hang_up(daemon, changed="")
    [second] = add_many(db, 1)
    assert db.wait_settled(second)["status"] == "done"
    row = db.wait_settled(first)
    assert (row["status"], row["attempts"]) == ("done", 0)


# ---- what is not -------------------------------------------------------------------------------

def test_a_wrong_file_changes_nothing_and_each_error_is_an_event(db, sandbox, config, daemon):
    daemon.start()
    other_key = config.folder / "other_key"
    other_key.write_text(OTHER_KEY)
    right = config.tree
    events = refused(daemon, {
        "delivery": {"rate": "0/s", "wrokers": 3}, "log": {"level": "error"},
        "imprint": {"proxy": "http://user:hunter2@proxy.example:3128",
                    "api_key_file": str(other_key)},
        "mapping": {"email": {"from": "email", "as": "emial"}}}, 5)
    assert {e["file"] for e in events} == {str(config.file)}
    # Word for word what `check` says.
    said = config.command("check", "--offline").stderr.splitlines()
    assert said == [f"{e['file']}:{e['line']}:{e['column']}: {e['key'] + ': ' if 'key' in e else ''}"
                    f"{e['reason']}" for e in events]
    # The proxy has two: its password, and an address of the API that is plain http.
    for part, count in {"delivery.rate": 1, "wrokers": 1, "imprint.proxy": 2, "emial": 1}.items():
        assert len([line for line in said if part in line]) == count, said
    assert "hunter2" not in daemon.log()
    [row_id] = add_many(db, 1)
    assert db.wait_settled(row_id)["status"] == "done"
    daemon.wait_event("update.done", id=row_id)  # the level is what it was
    assert [e["status"] for e in sandbox.journal()] == [200]  # and the key
    config.tree = right
    reload(daemon, {}, changed="")


@pytest.mark.parametrize("spoil, reason", [
    (lambda config: config.file.unlink(), "No such file"),
    (lambda config: config.file.write_text("a: [b"), ""),
    (lambda config: config.key_file.write_text("two\nlines"), "one line"),
    (lambda config: config.key_file.unlink(), "No such file"),
])
def test_files_that_cannot_be_read(db, sandbox, config, daemon, spoil, reason):
    daemon.start()
    spoil(config)
    event = hang_up(daemon, "error")
    assert reason in event["reason"] and event["file"] == str(config.file)
    [row_id] = add_many(db, 1)
    assert db.wait_settled(row_id)["status"] == "done"


def test_keys_that_need_a_restart_are_named_and_the_others_taken(db, sandbox, config, daemon):
    daemon.start()
    reload(daemon, {"database": {"dsn": "host=/nonexistent dbname=none"},
                    "outbox": {"lease": "60s", "notify": False, "batch": 7},
                    "log": {"stats_interval": "200ms"}}, "warning",
           restart="database.dsn,outbox.lease,outbox.notify",
           changed="outbox.batch,log.stats_interval")
    assert "nonexistent" not in daemon.log()
    [row_id] = add_many(db, 1)
    assert db.wait_settled(row_id)["status"] == "done"
    # They are said again as long as they differ.
    hang_up(daemon, "warning", restart="database.dsn,outbox.lease,outbox.notify", changed="")


def test_a_timeout_that_the_lease_does_not_allow_before_a_restart(db, sandbox, config, daemon):
    daemon.start()
    [event] = refused(daemon, {"imprint": {"timeout": "10s"}, "outbox": {"lease": "30s"},
                               "delivery": {"rate": "1/s"}}, 1)
    assert event["key"] == "outbox.lease" and "at least 30s" in event["reason"]
    reload(daemon, {"imprint": {"timeout": "6s"}}, "warning", restart="outbox.lease",
           changed="imprint.timeout,delivery.rate")


# ---- at any time -------------------------------------------------------------------------------

def test_while_the_database_is_away(cluster, db, sandbox, config, daemon, people):
    daemon.start()
    cluster.stop(signal.SIGINT)
    try:
        daemon.wait_event("db.lost")
        reload(daemon, {"mapping": {"email": "email", "first_name": "name"}}, changed="")
    finally:
        cluster.start()
        db.reconnect()
    daemon.wait_event("db.connect", 2)
    customer = new_customer()
    db.wait_settled(people(customer))
    assert body(sandbox, customer) == {"email": "a@example.com", "first_name": "Ada"}


def test_before_it_is_ready(cluster, db, sandbox, config, daemon):
    cluster.stop(signal.SIGINT)
    try:
        daemon.start(wait=False)
        daemon.wait_event("db.lost")
        reload(daemon, {"delivery": {"rate": "500/s"}}, changed="delivery.rate")
    finally:
        cluster.start()
        db.reconnect()
    daemon.wait_event("daemon.ready")
    [row_id] = add_many(db, 1)
    assert db.wait_settled(row_id)["status"] == "done"


def test_while_it_stops(db, sandbox, config, daemon):
    sandbox.faults("delay=1000")
    daemon.start()
    [row_id] = add_many(db, 1)
    wait_in_progress(sandbox, 1)
    daemon.process.terminate()
    daemon.wait_event("daemon.stopping")
    daemon.process.send_signal(signal.SIGHUP)
    assert daemon.stop(signal.SIGHUP) == 0
    assert not answers(daemon) and db.row(row_id)["status"] == "done"


def test_once_goes_on_with_what_it_began_with(db, sandbox, config, daemon):
    config.change({"imprint": {"timeout": "5s"}, "delivery": {"workers": 1}})
    sandbox.faults("delay=500")
    ids = add_many(db, 3)
    daemon.start("--once", wait=False)
    wait_in_progress(sandbox, 1)
    daemon.process.send_signal(signal.SIGHUP)
    assert daemon.ended() == 0
    assert not answers(daemon) and {db.row(i)["status"] for i in ids} == {"done"}


def test_a_storm_of_reloads_under_load_loses_nothing(db, sandbox, config, daemon, people):
    config.change({"delivery": {"rate": "300/s", "burst": 30}})
    sandbox.faults("delay=30")
    daemon.start()
    expected = {}
    for number in range(50):
        for _ in range(6):
            customer = new_customer()
            people(customer, address=email(customer)["email"])
            expected[customer] = email(customer)
            customer = new_customer()
            db.add(customer, email(customer))
            expected[customer] = email(customer)
        config.change({"delivery": {"workers": 2 + number % 15},
                       "mapping": {"email": "email", "first_name": "name"} if number % 2 else
                                  {"email": "email"}})
        daemon.process.send_signal(signal.SIGHUP)
    db.wait_drained()
    checker.check_all(db, sandbox, 300, 30, rows=600)
    journal = sandbox.journal()
    assert len(journal) == 600
    for customer, state in expected.items():
        assert sandbox.state(customer)["email"] == state["email"]
    assert {e["body"].get("first_name", "Ada") for e in journal} == {"Ada"}
    harness.wait_until(lambda: int(daemon.events("stats")[-1]["in_flight"]) == 0, "nothing is left")
    assert len(answers(daemon)) > 5  # signals of one moment are one


# ---- systemd -----------------------------------------------------------------------------------

def test_systemd_is_told(db, sandbox, config, daemon, monkeypatch):
    path = str(config.folder / "notify")
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as notify:
        notify.bind(path)
        notify.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        daemon.start()
        told = []

        def heard(what, after=0):
            with contextlib.suppress(BlockingIOError):
                while True:
                    told.append(notify.recv(4096).decode())
            return any(what in message for message in told[after:])

        harness.wait_until(lambda: heard("READY=1"), "READY")
        for changes, level in [({"delivery": {"rate": "7/s"}}, "info"),
                               ({"delivery": {"rate": "seven"}}, "error")]:
            before = len(told)
            reload(daemon, changes, level)
            harness.wait_until(lambda: heard("READY=1", before), "READY again")
            messages = [m for m in told[before:] if "STATUS" not in m and m != "WATCHDOG=1"]
            assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", messages[0]), messages
            assert messages[1] == "READY=1", messages

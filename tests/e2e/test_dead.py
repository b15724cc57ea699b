"""`dead list|show|retry|discard`, beside a running daemon."""

import json
import os
import pty
import re
import subprocess
import threading

import pytest

import harness
from harness import email, new_customer, wait_until

SECRET = "jane.doe@example.com"
NO_SOURCE = {"source": None}


def dead(config, *arguments, code=0, **options):
    done = config.command("dead", *arguments, **options)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done


def listed(config, *arguments):
    return json.loads(dead(config, "list", "--json", *arguments).stdout)


def ids(config, *arguments):
    return sorted(row["id"] for row in listed(config, "--each", *arguments))


def add_dead(db, customer=None, payload=None, error="INVALID_REQUEST_ERROR email: " + SECRET, status=400,
             died="now()", made="clock_timestamp()"):
    """A row that was given up."""
    return db.value(
        "INSERT INTO imprint_sync.outbox (customer_id, payload, status, attempts, http_status, error,"
        f" settled_at, created_at) VALUES (%s, %s, 'dead', 3, %s, %s, {died}, {made}) RETURNING id",
        customer or new_customer(), None if payload is None else json.dumps(payload), status, error)


def source_row(db, number, customer, address):
    db.execute("INSERT INTO crm.customers (id, imprint_customer_id, email, currency)"
               " VALUES (%s, %s, %s, 'USD')", number, customer, address)


# ---- list and show ---------------------------------------------------------------------------

def test_list_groups_by_reason(db, config):
    rows = [add_dead(db) for _ in range(5)]
    add_dead(db, error="INVALID_REQUEST_ERROR phone: bad")
    add_dead(db, error="phone: column mobile: is no number", status=None)
    add_dead(db, error="timeout", status=None)
    groups = listed(config)
    assert [(g["rows"], g["http_status"], g["type"], g["params"], g["reason"]) for g in groups] == [
        (5, 400, "INVALID_REQUEST_ERROR", ["email"], None),
        (1, 400, "INVALID_REQUEST_ERROR", ["phone"], None),
        (1, None, "mapping", ["phone"], "phone: column mobile: is no number"),
        (1, None, "timeout", [], "timeout")]
    assert groups[0]["example_ids"] == rows[:3]
    text = dead(config, "list").stdout
    assert "INVALID_REQUEST_ERROR" in text and len(text.strip().split("\n")) == 5
    head, first = text.split("\n")[:2]
    assert head.index("fields") == first.index("email") and head.index("rows") + 3 == first.index("5")
    assert re.search(r" 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ ", first)
    assert dead(config, "list", "--limit", "4").stderr == "" and "(the first 3;" in dead(
        config, "list", "--limit", "3").stderr
    assert listed(config, "--limit", "3") == groups[:3]
    assert SECRET not in text + json.dumps(groups) + dead(config, "list", "--each").stdout


def test_list_of_nothing(db, config):
    db.add(new_customer())
    assert dead(config, "list").stdout == "no dead rows\n"
    assert listed(config) == [] == listed(config, "--each")


def test_filters_combine(db, config):
    one = new_customer()
    a = add_dead(db, one)
    b = add_dead(db, one.upper(), error="INVALID_REQUEST_ERROR phone: bad", died="now() - interval '3 hours'")
    c = add_dead(db, error="email: column mail: is bad; phone: column m: is bad", status=None,
                 died="now() - interval '2 days'")
    db.add(one)
    assert ids(config) == [a, b, c]
    assert ids(config, "--customer", one) == [a, b]
    assert ids(config, "--type", "INVALID_REQUEST_ERROR") == [a, b]
    assert ids(config, "--type", "mapping") == [c]
    assert ids(config, "--param", "phone") == [b, c]
    assert ids(config, "--param", "email", "--customer", one) == [a]
    assert ids(config, "--id", f"{a},{c}") == [a, c]
    assert ids(config, "--id", f"{a},{c}", "--type", "mapping") == [c]
    assert ids(config, "--since", "2h") == [a]
    assert ids(config, "--since", "1d", "--param", "phone") == [b]
    assert ids(config, "--since", db.value("SELECT (now() - interval '1 day')::text")) == [a, b]
    assert ids(config, "--since", "tomorrow") == []
    assert len(listed(config, "--since", "2h")) == 1 and "rows" in listed(config, "--since", "2h")[0]
    assert [row["id"] for row in listed(config, "--each", "--limit", "2")] == [a, b]  # newest first


@pytest.mark.parametrize("arguments", [
    ["list", "--since", "yesterdayish"], ["list", "--id", "1,,2"], ["list", "--id", "x"], ["list", "--id", ""],
    ["list", "--id", "1,"], ["list", "--id", "99999999999999999999"], ["list", "--limit", "0"],
    ["list", "--customer", ""], ["show"], ["show", "--id", "1,2"], ["retry"], ["retry", "--limit", "5"],
    ["retry", "--all", "--type", "x"], ["discard"], ["discard", "--yes"], ["list", "something"],
    ["list", "--force"], [], ["lits"],
])
def test_wrong_usage(db, config, arguments):
    row = add_dead(db)
    done = dead(config, *arguments, code=64)
    assert done.stdout == "" and done.stderr
    assert db.row(row)["status"] == "dead"


def test_what_is_meant_is_guessed(config):
    assert "did you mean list?" in dead(config, "lits", code=64).stderr
    assert "did you mean dead?" in config.command("daed").stderr
    assert "did you mean --customer?" in dead(config, "list", "--custmer", "x", code=64).stderr


def test_show_hides_values_until_asked(db, config):
    customer = new_customer()
    row = add_dead(db, customer, {"email": SECRET, "name": {"first": "Jane"}})
    db.add(customer, {"email": "b@example.com"})
    add_dead(db, customer)
    db.execute("INSERT INTO imprint_sync.customer_state (customer_key, accepted_id, accepted_at)"
               " VALUES (%s, 7, now())", customer)
    text = dead(config, "show", "--id", str(row)).stdout
    for part in (str(row), customer, "INVALID_REQUEST_ERROR", "email,name", "attempts        3",
                 "also pending    1", "also dead       1", "last accepted   7", "--reveal"):
        assert part in text
    shown = json.loads(dead(config, "show", "--id", str(row), "--json").stdout)
    assert shown["id"] == row and shown["params"] == ["email"] and shown["columns"] == ["email", "name"]
    assert "payload" not in shown and SECRET not in text + json.dumps(shown)
    shown = json.loads(dead(config, "show", "--id", str(row), "--json", "--reveal").stdout)
    assert shown["payload"] == {"email": SECRET, "name": {"first": "Jane"}}
    assert shown["error"] == "INVALID_REQUEST_ERROR email: " + SECRET
    text = dead(config, "show", "--id", str(row), "--reveal").stdout
    assert text.count(SECRET) == 2


def test_show_a_thin_row_and_none(db, config):
    row = add_dead(db, error="source.missing: the source has no row of this customer", status=None)
    text = dead(config, "show", "--id", str(row)).stdout
    assert "read from the source" in text and "source.missing: the source" in text
    assert dead(config, "show", "--id", "424242", code=65).stdout == ""


def test_an_odd_id_does_nothing_to_the_terminal(db, config):
    row = add_dead(db, "a\x1b[2J\x07\u009bb\nc", payload={"k\x1b[31m": "v\x1b[31m"})
    for arguments in (["list", "--each"], ["show", "--id", str(row), "--reveal"]):
        text = dead(config, *arguments).stdout
        assert not set(text) & set("\x1b\x07\x9b") and "a?[2J??b?c" in text


# ---- retry -----------------------------------------------------------------------------------

def test_retry_sends_the_present_state(db, sandbox, config, daemon):
    """With a source: what the row said when it died does not matter any more."""
    one, other = new_customer(), new_customer()
    source_row(db, 1, one, "new@example.com")
    source_row(db, 2, other, "other@example.com")
    db.execute("DELETE FROM imprint_sync.outbox")
    row = add_dead(db, one, {"email": "old@example.com"})
    kept = add_dead(db, other, error="CONFLICT_ERROR: x")
    dry = dead(config, "retry", "--type", "INVALID_REQUEST_ERROR", "--dry-run")
    assert "1 dead rows of 1 customers would" in dry.stdout and db.row(row)["status"] == "dead"
    daemon.start()
    assert "1 dead rows are sent again" in dead(config, "retry", "--type", "INVALID_REQUEST_ERROR").stdout
    assert db.wait_settled(row)["status"] == "done"
    assert sandbox.state(one)["email"] == "new@example.com"
    assert db.row(row)["attempts"] == 0 and db.row(row)["thin"]
    assert db.row(kept)["status"] == "dead" and sandbox.journal(other) == []


def test_retry_without_a_source_repeats_what_came_later(db, sandbox, config, daemon):
    config.change(NO_SOURCE)
    customer = new_customer()
    daemon.start()
    sandbox.faults(f"customer={customer},count=1,status=400")
    first = db.add(customer, {"email": "old@example.com", "locale": "de_DE"})
    assert db.wait_settled(first)["status"] == "dead"
    second = db.add(customer, {"email": "new@example.com"})
    assert db.wait_settled(second)["status"] == "done"
    done = dead(config, "retry", "--id", str(first))
    assert "1 dead rows are sent again" in done.stdout and "1 later rows" in done.stdout
    db.wait_drained()
    assert [db.row(r)["status"] for r in (first, second)] == ["done", "done"]
    bodies = [entry["body"] for entry in sandbox.journal(customer)]
    assert len(bodies) == 3  # both in one request, so that the old address is never seen again
    state = sandbox.state(customer)
    assert state["email"] == "new@example.com" and state["preferred_language"] == "de"


@pytest.mark.parametrize("retention, made, code", [
    ("7d", "clock_timestamp() - interval '8 days'", 65), ("7d", "clock_timestamp()", 0),
    ("0", "clock_timestamp()", 65),
])
def test_retry_without_a_source_refuses_what_may_be_pruned(db, config, retention, made, code):
    config.change({**NO_SOURCE, "outbox": {"retention": retention}})
    row = add_dead(db, payload={"email": "a@example.com"}, made=made)
    done = dead(config, "retry", "--all", code=code)
    assert db.row(row)["status"] == ("dead" if code else "pending")
    if code:
        assert "1 rows stay dead" in done.stderr and "--force" in done.stderr
        dead(config, "retry", "--all", "--force")
        assert db.row(row)["status"] == "pending"


def test_retry_remembers_how_far_was_pruned(db, config):
    """With a shorter retention once, rows are gone that the present one would keep."""
    config.change({**NO_SOURCE, "outbox": {"retention": "1h"}})
    db.execute("INSERT INTO imprint_sync.outbox (customer_id, payload, status, settled_at)"
               " VALUES ('x', '{}', 'done', now() - interval '2 hours')")
    row = add_dead(db, payload={"email": "a@example.com"}, made="clock_timestamp() - interval '90 minutes'")
    assert config.command("prune").returncode == 0
    config.change({"outbox": {"retention": "7d"}})
    dead(config, "retry", "--all", code=65)
    assert db.row(row)["status"] == "dead"


def test_an_answer_under_way_settles_nothing_without_the_older_row(db, sandbox, config, daemon):
    """The dead row comes back while a newer one is in flight: the newer one goes once more, last."""
    config.change({**NO_SOURCE, "imprint": {"timeout": "5s"}})
    customer = new_customer()
    old = add_dead(db, customer, {"email": "old@example.com", "locale": "de_DE"})
    daemon.start()
    sandbox.faults("delay=1500")
    new = db.add(customer, {"email": "new@example.com"})
    wait_until(lambda: daemon.events("stats")[-1:] and int(daemon.events("stats")[-1]["in_flight"]) == 1,
               "it is in flight")
    dead(config, "retry", "--id", str(old))
    assert db.row(new)["status"] == "pending"
    db.wait_drained()
    assert [db.row(r)["status"] for r in (old, new)] == ["done", "done"]
    assert [json.loads(e["body"])["email"] if isinstance(e["body"], str) else e["body"]["email"]
            for e in sandbox.journal(customer)] == ["new@example.com", "new@example.com"]
    assert sandbox.state(customer)["preferred_language"] == "de"


@pytest.mark.parametrize("source", [True, False])
def test_retry_beside_traffic_keeps_the_newest(db, sandbox, config, daemon, source):
    """Rows die, are retried and newer ones come, all at once: each customer ends with its newest."""
    config.change({"imprint": {"timeout": "5s"}} if source else {**NO_SOURCE, "imprint": {"timeout": "5s"}})
    customers = [new_customer() for _ in range(15)]
    if source:
        for n, customer in enumerate(customers):
            source_row(db, n + 1, customer, "c0@example.com")
    sandbox.faults("p=0.3,status=400", "p=0.5,delay=30")
    daemon.start()
    stop = threading.Event()
    failures = []

    def retry():
        while not stop.is_set():
            done = config.command("dead", "retry", "--all")
            if done.returncode != 0:
                failures.append(done.stderr)

    thread = threading.Thread(target=retry)
    thread.start()
    try:
        for turn in range(1, 40):
            for n, customer in enumerate(customers):
                address = f"c{turn}@example.com"
                if source:
                    db.execute("UPDATE crm.customers SET email = %s WHERE id = %s", address, n + 1)
                elif turn % 3 == n % 3:
                    db.add(customer, {"email": address})
            seen = len(sandbox.journal())
            wait_until(lambda: len(sandbox.journal()) > seen or db.pending() == 0, "some were sent")
    finally:
        sandbox.faults()
        stop.set()
        thread.join(harness.PATIENCE_S)
    assert failures == []
    dead(config, "retry", "--all")
    db.wait_drained()
    for n, customer in enumerate(customers):
        newest = 39 if source else max(t for t in range(1, 40) if t % 3 == n % 3)
        assert sandbox.state(customer)["email"] == f"c{newest}@example.com", customer


def test_retry_waits_for_room(db, sandbox, config, daemon):
    """No more than a bounded number waits to be sent, however many come back."""
    db.execute("SET session_replication_role = replica; INSERT INTO imprint_sync.outbox"
               " (customer_id, payload, status, settled_at, error)"
               " SELECT 'd' || n, '{\"email\": \"a@example.com\"}', 'dead', now(), 'timeout'"
               " FROM generate_series(1, 4000) AS n")
    config.change({**NO_SOURCE, "delivery": {"rate": "1000/s", "burst": 100}})
    done = dead(config, "retry", "--all", code=1)
    assert "no daemon is running" in done.stderr
    assert db.pending() == 1500  # more than 1,000 wait
    daemon.start()
    most, stop = [0], threading.Event()

    def look():
        with db.connect() as connection, connection.cursor() as cursor:
            connection.autocommit = True
            while not stop.is_set():
                cursor.execute("SELECT count(*) FROM imprint_sync.outbox WHERE status = 'pending'")
                most[0] = max(most[0], cursor.fetchone()[0])

    thread = threading.Thread(target=look)
    thread.start()
    done = dead(config, "retry", "--all")
    stop.set()
    thread.join()
    assert "2500 dead rows are sent again" in done.stdout and most[0] <= 1500
    db.wait_drained()
    assert {row["status"] for row in db.rows()} == {"done"}


def test_retry_leaves_alone_who_dies_again(db, sandbox, config, daemon):
    """One command gives each row one more chance, not one after the other for ever."""
    sandbox.faults("status=400")
    config.change({**NO_SOURCE})
    rows = [add_dead(db, payload={"email": "a@example.com"}) for _ in range(10)]
    daemon.start()
    assert "3 dead rows are sent again" in dead(config, "retry", "--all", "--limit", "3").stdout
    db.wait_drained()
    assert {db.row(r)["status"] for r in rows} == {"dead"}
    assert len(sandbox.journal()) == 3


# ---- discard -----------------------------------------------------------------------------------

def test_discard_keeps_a_record_without_values(db, config):
    customer = new_customer()
    row = add_dead(db, customer, {"email": SECRET})
    kept = add_dead(db, error="CONFLICT_ERROR: x")
    pending = db.add(customer)
    refused = dead(config, "discard", "--param", "email", code=64)
    assert "--yes" in refused.stderr and len(db.rows()) == 3
    assert "1 dead rows deleted" in dead(config, "discard", "--param", "email", "--yes").stdout
    assert [r["id"] for r in db.rows()] == [kept, pending]
    record, = db.query("SELECT * FROM imprint_sync.discarded")
    assert record["row_id"] == row and record["customer_id"] == customer and record["http_status"] == 400
    assert record["error_type"] == "INVALID_REQUEST_ERROR" and record["error_params"] == ["email"]
    assert "@" in record["discarded_by"] and record["role"] == "sync_daemon"
    assert SECRET not in str(record)


@pytest.mark.parametrize("answer, left", [(b"y\n", 0), (b"\n", 1), (b"n\n", 1)])
def test_discard_asks_on_a_terminal(db, config, answer, left):
    add_dead(db)
    master, slave = pty.openpty()
    process = subprocess.Popen([harness.imprint_sync(), "-c", str(config.file), "dead", "discard", "--all"],
                               stdin=slave, stdout=subprocess.PIPE, stderr=slave)
    os.close(slave)
    asked = b""
    while b"[y/N] " not in asked:
        asked += os.read(master, 1000)
    assert b"Delete 1 dead rows of 1 customers?" in asked
    os.write(master, answer)
    process.communicate(timeout=harness.PATIENCE_S)
    os.close(master)
    assert process.returncode == (0 if left == 0 else 1) and len(db.rows()) == left


def test_discard_in_batches_up_to_a_limit(db, config):
    db.execute("INSERT INTO imprint_sync.outbox (customer_id, status, settled_at, error)"
               " SELECT 'd' || n, 'dead', now(), 'timeout' FROM generate_series(1, 1300) AS n")
    assert "1200 dead rows" in dead(config, "discard", "--all", "--yes", "--limit", "1200").stdout
    assert len(db.rows()) == 100 and db.value("SELECT count(*) FROM imprint_sync.discarded") == 1200
    assert len({r["id"] for r in db.rows()} & set(range(1, 1201))) == 0  # the oldest went first


# ---- all of them -------------------------------------------------------------------------------

def test_without_schema_or_database(db, config, cluster):
    config.change({"database": {"dsn": cluster.dsn("postgres")}})
    assert "migrate" in dead(config, "list", code=78).stderr
    config.change({"database": {"dsn": "host=/nonexistent dbname=crm"}})
    assert "cannot be reached" in dead(config, "retry", "--all", code=69).stderr

"""SIGTERM, SIGINT, SIGKILL: at work, while the database is away, at any moment."""

import contextlib
import random
import signal
import socket
import time

import pytest

import checker
import harness
import trouble
from harness import email, new_customer

STOPS = [signal.SIGTERM, signal.SIGINT]


def in_flight(sandbox, count):
    harness.wait_until(lambda: sandbox.control("GET", "stats")["in_progress"] == count,
                       f"{count} requests in flight")


@pytest.mark.parametrize("how", STOPS)
def test_the_next_instance_goes_on_at_once(db, sandbox, config, daemon, how):
    """What is in flight is finished and settled; what was not sent is as it was; no lease is
    waited for; nothing is sent twice."""
    config.change({"outbox": {"lease": "10m"}, "delivery": {"workers": 4}})
    sandbox.faults("delay=300")
    customers = [new_customer() for _ in range(40)]
    trouble.add_each(db, customers)
    untouched = {row["id"]: row for row in db.rows()}
    daemon.start()
    in_flight(sandbox, 4)
    assert daemon.stop(how) == 0
    sent = {entry["customer"] for entry in sandbox.journal()}
    for row in db.rows():
        if row["customer_id"] in sent:
            assert row["status"] == "done", row
        else:
            assert row == untouched[row["id"]]
    assert db.value("SELECT count(*) FROM imprint_sync.lease WHERE holder IS NOT NULL") == 0
    sandbox.faults()
    daemon.start()
    db.wait_drained(20)
    trouble.check_each_once(db, sandbox, customers)


def test_a_drain_that_takes_too_long(db, sandbox, config, daemon):
    """The exit code says that something was cut off; its rows stay pending, no attempt counted."""
    config.change({"imprint": {"timeout": "60s"}, "outbox": {"lease": "300s"},
                   "delivery": {"drain_timeout": "1s"}})
    sandbox.faults("hang")
    row_id = trouble.add_many(db, 1)[0]
    daemon.start()
    in_flight(sandbox, 1)
    assert daemon.stop() == 1
    assert "cut off" in daemon.events("daemon.stop")[-1]["reason"]
    assert daemon.events("daemon.stop")[-1]["level"] == "warning"
    row = db.row(row_id)
    assert (row["status"], row["attempts"]) == ("pending", 0)


@pytest.mark.parametrize("second", STOPS)
def test_a_second_signal_ends_at_once(db, sandbox, config, daemon, second):
    config.change({"imprint": {"timeout": "60s"}, "outbox": {"lease": "300s"},
                   "delivery": {"drain_timeout": "60s"}})
    sandbox.faults("hang")
    row_id = trouble.add_many(db, 1)[0]
    daemon.start()
    in_flight(sandbox, 1)
    daemon.process.send_signal(signal.SIGTERM)
    daemon.wait_event("daemon.stopping")
    began = time.monotonic()
    assert daemon.stop(second) == 1
    assert time.monotonic() - began < 5
    assert daemon.events("daemon.stop")[-1]["reason"] == "aborted"
    row = db.row(row_id)
    assert (row["status"], row["attempts"]) == ("pending", 0)


# ---- without a database -------------------------------------------------------------------------

@pytest.mark.parametrize("how", STOPS)
def test_an_idle_one_does_not_wait_for_the_database(cluster, db, config, daemon, how):
    daemon.start()
    cluster.stop()
    try:
        daemon.wait_event("db.lost")
        began = time.monotonic()
        assert daemon.stop(how) == 0
        assert time.monotonic() - began < 5
    finally:
        cluster.start()
        db.reconnect()


def test_outcomes_wait_for_the_database(cluster, db, sandbox, config, daemon):
    """It stops with outcomes that are not written, and the database comes back in time."""
    sandbox.faults("delay=1000")
    customers = [new_customer() for _ in range(4)]
    trouble.add_each(db, customers)
    daemon.start()
    in_flight(sandbox, 4)
    cluster.stop(signal.SIGQUIT)
    try:
        daemon.wait_event("db.lost")
        daemon.process.terminate()
        daemon.wait_event("daemon.stopping")
        daemon.wait_event("stats", in_flight=0)
    finally:
        cluster.start()
        db.reconnect()
    assert daemon.ended() == 0
    trouble.check_each_once(db, sandbox, customers)
    assert db.value("SELECT count(*) FROM imprint_sync.lease WHERE holder IS NOT NULL") == 0


def test_outcomes_that_can_not_be_written_in_time(cluster, db, sandbox, config, daemon):
    config.change({"delivery": {"drain_timeout": "2s"}})
    sandbox.faults("delay=500")
    [row_id] = trouble.add_many(db, 1)
    daemon.start()
    in_flight(sandbox, 1)
    cluster.stop(signal.SIGQUIT)
    try:
        daemon.wait_event("db.lost")
        assert daemon.stop() == 1
    finally:
        cluster.start()
        db.reconnect()
    row = db.row(row_id)
    assert (row["status"], row["attempts"]) == ("pending", 0)


@pytest.mark.parametrize("how", STOPS)
def test_a_stop_while_it_connects(sandbox, config, daemon, how):
    """To a server that takes the connection and says nothing."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as deaf:
        config.change({"database": {
            "dsn": f"host=127.0.0.1 port={deaf.getsockname()[1]} dbname=crm user=x"}})
        daemon.start(wait=False)
        with contextlib.closing(deaf.accept()[0]) as connection:
            assert connection.recv(1)  # it has said hello
            began = time.monotonic()
            assert daemon.stop(how) == 0
            assert time.monotonic() - began < 5


def test_a_connect_timeout_of_the_dsn(sandbox, config, daemon):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as deaf:
        config.change({"database": {
            "dsn": f"host=127.0.0.1 port={deaf.getsockname()[1]} dbname=crm user=x"
            " connect_timeout=1"}})
        daemon.start(wait=False)
        began = time.monotonic()
        assert "connect timeout" in daemon.wait_event("db.lost")["reason"]
        assert time.monotonic() - began < 4


def test_a_stop_while_the_database_is_silent(cluster, db, sandbox, config, daemon):
    """The slots cannot be given back; nothing is cut off, so it is a clean end all the same."""
    config.change({"delivery": {"drain_timeout": "1s"}})
    with trouble.Forwarder(cluster) as way:
        config.change({"database": {"dsn": way.dsn(db.name)}})
        daemon.start()
        way.frozen.set()
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 5
        assert "slots" in daemon.events("daemon.stop")[-1]["reason"]
        way.frozen.clear()


# ---- SIGKILL ------------------------------------------------------------------------------------

def test_a_kill_at_any_moment(db, sandbox, config, daemon):
    """Thirty times, at random moments of starting, working and settling: the end is complete."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    config.change({"imprint": {"timeout": "200ms", "connect_timeout": "100ms"},
                   "outbox": {"lease": "600ms", "poll_interval": "50ms"},
                   "delivery": {"rate": "200/s", "burst": 20}})
    sandbox.faults("reset,p=0.02", "status=503,p=0.02", "delay=10")
    with trouble.Load(db.dsn("postgres"), 100) as load:
        for kill in range(30):
            daemon.start(wait=False)
            if kill % 3 == 0:  # else it might never come to work
                before = len(sandbox.journal())
                harness.wait_until(lambda n=before: len(sandbox.journal()) > n, "it is at work")
            time.sleep(chance.uniform(0, 0.9))
            daemon.kill()
        customers = load.finish()
    sandbox.faults()
    daemon.start()
    db.wait_drained()
    checker.check_settled(db, len(customers))
    checker.check_no_overlap(sandbox.journal())
    checker.check_done_means_accepted(db, sandbox.journal())
    checker.check_newest(sandbox, {c: email(c) for c in customers})
    assert all(row["status"] == "done" for row in db.rows())

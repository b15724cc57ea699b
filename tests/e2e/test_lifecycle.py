"""Starting, stopping, being killed, losing the database, waking up."""

import signal
import time

import pytest

import checker
import harness
from harness import email, new_customer


def add_many(db, count):
    return [db.add(c, email(c)) for c in (new_customer() for _ in range(count))]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_what_is_in_flight(db, sandbox, config, daemon, how):
    config.change({"delivery": {"workers": 4}})
    sandbox.faults("delay=1000")
    daemon.start()
    add_many(db, 12)
    harness.wait_until(lambda: sandbox.control("GET", "stats")["in_progress"] == 4, "requests in flight")
    assert daemon.stop(how) == 0
    rows = db.rows()
    done = [r for r in rows if r["status"] == "done"]
    assert len(sandbox.journal()) == len(done) == 4
    assert all(r["attempts"] == 0 for r in rows)
    assert daemon.events("daemon.stopping") and daemon.events("daemon.stop")


def test_a_second_signal_aborts(db, sandbox, config, daemon):
    config.change({"imprint": {"timeout": "60s"}, "outbox": {"lease": "300s"},
                   "delivery": {"drain_timeout": "60s"}})
    sandbox.faults("hang")
    daemon.start()
    [row_id] = add_many(db, 1)
    harness.wait_until(lambda: sandbox.control("GET", "stats")["in_progress"] == 1, "one in flight")
    daemon.process.terminate()
    daemon.wait_event("daemon.stopping")
    began = time.monotonic()
    assert daemon.stop() is not None
    assert time.monotonic() - began < 10
    assert db.row(row_id)["status"] == "pending"


def test_draining_ends_after_its_timeout(db, sandbox, config, daemon):
    config.change({"imprint": {"timeout": "60s"}, "outbox": {"lease": "300s"},
                   "delivery": {"drain_timeout": "1s"}})
    sandbox.faults("hang")
    daemon.start()
    [row_id] = add_many(db, 1)
    harness.wait_until(lambda: sandbox.control("GET", "stats")["in_progress"] == 1, "one in flight")
    began = time.monotonic()
    daemon.stop()
    assert time.monotonic() - began < 15
    assert db.row(row_id)["status"] == "pending"
    assert db.row(row_id)["attempts"] == 0


def test_once_drains_and_ends(db, sandbox, config):
    add_many(db, 50)
    run = config.command("run", "--once")
    assert run.returncode == 0, run.stderr
    assert db.pending() == 0
    checker.check_all(db, sandbox, rows=50)
    assert config.command("run", "--once").returncode == 0  # nothing to do


def test_once_says_when_rows_died(db, sandbox, config):
    add_many(db, 3)
    db.add(new_customer(), {"email": "no address"})
    run = config.command("run", "--once")
    assert run.returncode == 65, run.stderr
    assert db.pending() == 0


def test_kill_9_loses_nothing(db, sandbox, config, daemon):
    config.change({"outbox": {"lease": "6s"}, "delivery": {"rate": "200/s", "burst": 20}})
    sandbox.faults("delay=50")
    ids = add_many(db, 300)
    daemon.start()
    harness.wait_until(lambda: len(sandbox.journal()) > 50, "it is at work")
    daemon.kill()
    assert db.pending() > 0
    daemon.start()
    db.wait_drained()
    assert all(db.row(i)["status"] == "done" for i in ids)
    checker.check_no_overlap(sandbox.journal())
    checker.check_settled(db, 300)


def test_a_restart_after_a_clean_stop_waits_for_nobody(db, sandbox, config, daemon):
    config.change({"outbox": {"lease": "120s"}})
    daemon.start()
    [first] = add_many(db, 1)
    db.wait_settled(first)
    assert daemon.stop() == 0
    daemon.start()
    [second] = add_many(db, 1)
    db.wait_settled(second, timeout=30)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_a_restart_of_postgres(cluster, db, sandbox, config, daemon, how):
    config.change({"delivery": {"rate": "100/s", "burst": 10}})
    sandbox.faults("delay=30")
    add_many(db, 200)
    daemon.start()
    harness.wait_until(lambda: len(sandbox.journal()) > 30, "it is at work")
    cluster.stop(how)
    daemon.wait_event("db.lost")
    time.sleep(1)
    assert daemon.process.poll() is None
    cluster.start()
    db.reconnect()
    daemon.wait_event("db.connect", 2)
    add_many(db, 5)
    db.wait_drained()
    checker.check_settled(db, 205)
    checker.check_no_overlap(sandbox.journal())
    assert all(row["status"] == "done" for row in db.rows())


def test_backends_that_are_terminated(db, sandbox, config, daemon):
    sandbox.faults("delay=20")
    config.change({"delivery": {"rate": "100/s", "burst": 10}})
    add_many(db, 200)
    daemon.start()
    for count in (20, 60, 100):
        harness.wait_until(lambda n=count: len(sandbox.journal()) > n, "it is at work")
        db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                   " WHERE usename = 'sync_daemon' AND datname = current_database()")
    db.wait_drained()
    checker.check_settled(db, 200)
    checker.check_no_overlap(sandbox.journal())


def test_a_change_wakes_an_idle_daemon(db, sandbox, config, daemon):
    config.change({"outbox": {"poll_interval": "60s"}})
    daemon.start()
    [first] = add_many(db, 1)
    db.wait_settled(first, 20)
    for _ in range(5):
        harness.wait_until(
            lambda: db.value("SELECT last_value > extract(epoch FROM now())"
                             " FROM imprint_sync.idle_until"), "it is idle", 20)
        [row_id] = add_many(db, 1)
        db.wait_settled(row_id, 20)


def test_polling_alone_is_enough(db, sandbox, config, daemon):
    config.change({"outbox": {"poll_interval": "300ms", "notify": False}})
    daemon.start()
    for _ in range(5):
        [row_id] = add_many(db, 1)
        db.wait_settled(row_id, 20)


def test_a_new_key_is_read_from_the_file(db, sandbox, config, daemon):
    daemon.start()
    db.wait_settled(add_many(db, 1)[0])
    sandbox.keys("the-new-key")
    config.key_file.write_text("the-new-key\n")
    db.wait_settled(add_many(db, 1)[0])
    assert all(row["status"] == "done" for row in db.rows())


def test_stopping_and_continuing_the_process(db, sandbox, config, daemon):
    """SIGSTOP for longer than the timeout, as a suspended machine: nothing is lost."""
    config.change({"outbox": {"lease": "6s"}, "imprint": {"timeout": "1s", "connect_timeout": "1s"},
                   "delivery": {"rate": "100/s", "burst": 10}})
    sandbox.faults("delay=30")
    add_many(db, 150)
    daemon.start()
    harness.wait_until(lambda: len(sandbox.journal()) > 20, "it is at work")
    daemon.process.send_signal(signal.SIGSTOP)
    time.sleep(8)
    daemon.process.send_signal(signal.SIGCONT)
    db.wait_drained()
    checker.check_settled(db, 150)
    checker.check_no_overlap(sandbox.journal())

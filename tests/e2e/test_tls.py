"""TLS: a certificate that is trusted works, any other does not."""

import signal

import pytest

import checker
import harness
from harness import email, new_customer


@pytest.fixture
def sandbox(tmp_path):
    sandbox = harness.Sandbox(tmp_path, tls=True)
    sandbox.start()
    yield sandbox
    sandbox.stop()


def test_a_trusted_certificate(db, sandbox, config, daemon):
    config.change({"imprint": {"ca_file": str(sandbox.folder / "ca.pem")}})
    daemon.start()
    ids = [db.add(c, email(c)) for c in (new_customer() for _ in range(30))]
    db.wait_drained()
    assert {db.row(i)["status"] for i in ids} == {"done"}
    assert len({e["conn"] for e in sandbox.journal()}) <= 16  # connections are kept


def test_an_unknown_certificate_is_refused(db, sandbox, config, daemon):
    daemon.start()
    customer = new_customer()
    row_id = db.add(customer, email(customer))
    harness.wait_until(lambda: daemon.events("update.retry") or daemon.events("api.down"),
                       "it says so")
    assert db.row(row_id)["status"] == "pending"
    assert sandbox.journal() == []
    assert "tls" in daemon.log()


def test_those_that_waited_for_a_connection_do_not_leave_all_at_once(db, sandbox, config, daemon):
    """A server that is slow to shake hands: what waits, and what came into the bucket meanwhile,
    is one burst together."""
    config.change({"imprint": {"ca_file": str(sandbox.folder / "ca.pem"), "timeout": "20s",
                               "connect_timeout": "20s"},
                   "outbox": {"lease": "60s"}, "delivery": {"rate": "20/s", "burst": 5},
                   "log": {"stats_interval": "100ms"}})
    for customer in (new_customer() for _ in range(150)):
        db.add(customer, email(customer))
    # Every request needs a connection of its own, and about eight wait for their answers.
    sandbox.faults("status=200,delay=400,header=Connection: close")
    daemon.start()
    harness.wait_until(lambda: len(sandbox.journal()) >= 20, "it sends")
    sandbox.process.send_signal(signal.SIGSTOP)
    try:
        before = len(daemon.events("stats"))
        harness.wait_until(lambda: sum(int(event["in_flight"]) >= 10
                                       for event in daemon.events("stats")[before:]) >= 10,
                           "more wait for their connections")
    finally:
        sandbox.process.send_signal(signal.SIGCONT)
    db.wait_drained()
    checker.check_rate(sandbox.journal(), 20, 5)


def test_check_tells_tls_from_an_outage(db, sandbox, config):
    run = config.command("check", "--api")
    assert run.returncode == 69
    assert "certificate" in (run.stdout + run.stderr).lower() or "tls" in (run.stdout + run.stderr).lower()

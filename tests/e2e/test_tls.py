"""TLS: a certificate that is trusted works, any other does not."""

import pytest

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


def test_check_tells_tls_from_an_outage(db, sandbox, config):
    run = config.command("check", "--api")
    assert run.returncode == 69
    assert "certificate" in (run.stdout + run.stderr).lower() or "tls" in (run.stdout + run.stderr).lower()

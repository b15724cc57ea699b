"""An update that would send again what was accepted last is not sent; but never at the price of
leaving Imprint with something else (I6)."""

import pytest

import harness
from harness import new_customer, wait_until

SHORT = {"imprint": {"timeout": "500ms", "connect_timeout": "500ms"}, "outbox": {"lease": "2s"},
         "retry": {"base": "1ms", "cap": "1s"}}
A, B = {"email": "a@example.com"}, {"email": "b@example.com"}


@pytest.fixture
def customer(db, sandbox, config, daemon):
    """A is what Imprint accepted last; the daemon runs."""
    config.change(SHORT)
    customer = new_customer()
    daemon.start()
    assert db.wait_settled(db.add(customer, A))["http_status"] == 200
    return customer


def settled(db, customer, payload):
    return db.wait_settled(db.add(customer, payload))


def test_the_same_again_is_not_sent(db, sandbox, customer):
    row = settled(db, customer, A)
    assert (row["status"], row["error"], row["http_status"]) == ("done", "unchanged", None)
    assert len(sandbox.journal(customer)) == 1
    assert settled(db, customer, B)["error"] is None
    assert settled(db, customer, A)["error"] is None
    assert [e["body"] for e in sandbox.journal(customer)] == [A, B, A]


def test_it_can_be_switched_off(db, sandbox, config, daemon, customer):
    daemon.stop()
    config.change({"delivery": {"skip_unchanged": False}})
    daemon.start()
    assert settled(db, customer, A)["error"] is None
    assert len(sandbox.journal(customer)) == 2


def test_there_and_back_after_an_unknown_outcome(db, sandbox, customer):
    # B is applied, but its answer comes too late; before the retry the customer is A again.
    sandbox.faults(f"customer={customer},delay=900,count=1")
    first = db.add(customer, B)
    wait_until(lambda: db.row(first)["attempts"] == 1, "the request timed out")
    settled(db, customer, A)
    db.wait_drained()
    assert sandbox.state(customer)["email"] == A["email"]
    assert sandbox.journal(customer)[-1]["body"] == A


def test_there_and_back_over_a_crash(db, sandbox, daemon, customer):
    # B is applied, and the daemon dies before it knows: no trace of it is on any row.
    sandbox.faults(f"customer={customer},delay=400,count=1")
    db.add(customer, B)
    wait_until(lambda: sandbox.control("GET", "stats")["in_progress"], "it is under way")
    daemon.kill()
    wait_until(lambda: sandbox.state(customer)["email"] == B["email"], "B is applied")
    assert {r["attempts"] for r in db.rows()} == {0}
    db.add(customer, A)
    daemon.start(wait=False)
    db.wait_drained()
    assert sandbox.state(customer)["email"] == A["email"]


@pytest.mark.parametrize("status", (500, 409))
def test_there_and_back_after_a_refusal(db, sandbox, customer, status):
    # Whether or not it was applied is not for us to guess.
    sandbox.faults(f"customer={customer},status={status},count=1")
    db.add(customer, B)
    wait_until(lambda: len(sandbox.journal(customer)) >= 2, "it is refused")
    db.add(customer, A)
    db.wait_drained()
    assert sandbox.journal(customer)[-1]["body"] == A


def test_another_destination_has_accepted_nothing(db, sandbox, config, daemon, customer, tmp_path):
    # As when the outbox moves from the sandbox to production.
    folder = tmp_path / "production"
    folder.mkdir()
    production = harness.Sandbox(folder).start()
    try:
        daemon.stop()
        config.change({"imprint": {"base_url": production.url}})
        daemon.start()
        assert settled(db, customer, A)["error"] is None
        assert production.state(customer)["email"] == A["email"]
        daemon.stop()
        config.change({"imprint": {"merchant_key": "another-product"}})
        daemon.start()
        assert settled(db, customer, A)["error"] is None
        assert settled(db, customer, A)["error"] == "unchanged"
        assert len(production.journal(customer)) == 2
    finally:
        production.stop()


@pytest.mark.parametrize("column", ("system_id", "timeline"))
def test_what_another_server_or_timeline_remembers_does_not_count(db, sandbox, customer, column):
    # A restored database has A in its memory and Imprint has something newer.
    db.execute(f"UPDATE imprint_sync.customer_state SET {column} = 'other'")
    assert settled(db, customer, A)["error"] is None
    assert len(sandbox.journal(customer)) == 2
    assert settled(db, customer, A)["error"] == "unchanged"


def test_rows_from_before_the_slot_was_taken_are_sent(db, sandbox, daemon, customer):
    # The owner before may have sent something newer for them and died.
    daemon.stop()
    row = db.add(customer, A)
    daemon.start()
    assert db.wait_settled(row)["error"] is None
    assert settled(db, customer, A)["error"] == "unchanged"

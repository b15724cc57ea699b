"""The outcome table: what each answer does to the row, and to the rows of other customers."""

import pytest

import checker
import harness
from harness import email, new_customer

REJECTED = [
    ("status=400,shape=1,type=INVALID_REQUEST_ERROR,param=email", 400, "INVALID_REQUEST_ERROR"),
    ("status=400,shape=2,message=email: must be well-formed", 400, "must be well-formed"),
    ("status=400,shape=3,type=BAD_REQUEST_ERROR,param=phone", 400, "BAD_REQUEST_ERROR"),
    ("status=404,shape=3,type=CUSTOMER_NOT_FOUND_ERROR,param=customer_id", 404,
     "CUSTOMER_NOT_FOUND_ERROR"),
    ("status=409,shape=1,type=CONFLICT_ERROR", 409, "CONFLICT_ERROR"),
    ("status=410,shape=1,type=GONE", 410, "GONE"),
    ("status=413,shape=1,type=TOO_LARGE", 413, "TOO_LARGE"),
    ("status=422,shape=1,type=INVALID_REQUEST_ERROR", 422, "INVALID_REQUEST_ERROR"),
    ("status=418,shape=3,type=TEAPOT", 418, "TEAPOT"),
]


def test_documented_rejections_are_dead_and_stop_nobody(db, sandbox, config, daemon):
    victims = [(new_customer(), *case) for case in REJECTED]
    sandbox.faults(*(f"customer={victim},{spec}" for victim, spec, _, _ in victims))
    daemon.start()
    ids = {victim: db.add(victim, email(victim)) for victim, *_ in victims}
    good = [db.add(c, email(c)) for c in (new_customer() for _ in range(5))]
    db.wait_drained()
    for victim, _, status, kind in victims:
        row = db.row(ids[victim])
        assert (row["status"], row["http_status"]) == ("dead", status), row
        assert kind in row["error"], row
        assert len(sandbox.journal(victim)) == 1
    assert all(db.row(row_id)["status"] == "done" for row_id in good)
    assert len(daemon.events("update.dead", level="error")) == len(victims)
    checker.check_all(db, sandbox)


@pytest.mark.parametrize("spec, times", [
    ("status=500", 2),
    ("status=502,shape=html", 1),
    ("status=503", 2),
    ("status=408", 1),
    ("status=425", 1),
    ("cut", 1),
    ("other-id", 1),
    ("not-json", 1),
    ("huge", 1),
    ("empty", 1),
    ("reset", 1),
    ("hang", 1),
])
def test_failures_are_tried_again_with_an_attempt_counted(db, sandbox, config, daemon, spec, times):
    config.change({"imprint": {"timeout": "1s", "connect_timeout": "1s"}})
    victim, other = new_customer(), new_customer()
    sandbox.faults(f"customer={victim},count={times},{spec}")
    daemon.start()
    row_id = db.add(victim, email(victim))
    other_id = db.add(other, email(other))
    assert db.wait_settled(other_id)["status"] == "done"
    row = db.wait_settled(row_id)
    assert row["status"] == "done", row
    assert row["attempts"] == times, row
    # The sandbox writes a request down when it has ended, which may be after its answer is settled.
    harness.wait_until(lambda: len(sandbox.journal(victim)) > times, "the last request is written down")
    journal = sandbox.journal(victim)
    assert len(journal) == times + 1
    assert len(daemon.events("update.retry", level="warning")) == times
    if spec in ("reset", "hang", "cut"):
        # Imprint may still be at work on the first one.
        assert journal[1]["start_ns"] - journal[0]["end_ns"] >= 0.9 * checker.NS
    checker.check_all(db, sandbox)


def test_a_post_on_a_connection_that_was_closed_is_not_repeated_unseen(db, sandbox, config, daemon):
    config.change({"imprint": {"timeout": "1s", "connect_timeout": "1s"},
                   "delivery": {"workers": 1}})
    first, second = new_customer(), new_customer()
    daemon.start()
    db.wait_settled(db.add(first, email(first)))  # leaves a connection to be used again
    sandbox.faults(f"customer={second},count=1,reset")
    row = db.wait_settled(db.add(second, email(second)))
    journal = sandbox.journal(second)
    assert row["status"] == "done" and row["attempts"] == 1
    assert len(journal) == 2, "libcurl sent it once more by itself"
    assert journal[0]["conn"] == sandbox.journal(first)[0]["conn"], "no connection was reused"
    assert journal[1]["start_ns"] - journal[0]["end_ns"] >= 0.9 * checker.NS


def test_attempts_alone_never_kill(db, sandbox, config, daemon):
    config.change({"retry": {"max_attempts": 2, "give_up_after": "1h", "base": "10ms",
                             "cap": "20ms"}})
    victim, other = new_customer(), new_customer()
    sandbox.faults(f"customer={victim},count=5,status=500")
    daemon.start()
    row_id = db.add(victim, email(victim))
    db.add(other, email(other))
    assert db.wait_settled(row_id)["status"] == "done"
    assert db.row(row_id)["attempts"] == 5


def test_dead_after_max_attempts_and_give_up_after(db, sandbox, config, daemon):
    config.change({"retry": {"max_attempts": 3, "give_up_after": "0s", "base": "10ms",
                             "cap": "20ms"}})
    victim = new_customer()
    sandbox.faults(f"customer={victim},status=500")
    daemon.start()
    row = db.wait_settled(db.add(victim, email(victim)))
    assert (row["status"], row["http_status"], row["attempts"]) == ("dead", 500, 3)
    assert row["error"]
    assert len(sandbox.journal(victim)) == 3


def test_an_outcome_can_be_overridden(db, sandbox, config, daemon):
    config.change({"retry": {"outcomes": {409: "retry", "5xx": "dead"}}})
    conflict, broken = new_customer(), new_customer()
    sandbox.faults(f"customer={conflict},count=1,status=409,shape=1,type=CONFLICT_ERROR",
                   f"customer={broken},status=500")
    daemon.start()
    ids = db.add(conflict, email(conflict)), db.add(broken, email(broken))
    assert db.wait_settled(ids[0])["status"] == "done"
    assert db.wait_settled(ids[1])["status"] == "dead"


def test_an_answer_with_odd_bytes_can_be_stored(db, sandbox, config, daemon):
    victim = new_customer()
    sandbox.faults(f"customer={victim},status=400,shape=1,type=BAD\x01TYPE,message=a\x02b" + "ü" * 3000)
    daemon.start()
    row = db.wait_settled(db.add(victim, email(victim)))
    assert row["status"] == "dead" and row["http_status"] == 400
    assert "\x01" not in row["error"] and "\x02" not in row["error"]
    assert len(row["error"]) <= 1100
    assert "üü" not in daemon.log()


def test_newer_rows_of_a_customer_wait_for_its_retry_and_join(db, sandbox, config, daemon):
    config.change({"retry": {"base": "2s", "cap": "2s"}, "imprint": {"timeout": "1s", "connect_timeout": "1s"}})
    victim = new_customer()
    sandbox.faults(f"customer={victim},count=1,status=500")
    daemon.start()
    first = db.add(victim, {"email": "first@example.com", "first_name": "Ada"})
    harness.wait_until(lambda: db.row(first)["attempts"] == 1, "the first attempt failed")
    second = db.add(victim, {"email": "second@example.com"})
    assert db.wait_settled(first)["status"] == "done"
    assert db.wait_settled(second)["status"] == "done"
    assert [e["body"] for e in sandbox.journal(victim)][-1] == {
        "email": "second@example.com", "first_name": "Ada"}
    assert len(sandbox.journal(victim)) == 2

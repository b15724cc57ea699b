"""The checker itself: a run in which all is well passes, and each way to break an invariant is
found. On journals made by hand, so nothing is started."""

import pytest

import checker
from checker import NS, Request, Row, Trouble

TIMEOUT_NS = NS
CUSTOMER = "a"
BODY = {"first_name": "n2", "metadata": {"version": "2"}}


def request(start=10.0, end=None, status=200, applied=True, customer=CUSTOMER, body=None,
            aborted=False, fault=""):
    """Times in seconds."""
    end = start + 0.1 if end is None else end
    body = BODY if body is None else body
    return Request(int(start * NS), int(end * NS), int((start + 0.05) * NS) if applied else 0,
                   customer, status, aborted, fault, str(body), body)


def row(row_id=1, status="done", error=None, created=9.0, settled=11.0, attempts=0,
        customer=CUSTOMER, payload=None):
    return Row(row_id, customer, status, attempts, 200, error, int(created * NS),
               None if settled is None else int(settled * NS), payload)


def body(version, **fields):
    return {"metadata": {"version": str(version)}, **fields}


def histories(*requests):
    return checker.History.of_all(sorted(requests), TIMEOUT_NS // 2)


def found(violations, *words):
    """There is exactly one violation, and it says these words."""
    lines = list(violations)
    assert len(lines) == 1, lines
    assert all(word in lines[0] for word in words), lines
    with pytest.raises(AssertionError, match=words[0]):
        checker.complain(lines)


def nothing(violations):
    assert not list(violations)


# ---- I1 ----

LEDGER = {1: (CUSTOMER, "version", 2)}


def test_a_run_in_which_all_is_well():
    one = histories(request())
    nothing(checker.unsettled([row()], LEDGER, {}))
    nothing(checker.overlaps(one, TIMEOUT_NS))
    nothing(checker.regressions(one))
    nothing(checker.stale_states(one, {CUSTOMER: BODY}))
    nothing(checker.wrongly_charged([row()], one, []))
    nothing(checker.too_fast([request()], 10, 1))
    nothing(checker.unaccepted([row()], one, LEDGER))
    checker.complain([])


def test_a_row_that_is_still_pending():
    found(checker.unsettled([row(status="pending", settled=None)], LEDGER, {}), "I1", "not settled")


def test_a_row_that_is_gone():
    found(checker.unsettled([], LEDGER, {}), "I1", "gone")


def test_a_row_of_another_customer():
    found(checker.unsettled([row(customer="b")], LEDGER, {}), "I1", "written for a")


def test_dead_without_a_reason():
    found(checker.unsettled([row(status="dead")], {}, {CUSTOMER: "email"}), "I1", "reason")


def test_dead_for_another_reason():
    dead = row(status="dead", error="phone: is none")
    found(checker.unsettled([dead], {}, {CUSTOMER: "email"}), "I1", "another reason")


def test_dead_without_need():
    found(checker.unsettled([row(status="dead", error="attempts")], {}, {}), "I1", "should not be")


def test_done_although_it_cannot_be():
    found(checker.unsettled([row()], {}, {CUSTOMER: "email"}), "I1", "should not be")


# ---- I2 ----

def test_two_requests_overlap():
    two = histories(request(10, 10.2), request(10.1, 10.3))
    found(checker.overlaps(two, TIMEOUT_NS), "I2", "overlap by 0.1")
    nothing(checker.overlaps(histories(request(10, 10.2), request(10.2, 10.3)), TIMEOUT_NS))


def test_a_long_request_overlaps_one_behind_the_next():
    three = histories(request(10, 10.5), request(10.6, 12), request(13, 14), request(11.5, 11.6))
    found(checker.overlaps(three, TIMEOUT_NS), "I2")


def test_requests_of_two_customers_may_overlap():
    nothing(checker.overlaps(histories(request(10, 11), request(10, 11, customer="b")), TIMEOUT_NS))


def test_a_request_without_a_client_ends_when_it_can_do_nothing_more():
    """A late update counts to its end; one that the sandbox would hold for ever does not."""
    late = request(10, 13, status=0, aborted=True, fault="p=0.1,delay=3000,before=1")
    found(checker.overlaps(histories(late, request(12.9)), TIMEOUT_NS), "I2")
    hung = request(10, 13, status=0, aborted=True, fault="p=0.1,hang")
    nothing(checker.overlaps(histories(hung, request(11.1)), TIMEOUT_NS))
    found(checker.overlaps(histories(hung, request(10.9)), TIMEOUT_NS), "I2")


def test_a_customer_goes_back():
    back = histories(request(10, body=body(3)), request(11, body=body(2)))
    found(checker.regressions(back), "I2", "from version 3 to 2")
    refused = histories(request(10, body=body(3)), request(11, body=body(2), applied=False))
    nothing(checker.regressions(refused))


def test_what_counts_is_when_an_update_was_applied():
    late = request(10, body=body(2))._replace(applied=int(11.5 * NS))
    found(checker.regressions(histories(late, request(11, body=body(3)))), "I2")


def test_the_last_state_is_not_the_newest():
    one = histories(request(10, body=body(2, city="x")), request(11, body=body(3)))
    nothing(checker.stale_states(one, {CUSTOMER: body(3, city="x")}))
    found(checker.stale_states(one, {CUSTOMER: body(4, city="x")}), "I2", "the newest is")
    found(checker.stale_states(histories(), {CUSTOMER: BODY}), "I2", "holds {}")


# ---- I3 ----

def test_attempts_without_a_failure():
    one = histories(request())
    found(checker.wrongly_charged([row(attempts=1)], one, []), "I3", "1 attempts, 0 failures")
    failed = histories(request(9.5, status=500, applied=False), request())
    nothing(checker.wrongly_charged([row(attempts=1)], failed, []))
    found(checker.wrongly_charged([row(attempts=2)], failed, []), "I3")


def test_a_late_answer_numbers_what_is_pending_anew(tmp_path):
    log = tmp_path / "log"
    log.write_text(f"2026-01-01T00:00:00.000Z warning update.late customer_id={CUSTOMER.upper()} reason=x\n")
    late = checker.late_answers([log])
    one = histories(request())
    nothing(checker.wrongly_charged([row(attempts=1)], one, [], late))
    found(checker.wrongly_charged([row(attempts=2)], one, [], late), "I3")


@pytest.mark.parametrize("outage", [
    {"status": 401}, {"status": 503, "fault": f"status=503,{checker.OUTAGE}"}])
def test_what_hits_everybody_is_no_failure_of_the_row(outage):
    refused = histories(request(9.5, applied=False, **outage), request())
    found(checker.wrongly_charged([row(attempts=1)], refused, []), "I3")


@pytest.mark.parametrize("doubtful", [{"aborted": True}, {"end": 10.6}])
def test_an_answer_that_may_not_have_arrived(doubtful):
    """It counts as accepted and as failed, whichever the daemon says."""
    one = histories(request(**doubtful))
    nothing(checker.wrongly_charged([row(attempts=1)], one, []))
    nothing(checker.unaccepted([row()], one, LEDGER))


def test_a_failure_before_the_row_is_none_of_it():
    failed = histories(request(8, status=500, applied=False), request())
    found(checker.wrongly_charged([row(attempts=1)], failed, []), "I3")


def test_few_rows_may_be_charged_for_an_outage():
    outage = Trouble(9 * NS, 12 * NS, 2, "outage")
    rows = [row(n, attempts=1, customer=f"c{n}") for n in range(1, 4)]
    nothing(checker.wrongly_charged(rows[:2], histories(), [outage]))
    found(checker.wrongly_charged(rows, histories(), [outage]), "I3", "c3")
    found(checker.wrongly_charged([row(attempts=2)], histories(), [outage]), "I3")
    again = Trouble(10 * NS, 13 * NS, 1, "again")
    nothing(checker.wrongly_charged(rows, histories(), [outage, again]))
    nothing(checker.wrongly_charged([row(attempts=2)], histories(), [outage, again]))
    other = Trouble(12 * NS, 13 * NS, 2, "later")
    found(checker.wrongly_charged([row(attempts=1)], histories(), [other]), "I3")


# ---- I4 ----

@pytest.mark.parametrize("window_s", checker.WINDOWS_S)
def test_too_fast(window_s):
    """One more than a window may have, in that window."""
    most = int(checker.allowed(window_s, 20, 4))
    times = [10 + window_s * n / (most + 1) for n in range(most + 1)]
    requests = [request(t, customer=str(n)) for n, t in enumerate(times)]
    assert any(f"in {window_s} s" in line for line in checker.too_fast(requests, 20, 4))
    slower = [10 + (window_s + 0.001) * n / most for n in range(most + 1)]
    assert checker.worst_windows(t * NS for t in slower)[window_s] <= most


# ---- I5 ----

def test_a_log_that_says_too_much(tmp_path):
    log = tmp_path / "log"
    log.write_text("2026-01-01T00:00:00Z info x\nlevel=info name=\"zq7X 12\"\n")
    found(checker.tattles([log], ["Zq7x", "key-1"]), "I5", "log:2")
    nothing(checker.tattles([log], ["key-1"]))


# ---- I6 ----

def test_done_and_nothing_accepted():
    found(checker.unaccepted([row()], histories(), {}), "I6", "nothing was accepted")
    later = histories(request(12))
    found(checker.unaccepted([row()], later, {}), "I6", "nothing was accepted")


def test_done_and_only_something_older_accepted():
    found(checker.unaccepted([row()], histories(request(8)), {}), "I6", "since it was written")
    found(checker.unaccepted([row()], histories(request(body=body(1))), LEDGER), "I6", "version 2")


@pytest.mark.parametrize("spoilt", [
    {"fault": "p=0.1,other-id"}, {"fault": "cut,p=0.1"}, {"status": 500},
    {"status": 0, "aborted": True}, {"applied": False}])
def test_what_is_not_accepted(spoilt):
    found(checker.unaccepted([row()], histories(request(**spoilt)), {}), "I6")


def test_unchanged_rightly():
    """Without a request of its own, when the one before was the same."""
    same = row(error="unchanged", created=12, settled=13, payload={"first_name": "n2"})
    nothing(checker.unaccepted([same], histories(request()), LEDGER))


def test_unchanged_although_another_was_accepted_last():
    other = row(error="unchanged", payload={"first_name": "n1"})
    found(checker.unaccepted([other], histories(request()), {}), "I6", "unchanged")
    # Not if it was folded with a newer row.
    newer = row(2, created=10.5, payload={"first_name": "n2"})
    nothing(checker.unaccepted([other, newer], histories(request(10.6)), {}))


def test_unchanged_after_a_request_of_which_nobody_knows():
    unknown = request(10.5, status=0, aborted=True, applied=False)
    found(checker.unaccepted([row(error="unchanged")], histories(request(), unknown), {}), "I6",
          "the request before")


# ---- reading ----

def test_the_journal_is_read_by_time(tmp_path):
    """Also over a restart of the sandbox, which counts from one again."""
    line = ('{"seq":1,"start_ns":%d,"applied_ns":%d,"end_ns":%d,"wall_ns":%d,"customer":"A",'
            '"status":200,"applied":%s,"aborted":false,"fault":null,"body_sha256":"x","body":{}}\n')
    journal = tmp_path / "journal"
    journal.write_text(line % (7, 8, 9, 107, "true") + line % (5, 0, 6, 105, "false"))
    first, second = checker.read_journal(journal)
    assert (first.start, first.applied, first.end, first.customer) == (105, 0, 106, "a")
    assert (second.start, second.applied, second.end, second.fault) == (107, 108, 109, "")

"""Customers with a trouble of their own, storms of rejections, and answers that are not the API's:
whose fault is it, and who pays?"""

import pytest

import harness
from harness import email, new_customer
from outage import add_many, after, all_done, boottime_ns, most_at_once, statuses, versions


# ---- one customer's trouble --------------------------------------------------------------------


def test_customers_that_a_firewall_refuses_die_and_delay_the_others_little(db, sandbox, config, daemon):
    victims, good = [new_customer() for _ in range(8)], []
    sandbox.faults(*(f"customer={c},status=403,shape=html" for c in victims))
    for victim in victims:
        good += add_many(db, 15)
        db.add(victim, email(victim))
    daemon.start()

    def others_come_and_all_victims_are_dead():
        good.extend(add_many(db, 1))
        return set(statuses(db, victims)) == {"dead"}

    # Each of them stops the sending for up to a second, and no longer because others did before.
    harness.wait_until(others_come_and_all_victims_are_dead, "they are dead", 30)
    db.wait_drained()
    assert all_done(db, good)
    assert {r["http_status"] for r in db.rows() if r["customer_id"] in victims} == {403}
    # What turned out to be the row's own is told like everything else that kills a row.
    told = daemon.events("update.dead", level="error", http_status=403, reason="forbidden")
    assert sorted(e["customer_id"] for e in told) == sorted(victims)
    daemon.wait_event("stats", pending=0, dead=len(victims), ok=len(good))
    assert all(row["attempts"] == 0 for row in db.rows() if row["status"] == "done")


def test_a_row_dies_by_a_403_that_was_its_probes_too(db, sandbox, config, daemon):
    """Alone it had to be its own probe, which proves nothing against it, and nothing for it."""
    victim, other = new_customer(), new_customer()
    sandbox.faults(f"customer={victim},status=403,shape=html")
    daemon.start()
    row_id = db.add(victim, email(victim))
    harness.wait_until(lambda: len(sandbox.journal(victim)) >= 3, "it was its own probe")
    assert (db.row(row_id)["status"], db.row(row_id)["attempts"]) == ("pending", 0)
    db.wait_settled(db.add(other, email(other)))
    row = db.wait_settled(row_id)
    assert (row["status"], row["http_status"]) == ("dead", 403)
    daemon.wait_event("update.dead", customer_id=victim)


def test_three_poisoned_customers_alone_end_dead(db, sandbox, config, daemon):
    config.change({"retry": {"max_attempts": 4, "give_up_after": "1s", "base": "50ms",
                             "cap": "400ms"}})
    poisoned = [new_customer() for _ in range(3)]
    sandbox.faults(*(f"customer={c},status=500" for c in poisoned))
    daemon.start()
    for customer in poisoned:
        db.add(customer, email(customer))
    db.wait_drained()
    for row in db.rows():
        assert (row["status"], row["http_status"]) == ("dead", 500)
        assert row["attempts"] >= 4
        assert (row["settled_at"] - row["created_at"]).total_seconds() >= 1
    assert not daemon.events("api.down"), "three customers are no outage"
    assert len(daemon.events("update.dead")) == 3


def test_a_customer_that_is_always_throttled_stops_the_others_once(db, sandbox, config, daemon):
    config.change({"retry": {"max_attempts": 3, "give_up_after": "2s"}})
    victim = new_customer()
    sandbox.faults(f"customer={victim},status=429")
    daemon.start()
    row_id = db.add(victim, email(victim))
    harness.wait_until(lambda: len(sandbox.journal(victim)) >= 3, "it was its own probe")
    assert (db.row(row_id)["status"], db.row(row_id)["attempts"]) == ("pending", 0)
    first = new_customer()
    assert db.wait_settled(db.add(first, email(first)))["status"] == "done"
    # From here on everybody knows: others are not kept waiting while it uses its attempts up.
    harness.wait_until(lambda: db.row(row_id)["attempts"] > 0, "an attempt is counted")
    while db.row(row_id)["status"] == "pending":
        other = new_customer()
        assert db.wait_settled(db.add(other, email(other)))["status"] == "done"
    row = db.row(row_id)
    assert (row["status"], row["http_status"]) == ("dead", 429)
    assert row["attempts"] >= 3
    assert len(daemon.events("api.throttled")) == 1


# ---- storms and shapes -------------------------------------------------------------------------


def test_a_storm_of_rejections_kills_nineteen_and_touches_no_more(db, sandbox, config, daemon):
    """The nineteen before were rejected for good as far as anybody could know: they say why, and
    the operator can send them again."""
    sandbox.faults("status=404,shape=3,type=CUSTOMER_NOT_FOUND_ERROR,delay=30")
    daemon.start()
    add_many(db, 120)
    daemon.wait_event("api.down", reason="rejected")
    harness.wait_until(lambda: db.pending() == 120 - 19, "the nineteen are written")
    before = versions(db)
    assert len(before) == 101 and all(row["attempts"] == 0 for row in before)
    # What left with the storm may be written down later: only what comes from now on is a probe.
    now_ns = boottime_ns()
    harness.wait_until(lambda: len(after(sandbox.journal(), now_ns)) >= 3, "it probes")
    assert versions(db) == before
    down = daemon.events("api.down")
    assert len(down) == 1 and down[0]["detail"] == "rejected"
    assert most_at_once(after(sandbox.journal(), now_ns)) == 1
    sandbox.faults()
    db.wait_drained()
    counts = db.query("SELECT status, count(*) AS n FROM imprint_sync.outbox GROUP BY 1")
    # The twentieth is the first probe's: here probes failed between, so it was everyone's trouble.
    assert {row["status"]: row["n"] for row in counts} == {"dead": 19, "done": 101}
    assert all(row["attempts"] == 0 for row in db.rows() if row["status"] == "done")


def test_those_behind_a_block_of_refused_customers_are_reached(db, sandbox, config, daemon):
    """They stay at the head of the queue, and in order each of them would be the probe before."""
    refused = [new_customer() for _ in range(70)]
    sandbox.faults(*(f"customer={c},status=404,shape=3,type=CUSTOMER_NOT_FOUND_ERROR"
                     for c in refused))
    config.change({"delivery": {"workers": 1}})
    for customer in refused:
        db.add(customer, email(customer))
    good = add_many(db, 300)
    daemon.start()
    down = daemon.wait_event("api.down", reason="rejected")
    assert int(down["probe_in_ms"]) <= 1000
    harness.wait_until(lambda: all_done(db, good), "the others are done")


@pytest.mark.parametrize("spec, detail", [
    ("status=404,shape=html", "undocumented"),
    ("status=400,shape=html", "undocumented"),
    ("redirect", "redirect"),
    ("status=302,shape=html", "redirect"),
])
def test_what_is_no_answer_of_the_api_touches_no_row(db, sandbox, config, daemon, spec, detail):
    sandbox.faults(spec)
    daemon.start()
    customers = add_many(db, 40)
    daemon.wait_event("api.down", reason="url", detail=detail)
    before = versions(db)
    refused = len(sandbox.journal())
    harness.wait_until(lambda: len(sandbox.journal()) > refused, "it probes")
    assert versions(db) == before and len(before) == 40
    sandbox.faults()
    db.wait_drained()
    assert all_done(db, customers)
    assert len(daemon.events("api.down")) == 1


@pytest.mark.parametrize("spec", ["not-json", "empty", "cut", "huge"])
def test_a_2xx_that_is_no_answer_is_an_outage_when_all_get_it(db, sandbox, config, daemon, spec):
    sandbox.faults(spec)
    daemon.start()
    customers = add_many(db, 40)
    daemon.wait_event("api.down", reason="failures")
    assert not [row for row in db.rows() if row["status"] != "pending"]
    sandbox.faults()
    db.wait_drained()
    assert all_done(db, customers)
    # Those of before it opened, and the one that opened it, if the first probe passed.
    assert sum(row["attempts"] for row in db.rows()) <= 5


def test_another_customers_answer_never_opens_the_breaker(db, sandbox, config, daemon):
    sandbox.faults("other-id,count=30")
    daemon.start()
    customers = add_many(db, 20)
    db.wait_drained()
    assert all_done(db, customers)
    assert not daemon.events("api.down")
    assert sum(row["attempts"] for row in db.rows()) == 30


# ---- what the operator says about a status -----------------------------------------------------


def test_outcomes_of_several_statuses_can_be_overridden(db, sandbox, config, daemon):
    config.change({"retry": {"outcomes": {409: "retry", 404: "retry", 500: "dead", 403: "retry",
                                          429: "retry", "418": "hold"}}})
    cases = {
        "status=409,shape=1,type=CONFLICT_ERROR,count=2": ("done", 2),
        "status=404,shape=html,count=1": ("done", 1),
        "status=500": ("dead", 0),
        "status=403,shape=html,count=1": ("done", 1),
        "status=429,retry-after=1,count=1": ("done", 1),
        "status=418,shape=1,type=TEAPOT,count=1": ("done", 0),
    }
    victims = {new_customer(): (spec, *wanted) for spec, wanted in cases.items()}
    sandbox.faults(*(f"customer={c},{spec}" for c, (spec, _, _) in victims.items()))
    daemon.start()
    for victim, (spec, status, attempts) in victims.items():
        # With another customer, so that there is a probe where the pool pauses.
        other = new_customer()
        ids = [db.add(victim, email(victim)), db.add(other, email(other))]
        rows = [db.wait_settled(row_id) for row_id in ids]
        assert rows[1]["status"] == "done", spec
        assert rows[0]["status"] == status, (spec, rows[0])
        assert spec.startswith("status=418") or rows[0]["attempts"] >= attempts, (spec, rows[0])
    assert {e["detail"] for e in daemon.events("api.throttled")} == {"throttled"}
    assert len(daemon.events("api.down", reason="url")) == 1  # hold pauses everything


def test_an_outage_cannot_be_overridden_away(db, sandbox, config, daemon):
    """`500: dead` decides about rows; that the API is down remains to be seen."""
    config.change({"retry": {"outcomes": {500: "dead"}}})
    sandbox.faults("status=500,delay=30")
    daemon.start()
    add_many(db, 60)
    daemon.wait_event("api.down", reason="failures")
    harness.wait_until(lambda: db.pending() == 56, "four are dead")
    sandbox.faults()
    db.wait_drained()
    assert sorted(set(statuses(db, [r["customer_id"] for r in db.rows()]))) == ["dead", "done"]
    assert len([r for r in db.rows() if r["status"] == "dead"]) <= 5

"""Answers that are not one row's fault: the pool pauses, and no row is charged."""

import harness
from harness import email, new_customer


def add_many(db, count):
    customers = [new_customer() for _ in range(count)]
    return customers, [db.add(c, email(c)) for c in customers]


def all_done(db, ids):
    return all(db.row(row_id)["status"] == "done" for row_id in ids)


def test_a_wrong_key_pauses_until_the_file_has_another(db, sandbox, config, daemon):
    sandbox.keys("another-key")
    daemon.start()
    _, ids = add_many(db, 10)
    daemon.wait_event("api.unauthorized")
    assert all(r["status"] == "pending" and r["attempts"] == 0 for r in db.rows())
    config.key_file.write_text("another-key\n")
    db.wait_drained()
    assert all_done(db, ids)
    daemon.wait_event("api.authorized")
    assert all(row["attempts"] == 0 for row in db.rows())
    assert "another-key" not in daemon.log()


def test_403_for_one_customer_ends_as_its_own_death(db, sandbox, config, daemon):
    victim = new_customer()
    sandbox.faults(f"customer={victim},status=403,shape=html")
    daemon.start()
    row_id = db.add(victim, email(victim))
    daemon.wait_event("api.unauthorized")
    assert (db.row(row_id)["status"], db.row(row_id)["attempts"]) == ("pending", 0)
    _, ids = add_many(db, 5)
    row = db.wait_settled(row_id)
    assert (row["status"], row["http_status"]) == ("dead", 403)
    db.wait_drained()
    assert all_done(db, ids)


def test_403_for_all_kills_nobody(db, sandbox, config, daemon):
    sandbox.faults("status=403,shape=html")
    daemon.start()
    _, ids = add_many(db, 10)
    daemon.wait_event("api.unauthorized")
    harness.wait_until(lambda: len(sandbox.journal()) >= 4, "it probes")
    sandbox.faults()
    db.wait_drained()
    assert all_done(db, ids)
    assert all(row["attempts"] == 0 for row in db.rows())


def test_429_pauses_as_told_and_costs_nobody_else_an_attempt(db, sandbox, config, daemon):
    """When another customer passes after the pause, the answer is taken for the first one's own."""
    sandbox.faults("status=429,count=1,retry-after=2")
    daemon.start()
    _, ids = add_many(db, 10)
    daemon.wait_event("api.throttled")
    db.wait_drained()
    assert all_done(db, ids)
    assert sum(row["attempts"] for row in db.rows()) <= 1
    journal = sandbox.journal()
    throttled = next(e for e in journal if e["status"] == 429)
    later = [e for e in journal if e["start_ns"] > throttled["end_ns"] + 50_000_000]
    assert min(e["start_ns"] for e in later) - throttled["end_ns"] >= 1.9e9


def test_429_with_a_date(db, sandbox, config, daemon):
    sandbox.faults("status=429,count=1,retry-after-date=3")
    daemon.start()
    _, ids = add_many(db, 1)
    db.wait_drained()
    assert all_done(db, ids)
    journal = sandbox.journal()
    assert journal[1]["start_ns"] - journal[0]["end_ns"] >= 1.9e9  # a date has whole seconds


def test_429_without_a_time_backs_off(db, sandbox, config, daemon):
    sandbox.faults("status=429,count=2")
    daemon.start()
    _, ids = add_many(db, 3)
    db.wait_drained()
    assert all_done(db, ids)
    assert all(row["attempts"] == 0 for row in db.rows())


def test_the_rate_of_the_api_is_obeyed(db, sandbox, config, daemon):
    """A limit below ours. When others pass after a pause, the customer that met it is charged with an
    attempt (it might be its own limit), which alone never kills."""
    sandbox.control("PUT", "rate", {"rate": 50, "burst": 5})
    config.change({"delivery": {"rate": "200/s", "burst": 10}})
    daemon.start()
    _, ids = add_many(db, 100)
    db.wait_drained()
    assert all_done(db, ids)
    refused = [entry for entry in sandbox.journal() if entry["status"] == 429]
    assert sum(row["attempts"] for row in db.rows()) <= len(refused) < 50


def test_503_with_retry_after_pauses_as_told(db, sandbox, config, daemon):
    sandbox.faults("status=503,count=1,retry-after=2")
    daemon.start()
    _, ids = add_many(db, 1)
    db.wait_drained()
    assert all_done(db, ids)
    journal = sandbox.journal()
    assert journal[1]["start_ns"] - journal[0]["end_ns"] >= 1.9e9


def test_redirects_are_not_followed(db, sandbox, config, daemon):
    sandbox.faults("redirect")
    daemon.start()
    _, ids = add_many(db, 3)
    daemon.wait_event("api.down", reason="url")
    assert all(r["status"] == "pending" and r["attempts"] == 0 for r in db.rows())
    sandbox.faults()
    db.wait_drained()
    assert all_done(db, ids)


def test_a_gateways_404_pauses_and_kills_nobody(db, sandbox, config, daemon):
    sandbox.faults("status=404,shape=html")
    daemon.start()
    _, ids = add_many(db, 30)
    daemon.wait_event("api.down", reason="url")
    assert all(r["status"] == "pending" and r["attempts"] == 0 for r in db.rows())
    sandbox.faults()
    db.wait_drained()
    assert all_done(db, ids)


def test_a_storm_of_equal_rejections_stops(db, sandbox, config, daemon):
    sandbox.faults("status=404,shape=3,type=CUSTOMER_NOT_FOUND_ERROR")
    config.change({"delivery": {"workers": 4}})
    daemon.start()
    add_many(db, 100)
    daemon.wait_event("api.down", reason="rejected")
    harness.wait_until(lambda: daemon.events("stats"), "some time passes")
    dead = [row for row in db.rows() if row["status"] == "dead"]
    assert len(dead) <= 20 + 4
    sandbox.faults()
    db.wait_drained()
    assert len([row for row in db.rows() if row["status"] == "done"]) >= 100 - len(dead) - 1


def test_the_breaker_opens_and_closes(db, sandbox, config, daemon):
    sandbox.faults("status=500")
    daemon.start()
    _, ids = add_many(db, 40)
    daemon.wait_event("api.down")
    harness.wait_until(lambda: daemon.events("stats"), "some time passes")
    sandbox.faults()
    db.wait_drained()
    daemon.wait_event("api.up")
    assert all_done(db, ids)
    # Only what was in flight when it opened was charged, and no retry storm was written or logged.
    assert sum(row["attempts"] for row in db.rows()) <= 2 * 16
    assert len(daemon.events("api.down")) == 1


def test_three_poisoned_customers_block_nobody(db, sandbox, config, daemon):
    poisoned = [new_customer() for _ in range(3)]
    sandbox.faults(*(f"customer={c},status=500" for c in poisoned))
    daemon.start()
    for customer in poisoned:
        db.add(customer, email(customer))
    _, ids = add_many(db, 20)
    harness.wait_until(lambda: all_done(db, ids), "the others are done")


def test_no_server_is_an_outage_not_a_death(db, sandbox, config, daemon):
    config.change({"retry": {"max_attempts": 1, "give_up_after": "1h"}})
    sandbox.stop()
    daemon.start()
    _, ids = add_many(db, 20)
    daemon.wait_event("api.down")
    sandbox.start()
    db.wait_drained()
    assert all_done(db, ids)

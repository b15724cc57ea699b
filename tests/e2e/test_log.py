"""The log is an interface: format, names, keys; and what must never stand in it."""

import json
import re

import checker
import harness
from harness import email, new_customer

STATS = ("pending oldest_s due retrying dead in_flight sent ok unchanged retried failed throttled"
         " rate_limit rate p50_ms p95_ms p99_ms lag_p50_ms lag_p99_ms db_ms slots paused xmin_age_s"
         " rss_kb").split()


def test_logfmt_lines_have_time_level_and_event(db, sandbox, config, daemon):
    daemon.start()
    db.wait_settled(db.add(new_customer(), {"email": "ada@example.com"}))
    daemon.wait_event("stats", ok=1)
    daemon.stop()
    lines = daemon.log().split("\n")[:-1]
    assert all(harness.parse_line(line) for line in lines), lines
    names = [e["event"] for e in daemon.events()]
    for name in ("daemon.start", "daemon.ready", "db.connect", "lease.acquire", "update.done",
                 "stats", "daemon.stopping", "daemon.stop"):
        assert name in names, f"no {name} in {sorted(set(names))}"
    assert set(STATS) <= set(daemon.events("stats")[-1])


def test_json_lines(db, sandbox, config, daemon):
    config.change({"log": {"format": "json"}})
    daemon.start()
    db.wait_settled(db.add(new_customer(), {"email": "ada@example.com"}))
    daemon.wait_event("stats", ok=1)
    daemon.stop()
    for line in daemon.log().split("\n")[:-1]:
        entry = json.loads(line)
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", entry["ts"])
        assert entry["level"] in ("error", "warning", "info", "debug") and entry["event"]


def test_the_counters_add_up(db, sandbox, config, daemon):
    retried, dead = new_customer(), new_customer()
    sandbox.faults(f"customer={retried},count=2,status=500")
    daemon.start()
    for customer in [retried, *(new_customer() for _ in range(10))]:
        db.add(customer, email(customer))
    db.add(dead, {"email": "no address"})
    db.wait_drained()
    stats = daemon.wait_event("stats", ok=11, pending=0)
    assert int(stats["sent"]) == len(sandbox.journal()) == 13
    assert int(stats["retried"]) == 2
    assert int(stats["dead"]) == 1
    assert int(stats["in_flight"]) == 0
    assert int(stats["slots"]) == 64


def test_levels_are_kept(db, sandbox, config, daemon):
    config.change({"log": {"level": "warning"}})
    daemon.start(wait=False)
    row = db.wait_settled(db.add(new_customer(), {"email": "no address"}))
    assert row["status"] == "dead"
    daemon.stop()
    assert {e["level"] for e in daemon.events()} <= {"warning", "error"}


def test_nothing_of_a_customer_in_a_debug_log_of_failures(db, sandbox, config, daemon):
    """Answers that quote the customer's data, values that cannot be mapped, failures in SQL."""
    config.change({"imprint": {"timeout": "1s", "connect_timeout": "1s"}, "retry": {"base": "10ms", "cap": "50ms"}})
    values = ["jane.secret@example.com", "Zephyrine", "+14155550123", "O'Secretive", "Hidden Lane 5"]
    row = {"email": values[0], "first_name": values[1], "mobile": values[2], "last_name": values[3],
           "address": {"line1": values[4]}}
    victims = [new_customer() for _ in range(6)]
    quoted = "message=Invalid email: jane.secret@example.com of Zephyrine"
    sandbox.faults(
        f"customer={victims[0]},status=400,shape=1,type=Zephyrine O'Secretive,"
        f"param=jane.secret@example.com,{quoted}",
        f"customer={victims[1]},status=400,shape=2,{quoted}",
        f"customer={victims[2]},status=500,count=2,shape=1,{quoted}",
        f"customer={victims[3]},not-json,count=1",
        f"customer={victims[4]},cut,count=1",
    )
    daemon.start()
    for victim in victims:
        db.add(victim, row)
    for bad in ({"email": "jane.secret@"}, {"mobile": "Hidden Lane 5"}, {"ltv_currency": "Zephyrine"}):
        db.add(new_customer(), {**row, **bad})
    db.wait_drained()
    daemon.stop()
    log = daemon.log()
    assert checker.leaks(log, [*values, "jane.secret"], [harness.KEY, "ssn4", "date_of_birth"]) == []
    # It is in the database, for whoever may read it.
    assert any("jane.secret@example.com" in (r["error"] or "") for r in db.rows())

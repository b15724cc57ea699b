"""Outages, throttles and wrong keys: what the whole of the pool's rules makes of them over time,
measured in the journal and the database. The single rules are in test_pool.py.

IMPRINT_OUTAGE_S=7200 makes the long outage last that long; by default it is a few seconds.
"""

import contextlib
import os
import threading
import time

import pytest

import checker
import harness
from checker import NS
from harness import email, new_customer
from outage import (add_many, after, all_done, boottime_ns, fewer_events, gaps_s, most_at_once,
                    versions, wait_seconds)

OUTAGE_S = float(os.environ.get("IMPRINT_OUTAGE_S", "12"))


# ---- the key -----------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["from the start", "in quiet operation"])
def test_a_wrong_key_for_150_customers_costs_few_requests(db, sandbox, config, daemon, when):
    """At a rate and with workers that would allow many more."""
    sandbox.faults("delay=50")
    customers = []
    if when == "in quiet operation":
        daemon.start()
        first = new_customer()
        db.wait_settled(db.add(first, email(first)))
        daemon.wait_event("stats", ok=1, in_flight=0)  # and it is quiet
        sandbox.keys("the-new-key")
        customers = add_many(db, 150)
    else:
        sandbox.keys("the-new-key")
        customers = add_many(db, 150)
        daemon.start()
    pid = daemon.process.pid
    daemon.wait_event("api.unauthorized")
    refused = [e for e in sandbox.journal() if e["status"] == 401]
    begin = refused[0]["start_ns"]
    harness.wait_until(lambda: boottime_ns() > begin + 4 * NS, "four seconds pass")
    requests = after(sandbox.journal(), begin, begin + 4 * NS)
    assert 2 <= len(requests) < 12, f"{len(requests)} requests in 4 s"
    assert {e["status"] for e in requests} == {401}
    assert all((r["status"], r["attempts"]) == ("pending", 0) for r in db.rows()[-150:])
    config.key_file.write_text("the-new-key\n")
    daemon.wait_event("api.authorized")
    db.wait_drained()
    assert all_done(db, customers)
    assert all(row["attempts"] == 0 for row in db.rows())
    assert daemon.process.pid == pid and daemon.process.poll() is None, "no restart"
    assert len(daemon.events("api.unauthorized")) == len(daemon.events("api.authorized")) == 1
    assert not daemon.events("update.retry") and not daemon.events("update.dead")
    checker.check_no_overlap(sandbox.journal())


def test_a_new_key_file_is_read_without_a_refusal(db, sandbox, config, daemon):
    """Keys are rotated by making the new one before the old one is deleted: nobody is refused."""
    sandbox.keys(harness.KEY, "the-new-key")
    daemon.start()
    first = new_customer()
    db.wait_settled(db.add(first, email(first)))
    written = config.folder / "next_key"
    written.write_text("the-new-key\n")
    written.replace(config.key_file)
    daemon.wait_event("api.key", level="info")
    sandbox.keys("the-new-key")
    customers = add_many(db, 20)
    db.wait_drained()
    assert all_done(db, customers)
    assert {e["status"] for e in sandbox.journal()} == {200}


# ---- the breaker -------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_open_breaker_writes_no_row_and_lets_one_probe_through(db, sandbox, config, daemon):
    config.change({"imprint": {"timeout": "10s"}, "outbox": {"lease": "40s"}})
    slow, quick = new_customer(), new_customer()
    sandbox.faults(f"customer={slow},delay=4000")
    daemon.start()
    slow_id = db.add(slow, email(slow))
    harness.wait_until(lambda: sandbox.control("GET", "stats")["in_progress"] == 1, "one goes on")
    db.wait_settled(db.add(quick, email(quick)))
    sandbox.faults("status=500,delay=300")
    add_many(db, 60)
    daemon.wait_event("api.down", reason="failures")
    assert db.wait_settled(slow_id)["status"] == "done", "what was accepted is done in any state"
    failed = [e for e in sandbox.journal() if e["status"] == 500]
    opened = sorted(e["end_ns"] for e in failed)[4] + NS // 20
    failed = [e for e in failed if e["start_ns"] < opened]
    # All workers but one. Four failures are rows' own matter; the fifth customer's opens it, and
    # neither that nor what was in flight then is charged.
    assert 15 <= len(failed) <= 20
    harness.wait_until(lambda: len(db.query(
        "SELECT 1 FROM imprint_sync.outbox WHERE attempts > 0")) == 4, "the four are written")
    assert sum(row["attempts"] for row in db.rows()) == len(daemon.events("update.retry")) == 4
    before = versions(db)
    harness.wait_until(lambda: len(after(sandbox.journal(), opened)) >= 3, "three probes")
    assert versions(db) == before, "no row is written while it is open"
    journal = [e for e in sandbox.journal() if e["status"] == 500]
    probes = after(journal, opened)
    assert most_at_once(probes) == 1
    gaps = gaps_s([{"end_ns": opened - NS // 20}, *probes])
    assert all(0.95 * 2**i / 2 <= gap for i, gap in enumerate(gaps)), f"{gaps} do not grow"
    assert all(gap <= 2**i + 3 for i, gap in enumerate(gaps)), f"{gaps} are too long"
    customers = [e["customer"] for e in journal]
    assert len(set(customers)) == len(customers), "a probe is another customer's"
    assert [e["event"] for e in fewer_events(daemon) if e["event"].startswith("api.")] == ["api.down"]
    stats = daemon.events("stats")[-1]
    assert int(stats["failed"]) > len(failed) and stats["paused"] == "down"

    # Slow start: an API that takes 200 ms is not met by all workers at once.
    sandbox.faults("delay=200")
    add_many(db, 600)
    daemon.wait_event("api.up")
    up = next(e for e in sandbox.journal()
              if e["status"] == 200 and e["start_ns"] > probes[-1]["end_ns"])["end_ns"]
    harness.wait_until(lambda: boottime_ns() > up + 11 * NS, "the slow start is over")
    journal = sandbox.journal()
    early = most_at_once(after(journal, up, up + 2 * NS))
    middle = most_at_once(after(journal, up + 4 * NS, up + 5 * NS))
    late = most_at_once(after(journal, up + 10 * NS))
    assert early <= 5, f"{early} at once in the first two seconds"
    assert early < middle <= 10 < late, f"{early}, {middle}, {late}"
    db.wait_drained()
    checker.check_all(db, sandbox)


SLOW_SOURCE = """
    CREATE TABLE slow (id text PRIMARY KEY, first_name text, locked boolean);
    CREATE FUNCTION first_name(name text, locked boolean) RETURNS text LANGUAGE plpgsql AS $$
    BEGIN
        IF locked THEN
            PERFORM pg_advisory_xact_lock_shared(1);
        END IF;
        RETURN name;
    END $$;
    CREATE VIEW slow_source AS
        SELECT id AS imprint_customer_id, first_name(first_name, locked) AS first_name FROM slow;
    GRANT SELECT ON slow, slow_source TO imprint_sync_daemon;"""


def test_what_was_being_read_when_the_pool_closed_is_read_again(db, sandbox, config, daemon):
    """The newest state counts when it goes on, not the one that was on its way into memory."""
    db.execute(SLOW_SOURCE)
    config.change({"source": {"relation": "public.slow_source"}, "outbox": {"batch": 10},
                   "mapping": {"first_name": "first_name"}})
    refused, late = new_customer(), new_customer()
    db.execute("INSERT INTO slow VALUES (%s, 'Ada', false), (%s, 'Old', true)", refused, late)
    sandbox.faults("status=429,retry-after=3,count=1,delay=500")
    with contextlib.closing(db.connect()) as lock, lock.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(1)")
        daemon.start()
        db.add(refused)
        harness.wait_until(lambda: sandbox.control("GET", "stats")["in_progress"] == 1,
                           "the first is under way")
        db.add(late)
        daemon.wait_event("api.throttled")
        assert db.query("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        lock.rollback()  # now the old state arrives
    harness.wait_until(lambda: not db.query("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"),
                       "it was read")
    db.execute("UPDATE slow SET first_name = 'New', locked = false WHERE id = %s", late)
    db.wait_drained()
    assert [e["body"] for e in sandbox.journal(late)] == [{"first_name": "New"}]


# ---- throttling --------------------------------------------------------------------------------


@pytest.mark.parametrize("spec, low_s, high_s", [
    ("status=429,retry-after=1000000000", 3599, 3600),
    ("status=429,header=Retry-After: 99999999999999999999", 3599, 3600),
    ("status=429,retry-after-date=100000000", 3599, 3600),
    ("status=503,retry-after=7300", 3599, 3600),
    ("status=429,retry-after=30", 29, 30),
    ("status=503,retry-after-date=40", 38, 41),
    ("status=429,header=RateLimit-Reset: 50", 49, 50),
    ("status=429,header=RateLimit-Remaining: 0,header=RateLimit-Reset: 50", 49, 50),
    ("status=429,header=X-RateLimit-Remaining: 0,header=X-RateLimit-Reset: {in_60_s}", 57, 62),
    ("status=200,header=X-RateLimit-Remaining: 0,header=X-RateLimit-Reset: {in_2_days}", 3599, 3600),
    ("status=200,header=RateLimit-Remaining: 0,header=RateLimit-Reset: 90", 89, 90),
])
def test_a_pause_is_as_long_as_told_and_an_hour_at_most(db, sandbox, config, daemon, spec, low_s, high_s):
    now = int(time.time())
    sandbox.faults(spec.format(in_60_s=now + 60, in_2_days=now + 2 * 86400))
    daemon.start()
    add_many(db, 3)
    event = daemon.wait_event("api.throttled")
    assert low_s * 1000 <= int(event["probe_in_ms"]) <= high_s * 1000, event


def test_a_limit_used_up_makes_a_rest_without_an_event(db, sandbox, config, daemon):
    sandbox.faults("status=200,header=RateLimit-Remaining: 0,header=RateLimit-Reset: 2,count=1")
    config.change({"delivery": {"workers": 1}})
    daemon.start()
    customers = add_many(db, 5)
    db.wait_drained()
    assert all_done(db, customers)
    journal = sandbox.journal()
    assert journal[1]["start_ns"] - journal[0]["end_ns"] >= 1.95 * NS
    assert journal[-1]["end_ns"] - journal[1]["start_ns"] < 1.9 * NS
    assert not daemon.events("api.throttled")


@pytest.mark.slow
def test_the_rate_halves_after_a_throttle_and_comes_back_by_tenths(db, sandbox, config, daemon):
    config.change({"delivery": {"rate": "60/s", "burst": 6}})
    sandbox.faults("status=429,retry-after=1,count=1")
    add_many(db, 1000)
    daemon.start()
    daemon.wait_event("api.up")
    up = next(e for e in sandbox.journal() if e["status"] == 200)["start_ns"]
    assert float(daemon.wait_event("stats", paused="no", rate="30.000")["rate_limit"]) == 60
    daemon.wait_event("stats", rate="36.000")
    harness.wait_until(lambda: boottime_ns() > up + 14 * NS, "some seconds at the higher rate")
    journal = sandbox.journal()
    checker.check_rate(after(journal, up, up + 10 * NS), 30, 6)
    second = after(journal, up + 10.5 * NS, up + 13.5 * NS)
    assert 60 <= len(second) <= 36 * 3 + 6, f"{len(second)} requests in 3 s"


# ---- a long outage -----------------------------------------------------------------------------


class Writer(threading.Thread):
    """An application that goes on changing customers, some of them again and again."""

    def __init__(self, db, customers):
        super().__init__(daemon=True)
        self.db, self.customers = db, customers
        self.state, self.count, self.ended = {}, 0, threading.Event()

    def run(self):
        with contextlib.closing(self.db.connect()) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            while not self.ended.wait(0.005):
                customer = self.customers[self.count * 7919 % len(self.customers)]
                self.state[customer] = {"first_name": f"Version {self.count}"}
                self.count += 1
                cursor.execute(
                    "INSERT INTO imprint_sync.outbox (customer_id, payload) VALUES"
                    " (%s, jsonb_build_object('first_name', %s))",
                    (customer, self.state[customer]["first_name"]))

    def stop(self):
        self.ended.set()
        self.join(30)


def rss_kb(process):
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def sanitized():
    with open(harness.imprint_sync(), "rb") as file:
        return b"__asan_init" in file.read()


def watch_outage(db, daemon, seconds):
    """Lets time pass; memory at its beginning and its most."""
    first, most = rss_kb(daemon.process), 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        wait_seconds(min(0.5, max(0.0, end - time.monotonic())))
        most = max(most, rss_kb(daemon.process))
    return first, most


@pytest.mark.slow
def test_a_long_outage_costs_no_attempt_no_log_and_no_memory(db, sandbox, config, daemon):
    """Refused connections, 503, timeouts and resets in turn, with thousands of rows pending and new
    ones all the time. Afterwards everything leaves within the rate, in order."""
    rate, burst = 400, 40
    config.change({"delivery": {"rate": f"{rate}/s", "burst": burst},
                   "imprint": {"timeout": "1s", "connect_timeout": "1s"},
                   "log": {"level": "info", "stats_interval": "10m" if OUTAGE_S > 600 else "1h"}})
    customers = add_many(db, 3000)
    sandbox.faults("status=503")
    writer = Writer(db, customers[:1000])
    daemon.start()
    daemon.wait_event("api.down")
    writer.start()
    harness.wait_until(lambda: sandbox.control("GET", "stats")["in_progress"] == 0,
                       "what was in flight has ended")
    attempts = "SELECT sum(attempts), max(attempts) FROM imprint_sync.outbox"
    charged = len(daemon.events("update.retry"))  # told before api.down, and written later
    harness.wait_until(lambda: db.query(attempts)[0]["sum"] == charged, "they are written")
    before = db.query(attempts)[0]
    assert before["sum"] <= 4 and before["max"] <= 1
    watch_outage(db, daemon, 2)  # buffers have their size now
    memory = [watch_outage(db, daemon, OUTAGE_S / 5)]
    for fault in ("hang", "reset", "status=502,shape=html"):
        sandbox.faults(fault)
        memory.append(watch_outage(db, daemon, OUTAGE_S / 5))
    sandbox.stop()
    memory.append(watch_outage(db, daemon, OUTAGE_S / 5))
    writer.stop()
    assert db.query(attempts)[0] == before, "an outage counted attempts"
    assert db.pending() == db.value("SELECT count(*) FROM imprint_sync.outbox")
    first, most = memory[0][0], max(most for _, most in memory)
    if not sanitized():  # which keeps what was freed for a while
        assert most <= first + 2048, f"{most - first} KiB more than at the beginning"
    assert len([e for e in fewer_events(daemon) if e["event"].startswith("api.")]) == 1
    sandbox.start()
    daemon.wait_event("api.up", timeout=90)
    db.wait_drained(180 + OUTAGE_S)
    lines = daemon.log().count("\n")
    assert lines < 100, f"{lines} lines"
    journal = sandbox.journal()
    checker.check_all(db, sandbox, rate, burst, rows=3000 + writer.count)
    for customer, state in writer.state.items():
        found = next(e for e in reversed(journal) if e["customer"] == customer and e["status"] == 200)
        assert found["body"]["first_name"] == state["first_name"], "not the newest"
    assert len(daemon.events("api.up")) == 1
    print(f"{writer.count} rows written in the outage, {lines} lines, {first} to {most} KiB,"
          f" {len(journal)} requests")

"""What the tests of outages and poisoned customers count and wait for."""

import time

import harness
from checker import NS
from harness import new_customer


def add_many(db, count):
    """Written by one statement, so that the daemon finds them all at once."""
    customers = [new_customer() for _ in range(count)]
    db.execute(
        "INSERT INTO imprint_sync.outbox (customer_id, payload)"
        " SELECT c, jsonb_build_object('email', 'c' || left(c, 8) || '@example.com')"
        " FROM unnest(%s::text[]) AS c", customers)
    return customers


def statuses(db, customers):
    wanted = {c.lower() for c in customers}
    return [row["status"] for row in db.rows() if row["customer_id"].lower() in wanted]


def all_done(db, customers):
    return set(statuses(db, customers)) == {"done"}


def versions(db):
    """Which versions of the pending rows there are: another one means that the row was written."""
    return db.query("SELECT id, xmin::text, attempts, due_at FROM imprint_sync.outbox"
                    " WHERE status = 'pending' ORDER BY id")


def fewer_events(daemon):
    """The log as an operator has it."""
    return [e for e in daemon.events() if e["level"] != "debug"]


def gaps_s(journal):
    return [(b["start_ns"] - a["end_ns"]) / NS for a, b in zip(journal, journal[1:])]


def most_at_once(journal):
    """The most requests under way at any time."""
    marks = sorted([(e["start_ns"], 1) for e in journal] + [(e["end_ns"], -1) for e in journal])
    most = now = 0
    for _, step in marks:
        now += step
        most = max(most, now)
    return most


def after(journal, time_ns, until_ns=float("inf")):
    return [e for e in journal if time_ns <= e["start_ns"] < until_ns]


def boottime_ns():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def wait_seconds(seconds):
    """Lets the daemon show what it does, or does not do, meanwhile."""
    end = time.monotonic() + seconds
    harness.wait_until(lambda: time.monotonic() >= end, "the time passes", seconds + 1)

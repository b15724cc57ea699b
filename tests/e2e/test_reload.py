"""SIGHUP: everything is read and checked, then taken over at once, or nothing is."""

import os
import pathlib
import signal
import threading
import time

import checker
import harness
from harness import email, new_customer


def add_many(db, count):
    return [db.add(c, email(c)) for c in (new_customer() for _ in range(count))]


def hang_up(daemon, level="info", **fields):
    """One SIGHUP, and the event that answers it."""
    before = len(daemon.events("daemon.reload"))
    daemon.process.send_signal(signal.SIGHUP)
    harness.wait_until(lambda: len(daemon.events("daemon.reload")) > before, "the reload is answered")
    event = daemon.events("daemon.reload")[before]
    assert event["level"] == level, event
    assert all(event.get(k) == v for k, v in fields.items()), event
    return event


def reload(daemon, changes, level="info", **fields):
    daemon.config.change(changes)
    return hang_up(daemon, level, **fields)


def in_progress(sandbox):
    return sandbox.control("GET", "stats")["in_progress"]


def sent_within(sandbox, seconds):
    before = len(sandbox.journal())
    time.sleep(seconds)
    return len(sandbox.journal()) - before


def test_workers_go_up_and_down(db, sandbox, config, daemon):
    config.change({"delivery": {"workers": 2}, "imprint": {"timeout": "5s"}})
    sandbox.faults("delay=1000")
    daemon.start()
    add_many(db, 60)
    harness.wait_until(lambda: in_progress(sandbox) == 2, "2 workers")
    reload(daemon, {"delivery": {"workers": 8}}, changed="delivery.workers")
    harness.wait_until(lambda: in_progress(sandbox) == 8, "8 workers")
    reload(daemon, {"delivery": {"workers": 3}}, changed="delivery.workers")
    harness.wait_until(lambda: in_progress(sandbox) == 3, "3 workers")
    sandbox.faults()
    db.wait_drained()
    checker.check_all(db, sandbox, rows=60)
    assert len(sandbox.journal()) == 60

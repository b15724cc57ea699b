"""Rows become visible in the order of their commits, not of their ids: none is missed or late."""

import statistics
import threading
import time

import pytest

import checker
import harness
from harness import email, new_customer


class Writer(threading.Thread):
    """Inserts one row a transaction and commits it a little later; remembers when."""

    def __init__(self, db, count, hold_s):
        super().__init__()
        self.connection, self.count, self.hold_s = db.connect(), count, hold_s
        self.committed = {}

    def run(self):
        for n in range(self.count):
            customer = new_customer()
            with self.connection.cursor() as cursor:
                cursor.execute("INSERT INTO imprint_sync.outbox (customer_id, payload)"
                               " VALUES (%s, %s)", [customer, harness.json.dumps(email(customer))])
            time.sleep(self.hold_s(n))
            self.connection.commit()
            self.committed[customer] = time.time()
        self.connection.close()


@pytest.mark.parametrize("notify", [True, False])
def test_late_commits_are_neither_missed_nor_late(db, sandbox, config, daemon, notify):
    config.change({"outbox": {"notify": notify, "poll_interval": "100ms"}, "log": {"level": "info"}})
    daemon.start()
    writers = [Writer(db, 250, lambda n, i=i: (n * 7 + i * 3) % 21 / 1000) for i in range(4)]
    # Longer than any look-back: only the sweep can find these.
    writers += [Writer(db, 1, lambda _: 4), Writer(db, 2, lambda _: 3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    db.wait_drained()
    arrived = {e["customer"]: e["wall_ns"] / checker.NS for e in sandbox.journal()}
    committed = {c: when for writer in writers for c, when in writer.committed.items()}
    assert set(arrived) == set(committed)
    lags = sorted(arrived[c] - when for c, when in committed.items())
    print(f"lag: median {statistics.median(lags) * 1000:.1f} ms, 99 % {lags[-len(lags) // 100]:.3f} s,"
          f" longest {lags[-1]:.3f} s")
    assert statistics.median(lags) < 1
    assert lags[-1] < 15
    checker.check_all(db, sandbox, rows=len(committed))


def test_a_row_that_commits_late_is_found_while_nothing_else_happens(db, sandbox, config, daemon):
    daemon.start()
    writer = Writer(db, 1, lambda _: 5)
    writer.start()
    other = new_customer()
    db.wait_settled(db.add(other, email(other)))  # a later id, so a cursor moves on
    writer.join()
    [(customer, when)] = writer.committed.items()
    db.wait_drained()
    assert sandbox.journal(customer)[0]["wall_ns"] / checker.NS - when < 15

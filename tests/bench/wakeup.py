#!/usr/bin/python3
"""How long after its commit does a change leave an idle daemon? Prints median, 90 % and longest.

    tests/bench/wakeup.py [COUNT]          with IMPRINT_SYNC and IMPRINT_SANDBOX, or what is in build/
"""

import os
import pathlib
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import harness  # noqa: E402


def measure(db, sandbox, count):
    connection = db.connect()
    lags_ms = []
    for _ in range(count):
        harness.wait_until(
            lambda: db.value("SELECT last_value > extract(epoch FROM clock_timestamp())"
                             " FROM imprint_sync.idle_until"), "the daemon is idle")
        time.sleep(0.05)
        customer = harness.new_customer()
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO imprint_sync.outbox (customer_id, payload) VALUES (%s, %s)",
                           [customer, harness.json.dumps(harness.email(customer))])
        connection.commit()
        committed_ns = time.time_ns()
        [entry] = harness.wait_until(lambda c=customer: sandbox.journal(c), "it is sent")
        lags_ms.append((entry["wall_ns"] - committed_ns) / 1e6)
    return sorted(lags_ms)


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    os.umask(0o077)  # a key file that others may read is refused
    cluster = harness.Cluster()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        sandbox = harness.Sandbox(folder)
        daemon = None
        try:
            cluster.start()
            cluster.make_template()
            db = cluster.new_database()
            sandbox.start()
            daemon = harness.Daemon(harness.Config(folder, {
                "database": {"dsn": db.dsn()}, "imprint": {"base_url": sandbox.url},
                "outbox": {"poll_interval": "10s"}, "log": {"level": "info"}})).start()
            lags_ms = measure(db, sandbox, count)
        finally:
            if daemon is not None:
                daemon.stop()
            sandbox.stop()
            cluster.remove()
    print(f"commit to request, {count} changes: median {statistics.median(lags_ms):.1f} ms,"
          f" 90 % {lags_ms[int(0.9 * count)]:.1f} ms, longest {lags_ms[-1]:.1f} ms")


if __name__ == "__main__":
    main()

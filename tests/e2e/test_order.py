"""Order and rate: live before backfill, one customer at a time, never faster than allowed."""

import random
import threading
import time

import checker
import expect
import harness
from harness import email, new_customer


def test_live_rows_go_before_backfill_rows(db, sandbox, config, daemon):
    config.change({"delivery": {"rate": "100/s", "burst": 1}})
    backfill = [new_customer() for _ in range(300)]
    for customer in backfill:
        db.add(customer, email(customer), priority=1)
    daemon.start()
    harness.wait_until(lambda: len(sandbox.journal()) >= 20, "the backfill is under way")
    live = [new_customer() for _ in range(30)]
    with db.connect() as connection, connection.cursor() as cursor:
        for customer in live:
            cursor.execute("INSERT INTO imprint_sync.outbox (customer_id, payload) VALUES (%s, %s)",
                           [customer, harness.json.dumps(email(customer))])
    committed = len(sandbox.journal())
    db.wait_drained()
    order = [e["customer"] for e in sandbox.journal()]
    last_live = max(order.index(c) for c in live)
    overtaken = [c for c in order[committed:last_live] if c in set(backfill)]
    # What had started, and what left while the wake-up was on its way.
    assert len(overtaken) <= 16 + 20, f"{len(overtaken)} backfill requests went before live ones"
    checker.check_all(db, sandbox, rate_per_s=100, burst=1)


def write_for_a_while(db, seed, customers, seconds):
    rng = random.Random(seed)
    connection = db.connect()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with connection, connection.cursor() as cursor:
            number = rng.choice(customers)
            cursor.execute("UPDATE crm.customers SET first_name = %s WHERE id = %s",
                           [f"n{rng.randint(1, 10**6)}", number])
            if rng.random() < 0.5:
                cursor.execute("INSERT INTO crm.orders (customer_id, amount) VALUES (%s, %s)",
                               [number, rng.randint(1, 1000)])
            time.sleep(rng.random() * 0.02)
    connection.close()


def test_concurrent_writers_end_with_the_newest_state(db, sandbox, config, daemon):
    config.change({"delivery": {"rate": "200/s", "burst": 20}})
    db.execute("INSERT INTO crm.customers (id, imprint_customer_id, currency)"
               " SELECT n, gen_random_uuid(), 'USD' FROM generate_series(1, 30) AS n")
    sandbox.faults("p=0.3,delay=60", "p=0.05,status=503", "p=0.02,reset")
    config.change({"imprint": {"timeout": "1s", "connect_timeout": "1s"}})
    daemon.start()
    writers = [threading.Thread(target=write_for_a_while, args=(db, seed, range(1, 31), 5))
               for seed in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    sandbox.faults()
    db.wait_drained()
    checker.check_all(db, sandbox, rate_per_s=200, burst=20,
                      expected=expect.expected_bodies(db.connection))


def test_the_rate_holds_from_the_first_request(db, sandbox, config, daemon):
    config.change({"delivery": {"rate": "50/s", "burst": 5}})
    for _ in range(150):
        customer = new_customer()
        db.add(customer, email(customer))
    daemon.start()
    db.wait_drained()
    checker.check_all(db, sandbox, rate_per_s=50, burst=5)
    journal = sandbox.journal()
    spent_s = (journal[-1]["start_ns"] - journal[0]["start_ns"]) / checker.NS
    assert spent_s <= 1.25 * 150 / 50 + 1, f"{spent_s} s: slower than it may be"


def test_a_customer_is_sent_once_at_a_time(db, sandbox, config, daemon):
    sandbox.faults("delay=300")
    customer = new_customer()
    daemon.start()
    ids = []
    for n in range(10):
        ids.append(db.add(customer, {"first_name": f"n{n}"}))
        time.sleep(0.05)
    db.wait_drained()
    assert sandbox.state(customer)["first_name"] == "n9"
    assert len(sandbox.journal(customer)) < 10  # what came while one was in flight was folded
    checker.check_all(db, sandbox, rows=10)


def test_of_two_values_for_one_column_the_later_row_counts(db, sandbox, config, daemon):
    """Both are there before the daemon, so they fold into one request."""
    customer = new_customer()
    db.add(customer, {"email": "first@example.com", "first_name": "Ada"})
    db.add(customer, {"email": "second@example.com"})
    daemon.start()
    db.wait_drained()
    [entry] = sandbox.journal(customer)
    assert entry["body"] == {"email": "second@example.com", "first_name": "Ada"}

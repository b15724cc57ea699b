"""The main job on a thousand messy customers: few requests, every field right, nothing in the log."""

import json

import pytest

import checker
import expect
import harness
import people


def load(db, table, rows):
    columns = ", ".join(rows[0])
    db.execute(f"INSERT INTO crm.{table} ({columns}) SELECT {columns} FROM"
               f" jsonb_populate_recordset(NULL::crm.{table}, %s)", json.dumps(rows))


def values_of(db):
    """Every value of every row, as a text."""
    for table in ("customers", "addresses", "orders", "imprint_customers"):
        for row in db.query(f"SELECT to_jsonb(t) - 'id' - 'crm_id' - 'customer_id'"
                            f" - 'imprint_customer_id' AS row FROM crm.{table} t"):
            for value in row["row"].values():
                yield from value.values() if isinstance(value, dict) else [value]
    for row in db.query("SELECT payload FROM imprint_sync.outbox WHERE payload IS NOT NULL"):
        yield from row["payload"].values()


def without_digits_only(values):
    """Plain numbers of a few digits occur by chance, as ids, counters and parts of times."""
    return {v for v in map(str, values) if not v.replace(".", "").isdigit() or len(v) > 9}


def test_a_thousand_customers_and_two_thousand_orders(db, sandbox, config, daemon):
    customers, addresses, orders, broken = people.make()
    daemon.start()
    load(db, "customers", customers)
    load(db, "addresses", addresses)
    load(db, "orders", orders)
    db.wait_drained()

    before = len(sandbox.journal())
    db.execute("INSERT INTO crm.orders (customer_id, amount)"
               " SELECT 1 + n %% 1000, 10 + n FROM generate_series(1, %s) AS n", 2000)
    db.wait_drained()
    bulk = sandbox.journal()[before:]
    assert 0 < len(bulk) <= 1000

    # Two rows that an application wrote become one partial update.
    app = customers[499]["imprint_customer_id"]
    with db.connect() as connection, connection.cursor() as cursor:
        for row in ({"email": "by.hand@example.com"}, {"first_name": "Anaïs"}):
            cursor.execute("INSERT INTO imprint_sync.outbox (customer_id, payload) VALUES (%s, %s)",
                           [app, json.dumps(row)])
    db.wait_drained()
    assert sandbox.journal(app)[-1]["body"] == {
        "email": "by.hand@example.com", "first_name": "Anaïs"}

    assert daemon.stop() == 0
    expected = expect.expected_bodies(db.connection, broken)
    expected[app].update(email="by.hand@example.com", first_name="Anaïs")
    checker.check_all(db, sandbox, expected=expected)

    # 90071992547409.93 and two orders of 1010 and 2010: more digits than a double has.
    rich = customers[0]["imprint_customer_id"]
    first = sandbox.journal(rich)
    assert 9007199254740993 in [e["body"]["customer_history"]["ltv_amount"] for e in first]

    dead = {row["customer_id"].lower(): row for row in db.rows() if row["status"] == "dead"}
    for number, field in broken.items():
        row = dead.pop(customers[number - 1]["imprint_customer_id"])
        assert field + ":" in row["error"]
    assert not dead

    log = daemon.log()
    assert checker.leaks(log, without_digits_only(values_of(db)), [harness.KEY]) == []
    assert "ssn4" not in log and "date_of_birth" not in log


@pytest.mark.parametrize("amount, currency, minor", [
    ("90071992547409.93", "USD", 9007199254740993),
    ("92233720368547758.07", "USD", 9223372036854775807),
    ("5000", "JPY", 5000),
    ("5000.000", "JPY", 5000),
    ("12.345", "KWD", 12345),
    ("0.01", "USD", 1),
])
def test_amounts_are_exact(db, sandbox, config, daemon, amount, currency, minor):
    customer = "00000001-0000-4000-8000-000000000000"
    db.execute("INSERT INTO crm.customers (id, imprint_customer_id, currency) VALUES (1, %s, %s)",
               customer, currency)
    db.execute("INSERT INTO crm.orders (customer_id, amount) VALUES (1, %s::numeric)", amount)
    daemon.start()
    db.wait_drained()
    state = sandbox.state(customer)
    assert state["customer_history"]["ltv_amount"] == minor
    assert state["customer_history"]["ltv_currency"] == currency


def test_an_update_that_changes_nothing_sends_nothing(db, sandbox, config, daemon):
    db.execute("INSERT INTO crm.customers (id, imprint_customer_id, first_name, currency)"
               " VALUES (1, gen_random_uuid(), 'Ada', 'USD')")
    daemon.start()
    db.wait_drained()
    rows = len(db.rows())
    db.execute("UPDATE crm.customers SET first_name = first_name")
    assert len(db.rows()) == rows
    assert len(sandbox.journal()) == 1


def test_what_was_accepted_last_is_not_sent_again(db, sandbox, config, daemon):
    customer = "00000001-0000-4000-8000-000000000000"
    daemon.start()
    db.wait_settled(db.add(customer, {"email": "ada@example.com"}))
    row = db.wait_settled(db.add(customer, {"email": "ada@example.com"}))
    assert (row["status"], row["error"]) == ("done", "unchanged")
    db.wait_settled(db.add(customer, {"email": "other@example.com"}))
    row = db.wait_settled(db.add(customer, {"email": "ada@example.com"}))
    assert (row["status"], row["error"]) == ("done", None)
    assert len(sandbox.journal()) == 3


def test_done_rows_are_deleted_at_once_without_retention(db, sandbox, config, daemon):
    config.change({"outbox": {"retention": "0s"}})
    daemon.start()
    db.add("00000001-0000-4000-8000-000000000000", {"email": "ada@example.com"})
    dead = db.add("00000002-0000-4000-8000-000000000000", {"email": "no address"})
    harness.wait_until(lambda: len(db.rows()) == 1, "done rows go")
    assert db.wait_settled(dead)["status"] == "dead"
    assert len(sandbox.journal()) == 1

"""Rows that cannot be sent: settled with a reason that names no value, and in nobody's way."""

import json

import psycopg2
import pytest

import checker
import harness
from harness import email, new_customer

ODD_IDS = [
    "", " ", "../accounts/1", "..", ".", "a/b", "a b", " a", "a\n", "x" * 65, "x" * 3000, "kunde-ü",
    "客户", "a%2e", "a?b=c", "a#b", "{customer_id}", "'; DROP TABLE crm.customers; --", "\\", "a\x7f",
]


def test_odd_ids_are_dead_before_sending(db, sandbox, config, daemon):
    daemon.start()
    ids = [db.add(odd, {"email": "a@example.com"}) for odd in ODD_IDS]
    ids += [db.add(odd) for odd in ODD_IDS]  # thin ones
    good = new_customer()
    good_id = db.add(good, email(good))
    edge = "Ab_-" * 16  # 64 characters, all of them allowed
    edge_id = db.add(edge, {"email": "edge@example.com"})
    db.wait_drained()
    for row_id in ids:
        row = db.row(row_id)
        assert row["status"] == "dead" and row["error"] and row["http_status"] is None, row
    assert db.row(good_id)["status"] == "done"
    assert db.row(edge_id)["http_status"] is not None
    assert {e["customer"] for e in sandbox.journal()} == {good, edge}
    # Such an id may be anything, an e-mail address say: the log does not repeat it.
    deaths = daemon.events("update.dead")
    assert len(deaths) >= 3 and {d["customer_id"] for d in deaths} <= {"(invalid)", edge}


def test_a_payload_over_1_mib_is_dead(db, sandbox, config, daemon):
    customer, good = new_customer(), new_customer()
    daemon.start()
    big = db.add(customer, {"email": "a@example.com", "note": "x" * (2 << 20)})
    small = db.add(good, email(good))
    assert db.wait_settled(small)["status"] == "done"
    row = db.wait_settled(big)
    assert row["status"] == "dead" and row["error"]
    assert sandbox.journal(customer) == []


def test_many_big_payloads_pass_in_small_batches(db, sandbox, config, daemon):
    customers = [new_customer() for _ in range(40)]
    ids = [db.add(c, {**email(c), "note": "x" * 900_000}) for c in customers]
    daemon.start()
    db.wait_drained()
    assert all(db.row(i)["status"] == "done" for i in ids)
    assert max(int(e["rss_kb"]) for e in daemon.wait_event("stats") and daemon.events("stats")) < 400_000


@pytest.mark.parametrize("payload", [
    '{"email": ' + '{"a":' * 1000 + "1" + "}" * 1000 + "}",
    '{"email": ' + "[" * 1000 + "]" * 1000 + "}",
    '{"email": "deep@example.com", "unmapped": ' + "[" * 1000 + "]" * 1000 + "}",
])
def test_a_thousand_levels_are_settled(db, sandbox, config, daemon, payload):
    customer, good = new_customer(), new_customer()
    daemon.start()
    deep = db.value("INSERT INTO imprint_sync.outbox (customer_id, payload) VALUES (%s, %s)"
                    " RETURNING id", customer, payload)
    row = db.wait_settled(deep)
    assert row["status"] in ("dead", "done") and (row["status"] == "done" or row["error"]), row
    assert db.wait_settled(db.add(good, email(good)))["status"] == "done"


@pytest.mark.parametrize("payload", ["[]", '"text"', "1", "null", "true"])
def test_what_is_no_object_is_refused_by_the_table(db, payload):
    with pytest.raises(psycopg2.errors.CheckViolation):
        db.execute("INSERT INTO imprint_sync.outbox (customer_id, payload) VALUES ('a', %s)", payload)


@pytest.mark.parametrize("payload", [{}, {"unmapped": 1}, {"email": None}])
def test_what_maps_to_nothing_is_unchanged(db, sandbox, config, daemon, payload):
    daemon.start()
    row = db.wait_settled(db.add(new_customer(), payload))
    assert (row["status"], row["error"]) == ("done", "unchanged")
    assert sandbox.journal() == []


def test_a_reason_names_field_column_and_rule_and_never_the_value(db, sandbox, config, daemon):
    daemon.start()
    secret = "j4ne-at-nowhere"
    row = db.wait_settled(db.add(new_customer(), {"email": secret, "mobile": secret}))
    assert row["status"] == "dead"
    for word in ("email:", "phone:", "mobile"):
        assert word in row["error"]
    assert secret not in row["error"] and secret not in daemon.log()


def test_ids_that_differ_in_case_are_one_customer(db, sandbox, config, daemon):
    lower = "abcdef01-0000-4000-8000-000000000000"
    with db.connect() as connection, connection.cursor() as cursor:
        for spelling, payload in ((lower, {"email": "a@example.com"}),
                                  (lower.upper(), {"first_name": "Ada"})):
            cursor.execute("INSERT INTO imprint_sync.outbox (customer_id, payload) VALUES (%s, %s)",
                           [spelling, json.dumps(payload)])
    daemon.start()
    db.wait_drained()
    [request] = sandbox.journal()
    assert request["customer"] == lower.upper()  # as the newest row spells it
    assert request["body"] == {"email": "a@example.com", "first_name": "Ada"}


def test_rows_of_one_customer_fold_column_by_column(db, sandbox, config, daemon):
    customer = new_customer()
    for payload in ({"email": "old@example.com", "address": {"line1": "1 Old St", "city": "Rome"}},
                    {"first_name": "Ada"},
                    {"email": "new@example.com", "address": {"line1": "2 New St"}}):
        db.add(customer, payload)
    daemon.start()
    db.wait_drained()
    [request] = sandbox.journal()
    assert request["body"] == {  # a column is replaced whole: no city
        "email": "new@example.com", "first_name": "Ada", "street_line1": "2 New St"}


def test_more_rows_than_a_fold_takes(db, sandbox, config, daemon):
    customer = new_customer()
    db.execute("INSERT INTO imprint_sync.outbox (customer_id, payload) SELECT %s,"
               " jsonb_build_object('first_name', 'n' || n) FROM generate_series(1, 2500) AS n",
               customer)
    daemon.start()
    db.wait_drained()
    assert sandbox.state(customer) == {"first_name": "n2500"}
    assert len(sandbox.journal()) <= 5
    checker.check_all(db, sandbox, rows=2500)


def test_the_daemon_needs_no_more_than_its_rights(db, sandbox, config, daemon):
    """The role may neither read the CRM's tables nor write the outbox as it likes."""
    daemon.start()
    with harness.contextlib.closing(db.cluster.connect(db.name, "sync_daemon")) as connection:
        for statement in ("SELECT * FROM crm.customers", "TRUNCATE imprint_sync.outbox",
                          "UPDATE imprint_sync.lease SET holder = 'me'",
                          "DELETE FROM imprint_sync.watched"):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                connection.cursor().execute(statement)

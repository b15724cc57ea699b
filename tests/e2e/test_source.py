"""Thin rows: reading the customer from the source, and everything that can be wrong there."""

import pytest

import harness
from harness import email, new_customer

MAPPING = {
    "email": "email",
    "first_name": "first_name",
    "customer_history": {
        "ltv_amount": {"from": "ltv", "as": "minor_units", "currency": "currency"},
        "ltv_currency": "currency",
    },
}


@pytest.fixture
def people(db, config):
    """A source of its own: a table with text ids, and a view over it that casts."""
    db.execute("""
        CREATE TABLE crm.people (imprint_id text, email text, first_name text, ltv text,
                                 currency text DEFAULT 'USD');
        CREATE INDEX ON crm.people (imprint_id);
        CREATE VIEW crm.people_view AS
            SELECT imprint_id, email, first_name, ltv::numeric AS ltv, currency FROM crm.people;
        GRANT SELECT ON crm.people, crm.people_view TO imprint_sync_daemon""")
    config.change({"source": {"relation": "crm.people_view", "customer_id": "imprint_id",
                              "updated_at": None}, "mapping": MAPPING})

    def add(customer, ltv="1.00", thin=True):
        db.execute("INSERT INTO crm.people (imprint_id, email, first_name, ltv)"
                   " VALUES (%s, %s, 'Ada', %s)", customer, email(customer)["email"], ltv)
        return db.add(customer) if thin else None

    return add


def test_a_bad_cast_kills_only_its_customer(db, sandbox, config, daemon, people):
    good = [people(new_customer(), f"{n}.50") for n in range(60)]
    bad = people(new_customer(), "n/a")
    app = new_customer()
    app_id = db.add(app, email(app))
    daemon.start()
    db.wait_drained()
    row = db.row(bad)
    assert row["status"] == "dead" and "22P02" in row["error"], row
    assert "n/a" not in row["error"] and "n/a" not in daemon.log()
    assert all(db.row(i)["status"] == "done" for i in [*good, app_id])
    assert all(r["attempts"] == 0 for r in db.rows() if r["status"] == "done")


def test_no_source_row_is_dead(db, sandbox, config, daemon, people):
    people(new_customer())
    gone = db.add(new_customer())
    daemon.start()
    db.wait_drained()
    row = db.row(gone)
    assert row["status"] == "dead" and row["error"].startswith("source.missing"), row


def test_two_source_rows_are_dead(db, sandbox, config, daemon, people):
    customer = new_customer()
    people(customer, thin=False)
    row_id = people(customer)
    daemon.start()
    row = db.wait_settled(row_id)
    assert row["status"] == "dead" and row["error"].startswith("source.duplicate"), row
    assert sandbox.journal(customer) == []


def test_text_ids_are_found_in_any_case(db, sandbox, config, daemon, people):
    people("abc-1", thin=False)
    people("XYZ-2", thin=False)
    ids = [db.add("ABC-1"), db.add("xyz-2")]
    daemon.start()
    db.wait_drained()
    assert [db.row(i)["status"] for i in ids] == ["done", "done"]


def test_an_id_that_is_no_uuid_meets_a_uuid_column(db, sandbox, config, daemon):
    daemon.start()
    app = db.add("CUST-17", {"email": "a@example.com"})
    thin = db.add("CUST-18")
    both = db.add("CUST-19", {"email": "a@example.com"}), db.add("CUST-19")
    db.wait_drained()
    assert db.row(app)["http_status"] is not None  # it was sent
    assert db.row(thin)["error"].startswith("source.missing")
    # Only the thin row needs the source; what the application wrote can be sent.
    assert [db.row(i)["status"] for i in both] == ["done", "dead"]


def test_the_source_row_wins_over_application_rows(db, sandbox, config, daemon, people):
    customer = new_customer()
    db.add(customer, {"email": "app@example.com", "first_name": "App"})
    people(customer)
    db.add(customer, {"first_name": "Later"})
    daemon.start()
    db.wait_drained()
    [request] = sandbox.journal()
    assert request["body"]["first_name"] == "Ada"
    assert request["body"]["email"] == email(customer)["email"]


def test_without_a_source_thin_rows_are_held_with_a_warning(db, sandbox, config, daemon):
    config.change({"source": None})
    daemon.start()
    thin = db.add(new_customer())
    app = new_customer()
    assert db.wait_settled(db.add(app, email(app)))["status"] == "done"
    harness.wait_until(lambda: [e for e in daemon.events() if e["level"] == "warning"], "a warning")
    harness.wait_until(lambda: len(daemon.events("stats")) >= 2, "some time passes")
    assert (db.row(thin)["status"], db.row(thin)["attempts"]) == ("pending", 0)


def test_a_broken_source_pauses_thin_rows_only(db, sandbox, config, daemon, people):
    config.change({"source": {"relation": "crm.people"}})
    first = people(new_customer())
    daemon.start()
    assert db.wait_settled(first)["status"] == "done"
    db.execute("ALTER TABLE crm.people RENAME imprint_id TO other_name")
    thin = [db.add(new_customer()) for _ in range(3)]
    apps = [db.add(c, email(c)) for c in (new_customer() for _ in range(20))]
    for app in apps:
        assert db.wait_settled(app)["status"] == "done"
    assert all(db.row(i)["status"] == "pending" for i in thin)
    db.execute("ALTER TABLE crm.people RENAME other_name TO imprint_id")
    for row_id in thin:
        db.execute("INSERT INTO crm.people (imprint_id, email, ltv) SELECT customer_id,"
                   " 'back@example.com', '1' FROM imprint_sync.outbox WHERE id = %s", row_id)
    db.wait_drained()
    # Those read before their customer was inserted may be dead; what counts is that it goes on.
    last = people(new_customer())
    assert db.wait_settled(last)["status"] == "done"


def test_a_slow_source_pauses_thin_rows_only(db, sandbox, config, daemon, people):
    """A lock on the source must not stop what does not need it."""
    daemon.start()
    with db.connect() as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE crm.people IN ACCESS EXCLUSIVE MODE")
        thin = db.add(new_customer())
        app = new_customer()
        assert db.wait_settled(db.add(app, email(app)), timeout=120)["status"] == "done"
        assert db.row(thin)["status"] == "pending"
    db.wait_drained(timeout=120)


def test_a_later_update_with_the_source_row_settles_dead_thin_rows(db, sandbox, config, daemon,
                                                                   people):
    customer = new_customer()
    dead = people(customer, "n/a")
    daemon.start()
    assert db.wait_settled(dead)["status"] == "dead"
    partial = db.add(customer, {"first_name": "Partial"})
    assert db.wait_settled(partial)["status"] == "done"
    assert db.row(dead)["status"] == "dead"  # that one did not contain the source row
    db.execute("UPDATE crm.people SET ltv = '5.00' WHERE imprint_id = %s", customer)
    db.wait_settled(db.add(customer))
    harness.wait_until(lambda: db.row(dead)["status"] == "done", "the dead row is settled")


def test_the_key_column_may_be_a_domain_over_a_domain(db, sandbox, config, daemon, people):
    db.execute("""
        DROP VIEW crm.people_view;
        CREATE DOMAIN crm.short_text AS text CHECK (length(VALUE) < 64);
        CREATE DOMAIN crm.imprint_id AS crm.short_text NOT NULL;
        ALTER TABLE crm.people ALTER imprint_id TYPE crm.imprint_id""")
    config.change({"source": {"relation": "crm.people"}})
    customer = new_customer()
    row = people(customer)
    daemon.start()
    assert db.wait_settled(row)["status"] == "done"

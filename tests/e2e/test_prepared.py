"""Statements for single changes are prepared, once in each session, where it is the daemon's own."""

import itertools
import re

import pytest

from harness import email, new_customer, wait_until
from test_reload import reload


@pytest.fixture
def statements(cluster, db):
    """What the daemon's sessions have done: [(parse or execute, name of the statement, its text)]."""
    db.execute(f"ALTER ROLE sync_daemon IN DATABASE {db.name} SET log_min_duration_statement = 0")
    begin = cluster.log_file.stat().st_size
    yield lambda: re.findall(r"(parse|execute) (imprint_\d+|<unnamed>): (.*)",
                             cluster.log_file.read_text(errors="replace")[begin:])
    db.execute(f"ALTER ROLE sync_daemon IN DATABASE {db.name} RESET log_min_duration_statement")


FOLD = "WITH k AS MATERIALIZED"
SETTLE = "WITH c AS MATERIALIZED"


def count(found, what, text, prepared=True):
    return sum(kind == what and line.startswith(text) and (name != "<unnamed>") == prepared
               for kind, name, line in found)


def change(db):
    """One, and waits until it is done."""
    customer = new_customer()
    db.wait_settled(db.add(customer, email(customer)))
    return customer


def test_a_statement_is_prepared_once_in_a_session(db, daemon, sandbox, statements):
    daemon.start()
    for _ in range(5):
        change(db)
    found = statements()
    for text in (FOLD, SETTLE, "SELECT p.n"):
        assert count(found, "parse", text) == 1 and count(found, "execute", text) >= 5, text
        assert count(found, "execute", text, prepared=False) == 0, text
    db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'sync_daemon'"
               " AND datname = current_database()")
    daemon.wait_event("db.connect", 2)
    change(db)
    change(db)
    assert count(statements(), "parse", FOLD) == 2  # the new session knows nothing of it


def test_many_customers_are_planned_for_as_many(db, daemon, sandbox, statements):
    for _ in range(100):
        customer = new_customer()
        db.add(customer, email(customer))
    daemon.start()
    db.wait_drained()
    assert count(statements(), "execute", FOLD, prepared=False) >= 1


def test_a_poll_that_skips_many_is_planned_for_them(db, daemon, sandbox, config, statements):
    """Who is in memory is a list, hashed only as a constant of the plan."""
    config.change({"delivery": {"rate": "20/s", "burst": 1}})
    for _ in range(200):
        customer = new_customer()
        db.add(customer, email(customer))
    daemon.start()
    wait_until(lambda: count(statements(), "execute", "SELECT p.n", prepared=False) >= 1,
               "a poll that skips many")


def test_a_source_that_changes_its_columns(db, daemon, sandbox, config):
    """Under a running daemon: neither a changed type nor a new column holds anything up."""
    db.execute("CREATE TABLE crm.plain (imprint_customer_id text, email text, first_name int,"
               " updated_at timestamptz); CREATE INDEX ON crm.plain (imprint_customer_id);"
               " GRANT SELECT ON crm.plain TO imprint_sync_daemon")
    config.change({"source": {"relation": "crm.plain"},
                   "mapping": {"email": "email", "first_name": {"from": "first_name", "as": "text"}}})

    def added():
        customer = new_customer()
        db.execute("INSERT INTO crm.plain VALUES (%s, %s, 7)", customer, email(customer)["email"])
        db.wait_settled(db.add(customer))
        assert sandbox.state(customer)["first_name"] == "7"

    daemon.start()
    added()
    for change_ in ("ALTER first_name TYPE text", "ADD more text",
                    "ALTER imprint_customer_id TYPE varchar(80)", "DROP more",
                    "ALTER first_name TYPE numeric USING first_name::numeric"):
        db.execute(f"ALTER TABLE crm.plain {change_}")
        added()
        added()
    assert not daemon.events("source.held") and not daemon.events("db.error")


def test_a_pooler_that_seems_to_be_none(db, daemon, sandbox, statements):
    """What was prepared is gone, as if another session had taken the statement: it goes on without."""
    daemon.start()
    change(db)
    db.execute("""
        ALTER FUNCTION imprint_sync.idle(bigint) RENAME TO idle_before;
        CREATE FUNCTION imprint_sync.idle(p bigint) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            DEALLOCATE ALL;
            PERFORM imprint_sync.idle_before(p);
        END $$;
        GRANT EXECUTE ON FUNCTION imprint_sync.idle(bigint) TO imprint_sync_daemon""")
    for _ in range(3):
        change(db)
    found = statements()
    assert count(found, "execute", FOLD, prepared=False) >= 1
    assert not daemon.events("db.error") and not daemon.events("db.lost")


def test_reloads_do_not_fill_the_session(db, daemon, sandbox, config, statements):
    """Each configuration has statements of its own; those before it are forgotten."""
    daemon.start()
    columns = ("mobile", "first_name", "last_name", "locale", "tier", "loyalty_id", "joined_at")
    for pair in itertools.combinations(columns, 2):
        metadata = {column: {"from": column, "as": "text"} for column in pair}
        reload(daemon, {"mapping": {"email": "email", "metadata": metadata}})
        change(db)
    found = statements()
    assert count(found, "execute", FOLD, prepared=False) == 0
    assert max(int(name.split("_")[1]) for _, name, _ in found if name.startswith("imprint")) < 24
    assert re.search("DEALLOCATE ALL", " ".join(text for _, _, text in found))
    assert not daemon.events("db.error")


def test_a_statement_that_failed_is_prepared_again(db, daemon, sandbox, statements):
    """With it goes all that the session has prepared, for nobody knows what came behind it."""
    daemon.start()
    change(db)
    db.execute("ALTER SCHEMA imprint_sync RENAME TO elsewhere")
    daemon.wait_event("db.error")
    db.execute("ALTER SCHEMA elsewhere RENAME TO imprint_sync")
    change(db)
    change(db)
    found = statements()
    assert count(found, "parse", FOLD) == 2
    assert count(found, "execute", FOLD, prepared=False) == 0

"""With a million rows in the outbox every statement of the daemon still goes by an index.

The plans are those that Postgres really used, from auto_explain in its log."""

import json
import re

import pytest

import harness

pytestmark = pytest.mark.slow

ROWS = 1_000_000
AUTO_EXPLAIN = (
    "session_preload_libraries=auto_explain", "auto_explain.log_min_duration=0",
    "auto_explain.log_analyze=on", "auto_explain.log_timing=off", "auto_explain.log_format=json",
    "auto_explain.log_parameter_max_length=0", "log_line_prefix=%u %d|", "max_wal_size=4GB",
)


@pytest.fixture(scope="module")
def cluster():
    with harness.Cluster(*AUTO_EXPLAIN).running() as cluster:
        yield cluster


def fill(db, status, pending):
    """A million rows, of which `pending` are still to be sent; without others if they would be, too."""
    rows = pending if status == "pending" else ROWS
    db.execute("SET session_replication_role = replica; SET auto_explain.log_min_duration = -1")
    db.execute(
        "INSERT INTO imprint_sync.outbox (customer_id, payload, status, settled_at)"
        " SELECT 'c' || n, jsonb_build_object('email', 'c' || n || '@example.com'),"
        "        CASE WHEN n <= %s THEN 'pending' ELSE %s END,"
        "        CASE WHEN n <= %s OR %s = 'pending' THEN NULL ELSE now() END"
        "   FROM generate_series(1, %s) AS n", pending, status, pending, status, rows)


def plans(cluster, db):
    """The plans of the daemon's statements in this database."""
    text = cluster.log_file.read_text(errors="replace")
    pattern = rf"^sync_daemon {db.name}\|LOG:  duration: [\d.]+ ms  plan:\n((?:\t.*\n)+)"
    for match in re.finditer(pattern, text, re.M):
        yield json.loads(match[1].replace("\n\t", "\n").lstrip("\t"))


def nodes(plan):
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


@pytest.mark.parametrize("status, pending, analyze", [
    ("pending", ROWS, True), ("pending", ROWS, False), ("done", 2000, True), ("dead", 2000, True),
    # Of so many Postgres would rather sort a lane than walk along its index.
    ("pending", 100_000, True),
])
def test_every_statement_uses_an_index(cluster, db, sandbox, config, daemon, status, pending, analyze):
    config.change({"delivery": {"rate": "500/s", "burst": 50}, "log": {"level": "info"}})
    fill(db, status, pending)
    if analyze:
        db.execute("VACUUM ANALYZE imprint_sync.outbox")
    daemon.start()
    harness.wait_until(lambda: len(sandbox.journal()) >= 1500, "it is at work")
    # Application rows and thin rows for a fold and a source lookup among all these.
    db.execute("INSERT INTO crm.customers (id, imprint_customer_id, currency)"
               " SELECT n, gen_random_uuid(), 'USD' FROM generate_series(1, 50) AS n")
    db.execute("INSERT INTO imprint_sync.outbox (customer_id) SELECT imprint_customer_id::text"
               " FROM crm.customers")
    harness.wait_until(lambda: len(daemon.events("stats")) >= 4, "stats were counted")
    assert daemon.stop() == 0
    for command in (["status"], ["dead", "list"], ["dead", "list", "--since", "1h", "--each"]):
        assert config.command(*command).returncode == 0

    polls = 0
    for entry in plans(cluster, db):
        every = list(nodes(entry["Plan"]))
        scans = [n for n in every if n.get("Relation Name") == "outbox"]
        text = entry["Query Text"][:300]
        assert not [n for n in scans if n["Node Type"] == "Seq Scan"], text
        used = {n.get("Index Name") for n in every}
        groups = "error_reason" in entry["Query Text"]  # dead list sorts what it groups, 100,000 rows
        polls += "outbox_pending" in used
        for node in every:
            rows = node.get("Actual Rows", 0) * node.get("Actual Loops", 1)
            assert node["Node Type"] not in ("Sort", "Incremental Sort") or rows <= 20_000 or groups, (rows, text)
            # Counting is exact up to 100,000 rows, for status of each lane; nothing else reads so many.
            lanes = 2 if "jsonb_object_agg" in entry["Query Text"] else 1
            # (Rows of a loop are a rounded mean.)
            assert rows <= lanes * 100_001 + node["Actual Loops"], (node["Node Type"], rows, text)
            if "FOR UPDATE" not in text and "count(" not in text and not groups:
                assert rows <= 20_000, (node["Node Type"], rows, text)
    assert polls >= 5, "the polls were not in the log"


def test_no_statement_is_compiled(cluster, db, sandbox, config, daemon):
    """Compiling the settle takes seconds, and whether Postgres does so depends on the table's size."""
    db.execute(f"ALTER DATABASE {db.name} SET jit_above_cost = 0")
    daemon.start()
    row = db.add(harness.new_customer(), {"email": "a@example.com"})
    db.wait_settled(row)
    assert daemon.stop() == 0
    found = list(plans(cluster, db))
    assert any("outbox AS o SET" in entry["Query Text"] for entry in found)
    assert not [entry["Query Text"][:200] for entry in found if "JIT" in entry]

"""`prune`: done rows beyond the retention go, in batches, and nothing else."""

import json

import pytest


def fill(db, count, status, age):
    db.execute("INSERT INTO imprint_sync.outbox (customer_id, status, created_at, settled_at)"
               " SELECT %s || n, %s, now() - %s::interval, CASE %s WHEN 'pending' THEN NULL"
               "  ELSE now() - %s::interval END FROM generate_series(1, %s) AS n",
               f"{status}{age[0]}", status, age, status, age, count)


def left(db):
    return {(r["status"], r["count"]) for r in db.query(
        "SELECT status, count(*) FROM imprint_sync.outbox GROUP BY 1")}


@pytest.mark.parametrize("retention, kept", [("7d", 10), ("30d", 12_010), ("0", 0)])
def test_prune_deletes_old_done_rows_only(db, config, retention, kept):
    fill(db, 12_000, "done", "8 days")
    fill(db, 10, "done", "6 days")
    fill(db, 20, "dead", "80 days")
    fill(db, 30, "pending", "80 days")
    config.change({"outbox": {"retention": retention}})
    done = config.command("prune")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout == f"{12_010 - kept} done rows older than {retention} deleted\n"
    assert left(db) == {("dead", 20), ("pending", 30)} | ({("done", kept)} if kept else set())
    document = json.loads(config.command("status", "--json").stdout)["prune"]
    assert document["deleted"] == 12_010 - kept and document["ended_s"] <= 60


def test_the_daemon_prunes_by_itself(db, config, daemon):
    fill(db, 5000, "done", "8 days")
    fill(db, 5, "dead", "8 days")
    daemon.start()
    daemon.wait_event("prune.done", rows=5000)
    assert left(db) == {("dead", 5)}
    assert json.loads(config.command("status", "--json").stdout)["prune"]["deleted"] == 5000


def test_prune_without_schema_or_database(db, config, cluster):
    config.change({"database": {"dsn": cluster.dsn("postgres")}})
    assert config.command("prune").returncode == 78
    config.change({"database": {"dsn": "host=/nonexistent dbname=crm"}})
    assert config.command("prune").returncode == 69

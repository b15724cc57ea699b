"""`backfill`: which customers, how far ahead, what interrupts it and what it goes on with."""

import collections
import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import statistics
import struct
import subprocess
import termios

import pytest

import checker
import harness
from harness import wait_until

SHORT = {"imprint": {"timeout": "500ms", "connect_timeout": "500ms"}, "outbox": {"lease": "1500ms"}}
SECRET = "jane.doe@example.com"
WORKERS = 16


def customer_id(number):
    return f"{number:08x}-0000-4000-8000-00000000000b"


def fill(db, count, first=1, updated="now()"):
    """Customers of the source, whom no trigger has announced."""
    db.execute("SET session_replication_role = replica")
    db.execute(
        "INSERT INTO crm.customers (id, imprint_customer_id, email, currency, updated_at)"
        " SELECT n, (lpad(to_hex(n), 8, '0') || '-0000-4000-8000-00000000000b')::uuid,"
        f" 'c' || n || '@example.com', 'USD', {updated}"
        f" FROM generate_series({first}, {first + count - 1}) AS n")
    db.execute("SET session_replication_role = DEFAULT")


class Backfill:
    """The command under way, with its log."""

    def __init__(self, config, *arguments, stdin=None):
        self.config = config
        self.log_file = config.folder / f"backfill-{id(self)}.log"
        self.out_file = config.folder / f"backfill-{id(self)}.out"
        with open(self.log_file, "wb") as log, open(self.out_file, "wb") as out:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", harness.imprint_sync(), "-c", str(config.file),
                 "backfill", *arguments],
                stdin=stdin or subprocess.DEVNULL, stdout=out, stderr=log)

    def log(self):
        return self.log_file.read_text(errors="replace")

    def out(self):
        return self.out_file.read_text(errors="replace")

    def events(self, name):
        parsed = [harness.parse_line(line) for line in self.log().split("\n")[:-1]]
        return [e for e in parsed if e is not None and e["event"] == name]

    def stop(self, how=signal.SIGINT):
        self.process.send_signal(how)
        return self.ended()

    def ended(self, code=None, timeout=harness.PATIENCE_S):
        found = self.process.wait(timeout)
        assert not harness.SANITIZER.search(self.log()), self.log()[-6000:]
        assert code is None or found == code, (found, self.out(), self.log()[-3000:])
        return found


@contextlib.contextmanager
def backfill(config, *arguments, **options):
    run = Backfill(config, *arguments, **options)
    try:
        yield run
    finally:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait(30)


def done(config, *arguments, code=0, **options):
    result = config.command("backfill", *arguments, **options)
    assert result.returncode == code, (result.stdout, result.stderr[-3000:])
    return result


def run_of(db, name):
    found = db.query("SELECT * FROM imprint_sync.backfill_run WHERE name = %s", name)
    return found[0] if found else None


def waiting(db):
    return db.value("SELECT count(*) FROM imprint_sync.outbox WHERE status = 'pending' AND run_id IS NOT NULL")


def sent(sandbox):
    """{customer: requests}"""
    return collections.Counter(e["customer"].lower() for e in sandbox.journal())


def ids(*numbers):
    return {customer_id(n) for n in numbers}


# ---- scopes ----------------------------------------------------------------------------------

def test_all_then_only_what_changed(db, sandbox, config):
    fill(db, 300)
    db.execute("INSERT INTO crm.customers (id, email, currency) VALUES (9999, 'x@example.com', 'USD')")
    result = done(config, "--all", "--name", "first")
    assert sent(sandbox) == dict.fromkeys(ids(*range(1, 301)), 1)
    assert "300 customers, of these 300 sent and 0 unchanged" in result.stdout
    run = run_of(db, "first")
    assert (run["state"], run["enqueued"], run["done"], run["dead"], run["total"]) == ("done", 300, 300, 0, 300)
    assert run["holder"] is None and run["finished_at"] is not None and run["total_exact"]

    db.execute("SET session_replication_role = replica; UPDATE crm.customers SET email = 'new@example.com'"
               " WHERE id IN (7, 8); SET session_replication_role = DEFAULT")
    before = len(sandbox.journal())
    done(config, "--all", "--name", "second")
    assert {e["customer"] for e in sandbox.journal()[before:]} == ids(7, 8)
    assert (run_of(db, "second")["done"], run_of(db, "second")["unchanged"]) == (2, 298)

    done(config, "--all", "--name", "third", "--force")
    assert len(sandbox.journal()) == before + 2 + 300 and run_of(db, "third")["unchanged"] == 0


def test_since_with_its_overlap(db, sandbox, config):
    fill(db, 10, updated="now() - n * interval '1 minute'")
    done(config, "--since", "150s", "--overlap", "0")
    assert set(sent(sandbox)) == ids(1, 2)
    done(config, "--since", "30s")
    assert set(sent(sandbox)) == ids(1, 2, 3, 4, 5)
    done(config, "--since", "1999-01-01T00:00:00Z")
    assert set(sent(sandbox)) == ids(*range(1, 11))
    run = run_of(db, db.value("SELECT max(name) FROM imprint_sync.backfill_run WHERE argument = '30s'"))
    assert run["scope"] == "since" and run["unchanged"] == 2 and run["done"] == 3


def test_where_reads_only_and_is_not_logged(db, sandbox, config):
    fill(db, 20)
    condition = f"email IN ('c3@example.com', '{SECRET}') OR email = 'c4@example.com' -- {SECRET}"
    with backfill(config, "--where", condition, "--name", "w") as run:
        run.ended(0)
        assert SECRET not in run.log() + run.out()
    assert set(sent(sandbox)) == ids(3, 4)
    assert run_of(db, "w")["argument"] == condition
    db.execute("CREATE FUNCTION public.writes() RETURNS boolean LANGUAGE sql VOLATILE SECURITY DEFINER AS"
               " 'DELETE FROM crm.orders; SELECT true'")
    for wrong in ["public.writes()", "no_such_column = 1", "email =", "1 / (length(email) - length(email)) = 1"]:
        result = done(config, "--where", wrong, code=64)
        assert "--where, a condition on columns of crm.imprint_customers" in result.stderr
    for parameter in ["$1", "email = $1", "crm_id = $1 AND email = $2"]:
        result = done(config, "--where", parameter, code=64)
        assert ("--where, a condition on columns of crm.imprint_customers: $1 and the like stand for nothing"
                " here: write the value") in result.stderr
    result = done(config, "--where", "EXISTS (SELECT FROM pg_catalog.pg_authid)", code=78)
    assert ("--where, a condition on columns of crm.imprint_customers: the database role lacks a right"
            in result.stderr)
    assert waiting(db) == 0

    # Not when it is counted, only when it is walked over.
    db.execute("CREATE OR REPLACE FUNCTION public.writes() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS"
               " $$BEGIN IF EXISTS (SELECT FROM imprint_sync.backfill_run WHERE name = 'late') THEN"
               " DELETE FROM crm.orders; END IF; RETURN true; END$$")
    with backfill(config, "--where", "public.writes()", "--name", "late") as run:
        run.ended(78)
        assert "the source cannot be read: SQLSTATE 25006" in run.out()
    assert run_of(db, "late")["state"] == "paused" and waiting(db) == 0


def test_a_list_of_ids(db, sandbox, config, tmp_path):
    fill(db, 20)
    file = tmp_path / "ids"
    file.write_text(f"{customer_id(5)}\r\n\n  {customer_id(3).upper()}\n{customer_id(5)}\n{customer_id(77)}")
    result = done(config, "--customers", str(file), "--name", "list", code=65)
    assert set(sent(sandbox)) == ids(3, 5)
    assert "1 dead: source.missing" in result.stdout
    assert (run_of(db, "list")["total"], run_of(db, "list")["dead"]) == (4, 1)
    done(config, "--customers", "-", stdin="\ufeff" + customer_id(6) + "\n")
    assert set(sent(sandbox)) == ids(3, 5, 6)


def test_a_list_with_mistakes_enqueues_nothing(db, sandbox, config, tmp_path):
    file = tmp_path / "ids"
    file.write_text(f"{customer_id(1)}\n{SECRET}\n{customer_id(2)}\n{'x' * 70000}\n{customer_id(3)}\n../x\nab\0cd\n")
    result = done(config, "--customers", str(file), code=65)
    assert "in line 2, 4, 6, 7; nothing was enqueued" in result.stderr and SECRET not in result.stderr
    assert "no id" in done(config, "--customers", "-", stdin="\n", code=65).stderr
    assert "No such file" in done(config, "--customers", str(tmp_path / "none"), code=65).stderr
    assert db.rows() == [] and db.query("SELECT FROM imprint_sync.backfill_run") == []


@pytest.mark.parametrize("arguments, says", [
    ([], "say which customers"),
    (["--all", "--where", "true"], "--all and --where: one of them"),
    (["--name", "nobody"], "there is no run nobody"),
    (["--all", "--name", "a b"], "--name: letters"),
    (["--all", "--limit", "0"], "--limit takes"),
    (["--all", "--rate", "fast"], "--rate takes"),
    (["--all", "--ahead", "0"], "--ahead takes"),
    (["--all", "--overlap", "5m"], "--overlap takes"),
    (["--since", "yesterday"], "--since: yesterday is neither"),
    (["--where", " "], "--where: is empty"),
    (["--dry-run", "--name", "x"], "--dry-run needs"),
    (["pause"], "which run?"), (["resume"], "which run?"), (["cancel", "--name", "x"], "there is no run x"),
    (["frobnicate"], "`backfill` has no command frobnicate"),
])
def test_wrong_usage(db, sandbox, config, arguments, says):
    assert says in done(config, *arguments, code=64).stderr
    assert db.query("SELECT FROM imprint_sync.backfill_run") == []


def test_it_needs_a_source(db, sandbox, config):
    config.change({"source": {"updated_at": None}})
    assert "source.updated_at" in done(config, "--since", "1h", code=78).stderr
    config.change({"source": None})
    assert "needs a source" in done(config, "--all", code=78).stderr


KEYS = {
    "bigint": ("bigint", "n", range(1, 41)),
    "text": ("text COLLATE \"C\"", "CASE WHEN n % 2 = 0 THEN 'K' ELSE 'k' END || n", range(1, 41)),
    "varchar": ("varchar(40)", "'k-' || n", range(1, 41)),
}


@pytest.mark.parametrize("kind", KEYS)
def test_keys_of_each_type(db, sandbox, config, kind):
    column, value, _ = KEYS[kind]
    db.execute(f"CREATE TABLE crm.other (id {column}, email text)")
    db.execute(f"INSERT INTO crm.other SELECT {value}, 'a' || n || '@example.com' FROM generate_series(1, 40) AS n")
    db.execute("INSERT INTO crm.other VALUES (NULL, 'null@example.com')")
    db.execute("CREATE INDEX ON crm.other (id); GRANT SELECT ON crm.other TO imprint_sync_daemon")
    config.change({"source": {"relation": "crm.other", "customer_id": "id", "updated_at": None},
                   "mapping": {"email": "email"}})
    done(config, "--all", "--ahead", "7")
    assert set(sent(sandbox)) == {r["id"].lower() for r in db.query("SELECT id::text FROM crm.other WHERE id IS NOT NULL")}
    assert all(count == 1 for count in sent(sandbox).values())


def test_a_key_that_stands_there_twice_is_enqueued_once(db, sandbox, config):
    db.execute("CREATE TABLE crm.twice (id bigint, email text)")
    db.execute("INSERT INTO crm.twice SELECT n / 3, 'a@example.com' FROM generate_series(3, 62) AS n")
    db.execute("GRANT SELECT ON crm.twice TO imprint_sync_daemon")
    config.change({"source": {"relation": "crm.twice", "customer_id": "id"}, "mapping": {"email": "email"}})
    result = done(config, "--all", "--ahead", "4", code=65)
    assert "20 dead: source.duplicate" in result.stdout
    assert db.value("SELECT count(*) FROM imprint_sync.outbox") == 20


# ---- bounds ----------------------------------------------------------------------------------

@pytest.mark.parametrize("retention", ["7d", "0"])
def test_never_more_ahead_than_asked(db, sandbox, config, retention):
    fill(db, 400)
    config.change({"delivery": {"rate": "400/s", "burst": 10}, "outbox": {"retention": retention}})
    most = 0
    with backfill(config, "--all", "--name", "a", "--ahead", "25") as run:
        while run.process.poll() is None:
            most = max(most, waiting(db))
        run.ended(0)
    assert 10 < most <= 25
    record = run_of(db, "a")
    assert (record["enqueued"], record["done"]) == (400, 400) and len(sandbox.journal()) == 400
    assert db.value("SELECT count(*) FROM imprint_sync.outbox") == (0 if retention == "0" else 400)


def test_a_rate_below_the_limit_and_a_limit(db, sandbox, config):
    fill(db, 200)
    done(config, "--all", "--rate", "40/s", "--limit", "120", "--name", "slow")
    journal = sandbox.journal()
    assert len(journal) == 120 and run_of(db, "slow")["total"] == 120
    checker.check_rate(journal, 40, 2 * 40)
    starts = [e["start_ns"] for e in journal]
    assert (starts[-1] - starts[0]) / 1e9 > 120 / 40 - 2.5


def test_live_changes_go_first_and_join(db, sandbox, config):
    fill(db, 600)
    config.change({"delivery": {"rate": "100/s", "burst": 10, "skip_unchanged": False}})
    with backfill(config, "--all", "--name", "b", "--ahead", "1000") as run:
        wait_until(lambda: len(sandbox.journal()) > 30, "the backfill is under way")
        late = db.value("SELECT max(customer_id) FROM imprint_sync.outbox WHERE status = 'pending'")
        number = int(late[:8], 16)
        before = len(sandbox.journal())
        db.execute("UPDATE crm.customers SET email = 'live@example.com' WHERE id = %s", number)
        wait_until(lambda: sent(sandbox)[late] > 0, "the live change leaves", 5)
        overtaken = [e["customer"] for e in sandbox.journal()].index(late) - before
        assert overtaken < 150, overtaken
        assert run.process.poll() is None
        wait_until(lambda: db.value("SELECT count(*) FROM imprint_sync.outbox WHERE customer_id = %s"
                                    " AND status = 'done'", late) == 2, "both rows settle")
        run.stop()
    assert sent(sandbox)[late] == 1


def test_a_full_memory_keeps_no_live_change_out(db, sandbox, config):
    """What is read ahead of a backfill lasts for two seconds; live changes are looked for meanwhile."""
    fill(db, 1200)
    config.change({"delivery": {"rate": "100/s", "burst": 10}})
    overtaken = []
    with backfill(config, "--where", "crm_id <= 1190", "--name", "m", "--ahead", "1000") as run:
        wait_until(lambda: len(sandbox.journal()) > 30, "the backfill is under way")
        for number in range(1191, 1201):
            before = len(sandbox.journal())
            db.execute("UPDATE crm.customers SET email = 'live@example.com' WHERE id = %s", number)
            wait_until(lambda n=number: sent(sandbox)[customer_id(n)] > 0, "the live change leaves", 5)
            overtaken.append([e["customer"] for e in sandbox.journal()].index(customer_id(number)) - before)
        run.stop()
    assert statistics.median(overtaken) < 15, overtaken


# ---- interruptions ---------------------------------------------------------------------------

def test_three_kills_repeat_next_to_nothing(db, sandbox, config):
    fill(db, 500)
    config.change(harness.merged(SHORT, {"delivery": {"rate": "250/s", "burst": 10, "skip_unchanged": False}}))
    sandbox.faults("delay=20")
    for round_ in range(3):
        with backfill(config, "--all", "--name", "k", "--ahead", "200") as run:
            wait_until(lambda: len(sandbox.journal()) > 60 + round_ * 120, "it goes on")
            run.process.kill()
            run.process.wait()
    done(config, "--name", "k")
    requests = sent(sandbox)
    assert set(requests) == ids(*range(1, 501))
    repeated = sum(count - 1 for count in requests.values())
    assert repeated < 3 * WORKERS, repeated
    record = run_of(db, "k")
    assert (record["state"], record["enqueued"], record["done"]) == ("done", 500, 500)
    assert db.value("SELECT count(*) FROM imprint_sync.outbox") == 500


def test_connections_that_are_cut_change_no_count(db, sandbox, config):
    """Pages and settles whose outcome is unknown are done again, and count once."""
    fill(db, 400)
    config.change({"delivery": {"rate": "200/s", "burst": 10}})
    with backfill(config, "--all", "--name", "x", "--ahead", "40") as run:
        for cuts in range(1, 9):
            wait_until(lambda: len(sandbox.journal()) > 30 * cuts, "it goes on")
            db.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'sync_daemon'"
                     " AND datname = current_database()")
        run.ended(0)
    record = run_of(db, "x")
    assert (record["state"], record["enqueued"], record["done"] + record["unchanged"]) == ("done", 400, 400)
    assert db.value("SELECT count(*) FROM imprint_sync.outbox WHERE run_id = %s", record["id"]) == 400
    assert set(sent(sandbox)) == ids(*range(1, 401))


def test_a_second_ctrl_c_still_gives_the_run_back(db, sandbox, config):
    fill(db, 300)
    config.change({"delivery": {"rate": "50/s", "burst": 10}})
    with backfill(config, "--all", "--name", "g", "--ahead", "20") as run:
        wait_until(lambda: len(sandbox.journal()) > 5, "it goes on")
        with contextlib.closing(db.connect()) as other, other.cursor() as cursor:
            cursor.execute("LOCK imprint_sync.backfill_run IN EXCLUSIVE MODE")
            run.process.send_signal(signal.SIGINT)
            waits = wait_until(lambda: db.query(
                "SELECT pid FROM pg_stat_activity WHERE usename = 'sync_daemon' AND wait_event_type = 'Lock'"
                " AND query LIKE 'UPDATE imprint_sync.backfill_run SET holder = NULL%'"), "it gives the run back")
            # That is lost, and there is no time to do it again.
            db.execute("SELECT pg_terminate_backend(%s)", waits[0]["pid"])
            run.process.send_signal(signal.SIGINT)
            wait_until(lambda: run.events("daemon.stop"), "it is cut short")
        assert run.ended() == 1 and run.events("daemon.stop")[0]["reason"] == "aborted"
    assert (run_of(db, "g")["state"], run_of(db, "g")["holder"]) == ("paused", None)


def test_dead_rows_that_are_sent_again_are_counted_once(db, sandbox, config):
    fill(db, 5)
    db.execute("UPDATE crm.customers SET email = 'none' WHERE id = 2; DELETE FROM imprint_sync.outbox")
    assert "1 dead: mapping email" in done(config, "--all", "--name", "d", code=65).stdout
    db.execute("SET session_replication_role = replica; UPDATE crm.customers SET email = 'b@example.com' WHERE id = 2;"
               " SET session_replication_role = DEFAULT")
    assert config.command("dead", "retry", "--all").returncode == 0
    assert config.command("run", "--once").returncode == 0
    record = run_of(db, "d")
    assert (record["enqueued"], record["done"], record["dead"]) == (5, 5, 0)


def test_ctrl_c_pauses_and_says_how_to_go_on(db, sandbox, config):
    fill(db, 300)
    config.change({"delivery": {"rate": "100/s", "burst": 10}})
    with backfill(config, "--all", "--name", "c", "--ahead", "50") as run:
        wait_until(lambda: len(sandbox.journal()) > 20, "it goes on")
        assert run.stop() == 75
        assert "imprint-sync backfill --name c" in run.out() and "paused" in run.out()
    record = run_of(db, "c")
    assert record["state"] == "paused" and record["holder"] is None
    assert db.query("SELECT FROM imprint_sync.lease WHERE holder IS NOT NULL") == []
    assert db.query("SELECT FROM imprint_sync.instance") == []
    assert "begun with --all, not --where" in done(config, "--name", "c", "--where", "true", code=64).stderr
    assert "without --force" in done(config, "--name", "c", "--force", code=64).stderr
    done(config, "--name", "c", "--all")
    assert set(sent(sandbox)) == ids(*range(1, 301)) and sum(sent(sandbox).values()) == 300


def test_a_finished_name(db, sandbox, config):
    fill(db, 3)
    done(config, "--all", "--name", "f")
    assert "is done: --force begins it anew" in done(config, "--all", "--name", "f", code=64).stderr
    assert "say which customers" in done(config, "--name", "f", "--force", code=64).stderr
    done(config, "--all", "--name", "f", "--force")
    assert run_of(db, "f")["done"] == 3 and len(sandbox.journal()) == 6


def test_a_list_goes_on_with_the_same_list(db, sandbox, config, tmp_path):
    fill(db, 200)
    config.change({"delivery": {"rate": "100/s", "burst": 10}})
    file = tmp_path / "ids"
    file.write_text("\n".join(customer_id(n) for n in range(1, 201)))
    with backfill(config, "--customers", str(file), "--name", "l", "--ahead", "20") as run:
        wait_until(lambda: len(sandbox.journal()) > 20, "it goes on")
        run.stop()
    assert "--customers FILE" in run.out()
    assert "same list" in done(config, "--name", "l", code=64).stderr
    other = tmp_path / "other"
    other.write_text(customer_id(1))
    assert "another --customers" in done(config, "--name", "l", "--customers", str(other), code=64).stderr
    done(config, "resume", "--name", "l", "--customers", str(file))
    assert sent(sandbox) == dict.fromkeys(ids(*range(1, 201)), 1)


def test_pause_resume_and_cancel_from_elsewhere(db, sandbox, config):
    fill(db, 400)
    config.change({"delivery": {"rate": "50/s", "burst": 10}})
    with backfill(config, "--all", "--name", "p", "--ahead", "100") as run:
        wait_until(lambda: len(sandbox.journal()) > 10, "it goes on")
        assert "paused" in done(config, "pause", "--name", "p").stdout
        assert run.ended(timeout=10) == 75
    assert "paused already" in done(config, "pause", "--name", "p", code=64).stderr
    with backfill(config, "resume", "--name", "p") as run:
        wait_until(lambda: run_of(db, "p")["state"] == "running" and len(sandbox.journal()) > 40, "it goes on")
        assert "cancelled" in done(config, "cancel", "--name", "p").stdout
        assert run.ended(timeout=10) == 75
        assert "cancelled" in run.out()
    record = run_of(db, "p")
    assert waiting(db) == 0 and record["state"] == "cancelled" and record["holder"] is None
    assert record["enqueued"] == record["done"] < 400
    assert 0 <= len(sandbox.journal()) - record["done"] <= WORKERS  # were under way
    assert "is cancelled" in done(config, "--name", "p", code=64).stderr
    done(config, "cancel", "--name", "p")

    listed = json.loads(done(config, "list", "--json").stdout)
    assert [(r["name"], r["state"], r["waiting"]) for r in listed] == [("p", "cancelled", 0)]
    assert re.search(r"^p +all +cancelled +400 ", done(config, "list").stdout, re.M)


def test_two_processes_on_one_name(db, sandbox, config):
    fill(db, 400)
    config.change({"delivery": {"rate": "50/s", "burst": 10}})
    with backfill(config, "--all", "--name", "one", "--ahead", "20") as run:
        wait_until(lambda: len(sandbox.journal()) > 5, "it goes on")
        refused = done(config, "--all", "--name", "one", code=1)
        assert f"-{run.process.pid}-" in refused.stderr and "is being worked on" in refused.stderr
        assert run.process.poll() is None
        run.stop()


def test_two_runs_at_once(db, sandbox, config):
    fill(db, 200)
    config.change(SHORT)
    with backfill(config, "--where", "crm_id <= 100", "--name", "x", "--ahead", "30") as one, \
            backfill(config, "--where", "crm_id > 100", "--name", "y", "--ahead", "30") as two:
        one.ended(0)
        two.ended(0)
    assert sent(sandbox) == dict.fromkeys(ids(*range(1, 201)), 1)
    assert run_of(db, "x")["done"] == run_of(db, "y")["done"] == 100


# ---- beside a daemon -------------------------------------------------------------------------

def kinds(db):
    """{kind: slots held}"""
    return {r["kind"]: r["n"] for r in db.query(
        "SELECT i.kind, count(l.slot) AS n FROM imprint_sync.instance AS i"
        " LEFT JOIN imprint_sync.lease AS l ON l.holder = i.id GROUP BY 1")}


def test_a_daemon_that_starts_takes_over(db, sandbox, config, daemon):
    fill(db, 600)
    config.change({"delivery": {"rate": "150/s", "burst": 30}})
    with backfill(config, "--all", "--name", "h", "--ahead", "50") as run:
        wait_until(lambda: len(sandbox.journal()) > 20 and kinds(db) == {"backfill": 64}, "it delivers")
        daemon.start()
        wait_until(lambda: kinds(db) == {"backfill": 0, "run": 64}, "the daemon has all slots", 20)
        by_daemon = len(sandbox.journal())
        assert by_daemon < 600
        run.ended(0)
    assert daemon.events("update.done")
    assert sent(sandbox) == dict.fromkeys(ids(*range(1, 601)), 1)
    assert run_of(db, "h")["done"] == 600


def test_a_daemon_that_is_killed_is_stood_in_for(db, sandbox, config, daemon):
    fill(db, 300)
    config.change(harness.merged(SHORT, {"delivery": {"rate": "60/s", "burst": 20}}))
    daemon.start()
    with backfill(config, "--all", "--name", "s", "--ahead", "50") as run:
        wait_until(lambda: len(sandbox.journal()) > 20, "the daemon delivers")
        assert kinds(db) == {"backfill": 0, "run": 64}
        daemon.kill()
        wait_until(lambda: kinds(db).get("backfill") == 64, "the backfill delivers", 20)
        run.stop()


def test_status_shows_it(db, sandbox, config):
    fill(db, 300)
    config.change({"delivery": {"rate": "60/s", "burst": 10}})
    with backfill(config, "--all", "--name", "st", "--ahead", "50") as run:
        def shown():
            return json.loads(config.command("status", "--json").stdout)["backfills"]
        found = wait_until(lambda: [b for b in shown() if (b["settled_per_s"] or 0) > 0 and b["left_s"]], "it is shown")[0]
        assert found["name"] == "st" and found["state"] == "running" and found["total"] == 300
        text = config.command("status").stdout
        assert re.search(r"^backfills +st +running .* left .* of 300$", text, re.M), text
        run.stop()
    assert [b["state"] for b in shown()] == ["paused"]


# ---- what is shown ---------------------------------------------------------------------------

def test_a_dry_run_writes_nothing(db, sandbox, config, tmp_path):
    fill(db, 150)
    config.change({"delivery": {"rate": "50/s"}})
    result = done(config, "--all", "--dry-run", "--name", "d")
    assert result.stdout.startswith("150 customers; 3.0 s at 50 a second")
    assert result.stdout.count("POST ") == 3 and '"email": "***"' in result.stdout
    assert "@example.com" not in result.stdout and harness.KEY not in result.stdout
    assert "75 customers" in done(config, "--where", "crm_id <= 75", "--dry-run", "--rate", "5/s").stdout
    assert "15 s at 5 a second" in done(config, "--all", "--limit", "75", "--dry-run", "--rate", "5/s").stdout
    text = done(config, "--customers", "-", "--dry-run", stdin=customer_id(7) + "\n" + customer_id(999)).stdout
    assert "2 customers" in text and text.count("POST ") == 1 and "source.missing" in text
    assert db.rows() == [] and db.query("SELECT FROM imprint_sync.backfill_run") == [] and not sandbox.journal()


def test_events_where_there_is_no_terminal(db, sandbox, config):
    fill(db, 1300)
    config.change({"delivery": {"rate": "100/s", "burst": 10}})
    with backfill(config, "--all", "--name", "e", "--ahead", "100") as run:
        progress = wait_until(lambda: run.events("backfill.progress"), "an event", 20)[0]
        assert progress["name"] == "e" and progress["total"] == "1300" and 500 < int(progress["done"]) < 1300
        assert float(progress["rate"]) > 50 and int(progress["left_s"]) < 30
        assert run.stop() == 75
        assert run.events("backfill.start")[0]["scope"] == "all"
        end = run.events("backfill.done")[0]
        assert (end["state"], end["reason"]) == ("paused", "stopped")
        assert "\x1b" not in run.out() and "\r" not in run.out()


def read_terminal(master, until, timeout=harness.PATIENCE_S):
    text = ""

    def there():
        nonlocal text
        with contextlib.suppress(OSError):
            while select.select([master], [], [], 0)[0]:
                got = os.read(master, 65536).decode("utf-8", "replace")
                if not got:
                    break
                text += got
        return until(text)

    wait_until(there, f"on the terminal: {text[-2000:]!r}", timeout)
    return text


def in_terminal(config, width, *arguments, **variables):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    environment = {**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", **variables}
    environment.pop("COLUMNS", None)
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", harness.imprint_sync(), "-c", str(config.file), "backfill", *arguments],
        stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True)
    os.close(slave)
    return master, process


LINE = re.compile(r"\r([^\r\n\x1b]*(?:\x1b\[[0-9;]*m[^\r\n\x1b]*)*)\x1b\[K")


def plain(line):
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


def test_a_bar_on_a_terminal(db, sandbox, config):
    fill(db, 400)
    db.execute("UPDATE crm.customers SET email = 'none' WHERE id = 2; DELETE FROM imprint_sync.outbox")
    config.change({"delivery": {"rate": "100/s", "burst": 10}})
    master, process = in_terminal(config, 100, "--all", "--name", "t", "--ahead", "50")
    try:
        text = read_terminal(master, lambda t: "left" in t and "1 dead" in plain(t))
        assert "Ctrl-C pauses it" in text and "\x1b[1;31m1 dead" in text
        assert "daemon.start" not in text and "update.dead" in text  # only what is wrong, above the bar
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
        os.kill(process.pid, signal.SIGWINCH)
        text += read_terminal(master, lambda t: any(len(plain(l)) > 10 for l in LINE.findall(t)))
        # The terminal wrapped the bar: all of it goes.
        assert re.search(r"\r\x1b\[2A\x1b\[J *\d+\.\d % ", text), text[-500:]
        process.send_signal(signal.SIGINT)
        rest = read_terminal(master, lambda t: process.poll() is not None and "--name t" in t)
    finally:
        process.kill()
        process.wait()
        os.close(master)
    bars = [plain(line) for line in LINE.findall(text) if line]
    wide = [bar for bar in bars if "left" in bar][0]
    assert re.match(r"t +\d+\.\d % [█░]+ [\d,]+ of 400  \d+\.\d/s  .* left  [01] dead  0 unchanged$", wide), wide
    assert all(len(bar) <= 100 for bar in bars)
    assert all(len(plain(line)) <= 40 for line in LINE.findall(rest)), rest
    assert "backfill t: paused" in rest
    assert len({line for line in bars}) > 3  # redrawn in place


def test_the_bar_of_a_long_name_and_the_list_on_80_columns(db, sandbox, config):
    fill(db, 400)
    config.change({"delivery": {"rate": "100/s", "burst": 10}})
    master, process = in_terminal(config, 80, "--all", "--name", "everybody-in-the-year-2026", "--ahead", "50")
    try:
        text = read_terminal(master, lambda t: "left" in t)
        process.send_signal(signal.SIGINT)
        read_terminal(master, lambda t: process.poll() is not None)
    finally:
        process.kill()
        process.wait()
        os.close(master)
    bar = [plain(line) for line in LINE.findall(text) if "left" in line][0]
    assert re.match(r" *\d+\.\d % [█░]{10,} [\d,]+ of 400  .* left  0 dead  0 unchanged$", bar), bar
    assert len(bar) <= 77  # ^C stands behind it

    master, process = in_terminal(config, 80, "list")
    try:
        text = read_terminal(master, lambda t: process.poll() is not None and "\n    " in t)
    finally:
        process.kill()
        os.close(master)
    lines = text.replace("\r", "").split("\n")
    assert lines[0].startswith("name  ") and lines[1].startswith("    ") and "begun" in lines[1]
    assert lines[2].startswith("everybody-in-the-year-2026  all  ") and lines[3].startswith("    ")
    assert lines[3].index("Z") > 0 and all(len(line) <= 80 for line in lines), lines
    assert len(done(config, "list").stdout.strip().split("\n")) == 2


def test_no_color(db, sandbox, config):
    fill(db, 1)
    db.execute("UPDATE crm.customers SET email = 'none'; DELETE FROM imprint_sync.outbox")
    master, process = in_terminal(config, 80, "--all", "--name", "t", NO_COLOR="1")
    try:
        text = read_terminal(master, lambda t: process.poll() is not None and "1 dead: mapping email" in t)
    finally:
        process.kill()
        os.close(master)
    assert process.wait() == 65 and "\x1b[1;31m" not in text and "100.0 %" in text

"""`status`: what it says of a queue, its daemons and what is stuck; as text, as JSON and redrawn."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

import harness
from harness import email, new_customer, wait_until


def status(config):
    done = config.command("status", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def keys(value):
    """The names of all members, at any depth."""
    if isinstance(value, list):
        return set().union(*map(keys, value))
    return set(value).union(*map(keys, value.values())) if isinstance(value, dict) else set()


def fill(db, count, **columns):
    """Application rows of as many customers."""
    names = "".join(f", {name}" for name in columns)
    values = "".join(f", {value}" for value in columns.values())
    db.execute(f"INSERT INTO imprint_sync.outbox (customer_id, payload{names})"
               f" SELECT 'c' || n, '{{\"email\": \"a@example.com\"}}'{values}"
               f" FROM generate_series(1, {count}) AS n")


# ---- without a daemon ------------------------------------------------------------------------

def test_no_daemon_and_an_empty_queue(db, config):
    document = status(config)
    assert document["state"] == "no_daemon" and document["instances"] == []
    assert document["sending"] is None and document["api"]["state"] == "unknown"
    assert document["stuck"] == [] and document["attention"] == []
    assert document["queue"]["live"]["pending"] == 0 and document["dead"]["rows"] == 0
    assert {t["table"] for t in document["watches"]["tables"]} == {
        "crm.customers", "crm.orders", "crm.addresses"}
    text = config.command("status")
    assert text.returncode == 0 and text.stdout.startswith("NO DAEMON   no daemon is running; 0 due")
    assert "\x1b" not in text.stdout


def test_counts_by_state_and_lane(db, config):
    fill(db, 3)
    fill(db, 2, due_at="now() + interval '1 hour'", attempts=4)
    fill(db, 5, priority=1, created_at="now() - interval '1 hour'", due_at="now() - interval '1 hour'")
    db.add(new_customer())
    queue = status(config)["queue"]
    live, backfill = queue["live"], queue["backfill"]
    assert (live["pending"], live["due"], live["retrying"], live["thin"]) == (6, 4, 2, 1)
    assert live["exact"] and live["late_s"] < 60
    assert (backfill["pending"], backfill["due"]) == (5, 5)
    assert backfill["late_s"] == pytest.approx(3600, abs=60) == backfill["oldest_s"]
    assert any("2 tried before" in line for line in status(config)["stuck"])


def test_why_rows_are_dead(db, config):
    fill(db, 3, status="'dead'", settled_at="now()", http_status=400,
         error="'INVALID_REQUEST_ERROR email: jane@example.com is none'")
    fill(db, 1, status="'dead'", settled_at="now() - interval '2 days'",
         error="'phone: column mobile: is no number'")
    document = status(config)
    assert document["dead"]["rows"] == 4
    assert [(r["rows"], r["type"], r["params"]) for r in document["dead"]["reasons"]] == [
        (3, "INVALID_REQUEST_ERROR", ["email"]), (1, "mapping", ["phone"])]
    assert document["stuck"] == ["4 dead (INVALID_REQUEST_ERROR email 3, mapping phone 1)"]
    done = config.command("status")
    assert "jane@" not in done.stdout + json.dumps(document)
    assert re.search(r"\n +3 +400 +[\d.]+ s  INVALID_REQUEST_ERROR email\n", done.stdout)


def test_beyond_100_000_it_estimates(db, config):
    db.execute("SET session_replication_role = replica")
    fill(db, 125_000)
    fill(db, 20_000, priority=1)
    fill(db, 100_500, status="'dead'", settled_at="now()", error="'timeout'")
    queue = status(config)["queue"]
    assert not queue["live"]["exact"] and queue["backfill"]["exact"]
    assert queue["live"]["pending"] == pytest.approx(125_000, rel=0.05)
    assert queue["live"]["due"] == pytest.approx(125_000, rel=0.05)
    assert queue["backfill"]["pending"] == 20_000
    dead = status(config)["dead"]
    assert dead["rows"] == 100_000 and not dead["exact"]
    assert "~" in config.command("status").stdout.split("\n")[0]


def test_who_holds_vacuum_back(db, config):
    with contextlib.closing(db.connect()) as holder, holder.cursor() as cursor:
        cursor.execute("SET application_name = 'nightly\x1b[31m report'")
        holder.commit()
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
        blocker = status(config)["vacuum"]["blocker"]
        # Of another role's session: the daemon's own role could not see more than the pid.
        assert (blocker["kind"], blocker["pid"], blocker["name"]) == ("session", pid, "postgres")
        assert blocker["state"] == "idle in transaction" and blocker["age_s"] >= 0
        text = config.command("status").stdout
        assert f"by session {pid} (postgres, nightly" in text and "\x1b" not in text
    wait_until(lambda: status(config)["vacuum"]["blocker"] is None, "the transaction is over")


def test_watches_that_fail_or_are_lost(db, config):
    db.execute("ALTER TABLE crm.orders DISABLE TRIGGER USER")
    db.execute("INSERT INTO imprint_sync.watch_error (watched_name, trigger_name, sqlstate)"
               " VALUES ('crm.customers', 'x', '53100'), ('crm.customers', 'x', '53100')")
    document = status(config)
    assert {p["table"] for p in document["watches"]["problems"]} == {"crm.orders"}
    assert [(e["table"], e["sqlstate"], e["calls"]) for e in document["watches"]["errors"]] == [
        ("crm.customers", "53100", 2)]
    assert any("crm.orders: trigger disabled" in line for line in document["attention"])
    assert any("crm.customers: failed triggers: 2 (SQLSTATE 53100)" in line for line in document["attention"])


def test_a_database_that_is_away_or_has_no_schema(db, config, cluster):
    config.change({"database": {"dsn": "host=/nonexistent dbname=crm"}})
    done = config.command("status")
    assert done.returncode == 69 and done.stdout == "" and "cannot be reached" in done.stderr
    config.change({"database": {"dsn": cluster.dsn("postgres")}})
    done = config.command("status")
    assert done.returncode == 78 and "migrate" in done.stderr
    db.execute("DELETE FROM imprint_sync.schema_version WHERE version > 1")
    config.change({"database": {"dsn": db.dsn()}})
    done = config.command("status", "--json")
    assert done.returncode == 78 and "version 1" in done.stderr


def test_the_stats_line_knows_of_it_too(db, config, daemon):
    with contextlib.closing(db.connect()) as holder, holder.cursor() as cursor:
        cursor.execute("SELECT txid_current()")
        daemon.start()
        wait_until(lambda: any(int(e["xmin_age_s"]) >= 1 for e in daemon.events("stats")), "it is seen")


def test_instances_of_long_ago_are_left_out(db, config):
    for name, age in (("a", "2 hours"), ("b", "2 days"), ("c", "2 days")):
        db.execute("SELECT imprint_sync.heartbeat(%s, 'h', 7, 'run', '1', true, '{}', '{}', %s, '{0}', '{0}', '{}',"
                   " '{}')", name, "{5}" if name == "c" else "{}")
        db.execute("UPDATE imprint_sync.instance SET seen_at = now() - %s::interval WHERE id = %s", age, name)
    document = status(config)
    assert {i["id"] for i in document["instances"]} == {"a", "c"} and document["state"] == "no_daemon"
    assert any("instance h:7 still holds 1 slots, but was last seen 2 d 0 h ago" in line
               for line in document["attention"])


# ---- with daemons ----------------------------------------------------------------------------

def test_a_daemon_that_keeps_up(db, config, daemon):
    daemon.start()
    for _ in range(20):
        customer = new_customer()
        db.add(customer, email(customer))
    db.wait_drained()
    document = wait_until(lambda: (d := status(config))["sending"] and d, "it reports")
    assert document["state"] == "keeping_up" and document["api"]["state"] == "open"
    instance, = document["instances"]
    assert instance["alive"] and instance["slots"] == 64 and instance["slot_ranges"] == "0-63"
    assert instance["pid"] == daemon.process.pid and instance["kind"] == "run"
    assert instance["stats"]["ok"] == 20 and instance["stats"]["pool"] == "open"
    sending = document["sending"]
    assert sending["limited_by"] == "nothing" and sending["rate_limit_per_s"] == 1000
    assert sending["history_per_s"][-1] == sending["sent_per_s"] and sending["workers"] == 16
    assert 0 < sending["p50_ms"] <= sending["p99_ms"] and sending["lag_p50_ms"] > 0
    assert sum(sending["history_per_s"]) * sending["sample_s"] == pytest.approx(20, rel=0.2)
    assert config.command("status").stdout.startswith("KEEPING UP  ")
    # The manual has every member that there is.
    manual = (harness.TOP / "README.md").read_text().split("`status --json` is one object")[1]
    manual = set(re.findall(r"[a-z_0-9]+", " ".join(re.findall(r"`[^`\n]+`", manual.split("**Dead rows**")[0]))))
    assert keys(document) - keys(instance["stats"]) - manual - {"table", "key", "source"} == set()


@pytest.mark.parametrize("changes, faults, limit", [
    ({"delivery": {"rate": "20/s", "burst": 2}}, [], "rate"),
    ({"delivery": {"workers": 2}}, ["delay=200"], "workers"),
])
def test_what_limits_it(db, sandbox, config, daemon, changes, faults, limit):
    config.change(changes)
    sandbox.faults(*faults)
    fill(db, 2000, due_at="now() - interval '2 minutes'")
    daemon.start()
    document = wait_until(lambda: (d := status(config))["sending"] and d, "it reports")
    assert document["sending"]["limited_by"] == limit
    assert document["state"] == "behind" and document["queue"]["live"]["late_s"] > 100
    first = config.command("status").stdout.split("\n")[0]
    assert first.startswith("BEHIND ") and "to go; limited by the " + limit in first


def test_an_api_that_is_down(db, sandbox, config, daemon):
    sandbox.faults("status=500")
    fill(db, 50)
    daemon.start()
    document = wait_until(lambda: (d := status(config))["api"]["state"] == "down" and d, "it says so")
    assert document["state"] == "stopped" and document["api"]["for_s"] >= 0
    assert document["sending"]["limited_by"] == "api"
    assert any("sends nothing: down" in line for line in document["attention"])
    assert re.match(r"STOPPED     down for [\d.]+ s; \d+ due", config.command("status").stdout)


def test_a_source_that_cannot_be_read(db, config, daemon):
    config.change({"source": {"relation": "crm.gone"}})
    daemon.start()
    db.add(new_customer())
    document = wait_until(lambda: (d := status(config))["sending"] and d, "it reports")
    assert document["sending"]["limited_by"] == "source"
    assert document["stuck"] == ["1 waiting for a source that cannot be read"]


def test_standby_and_a_daemon_that_died(db, config, daemon, tmp_path):
    config.change({"outbox": {"lease": "6s"}})
    daemon.start()
    second_folder = tmp_path / "second"
    second_folder.mkdir()
    second = harness.Daemon(harness.Config(second_folder, config.tree))
    second.start()
    try:
        both = wait_until(lambda: len((d := status(config))["instances"]) == 2 and d, "both are there")
        assert sum(i["slots"] for i in both["instances"]) == 64
        assert all(i["alive"] for i in both["instances"]) and both["state"] == "keeping_up"
    finally:
        second.kill()
    # The other one strikes it off the list once its slots have moved.
    wait_until(lambda: len(status(config)["instances"]) == 1, "it is struck off")
    daemon.kill()
    gone = wait_until(lambda: [i for i in status(config)["instances"] if not i["alive"]], "it is missed")
    assert len(gone) == 1 and gone[0]["slots"] == 64
    assert " gone" in config.command("status").stdout


# ---- on a terminal ---------------------------------------------------------------------------

class Terminal:
    """`status --watch` in a pseudo-terminal, and a screen that draws what it writes."""

    def __init__(self, config, rows, columns, **environment):
        self.master, slave = pty.openpty()
        self.rows, self.columns, self.raw = rows, columns, b""
        self.resize(rows, columns)
        self.process = subprocess.Popen(
            [harness.imprint_sync(), "-c", str(config.file), "status", "--watch"], stdin=slave,
            stdout=slave, stderr=subprocess.PIPE, start_new_session=True,
            env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", **environment},
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)

    def resize(self, rows, columns):
        self.rows, self.columns = rows, columns
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self):
        while select.select([self.master], [], [], 0)[0]:
            try:
                data = os.read(self.master, 65536)
            except OSError:  # the other side is closed
                return
            if not data:
                return
            self.raw += data

    def page(self):
        """The lines of the last complete page."""
        self.read()
        pages = self.raw.decode("utf-8", "replace").split("\x1b[H")[1:]
        done = [p for p in pages if "\x1b[J" in p]
        return done[-1].split("\x1b[J")[0].split("\r\n") if done else None

    def wait_page(self, condition, what):
        return wait_until(lambda: (page := self.page()) and condition(page) and page, what)

    def key(self, byte):
        os.write(self.master, byte)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=30)
        os.close(self.master)


@pytest.fixture
def terminal(config):
    opened = []

    def start(rows, columns, **environment):
        opened.append(Terminal(config, rows, columns, **environment))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def plain(line):
    return re.sub(r"\x1b\[[0-9;]*[mK]", "", line)


def busy(db):
    """More to show than fits a small terminal."""
    for n in range(12):
        fill(db, 2 + n, status="'dead'", settled_at="now()", http_status=400,
             error=f"'INVALID_REQUEST_ERROR field_{n}: m'")
    for n in range(8):
        db.execute("SELECT imprint_sync.heartbeat(%s, 'host-with-a-very-long-name-' || %s, 7, 'run', '0.1.0',"
                   " true, '{}', '{}', '{}', '{}', '{}', '{}', '{}')", f"i{n}", n)
    fill(db, 30)


def test_watch_fits_the_terminal_and_follows_its_size(db, config, terminal):
    busy(db)
    screen = terminal(24, 80)
    page = screen.wait_page(lambda p: True, "a page is drawn")
    assert 10 < len(page) <= 24 and max(len(plain(line)) for line in page) <= 80
    assert plain(page[0]).startswith("STOPPED ")
    assert [plain(line)[:11].strip() for line in page[1:3]] == ["stuck", "look at"]
    assert any(re.search(r"\.\.\. and \d+ more", line) for line in page)
    screen.resize(50, 200)
    page = screen.wait_page(lambda p: len(p) > 24, "it is drawn larger")
    assert len(page) <= 50 and max(len(plain(line)) for line in page) <= 200
    assert sum("host-with-a-very-long-name-" in line for line in page) == 8
    screen.resize(3, 20)
    page = screen.wait_page(lambda p: len(p) == 3, "it is drawn smaller")
    assert max(len(plain(line)) for line in page) <= 20


def test_watch_shows_what_changes(db, config, terminal):
    screen = terminal(24, 80)
    screen.wait_page(lambda p: "0 due" in p[0], "nothing is due")
    fill(db, 7)
    screen.wait_page(lambda p: "7 due" in p[0], "seven are due")


@pytest.mark.parametrize("how", ["key", "term"])
def test_watch_leaves_the_terminal_as_it_was(db, config, terminal, how):
    screen = terminal(24, 80)
    screen.wait_page(lambda p: True, "a page is drawn")
    assert screen.raw.startswith(b"\x1b[?1049h\x1b[?25l")
    if how == "key":
        screen.key(b"\x03")
    else:
        screen.process.send_signal(signal.SIGTERM)
    assert screen.process.wait(harness.PATIENCE_S) == 0
    screen.read()
    assert screen.raw.endswith(b"\x1b[?25h\x1b[?1049l")
    assert screen.process.stderr.read() == b""


def test_color_only_where_it_is_wanted(db, config, terminal):
    colored = terminal(24, 80).wait_page(lambda p: True, "a page is drawn")
    assert "\x1b[1;31mNO DAEMON" in colored[0]
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        page = terminal(24, 80, **environment).wait_page(lambda p: True, "a page is drawn")
        assert "\x1b[1" not in "".join(page)


def test_the_sparkline_of_the_rate(db, config, terminal):
    db.execute("SELECT imprint_sync.heartbeat('A', 'h', 7, 'run', '1', true, '{}', '{}', '{0,1,2,7}',"
               " '{0,0,0,0}', '{0,0,0,0}', '{}', '{}')")
    db.execute("""SELECT imprint_sync.report('A', '{"sample_s": 5, "sent_per_s": [0, 1, 25, 50],
        "pool": "open", "limited_by": "rate", "rate_per_s": 50, "rate_limit_per_s": 50}')""")
    page = terminal(24, 80).wait_page(lambda p: len(p) > 10, "a page is drawn")
    assert any(plain(line) == "  5 minutes ▁▂▅█" for line in page)
    assert any("open 0-2,7" in line for line in page)
    page = terminal(24, 80, LC_ALL="C").wait_page(lambda p: len(p) > 10, "a page is drawn")
    assert any(plain(line) == "  5 minutes _.=#" for line in page)


def test_watch_outlives_the_database(terminal, tmp_path):
    with harness.Cluster().running() as cluster:
        db = cluster.new_database()
        config = harness.Config(tmp_path, {"database": {"dsn": db.dsn()}})
        screen = Terminal(config, 24, 80)
        try:
            screen.wait_page(lambda p: plain(p[0]).startswith("NO DAEMON"), "a page is drawn")
            cluster.stop()
            screen.wait_page(lambda p: plain(p[0]).startswith("NO DATABASE"), "it is missed")
            cluster.start()
            screen.wait_page(lambda p: plain(p[0]).startswith("NO DAEMON"), "it is back")
            assert screen.process.poll() is None
        finally:
            screen.close()
        db.reconnect()
        db.drop()


def test_watch_needs_a_terminal(config):
    assert config.command("status", "--watch").returncode == 64
    assert config.command("status", "--watch", "--json").returncode == 64

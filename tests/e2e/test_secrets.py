"""Whatever the program writes, in a run with every fault there is, holds no value of any customer and
no secret: each value of each row is a word of its own, and all that was written is searched for them.

Two places may quote values: the column `error` of a row that the API refused (with the API's words,
but never the key), and what `render` and `dead show --reveal` are asked to show."""

import base64
import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import sys

import pytest

import harness
from harness import new_customer
from test_journal import own_mounts

PASSWORD = "zq-db-password-81c5"
# A bearer token as long as those of other APIs: what holds it grows several times.
KEY = "zq-api-key-" + "77aa" * 60
MERCHANT = "zq-merchant-4d1f"


class Words:
    """Values that occur nowhere by chance."""

    def __init__(self):
        self.count = 0
        self.made = []

    def word(self, field):
        self.count += 1
        self.made.append(f"zq{self.count:05d}{field}")
        return self.made[-1]

    def number(self, digits):
        self.count += 1
        self.made.append(str(92 * 10 ** (digits - 2) + self.count * 37))
        return self.made[-1]

    def row(self):
        """A customer that can be sent."""
        digits = self.number(7)
        self.made.append(f"+1415{digits}")
        amount = self.number(8)
        self.made.append(f"{amount}.25")
        self.made.append(f"{amount}25")
        return {
            "email": f"{self.word('mail')}@example.com", "mobile": f"(415) {digits[:3]}-{digits[3:]}",
            "first_name": self.word("first"), "last_name": f"O'{self.word('last')}",
            "locale": "en_US", "tier": 2, "loyalty_id": int(self.number(12)),
            "joined_at": "2019-03-04T05:06:07.891Z", "ltv_currency": "USD",
            "lifetime_value": float(f"{amount}.25"), "order_count": int(self.number(9)),
            "ssn4": self.word("ssn4"), "date_of_birth": self.word("born"),
            "address": {"line1": f"{self.word('line1')} \"St\"", "line2": self.word("line2") + "\n\x07",
                        "city": self.word("city"), "state": self.word("state"),
                        "postal_code": self.word("zip"), "country": "USA"}}

    def broken(self, field):
        row = self.row()
        if field == "country":
            row["address"][field] = self.word(field)
        else:
            row[field] = self.word(field)
        return row

    def found_in(self, text):
        numbers = re.compile(r"(?<![\w.])(?:%s)(?![\w.])" %
                             "|".join(re.escape(m) for m in self.made if not m.startswith("zq")))
        return sorted(set(re.findall(r"zq\d{5}\w*", text)) | set(numbers.findall(text)))


BASIC = base64.b64encode(f"{KEY}:".encode()).decode()


def secrets_in(text):
    return [secret for secret in (KEY, KEY[:20], BASIC[:40], MERCHANT, PASSWORD, "Authorization: B")
            if secret in text]


BROKEN = ("email", "mobile", "locale", "ltv_currency", "joined_at", "lifetime_value", "order_count",
          "country")
# Each for a customer of its own; what the API says quotes that customer.
FAULTS = (
    "status=400,shape=1,type=%(name)s,param=%(mail)s,message=%(all)s",
    "status=400,shape=1,param=%(mail)s,message=%(all)s", "status=400,shape=2,message=%(all)s",
    "status=400,shape=3,message=%(all)s", "status=404,shape=1,message=%(all)s",
    "status=409,shape=1,message=%(all)s", "status=410,shape=1,message=%(all)s",
    "status=413,shape=1,message=%(all)s", "status=422,shape=1,type=%(mail)s,message=%(all)s",
    "count=1,status=408,message=%(all)s", "count=1,status=425,message=%(all)s",
    "count=2,status=500,shape=1,message=%(all)s", "count=1,status=502,shape=html,message=%(all)s",
    "count=1,reset", "count=1,hang", "count=1,cut", "count=1,other-id", "count=1,not-json",
    "count=1,huge", "count=1,empty",
    "count=1,status=500,header=X-Who: %(mail)s,header=Retry-After: %(name)s",
)
# These stop the sending, and another customer's update must get it going again.
PAUSES = (
    "count=1,status=400,shape=html,message=%(all)s", "count=1,status=401,message=%(all)s",
    "count=2,status=403,message=%(all)s", "count=1,redirect",
    "count=1,status=429,retry-after=1,message=%(all)s",
    "count=1,status=503,retry-after-date=1,message=%(all)s",
    "count=1,status=429,header=RateLimit-Reset: %(mail)s,message=%(all)s",
)


def fault_for(spec, customer, row, basic=False):
    words = {"mail": row["email"], "name": "it is " + row["first_name"],
             "all": " ".join(str(v) for v in (row["email"], row["first_name"], row["mobile"],
                                              row["address"]["line1"], row["loyalty_id"]))
                    + f" ssn4 {row['ssn4']} with key {KEY} of {MERCHANT}" + f" or {BASIC}" * basic}
    return f"customer={customer}," + spec % words


@pytest.fixture
def words():
    return Words()


@pytest.fixture
def people(db, sandbox, config, words):
    """A table as source; a view over it that fails for values of some rows; every fault."""
    db.execute(f"""
        ALTER ROLE sync_daemon PASSWORD '{PASSWORD}';
        CREATE TABLE crm.people (id text PRIMARY KEY, doc jsonb, amount text);
        CREATE VIEW crm.people_view AS
        SELECT id, doc->>'email' AS email, doc->>'mobile' AS mobile, doc->>'first_name' AS first_name,
               doc->>'last_name' AS last_name, doc->>'locale' AS locale, doc->'tier' AS tier,
               doc->'loyalty_id' AS loyalty_id, doc->>'joined_at' AS joined_at,
               doc->>'ltv_currency' AS ltv_currency, doc->'address' AS address,
               doc->>'order_count' AS order_count, doc->>'ssn4' AS ssn4,
               amount::numeric AS lifetime_value
          FROM crm.people;
        GRANT SELECT ON crm.people_view TO imprint_sync_daemon;
        SELECT imprint_sync.watch('crm.people_view', 'id', 'id', 'crm.people', 'id')""")
    password_file = config.folder / "db_password"
    password_file.write_text(PASSWORD + "\n")
    config.key_file.write_text(KEY + "\n")
    sandbox.keys(KEY)
    config.change({
        "database": {"dsn": db.cluster.tcp_dsn(db.name, "sync_daemon"),
                     "password_file": str(password_file)},
        "source": {"relation": "crm.people_view", "customer_id": "id", "updated_at": None},
        "imprint": {"timeout": "1s", "connect_timeout": "1s", "merchant_key": MERCHANT},
        "retry": {"base": "10ms", "cap": "50ms"}})


def add(db, row, thin):
    customer = new_customer()
    if thin:
        db.execute("INSERT INTO crm.people VALUES (%s, %s, %s)", customer, json.dumps(row),
                   str(row["lifetime_value"]))
    else:
        db.add(customer, row)
    return customer


def fill(db, sandbox, words, basic=False):
    """Application rows and source rows: broken ones, one for each fault, and a good one for each of
    those."""
    for thin in (False, True):
        for field in BROKEN:
            add(db, words.broken(field), thin)
    faults = []
    for number, spec in enumerate(FAULTS):
        row = words.row()
        faults.append(fault_for(spec, add(db, row, number % 2 == 1), row, basic))
        add(db, words.row(), number % 4 == 1)
    sandbox.faults(*faults)


def pause(db, sandbox, words):
    for spec in PAUSES:
        row = words.row()
        with db.connect() as connection, connection.cursor() as cursor:  # both at once
            customers = [new_customer(), new_customer()]
            sandbox.faults(fault_for(spec, customers[0], row))
            for customer, payload in zip(customers, (row, words.row())):
                cursor.execute("INSERT INTO imprint_sync.outbox (customer_id, payload)"
                               " VALUES (%s, %s)", (customer, json.dumps(payload)))
        db.wait_drained()


def state_tables(db):
    """All that the program wrote into the database but what the API said of a row."""
    text = []
    for table in db.query("SELECT c.oid::regclass::text AS name FROM pg_class c WHERE relkind = 'r'"
                          " AND relnamespace = 'imprint_sync'::regnamespace"):
        for row in db.query(f"SELECT * FROM {table['name']}"):
            if table["name"] == "imprint_sync.outbox":
                row.pop("payload")
                if row["http_status"] is not None:
                    row.pop("error")
            text.append(f"{table['name']} {row}")
    text += [str(row) for row in db.query("SELECT application_name FROM pg_stat_activity")]
    return "\n".join(text)


def commands(db, config, log_file):
    """{command: what it wrote} of all that show or do something."""
    dead = [str(r["id"]) for r in db.rows() if r["status"] == "dead"]
    assert len(dead) > 20
    lines = [
        ["status"], ["status", "--json"], ["dead", "list"], ["dead", "list", "--json"],
        ["dead", "list", "--each", "--all"], ["dead", "list", "--each", "--json"],
        *(["dead", "show", "--id", row] for row in dead),
        *(["dead", "show", "--json", "--id", row] for row in dead[::4]),
        ["check"], ["check", "--api", "--json"], ["check", "--print"], ["report", str(log_file)],
        ["backfill", "--all", "--dry-run"], ["backfill", "--all", "--force", "--name", "all"],
        ["backfill", "list"], ["backfill", "list", "--json"], ["prune"],
        ["dead", "retry", "--all", "--dry-run"], ["dead", "retry", "--id", dead[0]],
        ["dead", "discard", "--id", dead[1], "--yes"],
    ]
    written = {}
    for line in lines:
        run = config.command(*line)
        # 1: prune and backfill where there is nothing, 65: rows that are dead
        assert run.returncode in (0, 65), (line, run.returncode, run.stderr[-500:])
        written[" ".join(line)] = run.stdout + run.stderr
    return written


def check_silent(words, written):
    for name, text in written.items():
        assert text, f"{name} wrote nothing"
        assert words.found_in(text) == [], f"{name}: {text[:3000]}"
        assert secrets_in(text) == [], name


@pytest.mark.parametrize("log, auth", [("logfmt", "bearer"), ("json", "basic")])
def test_nothing_that_is_written_holds_a_value_or_a_secret(
        db, sandbox, config, daemon, people, words, log, auth):
    config.change({"log": {"format": log}, "imprint": {"auth": auth}})
    fill(db, sandbox, words, auth == "basic")
    daemon.start()
    db.wait_drained()
    if log == "logfmt":
        pause(db, sandbox, words)
    process = daemon.process.pid
    written = commands(db, config, daemon.log_file)
    db.wait_drained()
    with open(f"/proc/{process}/cmdline", encoding="utf-8") as file:
        written["arguments"] = file.read()
    with contextlib.suppress(PermissionError):  # only root's may look
        with open(f"/proc/{process}/environ", encoding="utf-8", errors="replace") as file:
            written["environment"] = re.sub(r"PYTEST_CURRENT_TEST=\S+", "", file.read())
    written["tables"] = state_tables(db)
    # What was searched for is there, where it may be.
    errors = [row["error"] for row in db.rows() if row["http_status"] and row["error"]]
    assert any(words.found_in(error) for error in errors)
    assert any("with key (key) of (key)" + " or (key)" * (auth == "basic") in error for error in errors)
    assert secrets_in("\n".join(errors)) == []
    reveal = [config.command("dead", "show", "--reveal", "--id", str(r["id"])).stdout
              for r in db.rows() if r["status"] == "dead" and not r["thin"]][:3]
    assert words.found_in("".join(reveal))
    assert secrets_in(config.command("render", "--customer", db.value(
        "SELECT id FROM crm.people WHERE amount ~ '^[0-9.]+$' LIMIT 1")).stdout) == []
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_event("daemon.reload")
    daemon.stop()
    written["log"] = daemon.log()
    for fault in ("update.retry", "update.dead",
                  *(["api.unauthorized", "api.throttled"] if log == "logfmt" else [])):
        assert daemon.events(fault), f"no {fault}: the run was too easy"
    check_silent(words, written)


# Keeps all that reaches the journal's socket. Argument 1: the file for it; the rest: the program.
JOURNALD = r'''
import os, socket, subprocess, sys, threading
os.makedirs("/run/systemd/journal")
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind("/run/systemd/journal/socket")
def keep():
    with open(sys.argv[1], "wb") as file:
        while data := listener.recv(1 << 20):
            file.write(data)
reader = threading.Thread(target=keep)
reader.start()
run = subprocess.run(sys.argv[2:], stdin=subprocess.DEVNULL, timeout=60)
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"", "/run/systemd/journal/socket")
reader.join()
sys.exit(run.returncode)
'''


def test_nor_does_the_journal(db, sandbox, config, people, words):
    mounts = own_mounts()
    if mounts is None:
        pytest.skip("this machine does not let us have mounts of our own")
    config.change({"log": {"format": "journal"}})
    fill(db, sandbox, words)
    kept = config.folder / "journal-entries"
    run = subprocess.run(
        [*mounts, sys.executable, "-c", JOURNALD, str(kept), harness.imprint_sync(), "-c",
         str(config.file), "run", "--once"], capture_output=True, text=True, timeout=90, check=False)
    assert run.returncode == 65, run.stderr
    text = kept.read_text(errors="replace")
    assert "EVENT=update.dead" in text
    check_silent(words, {"journal": text})
    assert words.found_in(run.stderr) == [] and secrets_in(run.stderr) == []


# ---- memory ------------------------------------------------------------------------------------

@pytest.fixture
def plain_memory():
    if harness.is_sanitized():
        pytest.skip("a sanitizer build")


def memory_of(process):
    """All of its memory that it may write; None where this user may not look."""
    parts = []
    try:
        with open(f"/proc/{process}/maps", encoding="ascii") as maps, \
             open(f"/proc/{process}/mem", "rb", 0) as memory:
            for line in maps:
                start, end, mode = re.match(r"(\w+)-(\w+) (\S+)", line).groups()
                if mode.startswith("rw"):
                    memory.seek(int(start, 16))
                    with contextlib.suppress(OSError):
                        parts.append(memory.read(int(end, 16) - int(start, 16)))
    except PermissionError:
        return None
    return b"".join(parts)


@pytest.mark.parametrize("auth", ["bearer", "basic"])
def test_a_key_that_is_replaced_is_wiped(db, sandbox, config, daemon, monkeypatch, auth,
                                          plain_memory):
    """No copy of it is left, neither as it was read nor as a header."""
    monkeypatch.setenv("IMPRINT_SYNC_DUMPABLE", "1")
    old, new = ("".join(f"{n * factor % 9973:04d}" for n in range(100)) for factor in (37, 101))
    config.key_file.write_text(old + "\n")
    config.change({"imprint": {"auth": auth}})
    daemon.start()
    memory = memory_of(daemon.process.pid)
    if memory is None:
        pytest.skip("this machine does not let us read the memory of our own child")
    assert old.encode() in memory
    config.key_file.write_text(new + "\n")
    daemon.wait_event("api.key", reason="the file holds another key, which is used from now on")
    memory = memory_of(daemon.process.pid)
    assert new.encode() in memory
    for start in range(0, len(old), 24):  # parts, since what is freed is partly overwritten
        part = old[start:start + 24].encode()
        assert part not in memory, f"what stood at {start}"
        encoded = base64.b64encode(part)
        assert encoded not in memory, f"base64 of what stood at {start}"


def ends_with_core(daemon):
    process = daemon.process
    os.kill(process.pid, signal.SIGSEGV)
    status = os.waitpid(process.pid, 0)[1]
    process.returncode = -signal.SIGSEGV  # reaped here
    daemon.process = None
    assert os.WTERMSIG(status) == signal.SIGSEGV
    return os.WCOREDUMP(status)


def test_a_crash_leaves_no_core_unless_asked(db, sandbox, config, daemon, monkeypatch, plain_memory):
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("this machine allows no core dumps")
    daemon.wrapper = ["prlimit", f"--core={resource.getrlimit(resource.RLIMIT_CORE)[1]}", "--"]
    monkeypatch.chdir(config.folder)
    monkeypatch.setenv("IMPRINT_SYNC_DUMPABLE", "1")
    daemon.start()
    if not ends_with_core(daemon):
        pytest.skip("this machine keeps no core dumps")
    for core in config.folder.glob("core*"):
        core.unlink()
    for value in ("0", "", None):
        if value is None:
            monkeypatch.delenv("IMPRINT_SYNC_DUMPABLE")
        else:
            monkeypatch.setenv("IMPRINT_SYNC_DUMPABLE", value)
        daemon.start()
        assert not ends_with_core(daemon), value
    assert list(config.folder.glob("core*")) == []
    assert "ended" not in daemon.log() and harness.KEY not in daemon.log()

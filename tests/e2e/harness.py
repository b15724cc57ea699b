"""What the end-to-end tests are run with: a private PostgreSQL, databases, the sandbox, the daemon.

Every process that is started here ends with this one, whatever happens to it.
"""

import contextlib
import copy
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request

import psycopg2
import psycopg2.extras
import yaml

TOP = pathlib.Path(__file__).resolve().parents[2]
KEY = "e2e-key-5f2c9a71"  # looked for in logs, so it must not stand there by chance
SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error:|UndefinedBehavior")

# Long enough for a sanitizer build on a busy machine: it is only ever waited out by a failure.
PATIENCE_S = 60


def program(name):
    """The path of a program under test: from the environment, or the newest build."""
    variable = name.upper().replace("-", "_")
    if os.environ.get(variable):
        return os.environ[variable]
    built = [p for p in (TOP / "build").glob(f"*/**/{name}") if p.is_file() and os.access(p, os.X_OK)]
    if not built:
        raise RuntimeError(f"no {name} in build/, and {variable} is not set")
    return str(max(built, key=lambda p: p.stat().st_mtime))


def imprint_sync():
    if os.environ.get("IMPRINT_VALGRIND"):
        return str(TOP / "tests/lib/valgrind")
    return program("imprint-sync")


def is_sanitized():
    """Whether it is a sanitizer build, which maps terabytes and handles its crashes itself."""
    names = subprocess.run(["nm", "--dynamic", program("imprint-sync")], capture_output=True, text=True,
                           check=True).stdout
    return re.search(r" \w __(asan|ubsan)_", names) is not None


def spawn(arguments, signal_name="TERM", **options):
    """A process that gets `signal_name` when this process ends."""
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", signal_name, *arguments], stdin=subprocess.DEVNULL, **options)


def free_port():
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until(condition, what, timeout=PATIENCE_S):
    """The first true value of condition()."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.02)


def merged(base, changes):
    """`base` with `changes` laid over it, member by member; None takes a member away."""
    result = copy.deepcopy(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict) and key != "mapping":
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


NUMBERS = itertools.count(1)


def new_customer():
    """An id that no other customer of this run has."""
    return f"{next(NUMBERS):08x}-0000-4000-8000-000000000000"


def email(customer):
    """An application row that suits any customer."""
    return {"email": f"c{customer[:8]}@example.com"}


class Cluster:
    """A private PostgreSQL with a template database that has the schema, the demo's CRM and roles."""

    def __init__(self, *settings):
        self.settings = settings
        # Below the temporary folder, which user postgres can enter, unlike pytest's own.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="imprint-sync-pg."))
        self.port = free_port()
        self.log_file = self.folder.parent / (self.folder.name + ".log")
        self.wrapper = []  # a command to start it with
        self.process = None
        self.count = 0

    def start(self):
        self.launch()
        wait_until(self.answers, "PostgreSQL starts")

    def launch(self):
        """Does not wait until it answers."""
        with open(self.log_file, "ab") as log:
            self.process = spawn(
                [*self.wrapper, str(TOP / "tests/lib/postgres"), str(self.folder), str(self.port),
                 *self.settings], "INT", stdout=log, stderr=log)

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(self.log_file.read_text(errors="replace")[-3000:])
        try:
            self.connect("postgres").close()
            return True
        except psycopg2.OperationalError:
            return False

    def stop(self, how=signal.SIGINT):
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def remove(self):
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.log_file.unlink(missing_ok=True)

    def dsn(self, database, user="postgres"):
        return f"host={self.folder} port={self.port} dbname={database} user={user}"

    def tcp_dsn(self, database, user="postgres"):
        return f"host=127.0.0.1 port={self.port} dbname={database} user={user}"

    def password(self):
        return (self.folder / "password").read_text()

    def connect(self, database, user="postgres"):
        connection = psycopg2.connect(self.dsn(database, user))
        connection.autocommit = True
        return connection

    def sql(self, database, statement):
        with contextlib.closing(self.connect(database)) as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def make_template(self):
        self.sql("postgres", "CREATE DATABASE sync_template")
        with tempfile.TemporaryDirectory() as folder:
            config = Config(pathlib.Path(folder), {"database": {"dsn": self.dsn("sync_template")}})
            run = config.command("migrate")
        assert run.returncode == 0, run.stderr
        self.sql("sync_template", (TOP / "tests/demo.d/crm.sql").read_text())
        self.sql("sync_template", """
            CREATE ROLE sync_daemon LOGIN IN ROLE imprint_sync_daemon;
            GRANT USAGE ON SCHEMA crm TO imprint_sync_daemon;
            GRANT SELECT ON crm.imprint_customers TO imprint_sync_daemon;
            SELECT imprint_sync.watch('crm.imprint_customers', 'crm_id', 'imprint_customer_id',
                                      'crm.customers', 'id');
            SELECT imprint_sync.watch('crm.imprint_customers', 'crm_id', 'imprint_customer_id',
                                      'crm.orders', 'customer_id');
            SELECT imprint_sync.watch('crm.imprint_customers', 'crm_id', 'imprint_customer_id',
                                      'crm.addresses', 'customer_id');""")

    @contextlib.contextmanager
    def running(self):
        """Started, with its template; gone afterwards."""
        try:
            self.start()
            self.make_template()
            yield self
        finally:
            self.remove()

    def new_database(self, template="sync_template"):
        self.count += 1
        name = f"test_{self.count}"
        self.sql("postgres", f"CREATE DATABASE {name} TEMPLATE {template}")
        return Database(self, name)


class Database:
    """One test's database, and a connection to it as superuser."""

    def __init__(self, cluster, name):
        self.cluster, self.name = cluster, name
        self.connection = cluster.connect(name)

    def dsn(self, user="sync_daemon"):
        return self.cluster.dsn(self.name, user)

    def connect(self):
        """Another connection, for a transaction of its own."""
        return psycopg2.connect(self.dsn("postgres"))

    def reconnect(self):
        self.connection = self.cluster.connect(self.name)

    def execute(self, statement, *values):
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values or None)

    def query(self, statement, *values):
        with self.connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.execute(statement, values or None)
            return [dict(row) for row in cursor.fetchall()]

    def value(self, statement, *values):
        return next(iter(self.query(statement, *values)[0].values()))

    def add(self, customer, payload=None, priority=0):
        """An application row, or a thin row without a payload; returns its id."""
        return self.value(
            "INSERT INTO imprint_sync.outbox (customer_id, payload, priority) VALUES (%s, %s, %s)"
            " RETURNING id", customer, None if payload is None else json.dumps(payload), priority)

    def rows(self, customer=None):
        """Outbox rows without their payloads, in order of id."""
        return self.query(
            "SELECT id, customer_id, status, attempts, http_status, error, due_at, created_at,"
            " settled_at, payload IS NULL AS thin FROM imprint_sync.outbox"
            " WHERE %s::text IS NULL OR lower(customer_id) = lower(%s) ORDER BY id",
            customer, customer)

    def row(self, row_id):
        return next(row for row in self.rows() if row["id"] == row_id)

    def pending(self):
        return self.value("SELECT count(*) FROM imprint_sync.outbox WHERE status = 'pending'")

    def wait_drained(self, timeout=PATIENCE_S):
        wait_until(lambda: self.pending() == 0, "the outbox is empty", timeout)

    def wait_settled(self, row_id, timeout=PATIENCE_S):
        wait_until(lambda: self.row(row_id)["status"] != "pending", f"row {row_id} settles", timeout)
        return self.row(row_id)

    def drop(self):
        self.connection.close()
        self.cluster.sql("postgres", f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")


class Sandbox:
    """The stand-in for the API, with its journal."""

    def __init__(self, folder, *options, tls=False, bodies=True):
        self.folder, self.options, self.tls, self.bodies = folder, list(options), tls, bodies
        self.journal_file = folder / "journal"
        self.log_file = folder / "sandbox.log"
        self.process = None
        self.port = 0

    def start(self):
        port_file = self.folder / "sandbox.port"
        port_file.unlink(missing_ok=True)
        arguments = [program("imprint-sandbox"), "--port", str(self.port), "--port-file",
                     str(port_file), "--journal", str(self.journal_file),
                     *["--journal-bodies"] * self.bodies, *self.options]
        if "--api-key" not in self.options:
            arguments += ["--api-key", KEY]
        if self.tls:
            arguments += ["--tls", "--cert", str(self.folder / "server.pem"),
                          "--cert-key", str(self.folder / "server-key.pem")]
            if not (self.folder / "ca.pem").exists():
                subprocess.run([arguments[0], "--make-cert", str(self.folder)], check=True)
        with open(self.log_file, "ab") as log:
            self.process = spawn(arguments, stdout=log, stderr=log)

        def listening():
            assert self.process.poll() is None, self.log_file.read_text(errors="replace")
            return port_file.exists() and port_file.read_text().strip()

        self.port = int(wait_until(listening, "the sandbox listens"))
        return self

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
            self.process = None
        text = self.log_file.read_text(errors="replace")
        assert not SANITIZER.search(text), text[-4000:]

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def control(self, method, path, body=None):
        request = urllib.request.Request(
            f"{self.url}/_sandbox/{path}", method=method,
            data=None if body is None else json.dumps(body).encode())
        trust = ssl.create_default_context(cafile=self.folder / "ca.pem") if self.tls else None
        with urllib.request.urlopen(request, timeout=30, context=trust) as answer:
            return json.load(answer)

    def faults(self, *specs):
        """From now on exactly these; none: no faults."""
        self.control("PUT", "faults", list(specs))

    def keys(self, *keys):
        self.control("PUT", "keys", list(keys))

    def customers(self):
        """{id in lower case: record} of those with an accepted update."""
        return {k.lower(): v for k, v in self.control("GET", "customers").items()}

    def state(self, customer):
        return self.customers().get(customer.lower(), {}).get("state")

    def journal(self, customer=None):
        """The requests so far, in the order in which they arrived."""
        entries = []
        if self.journal_file.exists():
            for line in self.journal_file.read_bytes().split(b"\n")[:-1]:
                entries.append(json.loads(line.decode("utf-8", "replace")))
        entries.sort(key=lambda e: e["start_ns"])
        return [e for e in entries if customer is None or e["customer"].lower() == customer.lower()]


class Config:
    """A configuration file in a folder of its own."""

    def __init__(self, folder, changes=None):
        self.folder = folder
        self.file = folder / "imprint-sync.yaml"
        self.key_file = folder / "api_key"
        self.key_file.write_text(KEY + "\n")
        mapping = yaml.safe_load((TOP / "tests/demo.d/mapping.yaml").read_text())["mapping"]
        self.tree = merged({
            "database": {"dsn": "host=/nonexistent dbname=none"},
            "source": {"relation": "crm.imprint_customers", "customer_id": "imprint_customer_id",
                       "updated_at": "updated_at"},
            "imprint": {"environment": "custom", "base_url": "http://127.0.0.1:9",
                        "api_key_file": str(self.key_file), "connect_timeout": "2s",
                        "timeout": "2s"},
            "delivery": {"rate": "1000/s", "burst": 100, "workers": 16, "drain_timeout": "20s"},
            "retry": {"base": "50ms", "cap": "500ms"},
            "outbox": {"poll_interval": "200ms", "lease": "20s"},
            "log": {"level": "debug", "stats_interval": "1s"},
            "mapping": mapping,
        }, changes or {})
        self.write()

    def change(self, changes):
        self.tree = merged(self.tree, changes)
        self.write()

    def write(self):
        self.file.write_text(yaml.safe_dump(self.tree, sort_keys=False, allow_unicode=True))

    def command(self, *arguments, stdin="", timeout=PATIENCE_S, check_sanitizer=True):
        """Runs a command to its end; .stdout, .stderr, .returncode."""
        run = subprocess.run(
            [imprint_sync(), "-c", str(self.file), *arguments], input=stdin, timeout=timeout,
            capture_output=True, encoding="utf-8", errors="replace", check=False)
        assert not check_sanitizer or not SANITIZER.search(run.stderr), run.stderr[-4000:]
        return run


LOGFMT_FIELD = re.compile(r' ([a-z0-9_]+)=("(?:[^"\\]|\\.)*"|\S*)')


def parse_line(line):
    """{ts, level, event, ...} of a log line in either format; None if it is no log line."""
    if line.startswith("{"):
        return json.loads(line)
    head = re.match(r"(\d{4}-\S+Z) (error|warning|info|debug) ([a-z_.]+)((?: .*)?)$", line)
    if head is None:
        return None
    event = {"ts": head[1], "level": head[2], "event": head[3]}
    for key, value in LOGFMT_FIELD.findall(head[4]):
        event[key] = json.loads(value) if value.startswith('"') else value
    return event


class Daemon:
    """`imprint-sync run` and its log."""

    def __init__(self, config):
        self.config = config
        self.log_file = config.folder / "daemon.log"
        self.wrapper = []  # a command to start it with
        self.process = None

    def start(self, *arguments, wait=True):
        before = len(self.events("daemon.ready"))
        with open(self.log_file, "ab") as log:
            self.process = spawn(
                [*self.wrapper, imprint_sync(), "-c", str(self.config.file), "run", *arguments],
                stdout=log, stderr=log)
        if wait:
            self.wait_event("daemon.ready", before + 1)
        return self

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def events(self, name=None, **fields):
        parsed = [parse_line(line) for line in self.log().split("\n")[:-1]]
        return [e for e in parsed if e is not None and (name is None or e["event"] == name)
                and all(str(e.get(k)) == str(v) for k, v in fields.items())]

    def wait_event(self, name, count=1, timeout=PATIENCE_S, **fields):
        def there():
            found = self.events(name, **fields)
            if len(found) >= count:
                return found
            if self.process is not None and self.process.poll() is not None:
                raise AssertionError(
                    f"ended with {self.process.returncode} before {name}:\n{self.log()[-3000:]}")
            return None

        return wait_until(there, f"event {name} {fields or ''}", timeout)[-1]

    def stop(self, how=signal.SIGTERM, timeout=PATIENCE_S):
        """Asks it to end and returns the exit code."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.ended(timeout)

    def ended(self, timeout=PATIENCE_S):
        code = self.process.wait(timeout)
        self.process = None
        text = self.log()
        assert not SANITIZER.search(text), text[-6000:]
        return code

    def kill(self):
        self.process.kill()
        self.process.wait(30)
        self.process = None

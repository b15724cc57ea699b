"""What databases and networks do to a program: a way that falls silent, a standby that takes over,
a pooler in between, names that nobody resolves; and an application that writes all the while."""

import collections
import contextlib
import ctypes
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import psycopg2

import checker
import harness

POSTGRES_BIN = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), default=None)

# A pace at which something is always under way.
STEADY = {"delivery": {"rate": "400/s", "burst": 20}}


def add_many(db, count):
    return [db.add(c, harness.email(c)) for c in (harness.new_customer() for _ in range(count))]


def add_each(db, customers):
    """A row for each of them, in one transaction."""
    values = ", ".join("(%s, %s::jsonb)" for _ in customers)
    db.execute(f"INSERT INTO imprint_sync.outbox (customer_id, payload) VALUES {values}",
               *(part for c in customers for part in (c, json.dumps(harness.email(c)))))


def check_each_once(db, sandbox, customers):
    """Everything is delivered, and nothing twice."""
    db.wait_drained()
    checker.check_all(db, sandbox, rows=len(customers))
    counts = collections.Counter(entry["customer"] for entry in sandbox.journal())
    assert set(counts) == set(customers), set(counts) ^ set(customers)
    doubled = {customer: count for customer, count in counts.items() if count != 1}
    assert not doubled, doubled


def terminate(db):
    db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
               " WHERE usename = 'sync_daemon' AND datname = current_database()")


# Small enough to be reached, so that it shows.
BOUND = {"outbox": {"batch": 20}, "delivery": {"workers": 8, "rate": "200/s", "burst": 10}}


def sessions(db):
    return [row["pid"] for row in db.query(
        "SELECT pid FROM pg_stat_activity WHERE usename = 'sync_daemon'"
        " AND datname = current_database()")]


def survive_silence(db, sandbox, daemon, begin, end):
    """The connection is given up at the statement's deadline, without one word from the other
    side. Until then what is sent is bounded, its outcomes are kept; then each of them is written."""
    daemon.start()
    customers = [harness.new_customer() for _ in range(500)]
    add_each(db, customers)
    harness.wait_until(lambda: len(sandbox.journal()) > 100, "it is at work")
    begin()
    began = time.monotonic()
    before, stats = len(sandbox.journal()), len(daemon.events("stats"))
    lost = daemon.wait_event("db.lost", timeout=30)
    took = time.monotonic() - began
    assert took < 15, f"given up after {took:.1f} s"
    assert "deadline" in lost["reason"]
    # What was queued, what was in flight, and what was judged before the look at the journal.
    sent = len(sandbox.journal()) - before
    assert sent <= 20 + 2 * 8, f"{sent} requests since"
    assert len(daemon.events("stats")) - stats >= 8  # the loop turns
    end()
    daemon.wait_event("db.connect", 2)
    check_each_once(db, sandbox, customers)
    assert len(daemon.events("db.lost")) == 1


class Load(threading.Thread):
    """An application that writes rows, each for a customer of its own, through every outage."""

    def __init__(self, dsns, per_s=100):
        super().__init__(daemon=True)
        self.dsns = dsns if isinstance(dsns, list) else [dsns]
        self.pause_s = 1 / per_s
        self.customers = []
        self.ending = threading.Event()
        self.connection = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.finish()

    def finish(self):
        """The customers that have a row, each exactly one."""
        self.ending.set()
        self.join(harness.PATIENCE_S)
        assert not self.is_alive()
        return self.customers

    def run(self):
        while not self.ending.wait(self.pause_s):
            customer = harness.new_customer()
            while not self.write(customer):
                time.sleep(0.05)
            self.customers.append(customer)
        if self.connection is not None:
            self.connection.close()

    def write(self, customer):
        """False if it must be tried again. Whether a COMMIT without an answer counted is looked up."""
        try:
            if self.connection is None:
                self.connection = self.connect()
            with self.connection.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO imprint_sync.outbox (customer_id, payload) SELECT %s, %s::jsonb"
                    " WHERE NOT EXISTS (SELECT FROM imprint_sync.outbox WHERE customer_id = %s)",
                    (customer, f'{{"email": "c{customer[:8]}@example.com"}}', customer))
            return True
        except psycopg2.Error:
            if self.connection is not None:
                self.connection.close()
                self.connection = None
            return False

    def connect(self):
        """To the first server that takes writes."""
        for dsn in self.dsns:
            try:
                connection = psycopg2.connect(dsn + " target_session_attrs=read-write")
                connection.autocommit = True
                return connection
            except psycopg2.OperationalError:
                continue
        raise psycopg2.OperationalError("no server takes writes")


class Forwarder(threading.Thread):
    """A TCP port that leads to a cluster. Frozen, it goes on to take connections and bytes as a
    kernel does, and passes none on."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.target = f"{cluster.folder}/.s.PGSQL.{cluster.port}"
        self.port = 0
        self.frozen = threading.Event()
        self.listening = threading.Event()
        self.ending = threading.Event()
        self.pairs = {}
        self.clients = {}  # bytes that came from each
        self.accepted = 0
        self.fuse = None  # most bytes of a client; a connection that has more of them ends

    def __enter__(self):
        self.start()
        assert self.listening.wait(harness.PATIENCE_S)
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.join(harness.PATIENCE_S)

    def dsn(self, database, user="sync_daemon"):
        return f"host=127.0.0.1 port={self.port} dbname={database} user={user} sslmode=disable"

    def run(self):
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
            self.port = listener.getsockname()[1]
            self.listening.set()
            while not self.ending.is_set():
                if self.frozen.is_set():
                    self.ending.wait(0.02)
                    continue
                ready, _, _ = select.select([listener, *self.pairs], [], [], 0.02)
                for one in ready:
                    self.serve(one, listener)
        for one in list(self.pairs):
            one.close()

    def passes(self, one, size):
        if one in self.clients:
            self.clients[one] += size
            if self.fuse is not None and self.clients[one] > self.fuse:
                return False
        return size > 0

    def serve(self, one, listener):
        if one is listener:
            client, server = listener.accept()[0], socket.socket(socket.AF_UNIX)
            try:
                server.connect(self.target)
            except OSError:
                client.close()
                return
            self.pairs[client], self.pairs[server] = server, client
            self.clients[client] = 0
            self.accepted += 1
        elif one in self.pairs:
            try:
                data = one.recv(65536)
                if self.passes(one, len(data)):
                    self.pairs[one].sendall(data)
                    return
            except OSError:
                pass
            other = self.pairs.pop(one)
            del self.pairs[other]
            self.clients.pop(one, None)
            self.clients.pop(other, None)
            one.close()
            other.close()


class Standby(harness.Cluster):
    """A streaming copy of another cluster."""

    def __init__(self, primary, *settings):
        super().__init__(*settings)
        self.primary = primary

    def start(self):
        if not (self.folder / "data").exists():
            self.copy()
        super().start()

    def copy(self):
        command = [str(POSTGRES_BIN / "pg_basebackup"), "-h", str(self.primary.folder),
                   "-p", str(self.primary.port), "-U", "postgres", "-D", str(self.folder / "data"),
                   "-R", "-c", "fast", "-N"]
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres")
            command = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups",
                       *command]
        subprocess.run(command, check=True, timeout=harness.PATIENCE_S, cwd="/")

    def promote(self):
        self.sql("postgres", "SELECT pg_promote()")


class PgBouncer:
    """In transaction mode, with a configuration of its own."""

    def __init__(self, cluster, folder, pool_size=5):
        self.cluster = cluster
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="imprint-sync-bouncer."))
        self.port = harness.free_port()
        self.log_file = folder / "pgbouncer.log"
        self.process = None
        (self.folder / "users").write_text('"sync_daemon" ""\n"postgres" ""\n')
        (self.folder / "ini").write_text(f"""
[databases]
* = host={cluster.folder} port={cluster.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = trust
auth_file = {self.folder}/users
pool_mode = transaction
default_pool_size = {pool_size}
server_login_retry = 1
""")
        for file in (self.folder, self.folder / "users", self.folder / "ini"):
            file.chmod(0o755 if file.is_dir() else 0o644)

    def dsn(self, database, user="sync_daemon"):
        return f"host=127.0.0.1 port={self.port} dbname={database} user={user}"

    def start(self):
        command = ["/usr/sbin/pgbouncer", str(self.folder / "ini")]
        if os.geteuid() == 0:  # it refuses to run as root
            command = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups",
                       "setpriv", "--pdeathsig", "TERM", *command]
        with open(self.log_file, "ab") as log:
            self.process = harness.spawn(command, stdout=log, stderr=log)

        def listens():
            assert self.process.poll() is None, self.log_file.read_text()
            with contextlib.closing(socket.socket()) as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        harness.wait_until(listens, "PgBouncer listens")
        return self

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(harness.PATIENCE_S)

    def remove(self):
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.folder)


# ---- namespaces, where there is the right to make them -----------------------------------------

CLONE_NEWNET = 0x40000000
NEAR, FAR = "10.99.0.1", "10.99.0.2"


def enter(namespace):
    """Takes this thread, and the processes it starts from now on, into a network namespace."""
    with open(namespace, "rb") as handle:
        if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns({namespace})")


class Network:
    """Two network namespaces, `near` and `far`, and a cable between them that can be cut: then
    packets of both sides are lost without a word."""

    def __enter__(self):
        self.saved = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self.holders = []
        try:
            self.near, self.far = self.make(), self.make()
            pid = self.far.split("/")[2]
            self.ip(self.near, "link", "add", "cable0", "type", "veth", "peer", "name", "cable1",
                    "netns", pid)
            for side, name, address in (self.near, "cable0", NEAR), (self.far, "cable1", FAR):
                self.ip(side, "link", "set", "lo", "up")
                self.ip(side, "address", "add", f"{address}/24", "dev", name)
                self.ip(side, "link", "set", name, "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for holder in self.holders:
            holder.kill()
            holder.wait(30)
        os.close(self.saved)

    def make(self):
        holder = harness.spawn(["unshare", "-n", "sleep", "infinity"], stderr=subprocess.PIPE)
        self.holders.append(holder)
        path = f"/proc/{holder.pid}/ns/net"

        def made():
            assert holder.poll() is None, holder.stderr.read().decode()
            with open(f"/proc/{holder.pid}/comm", encoding="ascii") as comm:
                return comm.read().strip() == "sleep"

        harness.wait_until(made, "a network namespace")
        return path

    @staticmethod
    def ip(side, *arguments):
        subprocess.run(["nsenter", f"--net={side}", "ip", *arguments], check=True, timeout=30,
                       capture_output=True)

    @contextlib.contextmanager
    def inside(self, side):
        """What is started and asked in here is on that side."""
        enter(side)
        try:
            yield
        finally:
            enter(f"/proc/self/fd/{self.saved}")

    def cut(self):
        for side, name, other in (self.near, "cable0", FAR), (self.far, "cable1", NEAR):
            self.ip(side, "neighbour", "replace", other, "lladdr", "02:00:00:00:00:99", "dev", name,
                    "nud", "permanent")

    def mend(self):
        for side, name, other in (self.near, "cable0", FAR), (self.far, "cable1", NEAR):
            self.ip(side, "neighbour", "delete", other, "dev", name)


def why_no_namespaces():
    """The reason why they cannot be made here; None if they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        with Network():
            return None
    except (AssertionError, OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or b""
        return f"no network namespaces here: {said.decode().strip() or error}"

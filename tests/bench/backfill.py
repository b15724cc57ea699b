"""What tests/bench/backfill says, with IMPRINT_SYNC and IMPRINT_SANDBOX, or what is in build/."""

import argparse
import contextlib
import csv
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time

import psycopg2
import yaml

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
import harness  # noqa: E402

MEMORY_LIMIT_KB = 32 * 1024
LIVE_LIMIT_MS = 1000
LIVE_SHARE = 0.8  # of the rate
KILLS_AT = (0.3, 0.5, 0.7)  # of the customers, at full speed
LIMIT_S = 5  # between two kills on a rate limit
FULL_RATE = 100000
BATCH = 500  # outbox.batch
SAMPLE_S = 0.2
# Nothing has been settled for so long: it hangs. A crash leaves leases that must run out.
STUCK_S = 240
# Of a database server, not of a test: the work is to be the limit.
POSTGRES = ("shared_buffers=512MB", "max_wal_size=8GB", "checkpoint_timeout=15min")

SETTLED = "SELECT coalesce(sum(done + unchanged + dead), 0)::int8 FROM imprint_sync.backfill_run WHERE name = %s"
WAITING = "SELECT count(*) FROM imprint_sync.outbox WHERE status = 'pending' AND run_id IS NOT NULL"
# The months since joined_at, as the mapping counts them.
MONTHS = ("extract(year FROM age(%s AT TIME ZONE 'UTC', joined_at AT TIME ZONE 'UTC')) * 12"
          " + extract(month FROM age(%s AT TIME ZONE 'UTC', joined_at AT TIME ZONE 'UTC'))")


class Failed(Exception):
    """What was promised does not hold, or could not be measured."""


@contextlib.contextmanager
def step(text):
    started = time.monotonic()
    print(f"{text + ' ...':<66}", end="", flush=True)
    yield
    print(f"{time.monotonic() - started:9.1f} s", flush=True)


# ---- what is measured --------------------------------------------------------------------------

class Memory:
    """The resident set of processes of one kind: at the start, at the end and at its highest."""

    def __init__(self):
        self.first_kb = self.last_kb = self.most_kb = 0

    def look(self, pid):
        try:
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return
        found = dict(line.split(":", 1) for line in status.splitlines())
        # Has ended, or is still a copy of this process.
        if "VmHWM" not in found or not found["Name"].strip().startswith("imprint-"):
            return
        self.last_kb = int(found["VmRSS"].split()[0])
        self.first_kb = self.first_kb or self.last_kb
        self.most_kb = max(self.most_kb, int(found["VmHWM"].split()[0]))


class Watcher:
    """Looks again and again, in a thread: at the memory of processes and at the rows that wait."""

    def __init__(self, db):
        self.connection = db.connect()
        self.connection.autocommit = True
        self.kinds = {"command": Memory(), "daemon": Memory(), "sandbox": Memory()}
        self.processes = []  # (kind, pid)
        self.most_waiting = self.samples = 0
        self.trouble = None
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def add(self, kind, pid):
        self.processes.append((kind, pid))

    def run(self):
        try:
            while not self.ends.wait(SAMPLE_S):
                self.look()
        except Exception as e:  # the main thread tells of it
            self.trouble = e

    def look(self):
        for kind, pid in list(self.processes):
            self.kinds[kind].look(pid)
        with self.connection.cursor() as cursor:
            cursor.execute(WAITING)
            self.most_waiting = max(self.most_waiting, cursor.fetchone()[0])
        self.samples += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ends.set()
        self.thread.join()
        self.connection.close()


def journal_after(sandbox, offset):
    """The requests in the part of the journal behind `offset`. It is too long to be held."""
    with open(sandbox.journal_file, "rb") as file:
        file.seek(offset)
        for line in file:
            yield json.loads(line)


def key_of(customer):
    return int(customer.replace("-", ""), 16)


class Sent:
    """What the journal says about one run."""

    def __init__(self, sandbox, offset):
        self.requests = self.refused = 0
        self.customers = set()
        for entry in journal_after(sandbox, offset):
            self.requests += 1
            self.refused += entry["status"] not in (0, 200)  # 0: a kill cut it off
            self.customers.add(key_of(entry["customer"]))

    @property
    def repeated(self):
        return self.requests - len(self.customers)


class Report:
    """Rows of a table: what, the number, its unit, what is promised, whether it holds."""

    def __init__(self):
        self.rows = []

    def add(self, what, number, unit, limit="", holds=True):
        self.rows.append((what, number, unit, limit, "" if limit == "" else "yes" if holds else "NO"))

    def most(self, what, number, unit, limit):
        self.add(what, number, unit, f"<= {limit:,}", number <= limit)

    def less(self, what, number, unit, limit):
        self.add(what, number, unit, f"< {limit:,}", number < limit)

    def equal(self, what, number, unit, wanted):
        self.add(what, number, unit, f"= {wanted:,}", number == wanted)

    def holds(self):
        return all(row[4] != "NO" for row in self.rows)

    def show(self):
        print(f"\n{'':<44} {'number':>12} {'unit':<10} {'promised':>12}  holds")
        for what, number, unit, limit, holds in self.rows:
            shown = f"{number:,.1f}" if isinstance(number, float) else f"{number:,}"
            print(f"{what:<44} {shown:>12} {unit:<10} {limit:>12}  {holds}".rstrip())

    def write(self, file):
        with open(file, "w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(("what", "number", "unit", "promised", "holds"))
            writer.writerows(self.rows)


# ---- live changes ------------------------------------------------------------------------------

class Shop:
    """An application that changes single customers, each once, at times that chance chooses."""

    WRITERS = 4

    def __init__(self, db, ids, per_s, seconds):
        self.db, self.ids, self.per_s, self.seconds = db, iter(ids), per_s, seconds
        self.lock = threading.Lock()
        self.committed_ns = {}  # customer: when its COMMIT was sent
        self.trouble = None

    def write(self, number):
        rng = random.Random(number)
        with contextlib.closing(self.db.connect()) as connection, connection.cursor() as cursor:
            due = started = time.monotonic()
            while due < started + self.seconds:
                due += rng.expovariate(self.per_s / self.WRITERS)
                time.sleep(max(0, due - time.monotonic()))
                with self.lock:
                    crm_id, customer = next(self.ids)
                cursor.execute("UPDATE crm.customers SET email = %s, updated_at = now() WHERE id = %s",
                               (f"live{crm_id}@example.com", crm_id))
                self.committed_ns[key_of(customer)] = time.time_ns()
                connection.commit()

    def guarded(self, number):
        try:
            self.write(number)
        except Exception as e:  # the main thread tells of it
            self.trouble = e

    def run(self):
        threads = [threading.Thread(target=self.guarded, args=(n,)) for n in range(self.WRITERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.trouble is not None:
            raise Failed(f"live changes: {self.trouble!r}")


def share_of(numbers, share):
    return numbers[min(len(numbers) - 1, int(share * len(numbers)))]


# ---- the benchmark -----------------------------------------------------------------------------

class Bench:
    def __init__(self, options, folder, cluster, report):
        self.options, self.folder, self.cluster, self.report = options, folder, cluster, report
        self.db = self.sandbox = self.config = self.daemon = self.watcher = self.command = None

    # -- what runs --

    def prepare(self):
        options = self.options
        with step("PostgreSQL, schema, sandbox"):
            self.cluster.start()
            self.cluster.make_template()
            self.db = self.cluster.new_database()
            self.sandbox = harness.Sandbox(self.folder, "--latency-ms", str(options.latency_ms), bodies=False)
            self.sandbox.start()
        with step(f"{options.customers:,} customers, {options.orders:,} orders"):
            self.db.execute(f"SET bench.customers = {options.customers}; SET bench.orders = {options.orders}")
            self.db.execute((HERE / "crm.sql").read_text())
            self.db.execute("VACUUM ANALYZE crm.customers")
            self.db.execute("VACUUM ANALYZE crm.addresses")
            self.db.execute("VACUUM ANALYZE crm.orders")
        mapping = yaml.safe_load((HERE.parent / "demo.d/mapping.yaml").read_text())["mapping"]
        mapping["metadata"]["last_purchase"] = {"from": "last_order_at", "as": "timestamp"}
        self.config = harness.Config(self.folder, {
            "database": {"dsn": self.db.dsn()},
            "imprint": {"base_url": self.sandbox.url, "timeout": options.timeout, "connect_timeout": options.timeout},
            "delivery": {"workers": options.workers},
            "outbox": {"batch": BATCH, "lease": options.lease, "poll_interval": "1s", "retention": options.retention},
            "log": {"level": "info", "stats_interval": "10s"}, "mapping": mapping})
        self.daemon = harness.Daemon(self.config)

    def start_daemon(self):
        self.daemon.start()
        self.watcher.add("daemon", self.daemon.process.pid)

    def start_command(self, *arguments):
        with open(self.folder / "backfill.log", "ab") as log, open(self.folder / "backfill.out", "ab") as out:
            self.command = harness.spawn(
                [harness.imprint_sync(), "-c", str(self.config.file), "backfill", *arguments],
                stdout=out, stderr=log)
        self.watcher.add("command", self.command.pid)

    def kill(self):
        self.command.kill()
        self.command.wait(30)
        if self.daemon.process is not None:
            self.daemon.kill()

    def stop_all(self):
        for process in (self.command, self.daemon and self.daemon.process, self.sandbox and self.sandbox.process):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait(30)

    def wait_settled(self, name, count):
        """Until so many rows of the run are settled, or the command has ended."""
        last, since = -1, time.monotonic()
        while self.command.poll() is None:
            if self.watcher.trouble is not None:
                raise Failed(f"watching: {self.watcher.trouble!r}")
            now = self.db.value(SETTLED, name)
            if now >= count:
                return
            if now != last:
                last, since = now, time.monotonic()
            elif time.monotonic() > since + STUCK_S:
                raise Failed(f"{name}: {now:,} settled, and nothing for {STUCK_S} s")
            time.sleep(0.1)

    def finish(self, name):
        """Waits for the end, and returns the run's record."""
        self.wait_settled(name, self.options.customers + 1)
        code = self.command.wait()
        record = self.run_of(name)
        if code != 0 or record["state"] != "done":
            raise Failed(f"{name}: ended with {code}, {record['state']}; see backfill.out, backfill.log")
        return record

    def run_of(self, name):
        return self.db.query("SELECT * FROM imprint_sync.backfill_run WHERE name = %s", name)[0]

    def offset(self):
        return self.sandbox.journal_file.stat().st_size if self.sandbox.journal_file.exists() else 0

    # -- first: everybody, with three kills on a rate limit and three at full speed --

    def start_first(self, *arguments):
        self.start_command("--name", "first", *arguments)

    def three_kills(self, text, marks, *arguments):
        """Of the command alone twice, then of it and the daemon that delivers for it by then."""
        for kill, mark in enumerate(marks, 1):
            with step(f"first, {text}: kill {kill} behind {mark:,}"):
                if kill == len(marks):
                    self.wait_settled("first", (marks[-2] + mark) // 2)
                    self.start_daemon()
                self.wait_settled("first", mark)
                if self.command.poll() is not None:
                    raise Failed("first: it was done before it could be killed")
                self.kill()
                if kill == len(marks):
                    self.start_daemon()
                self.start_first(*arguments)

    def first(self):
        options, offset = self.options, self.offset()
        started = time.monotonic()
        self.set_rate(options.limit)
        self.start_first("--all", "--ahead", str(options.ahead))
        marks = [LIMIT_S * options.limit * n for n in (1, 2, 3)]
        self.three_kills(f"at {options.limit}/s", marks)
        with step("first: pausing it"):
            self.wait_settled("first", marks[-1] + options.limit)
            self.pause()
        limited = Sent(self.sandbox, offset)
        offset = self.offset()
        self.set_rate(FULL_RATE)
        self.start_first()
        self.three_kills("full speed", [int(share * options.customers) for share in KILLS_AT])
        with step("first, full speed: to the end"):
            speed = self.finish_timed("first")
        elapsed = time.monotonic() - started
        with step("first: reading the journal"):
            self.check_first(limited, Sent(self.sandbox, offset))
        self.report.add("first run, kills and leases with it", elapsed, "s")
        self.report.add("updates a second, in its last part", speed, "1/s")

    def set_rate(self, per_s):
        self.config.change({"delivery": {"rate": f"{per_s}/s", "burst": max(10, per_s // 100)}})

    def pause(self):
        """Politely, so that what was sent is settled."""
        self.command.send_signal(signal.SIGINT)
        self.command.wait(60)
        if self.daemon.stop() != 0:
            raise Failed("first: the daemon did not stop as it should")

    def finish_timed(self, name):
        """Waits for the end; how many were settled a second since the first one was."""
        self.wait_settled(name, self.db.value(SETTLED, name) + 1)
        before, started = self.db.value(SETTLED, name), time.monotonic()
        self.finish(name)
        return (self.options.customers - before) / (time.monotonic() - started)

    def check_first(self, limited, full):
        options, report = self.options, self.report
        record = self.run_of("first")
        wanted = {key_of(r["id"]) for r in self.db.query("SELECT imprint_customer_id::text AS id FROM crm.customers")}
        report.equal("customers delivered", len((limited.customers | full.customers) & wanted), "", options.customers)
        report.equal("the run counts done", record["done"], "", options.customers)
        report.equal("unchanged, dead", record["unchanged"] + record["dead"], "", 0)
        report.equal("requests refused", limited.refused + full.refused, "", 0)
        report.less(f"repeated requests, 3 kills at {options.limit}/s", limited.repeated, "", 3 * options.workers)
        # At full speed as many outcomes may be under way to the database as the daemon allows.
        report.most("repeated requests, 3 kills at full speed", full.repeated, "",
                    3 * (2 * options.workers + BATCH + 1))
        report.most("most rows waiting", self.watcher.most_waiting, "rows", options.ahead)
        report.add("samples of that and of memory", self.watcher.samples, "")

    # -- second: only what changed --

    def second(self):
        options, offset = self.options, self.offset()
        self.db.execute("SET session_replication_role = replica")  # no trigger has seen it
        changed = {key_of(r["id"]) for r in self.db.query(
            "UPDATE crm.customers SET email = 'moved' || id || '@example.com'"
            " WHERE id IN (SELECT g * %s FROM generate_series(1, %s) AS g)"
            " RETURNING imprint_customer_id::text AS id", options.customers // options.changed, options.changed)}
        self.db.execute("SET session_replication_role = DEFAULT")
        started = time.monotonic()
        with step(f"second: {options.changed:,} have changed"):
            self.start_command("--all", "--name", "second", "--ahead", str(options.ahead))
            record = self.finish("second")
        elapsed = time.monotonic() - started
        sent = Sent(self.sandbox, offset)
        older = self.grown()
        self.report.equal("second run: changed ones sent", len(sent.customers & changed), "", options.changed)
        self.report.equal("second run: others sent", len(sent.customers - changed - older), "", 0)
        self.report.add("second run: sent, as a month more is over", len((sent.customers - changed) & older), "")
        self.report.equal("second run: requests repeated", sent.repeated, "", 0)
        self.report.equal("second run: settled", record["done"] + record["unchanged"], "", options.customers)
        self.report.add("second run", elapsed, "s")
        self.report.add("of that, per second", options.customers / elapsed, "1/s")

    def grown(self):
        """Those whose months since joining may have become more since the first run."""
        months = [MONTHS % (time_, time_) for time_ in ("b.created_at", "now()")]
        return {key_of(r["id"]) for r in self.db.query(
            "SELECT imprint_customer_id::text AS id FROM crm.customers,"
            " (SELECT created_at FROM imprint_sync.backfill_run WHERE name = 'first') AS b"
            f" WHERE {months[0]} <> {months[1]}")}

    # -- third: beside live changes --

    def live(self):
        options = self.options
        rate = options.live_rate
        # Half of the customers are left to the shop, so that each request tells whose it is.
        ids = [(r["id"], r["customer"]) for r in self.db.query(
            "SELECT id, imprint_customer_id::text AS customer FROM crm.customers WHERE id %% 2 = 0 ORDER BY"
            " md5(id::text) LIMIT %s", int(rate * options.live_seconds * 2))]
        if len(ids) < rate * options.live_seconds * LIVE_SHARE * 1.3:
            raise Failed("--live-seconds, --live-rate: too few customers for so many changes")
        self.daemon.stop()
        self.set_rate(rate)
        self.start_daemon()
        offset = self.offset()
        shop = Shop(self.db, ids, rate * LIVE_SHARE, options.live_seconds)
        with step(f"third: {LIVE_SHARE * rate:.0f} live changes/s at {rate}/s for {options.live_seconds} s"):
            self.start_command("--where", "crm_id % 2 <> 0", "--force", "--name", "third", "--ahead",
                               str(options.ahead))
            self.wait_settled("third", 1)
            shop.run()
            if self.command.poll() is not None:
                raise Failed("third: the backfill was done before the live changes were")
            harness.wait_until(self.live_is_drained, "live changes leave", 60)
            self.command.send_signal(signal.SIGINT)
            self.command.wait(60)
        self.check_live(shop, offset)

    def live_is_drained(self):
        return not self.db.value("SELECT count(*) FROM imprint_sync.outbox WHERE status = 'pending' AND run_id IS NULL")

    def check_live(self, shop, offset):
        waits_ms, others, first_ns, last_ns = {}, 0, None, None
        end_ns = max(shop.committed_ns.values())
        for entry in journal_after(self.sandbox, offset):
            customer = key_of(entry["customer"])
            if customer in shop.committed_ns:
                waits_ms.setdefault(customer, (entry["wall_ns"] - shop.committed_ns[customer]) / 1e6)
            elif min(shop.committed_ns.values()) < entry["wall_ns"] < end_ns:
                others += 1
        waits = sorted(waits_ms.values())
        seconds = (end_ns - min(shop.committed_ns.values())) / 1e9
        report = self.report
        report.equal("live changes that left", len(waits), "", len(shop.committed_ns))
        report.add("live changes", len(waits) / seconds, "1/s")
        report.add("backfill beside them", others / seconds, "1/s")
        report.add("both, of the rate", 100 * (len(waits) + others) / seconds / self.options.live_rate, "%")
        report.add("COMMIT to request, median", statistics.median(waits), "ms")
        report.most("COMMIT to request, 95 %", share_of(waits, 0.95), "ms", LIVE_LIMIT_MS)
        report.add("COMMIT to request, 99 %", share_of(waits, 0.99), "ms")
        report.add("COMMIT to request, longest", waits[-1], "ms")

    # -- all --

    def memory(self):
        for kind, text in (("command", "command"), ("daemon", "daemon")):
            memory = self.watcher.kinds[kind]
            if memory.most_kb:
                self.report.add(f"memory of the {text}, first", memory.first_kb, "kB")
                self.report.add(f"memory of the {text}, last", memory.last_kb, "kB")
                self.report.less(f"memory of the {text}, most", memory.most_kb, "kB", MEMORY_LIMIT_KB)
        self.report.add("memory of the sandbox, most", self.watcher.kinds["sandbox"].most_kb, "kB")

    def run(self):
        self.prepare()
        with Watcher(self.db) as self.watcher:
            self.watcher.add("sandbox", self.sandbox.process.pid)
            self.first()
            if self.options.changed:
                self.second()
            if self.options.live_seconds:
                self.live()
        self.memory()
        size = self.db.value("SELECT pg_total_relation_size('imprint_sync.outbox')")
        self.report.add("outbox at the end", size // 1048576, "MiB")
        self.daemon.stop()


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="tests/bench/backfill", description="A backfill of a large CRM, killed and resumed, then a"
        " second one, then one beside live changes; measured and held against what is promised.")

    def add(name, default, metavar, text, kind=int):
        known = "" if default is None else " (%(default)s)"
        parser.add_argument(name, type=kind, default=default, metavar=metavar, help=text + known)

    add("--customers", 2000000, "N", "how many")
    add("--orders", None, "N", "five for each customer, if not given")
    add("--ahead", 10000, "N", "rows that may wait")
    add("--workers", 16, "N", "delivery.workers")
    add("--limit", 200, "N", "delivery.rate, a second, of the first part of the first run")
    add("--latency-ms", 5, "MS", "each answer of the API is so late")
    add("--lease", "45s", "TIME", "outbox.lease: what going on after a kill costs", str)
    add("--timeout", "15s", "TIME", "imprint.timeout, a third of the lease at most", str)
    add("--retention", "7d", "TIME", "outbox.retention", str)
    add("--changed", 1000, "N", "customers that the second run must send; 0: no second run")
    add("--live-seconds", 60, "S", "how long live changes come; 0: none")
    add("--live-rate", 200, "N", "delivery.rate beside them, a second")
    add("--csv", None, "FILE", "write the table there as well", str)
    add("--keep", None, "FOLDER", "leave logs and journal there", str)
    options = parser.parse_args()
    options.orders = options.orders or 5 * options.customers
    least = 20 * LIMIT_S * options.limit  # or the kills at full speed come before those on the limit
    if options.customers < least or options.changed > options.customers:
        parser.error(f"--customers: at least {least:,} at --limit {options.limit}, and not fewer than --changed")
    return options


def bench(options, folder, cluster, report):
    work = Bench(options, folder, cluster, report)
    try:
        work.run()
    finally:
        work.stop_all()
        if options.keep:
            shutil.copytree(folder, options.keep, dirs_exist_ok=True)


def main():
    options = parse_arguments()
    os.umask(0o077)  # a key file that others may read is refused
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cluster = harness.Cluster(*POSTGRES)
    report = Report()
    try:
        with tempfile.TemporaryDirectory() as folder:
            bench(options, pathlib.Path(folder), cluster, report)
    except (Failed, AssertionError, psycopg2.Error) as e:
        report.show()
        sys.exit(f"\ntests/bench/backfill: {e}")
    finally:
        cluster.remove()
    report.show()
    if options.csv:
        report.write(options.csv)
    sys.exit(0 if report.holds() else 1)


if __name__ == "__main__":
    main()

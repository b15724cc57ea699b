"""Runs instances, application, sandbox and plan, and then examines what was written down."""

import argparse
import contextlib
import dataclasses
import heapq
import itertools
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import time

import yaml

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

import checker  # noqa: E402
import harness  # noqa: E402
import plan as plans  # noqa: E402
import shop as shops  # noqa: E402
from link import Link  # noqa: E402

WORKERS = 16
# A restart of an instance whose process is not gone yet is tried again after this.
AGAIN_S = 0.1
# How long the outbox may stay as it is, at the end, before that counts as lost rows.
STUCK_S = 60


@dataclasses.dataclass
class Options:
    seed: int = 1
    seconds: float = 15
    instances: int = 3
    writes: float = 150     # per second
    rate: int = 100         # per second
    burst: int = 20
    timeout: float = 0.8    # seconds, of a request
    lease: float = 2.5      # seconds
    kinds: tuple = tuple(plans.KINDS)
    events: tuple = None    # None: the seed's
    operations: dict = None
    faults: tuple = None    # None: mixed_faults
    stuck: float = STUCK_S

    def plan(self):
        if self.events is not None:
            return list(self.events)
        return plans.make_plan(self.seed, self.seconds, self.instances, self.lease, self.kinds)

    def command(self):
        """How to run it again."""
        return (f"tests/chaos --seed {self.seed} --seconds {self.seconds:g}"
                f" --instances {self.instances} --writes {self.writes:g} --rate {self.rate}"
                f" --burst {self.burst} --timeout {self.timeout:g} --lease {self.lease:g}"
                f" --kinds {','.join(self.kinds)}")


# Always there: one customer whom the API refuses.
REFUSAL = f"customer={shops.REFUSED},status=422,type=not_allowed,param=email"


def mixed_faults(timeout_ms):
    """The first that matches hits. An update may be late by less than two timeouts: that is how
    long the daemon waits after an answer that did not come."""
    return (
        f"p=0.004,delay={timeout_ms * 13 // 10},before=1",
        "p=0.004,hang",
        "p=0.01,reset",
        "p=0.005,reset,before=1",
        "p=0.01,cut",
        "p=0.02,status=500",
        "p=0.004,status=502,shape=html",
        "p=0.003,other-id",
        "p=0.003,not-json",
        "p=0.003,empty",
        "p=0.0002,status=429,retry-after=1",
        "p=0.0002,status=503,retry-after=1",
        "p=0.03,status=200,header=Connection: close",
        f"p=0.01,delay={timeout_ms * 8 // 10}",
        "p=0.1,delay=150",
        "p=0.4,delay=40",
    )


class Instance:
    """One daemon: its configuration, its way to the database, its process after process."""

    def __init__(self, folder, number, changes, cluster, database):
        self.number = number
        folder = folder / f"instance-{number}"
        folder.mkdir()
        self.socket_folder = pathlib.Path(tempfile.mkdtemp(prefix="imprint-sync-link."))
        self.link = Link(self.socket_folder, cluster.folder, cluster.port)
        dsn = f"host={self.socket_folder} port={cluster.port} dbname={database} user=sync_daemon"
        self.config = harness.Config(folder, harness.merged(changes, {"database": {"dsn": dsn}}))
        self.log_file = folder / "daemon.log"
        self.process = None
        self.wanted = False
        self.runs = []  # [start, end or None] in ns since the epoch

    def start(self):
        with open(self.log_file, "ab") as log:
            self.process = harness.spawn(
                [harness.imprint_sync(), "-c", str(self.config.file), "run"], "KILL",
                stdout=log, stderr=log)
        self.wanted = True
        self.runs.append([time.time_ns(), None])

    def is_ready(self):
        self.poll()
        return " daemon.ready " in self.log_file.read_text(errors="replace")

    def signal(self, number):
        """SIGKILL and SIGTERM: it is expected to end."""
        self.wanted = self.wanted and number not in (signal.SIGKILL, signal.SIGTERM)
        self.process.send_signal(number)

    def poll(self):
        """Notes its end. Exit codes: 0, or what it was killed by; so soon after its start that it
        cannot have heard of SIGTERM yet, also that."""
        if self.process is None or self.process.poll() is None:
            return
        code, self.process = self.process.returncode, None
        self.runs[-1][1] = time.time_ns()
        young = self.runs[-1][1] - self.runs[-1][0] < checker.NS
        fine = code in (0, -signal.SIGKILL) or (code == -signal.SIGTERM and young)
        assert not self.wanted and fine, (
            f"instance {self.number} ended with {code}:\n"
            + self.log_file.read_text(errors="replace")[-3000:])

    def set_key(self, key):
        new = self.config.key_file.with_suffix(".new")
        new.write_text(key + "\n")
        new.rename(self.config.key_file)

    def remove(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)
        self.link.close()
        shutil.rmtree(self.socket_folder, ignore_errors=True)


class Run:
    def __init__(self, options, cluster, folder):
        self.options, self.cluster, self.folder = options, cluster, folder
        self.plan = options.plan()
        self.timeout_ms = int(options.timeout * 1000)
        faults = mixed_faults(self.timeout_ms) if options.faults is None else options.faults
        self.faults = (REFUSAL, *faults)
        self.keys = [harness.KEY]
        self.sandbox = harness.Sandbox(folder)
        self.instances = []
        self.actions = []       # a heap of (when, order, method, event)
        self.order = itertools.count()
        self.troubles = []      # (event, begin, end) in ns since the epoch
        self.begun = {}
        self.victims = {}       # which process each kill and stop met
        self.counts = dict.fromkeys(plans.KINDS, 0)

    # ---- set-up ----

    def changes(self):
        """The configuration that all instances share."""
        options = self.options
        mapping = yaml.safe_load((HERE / "mapping.yaml").read_text())["mapping"]
        return {
            "source": {"relation": "shop.imprint_customers", "customer_id": "imprint_id",
                       "updated_at": None},
            "imprint": {"base_url": self.sandbox.url, "timeout": f"{self.timeout_ms}ms",
                        "connect_timeout": f"{self.timeout_ms}ms"},
            "delivery": {"rate": f"{options.rate}/s", "burst": options.burst, "workers": WORKERS},
            "outbox": {"lease": f"{int(options.lease * 1000)}ms"},
            "mapping": mapping,
        }

    def set_up(self):
        self.start_sandbox()
        self.db = self.cluster.new_database("template0")
        admin = harness.Config(self.folder, {"database": {"dsn": self.db.dsn("postgres")}})
        run = admin.command("migrate")
        assert run.returncode == 0, run.stderr
        shops.make(self.db)
        for number in range(self.options.instances):
            self.instances.append(Instance(self.folder, number, self.changes(), self.cluster,
                                           self.db.name))
        self.shop = shops.Shop(self.db, self.options.seed, self.options.writes,
                               operations=self.options.operations)

    def start_sandbox(self):
        self.sandbox.options = ["--seed", str(self.options.seed), "--api-key", self.keys[-1]]
        self.sandbox.start()
        self.sandbox.faults(*self.faults)

    # ---- the plan ----

    def at(self, when, method, event):
        heapq.heappush(self.actions, (when, next(self.order), method, event))

    def follow_plan(self):
        start = time.monotonic()
        for event in self.plan:
            self.at(event.at, self.begin, event)
        while self.actions or time.monotonic() - start < self.options.seconds:
            for instance in self.instances:
                instance.poll()
            now = time.monotonic() - start
            if self.actions and self.actions[0][0] <= now:
                _, _, method, event = heapq.heappop(self.actions)
                method(event, now)
            else:
                time.sleep(0.01)

    def begin(self, event, now):
        self.begun[event] = time.time_ns()
        self.counts[event.kind] += 1
        getattr(self, f"begin_{event.kind}")(event)
        self.at(max(event.end, now), self.end, event)

    def end(self, event, now):
        if getattr(self, f"end_{event.kind}")(event) is False:
            self.at(now + AGAIN_S, self.end, event)
            return
        self.troubles.append((event, self.begun.pop(event), time.time_ns()))

    def begin_kill(self, event):
        self.victims[event] = self.instances[event.target].process
        self.instances[event.target].signal(signal.SIGKILL)

    def begin_term(self, event):
        self.victims[event] = self.instances[event.target].process
        self.instances[event.target].signal(signal.SIGTERM)

    def end_kill(self, event):
        instance = self.instances[event.target]
        instance.poll()
        if instance.process is not None and instance.process is not self.victims[event]:
            return True     # a driver that was late: the one before is only now started again
        if instance.process is not None:
            # The clean stop is bounded by delivery.drain_timeout.
            assert time.time_ns() - self.begun[event] < 60 * checker.NS, "it does not stop"
            return False
        instance.start()
        return True

    end_term = end_kill

    def begin_pause(self, event):
        self.instances[event.target].signal(signal.SIGSTOP)

    def end_pause(self, event):
        self.instances[event.target].signal(signal.SIGCONT)

    def begin_link(self, event):
        getattr(self.instances[event.target].link, event.how)()

    def end_link(self, event):
        self.instances[event.target].link.flow()

    def begin_postgres(self, event):
        self.cluster.stop(signal.SIGQUIT if event.how == "immediate" else signal.SIGINT)

    def end_postgres(self, event):
        self.cluster.launch()

    def begin_api(self, event):
        if event.how == "restart":
            self.sandbox.stop()
        elif event.how == "401":
            self.keys.append(f"{harness.KEY}-{len(self.keys)}")
            self.sandbox.keys(self.keys[-1])
        else:
            retry_after = ",retry-after=1" if event.how == "429" else ""
            self.sandbox.faults(f"status={event.how},{checker.OUTAGE}{retry_after}")

    def end_api(self, event):
        if event.how == "restart":
            self.start_sandbox()
        elif event.how == "401":
            for instance in self.instances:
                instance.set_key(self.keys[-1])
        else:
            self.sandbox.faults(*self.faults)

    # ---- the end ----

    def calm(self):
        self.sandbox.faults(REFUSAL)
        harness.wait_until(self.cluster.answers, "PostgreSQL is back")
        self.db.reconnect()

    def drain(self):
        """Until nothing is pending, or nothing goes on any more."""
        left, since = None, time.monotonic()
        while left != 0 and time.monotonic() - since < self.options.stuck:
            for instance in self.instances:
                instance.poll()
            now_left = self.db.pending()
            if now_left != left:
                left, since = now_left, time.monotonic()
            time.sleep(0.05)

    def stop_instances(self):
        for instance in self.instances:
            instance.signal(signal.SIGTERM)
        for instance in self.instances:
            instance.process.wait(60)
            instance.poll()

    def finish(self):
        """An instance that has only just got its database back may, as its last deed, have
        customers sent again: then the next start goes on."""
        for _ in range(3):
            self.drain()
            self.stop_instances()
            if self.db.pending() == 0:
                return
            for instance in self.instances:
                instance.start()
        self.stop_instances()

    def tear_down(self):
        self.shop.stop.set()
        for instance in self.instances:
            instance.remove()
        with contextlib.suppress(AssertionError):
            self.sandbox.stop()

    def execute(self):
        """Runs it all; returns the ledger. Examine it afterwards."""
        self.set_up()
        try:
            for instance in self.instances:
                instance.start()
                harness.wait_until(instance.is_ready, "it starts")
            self.shop.start()
            self.follow_plan()
            ledger = self.shop.finish()
            self.calm()
            self.finish()
            self.sandbox.stop()
            return ledger
        finally:
            self.tear_down()

    # ---- what came of it ----

    def charged_by(self, event, begin, end):
        """How many customers may get an attempt through this trouble, by the rules of the pool:
        each daemon that meets it needs failures of five customers in a row to see that the API is
        down; one whose first probe passes charges the row that closed it; and of a daemon that
        stood still all requests under way may have timed out."""
        if event.kind == "pause":
            return WORKERS
        if event.kind != "api":
            return 0
        met = sum(start <= end and (stop is None or stop >= begin)
                  for instance in self.instances for start, stop in instance.runs)
        return met * (5 if event.how in ("restart", "503") else 1)

    def read_rows(self):
        """In order of id."""
        with self.db.connect() as connection, connection.cursor("rows") as cursor:
            cursor.execute("""
                SELECT id, lower(customer_id COLLATE "C"), status, attempts, http_status, error,
                       (extract(epoch FROM created_at) * 1000000)::int8 * 1000,
                       (extract(epoch FROM settled_at) * 1000000)::int8 * 1000,
                       CASE WHEN customer_id ILIKE 'switch-%' THEN payload END
                  FROM imprint_sync.outbox ORDER BY id""")
            return [checker.Row(*row) for row in cursor]

    def examine(self, ledger):
        """The numbers of the run, after all invariants held; else an AssertionError."""
        requests = checker.read_journal(self.sandbox.journal_file)
        rows = self.read_rows()
        timeout_ns = self.timeout_ms * 10**6
        histories = checker.History.of_all(requests, timeout_ns // 2)
        committed = {row_id: known for row_id, *known in ledger.rows}
        # Half a second more: a request that failed then may be judged a little later.
        troubles = [checker.Trouble(begin - checker.NS, end + 2 * checker.NS,
                                    self.charged_by(event, begin, end), str(event))
                    for event, begin, end in self.troubles]
        doomed = {shops.INVALID: "email", shops.REFUSED: "not_allowed"}
        logs = [instance.log_file for instance in self.instances]
        overlaps = list(checker.overlaps(histories, timeout_ns))
        regressions = list(checker.regressions(histories))
        unsettled = list(checker.unsettled(rows, committed, doomed))
        self.numbers = self.count(ledger, requests, rows, histories) | {
            "overlaps": len(overlaps), "gone back": len(regressions), "lost": len(unsettled)}
        checker.complain(itertools.chain(
            unsettled, overlaps, regressions,
            checker.stale_states(histories, shops.expected(self.db)),
            checker.wrongly_charged(rows, histories, troubles, checker.late_answers(logs)),
            checker.too_fast(requests, self.options.rate, self.options.burst),
            checker.tattles(logs, [shops.MARK, *self.keys]),
            checker.unaccepted(rows, histories, committed)))
        return self.numbers

    def count(self, ledger, requests, rows, histories):
        numbers = {
            "transactions committed": ledger.commits,
            "rows written by them": ledger.writes,
            "rolled back": ledger.rollbacks,
            "failed, or unknown": ledger.failures,
            "outbox rows": len(rows),
            "  done": sum(row.status == "done" for row in rows),
            "  done, as unchanged": sum(row.error == "unchanged" for row in rows),
            "  dead": sum(row.status == "dead" for row in rows),
            "requests": len(requests),
            "  applied": sum(r.applied > 0 for r in requests),
            "  applied again, the same": checker.duplicates(histories),
            "  not accepted": sum(not checker.is_accepted(r) for r in requests),
            "most attempts of a row": max((row.attempts for row in rows), default=0),
        }
        numbers |= {f"events: {kind}": count for kind, count in self.counts.items() if count}
        for window_s, most in checker.worst_windows(r.start for r in requests).items():
            limit = self.options.rate * window_s + self.options.burst
            numbers[f"most requests in {window_s:g} s (rate * t + burst = {limit:g})"] = most
        return numbers

    def save_outbox(self):
        """For whoever looks for the cause."""
        with open(self.folder / "outbox.csv", "w", encoding="utf-8") as file, \
                self.db.connect() as connection, connection.cursor() as cursor:
            cursor.copy_expert("COPY (SELECT * FROM imprint_sync.outbox ORDER BY id) TO STDOUT"
                               " (FORMAT csv, HEADER)", file)


def chaos(options, cluster, folder):
    """One run; its numbers. An AssertionError says how to run it again."""
    run = Run(options, cluster, folder)
    (folder / "plan").write_text("".join(f"{event}\n" for event in run.plan))
    try:
        return run.examine(run.execute())
    except AssertionError as error:
        with contextlib.suppress(Exception):
            run.save_outbox()
        raise AssertionError(f"{error}\nagain: {options.command()}\nkept: {folder}") from error


def print_numbers(numbers):
    width = max(map(len, numbers))
    for name, value in numbers.items():
        print(f"  {name:<{width}}  {value:>10}")


def parse(arguments):
    defaults = Options()
    parser = argparse.ArgumentParser(
        prog="tests/chaos", formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        description="Instances of the daemon, an application that writes, an API with faults, and"
        " a plan of what goes wrong; then the invariants are checked.")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="how long")
    length.add_argument("--seconds", type=float, default=60, help="how long")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="the plan")
    parser.add_argument("--instances", type=int, default=defaults.instances, help="daemons")
    parser.add_argument("--writes", type=float, default=defaults.writes, help="rows a second")
    parser.add_argument("--rate", type=int, default=defaults.rate, help="requests a second")
    parser.add_argument("--burst", type=int, default=defaults.burst, help="requests at once")
    parser.add_argument("--timeout", type=float, default=defaults.timeout,
                        help="of a request, in seconds")
    parser.add_argument("--lease", type=float, default=defaults.lease, help="in seconds")
    parser.add_argument("--kinds", default=",".join(plans.KINDS), help="what goes wrong")
    parser.add_argument("--plan", action="store_true", help="print the plan, and end")
    parser.add_argument("--keep", action="store_true", help="keep journal and logs in any case")
    parsed = parser.parse_args(arguments)
    kinds = tuple(filter(None, parsed.kinds.split(",")))
    unknown = set(kinds) - set(plans.KINDS)
    if unknown or parsed.instances < 1 or parsed.lease < 3 * parsed.timeout:
        parser.error(f"--kinds: one or more of {','.join(plans.KINDS)}; --instances: 1 or more;"
                     " --lease: 3 timeouts or more")
    seconds = parsed.minutes * 60 if parsed.minutes else parsed.seconds
    options = Options(parsed.seed, seconds, parsed.instances, parsed.writes, parsed.rate,
                      parsed.burst, parsed.timeout, parsed.lease, kinds)
    return options, parsed


def main(arguments):
    options, parsed = parse(arguments)
    if parsed.plan:
        print(*options.plan(), sep="\n")
        return 0
    folder = pathlib.Path(tempfile.mkdtemp(prefix="imprint-sync-chaos."))
    cluster = harness.Cluster()
    failed = True
    try:
        cluster.start()
        numbers = chaos(options, cluster, folder)
        print_numbers(numbers)
        failed = False
        return 0
    except AssertionError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        cluster.remove()
        if not failed and not parsed.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    os.umask(0o077)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    sys.exit(main(sys.argv[1:]))

"""config/monitoring: real mtail, promtool and lnav on a real log, and on a line of every event.

mtail and lnav come with the tests' packages; promtool is fetched by tests/run (tests/lib/setup.sh).
"""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess

import pytest
import yaml

import harness
from harness import TOP, email, new_customer
from test_manual import logged

MONITORING = TOP / "config/monitoring"
STAMP = "2026-03-04T05:06:07.089Z"


def tool(name):
    path = shutil.which(name, path=f"{os.environ['PATH']}:{TOP}/build/tools")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def logfmt(event, level="info", **fields):
    return " ".join([STAMP, level, event, *(f"{key}={value}" for key, value in fields.items())])


def as_json(line):
    """A line of logfmt as log.format json writes it."""
    fields = {key: json.loads(value) if re.fullmatch(r"-?\d+(\.\d+)?", str(value)) else value
              for key, value in harness.parse_line(line).items()}
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
    return re.sub(r'(:\d+\.\d)(?=[,}])', r"\g<1>00", text)  # always three decimals


def as_message(line):
    """As MESSAGE has it in the journal."""
    return line.split(" ", 2)[2]


FORMS = {"logfmt": lambda line: line, "json": as_json, "journal": as_message}


@pytest.fixture(scope="module")
def real_log(cluster, tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    db, sandbox = cluster.new_database(), harness.Sandbox(folder).start()
    config = harness.Config(folder, {"database": {"dsn": db.dsn()}, "imprint": {"base_url": sandbox.url}})
    daemon = harness.Daemon(config)
    try:
        yield eventful_lines(db, sandbox, config, daemon)
    finally:
        daemon.stop()
        sandbox.stop()
        db.drop()


def eventful_lines(db, sandbox, config, daemon):
    """The lines of a daemon that sent, lost API and database, was throttled, read its files again, was
    refused, and gave up rows; and of a backfill beside it."""
    daemon.start()
    again = [new_customer() for _ in range(12)]
    for customer in again:
        db.add(customer, email(customer))
    db.wait_drained()
    sandbox.faults("status=503,shape=1")
    for customer in again[:6]:
        db.add(customer, {"email": f"later.{customer[:8]}@example.com"})
    daemon.wait_event("api.down")
    sandbox.faults()
    daemon.wait_event("api.up")
    db.wait_drained()
    sandbox.faults("status=429,count=1,header=Retry-After: 1")
    db.add(again[7], {"email": "throttled@example.com"})
    daemon.wait_event("api.throttled")
    daemon.wait_event("api.up", 2)
    db.wait_drained()
    db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
               " WHERE datname = current_database() AND usename = 'sync_daemon'")
    daemon.wait_event("db.connect", 2)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_event("daemon.reload")
    backfill = config.command("backfill", "--all", "--name", "march")
    assert backfill.returncode in (0, 65), backfill.stderr
    db.wait_settled(db.add(new_customer(), {"email": "no address"}))
    db.wait_drained()
    customer = new_customer()
    sandbox.faults("status=422,shape=1,type=INVALID_REQUEST_ERROR,param=email")
    db.wait_settled(db.add(customer, email(customer)))
    sandbox.faults()
    sandbox.keys("another")
    db.add(new_customer(), {"email": "ada@example.com"})
    daemon.wait_event("api.unauthorized")
    daemon.wait_event("stats", dead=2, paused="unauthorized")
    daemon.stop()
    lines = sorted(daemon.log().splitlines() + backfill.stderr.splitlines(), key=lambda line: line[:24])
    seen = {harness.parse_line(line)["event"] for line in lines}
    assert seen >= {"daemon.start", "daemon.ready", "daemon.reload", "daemon.stopping", "daemon.stop",
                    "db.connect", "db.lost", "lease.acquire", "lease.release", "update.done", "update.retry",
                    "update.dead", "update.held", "api.down", "api.up", "api.throttled", "api.unauthorized",
                    "backfill.start", "backfill.done", "stats"}, seen
    return lines


# ---- mtail ---------------------------------------------------------------------------------------

def metrics(folder, lines):
    """{metric{label="value"}: value} that mtail makes of these lines, its own label left out."""
    log = folder / "mtail.log"
    log.write_text("\n".join(lines) + "\n")
    run = subprocess.run(
        [tool("mtail"), "--one_shot", "--one_shot_format", "prometheus", "--address", "127.0.0.1",
         "--port", "0", "--progs", MONITORING / "imprint-sync.mtail", "--logs", log,
         "--logtostderr"], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    assert "Runtime error" not in run.stderr, run.stderr
    found = {}
    for line in run.stdout.splitlines():
        match = re.match(r"(\w+)\{(.*)\} (\S+)$", line)
        if match:
            labels = [label for label in re.findall(r'\w+="[^"]*"', match[2])
                      if not label.startswith("prog=")]
            found[match[1] + ("{" + ",".join(labels) + "}" if labels else "")] = float(match[3])
    return found


@pytest.mark.parametrize("form", FORMS)
def test_metrics_of_a_real_log(real_log, tmp_path, form):
    found = metrics(tmp_path, [FORMS[form](line) for line in real_log])
    stats = [harness.parse_line(line) for line in real_log
             if harness.parse_line(line)["event"] == "stats"][-1]
    for metric, key in (
            ("requests_total", "sent"), ("accepted_total", "ok"), ("unchanged_total", "unchanged"),
            ("retried_total", "retried"), ("failed_total", "failed"),
            ("throttled_total", "throttled"), ("pending_rows", "pending"), ("due_rows", "due"),
            ("retrying_rows", "retrying"), ("dead_rows", "dead"), ("in_flight_requests", "in_flight"),
            ("oldest_pending_seconds", "oldest_s"), ("rate_limit_per_second", "rate_limit"),
            ("rate_allowed_per_second", "rate"), ("slots", "slots"),
            ("oldest_transaction_seconds", "xmin_age_s"), ("resident_kibibytes", "rss_kb")):
        assert found[f"imprint_sync_{metric}"] == float(stats[key]), metric
    for metric, key in (
            ('request_seconds{quantile="0.5"}', "p50_ms"), ("settle_seconds", "db_ms"),
            ('request_seconds{quantile="0.95"}', "p95_ms"),
            ('request_seconds{quantile="0.99"}', "p99_ms"),
            ('lag_seconds{quantile="0.5"}', "lag_p50_ms"),
            ('lag_seconds{quantile="0.99"}', "lag_p99_ms")):
        assert found[f"imprint_sync_{metric}"] == pytest.approx(float(stats[key]) / 1000), metric
    assert found['imprint_sync_paused{reason="unauthorized"}'] == 1
    assert found['imprint_sync_paused{reason="down"}'] == 0
    assert found['imprint_sync_dead_updates_total{type="INVALID_REQUEST_ERROR"}'] == 1
    assert found['imprint_sync_dead_updates_total{type="mapping"}'] == 1
    assert found["imprint_sync_last_stats_timestamp_seconds"] > 1.7e9
    for event in logged().keys():
        count = sum(harness.parse_line(line)["event"] == event for line in real_log)
        assert found.get(f'imprint_sync_events_total{{event="{event}"}}', 0) == count, event


VALUES = {"text": "x-1", "integer": 7, "number": "1.500", "boolean": "true"}


def every_line():
    """One for each event and level, with all the keys that it may have."""
    return [logfmt(name, level, **{key: VALUES[kind] for key, kind in event.kinds.items()})
            for name, event in sorted(logged().items()) for level in sorted(event.levels)]


@pytest.mark.parametrize("form", FORMS)
def test_every_event_is_counted(tmp_path, form):
    found = metrics(tmp_path, [FORMS[form](line) for line in every_line()])
    for name, event in logged().items():
        assert found[f'imprint_sync_events_total{{event="{name}"}}'] == len(event.levels), name


def test_every_key_of_stats_becomes_a_metric():
    program = (MONITORING / "imprint-sync.mtail").read_text()
    assert set(re.findall(r'"\?(\w+)"\?\[=:\]', program)) - {"to", "type", "name", "done"} \
        == logged()["stats"].kinds.keys()


@pytest.mark.parametrize("form", FORMS)
def test_pauses_watches_and_backfills(tmp_path, form):
    lines = [logfmt("stats", paused="down"), logfmt("db.lost", "error"),
             logfmt("db.connect"), logfmt("watch.error", "error", relation="crm.orders"),
             logfmt("daemon.stuck", "error", reason="settle"), logfmt("daemon.moving", reason="settle"),
             logfmt("backfill.start", name="all"), logfmt("backfill.start", name="other"),
             logfmt("backfill.progress", name="all", done=500, enqueued=9),
             logfmt("backfill.done", name="other", done=7),
             logfmt("api.down", "warning", **{"from": "open", "to": "url"})]
    found = metrics(tmp_path, [FORMS[form](line) for line in lines] + ["Stopped imprint-sync.", ""])
    assert [key for key, value in found.items() if "paused{" in key and value] \
        == ['imprint_sync_paused{reason="url"}']
    assert found["imprint_sync_watch_problems_total"] == 1
    assert found["imprint_sync_stuck_total"] == 1
    assert found['imprint_sync_backfill_running{name="all"}'] == 1
    assert found['imprint_sync_backfill_running{name="other"}'] == 0
    assert found['imprint_sync_backfill_done_rows{name="all"}'] == 500
    found = metrics(tmp_path, [FORMS[form](line) for line in [
        *lines, logfmt("api.up", **{"from": "url", "to": "open"})]])
    assert not [key for key, value in found.items() if "paused{" in key and value]


# ---- Prometheus ----------------------------------------------------------------------------------

def alerts():
    tree = yaml.safe_load((MONITORING / "alerts.yaml").read_text())
    return {rule["alert"]: rule for group in tree["groups"] for rule in group["rules"]}


def test_alerts_use_metrics_that_there_are_and_each_has_its_test():
    program = (MONITORING / "imprint-sync.mtail").read_text()
    known = set(re.findall(r"^(?:counter|gauge) (\w+)", program, re.M))
    tests = (MONITORING / "alerts_test.yaml").read_text()
    for name, rule in alerts().items():
        used = set(re.findall(r"imprint_sync_\w+", rule["expr"]))
        assert used and used <= known, name
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"] and rule["annotations"]["description"]
        assert name.removeprefix("ImprintSync") in tests, name


def promtool(folder, *arguments):
    return subprocess.run([tool("promtool"), *arguments], cwd=folder, capture_output=True, text=True,
                          timeout=60, check=False)


AT_ONCE = {"ImprintSyncChangesMissed", "ImprintSyncDeadRows", "ImprintSyncStuck"}  # one is enough


def rules_tested(folder, changes):
    """Runs the tests of the rules on a copy in which some alerts have another member."""
    tree = yaml.safe_load((MONITORING / "alerts.yaml").read_text())
    for group in tree["groups"]:
        for rule in group["rules"]:
            rule.update(changes.get(rule["alert"], {}))
    (folder / "alerts.yaml").write_text(yaml.safe_dump(tree))
    shutil.copy(MONITORING / "alerts_test.yaml", folder)
    return promtool(folder, "test", "rules", "alerts_test.yaml")


def test_the_rules_are_what_they_should_be(tmp_path):
    run = promtool(MONITORING, "check", "rules", "alerts.yaml")
    assert run.returncode == 0, run.stdout + run.stderr
    run = rules_tested(tmp_path, {})
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("name", sorted(alerts()))
def test_each_alert_fires_and_is_quiet_in_time(tmp_path, name):
    """The cases notice an alert that never fires, and one that does too early, or always."""
    assert rules_tested(tmp_path, {name: {"expr": "vector(0) > 1"}}).returncode != 0
    eager = re.sub(r"> (\d+)$", "> 1", re.sub(r"\b(30m|2h)\b", "2m", alerts()[name]["expr"]))
    early = "vector(1)" if name in AT_ONCE else eager
    assert rules_tested(tmp_path, {name: {"expr": early, "for": "0s"}}).returncode != 0


# ---- lnav ----------------------------------------------------------------------------------------

def lnav(folder, table, lines):
    """[{event, log_level, ...}] of the lines that lnav takes as our format."""
    log = folder / "lnav.log"
    log.write_text("\n".join(lines) + "\n")
    formats = folder / ".lnav/formats/imprint-sync"
    formats.mkdir(parents=True, exist_ok=True)
    shutil.copy(MONITORING / "imprint-sync.lnav.json", formats / "format.json")
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "TERM": "dumb", "LANG": "C.UTF-8"}
    run = subprocess.run(
        [tool("lnav"), "-n", "-N", "-c", f";SELECT log_level, event FROM {table}", "-c",
         ":write-csv-to -", log], env=environment, capture_output=True, text=True, timeout=60,
        check=False)
    # What is wrong with the format, or its samples, is said when it is loaded.
    assert run.returncode == 0 and run.stderr == "", run.stdout + run.stderr
    return [(row["log_level"], row["event"]) for row in csv.DictReader(io.StringIO(run.stdout))]


@pytest.mark.parametrize("form, table", [("logfmt", "imprint_sync_log"),
                                         ("json", "imprint_sync_json_log")])
def test_lnav_takes_every_line(real_log, tmp_path, form, table):
    every = every_line()
    assert len(every) >= 35
    for lines in (real_log, every):
        expected = [(event["level"], event["event"]) for event in map(harness.parse_line, lines)]
        assert lnav(tmp_path, table, [FORMS[form](line) for line in lines]) == expected

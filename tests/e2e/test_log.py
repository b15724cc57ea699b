"""The log is an interface: format, names, keys; and what must never stand in it."""

import json
import os
import re
import shutil
import subprocess

import pytest

import checker
import harness
from harness import TOP, email, new_customer

STATS = ("pending oldest_s due retrying dead in_flight sent ok unchanged retried failed throttled"
         " rate_limit rate p50_ms p95_ms p99_ms lag_p50_ms lag_p99_ms db_ms slots paused xmin_age_s"
         " rss_kb").split()


def test_logfmt_lines_have_time_level_and_event(db, sandbox, config, daemon):
    daemon.start()
    db.wait_settled(db.add(new_customer(), {"email": "ada@example.com"}))
    daemon.wait_event("stats", ok=1)
    daemon.stop()
    lines = daemon.log().split("\n")[:-1]
    assert all(harness.parse_line(line) for line in lines), lines
    names = [e["event"] for e in daemon.events()]
    for name in ("daemon.start", "daemon.ready", "db.connect", "lease.acquire", "update.done",
                 "stats", "daemon.stopping", "daemon.stop"):
        assert name in names, f"no {name} in {sorted(set(names))}"
    assert set(STATS) <= set(daemon.events("stats")[-1])


def test_json_lines(db, sandbox, config, daemon):
    config.change({"log": {"format": "json"}})
    daemon.start()
    db.wait_settled(db.add(new_customer(), {"email": "ada@example.com"}))
    daemon.wait_event("stats", ok=1)
    daemon.stop()
    for line in daemon.log().split("\n")[:-1]:
        entry = json.loads(line)
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", entry["ts"])
        assert entry["level"] in ("error", "warning", "info", "debug") and entry["event"]


def test_the_counters_add_up(db, sandbox, config, daemon):
    retried, dead = new_customer(), new_customer()
    sandbox.faults(f"customer={retried},count=2,status=500")
    daemon.start()
    for customer in [retried, *(new_customer() for _ in range(10))]:
        db.add(customer, email(customer))
    db.add(dead, {"email": "no address"})
    db.wait_drained()
    stats = daemon.wait_event("stats", ok=11, pending=0)
    assert int(stats["sent"]) == len(sandbox.journal()) == 13
    assert int(stats["retried"]) == 2
    assert int(stats["dead"]) == 1
    assert int(stats["in_flight"]) == 0
    assert int(stats["slots"]) == 64


def test_levels_are_kept(db, sandbox, config, daemon):
    config.change({"log": {"level": "warning"}})
    daemon.start(wait=False)
    row = db.wait_settled(db.add(new_customer(), {"email": "no address"}))
    assert row["status"] == "dead"
    daemon.stop()
    assert {e["level"] for e in daemon.events()} <= {"warning", "error"}


def test_nothing_of_a_customer_in_a_debug_log_of_failures(db, sandbox, config, daemon):
    """Answers that quote the customer's data, values that cannot be mapped, failures in SQL."""
    config.change({"imprint": {"timeout": "1s", "connect_timeout": "1s"}, "retry": {"base": "10ms", "cap": "50ms"}})
    values = ["jane.secret@example.com", "Zephyrine", "+14155550123", "O'Secretive", "Hidden Lane 5"]
    row = {"email": values[0], "first_name": values[1], "mobile": values[2], "last_name": values[3],
           "address": {"line1": values[4]}}
    victims = [new_customer() for _ in range(6)]
    quoted = "message=Invalid email: jane.secret@example.com of Zephyrine"
    sandbox.faults(
        f"customer={victims[0]},status=400,shape=1,type=Zephyrine O'Secretive,"
        f"param=jane.secret@example.com,{quoted}",
        f"customer={victims[1]},status=400,shape=2,{quoted}",
        f"customer={victims[2]},status=500,count=2,shape=1,{quoted}",
        f"customer={victims[3]},not-json,count=1",
        f"customer={victims[4]},cut,count=1",
    )
    daemon.start()
    for victim in victims:
        db.add(victim, row)
    for bad in ({"email": "jane.secret@"}, {"mobile": "Hidden Lane 5"}, {"ltv_currency": "Zephyrine"}):
        db.add(new_customer(), {**row, **bad})
    db.wait_drained()
    daemon.stop()
    log = daemon.log()
    assert checker.leaks(log, [*values, "jane.secret"], [harness.KEY, "ssn4", "date_of_birth"]) == []
    # It is in the database, for whoever may read it.
    assert any("jane.secret@example.com" in (r["error"] or "") for r in db.rows())


# ---- one-liners of the manual ---------------------------------------------------------------------

# Takes the options as the real one does, and then shows the log that the test has.
JOURNALCTL = """#!/bin/sh
/usr/bin/journalctl -q -D "$EMPTY" "$@" >/dev/null || exit 9
case " $* " in
    *' -o json '*) exec cat "$LOGS/json" ;;
    *' -o cat '*) exec cat "$LOGS/cat" ;;
    *) exec cat "$LOGS/short" ;;
esac
"""


def one_liners():
    """Each command line of the manual that reads the journal, but those that follow it."""
    for name in ("imprint-sync.8", "imprint-sync-log.7"):
        text = (TOP / "docs/man" / name).read_text().replace(r"\-", "-").replace(r"\e", "\\")
        blocks = re.findall(r"^\.Dl \$ (journalctl .*)$", text, re.M)
        for block in re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", text, re.M | re.S):
            blocks += re.findall(r"^\$ (journalctl (?:.*\|\n +)*.*)$", block, re.M)
        yield from (block for block in blocks if " -f" not in block)


# What the answer must have in it, by a word that only that line has.
ANSWERS = (("-p warning", "api.down"), ("paste", " pending=0"), ("authorized", "api.up"),
           ("reload", "daemon.start"), ("uniq -c", '1 reason='), ("'(^| )api[.]'", "api.down"),
           ("customer_id|type", " customer_id="), ("imprint-sync report", ""),
           ("CUSTOMER_ID", "update."), ("jq ", '["20'))


@pytest.fixture(scope="module")
def eventful(cluster, tmp_path_factory):
    """The lines of a daemon that sent, met an outage, and gave up a row."""
    folder = tmp_path_factory.mktemp("log")
    database, sandbox = cluster.new_database(), harness.Sandbox(folder).start()
    daemon = harness.Daemon(harness.Config(folder, {
        "database": {"dsn": database.dsn()}, "imprint": {"base_url": sandbox.url}}))
    try:
        daemon.start()
        sandbox.faults("status=503,shape=1")
        for customer in (new_customer() for _ in range(8)):
            database.add(customer, email(customer))
        daemon.wait_event("api.down")
        sandbox.faults()
        database.add(new_customer(), {"email": "no address"})
        database.wait_drained()
        daemon.wait_event("stats", pending=0, ok=8)
        assert daemon.stop() == 0
        yield daemon.log().splitlines()
    finally:
        daemon.stop()
        sandbox.stop()
        database.drop()


def journal_of(lines, form, folder):
    """The log as journalctl shows it, for each of its outputs."""
    message = {"logfmt": lambda line: line, "journal": lambda line: line.split(" ", 2)[2],
               "json": lambda line: json.dumps(harness.parse_line(line), separators=(",", ":"))}[form]
    shown = ["Started imprint-sync.service.", *map(message, lines)]
    (folder / "cat").write_text("\n".join(shown) + "\n")
    (folder / "short").write_text("".join(
        f"Mar 04 05:06:07 crm imprint-sync[7]: {line}\n" for line in shown))
    entries = [{"MESSAGE": line} for line in shown]
    if form == "journal":
        entries = [{key.upper(): value for key, value in harness.parse_line(line).items()} for line in lines]
    (folder / "json").write_text("".join(
        json.dumps({"__REALTIME_TIMESTAMP": "1772600767000000", **entry}) + "\n" for entry in entries))


@pytest.mark.parametrize("form", ["logfmt", "journal", "json"])
def test_the_one_liners_of_the_manual_find_it(eventful, tmp_path, form):
    if shutil.which("journalctl") is None:
        pytest.skip("no journalctl on this machine")
    for name in ("bin", "logs", "empty", "here"):
        (tmp_path / name).mkdir()
    (tmp_path / "bin/journalctl").write_text(JOURNALCTL)
    (tmp_path / "bin/journalctl").chmod(0o755)
    (tmp_path / "bin/imprint-sync").symlink_to(harness.imprint_sync())
    journal_of(eventful, form, tmp_path / "logs")
    environment = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
                   "LOGS": str(tmp_path / "logs"), "EMPTY": str(tmp_path / "empty")}
    lines = list(one_liners())
    assert len(lines) >= 10, lines
    for line in lines:
        needle = [answer for word, answer in ANSWERS if word in line]
        assert needle, f"what should this find? {line}"
        if " jq " in line and (form != "json" or shutil.which("jq") is None):
            continue
        if form == "json" and "jq" not in line and "report" not in line and "grep" in line:
            continue  # written for key=value
        run = subprocess.run(["bash", "-o", "pipefail", "-c", line], env=environment,
                             cwd=tmp_path / "here", capture_output=True, text=True, timeout=60, check=False)
        assert run.returncode == 0 and run.stderr == "", f"{line}: {run.stderr}"
        assert needle[0] in run.stdout, f"{line}: {run.stdout}"
    assert (tmp_path / "here/today.html").read_text().startswith("<!DOCTYPE html>")


def test_jq_reads_every_line(db, sandbox, config, daemon):
    """Also with what an application, or Imprint, puts where it can be logged."""
    if shutil.which("jq") is None:
        pytest.skip("no jq on this machine")
    config.change({"log": {"format": "json"}})
    sandbox.faults('status=400,shape=1,type=a"b\\\\c,param=x y')
    daemon.start()
    for customer in ('x"\n{"event":"forged"}', "a\u2028b\u0007", "\\", "c\n2026-01-01T00:00:00.000Z info stats"):
        db.add(customer, {"email": "ada@example.com"})
    db.wait_settled(db.add(new_customer(), {"email": "ada@example.com"}))
    db.wait_drained()
    daemon.stop()
    run = subprocess.run(["jq", "-e", "-r", ".event"], input=daemon.log(), capture_output=True, text=True,
                         timeout=60, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    lines = daemon.log().split("\n")[:-1]
    assert len(run.stdout.split()) == len(lines) and "forged" not in run.stdout.split()
    assert sum(json.loads(line)["event"] == "update.dead" for line in lines) == 5


def test_the_log_says_the_version_of_its_contract(db, sandbox, config, daemon):
    daemon.start()
    daemon.stop()
    version = daemon.events("daemon.start")[0]["log_version"]
    page = (TOP / "docs/man/imprint-sync-log.7").read_text()
    assert f"This page is version {version} of the contract" in page

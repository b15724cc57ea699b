"""`log.format: journal` against the real socket's place, and priorities on standard error.

The journal's socket has a fixed path. So the daemon runs in a mount namespace with a /run of its own,
in which a stand-in for journald listens.
"""

import json
import os
import re
import subprocess
import sys

import pytest

import harness
from harness import TOP

# Argument 1: whether to listen; the rest: the program.
JOURNALD = r'''
import json, os, socket, subprocess, sys
os.makedirs("/run/systemd/journal")
path = "/run/systemd/journal/socket"
if sys.argv[1] == "listen":
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(path)
    listener.setblocking(False)
run = subprocess.run(sys.argv[2:], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60)
entries = []
while sys.argv[1] == "listen":
    try:
        data = listener.recv(1 << 20)
    except BlockingIOError:
        break
    entry = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:  # a length, then the bytes
            size = int.from_bytes(data[:8], "little")
            value, data = data[8:8 + size], data[9 + size:]
        entry[name.decode()] = value.decode("utf-8", "replace")
    entries.append(entry)
print(json.dumps({"code": run.returncode, "entries": entries,
                  "stderr": run.stderr.decode("utf-8", "replace")}))
'''


def own_mounts():
    """The command that runs another one with mounts of its own, or None."""
    for flags in (["-m"], ["-U", "--map-current-user", "--keep-caps", "-m"], ["-U", "-r", "-m"]):
        command = ["unshare", *flags, "sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$@"', "sh"]
        if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
            return command
    return None


def run_daemon(config, listen):
    mounts = own_mounts()
    if mounts is None:
        pytest.skip("this machine does not let us have mounts of our own")
    config.change({"log": {"format": "journal"}})
    run = subprocess.run(
        [*mounts, sys.executable, "-c", JOURNALD, listen, harness.imprint_sync(), "-c",
         str(config.file), "run", "--once"], capture_output=True, text=True, timeout=90, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture
def nowhere(tmp_path):
    """Database and API are away: enough for some events."""
    return harness.Config(tmp_path, {
        "database": {"dsn": f"host={tmp_path} dbname=none"}})


def test_entries_have_fields_and_priorities(nowhere):
    result = run_daemon(nowhere, "listen")
    assert result["stderr"] == ""
    entries = {entry["EVENT"]: entry for entry in result["entries"]}
    assert {"daemon.start", "db.lost", "daemon.stop"} <= entries.keys(), result
    start, lost = entries["daemon.start"], entries["db.lost"]
    assert start["PRIORITY"] == "6" and lost["PRIORITY"] == "3"
    assert start["ENVIRONMENT"] == "custom" and start["ONCE"] == "true"
    assert start["SYSLOG_IDENTIFIER"] == "imprint-sync"
    assert re.match(r"daemon\.start version=\S+ log_version=1 instance=\S+ environment=custom once=true$",
                    start["MESSAGE"])
    assert "\n" not in lost["MESSAGE"] and lost["REASON"]
    assert not any(name.startswith("CODE_") for name in start)


def test_without_a_journal_it_is_logfmt_on_standard_error(nowhere):
    result = run_daemon(nowhere, "absent")
    lines = [harness.parse_line(line) for line in result["stderr"].split("\n")[:-1]]
    assert all(lines), result["stderr"]
    assert {"daemon.start", "db.lost", "daemon.stop"} <= {line["event"] for line in lines}


def run_once(config, stream):
    """Standard error of a run with JOURNAL_STREAM as systemd, or somebody else, would set it."""
    log = config.folder / "stderr"
    with open(log, "wb") as file:
        status = os.fstat(file.fileno())
        environment = {**os.environ,
                       "JOURNAL_STREAM": stream.format(dev=status.st_dev, ino=status.st_ino)}
        subprocess.run([harness.imprint_sync(), "-c", str(config.file), "run", "--once"],
                       stderr=file, env=environment, timeout=60, check=False)
    return log.read_text().split("\n")[:-1]


def test_priorities_on_standard_error_if_systemd_reads_it(nowhere):
    lines = run_once(nowhere, "{dev}:{ino}")
    prefixes = {re.match(r"<\d>\S+Z \w+ (\S+)", line)[1]: line[:3] for line in lines}
    assert prefixes["daemon.start"] == "<6>" and prefixes["db.lost"] == "<3>"


def test_no_priorities_for_a_terminal_that_systemd_started(nowhere):
    """Its programs inherit the variable, which names another stream."""
    lines = run_once(nowhere, "{dev}:1")
    assert lines and not any(line.startswith("<") for line in lines)

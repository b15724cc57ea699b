"""The unit file: systemd takes it, it is tight, and it agrees with the program."""

import re
import shutil
import subprocess

import pytest

from harness import TOP, imprint_sync

UNIT = TOP / "systemd/imprint-sync.service"
SECONDS = {"s": 1, "m": 60, "h": 3600}


def settings(name):
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.M)


def seconds(text):
    return int(text[:-1]) * SECONDS[text[-1]]


def analyze(folder, unit, *arguments):
    """systemd-analyze with the unit, whose program is the one that was built."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine")
    file = folder / UNIT.name
    file.write_text(unit.replace("/usr/bin/imprint-sync", imprint_sync()))
    return subprocess.run(["systemd-analyze", *arguments, str(file)], capture_output=True, text=True,
                          timeout=60, check=False)


def test_systemd_takes_it(tmp_path):
    run = analyze(tmp_path, UNIT.read_text(), "verify", "--man=no")
    complaints = [line for line in run.stderr.splitlines() if UNIT.name in line]
    assert run.returncode == 0 and not complaints, run.stderr


def test_a_mistake_in_it_would_be_found(tmp_path):
    wrong = UNIT.read_text().replace("ProtectClock=yes", "ProtectClocks=yes")
    assert "ProtectClocks" in analyze(tmp_path, wrong, "verify", "--man=no").stderr


def test_it_is_tight(tmp_path):
    run = analyze(tmp_path, UNIT.read_text(), "security", "--offline=yes", "--threshold=12", "--no-pager")
    if "unrecognized option" in run.stderr:
        pytest.skip("this systemd-analyze looks at no files")
    assert run.returncode == 0, run.stdout + run.stderr


def test_it_agrees_with_the_program():
    defaults = subprocess.run([imprint_sync(), "check", "--print-defaults"], capture_output=True,
                              text=True, check=True, timeout=30).stdout
    drain = re.search(r"#drain_timeout: (\S+)", defaults)[1]
    [stop] = settings("TimeoutStopSec")
    assert seconds(stop) > seconds(drain) + 10
    assert settings("RestartPreventExitStatus") == ["64 78"]
    credentials = re.findall(r"^#?LoadCredential=(\w+):", UNIT.read_text(), re.M)
    sample = (TOP / "config/imprint-sync.yaml").read_text()
    assert set(credentials) == set(re.findall(r"\$\{CREDENTIALS_DIRECTORY\}/(\w+)", sample))
    # Checked before the daemon is told.
    check, tell = settings("ExecReload")
    assert check.endswith("imprint-sync check --offline") and tell.endswith("kill -HUP $MAINPID")

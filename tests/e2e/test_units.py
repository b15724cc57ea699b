"""The units: systemd takes them, they are tight, and they agree with the program."""

import pathlib
import re
import shutil
import subprocess

import pytest

from harness import TOP, imprint_sync

SERVICE = "imprint-sync.service"
INSTANCE = "imprint-sync@.service"
BACKFILL = "imprint-sync-backfill@.service"
UNITS = [SERVICE, INSTANCE, BACKFILL]
SECONDS = {"s": 1, "m": 60, "h": 3600}


def text_of(unit):
    """As the build made it, with the program that was built."""
    build = pathlib.Path(imprint_sync()).parent
    prefix = re.search(r"^CMAKE_INSTALL_PREFIX:PATH=(.*)$", (build / "CMakeCache.txt").read_text(), re.M)[1]
    text = (build / "systemd" / unit).read_text()
    assert f"{prefix}/bin/imprint-sync" in text
    return text.replace(f"{prefix}/bin/imprint-sync", imprint_sync())


def settings(name, unit=SERVICE):
    return re.findall(rf"^{name}=(.*)$", text_of(unit), re.M)


def seconds(text):
    return int(text[:-1]) * SECONDS[text[-1]]


def analyze(folder, unit, text, *arguments):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine")
    file = folder / unit.replace("@", "@x-1")  # a template is looked at as one of its units
    file.write_text(text)
    return subprocess.run(["systemd-analyze", *arguments, str(file)], capture_output=True, text=True,
                          timeout=60, check=False)


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_takes_it(tmp_path, unit):
    run = analyze(tmp_path, unit, text_of(unit), "verify", "--man=no")
    complaints = [line for line in run.stderr.splitlines() if "imprint-sync" in line]
    assert run.returncode == 0 and not complaints, run.stderr


def test_a_mistake_in_it_would_be_found(tmp_path):
    wrong = text_of(SERVICE).replace("ProtectClock=yes", "ProtectClocks=yes")
    assert "ProtectClocks" in analyze(tmp_path, SERVICE, wrong, "verify", "--man=no").stderr


@pytest.mark.parametrize("unit", UNITS)
def test_it_is_tight(tmp_path, unit):
    run = analyze(tmp_path, unit, text_of(unit), "security", "--offline=yes", "--threshold=12", "--no-pager")
    if "unrecognized option" in run.stderr:
        pytest.skip("this systemd-analyze looks at no files")
    assert run.returncode == 0, run.stdout + run.stderr


def directives(unit):
    return [line for line in text_of(unit).splitlines() if line and line[0] not in "#["]


def test_an_instance_is_the_service_under_another_name():
    assert [line for line in directives(INSTANCE) if not line.startswith("Description=")] == \
        [line for line in directives(SERVICE) if not line.startswith("Description=")]
    assert "WantedBy=multi-user.target" in directives(INSTANCE)
    assert "%i" in settings("Description", INSTANCE)[0]


def test_a_backfill_may_no_more_than_the_service_and_is_not_started_by_itself():
    rights = directives(SERVICE)
    rights = rights[rights.index("LoadCredential=api_key:/etc/imprint-sync/api_key"):]
    assert len(rights) > 25 and rights.pop() == "WantedBy=multi-user.target"
    assert directives(BACKFILL)[-len(rights):] == rights
    assert settings("Restart", BACKFILL) == ["no"] and "[Install]" not in text_of(BACKFILL)
    assert settings("TimeoutStopSec", BACKFILL) == settings("TimeoutStopSec")


def test_it_agrees_with_the_program():
    defaults = subprocess.run([imprint_sync(), "check", "--print-defaults"], capture_output=True,
                              text=True, check=True, timeout=30).stdout
    drain = re.search(r"#drain_timeout: (\S+)", defaults)[1]
    [stop] = settings("TimeoutStopSec")
    assert seconds(stop) > seconds(drain) + 10
    assert settings("RestartPreventExitStatus") == ["64 78"]
    credentials = re.findall(r"^#?LoadCredential=(\w+):", text_of(SERVICE), re.M)
    sample = (TOP / "config/imprint-sync.yaml").read_text()
    assert set(credentials) == set(re.findall(r"\$\{CREDENTIALS_DIRECTORY\}/(\w+)", sample))
    # Checked before the daemon is told.
    check, tell = settings("ExecReload")
    assert check.startswith("+") and check.endswith("imprint-sync -c ${CONFIG} check --offline") and tell.endswith("kill -HUP $MAINPID")

"""What systemd is told: the watchdog is fed in work, idleness and every outage, and not when the
daemon is stuck although its loop turns; and the line of `systemctl status`."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

import harness

WATCHDOG_S = 1  # of systemd, which would end the process so long after it was fed last


class Manager(threading.Thread):
    """Takes what the daemon tells the service manager, always: a full socket would block it."""

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.path = str(folder / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.fed, self.status = [], []  # (time, text)
        self.start()

    def run(self):
        while message := self.socket.recv(4096):
            for line in message.decode().splitlines():
                now = time.monotonic()
                if line == "WATCHDOG=1":
                    self.fed.append(now)
                elif line.startswith("STATUS="):
                    self.status.append((now, line.removeprefix("STATUS=")))

    def close(self):
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as end:
            end.sendto(b"", self.path)
        self.join()
        self.socket.close()

    def wait_fed(self, times):
        """It is fed so often, each time before systemd would lose its patience."""
        begin = len(self.fed)
        harness.wait_until(lambda: len(self.fed) >= begin + times, "the watchdog is fed", 20)
        gaps = [b - a for a, b in zip(self.fed[begin:], self.fed[begin + 1:])]
        assert sorted(gaps)[len(gaps) // 2] < WATCHDOG_S / 2, gaps

    def wait_status(self, pattern):
        def told():
            return self.status and re.fullmatch(pattern, self.status[-1][1])
        try:
            return harness.wait_until(told, f"STATUS is {pattern}")
        except AssertionError as failure:
            raise AssertionError(f"{failure}: {self.status[-5:]}") from None


@pytest.fixture(name="manager")
def _manager(tmp_path, monkeypatch):
    manager = Manager(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", manager.path)
    monkeypatch.setenv("WATCHDOG_USEC", str(WATCHDOG_S * 1000000))
    yield manager
    manager.close()


def alive(daemon):
    return not daemon.events("daemon.stuck")


# ---- fed -----------------------------------------------------------------------------------------

def test_idle(daemon, manager):
    daemon.start()
    manager.wait_status(r"nothing waiting, 0\.0/s of 1000\.0/s, API open, 64 of 64 slots")
    manager.wait_fed(12)
    assert alive(daemon)


def test_busy(db, config, daemon, manager):
    config.change({"delivery": {"rate": "40/s", "burst": 4}})
    for _ in range(400):
        customer = harness.new_customer()
        db.add(customer, harness.email(customer))
    daemon.start()
    manager.wait_fed(12)
    manager.wait_status(r"\d+ waiting \(oldest .*\), 3\d\.\d/s of 40\.0/s, API open, 64 of 64 slots")
    db.wait_drained()
    times = [at for at, _ in manager.status]
    assert min(b - a for a, b in zip(times, times[1:])) > 0.5, manager.status  # no flood
    assert alive(daemon)


def test_the_api_is_away(db, sandbox, daemon, manager):
    sandbox.stop()
    daemon.start()
    for _ in range(20):
        customer = harness.new_customer()
        db.add(customer, harness.email(customer))
    daemon.wait_event("api.down")
    manager.wait_status(r".*, 0\.0/s of 1000\.0/s, API down for .* s, 64 of 64 slots")
    manager.wait_fed(12)
    assert alive(daemon) and db.pending() == 20
    sandbox.start()
    db.wait_drained()


def test_paused_by_hand(db, config, daemon, manager):
    daemon.start()
    assert config.command("pause").returncode == 0
    db.add(customer := harness.new_customer(), harness.email(customer))
    manager.wait_status(r"1 waiting \(oldest .* s\), .* of 1000\.0/s, paused by hand for .* s, 64 of 64 slots")
    manager.wait_fed(4)
    assert alive(daemon) and db.pending() == 1
    assert config.command("resume").returncode == 0
    db.wait_drained()


def test_standing_by(config, daemon, manager, tmp_path):
    """burst 1: one instance has all slots."""
    config.change({"delivery": {"burst": 1}})
    first = harness.Daemon(config)
    first.log_file = tmp_path / "first.log"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("NOTIFY_SOCKET")
        first.start()
    try:
        daemon.start()
        assert daemon.events("daemon.ready")[-1]["slots"] == "0"
        manager.wait_status(r"nothing waiting, 0\.0/s of 0\.0/s, API open, 0 of 64 slots")
        manager.wait_fed(12)
        assert alive(daemon)
    finally:
        assert first.stop() == 0


@pytest.fixture(name="own")
def _own(config):
    """A cluster of its own, with a database that the configuration names."""
    with harness.Cluster().running() as cluster:
        database = cluster.new_database()
        config.change({"database": {"dsn": database.dsn()}})
        yield database


def test_the_database_is_away(own, daemon, manager):
    daemon.start()
    own.cluster.stop(signal.SIGQUIT)
    daemon.wait_event("db.lost")
    manager.wait_status(r"database away for .* s, 0 in flight")
    manager.wait_fed(12)
    assert alive(daemon)
    own.cluster.start()
    daemon.wait_event("db.connect", 2)


@pytest.mark.slow
def test_the_database_stands_still(own, daemon, manager):
    """Its own time limit ends the statement, and then that of connecting each try."""
    daemon.start()
    backends = [row["pid"] for row in own.query(
        "SELECT pid FROM pg_stat_activity WHERE usename = 'sync_daemon'")]
    assert backends
    stopped = [own.cluster.process.pid, *backends]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        daemon.wait_event("db.lost")
        manager.wait_fed(12)
        assert alive(daemon)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    daemon.wait_event("db.connect", 2)


# ---- not fed -------------------------------------------------------------------------------------

@pytest.mark.slow
def test_a_lost_answer(db, daemon, manager, tmp_path, monkeypatch):
    """libcurl ends the transfer, but never says so: the loop turns, and nothing goes on."""
    if "sanitize" in harness.imprint_sync():
        pytest.skip("a preloaded library and the sanitizer do not go together")
    source, library = tmp_path / "deaf.c", tmp_path / "deaf.so"
    source.write_text("void *curl_multi_info_read(void *multi, int *left);\n"
                      "void *curl_multi_info_read(void *multi, int *left)\n"
                      "{ (void)multi; *left = 0; return 0; }\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    daemon.start()
    monkeypatch.delenv("LD_PRELOAD")
    manager.wait_fed(4)
    db.add(customer := harness.new_customer(), harness.email(customer))
    stuck = daemon.wait_event("daemon.stuck")
    assert stuck["level"] == "error" and stuck["reason"] == "request"
    assert 10 <= int(stuck["overdue_s"]) <= 20  # behind the timeout of 2 s
    told = time.monotonic()
    turns = len(daemon.events("stats"))
    daemon.wait_event("stats", turns + 3)  # a second apart: the loop turns
    assert manager.fed[-1] < told + 0.5 and manager.fed[-1] < time.monotonic() - WATCHDOG_S
    assert len(daemon.events("daemon.stuck")) == 1
    daemon.kill()  # as systemd does

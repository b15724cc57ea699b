"""Fixtures; what they hand out is in harness.py."""

import ctypes
import os
import pathlib
import signal
import sys

import pytest

import harness

sys.path[:0] = [str(harness.TOP / "tests" / folder) for folder in ("demo.d", "chaos.d")]
sys.dont_write_bytecode = True

PR_SET_PDEATHSIG = 1


def end_politely(number, frame):
    raise KeyboardInterrupt


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: left out by tests/run --fast")
    # Killed, or left alone by a parent that was: the fixtures still end what they started.
    signal.signal(signal.SIGTERM, end_politely)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    os.umask(0o077)
    os.environ.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
    os.environ.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0")


def pytest_collection_modifyitems(config, items):
    if os.environ.get("IMPRINT_TEST_FAST"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="takes long"))


def pytest_sessionfinish(session, exitstatus):
    # With -k PATTERN most files have nothing to run, which is no failure.
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK


@pytest.fixture(scope="session")
def cluster():
    with harness.Cluster().running() as cluster:
        yield cluster


@pytest.fixture
def db(cluster):
    database = cluster.new_database()
    yield database
    database.drop()


@pytest.fixture
def sandbox(tmp_path):
    sandbox = harness.Sandbox(tmp_path)
    sandbox.start()
    yield sandbox
    sandbox.stop()


@pytest.fixture
def config(tmp_path, db, sandbox):
    return harness.Config(pathlib.Path(tmp_path), {
        "database": {"dsn": db.dsn()}, "imprint": {"base_url": sandbox.url}})


@pytest.fixture
def daemon(config, request):
    """Not started yet. At the end it must stop cleanly, whatever the test did with it."""
    daemon = harness.Daemon(config)
    yield daemon
    code = daemon.stop()
    if hasattr(request.node, "failed_call"):
        sys.stderr.write(daemon.log()[-6000:])
    assert code in (None, 0), f"the daemon ended with {code}:\n{daemon.log()[-3000:]}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call" and outcome.get_result().failed:
        item.failed_call = True

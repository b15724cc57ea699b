"""A database that says nothing at all, or ends every conversation."""

import os
import signal

import trouble
from harness import new_customer


def test_a_proxy_that_passes_nothing_on(cluster, db, sandbox, config, daemon):
    config.change(trouble.BOUND)
    with trouble.Forwarder(cluster) as way:
        config.change({"database": {"dsn": way.dsn(db.name)}})
        trouble.survive_silence(db, sandbox, daemon, way.frozen.set, way.frozen.clear)


def test_a_database_that_is_stopped_and_goes_on(db, sandbox, config, daemon):
    """SIGSTOP of the backend for less than the deadline: nobody notices."""
    daemon.start()
    customers = [new_customer() for _ in range(200)]
    trouble.add_each(db, customers[:100])
    [backend] = trouble.sessions(db)
    os.kill(backend, signal.SIGSTOP)
    try:
        trouble.add_each(db, customers[100:])
        daemon.wait_event("stats", len(daemon.events("stats")) + 3)
    finally:
        os.kill(backend, signal.SIGCONT)
    trouble.check_each_once(db, sandbox, customers)
    assert not daemon.events("db.lost")


def test_a_way_that_breaks_again_and_again(cluster, db, config, daemon):
    """Connections that end as soon as they are used are no reason to hurry."""
    with trouble.Forwarder(cluster) as way:
        way.fuse = 250  # enough to connect
        config.change({"database": {"dsn": way.dsn(db.name)}})
        daemon.start(wait=False)
        daemon.wait_event("stats", 5)
        assert 3 <= way.accepted <= 12, way.accepted
        assert len(daemon.events("db.lost")) == 1
        way.fuse = None
        daemon.wait_event("daemon.ready")

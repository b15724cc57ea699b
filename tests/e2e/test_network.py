"""A network that can be cut, and name servers that do not answer; with the rights to make them."""

import contextlib
import socket
import time

import pytest

import harness
import trouble


@pytest.fixture
def network():
    reason = trouble.why_no_namespaces()
    if reason is not None:
        pytest.skip(reason)
    with trouble.Network() as network:
        yield network


@pytest.fixture
def far_cluster(network):
    """A cluster at the other end of the cable; its socket is within reach for the test itself."""
    cluster = harness.Cluster(f"listen_addresses={trouble.FAR}")
    try:
        with network.inside(network.far):
            cluster.start()
        with open(cluster.folder / "data/pg_hba.conf", "a", encoding="ascii") as hba:
            hba.write(f"host all all {trouble.NEAR}/24 trust\n")
        cluster.make_template()
        cluster.sql("postgres", "SELECT pg_reload_conf()")
        yield cluster
    finally:
        cluster.remove()


def test_a_network_that_drops_every_packet(far_cluster, network, tmp_path):
    """The same, with nobody there to answer for the other side. The server, too, gets rid of the
    session that it does not hear of any more, with all its locks."""
    db = far_cluster.new_database()

    def mend():
        harness.wait_until(lambda: trouble.sessions(db) == [], "the server gives the session up", 40)
        network.mend()

    with network.inside(network.near):
        sandbox = harness.Sandbox(tmp_path).start()
        config = harness.Config(tmp_path, harness.merged(trouble.BOUND, {
            "database": {"dsn": f"host={trouble.FAR} port={far_cluster.port} dbname={db.name}"
                         " user=sync_daemon"}, "imprint": {"base_url": sandbox.url},
            "outbox": {"lease": "120s"}}))
        daemon = harness.Daemon(config)
        try:
            trouble.survive_silence(db, sandbox, daemon, network.cut, mend)
        finally:
            assert daemon.stop() == 0
            sandbox.stop()
            db.drop()


def test_name_servers_that_do_not_answer(cluster, db, network, tmp_path):
    """The host name is looked up off the loop: the daemon goes on with its other work, and ends
    when it is told to."""
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:5\n")
    with network.inside(network.near), \
            contextlib.closing(socket.socket(type=socket.SOCK_DGRAM)) as deaf:
        deaf.bind(("127.0.0.1", 53))
        config = harness.Config(tmp_path, {
            "database": {"dsn": f"host=db.example,{cluster.folder} port=5432,{cluster.port}"
                         f" dbname={db.name} user=sync_daemon"}})
        daemon = harness.Daemon(config)
        daemon.wrapper = ["unshare", "-m", "sh", "-c",
                          'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"', "sh",
                          str(resolv)]
        daemon.start(wait=False)
        deaf.settimeout(harness.PATIENCE_S)
        assert b"example" in deaf.recv(512)
        daemon.wait_event("stats", 3)
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 5
        # The name is given up after a while, and the next host is there.
        daemon.start(wait=False)
        daemon.wait_event("db.connect", timeout=30)
        assert daemon.stop() == 0

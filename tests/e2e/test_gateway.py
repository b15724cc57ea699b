"""What is between the daemon and Imprint: only the right server is spoken to, over TLS 1.2 at least,
through a proxy if there is one; and no answer takes more time or memory than it may."""

import base64
import shutil
import ssl
import time

import pytest

import gateway
import harness
import trouble
from harness import KEY, email, new_customer

USER, PASSWORD = "proxyuser", "pr0xy-p4ss-91c2"


@pytest.fixture(name="root", scope="module")
def _root(tmp_path_factory):
    return gateway.Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(name="server", scope="module")
def _server(root):
    return root.server()


def trust(config, url, authority, **more):
    config.change({"imprint": {"base_url": url, "ca_file": str(authority), **more}})


def must_be_refused(db, sandbox, config, daemon, reason):
    """By `check` with the reason, by the daemon before a byte of the request has left."""
    check = config.command("check", "--api")
    assert check.returncode == 69, check.stdout + check.stderr
    assert reason in check.stdout, check.stdout
    daemon.start()
    row_id = db.add(customer := new_customer(), email(customer))
    [event] = harness.wait_until(lambda: daemon.events("update.retry")[:1], "it says so")
    assert event["reason"] == "tls", event
    assert db.row(row_id)["status"] == "pending"
    assert daemon.stop() == 0
    assert sandbox.journal() == []
    assert KEY not in daemon.log() + check.stdout + check.stderr


def must_deliver(db, daemon):
    daemon.start()
    row_id = db.add(customer := new_customer(), email(customer))
    row = db.wait_settled(row_id)
    assert row["status"] == "done", row


# ---- the server's certificate ---------------------------------------------------------------------

def expired(root):
    return root.server("expired", days=0)


def of_another_host(root):
    return root.server("elsewhere", "DNS:elsewhere.example,IP:127.0.0.2")


def self_signed(root):
    return root.sign_itself("itself", "subjectAltName=IP:127.0.0.1")


def of_another_authority(root):
    return gateway.Authority(root.folder, "stranger").server("strangers")


def without_its_chain(root):
    return gateway.Authority(root.folder, "between", root).server("chainless")


def for_another_use(root):
    return root.sign("clients", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=clientAuth")


@pytest.mark.parametrize("certificate, reason", [
    (expired, "certificate has expired"),
    (of_another_host, "no alternative certificate subject name matches"),
    (self_signed, "self-signed certificate"),
    (of_another_authority, "unable to get local issuer certificate"),
    (without_its_chain, "unable to get local issuer certificate"),
    (for_another_use, "unsuitable certificate purpose"),
])
def test_a_server_with_a_wrong_certificate_is_refused(db, sandbox, config, daemon, root,
                                                      certificate, reason):
    with gateway.Gateway(sandbox.port, certificate(root)) as gate:
        trust(config, gate.url, root.certificate)
        must_be_refused(db, sandbox, config, daemon, reason)


def test_a_server_with_its_chain_is_trusted(db, sandbox, config, daemon, root):
    between = gateway.Authority(root.folder, "middle", root)
    certificate = between.server("chained")
    with open(certificate, "ab") as chain:
        chain.write(between.certificate.read_bytes())
    with gateway.Gateway(sandbox.port, certificate) as gate:
        trust(config, gate.url, root.certificate)
        must_deliver(db, daemon)


@pytest.mark.parametrize("place", ["folder", "file"])
def test_ca_file_is_trusted_instead_of_the_system(db, sandbox, config, daemon, root, server, place):
    """The system has a folder and a file, and libcurl reads both."""
    reason = trouble.why_no_namespaces()
    if reason is not None:
        pytest.skip(reason)
    other = gateway.Authority(root.folder, "other")
    system = config.folder / "certs"
    system.mkdir()
    shutil.copy(root.certificate if place == "file" else other.certificate,
                system / "ca-certificates.crt")
    if place == "folder":
        shutil.copy(root.certificate, system / "root.pem")
        gateway.openssl("rehash", str(system))
    daemon.wrapper = ["unshare", "-m", "sh", "-c",
                      'mount --bind "$1" /etc/ssl/certs && shift && exec "$@"', "sh", str(system)]
    with gateway.Gateway(sandbox.port, server) as gate:
        config.change({"imprint": {"base_url": gate.url}})
        must_deliver(db, daemon)
        daemon.stop()
        config.change({"imprint": {"ca_file": str(other.certificate)}})
        daemon.start()
        db.add(customer := new_customer(), email(customer))
        [event] = harness.wait_until(lambda: daemon.events("update.retry")[:1], "it says so")
        assert event["reason"] == "tls", event


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_an_old_tls_is_refused(db, sandbox, config, daemon, root, server, version):
    with gateway.Gateway(sandbox.port, server, newest=version) as gate:
        trust(config, gate.url, root.certificate)
        must_be_refused(db, sandbox, config, daemon, "protocol version")


@pytest.mark.parametrize("version, name", [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
                                           (ssl.TLSVersion.TLSv1_3, "TLSv1.3")])
def test_a_newer_tls_is_used(db, sandbox, config, daemon, root, server, version, name):
    with gateway.Gateway(sandbox.port, server, newest=version) as gate:
        trust(config, gate.url, root.certificate)
        must_deliver(db, daemon)
        assert set(gate.versions) == {name}


# ---- the client's certificate ---------------------------------------------------------------------

def test_a_server_that_asks_gets_the_clients_certificate(db, sandbox, config, daemon, root, server):
    client = root.client()
    with gateway.Gateway(sandbox.port, server, client_ca=root.certificate) as gate:
        trust(config, gate.url, root.certificate, client_cert_file=str(client),
              client_key_file=str(gateway.key_of(client)))
        must_deliver(db, daemon)
        assert gate.clients[0]["subject"] == ((("commonName", "client"),),)


@pytest.mark.parametrize("shown", [False, True])
def test_a_server_that_refuses_the_clients_certificate_gets_nothing(db, sandbox, config, daemon, root,
                                                                    server, shown):
    changes = {}
    if shown:
        client = gateway.Authority(root.folder, "unknown").client("wrong")
        changes = {"client_cert_file": str(client), "client_key_file": str(gateway.key_of(client))}
    with gateway.Gateway(sandbox.port, server, client_ca=root.certificate,
                         newest=ssl.TLSVersion.TLSv1_2) as gate:
        trust(config, gate.url, root.certificate, **changes)
        must_be_refused(db, sandbox, config, daemon, "alert")
        assert gate.clients == []


# ---- the proxy ------------------------------------------------------------------------------------

def basic():
    return "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@pytest.mark.parametrize("known", [False, True])
def test_a_proxy_sees_where_to_but_not_what(db, sandbox, config, daemon, root, server, known,
                                            monkeypatch):
    monkeypatch.setenv("PROXY_PASSWORD", PASSWORD)
    monkeypatch.setenv("no_proxy", "*")  # of the environment, which has no say
    login = f"{USER}:${{PROXY_PASSWORD}}@" if known else ""
    with gateway.Gateway(sandbox.port, server) as gate, \
            gateway.Proxy(basic() if known else None) as proxy:
        trust(config, gate.url, root.certificate, proxy=f"http://{login}127.0.0.1:{proxy.port}")
        check = config.command("check", "--api")
        assert check.returncode == 0, check.stdout + check.stderr
        must_deliver(db, daemon)
    assert proxy.heads and all(head.startswith(f"CONNECT 127.0.0.1:{gate.port} ")
                               for head in proxy.heads)
    assert KEY not in "".join(proxy.heads)
    said = daemon.log() + check.stdout + check.stderr + config.command("status").stdout
    assert PASSWORD not in said and basic() not in said


def test_a_proxy_that_refuses_the_password(db, sandbox, config, daemon, root, server, monkeypatch):
    monkeypatch.setenv("PROXY_PASSWORD", PASSWORD + "x")
    with gateway.Gateway(sandbox.port, server) as gate, gateway.Proxy(basic()) as proxy:
        trust(config, gate.url, root.certificate,
              proxy=f"http://{USER}:${{PROXY_PASSWORD}}@127.0.0.1:{proxy.port}")
        check = config.command("check", "--api")
        assert check.returncode == 69 and "407" in check.stdout, check.stdout
        daemon.start()
        row_id = db.add(customer := new_customer(), email(customer))
        [event] = harness.wait_until(lambda: daemon.events("update.retry")[:1], "it says so")
        assert event["reason"] == "connect", event
        assert db.row(row_id)["status"] == "pending"
        assert daemon.stop() == 0
        assert PASSWORD not in daemon.log() + check.stdout + check.stderr


def test_a_proxys_own_certificate_is_verified(db, sandbox, config, daemon, root, server):
    certificate = gateway.Authority(root.folder, "proxys").server("proxy")
    with gateway.Gateway(sandbox.port, server) as gate, \
            gateway.Proxy(certificate=certificate) as proxy:
        trust(config, gate.url, root.certificate, proxy=f"https://127.0.0.1:{proxy.port}")
        must_be_refused(db, sandbox, config, daemon, "certificate")
        assert proxy.heads == []


def test_ca_file_holds_for_a_proxy_as_well(db, sandbox, config, daemon, root, server):
    with gateway.Gateway(sandbox.port, server) as gate, \
            gateway.Proxy(certificate=root.server("proxy")) as proxy:
        trust(config, gate.url, root.certificate, proxy=f"https://127.0.0.1:{proxy.port}")
        must_deliver(db, daemon)
        assert proxy.heads


# ---- answers that do not end ----------------------------------------------------------------------

def endless_headers(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"x-padding: " + b"y" * 1000 + b"\r\n")


def endless_interim_answers(connection):
    while True:
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\nlink: " + b"y" * 1000 + b"\r\n\r\n")


def endless_line(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nx-padding: ")
    while True:
        connection.sendall(b"y" * 65536)


def endless_body(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while True:
        connection.sendall(b" " * 65536)


@pytest.mark.parametrize("answer", [endless_headers, endless_interim_answers, endless_line,
                                    endless_body])
def test_an_answer_without_end_is_cut_off(db, config, daemon, answer):
    with gateway.Scripted(answer) as server:
        config.change({"imprint": {"base_url": server.url, "timeout": "20s",
                                   "connect_timeout": "20s"}, "outbox": {"lease": "60s"}})
        daemon.start()
        db.add(customer := new_customer(), email(customer))
        before = time.monotonic()
        harness.wait_until(lambda: daemon.events("update.retry"), "it gives up")
        assert time.monotonic() - before < 10, "long before the timeout"
        assert all(int(event["rss_kb"]) < 400_000 for event in daemon.events("stats"))


def many_headers(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\n" + b"x-padding: yyyyyyyyyyyy\r\n" * 3000 +
                       b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")


def test_more_headers_than_an_answer_may_have(db, config, daemon):
    """Fewer than libcurl itself would stop at."""
    with gateway.Scripted(many_headers) as server:
        config.change({"imprint": {"base_url": server.url}})
        daemon.start()
        db.add(customer := new_customer(), email(customer))
        [event] = harness.wait_until(lambda: daemon.events("update.retry")[:1], "it gives up")
        assert event["reason"] == "protocol", event


def drops_of_headers(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"x: y\r\n")
        time.sleep(0.1)


def drops_of_body(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while True:
        connection.sendall(b" ")
        time.sleep(0.1)


@pytest.mark.parametrize("answer", [drops_of_headers, drops_of_body])
def test_an_answer_in_drops_ends_at_the_timeout(db, config, daemon, answer):
    with gateway.Scripted(answer) as server:
        config.change({"imprint": {"base_url": server.url, "timeout": "1s", "connect_timeout": "1s"}})
        daemon.start()
        db.add(customer := new_customer(), email(customer))
        [event] = harness.wait_until(lambda: daemon.events("update.retry")[:1], "it gives up")
        assert event["reason"] == "timeout", event

"""`render`: the request that would be sent, or everything that keeps a row from being sent."""

import json
import re
import socket
import threading

import pytest

import harness
from harness import email, new_customer


def render(config, *arguments, stdin="", code=0):
    run = config.command("render", *arguments, stdin=stdin)
    assert run.returncode == code, (run.returncode, run.stdout, run.stderr)
    return run


def parts(run):
    """(request line, {header: value}, body) of what was printed."""
    head, body = run.stdout.split("\n\n", 1)
    first, *headers = head.split("\n")
    return first, dict(h.split(": ", 1) for h in headers), body.rstrip("\n")


def refused(config, *arguments, stdin="", code=65):
    """What standard error says; nothing is printed."""
    run = render(config, *arguments, stdin=stdin, code=code)
    assert run.stdout == ""
    return run.stderr


# ---- the request -------------------------------------------------------------------------------

def test_the_whole_request(db, sandbox, config):
    config.change({"imprint": {"merchant_key": "merchant-7d1"}})
    customer = new_customer()
    row = db.add(customer, email(customer))
    first, headers, body = parts(render(config, "--row", str(row)))
    assert first == f"POST {sandbox.url}/v2/customers/{customer}"
    assert json.loads(body) == email(customer)
    assert headers["Authorization"] == "Bearer (set)"
    assert headers["x-imprint-merchant-key"] == "(set)"
    assert headers["Content-Type"] == "application/json"
    assert int(headers["Content-Length"]) == len(body.encode())


def capture(listener, answers):
    connection, _ = listener.accept()
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    answers.append(data)
    text = b'{"error": "none"}'
    connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
    connection.close()


@pytest.mark.parametrize("auth", ["bearer", "basic"])
def test_what_is_shown_is_what_is_sent(db, config, auth):
    """But for the keys, the length and Host, which is in the URL."""
    requests = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config.change({"imprint": {"base_url": f"http://127.0.0.1:{listener.getsockname()[1]}",
                                   "merchant_key": "merchant-7d1", "auth": auth}})

        def serve():
            connection, _ = listener.accept()  # of the check before the key
            connection.close()
            capture(listener, requests)

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        config.command("check", "--api")
        server.join(harness.PATIENCE_S)
    first, *lines = requests[0].decode().split("\r\n\r\n")[0].split("\r\n")
    sent = dict(line.split(": ", 1) for line in lines)
    assert sent.pop("Host") and first.startswith("POST /v2/customers/")
    _, shown, _ = parts(render(config, stdin='{"email": "a@example.com"}'))
    assert list(sent) == list(shown)
    for name in ("Authorization", "x-imprint-merchant-key"):
        assert shown[name].endswith("(set)") and "(set)" not in sent[name]
    assert shown["Authorization"].split()[0] == sent["Authorization"].split()[0]
    same = set(shown) - {"Authorization", "x-imprint-merchant-key", "Content-Length"}
    assert {n: shown[n] for n in same} == {n: sent[n] for n in same}


def test_neither_key_is_shown(db, config):
    config.change({"imprint": {"merchant_key": "merchant-7d1"}})
    run = render(config, "--explain", stdin='{"email": "a@example.com"}')
    assert harness.KEY not in run.stdout + run.stderr
    assert "merchant-7d1" not in run.stdout + run.stderr


def test_a_row_from_standard_input_is_nobodys(config):
    config.change({"database": {"dsn": "host=/nonexistent dbname=crm"}})
    first, _, body = parts(render(config, stdin=' {"email": "a@example.com"}\n'))
    assert first.endswith("/v2/customers/{customer_id}")
    assert json.loads(body) == {"email": "a@example.com"}


def test_a_customer_of_the_source(db, config):
    db.execute("INSERT INTO crm.customers (id, imprint_customer_id, email, currency)"
               " VALUES (1, '0000abcd-0001-4000-8000-000000000001', 'ada@example.com', 'USD')")
    for spelling in ("0000abcd-0001-4000-8000-000000000001", "0000ABCD-0001-4000-8000-000000000001"):
        first, _, body = parts(render(config, "--customer", spelling))
        assert first.endswith("/" + spelling)
        assert json.loads(body)["email"] == "ada@example.com"
    thin = db.add("0000abcd-0001-4000-8000-000000000001")
    assert json.loads(parts(render(config, "--row", str(thin)))[2])["email"] == "ada@example.com"


def test_explain_names_column_and_type_of_each_field(config):
    run = render(config, "--explain", stdin=json.dumps(
        {"email": "a@example.com", "mobile": "(415) 555-2671", "locale": None}))
    lines = {line.split()[0]: line for line in run.stderr.strip().split("\n")}
    assert re.search(r"from email as email$", lines["email"])
    assert re.search(r"from mobile as phone$", lines["phone"])
    assert "left out: column locale is NULL" in lines["preferred_language"]
    assert "left out: column first_name is not in the row" in lines["first_name"]
    assert parts(run)[2]


def test_nothing_to_send_is_no_error(config):
    run = render(config, stdin='{"nothing": "mapped"}')
    assert run.stdout == "" and "nothing to send" in run.stderr


# ---- what cannot be sent -----------------------------------------------------------------------

def test_every_broken_field_at_once(config):
    said = refused(config, stdin=json.dumps(
        {"email": "no address", "mobile": "12", "lifetime_value": "1.234", "ltv_currency": "USD"}))
    lines = said.strip().split("\n")
    assert lines[0] == "email: column email, type email: is not an e-mail address"
    assert [line.split(":")[0] for line in lines] == [
        "email", "phone", "customer_history.ltv_amount", "imprint-sync"]
    assert "no address" not in said and "1.234" not in said


NO_ROWS = [
    ("", "standard input is empty"),
    (" \n\t", "standard input is empty"),
    ("not json", "standard input: "),
    ('{"email": "a@example.com"', "standard input: "),
    ('{"email": "a@example.com"} {}', "standard input: "),
    ('{"email": "a\x00"}', "standard input: "),
    ("[]", "a row is a JSON object"),
    ('"text"', "a row is a JSON object"),
    ("null", "a row is a JSON object"),
    ('{"a": ' * 5000 + "1" + "}" * 5000, "standard input: "),
    (json.dumps({"first_name": "x" * 2 * 1024 * 1024}), "at most 1 MiB"),
]


@pytest.mark.parametrize("stdin, said", NO_ROWS, ids=range(len(NO_ROWS)))
def test_what_is_no_row(config, stdin, said):
    assert said in refused(config, stdin=stdin)


def test_bytes_that_are_no_utf8(config):
    run = harness.subprocess.run(
        [harness.imprint_sync(), "-c", str(config.file), "render"], input=b'{"email": "\xff"}',
        capture_output=True, timeout=harness.PATIENCE_S, check=False)
    assert run.returncode == 65 and run.stdout == b"" and b"standard input: " in run.stderr


def test_a_request_that_would_be_too_big(config):
    config.change({"mapping": {"first_name": "name", "last_name": "name"}})
    assert "over 1 MiB" in refused(config, stdin=json.dumps({"name": "x" * 600000}))


@pytest.mark.parametrize("customer", ["", "a b", "../accounts/1", "x" * 65, "é"])
def test_a_customer_that_can_be_none(config, customer):
    config.change({"database": {"dsn": "host=/nonexistent dbname=crm"}})
    assert "must match [A-Za-z0-9_-]{1,64}" in refused(config, "--customer", customer)


def test_a_customer_that_is_not_there(db, config):
    customer = new_customer()
    assert f"source.missing: the source has no row of customer {customer}" in refused(
        config, "--customer", customer)
    assert "source.missing" in refused(config, "--customer", "no-uuid")
    assert "source.missing" in refused(config, "--row", str(db.add(customer)))


def test_a_customer_that_is_there_twice(db, config):
    db.execute("CREATE TABLE crm.twice (id text, email text); CREATE INDEX ON crm.twice (id);"
               "INSERT INTO crm.twice VALUES ('a', 'a@example.com'), ('A', 'b@example.com');"
               "GRANT SELECT ON crm.twice TO imprint_sync_daemon")
    config.change({"source": {"relation": "crm.twice", "customer_id": "id", "updated_at": None},
                   "mapping": {"email": "email"}})
    assert "source.duplicate: the source has several rows" in refused(config, "--customer", "a")


def test_a_row_that_is_not_there(db, config):
    assert "the outbox has no row 999999" in refused(config, "--row", "999999")
    assert "the outbox has no row -1" in refused(config, "--row", "-1")


def test_rows_that_cannot_be_sent(db, config):
    assert "must match" in refused(config, "--row", str(db.add("a b", {"email": "a@example.com"})))
    assert "email: column email" in refused(
        config, "--row", str(db.add(new_customer(), {"email": "none"})))
    big = db.add(new_customer(), {"first_name": "x" * 1100000})
    assert "over 1 MiB" in refused(config, "--row", str(big))


def test_a_value_of_the_source_that_cannot_be_read(db, config):
    db.execute("CREATE TABLE crm.casted (id text PRIMARY KEY, ltv text);"
               "INSERT INTO crm.casted VALUES ('a', 'n/a');"
               "CREATE VIEW crm.cast_view AS SELECT id, ltv::numeric AS email FROM crm.casted;"
               "GRANT SELECT ON crm.cast_view TO imprint_sync_daemon")
    config.change({"source": {"relation": "crm.cast_view", "customer_id": "id", "updated_at": None},
                   "mapping": {"metadata": {"ltv": "email"}}})
    said = refused(config, "--customer", "a")
    assert "22P02" in said and "n/a" not in said


# ---- what a person must mend first -------------------------------------------------------------

def test_no_source_for_a_customer(db, config):
    config.change({"source": None})
    assert "no source is configured" in refused(config, "--customer", new_customer(), code=78)
    assert "no source is configured" in refused(config, "--row", str(db.add(new_customer())), code=78)
    assert parts(render(config, "--row", str(db.add("a", {"email": "a@example.com"}))))


@pytest.mark.parametrize("arguments", [["--customer", "a"], ["--row", "1"]])
def test_a_database_that_is_not_ready(db, config, arguments):
    db.execute("REVOKE USAGE ON SCHEMA imprint_sync FROM imprint_sync_daemon")
    assert "lacks a right" in refused(config, *arguments, code=78)
    db.execute("DROP SCHEMA imprint_sync CASCADE")
    assert "migrate" in refused(config, *arguments, code=78)
    config.change({"database": {"dsn": "host=/nonexistent dbname=crm"}})
    assert "cannot be reached" in refused(config, *arguments, code=69)


def test_a_column_that_the_source_lacks(db, config):
    config.change({"mapping": {"email": "e_mail"}})
    said = refused(config, "--customer", new_customer(), code=78)
    assert "42703" in said and "imprint-sync check" in said

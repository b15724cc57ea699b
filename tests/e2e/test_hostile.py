"""Rows that somebody shaped to do harm: each is settled with a reason, no request leaves for any
address but one customer's, and the neighbours are delivered.

The requests are read off the wire: the sandbox's journal has only what its parser made of them."""

import contextlib
import re
import socket
import threading

import pytest

import checker
import harness
from harness import email, new_customer

# The one form of a request, to the last byte of its first line.
REQUEST = re.compile(rb"POST /v2/customers/([A-Za-z0-9_-]{1,64}) HTTP/1\.1")


class Tap:
    """A TCP port that leads to the sandbox and keeps what clients send."""

    def __init__(self, port):
        self.target = port
        self.sent = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
                kept = bytearray()
                self.sent.append(kept)
                for source, sink, keep in ((client, server, kept), (server, client, None)):
                    threading.Thread(target=self.pump, args=(source, sink, keep),
                                     daemon=True).start()

    @staticmethod
    def pump(source, sink, keep):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if keep is not None:
                    keep += data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)

    def requests(self):
        """The first line of each request: what stands where the body before it ended."""
        lines = []
        for sent in self.sent:
            rest = bytes(sent)
            while rest:
                head, _, rest = rest.partition(b"\r\n\r\n")
                first, _, fields = head.partition(b"\r\n")
                [length] = re.findall(rb"(?im)^content-length: (\d+)\r?$", fields)
                assert b"transfer-encoding" not in fields.lower()
                rest = rest[int(length):]
                lines.append(first)
        return lines

    def customers(self):
        """Whom the requests are for; each must have the one form."""
        lines = self.requests()
        wrong = [line for line in lines if not REQUEST.fullmatch(line)]
        assert not wrong, wrong
        return {REQUEST.fullmatch(line)[1].decode() for line in lines}


@pytest.fixture
def tap(sandbox, config):
    tap = Tap(sandbox.port)
    config.change({"imprint": {"base_url": f"http://127.0.0.1:{tap.port}"}})
    yield tap
    tap.listener.close()


ODD_IDS = [
    "", " ", "\t", ".", "..", "/", "//", "a/b", "../accounts/1", "..%2faccounts", "%2e%2e", "a%00b",
    "a?b=c", "a#b", "a;b", "a@b", "@evil.example", "a:b", "//evil.example/x", "http://evil.example",
    "a\rb", "a\nb", "a\r\nb", "x HTTP/1.1\r\nHost: evil.example\r\n\r\nGET /", "a\n", "\ra", "a\x01",
    "a\x1b[2J", "a\x7f", "a b", " a", "a ", "\u00a0", "a\u200bb", "\ufeffa", "a\u202eb", "kunde-ü",
    "客户", "عميل", "клиент", "ａｂｃ", "é", "e\u0301", "🙂", "\U0010ffff", "\ufffe", "\\", "\"", "'",
    "'; DROP TABLE imprint_sync.outbox; --", "{customer_id}", "${HOME}", "$1", "%s%n", "{a,b}", "[1-9]",
    "*", "x" * 65, "x" * 5000, "ü" * 5000, "/" * 5000, "\n" * 5000,
]


def neighbours(db, count=10):
    return {c: db.add(c, email(c)) for c in (new_customer() for _ in range(count))}


def check_unharmed(db, good):
    assert [db.row(i)["status"] for i in good.values()] == ["done"] * len(good)


def check_dead_with_reason(row, *unsaid):
    """No value in the reason, and nothing that a terminal would obey."""
    assert row["status"] == "dead" and row["error"] and row["http_status"] is None, row
    assert row["error"].isprintable(), row
    assert not [word for word in unsaid if word in row["error"]], row


def test_an_odd_id_makes_no_request(db, sandbox, config, daemon, tap):
    good = neighbours(db)
    ids = [db.add(odd, {"email": "a@example.com"}) for odd in ODD_IDS]
    ids += [db.add(odd) for odd in ODD_IDS]
    good |= neighbours(db)
    edge = ["-", "_", "A", "0" * 64, "Ab_-" * 16]  # odd, but one segment that means nothing else
    for customer in edge:
        db.add(customer, {"email": "edge@example.com"})
    daemon.start()
    db.wait_drained()
    for row_id in ids:
        check_dead_with_reason(db.row(row_id), "evil", "DROP")
    check_unharmed(db, good)
    assert tap.customers() == {*good, *edge}
    assert "evil.example" not in daemon.log()


def test_odd_ids_in_the_source(db, sandbox, config, daemon, tap):
    """They come by a backfill, by a list of ids and by a trigger."""
    db.execute("CREATE TABLE crm.people (id text PRIMARY KEY, email text);"
               "GRANT SELECT ON crm.people TO imprint_sync_daemon;"
               "SELECT imprint_sync.watch('crm.people', 'id', 'id', 'crm.people', 'id')")
    config.change({"source": {"relation": "crm.people", "customer_id": "id", "updated_at": None},
                   "mapping": {"email": "email"}})
    # More than that no b-tree holds.
    odd = [one for one in ODD_IDS if len(one.encode()) < 2000]
    good = [new_customer() for _ in range(5)]
    for customer in [*odd, *good]:
        db.execute("INSERT INTO crm.people VALUES (%s, 'a@example.com')", customer)
    daemon.start()
    db.wait_drained()
    assert {r["customer_id"] for r in db.rows() if r["status"] == "dead"} == set(odd)
    db.execute("DELETE FROM imprint_sync.outbox")

    run = config.command("backfill", "--all", "--force", "--name", "all")
    assert run.returncode == 65, run.stderr
    rows = db.rows()
    assert {r["customer_id"] for r in rows if r["status"] == "dead"} == set(odd)
    assert {r["customer_id"] for r in rows if r["status"] == "done"} == set(good)

    lines = [one for one in odd if one.strip() and "\n" not in one and "\r" not in one]
    run = config.command("backfill", "--customers", "-", "--name", "list",
                         stdin="\n".join([*lines, good[0]]))
    assert run.returncode in (64, 65), (run.returncode, run.stderr)
    db.wait_drained()
    assert tap.customers() == set(good)


def test_the_pattern_of_ids_is_anchored(config):
    """Also where it comes from the command line."""
    for odd in (one for one in ODD_IDS if 0 < len(one) < 100):
        run = config.command("render", "--customer", odd)
        assert run.returncode in (64, 65), (odd, run.returncode, run.stderr)
        assert all(c.isprintable() or c == "\n" for c in run.stderr), (odd, run.stderr)
        assert "POST" not in run.stdout


# ---- values --------------------------------------------------------------------------------------

def nested(levels, core="1"):
    return '{"a":' * levels + core + "}" * levels


# What jsonb takes. Each has a word of its own that no reason may repeat.
PAYLOADS = {
    "1,000 objects": '{"email": %s}' % nested(1000, '"t0ken@example.com"'),
    "1,000 arrays": '{"email": %s"t0ken"%s}' % ("[" * 1000, "]" * 1000),
    "1,000 levels of metadata": '{"blob": %s}' % nested(1000, '"t0ken"'),
    "1,000 levels beside": '{"email": "deep@example.com", "other": %s}' % nested(1000),
    "3 MB of text": '{"first_name": "t0ken%s"}' % ("x" * 3_000_000),
    "3 MB that are not mapped": '{"email": "big@example.com", "other": "%s"}' % ("x" * 3_000_000),
    "just under 1 MiB": '{"blob": {"t0ken": "%s"}}' % ("x" * 1_000_000),
    "1e400": '{"lifetime_value": 1e400, "ltv_currency": "USD"}',
    "1e400 as count": '{"order_count": 1e400}',
    "1e400 as text": '{"loyalty_id": 1e400}',
    "1e400 in metadata": '{"blob": {"n": 1e400}}',
    "1e-400": '{"lifetime_value": 1e-400, "ltv_currency": "USD"}',
    "131,000 digits": '{"order_count": %s}' % ("9" * 131_000),
    "2^63": '{"order_count": 9223372036854775808}',
    "-2^63-1": '{"order_count": -9223372036854775809}',
    "-0": '{"order_count": -0}',
    "NaN": '{"lifetime_value": "NaN", "ltv_currency": "USD"}',
    "NaN as count": '{"order_count": "NaN"}',
    "Infinity": '{"lifetime_value": "Infinity", "ltv_currency": "USD"}',
    "-Infinity as tier": '{"tier": "-Infinity"}',
    "infinity as date": '{"joined_at": "infinity"}',
    "year 294276": '{"joined_at": "294276-12-31T23:59:59Z"}',
    "a BC date": '{"joined_at": "0044-03-15T00:00:00+00:00 BC"}',
    "hexadecimal": '{"order_count": "0x10"}',
    "other digits": '{"order_count": "١٢٣"}',
    "control characters": '{"first_name": "t0ken\\u0001\\u001b[2J\\r\\nX-Evil: 1\\u007f\\u0085"}',
    "a line separator": '{"first_name": "t0ken\\u2028\\u2029"}',
    "right to left": '{"first_name": "\\u202et0ken\\u2066"}',
    "no characters": '{"first_name": "\\ufffe\\uffff\\udbff\\udfff"}',
    "a header in the e-mail": '{"email": "t0ken@example.com\\r\\nBcc: x@example.com"}',
    "a zero written": '{"email": "t0ken\\\\u0000@example.com"}',
    "an odd phone": '{"mobile": "+1415555012\\u0663"}',
    "a phone of 5,000": '{"mobile": "+%s"}' % ("1" * 5000),
    "an object for a text": '{"email": {"$gt": "t0ken"}}',
    "an array for a text": '{"email": ["t0ken@example.com"]}',
    "true for a text": '{"email": true}',
    "an empty object": '{"address": {}}',
    "a text for an object": '{"address": "t0ken"}',
    "odd keys": '{"": 1, "\\n": 2, "email\\t": 3, "__proto__": {"email": "t0ken"}, "a.b": 4}',
    "10,000 keys": "{%s}" % ", ".join(f'"k{n}": {n}' for n in range(10_000)),
    "an odd state": '{"address": {"state": "\\u202e t0ken", "country": "USA"}}',
}


def test_odd_values_are_settled_and_harm_nobody(db, sandbox, config, daemon, tap):
    mapping = config.tree["mapping"]
    config.change({"mapping": {**mapping, "metadata": {**mapping["metadata"],
                                                       "blob": {"from": "blob", "as": "json"}}}})
    good = neighbours(db)
    rows = {}
    for name, payload in PAYLOADS.items():
        rows[name] = db.value(
            "INSERT INTO imprint_sync.outbox (customer_id, payload) VALUES (%s, %s) RETURNING id",
            new_customer(), payload)
    good |= neighbours(db)
    daemon.start()
    db.wait_drained()
    check_unharmed(db, good)
    checker.check_all(db, sandbox, rows=len(good) + len(rows))  # what was sent keeps the contract
    for name, row_id in rows.items():
        row = db.row(row_id)
        if row["status"] == "dead":
            assert row["error"] and row["error"].isprintable() and "t0ken" not in row["error"], (name, row)
    dead = {name for name, row_id in rows.items() if db.row(row_id)["status"] == "dead"}
    assert dead >= {
        "1,000 objects", "1,000 arrays", "3 MB of text", "3 MB that are not mapped", "1e400",
        "1e400 as count", "1e-400", "131,000 digits", "2^63", "-2^63-1", "NaN", "NaN as count",
        "Infinity", "infinity as date", "hexadecimal", "other digits", "a header in the e-mail",
        "an object for a text", "an array for a text", "a phone of 5,000"}, sorted(dead)
    tap.customers()
    assert "t0ken" not in daemon.log()


# What jsonb refuses and a column of type json lets through.
DOCUMENTS = {
    "NUL": '{"email": "t0ken\\u0000@example.com"}',
    "NUL in a key": '{"email": "nul@example.com", "\\u0000": 1}',
    "a high surrogate": '{"email": "t0ken\\ud800@example.com"}',
    "a low surrogate": '{"email": "t0ken\\udc00@example.com"}',
    "surrogates the wrong way": '{"email": "t0ken\\udc00\\ud800@example.com"}',
    "a number beyond numeric": '{"email": 1e1000000}',
    "doubled keys": '{"email": "first@example.com", "email": "last@example.com"}',
    "6,000 levels": '{"email": %s}' % nested(6000),
    "3 MB": '{"email": "t0ken%s"}' % ("x" * 3_000_000),
}


def test_odd_documents_in_the_source(db, sandbox, config, daemon, tap):
    """One statement reads them together with their neighbours."""
    db.execute("CREATE TABLE crm.people (id text PRIMARY KEY, doc json, amount numeric, stamp timestamptz);"
               "GRANT SELECT ON crm.people TO imprint_sync_daemon")
    config.change({
        "source": {"relation": "crm.people", "customer_id": "id", "updated_at": None},
        "mapping": {"email": "doc.email", "customer_history": {
            "ltv_amount": {"from": "amount", "as": "minor_units", "currency": "doc.currency"},
            "ltv_currency": "doc.currency", "account_created_at": "stamp"}}})
    bad, good = {}, {}
    plain = '{"email": "a@example.com", "currency": "USD"}'
    for name, document in DOCUMENTS.items():
        bad[name] = new_customer()
        db.execute("INSERT INTO crm.people VALUES (%s, %s)", bad[name], document)
        good[new_customer()] = None
    for name, column, value in (("numeric NaN", "amount", "NaN"), ("numeric infinity", "amount", "Infinity"),
                                ("numeric 1e400", "amount", "1e400"), ("infinity", "stamp", "infinity"),
                                ("before Christ", "stamp", "4713-01-01 00:00:00+00 BC")):
        bad[name] = new_customer()
        db.execute(f"INSERT INTO crm.people (id, doc, {column}) VALUES (%s, %s, %s)", bad[name], plain, value)
    for customer in good:
        db.execute("INSERT INTO crm.people VALUES (%s, %s, 12.5, now())", customer, plain)
    ids = {name: db.add(customer) for name, customer in bad.items()}
    good = {customer: db.add(customer) for customer in good}
    daemon.start()
    db.wait_drained()
    check_unharmed(db, good)
    survives = {"doubled keys"}
    for name, row_id in ids.items():
        row = db.row(row_id)
        if name in survives:
            assert row["status"] == "done", (name, row)
            assert sandbox.state(bad[name])["email"] == "last@example.com"  # as Postgres has it
        else:
            check_dead_with_reason(row, "t0ken")
    assert tap.customers() == {*good, *(bad[name] for name in survives)}
    assert "t0ken" not in daemon.log()


TEXTS = {
    "NUL": '{"email": "t0ken\\u0000@example.com"}',
    "a surrogate": '{"email": "t0ken\\ud800@example.com"}',
    "doubled keys": '{"email": "t0ken@example.com", "email": "t0ken2@example.com"}',
    "1e400": '{"email": 1e400}',
    "NaN": '{"email": NaN}',
    "a raw control character": '{"email": "t0ken\x01"}',
    "no end": '{"email": "t0ken',
    "1,000 levels": nested(1000),
    "100,000 levels": "[" * 100_000,
    "3 MB": '{"email": "%s"}' % ("t0ken" * 600_000),
    "two rows": '{"email": "t0ken@example.com"} {}',
    "a mark in front": "\ufeff{}",
    "a NUL byte": "\0",
}


def test_a_row_on_standard_input(config):
    """Not what Postgres made of it, but as it was written."""
    sendable = set()
    for name, text in TEXTS.items():
        run = config.command("render", stdin=text)
        assert run.returncode in (0, 64, 65), (name, run.returncode, run.stderr)
        assert run.returncode == 0 or run.stderr, name
        assert "t0ken" not in run.stderr, name
        if run.returncode == 0:
            sendable.add(name)
    assert sendable <= {"doubled keys", "1,000 levels"}

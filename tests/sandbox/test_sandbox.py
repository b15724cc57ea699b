"""imprint-sandbox does what its README says: contract, faults, journal, control, TLS.

The binary's path comes from IMPRINT_SANDBOX. Loopback only. Every server must end with
status 0 on SIGTERM, so under a sanitizer a leak fails the test that made it.
"""

import base64
import concurrent.futures
import contextlib
import datetime
import email.utils
import hashlib
import http.client
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time

import pytest

BINARY = os.environ.get("IMPRINT_SANDBOX")
pytestmark = pytest.mark.skipif(not BINARY, reason="IMPRINT_SANDBOX names no binary")

UUID = "bbb815e9-f654-438d-9ad3-3f7bb8136fc0"
NIL = "00000000-0000-0000-0000-000000000000"
GONE = (ConnectionError, http.client.HTTPException)


def wait_until(condition, seconds=10.0):
    """The first true value of condition()."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)


class Server:
    def __init__(self, folder, *options, context=None):
        self.port_file = folder / "port"
        self.journal_file = folder / "journal"
        self.context = context
        self.process = subprocess.Popen(
            [BINARY, "--port", "0", "--port-file", self.port_file, "--journal", self.journal_file,
             *options],
            stdout=subprocess.PIPE, text=True)
        self.banner = self.process.stdout.readline()
        assert self.banner, f"it did not start: {self.process.wait()}"
        self.port = int(self.port_file.read_text())

    def connect(self, timeout=10.0):
        if self.context:
            return http.client.HTTPSConnection("localhost", self.port, timeout=timeout,
                                               context=self.context)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def request(self, method, path, body=None, headers=None, timeout=10.0):
        connection = self.connect(timeout)
        try:
            connection.request(method, path, body, headers or {})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def post(self, customer=UUID, body=None, headers=None, timeout=10.0):
        """`body` may be bytes; header values that are None are left out."""
        if body is None:
            body = {"city": "Reno"}
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        given = {"Authorization": "Bearer key", "Content-Type": "application/json",
                 **(headers or {})}
        given = {name: value for name, value in given.items() if value is not None}
        return self.request("POST", f"/v2/customers/{customer}", body, given, timeout)

    def control(self, method, what, body=None):
        answer = self.request(method, f"/_sandbox/{what}",
                              None if body is None else json.dumps(body))
        assert answer.status == 200, answer.body
        return answer.json

    def faults(self, *specs):
        self.control("PUT", "faults", list(specs))

    def record(self, customer=UUID):
        answer = self.request("GET", f"/_sandbox/customers/{customer}")
        return answer.json if answer.status == 200 else None

    def journal(self, count):
        """The lines, once there are `count`. More is a failure."""
        def read():
            text = self.journal_file.read_text()
            return text if text.count("\n") >= count else None
        lines = [json.loads(line) for line in wait_until(read).splitlines()]
        assert len(lines) == count
        return lines

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        assert self.process.wait(timeout=20) == 0
        self.process.stdout.close()


@pytest.fixture
def start(tmp_path):
    servers = []

    def run(*options, **more):
        folder = tmp_path / str(len(servers))
        folder.mkdir()
        servers.append(Server(folder, *options, **more))
        return servers[-1]

    yield run
    for server in servers:
        if server.process.poll() is None:
            server.stop()


@pytest.fixture
def server(start):
    return start("--api-key", "key", "--journal-bodies")


def shape1(answer):
    assert set(answer.json) == {"error"}
    assert set(answer.json["error"]) - {"param"} == {"type", "message"}
    return answer.json["error"]


def shape2(answer):
    body = answer.json
    assert set(body) == {"path", "error", "status", "details", "timestamp"}
    assert body["status"] == answer.status
    assert body["path"].startswith("/v2/customers/")
    datetime.datetime.fromisoformat(body["timestamp"].replace("Z", "+00:00"))
    return body


def shape3(answer):
    assert set(answer.json) - {"param"} == {"type", "message"}
    return answer.json


# ---- command line ----

def test_help_names_every_option():
    done = subprocess.run([BINARY, "--help"], capture_output=True, text=True, check=True)
    for option in ("port", "port-file", "listen", "journal", "journal-bodies", "api-key",
                   "merchant-key", "tls", "cert", "cert-key", "make-cert", "rate", "burst",
                   "retry-after-date", "strict-customers", "latency-ms", "fault", "seed",
                   "die-with-parent", "help"):
        assert f"  --{option} " in done.stdout


@pytest.mark.parametrize("arguments", [
    ["--nonsense"], ["stray"], ["--port"], ["--port", "65536"], ["--port", "12x"],
    ["--rate", "0/s"], ["--rate", "5/h"], ["--tls"], ["--cert", "x"],
    ["--fault", "explode"], ["--fault", "p=0.5"], ["--fault", "status=99"],
    ["--fault", "reset,hang"], ["--fault", "status"], ["--fault", "hang=1"],
    ["--fault", "status=500,p=2"], ["--fault", "status=500,count=-1"], ["--fault", ""],
])
def test_wrong_usage_is_64(arguments):
    assert subprocess.run([BINARY, *arguments], capture_output=True).returncode == 64


def test_a_file_that_cannot_be_opened_is_1(tmp_path):
    for option in ("--journal", "--strict-customers", "--port-file"):
        done = subprocess.run([BINARY, option, tmp_path / "no" / "such"], capture_output=True)
        assert done.returncode == 1
        assert b"No such file" in done.stderr


def test_a_port_in_use_is_1(server):
    done = subprocess.run([BINARY, "--port", str(server.port)], capture_output=True)
    assert done.returncode == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_also_while_requests_wait(start, number):
    server = start("--fault", "hang,customer=h", "--latency-ms", "60000")
    connections = []
    for customer in ("h", "waits"):
        connection = server.connect()
        connection.request("POST", f"/v2/customers/{customer}", '{"city":"x"}',
                           {"Authorization": "Bearer k", "Content-Type": "application/json"})
        connections.append(connection)
    wait_until(lambda: server.control("GET", "stats")["applied"] == 0
               and server.control("GET", "stats")["in_progress"] == 2
               and server.record("h") and server.record("waits"))
    server.stop(number)
    assert [line["aborted"] for line in server.journal(2)] == [True, True]
    for connection in connections:
        connection.close()


def test_it_ends_with_its_parent(tmp_path):
    port_file = tmp_path / "port"
    script = ("import subprocess, sys; subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL);"
              "sys.stdin.readline()")
    parent = subprocess.Popen(
        [sys.executable, "-c", script, BINARY, "--die-with-parent", "--port-file", port_file],
        stdin=subprocess.PIPE)
    port = int(wait_until(lambda: port_file.exists() and port_file.read_text()))
    socket.create_connection(("127.0.0.1", port)).close()
    parent.kill()
    parent.communicate()

    def refused():
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            return True
        return False
    wait_until(refused)


def test_it_listens_on_ipv6(start):
    if not socket.has_ipv6:
        pytest.skip("no IPv6")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 loopback")
    server = start("--listen", "::1")
    with contextlib.closing(http.client.HTTPConnection("::1", server.port)) as connection:
        connection.request("GET", "/_sandbox/stats")
        assert Answer(connection.getresponse()).status == 200


# ---- keys ----

def test_bearer_and_basic_take_the_same_keys(start):
    server = start("--api-key", "one", "--api-key", "two")
    def basic(text):
        return "Basic " + base64.b64encode(text.encode()).decode()
    for good in ("Bearer one", "Bearer two", "bearer two", basic("one:")):
        assert server.post(headers={"Authorization": good}).status == 200
    for bad in (None, "", "Bearer", "Bearer ", "Bearer three", "Bearer one two", "one",
                basic("one:secret"), basic("one"), basic("three:")):
        answer = server.post(headers={"Authorization": bad})
        assert answer.status == 401
        assert shape1(answer)["type"] == "UNAUTHORIZED"
    assert [line["key_ok"] for line in server.journal(14)] == [True] * 4 + [False] * 10


def test_without_api_key_any_key_will_do(start):
    server = start()
    assert server.post(headers={"Authorization": "Bearer whatever"}).status == 200
    assert server.post(headers={"Authorization": None}).status == 401


def test_keys_change_while_it_runs(server):
    server.control("PUT", "keys", ["new", "newer"])
    assert server.post().status == 401
    assert server.post(headers={"Authorization": "Bearer newer"}).status == 200
    server.control("PUT", "keys", [])
    assert server.post(headers={"Authorization": "Bearer newer"}).status == 401
    assert server.request("PUT", "/_sandbox/keys", '["x", 1]').status == 400


def test_a_wrong_merchant_key_is_403(start):
    server = start("--merchant-key", "shop")
    assert server.post(headers={"x-imprint-merchant-key": "shop"}).status == 200
    for bad in (None, "other"):
        answer = server.post(headers={"X-Imprint-Merchant-Key": bad})
        assert answer.status == 403
        assert shape1(answer)["param"] == "x-imprint-merchant-key"


# ---- the contract ----

FULL = {
    "email": "jane.doe@example.com",
    "phone": "+14155552671",
    "first_name": "Jane",
    "last_name": "D\u00f6e \U0001f600",
    "preferred_language": "en",
    "street_line1": "1 Main St",
    "street_line2": "",
    "city": "San Francisco",
    "state": "CA",
    "postal_code": "94105",
    "customer_history": {
        "email": "old@example.com",
        "phone": "14155552671",
        "first_name": "J",
        "last_name": "D",
        "preferred_language": "fr",
        "address": {"street_line1": "2", "street_line2": "3", "city": "Paris", "state": "IDF",
                    "postal_code": "75001", "country": "FRA"},
        "account_tenure": 0,
        "ltv_amount": 9223372036854775807,
        "ltv_currency": "USD",
        "loyalty_tier": "GOLD",
        "account_created_at": "2025-02-13T19:08:07.000Z",
        "transaction_count": -9223372036854775808,
    },
    "metadata": {"id": "L-1", "n": 5, "yes": True, "null": None, "list": [1, "a"],
                 "object": {"a": 1}},
}


def test_an_accepted_update_answers_the_whole_customer(server):
    answer = server.post(body=FULL)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    customer = answer.json
    assert customer.pop("created_at") == customer.pop("updated_at")
    assert customer == {
        "id": UUID.upper(),
        "email": "jane.doe@example.com",
        "phone": "+14155552671",
        "statuses": {"Sandbox Card": "OPEN"},
        "first_name": "Jane",
        "last_name": "D\u00f6e \U0001f600",
        "preferred_language": "en",
        "ssn4": "1234",
        "date_of_birth": {"year": 1990, "month": 1, "day": 2},
        "address": {"street_line1": "1 Main St", "street_line2": "", "city": "San Francisco",
                    "state": "CA", "postal_code": "94105"},
        "metadata": {"id": "L-1", "n": "5", "yes": "true", "list": '[1,"a"]',
                     "object": '{"a":1}'},
    }
    assert server.record()["last_body"] == FULL


def test_numbers_keep_their_text(server):
    body = b'{"metadata":{"big":12345678901234567890123,"price":1.10,"e":1E400,"m":-0.0}}'
    assert server.post(body=body).json["metadata"] == {
        "big": "12345678901234567890123", "price": "1.10", "e": "1E400", "m": "-0.0"}
    raw = server.request("GET", f"/_sandbox/customers/{UUID}").body
    assert b'"state":{"metadata":{"big":12345678901234567890123,"price":1.10,' in raw


BROKEN_RULES = [
    ({"nickname": "J"}, "nickname"),
    ({"customer_history": {"age": 3}}, "customer_history.age"),
    ({"customer_history": {"address": {"zip": "1"}}}, "customer_history.address.zip"),
    ({"email": "jane"}, "email"),
    ({"email": "jane@example"}, "email"),
    ({"email": "jane@@example.com"}, "email"),
    ({"email": "jane doe@example.com"}, "email"),
    ({"email": "jane@example..com"}, "email"),
    ({"email": "a@-b.com"}, "email"),
    ({"email": ""}, "email"),
    ({"email": "jane\u0000@example.com"}, "email"),
    ({"phone": "(415) 555-2671"}, "phone"),
    ({"phone": "+0155"}, "phone"),
    ({"phone": "1"}, "phone"),
    ({"phone": "+1234567890123456"}, "phone"),
    ({"customer_history": {"phone": "+"}}, "customer_history.phone"),
    ({"preferred_language": "EN"}, "preferred_language"),
    ({"preferred_language": "en_US"}, "preferred_language"),
    ({"customer_history": {"ltv_currency": "usd"}}, "customer_history.ltv_currency"),
    ({"customer_history": {"address": {"country": "US"}}}, "customer_history.address.country"),
] + [({"customer_history": {"account_created_at": text}}, "customer_history.account_created_at")
     for text in ("2025-02-13", "2025-02-13 19:08:07Z", "2025-02-13T19:08:07", "yesterday",
                  "2025-02-30T00:00:00Z", "2025-13-01T00:00:00Z", "2025-01-01T24:00:00Z",
                  "2025-01-01T00:00:00.Z", "2025-01-01T00:00:00Zx", "2025-01-01T00:00:00+1:00")]


@pytest.mark.parametrize("body,param", BROKEN_RULES)
def test_a_broken_rule_is_shape_1_with_param(server, body, param):
    answer = server.post(body=body)
    assert answer.status == 400
    error = shape1(answer)
    assert error["type"] == "INVALID_REQUEST_ERROR"
    assert error["param"] == param
    assert server.record() is None


def test_errors_quote_the_customer_as_the_api_may(server):
    assert "jane@secret" in shape1(server.post(body={"email": "jane@secret"}))["message"]


@pytest.mark.parametrize("text", ["2025-02-13T19:08:07Z", "2024-02-29t23:59:60.123456z",
                                  "2000-02-29T00:00:00-08:00"])
def test_any_rfc_3339_time_will_do(server, text):
    assert server.post(body={"customer_history": {"account_created_at": text}}).status == 200


def test_no_property_is_shape_1_without_param(server):
    answer = server.post(body={})
    assert answer.status == 400
    assert shape1(answer) == {"type": "BAD_REQUEST_ERROR",
                              "message": "At least one property must be given"}


WRONG_TYPES = [
    (b'{"email":5}', "email"),
    (b'{"city":null}', "city"),
    (b'{"metadata":[]}', "metadata"),
    (b'{"customer_history":"x"}', "customer_history"),
    (b'{"customer_history":{"address":[]}}', "customer_history.address"),
    (b'{"customer_history":{"account_tenure":"12"}}', "customer_history.account_tenure"),
    (b'{"customer_history":{"ltv_amount":340.0}}', "customer_history.ltv_amount"),
    (b'{"customer_history":{"ltv_amount":1e3}}', "customer_history.ltv_amount"),
    (b'{"customer_history":{"ltv_amount":9223372036854775808}}', "customer_history.ltv_amount"),
    (b'{"customer_history":{"ltv_amount":-9223372036854775809}}', "customer_history.ltv_amount"),
    (b'{"customer_history":{"transaction_count":true}}', "customer_history.transaction_count"),
]


@pytest.mark.parametrize("body,field", WRONG_TYPES)
def test_a_wrong_type_is_shape_2(server, body, field):
    answer = server.post(body=body)
    assert answer.status == 400
    details = shape2(answer)["details"]
    assert len(details) == 1 and details[0].startswith(f"{field}: must be ")


def test_all_wrong_types_are_told(server):
    assert len(shape2(server.post(body={"email": 1, "phone": 2, "x": 3}))["details"]) == 2


@pytest.mark.parametrize("body", [
    b"", b" ", b"hello", b"[]", b'"text"', b"null", b"5", b"{", b'{"city"}', b'{"city":}',
    b'{"city":"x",}', b"{'city':'x'}", b'{"city":"x"}x', b'{"city":"x"}{}', b'{"city":"\xff"}',
    b'{"city":"\xed\xa0\x80"}', b'{"city":"\\ud800"}', b'{"city":"a\nb"}', b'{"city":"\\x"}',
    b'{"city":"x","city":"y"}', b'{"metadata":{"n":NaN}}', b'{"metadata":{"n":01}}',
    b'{"metadata":{"n":1.}}', b'{"metadata":{"n":+1}}', b'{/**/"city":"x"}', b'{"ci\\u0000":1}',
    b'{"metadata":{"a":' + b"[" * 40 + b"]" * 40 + b"}}", b"\x00", b'{"city":"x"}\x00',
])
def test_what_is_no_json_object_is_shape_2(server, body):
    answer = server.post(body=body)
    assert answer.status == 400
    assert shape2(answer)["details"][0].startswith("body: must be a JSON object")


def test_escapes_are_understood(server):
    body = rb'{"city":"\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t"}'
    assert server.post(body=body).json["address"]["city"] == '\u00e9\U0001f600"\\/\b\f\n\r\t'


@pytest.mark.parametrize("customer", [NIL, "a%41", "a.b", "x" * 65, "..", "a%2fb"])
def test_an_unknown_customer_is_shape_3(server, customer):
    answer = server.post(customer)
    assert answer.status == 404
    error = shape3(answer)
    assert error["type"] == "CUSTOMER_NOT_FOUND_ERROR"
    assert error["param"] == "customer_id"


def test_the_nil_uuid_with_an_empty_body_tells_whether_the_key_is_fine(server):
    assert shape3(server.post(NIL, body={}))["type"] == "CUSTOMER_NOT_FOUND_ERROR"
    answer = server.post(NIL, body={}, headers={"Authorization": "Bearer wrong"})
    assert answer.status == 401


def test_strict_customers(start, tmp_path):
    ids = tmp_path / "ids"
    ids.write_text(f"{UUID}\n\nC-1\r\n")
    server = start("--strict-customers", ids)
    assert server.post(UUID.upper()).json["id"] == UUID.upper()
    assert server.post("c-1").json["id"] == "C-1"
    assert server.post("C-2").status == 404
    assert server.record("C-2") is None


def test_ids_are_one_customer_in_any_case(server):
    assert server.post("Ab-1", {"city": "x"}).json["id"] == "Ab-1"
    assert server.post("aB-1", {"state": "NV"}).json["id"] == "Ab-1"
    assert server.post(UUID).json["id"] == UUID.upper()
    assert server.record("AB-1")["count"] == 2
    assert set(server.control("GET", "customers")) == {"Ab-1", UUID.upper()}


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/jsonx",
                                          "application/x-www-form-urlencoded"])
def test_another_content_type_is_400(server, content_type):
    answer = server.post(headers={"Content-Type": content_type})
    assert answer.status == 400
    shape2(answer)


def test_a_charset_is_fine(server):
    assert server.post(headers={"Content-Type": "Application/JSON; charset=utf-8"}).status == 200


def test_unknown_paths_are_a_page(server):
    for method, path in (("POST", "/v2/customer/x"), ("POST", "/v2/customers/"), ("GET", "/"),
                         ("POST", f"/v2/customers/{UUID}/x"), ("GET", "/v2/customers")):
        answer = server.request(method, path, b"{}" if method == "POST" else None)
        assert answer.status == 404
        assert answer.headers["Content-Type"].startswith("text/html")
        assert answer.body.startswith(b"<html>")


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_other_methods_are_405(server, method):
    answer = server.request(method, f"/v2/customers/{UUID}")
    assert answer.status == 405
    assert answer.headers["Allow"] == "POST"
    shape2(answer)


def test_a_body_over_1_mib_is_413(server):
    def body(size):
        return b'{"city":"' + b"x" * (size - 11) + b'"}'
    assert server.post(body=body(1 << 20)).status == 200
    answer = server.post(body=body((1 << 20) + 1))
    assert answer.status == 413
    shape1(answer)
    line = server.journal(2)[1]
    assert line["body_bytes"] == (1 << 20) + 1
    assert line["body_sha256"] == hashlib.sha256(body((1 << 20) + 1)).hexdigest()
    assert line["body"] is None


# ---- merging ----

def test_updates_merge_by_field_and_nested_objects_by_key(server):
    server.post(body={"email": "a@b.co", "city": "Reno",
                      "customer_history": {"loyalty_tier": "GOLD", "account_tenure": 1,
                                           "address": {"city": "Rome", "country": "ITA"}},
                      "metadata": {"a": {"x": 1}, "b": 2}})
    last = {"city": "Elko", "state": "NV",
            "customer_history": {"account_tenure": 2, "ltv_amount": 5,
                                 "address": {"city": "Bari"}},
            "metadata": {"a": {"y": 2}, "c": None}}
    answer = server.post(body=last)
    record = server.record()
    assert record["state"] == {
        "email": "a@b.co", "city": "Elko", "state": "NV",
        "customer_history": {"loyalty_tier": "GOLD", "account_tenure": 2, "ltv_amount": 5,
                             "address": {"city": "Bari", "country": "ITA"}},
        "metadata": {"a": {"y": 2}, "b": 2, "c": None}}
    assert record["last_body"] == last
    assert record["count"] == 2
    assert record["id"] == UUID.upper()
    assert record["updated_at"] >= record["created_at"]
    assert answer.json["email"] == "a@b.co"
    assert answer.json["address"] == {"city": "Elko", "state": "NV"}


def test_a_refused_update_changes_nothing(server):
    server.post(body={"city": "Reno"})
    server.post(body={"city": "Elko", "email": "nonsense"})
    server.post(body={"city": "Elko", "phone": 5})
    server.post(body={"city": "Elko"}, headers={"Authorization": "Bearer wrong"})
    assert server.record()["state"] == {"city": "Reno"}
    assert server.record()["count"] == 1


# ---- faults ----

@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 410, 422, 425, 429, 500, 502,
                                    503, 504])
def test_status_faults_are_not_applied(server, status):
    server.faults(f"status={status}")
    answer = server.post()
    assert answer.status == status
    shape1(answer)
    assert "Retry-After" not in answer.headers
    assert server.record() is None
    line = server.journal(1)[0]
    assert (line["status"], line["applied"], line["fault"]) == (status, False, f"status={status}")


def test_a_status_fault_answers_in_the_shape_asked_for(server):
    words = "type=ODD,param=email,message=no, really"
    server.faults(f"status=409,shape=1,{words}")
    assert shape1(server.post()) == {"type": "ODD", "param": "email", "message": "no, really"}
    server.faults(f"status=409,shape=2,{words}")
    answer = server.post()
    assert shape2(answer)["details"] == ["no, really"]
    assert answer.json["error"] == "Conflict"
    server.faults(f"status=409,shape=3,{words}")
    assert shape3(server.post()) == {"type": "ODD", "param": "email", "message": "no, really"}
    server.faults("status=502,shape=html")
    answer = server.post()
    assert answer.headers["Content-Type"].startswith("text/html")
    assert b"502 Bad Gateway" in answer.body


def test_retry_after_in_seconds_and_as_a_date(server):
    server.faults("status=429,retry-after=2")
    assert server.post().headers["Retry-After"] == "2"
    server.faults("status=503,retry-after=0")
    assert server.post().headers["Retry-After"] == "0"
    server.faults("status=503,retry-after-date=60")
    headers = server.post().headers
    ahead = (email.utils.parsedate_to_datetime(headers["Retry-After"])
             - email.utils.parsedate_to_datetime(headers["Date"])).total_seconds()
    assert 59 <= ahead <= 62


def test_extra_headers(server):
    server.faults("status=429,header=RateLimit-Reset: 7,header=X-RateLimit-Remaining:0")
    headers = server.post().headers
    assert headers["RateLimit-Reset"] == "7"
    assert headers["X-RateLimit-Remaining"] == "0"


def test_a_status_fault_may_be_applied(server):
    server.faults("status=503,applied=1")
    assert server.post().status == 503
    assert server.record()["count"] == 1
    assert server.journal(1)[0]["applied"] is True


def test_another_2xx_status_is_an_acceptance(server):
    server.faults("status=202,count=1", "status=204")
    answer = server.post()
    assert (answer.status, answer.json["id"]) == (202, UUID.upper())
    answer = server.post()
    assert (answer.status, answer.body) == (204, b"")
    assert server.record()["count"] == 2


@pytest.mark.parametrize("more,applied", [("", True), (",before=1", False)])
def test_reset(server, more, applied):
    server.faults(f"reset{more}")
    with pytest.raises(ConnectionResetError):
        server.post()
    line = server.journal(1)[0]
    assert (line["status"], line["applied"], line["aborted"]) == (0, applied, False)
    assert (server.record() is not None) == applied


@pytest.mark.parametrize("more,applied", [("", True), (",before=1", False)])
def test_hang_is_journalled_when_the_client_leaves(server, more, applied):
    server.faults(f"hang{more}")
    connection = server.connect()
    connection.request("POST", f"/v2/customers/{UUID}", '{"city":"x"}',
                       {"Authorization": "Bearer key", "Content-Type": "application/json"})
    wait_until(lambda: server.control("GET", "faults")[0]["hits"] == 1)
    connection.sock.settimeout(0.05)
    with pytest.raises(TimeoutError):
        connection.sock.recv(1)
    assert server.journal_file.read_text() == ""
    connection.close()
    line = server.journal(1)[0]
    assert (line["status"], line["applied"], line["aborted"]) == (0, applied, True)
    assert line["end_ns"] - line["arrived_ns"] >= 50_000_000
    assert server.control("GET", "stats")["aborted"] == 1


@pytest.mark.parametrize("more,applied", [("", True), (",before=1", False)])
def test_cut(server, more, applied):
    server.faults(f"cut{more}")
    with pytest.raises(http.client.IncompleteRead) as cut:
        server.post()
    assert cut.value.partial.startswith(b'{"id":"')
    assert abs(cut.value.expected - len(cut.value.partial)) <= 1
    line = server.journal(1)[0]
    assert (line["status"], line["applied"], line["aborted"]) == (200, applied, False)


def test_other_id(server):
    server.faults("other-id")
    answer = server.post()
    assert answer.status == 200
    assert answer.json["id"] not in (UUID, UUID.upper())
    assert answer.json["address"] == {"city": "Reno"}
    assert server.record()["count"] == 1


def test_not_json(server):
    server.faults("not-json")
    answer = server.post()
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    with pytest.raises(ValueError):
        json.loads(answer.body)
    assert server.record()["count"] == 1


def test_huge(server):
    server.faults("huge")
    answer = server.post()
    assert answer.status == 200
    assert len(answer.body) >= 5_000_000
    assert answer.json["id"] == UUID.upper()
    assert server.record()["count"] == 1


def test_a_client_that_cuts_a_huge_answer_off_is_journalled(server):
    server.faults("huge")
    connection = server.connect()
    connection.request("POST", f"/v2/customers/{UUID}", '{"city":"x"}',
                       {"Authorization": "Bearer key", "Content-Type": "application/json"})
    connection.sock.recv(1000)
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    assert server.journal(1)[0]["aborted"] is True


def test_empty(server):
    server.faults("empty,count=1", "empty,status=500")
    answer = server.post()
    assert (answer.status, answer.body) == (200, b"")
    assert server.record()["count"] == 1
    answer = server.post()
    assert (answer.status, answer.body) == (500, b"")
    assert server.record()["count"] == 1


def test_redirect(server):
    server.faults("redirect,count=1", "redirect,status=302")
    answer = server.post()
    assert answer.status == 307
    assert answer.headers["Location"] == f"/v2/customers/{UUID}?redirected=1"
    assert server.post().status == 302
    assert server.record() is None
    server.faults()
    connection = server.request("POST", answer.headers["Location"], '{"city":"x"}',
                                {"Authorization": "Bearer key",
                                 "Content-Type": "application/json"})
    assert connection.status == 200


def test_delay_applies_first_and_answers_late(server):
    server.faults("delay=400")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        late = pool.submit(server.post)
        wait_until(server.record)
        assert not late.done()
        assert late.result().status == 200
    line = server.journal(1)[0]
    assert line["end_ns"] - line["arrived_ns"] >= 400_000_000
    assert line["applied_ns"] - line["arrived_ns"] < 400_000_000


def test_a_delay_before_applies_late_even_when_the_client_has_left(server):
    server.faults("delay=4000,before=1,count=1")
    with pytest.raises(TimeoutError):
        server.post(timeout=2)  # by then the request has arrived, on a busy machine too
    assert server.record() is None
    wait_until(server.record)
    line = server.journal(1)[0]
    assert (line["status"], line["applied"], line["aborted"]) == (0, True, True)
    assert line["applied_ns"] - line["arrived_ns"] >= 4_000_000_000


def test_a_client_that_leaves_during_a_delay_is_journalled_at_once(server):
    server.faults("delay=60000")
    with pytest.raises(TimeoutError):
        server.post(timeout=2)
    line = server.journal(1)[0]
    assert (line["status"], line["applied"], line["aborted"]) == (0, True, True)


def test_delay_goes_with_other_faults(server):
    server.faults("delay=200,status=503")
    assert server.post().status == 503
    line = server.journal(1)[0]
    assert line["end_ns"] - line["arrived_ns"] >= 200_000_000


def test_delays_hold_no_thread_and_do_not_queue_up(server):
    server.faults("delay=300")
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        assert {f.result().status for f in [pool.submit(server.post, f"c{i}")
                                            for i in range(50)]} == {200}
    assert server.control("GET", "stats")["max_concurrent"] > 10
    wide = server.journal(50)
    assert max(l["end_ns"] for l in wide) - min(l["start_ns"] for l in wide) < 50 * 300_000_000 / 2


def test_count_limits_a_fault(server):
    server.faults("status=500,count=2", "status=501,count=1")
    assert [server.post().status for _ in range(4)] == [500, 500, 501, 200]
    assert server.control("GET", "faults") == [
        {"spec": "status=500,count=2", "hits": 2, "left": 0},
        {"spec": "status=501,count=1", "hits": 1, "left": 0}]


def test_customer_limits_a_fault(server):
    server.faults("status=500,customer=ABC")
    assert server.post("abc").status == 500
    assert server.post("abcd").status == 200


def test_a_fault_that_needs_an_accepted_update_waits_for_one(server):
    server.faults("other-id,count=1")
    assert server.post(body={"email": "nonsense"}).status == 400
    assert server.control("GET", "faults")[0]["hits"] == 0
    assert server.post().json["id"] != UUID.upper()
    assert [line["fault"] for line in server.journal(2)] == [None, "other-id,count=1"]


def test_probabilities_are_repeatable(start):
    def run(seed):
        server = start("--seed", seed, "--fault", "status=503,p=0.3")
        connection = server.connect()
        statuses = []
        for _ in range(200):
            connection.request("POST", f"/v2/customers/{UUID}", '{"city":"x"}',
                               {"Authorization": "Bearer k", "Content-Type": "application/json"})
            statuses.append(Answer(connection.getresponse()).status)
        connection.close()
        return statuses
    first = run("7")
    assert first == run("7")
    assert first != run("8")
    assert 30 < first.count(503) < 90


def test_faults_are_replaced_all_or_none(server):
    server.faults("status=500")
    answer = server.request("PUT", "/_sandbox/faults", '["status=501", "nonsense"]')
    assert answer.status == 400
    assert b"nonsense" in answer.body
    assert server.post().status == 500
    server.control("DELETE", "faults")
    assert server.control("GET", "faults") == []
    assert server.post().status == 200


def test_faults_may_be_replaced_while_they_hold_a_request(server):
    server.faults("delay=300,status=503,header=X-Old: 1")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        late = pool.submit(server.post)
        wait_until(lambda: server.control("GET", "faults")[0]["hits"] == 1)
        server.faults()
        assert late.result().headers["X-Old"] == "1"


# ---- rate ----

def test_over_the_rate_is_429_with_retry_after(start):
    server = start("--rate", "6/m", "--burst", "3")
    answers = [server.post() for _ in range(5)]
    assert [a.status for a in answers] == [200] * 3 + [429] * 2
    assert 8 <= int(answers[3].headers["Retry-After"]) <= 10
    assert shape1(answers[3])["type"] == "RATE_LIMIT_ERROR"
    assert server.record()["count"] == 3


def test_retry_after_of_the_rate_as_a_date(start):
    server = start("--rate", "6/m", "--retry-after-date")
    assert server.post().status == 200
    headers = server.post().headers
    ahead = (email.utils.parsedate_to_datetime(headers["Retry-After"])
             - email.utils.parsedate_to_datetime(headers["Date"])).total_seconds()
    assert 7 <= ahead <= 12


def test_the_bucket_fills_again(start):
    server = start("--rate", "20/s")
    assert server.post().status == 200
    wait_until(lambda: server.post().status == 200)


def test_the_rate_changes_while_it_runs(server):
    server.control("PUT", "rate", {"rate": 0.01, "burst": 2})
    assert [server.post().status for _ in range(3)] == [200, 200, 429]
    server.control("PUT", "rate", {"rate": 0})
    assert server.post().status == 200
    assert server.request("PUT", "/_sandbox/rate", '{"rate":"x"}').status == 400


# ---- journal, latency, control ----

def test_a_journal_line_has_everything(server):
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.time_ns()
    body = b'{"city" :\n"Reno"}'
    server.post(body=body, headers={"User-Agent": 'test/1 "quoted"'})
    line = server.journal(1)[0]
    after = time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.time_ns()
    times = [line.pop(k) for k in ("start_ns", "arrived_ns", "applied_ns", "end_ns")]
    assert [before[0], *times, after[0]] == sorted([before[0], *times, after[0]])
    assert before[1] <= line.pop("wall_ns") <= after[1]
    assert line == {
        "seq": 1, "customer": UUID, "status": 200, "applied": True, "aborted": False,
        "fault": None, "body_sha256": hashlib.sha256(body).hexdigest(), "body_bytes": len(body),
        "conn": 1, "key_ok": True, "user_agent": 'test/1 "quoted"', "body": {"city": "Reno"}}


def test_bodies_are_journalled_only_when_asked_for(start):
    server = start()
    server.post(body={"city": "Secretville"})
    assert "body" not in server.journal(1)[0]
    assert "Secretville" not in server.journal_file.read_text()


def test_refused_requests_are_journalled_too(server):
    server.post(body=b'{"city":"\xff')
    server.post(headers={"Authorization": None, "User-Agent": None}, body=b"")
    server.request("POST", "/elsewhere", b"{}")
    server.request("GET", f"/v2/customers/{UUID}")
    server.control("GET", "stats")
    first, second, third = server.journal(3)
    assert (first["status"], first["body"]) == (400, '{"city":"\u00ff')
    assert (second["status"], second["key_ok"], second["user_agent"]) == (401, False, None)
    assert (third["status"], third["customer"]) == (404, None)
    assert [line["applied"] for line in (first, second, third)] == [False] * 3


def test_a_client_that_leaves_while_it_sends_is_journalled(server):
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.sendall(f"POST /v2/customers/{UUID} HTTP/1.1\r\nHost: x\r\n"
                     'Content-Length: 100\r\n\r\n{"city"'.encode())
        wait_until(lambda: server.control("GET", "stats")["in_progress"] == 1)
    line = server.journal(1)[0]
    assert (line["status"], line["aborted"], line["arrived_ns"]) == (0, True, 0)
    assert line["body_bytes"] == 7


def test_connections_are_numbered_and_kept_alive(server):
    connection = server.connect()
    for _ in range(2):
        connection.request("POST", f"/v2/customers/{UUID}", '{"city":"x"}',
                           {"Authorization": "Bearer key", "Content-Type": "application/json"})
        assert Answer(connection.getresponse()).status == 200
    connection.close()
    server.post()
    assert [line["conn"] for line in server.journal(3)] == [1, 1, 2]


def test_the_journal_is_appended_to(start, tmp_path):
    shared = tmp_path / "shared"
    shared.write_text("first\n")
    server = start("--journal", shared)
    server.post()
    wait_until(lambda: shared.read_text().count("\n") == 2)
    assert shared.read_text().startswith("first\n{")


def test_the_end_of_a_request_is_before_the_next_one_starts(server):
    connection = server.connect()
    for _ in range(100):
        connection.request("POST", f"/v2/customers/{UUID}", '{"city":"x"}',
                           {"Authorization": "Bearer key", "Content-Type": "application/json"})
        assert Answer(connection.getresponse()).status == 200
    connection.close()
    lines = server.journal(100)
    assert all(a["end_ns"] <= b["start_ns"] for a, b in zip(lines, lines[1:]))


def test_latency_delays_every_answer(start):
    server = start("--latency-ms", "150")
    server.post()
    server.post(body=b"nonsense")
    for line in server.journal(2):
        assert line["end_ns"] - line["arrived_ns"] >= 150_000_000


def test_stats(server):
    server.faults("status=503,count=1", "reset,count=1")
    server.post("refused")
    with contextlib.suppress(*GONE):
        server.post()
    server.post("a")
    server.post("b")
    server.journal(4)
    stats = server.control("GET", "stats")
    assert stats["by_status"] == {"0": 1, "200": 2, "503": 1}
    assert (stats["requests"], stats["applied"], stats["aborted"]) == (4, 3, 0)
    assert (stats["in_progress"], stats["max_concurrent"], stats["customers"]) == (0, 1, 3)
    assert [fault["hits"] for fault in stats["faults"]] == [1, 1]
    assert stats["open_connections"] >= 1
    assert stats["connections"] >= stats["open_connections"]


def test_unknown_control_requests(server):
    assert server.request("GET", "/_sandbox/nonsense").status == 404
    assert server.request("GET", "/_sandbox/customers/nobody").status == 404
    assert server.request("GET", "/_sandbox/keys").status == 405
    assert server.request("PUT", "/_sandbox/faults", "nonsense").status == 400
    assert server.request("PUT", "/_sandbox/faults", "[1]").status == 400
    assert server.request("PUT", "/_sandbox/rate", "[]").status == 400
    assert server.control("GET", "customers") == {}


def test_many_customers_are_kept_apart(server):
    connection = server.connect()
    for i in range(2500):
        connection.request("POST", f"/v2/customers/c{i}", json.dumps({"city": str(i)}),
                           {"Authorization": "Bearer key", "Content-Type": "application/json"})
        assert Answer(connection.getresponse()).status == 200
    connection.close()
    known = server.control("GET", "customers")
    assert len(known) == 2500
    assert all(known[f"c{i}"]["state"] == {"city": str(i)} for i in range(2500))


# ---- TLS ----

@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls") / "made"
    subprocess.run([BINARY, "--make-cert", folder], check=True)
    assert sorted(os.listdir(folder)) == ["ca.pem", "server-key.pem", "server.pem"]
    assert (folder / "server-key.pem").stat().st_mode & 0o077 == 0
    return folder


def tls_server(start, certificates, *options):
    context = ssl.create_default_context(cafile=certificates / "ca.pem")
    return start("--tls", "--cert", certificates / "server.pem",
                 "--cert-key", certificates / "server-key.pem", *options, context=context)


def test_tls_with_the_made_ca(start, certificates):
    server = tls_server(start, certificates)
    assert server.banner.startswith("imprint-sandbox: listening on https://")
    assert server.post().status == 200
    with contextlib.closing(http.client.HTTPSConnection("127.0.0.1", server.port,
                                                        context=server.context)) as by_address:
        by_address.request("GET", "/_sandbox/stats")
        assert Answer(by_address.getresponse()).status == 200
    with pytest.raises(ssl.SSLCertVerificationError):
        with contextlib.closing(http.client.HTTPSConnection(
                "localhost", server.port, context=ssl.create_default_context())) as stranger:
            stranger.request("GET", "/_sandbox/stats")


def test_faults_over_tls(start, certificates):
    server = tls_server(start, certificates)
    for spec in ("reset", "cut"):
        server.faults(spec)
        with pytest.raises((*GONE, ssl.SSLError)):
            server.post(spec)
    server.faults("hang")
    with pytest.raises(TimeoutError):
        server.post("hang", timeout=2)
    server.faults("delay=100")
    assert server.post("delay").status == 200
    server.faults("huge")
    assert len(server.post("huge").body) >= 5_000_000
    lines = {line["customer"]: line for line in server.journal(5)}
    assert [lines[c]["status"] for c in ("reset", "cut", "hang", "delay", "huge")] == [
        0, 200, 0, 200, 200]
    assert lines["hang"]["aborted"] is True


def test_a_wrong_certificate_is_1(tmp_path):
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing\n")
    done = subprocess.run([BINARY, "--tls", "--cert", nothing, "--cert-key", nothing],
                          capture_output=True)
    assert done.returncode == 1
    done = subprocess.run([BINARY, "--make-cert", tmp_path / "no" / "such"], capture_output=True)
    assert done.returncode == 1

"""Asserts the invariants of a run from what was written down: the journal of the sandbox and the
database. Nothing here asks the daemon."""

import bisect
import re

import jsonschema
import yaml

import harness

CONTRACT = harness.TOP / "tests/contract/imprint-openapi.yaml"
WINDOWS_S = (0.1, 0.5, 1, 5)
NS = 10**9


def check_settled(db, count=None):
    """I1: every row is done or dead, and the dead say why. `count`: rows that were written."""
    rows = db.rows()
    assert count is None or len(rows) == count, f"{len(rows)} rows instead of {count}"
    for row in rows:
        assert row["status"] in ("done", "dead"), row
        assert row["settled_at"] is not None, row
        assert row["status"] != "dead" or row["error"], row


def check_no_overlap(journal):
    """I2: a customer's next request starts after the one before has ended."""
    last = {}
    for entry in journal:
        customer = entry["customer"].lower()
        before = last.get(customer)
        assert before is None or entry["start_ns"] >= before["end_ns"], (
            f"requests {before['seq']} and {entry['seq']} of {customer} overlap")
        last[customer] = entry


def check_newest(sandbox, expected):
    """I2: what Imprint holds is the newest state. `expected`: {customer: state}."""
    found = sandbox.customers()
    for customer, state in expected.items():
        record = found.get(customer.lower())
        assert record is not None, f"nothing was accepted for {customer}"
        assert record["state"] == state, f"{customer}: {record['state']} instead of {state}"


def check_rate(journal, rate_per_s, burst):
    """I4: at most rate * t + burst requests in any window of t seconds. Arrivals stand for
    departures, so a request that was held up on its way may come together with the next ones:
    100 ms are granted for that, which the longer windows give no second time."""
    starts = sorted(entry["start_ns"] for entry in journal)
    for window_s in WINDOWS_S:
        most = rate_per_s * (window_s + 0.1) + burst
        for first, start in enumerate(starts):
            inside = bisect.bisect_left(starts, start + int(window_s * NS)) - first
            assert inside <= most, f"{inside} requests in {window_s} s, {most:.1f} are allowed"


def check_done_means_accepted(db, journal):
    """I6: for each done row Imprint accepted a request of its customer after it was written,
    unless it says `unchanged`."""
    accepted = {}
    for entry in journal:
        if entry["status"] in range(200, 300) and entry["applied"]:
            key = entry["customer"].lower()
            accepted[key] = max(accepted.get(key, 0), entry["wall_ns"])
    for row in db.rows():
        if row["status"] == "done" and row["error"] != "unchanged":
            assert row["http_status"] is None or row["http_status"] in range(200, 300), row
            when = accepted.get(row["customer_id"].lower(), 0) / NS
            assert when >= row["created_at"].timestamp() - 0.001, f"done, but not accepted: {row}"


def is_date_time(text):
    return re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", text) is not None


def contract_validator():
    document = yaml.safe_load(CONTRACT.read_text())
    formats = jsonschema.FormatChecker(())
    formats.checks("email")(lambda text: re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", text) is not None)
    formats.checks("date-time")(is_date_time)
    schema = {"$ref": "#/components/schemas/CustomerUpdate", "components": document["components"]}
    return jsonschema.Draft202012Validator(schema, format_checker=formats)


def check_contract(journal):
    """Every body is one that the contract allows."""
    validator = contract_validator()
    for entry in journal:
        errors = [error.message for error in validator.iter_errors(entry["body"])]
        assert not errors, f"request {entry['seq']}: {errors}"


def check_all(db, sandbox, rate_per_s=1000, burst=100, rows=None, expected=None):
    journal = sandbox.journal()
    check_settled(db, rows)
    check_no_overlap(journal)
    check_rate(journal, rate_per_s, burst)
    check_done_means_accepted(db, journal)
    check_contract(journal)
    check_newest(sandbox, expected or {})


def leaks(text, values, secrets=()):
    """Which of the customers' values and secrets stand in a log. Short ones and those that are
    also words of the log itself say nothing."""
    found = [secret for secret in secrets if secret in text]
    for value in values:
        word = str(value)
        if len(word) >= 5 and re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text):
            found.append(word)
    return found

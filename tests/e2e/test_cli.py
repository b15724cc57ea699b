"""The command line: help, mistakes, render, version."""

import json

import pytest

import harness
from harness import email, new_customer

COMMANDS = ["run", "migrate", "check", "render", "status", "dead list", "dead show", "dead retry", "dead discard",
            "prune", "backfill", "backfill list", "backfill pause", "backfill resume", "backfill cancel", "version"]


def run(*arguments, **options):
    return harness.subprocess.run(
        [harness.imprint_sync(), *arguments], capture_output=True, text=True, check=False,
        timeout=30, **options)


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], *([*c.split(), "--help"] for c in COMMANDS), ["dead", "-h"], ["backfill", "list", "-h"]])
def test_help_goes_to_standard_output(arguments):
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.lower().startswith("usage:") and done.stderr == ""
    assert all(len(line) <= 80 for line in done.stdout.split("\n"))


@pytest.mark.parametrize("arguments", [["--help"], ["version"]])
def test_output_that_cannot_be_written_is_a_failure(arguments):
    with open("/dev/full", "w", encoding="ascii") as full:
        done = harness.subprocess.run([harness.imprint_sync(), *arguments], stdout=full, text=True,
                                      stderr=harness.subprocess.PIPE, check=False, timeout=30)
    assert (done.returncode, done.stderr) == (
        1, "imprint-sync: standard output could not be written\n")


def test_the_help_names_every_command():
    text = run("--help").stdout
    assert all(command in text for command in COMMANDS)


@pytest.mark.parametrize("arguments", [
    [], ["frobnicate"], ["--frobnicate"], ["run", "--frobnicate"], ["run", "something"],
    ["migrate", "--once"], ["render", "--row"], ["render", "--row", "x"], ["-c"],
    ["render", "--row", "1", "--customer", "a"],
])
def test_a_wrong_command_line(arguments):
    done = run(*arguments)
    assert done.returncode == 64, (done.stdout, done.stderr)
    assert done.stdout == "" and done.stderr


def test_version_is_data():
    done = run("version")
    assert done.returncode == 0 and done.stderr == ""
    assert "imprint-sync" in done.stdout and harness.re.search(r"\d+\.\d+", done.stdout)


def test_a_configuration_that_is_not_there():
    done = run("-c", "/nonexistent/imprint-sync.yaml", "check", "--offline")
    assert done.returncode == 78
    assert "/nonexistent/imprint-sync.yaml" in done.stderr + done.stdout


def body_of(done):
    """The request that render prints: the JSON object on standard output."""
    text = done.stdout
    return json.loads(text[text.index("\n{") if "\n{" in text else text.index("{"):])


def test_render_a_row_from_standard_input(config):
    config.change({"database": {"dsn": "host=/nonexistent dbname=crm"}})
    done = config.command("render", stdin=json.dumps(
        {"email": "ada@example.com", "mobile": "(415) 555-2671", "locale": "en_US",
         "lifetime_value": 90071992547409.93, "ltv_currency": "USD"}).replace(
             "90071992547409.94", "90071992547409.93"))
    assert done.returncode == 0, done.stderr
    assert body_of(done)["phone"] == "+14155552671"
    assert body_of(done)["preferred_language"] == "en"


def test_render_keeps_every_digit(config):
    done = config.command(
        "render", stdin='{"lifetime_value": 90071992547409.93, "ltv_currency": "USD"}')
    assert body_of(done)["customer_history"]["ltv_amount"] == 9007199254740993


@pytest.mark.parametrize("row, code", [
    ('{"email": "no address"}', 65), ("not json", 65), ("[]", 65), ("", 65),
    ('{"email": ' + '{"a":' * 1000 + "1" + "}" * 1000 + "}", 65),
])
def test_render_says_what_is_wrong_with_a_row(config, row, code):
    done = config.command("render", stdin=row)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert done.stderr or done.stdout


def test_render_a_customer_and_a_row(db, sandbox, config):
    db.execute("INSERT INTO crm.customers (id, imprint_customer_id, email, currency)"
               " VALUES (1, '00000001-0000-4000-8000-00000000000a', 'ada@example.com', 'USD')")
    customer = "00000001-0000-4000-8000-00000000000A"
    done = config.command("render", "--customer", customer)
    assert done.returncode == 0, done.stderr
    assert body_of(done)["email"] == "ada@example.com"

    other = new_customer()
    row_id = db.add(other, email(other))
    done = config.command("render", "--row", str(row_id))
    assert done.returncode == 0, done.stderr
    assert body_of(done) == email(other)
    assert sandbox.journal() == []  # printed, not sent
    assert db.row(row_id)["status"] == "pending"


def test_render_what_is_not_there(db, config):
    assert config.command("render", "--row", "999999").returncode == 65
    assert config.command("render", "--customer", new_customer()).returncode == 65

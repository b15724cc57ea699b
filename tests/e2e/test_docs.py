"""README.md against the program: what can be configured or typed stands in it. The manual is held
by test_manual.py."""

import re
import subprocess

import pytest

from harness import TOP, imprint_sync
from test_manual import logged

README = (TOP / "README.md").read_text()


def output(*arguments):
    return subprocess.run([imprint_sync(), *arguments], capture_output=True, text=True, check=True,
                          timeout=30).stdout


def section(readme, title):
    """The text below a heading, up to the next one of its level."""
    match = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", readme, re.M | re.S)
    return match[1] if match else ""


def rows(text):
    """The rows of all tables: lists of cells."""
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in text.split("\n") if line.startswith("|")]


def words(cell):
    return re.findall(r"`([^`]+)`", cell)


def first_words(text):
    """Everything quoted in the first column of the tables."""
    return {word for row in rows(text) for word in words(row[0])}


# ---- what the program says ---------------------------------------------------------------------

def printed_lines():
    """(key, comment above it, default) of each key as `check --print-defaults` has it."""
    parent, comment = "", ""
    for line in output("check", "--print-defaults").split("\n"):
        key = re.match(r"( *)#?([a-z_]+):(?: (.*))?$", line)
        if key is None:
            comment = (comment + line) if line.strip().startswith("#") else ""
            continue
        indent, name, default = key[1], key[2], key[3] or ""
        if not indent and not line.startswith("#"):
            parent = name
        else:
            yield f"{parent}.{name}" if indent else name, comment, default
        comment = ""


def printed_keys():
    """{key: default, "required" or ""}"""
    return {key: "required" if "(required" in comment else default
            for key, comment, default in printed_lines()}


def restart_keys():
    """Those that a reload cannot change."""
    return {key for key, comment, _ in printed_lines() if "restart to change)" in comment}


def commands():
    listed = output("--help").split("commands:\n")[1].split("\n\n")[0]
    return {re.match(r"  (\S+(?: \S+)*)", line)[1] for line in listed.split("\n")}


def command_options():
    return {option for command in commands()
            for option in re.findall(r"^ +(?:-\w, | +)(--[a-z-]+)", output(*command.split(), "--help"), re.M)}


# ---- what README lacks -------------------------------------------------------------------------

def keys_wrong(readme):
    table = {words(row[0])[0]: "".join(words(row[2])) or row[2]
             for row in rows(section(readme, "Configuration")) if len(row) == 4 and words(row[0])}
    program = printed_keys()
    return ({f"{key} is missing" for key in program.keys() - table.keys()}
            | {f"{key} is no key" for key in table.keys() - program.keys()}
            | {f"{key}: default {table[key]!r} is {program[key]!r}"
               for key in program.keys() & table.keys() if program[key] != table[key]})


def restart_wrong(readme):
    line = re.search(r"^Only a restart changes (.*?);", readme, re.M)
    return restart_keys() ^ set(words(line[1]) if line else [])


def events_wrong(readme):
    """What looks like an event and is none, nor a key of the configuration."""
    named = {word for word in words(section(readme, "Log")) if re.fullmatch(r"[a-z]+\.[a-z_]+", word)}
    return named - logged().keys() - printed_keys().keys()


def commands_wrong(readme):
    text = section(readme, "Commands")
    known = {word for cell in re.findall(r"`([^`]+)`", text) for word in cell.split()}
    return (commands() - first_words(text)) | (command_options() - known)


def ranges_wrong(readme):
    """What may stand behind a key, where it is a range or a choice."""
    types = {words(row[0])[0]: row[1] for row in rows(section(readme, "Configuration"))
             if len(row) == 4 and words(row[0])}
    said = {}
    for key, comment, _ in printed_lines():
        one_of = re.search(r"# One of: (.*)$", comment)
        from_to = re.search(r"# +(\S+ to \S+)$", comment)
        if one_of:
            said[key] = one_of[1].replace(" or ", ", ")
        elif from_to:
            said[key] = from_to[1]
    return {f"{key}: {types.get(key)!r} is {text!r}" for key, text in said.items()
            if types.get(key) != text}


def schema_wrong(readme):
    """Objects of the schema that are none."""
    sql = "\n".join(path.read_text() for path in sorted((TOP / "sql").glob("*.sql")))
    there = set(re.findall(r"(?:TABLE|FUNCTION|SEQUENCE|VIEW|TYPE) (?:IF NOT EXISTS )?imprint_sync\.(\w+)", sql))
    return set(re.findall(r"imprint_sync\.([a-z_]+)\b", readme)) - there


def paths_wrong(readme):
    """Links, and files of the tree and of the package, that are not there."""
    named = {link for link in re.findall(r"\]\(([^)#]+)\)", readme) if "://" not in link}
    named |= set(re.findall(r"`((?:tests|config|docs|sql|src)/[\w./-]+)`", readme))
    named |= {f"config/{name}" for name in re.findall(r"`(monitoring/[\w.-]+)`", readme)}
    return {name for name in named if not (TOP / name).exists()}


# A number of the prose, and the place in the source that it comes from: (text, file, code), with
# what is the same in both in brackets.
NUMBERS = (
    (r"Failures of (five) customers in a row", "src/domain/pool.c", r"breaker_customers, (5)\)"),
    (r"after (20) customers with an equal rejection", "src/domain/pool.c", r"rejected_customers, (20)\)"),
    (r"only (four) requests are in flight until", "src/domain/pool.c", r"POOL_UNPROVEN = (4)\b"),
    (r"later, up to (60) s apart", "src/domain/pool.c", r"probe_cap_ns, (60) \*"),
    (r"all workers after (10) s", "src/domain/pool.c", r"ramp_ns, (10) \*"),
    (r"`--watch` redraws every (2) s", "src/app/status.c", r"STATUS_INTERVAL_NS \((2) \*"),
    (r"a payload over (1 MiB) or no object", "src/io/outbox_sql.c", r"bytes > (1048576),"),
    (r"Customers belong to (64) slots", "src/domain/lease.h", r"LEASE_SLOTS = (64)\b"),
    (r"every (5) s\.\n", "src/app/vitals.c", r"VITALS_NS \((5) \*"),
    (r"`backfill.progress` every (10) s", "src/app/backfill_progress.c", r"PROGRESS_LOG_NS \((10) \*"),
    (r"at most `--ahead` rows \((10000)\)", "src/app/backfill.c", r"BACKFILL_AHEAD = (10000)"),
    (r"walked over all the same, (5,000) keys", "src/app/backfill_walk.c", r"WALK_WINDOW = (5000)"),
    (r"counted up to (100,000) and estimated", "src/app/backfill.c", r"BACKFILL_EXACT_MAX = (100000)"),
    (r"exact up to (100,000) a lane", "src/io/outbox_status.c", r"r\.n <= (100000) AS exact"),
    (r"of the newest (10,000) dead rows", "src/io/outbox_status.c", r"LIMIT (10000)\) AS d"),
    (r"while at most (1,000) others are due", "src/app/dead_retry.c", r"RETRY_DUE_MAX (1000)"),
    (r"it expires within (30) days", "src/app/check_api.c", r"CHECK_CERTIFICATE_DAYS = (30)"),
    (r"due for more than (a minute)", "src/app/status_model.c", r"STATUS_LATE_S = (60),"),
    (r"does not match `(\[A-Za-z0-9_-\]\{1,64\})`", "src/app/intake.c", r"must match (\S+)\""),
)
WORDS = {"four": "4", "five": "5", "a minute": "60", "1 MiB": "1048576"}


def numbers_wrong(readme):
    wrong = set()
    for text, file, code in NUMBERS:
        said, meant = re.search(text, readme), re.search(code, (TOP / file).read_text())
        assert meant, f"{file} has no {code} any more"
        number = said and WORDS.get(said[1], said[1] if "{" in said[1] else said[1].replace(",", ""))
        if number != meant[1]:
            wrong.add(f"{text}: {number} is {meant[1]}")
    return wrong


CHECKS = [keys_wrong, restart_wrong, events_wrong, commands_wrong, ranges_wrong, schema_wrong,
          paths_wrong, numbers_wrong]


@pytest.mark.parametrize("check", CHECKS)
def test_the_readme_says_what_the_program_does(check):
    assert check(README) == set()


@pytest.mark.parametrize("check, row, problem", [
    (keys_wrong, "retry.cap", "retry.cap is missing"),
    (keys_wrong, "mapping_file", "mapping_file is missing"),
    (commands_wrong, "render", "render"),
])
def test_a_row_that_is_missing_is_found(check, row, problem):
    without = re.sub(rf"^\| `{re.escape(row)}` .*\n", "", README, flags=re.M)
    assert without != README
    assert problem in check(without)


def test_a_default_that_is_wrong_is_found():
    changed = README.replace("| `15m` |", "| `16m` |")
    assert changed != README
    assert keys_wrong(changed) == {"retry.cap: default '16m' is '15m'"}


def test_an_event_that_does_not_exist_is_found():
    changed = README.replace("`api.throttled`", "`api.throttle`")
    assert changed != README
    assert events_wrong(changed) == {"api.throttle"}


@pytest.mark.parametrize("check, old, new", [
    (ranges_wrong, "| 10ms to 60s |", "| 10ms to 61s |"),
    (ranges_wrong, "| bearer, basic |", "| bearer |"),
    (schema_wrong, "imprint_sync.unwatch(", "imprint_sync.unwatched("),
    (schema_wrong, "imprint_sync.discarded keeps", "imprint_sync.thrown_away keeps"),
    (paths_wrong, "(sql/README.md)", "(sql/READ.md)"),
    (paths_wrong, "`monitoring/alerts.yaml`", "`monitoring/alarms.yaml`"),
    (numbers_wrong, "Failures of five customers", "Failures of six customers"),
    (numbers_wrong, "(10000)", "(20000)"),
])
def test_another_name_or_number_is_found(check, old, new):
    changed = README.replace(old, new)
    assert changed != README and check(changed) != set()


def test_a_key_that_needs_a_restart_is_found():
    changed = README.replace("`outbox.lease` and", "and")
    assert changed != README
    assert restart_wrong(changed) == {"outbox.lease"}


def test_the_program_was_read():
    """The patterns above still find something; how much is known to be there."""
    assert len(printed_keys()) >= 40 and printed_keys()["database.dsn"] == "required"
    assert {"run", "dead list", "version"} <= commands() and "--print-defaults" in command_options()
    assert len(README.split("\n")) < 500

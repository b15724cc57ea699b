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


CHECKS = [keys_wrong, restart_wrong, events_wrong, commands_wrong]


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


def test_a_key_that_needs_a_restart_is_found():
    changed = README.replace("`outbox.lease` and", "and")
    assert changed != README
    assert restart_wrong(changed) == {"outbox.lease"}


def test_the_program_was_read():
    """The patterns above still find something; how much is known to be there."""
    assert len(printed_keys()) >= 40 and printed_keys()["database.dsn"] == "required"
    assert {"run", "dead list", "version"} <= commands() and "--print-defaults" in command_options()
    assert len(README.split("\n")) < 500

"""The manual pages and the completion against the program: what it takes, logs and answers."""

import re
import shutil
import subprocess
import sys

import pytest

from harness import TOP, imprint_sync, program

sys.path.insert(0, str(TOP / "tests/manual"))
import manual  # noqa: E402  # pylint: disable=wrong-import-position

SUFFIXES = {"ms": "milliseconds", "s": "seconds", "kb": "kilobytes"}
KINDS = {"TEXT": "text", "STR": "text", "I64": "integer", "F64": "number", "BOOL": "boolean"}
FIELD = re.compile(r'LOG_(TEXT|STR|I64|F64|BOOL)\(([^"]*?)"([a-z0-9_]+)"')


def page(name):
    return (TOP / "docs/man" / name).read_text()


# ---- form ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("path", manual.PAGES, ids=lambda path: path.name)
def test_mandoc_has_nothing_against_it(path):
    if shutil.which("mandoc") is None:
        pytest.skip("no mandoc on this machine")
    run = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", str(path)], capture_output=True,
                         text=True, timeout=30, check=False)
    assert run.returncode == 0 and not run.stdout, run.stdout + run.stderr


def test_all_pages_are_there_and_point_at_each_other():
    names = {path.name for path in manual.PAGES}
    assert names == {"imprint-sync.8", "imprint-sync.yaml.5", "imprint-sync-mapping.5",
                     "imprint-sync-log.7", "imprint-sync-sql.7"}
    for path in manual.PAGES:
        references = re.findall(r"^\.Xr (imprint-sync\S*) (\d)", path.read_text(), re.M)
        assert {f"{name}.{section}" for name, section in references} <= names, path.name


# ---- what comes from the program's tables --------------------------------------------------------

@pytest.fixture(name="texts", scope="module")
def _texts():
    return manual.parts(imprint_sync(), program("imprint-manual"))


@pytest.mark.parametrize("path", manual.PAGES, ids=lambda path: path.name)
def test_the_reference_is_that_of_the_tables(path, texts):
    assert path.read_text() == manual.filled(path.read_text(), texts), \
        "write it anew: cmake --build --preset release --target manual"


def test_every_table_has_its_place(texts):
    placed = {match[2] for path in manual.PAGES for match in manual.PART.finditer(path.read_text())}
    assert placed == set(texts)
    for name, text in texts.items():
        assert text.count("\n.It ") >= 1, name
    assert ".It Cm retry.cap : Ar duration\n" in texts["keys"]
    assert ".It Cm metadata.*\n" in texts["targets"] and ".It Cm us_state\n" in texts["types"]
    assert ".It Cm when_null\n" in texts["options"]
    assert ".It Ic dead retry\n" in texts["commands"] and ".It Fl -dry-run\n" in texts["commands"]
    assert ".It Fl c , Fl -config Ar FILE\n" in texts["common"]


def test_exit_codes_are_those_of_the_readme():
    text = re.search(r"^\.Sh EXIT STATUS\n(.*?)^\.Sh", page("imprint-sync.8"), re.M | re.S)[1]
    table = re.search(r"^\| exit code .*?\n\n", (TOP / "README.md").read_text(), re.M | re.S)[0]
    assert re.findall(r"^\.It (\d+)", text, re.M) == re.findall(r"^\| (\d+) \|", table, re.M)


def test_what_the_page_says_of_the_schema_is_in_it():
    text = page("imprint-sync-sql.7")
    sql = "\n".join(path.read_text() for path in sorted((TOP / "sql").glob("*.sql")))
    table = re.search(r"^CREATE TABLE imprint_sync\.outbox \((.*?)^\)", sql, re.M | re.S)[1]
    types = r"bigint|int|text|smallint|jsonb|timestamptz|imprint_sync\.outbox_[a-z]+"
    columns = set(re.findall(rf"^    ([a-z_]+) +(?:{types})\b", table, re.M))
    listed = {name for line in re.findall(r"^\.It Va (.*?) Pq", text, re.M) for name in line.split(" , ")}
    assert listed == columns and "payload" in columns
    for name in re.findall(r"Fn imprint_sync\.([a-z_]+)", text):
        assert re.search(rf"FUNCTION imprint_sync\.{name}\(", sql), name
    for name in re.findall(r"Sy imprint_sync\.([a-z_]+)", text):
        assert re.search(rf"TABLE imprint_sync\.{name} \(", sql), name


def typed(text):
    """(command, options) of each command line that stands in an example."""
    for words in re.findall(r"imprint-sync ((?:(?:dead )?[a-z]+)(?: [^|\n]*)?)$", text, re.M):
        name = re.match(r"(?:dead )?[a-z]+", words)[0]
        yield name, set(re.findall(r"--([a-z-]+)", words))


@pytest.mark.parametrize("path", manual.PAGES, ids=lambda path: path.name)
def test_examples_name_what_there_is(path):
    known = {command.name: {option.name for option in command.options}
             for command in manual.commands(imprint_sync())}
    text = path.read_text()
    examples = "\n".join(re.findall(r"^\.Bd -literal.*?^\.Ed|^\.Dl .*?$", text, re.M | re.S))
    for name, options in typed(re.sub(r"^.*(?:systemctl|journalctl) .*$| {3}\(.*\)$", "", examples, flags=re.M)):
        assert name in known and options <= known[name], f"{name} {options}"
    keys = set(re.findall(r"^ *\.It Cm (\S+) :", page("imprint-sync.yaml.5"), re.M))
    for word in re.findall(r"^\.(?!It).*?\bCm \"?([a-z]+\.[a-z_]+)", text, re.M):
        assert word in keys | logged().keys(), word


# ---- the log -------------------------------------------------------------------------------------

class Event:
    """`optional` are the keys that some lines of this event do not have."""

    def __init__(self):
        self.levels, self.kinds, self.optional = set(), {}, set()

    def __eq__(self, other):
        return vars(self) == vars(other)

    def __repr__(self):
        return repr(vars(self))


def fields(text):
    """({key: kind}, those that may be NULL) of the LOG_ macros in a piece of C."""
    kinds = {key: KINDS[kind] for kind, _, key in FIELD.findall(text)}
    return kinds, {key for _, before, key in FIELD.findall(text) if "?" in before}


def calls():
    """(levels, event, its part with the fields) of each place that logs."""
    for path in sorted((TOP / "src").rglob("*.c")):
        text = path.read_text()
        for call in re.findall(r"\blog_event\((.*?)\)\s*;", text, re.S):
            head = re.split(r"\bLOG_(?:TEXT|STR|I64|F64|BOOL)\(", call)[0]
            levels = set(re.findall(r"LOG_LEVEL_([A-Z]+)", head))
            for event in re.findall(r'"([a-z_.]+)"', head) or pool_events():
                yield level_of(event, levels), event, call
        for body in re.findall(r"^\w[^\n;]*\([^;{]*?\)\n\{.*?^\}", text, re.M | re.S):
            for level, event in re.findall(r'\{LOG_LEVEL_([A-Z]+), "([a-z_.]+)"\}', body):
                yield {level}, event, body


def pool_events():
    text = (TOP / "src/domain/pool.c").read_text()
    chooser = re.search(r"^const char \*pool_change_event\(.*?^}", text, re.M | re.S)
    return set(re.findall(r'"([^"]+)"', chooser[0]))


def level_of(event, levels):
    """The one call for all changes of the pool says `open` at info."""
    if event in pool_events():
        return {"INFO"} if event in ("api.up", "api.authorized") else {"WARNING"}
    return levels


def logged():
    events, times = {}, {}
    for levels, name, text in calls():
        event = events.setdefault(name, Event())
        kinds, optional = fields(text)
        times.setdefault(name, []).append(set(kinds) - optional)
        event.levels |= {level.lower() for level in levels}
        event.kinds.update(kinds)
        event.optional |= optional
    for name, event in events.items():
        event.optional = set(event.kinds) - set.intersection(*times[name])
    return events


def documented(text):
    """The same from the page. Events without keys of their own share those that follow."""
    text = re.search(r"^\.Sh EVENTS\n(.*?)^\.Sh", text, re.M | re.S)[1]
    events, waiting = {}, []
    for kind, name, rest in re.findall(r"^\.It (Ic|Va) (\S+) Pq (.*)$", text, re.M):
        words = rest.split(", ")
        if kind == "Ic":
            if any(event.kinds for event in waiting):
                waiting = []
            events[name] = Event()
            events[name].levels = set(words)
            waiting.append(events[name])
            continue
        for event in waiting:
            event.kinds[name] = words[0]
            event.optional |= {name} if "optional" in words else set()
    return events


def log_wrong(text):
    """Sentences about what differs between page and program."""
    program_has, page_has = logged(), documented(text)
    wrong = {f"{name} is missing" for name in program_has.keys() - page_has.keys()}
    wrong |= {f"{name} is no event" for name in page_has.keys() - program_has.keys()}
    for name in program_has.keys() & page_has.keys():
        for member in ("levels", "kinds", "optional"):
            ours, theirs = getattr(program_has[name], member), getattr(page_has[name], member)
            if ours != theirs:
                wrong.add(f"{name}: {member} {theirs} should be {ours}")
    return wrong


def test_the_log_page_says_what_is_logged():
    assert log_wrong(page("imprint-sync-log.7")) == set()


def test_units_agree_with_the_names_of_the_keys():
    for key, rest in re.findall(r"^\.It Va (\S+) Pq (.*)$", page("imprint-sync-log.7"), re.M):
        units = set(rest.split(", ")[1:]) - {"optional"}
        suffix = SUFFIXES.get(key.rsplit("_", 1)[-1]) if "_" in key else None
        assert units == ({suffix} if suffix else {"requests a second"} & units), key


def promised(text):
    """(event, key, type, unit) of the page; an event without keys has one row."""
    events = documented(text)
    units = dict(re.findall(r"^\.It Va (\S+) Pq \w+, (milliseconds|seconds|kilobytes|requests a second)",
                            text, re.M))
    return {(name, key, kind, units.get(key, "-")) for name, event in events.items()
            for key, kind in event.kinds.items() or [("", "")]}


def test_the_contract_is_kept():
    """tests/cases/log.tsv is what was promised. What is new is added to it; what is renamed, changed
    or taken away breaks somebody's monitoring, and raises LOG_VERSION with it."""
    first, *rows = (TOP / "tests/cases/log.tsv").read_text().splitlines()
    version = re.search(r"LOG_VERSION = (\d+)", (TOP / "src/base/log.h").read_text())[1]
    assert first == f"# version {version}: event, key, type, unit"
    assert f"This page is version {version} of" in page("imprint-sync-log.7")
    kept = {tuple(row.split("\t")) for row in rows}
    now = promised(page("imprint-sync-log.7"))
    assert kept - now == set(), "broken promises"
    assert now - kept == set(), "new: add these rows"
    assert len(kept) > 100 and rows == sorted(rows)


def test_every_event_and_key_has_its_meaning():
    text = re.search(r"^\.Sh EVENTS\n(.*?)^\.Sh", page("imprint-sync-log.7"), re.M | re.S)[1]
    for head in re.findall(r"^\.It (?:Ic|Va) \S+ Pq .*\n(?=\.(?:It|Bl|El)\b)", text, re.M):
        raise AssertionError(f"nothing is said about {head}")


@pytest.mark.parametrize("old, new, problem", [
    (".It Ic prune.done Pq info\n", "", "prune.done is missing"),
    (".It Ic db.notify Pq warning\n", ".It Ic db.notify Pq error\n", "db.notify: levels {'error'} should be {'warning'}"),
    (".It Va throttled Pq integer\n", ".It Va throttled Pq number\n", "stats: kinds"),
    (".It Va detail Pq text, optional\n", ".It Va detail Pq text\n", "api.down: optional"),
    (".It Va trigger Pq text\n", "", "watch.lost: kinds"),
    (".It Ic update.late Pq", ".It Ic update.later Pq", "update.later is no event"),
])
def test_a_log_page_that_is_wrong_is_found(old, new, problem):
    changed = page("imprint-sync-log.7").replace(old, new)
    assert changed != page("imprint-sync-log.7")
    assert any(found.startswith(problem) for found in log_wrong(changed)), log_wrong(changed)


def test_the_source_was_read():
    events = logged()
    assert len(events) >= 30 and len(events["stats"].kinds) >= 24
    assert events["daemon.stop"].optional == {"exit"}
    assert events["update.dead"].kinds["retry_in_ms"] == "integer"
    assert events["api.key"].levels == {"info", "warning", "debug"}


# ---- completion ----------------------------------------------------------------------------------

def test_the_completion_is_that_of_the_commands():
    assert manual.COMPLETION.read_text() == manual.completion(imprint_sync()), \
        "write it anew: cmake --build --preset release --target manual"


def complete(*words, folder=None):
    """What bash offers for the last word; `=` is a word of its own, as bash has it."""
    script = ('source "$0"; COMP_WORDS=(imprint-sync "$@"); COMP_CWORD=$#; _imprint_sync; '
              '((${#COMPREPLY[@]} == 0)) || printf "%s\\n" "${COMPREPLY[@]}"')
    run = subprocess.run(["bash", "--norc", "-c", script, str(manual.COMPLETION), *words], cwd=folder,
                         capture_output=True, text=True, timeout=30, check=True)
    assert run.stderr == ""
    return run.stdout.split()


@pytest.mark.parametrize("words, offered", [
    (["re"], ["render", "resume", "report"]),
    (["dead", ""], ["list", "show", "retry", "discard"]),
    (["dead", "retry", "--d"], ["--dry-run"]),
    (["run", ""], ["--once", "--config", "--help"]),
    (["check", "--p"], ["--print", "--print-defaults"]),
    (["--c"], ["--config"]),
    (["-c", "x.yaml", "st"], ["status"]),
    (["--config", "=", "x.yaml", "dead", "sh"], ["show"]),
    (["-c", "x.yaml", "dead", "list", "--customer", "render", "--e"], ["--each"]),
    (["dead", "list", "--type", ""], []),
    (["dead", "list", "--each", "--j"], ["--json"]),
    (["version", "--o"], []),
])
def test_words_are_completed(words, offered):
    assert complete(*words) == offered


@pytest.mark.parametrize("words", [["-c", "imp"], ["--config", "imp"], ["--config", "=", "imp"],
                                   ["run", "-c", "imp"], ["report", "imp"],
                                   ["report", "other.log", "imp"]])
def test_files_are_completed(words, tmp_path):
    (tmp_path / "imprint.yaml").touch()
    assert complete(*words, folder=tmp_path) == ["imprint.yaml"]


def test_after_the_equals_sign_all_files_are_offered(tmp_path):
    (tmp_path / "imprint.yaml").touch()
    assert complete("--config", "=", folder=tmp_path) == ["imprint.yaml"]

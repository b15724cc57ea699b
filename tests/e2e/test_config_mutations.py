"""Mutations of the samples: whatever is done to a key, it is refused, or does what it says."""

import re
import subprocess

import pytest
import yaml
from jsonschema import Draft202012Validator

from config_files import check, prepare, read, sample, schema, uncommented
from harness import imprint_sync

MAIN = uncommented(sample())
MAPPING = sample("mapping.yaml")
KEY = re.compile(r"^( *)([a-z_]+):( *)(.*?)( *#.*)?$")
REQUIRED = {"database", "database.dsn", "imprint", "imprint.base_url", "imprint.api_key_file",
            "mapping_file", "mapping"}
# Keys that cannot go alone.
BOUND = {"source.relation", "source.customer_id", "imprint.client_cert_file",
         "imprint.client_key_file", "mapping.customer_history.ltv_currency"}
RULES = Draft202012Validator(schema("config")), Draft202012Validator(schema("mapping"))


def keys(text):
    """(index of the line, path) of each key of a file."""
    path = []
    for index, line in enumerate(text.split("\n")):
        match = KEY.match(line)
        if match:
            path = path[:len(match[1]) // 2] + [match[2]]
            yield index, ".".join(path)


def changed(text, index, change):
    """The file with the line at `index` replaced by what `change` makes of it."""
    lines = text.split("\n")
    lines[index:index + 1] = change(lines[index])
    return "\n".join(lines)


def name_to(make):
    return lambda line: [KEY.sub(lambda m: f"{m[1]}{make(m[2])}:{m[3]}{m[4]}", line)]


def value_to(make):
    return lambda line: [KEY.sub(lambda m: f"{m[1]}{m[2]}: {make(m[4])}", line)]


def drop(_):
    return []


def double(line):
    return [line, line]


# Changes that no key survives, and what the message must hold.
BREAKING = {
    "doubled": (double, "duplicate key; the first is in line|YAML syntax"),
    "without its end": (name_to(lambda name: name[:-1]), "unknown (key|target|option)|did you mean"),
    "longer": (name_to(lambda name: name + "x"), "unknown (key|target)"),
    "with a capital": (name_to(str.capitalize), "unknown (key|target)"),
    "swapped": (name_to(lambda name: name[1] + name[0] + name[2:]), "unknown (key|target)|duplicate"),
    "with a dash": (name_to(lambda name: name.replace("_", "-") + "-"), "unknown (key|target)"),
    "with an equals sign": (lambda line: [line.replace(":", "=", 1)], "YAML|unknown|belong"),
    "behind a tab": (lambda line: ["\t" + line.strip()], "tab in the indentation"),
    "anchored": (value_to(lambda value: "&a " + value), "anchor"),
    "an alias": (value_to(lambda value: "*a"), "alias|YAML"),
    "tagged": (value_to(lambda value: "!!str " + value), "tag"),
    "cut off": (value_to(lambda value: '"'), "YAML syntax"),
    "in a list": (value_to(lambda value: f"[{value}]"), "list|YAML"),
    "with a control character": (lambda line: [line + "\x1b"], "control character"),
}
ONLY_CHILDREN = {"mapping.metadata.loyalty_id", "mapping.customer_history.address.country"}
FREE = "mapping.metadata.loyalty_id"  # any name is right there
RENAMED = {"without its end", "longer", "with a capital", "swapped", "with a dash"}


@pytest.fixture(name="folder", scope="module")
def fixture_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("config")
    return folder, prepare(folder)


def run(folder, main=MAIN, mapping=MAPPING, *arguments):
    return check(*folder, {"main.yaml": main, "mapping.yaml": mapping}, *arguments)


def printed(done):
    assert done.returncode == 0, done.stderr
    return read(done.stdout)


def must_refuse(done, pattern, what):
    assert done.returncode == 78, f"{what}: loads"
    assert done.stdout == "" and "\x1b" not in done.stderr, what
    lines = done.stderr.strip().split("\n")
    assert all(re.match(r"(main|mapping)\.yaml(:\d+:\d+)?: ", line) for line in lines), (what, lines)
    assert re.search(pattern, done.stderr), (what, done.stderr)


def test_the_samples_load(folder):
    assert run(folder).returncode == 0
    assert len(list(keys(MAIN))) >= 45 and len(list(keys(MAPPING))) >= 14


@pytest.mark.parametrize("how", BREAKING)
def test_no_key_of_the_main_file_survives(folder, how):
    change, pattern = BREAKING[how]
    for index, path in keys(MAIN):
        main = changed(MAIN, index, change)
        if main != MAIN:
            must_refuse(run(folder, main), pattern, f"{path} {how}")


@pytest.mark.parametrize("how", BREAKING)
def test_no_target_survives(folder, how):
    change, pattern = BREAKING[how]
    for index, path in keys(MAPPING):
        mapping = changed(MAPPING, index, change)
        if mapping != MAPPING and not (path == FREE and how in RENAMED):
            must_refuse(run(folder, mapping=mapping), pattern, f"{path} {how}")


def parent_of(tree, path):
    for name in path.split(".")[:-1]:
        tree = tree[name]
    return tree


def test_a_dropped_key_is_the_default_or_missed(folder):
    whole = printed(run(folder, MAIN, MAPPING, "--print"))
    for index, path in keys(MAIN):
        done = run(folder, changed(MAIN, index, drop), MAPPING, "--print")
        section = not re.search(r": \S", MAIN.split("\n")[index])
        if path in REQUIRED | BOUND or section:
            must_refuse(done, path.rsplit(".", maxsplit=1)[-1] + "|unknown key|YAML", path)
            continue
        name = path.rsplit(".", maxsplit=1)[-1]
        now, before = parent_of(printed(done), path)[name], parent_of(whole, path)[name]
        # The sample shows defaults; what has none is not set.
        assert now in (before, None), path


def test_a_dropped_target_is_not_sent_or_missed(folder):
    for index, path in keys(MAPPING):
        done = run(folder, MAIN, changed(MAPPING, index, drop), "--print")
        section = not re.search(r": +\S", MAPPING.split("\n")[index])
        if path in BOUND | REQUIRED or section:
            must_refuse(done, "mapping|unknown", path)
        elif path not in ONLY_CHILDREN:
            assert path.split(".")[-1] not in parent_of(printed(done), path), path
        else:
            must_refuse(done, f"{path.rsplit('.', maxsplit=1)[0]}: is empty", path)


# By the form of the value in the sample.
JUNK = {
    r"\d+(ms|s|m|h|d)": ["{}x", "{}{}", "-{}", "+{}", "0x{}", "{}.5", "{} {}", "1e3s", "", "'{} '"],
    r"\d+/s": ["{}x", "-{}", "{}/s", "0/s", "50", "50/d", "1.5/s", "", "1e9/s"],
    r"\d+": ["{}x", "-{}", "{}.0", "0x{}", "'{}'", "1e3", "{}_0", "", "99999999999", "0"],
    r"true|false": ["yes", "no", "on", "True", "FALSE", "'true'", "1", "y", ""],
    r"sandbox|bearer|auto|info|logfmt": ["{}x", "'{} '", "nonsense", "", "[]", "{{}}", "0"],
}


@pytest.mark.parametrize("form", JUNK)
def test_no_junk_is_a_value(folder, form):
    count = 0
    for index, path in keys(MAIN):
        value = KEY.match(MAIN.split("\n")[index])[4]
        if not re.fullmatch(form, value):
            continue
        for junk in JUNK[form]:
            text = junk.format(value, value)
            done = run(folder, changed(MAIN, index, value_to(lambda _, text=text: text)))
            must_refuse(done, re.escape(path), f"{path}: {text}")
            count += 1
    assert count >= 9


# What is wrong in an option, for a target of the sample that has it.
@pytest.mark.parametrize("old, new, pattern", [
    ("{from: mobile}", "{form: mobile}", 'unknown option "form"; did you mean "from"'),
    ("{from: mobile}", "{from: mobile, value: x}", "from does not go with value"),
    ("{from: mobile}", "{from: [mobile]}", "is a list"),
    ("{from: mobile}", "{from: }", "is empty"),
    ("{from: mobile}", "{}", "has neither from"),
    ("as: us_state", "as: us_sate", 'did you mean "us_state"'),
    ("as: us_state", "as: country", "type country cannot feed state"),
    ("as: us_state", "as: json", "json is allowed below metadata only"),
    ("as: us_state", "As: us_state", "unknown option"),
    ("{value: USA}", "{value: Atlantis}", "is not an ISO 3166-1 country"),
    ("{value: USA}", "{value: USA, required: true}", "required does not go with value"),
    ("{value: USA}", "{value: '${COUNTRY}'}", "the mapping takes no variables"),
    ("as: months_since", "as: timestamp", "cannot feed"),
    (", currency: ltv_currency", "", "needs the option currency"),
    ("currency: ltv_currency", "currency: USD", "must come from the column"),
    ("ltv_currency:     ltv_currency", "ltv_currency:     other", "must come from the column"),
    ("ltv_currency:     ltv_currency", "ltv_currency:     {from: ltv_currency, map: {1: USD}}",
     "without map and max_length"),
    ("map: {1: SILVER, 2: GOLD}", "map: {1: SILVER, 1: GOLD}", "duplicate key"),
    ("map: {1: SILVER, 2: GOLD}", "map: {1: SILVER, ' 2': GOLD}", "can never match"),
    ("map: {1: SILVER, 2: GOLD}", "map: {~: SILVER, 2: GOLD}", "can never match NULL"),
    ("map: {1: SILVER, 2: GOLD}", "map: [SILVER, GOLD]", "is a list"),
    ("map: {1: SILVER, 2: GOLD}", "map: {}", "is empty"),
    ("default: MEMBER", "default: MEMBER, required: true", "does not go with default"),
    ("default: MEMBER", "default: [MEMBER]", "is a list"),
    ("default: MEMBER", "defualt: MEMBER", 'did you mean "default"'),
    ("as: text}", "as: text, max_length: 0}", "allowed: a number of characters"),
    ("as: text}", "as: text, max_length: 10x}", "allowed: a number of characters"),
    ("as: text}", "as: text, timezone: UTC}", "goes with types timestamp and months_since"),
    ("as: text}", "as: text, calling_code: 1}", "goes with type phone only"),
    ("as: text}", "as: text, required: yes}", "allowed: true, false"),
    ("as: text}", "as: text, on_invalid: drop}", "allowed: fail, omit"),
    ("as: text}", "as: text, when_null: send}", "allowed: omit, null, fail"),
    ("mapping:\n", "mapping: &m\n", "anchor"),
    ("mapping:\n", "maping:\n", "did you mean mapping"),
    ("mapping:\n", "on_invalid: [omit]\nmapping:\n", "is a list"),
    ("mapping:\n", "mapping:\n  country: c\n", "customer_history.address.country"),
    ("mapping:\n", "mapping:\n  customer_history.email: c\n", "is written below it"),
])
def test_a_wrong_option_is_refused(folder, old, new, pattern):
    assert old in MAPPING
    must_refuse(run(folder, mapping=MAPPING.replace(old, new, 1)), pattern, new)


ABUSE = [
    ("10 MB", MAIN + "# " + "x" * 10_000_000, "is larger than 1 MiB"),
    ("1,000 levels", MAIN + "x: " + "[" * 1000 + "]" * 1000, "nested deeper than 32 levels"),
    ("1,000 levels by indentation",
     MAIN + "".join(" " * i + "x:\n" for i in range(1000)), "nested deeper than 32 levels"),
    ("a second document", MAIN + "---\nlog: {level: debug}\n", "second document"),
    ("Latin-1", MAIN.encode() + b"# M\xfcller\n", "0xFC is not UTF-8"),
    ("UTF-16", MAIN.encode("utf-16"), "is not UTF-8"),
    ("NUL", MAIN + "\0", r"control character U\+0000"),
    ("80,000 keys", "".join(f"k{i}: 1\n" for i in range(80_000)), "k79999: unknown key"),
    ("laughs", "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n", "alias"),
    ("nothing", "", "database.dsn: is missing"),
    ("a picture", bytes(range(256)), "control character"),
    ("JSON", '{"database": {"dsn": 1}, "imprint": []}', "a list was found where the keys"),
]


@pytest.mark.parametrize("name, text, pattern", ABUSE, ids=[row[0] for row in ABUSE])
def test_no_abuse_of_yaml_passes(folder, name, text, pattern):
    must_refuse(run(folder, main=text), pattern, name)
    mapping = text if isinstance(text, bytes) else text.replace(MAIN, MAPPING)
    done = run(folder, mapping=mapping)
    assert done.returncode == 78, name
    assert done.stderr.startswith("mapping.yaml:") or "cannot be used: It is empty" in done.stderr


def test_every_mistake_of_both_files_comes_at_once(folder):
    done = run(folder, MAIN.replace("level: info", "level: loud").replace("50/s", "0/s"),
               MAPPING.replace("email:  ", "emial:  ").replace("as: text", "as: txt"))
    assert done.returncode == 78
    assert [line.split(":")[0] for line in done.stderr.strip().split("\n")] == \
        ["main.yaml"] * 2 + ["mapping.yaml"] * 2


def test_what_a_schema_refuses_the_program_refuses(folder):
    """The other way round is not true, as a schema knows less."""
    for index, path in keys(MAIN):
        for text in ("x y", "7", "{a: 1}", "~", "0"):
            main = changed(MAIN, index, value_to(lambda _, text=text: text))
            try:
                wrong = list(RULES[0].iter_errors(read(main)))
            except yaml.YAMLError:
                continue
            if wrong:
                must_refuse(run(folder, main), "", f"{path}: {text}: {wrong[0].message}")


@pytest.mark.parametrize("command", [["run"], ["run", "--once"], ["render"], ["migrate"]])
def test_every_command_refuses_the_same(folder, command):
    done = run(folder, MAIN.replace("level: info", "level: loud"))
    again = subprocess.run([imprint_sync(), "-c", "main.yaml", *command], cwd=folder[0],
                           env=folder[1], capture_output=True, text=True, check=False, timeout=60)
    assert (again.returncode, again.stderr) == (78, done.stderr) and "loud" in again.stderr

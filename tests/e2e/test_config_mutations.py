"""Mutations of the samples: whatever is done to a key, it is refused, or does what it says.

A change is made to all keys of a file in one run where the program can tell them apart, since it
reports every mistake, and to one key after the other where the first ends the reading.
"""

import re
import subprocess

import pytest
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
ONLY_CHILDREN = {"mapping.metadata.loyalty_id", "mapping.customer_history.address.country"}
FREE = "mapping.metadata.loyalty_id"  # any name is right there


def keys(text):
    """[(index of the line, path, has a value)] of each key of a file."""
    found, path = [], []
    for index, line in enumerate(text.split("\n")):
        match = KEY.match(line)
        if match:
            path = path[:len(match[1]) // 2] + [match[2]]
            found.append((index, ".".join(path), bool(match[4])))
    return found


def changed(text, indexes, change):
    """The file with each of these lines replaced by what `change` makes of it."""
    lines = [change(line) if index in indexes else [line]
             for index, line in enumerate(text.split("\n"))]
    return "\n".join(line for part in lines for line in part)


def name_to(make):
    return lambda line: [KEY.sub(lambda m: f"{m[1]}{make(m[2])}:{m[3]}{m[4]}", line)]


def value_to(make):
    return lambda line: [KEY.sub(lambda m: f"{m[1]}{m[2]}: {make(m[4])}", line)]


def drop(_):
    return []


def double(line):
    return [line, line]


# How a name is got wrong.
NAMES = {
    "without its end": lambda name: name[:-1],
    "longer": lambda name: name + "x",
    "with a capital": str.capitalize,
    "swapped": lambda name: name[1] + name[0] + name[2:],
    "with a dash": lambda name: name.replace("_", "-") + "-",
}
# What no value survives: the change, and what is said of each key.
VALUES = {
    "doubled": (double, "duplicate key"),
    "anchored": (value_to(lambda value: "&a " + value), "anchor"),
    "an alias": (value_to(lambda value: "*a"), "alias"),
    "tagged": (value_to(lambda value: "!!str " + value), "tag"),
    "in a list": (value_to(lambda _: "[a, b]"), "list"),
}
# What ends the reading of the file.
FATAL = {
    "without its colon": (lambda line: [line.replace(":", "=", 1)], "YAML|unknown|belong|is a single"),
    "behind a tab": (lambda line: ["\t" + line.strip()], "tab in the indentation"),
    "cut off": (value_to(lambda value: '"'), "YAML syntax"),
    "with a control character": (lambda line: [line + "\x1b"], "control character"),
    "indented": (lambda line: [" " + line], "YAML syntax|unknown|belong|single value"),
}


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


def must_name(done, paths, pattern, what):
    """Each of these keys has a line with the pattern."""
    assert done.returncode == 78 and done.stdout == "", f"{what}: loads"
    lines = done.stderr.split("\n")
    for path in paths:
        said = [line for line in lines if re.search(rf":\d+: {re.escape(path)}(?![\w-])", line)]
        assert any(re.search(pattern, line) for line in said), (what, path, said)


def test_the_samples_load(folder):
    assert run(folder).returncode == 0
    assert len(keys(MAIN)) >= 45 and len(keys(MAPPING)) >= 14


@pytest.mark.parametrize("how", NAMES)
@pytest.mark.parametrize("text, file", [(MAIN, "main"), (MAPPING, "mapping")], ids=["main", "mapping"])
def test_no_name_survives(folder, how, text, file):
    leaves = {index: path for index, path, value in keys(text) if value and path != FREE}
    done = run(folder, **{file: changed(text, leaves, name_to(NAMES[how]))})
    wrong = {re.sub(r"[^.]+$", lambda m: NAMES[how](m[0]), path) for path in leaves.values()}
    must_name(done, wrong, "unknown (key|target)", how)
    for index, path, value in keys(text):
        if not value:
            done = run(folder, **{file: changed(text, {index}, name_to(NAMES[how]))})
            must_refuse(done, "unknown (key|target)", f"{path} {how}")


@pytest.mark.parametrize("how", VALUES)
@pytest.mark.parametrize("text, file", [(MAIN, "main"), (MAPPING, "mapping")], ids=["main", "mapping"])
def test_no_value_survives(folder, how, text, file):
    change, pattern = VALUES[how]
    leaves = {index: path for index, path, value in keys(text) if value}
    done = run(folder, **{file: changed(text, leaves, change)})
    must_name(done, leaves.values(), pattern, how)


@pytest.mark.parametrize("how", FATAL)
@pytest.mark.parametrize("text, file", [(MAIN, "main"), (MAPPING, "mapping")], ids=["main", "mapping"])
def test_no_broken_line_survives(folder, how, text, file):
    change, pattern = FATAL[how]
    for index, path, _ in keys(text)[1::4]:
        done = run(folder, **{file: changed(text, {index}, change)})
        must_refuse(done, pattern, f"{path} {how}")


def parent_of(tree, path):
    for name in path.split(".")[:-1]:
        tree = tree[name]
    return tree


def test_a_dropped_key_is_the_default_or_missed(folder):
    whole = printed(run(folder, MAIN, MAPPING, "--print"))
    for index, path, value in keys(MAIN):
        done = run(folder, changed(MAIN, {index}, drop), MAPPING, "--print")
        if path in REQUIRED | BOUND or not value:
            must_refuse(done, path.rsplit(".", maxsplit=1)[-1] + "|unknown key|YAML", path)
            continue
        name = path.rsplit(".", maxsplit=1)[-1]
        now, before = parent_of(printed(done), path)[name], parent_of(whole, path)[name]
        # The sample shows defaults; what has none is not set.
        assert now in (before, None), path


def test_a_dropped_target_is_not_sent_or_missed(folder):
    for index, path, value in keys(MAPPING):
        done = run(folder, MAIN, changed(MAPPING, {index}, drop), "--print")
        if path in BOUND | REQUIRED or not value:
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


@pytest.mark.parametrize("form, junk", [(form, junk) for form, some in JUNK.items() for junk in some])
def test_no_junk_is_a_value(folder, form, junk):
    lines = MAIN.split("\n")
    leaves = {index: path for index, path, _ in keys(MAIN)
              if re.fullmatch(form, KEY.match(lines[index])[4])}
    assert leaves
    main = changed(MAIN, leaves, value_to(lambda value: junk.format(value, value)))
    must_name(run(folder, main), leaves.values(), "", junk)


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


def test_the_largest_mapping_is_printed_whole(folder):
    names = range(4_000)
    mapping = "mapping:\n  metadata:\n" + "".join(f"    k{i}: c{i:060}\n" for i in names)
    done = run(folder, MAIN, mapping, "--print")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n    k") == len(names) and f"k3999: {{from: c{3999:060}" in done.stdout


def test_every_mistake_of_both_files_comes_at_once(folder):
    done = run(folder, MAIN.replace("level: info", "level: loud").replace("50/s", "0/s"),
               MAPPING.replace("email:  ", "emial:  ").replace("as: text", "as: txt"))
    assert done.returncode == 78
    assert [line.split(":")[0] for line in done.stderr.strip().split("\n")] == \
        ["main.yaml"] * 2 + ["mapping.yaml"] * 2


@pytest.mark.parametrize("value", ["x y", "7", "{a: 1}", "~", "0", "true", "[]", "'5'"])
def test_what_a_schema_refuses_the_program_refuses(folder, value):
    """The other way round is not true, as a schema knows less."""
    leaves = {index: path for index, path, has in keys(MAIN) if has}
    main = changed(MAIN, leaves, value_to(lambda _: value))
    wrong = {".".join(error.absolute_path)
             for error in Draft202012Validator(schema("config")).iter_errors(read(main))}
    wrong &= set(leaves.values())
    assert len(wrong) >= 5
    must_name(run(folder, main), wrong, "", value)


@pytest.mark.parametrize("command", [["run"], ["run", "--once"], ["render"], ["migrate"]])
def test_every_command_refuses_the_same(folder, command):
    done = run(folder, MAIN.replace("level: info", "level: loud"))
    again = subprocess.run([imprint_sync(), "-c", "main.yaml", *command], cwd=folder[0],
                           env=folder[1], capture_output=True, text=True, check=False, timeout=60)
    assert (again.returncode, again.stderr) == (78, done.stderr) and "loud" in again.stderr

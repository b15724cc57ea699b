"""The JSON Schemas in config/: made by the program's tables, right about samples and mistakes."""

import re
import subprocess

import pytest
import yaml
from jsonschema import Draft202012Validator

import config_files
from config_files import read, sample, schema, uncommented
from harness import TOP, program

# Messages about what a schema can know, by the file that they are about.
SIMPLE = re.compile(
    r"^(main|mapping)\.yaml:.*(: unknown (key|target|type|option)|is missing, but required"
    r"|was found where|has no value; leave|is not a rate|is not a whole number"
    r"|is a text in quotes|is not a duration|is neither true nor false|: \"[^\"]*\" is unknown"
    r"|out of range; allowed is -?\d+ to \d+$|has neither from|does not go with value"
    r"|cannot feed|json is allowed below metadata only|is no status of a failure"
    r"|dead is not allowed|; allowed: )")


def mistakes(which, text):
    return list(Draft202012Validator(schema(which)).iter_errors(read(text)))


@pytest.mark.parametrize("which, name", [("config", "imprint-sync"), ("mapping", "mapping")])
def test_the_committed_schema_is_that_of_the_tables(which, name):
    made = subprocess.run([program("imprint-schema"), which], capture_output=True, text=True,
                          check=True, timeout=30).stdout
    path = TOP / "config" / f"{name}.schema.json"
    assert made == path.read_text(), "write it anew: cmake --build --preset release --target schemas"


@pytest.mark.parametrize("which", ["config", "mapping"])
def test_the_schema_is_one(which):
    Draft202012Validator.check_schema(schema(which))
    assert schema(which)["additionalProperties"] is False


@pytest.mark.parametrize("name, which, text", [
    ("imprint-sync.yaml", "config", sample()),
    ("imprint-sync.yaml", "config", uncommented(sample())),
    ("mapping.yaml", "mapping", sample("mapping.yaml")),
    ("mapping.yaml", "mapping", uncommented(sample("mapping.yaml"))),
])
def test_the_samples_are_right_and_name_their_schema(name, which, text):
    assert mistakes(which, text) == []
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)[1]
    assert named == name.replace(".yaml", ".schema.json")
    assert (TOP / "config" / named).is_file()


def test_every_key_has_its_help_and_its_default():
    keys = schema("config")["properties"]
    assert keys["delivery"]["properties"]["rate"]["default"] == "50/s"
    assert keys["delivery"]["properties"]["workers"]["default"] == 16
    assert keys["outbox"]["properties"]["notify"]["default"] is True
    for name, key in keys.items():
        assert key["description"], name
        for inner, value in key.get("properties", {}).items():
            assert value["description"].endswith("."), f"{name}.{inner}"


def judged():
    for name, files, messages in config_files.wrong_cases():
        for file in {m[1] for m in map(SIMPLE.match, messages) if m}:
            yield name, file, files[f"{file}.yaml"]


# To a schema 16.0 is 16, 0x10 is 16 and True is true; and it counts no digits.
TOO_FINE = {"number with a fraction", "number in another base", "nor is True",
            "rate beyond 64 bits", "duration beyond 64 bits"}


def readable(text):
    try:
        read(text)
    except yaml.YAMLError:
        return False
    return "${" not in text  # an editor cannot know what is in a variable


CASES = [case for case in judged() if readable(case[2]) and case[0] not in TOO_FINE]


def test_the_table_of_wrong_files_was_read():
    assert len(CASES) >= 50 and {case[1] for case in CASES} == {"main", "mapping"}


@pytest.mark.parametrize("name, file, text", CASES, ids=[case[0] for case in CASES])
def test_a_simple_mistake_is_refused(name, file, text):
    assert mistakes("config" if file == "main" else "mapping", text) != [], name


@pytest.mark.parametrize("text", [
    "delivery: {rate: '${RATE}', workers: '${N}', skip_unchanged: '${SKIP}'}\n",
    "outbox: {retention: 0, lease: 90s}\nlog: {level: '${LEVEL}'}\n",
    "imprint: {base_url: 'https://dev.sbx.imprint.co', api_key_file: key, http_version: 2}\n",
    "imprint: {base_url: x, api_key_file: key, http_version: '1.1', merchant_key: 12, proxy: }\n",
    "retry: {outcomes: {409: retry, 4xx: dead, 401: hold}}\nsource:\nlog: ~\n",
    "mapping_file:\non_invalid: omit\nretry: {outcomes: }\n",
])
def test_what_the_program_takes_is_not_refused(text):
    good = config_files.GOOD
    if text.startswith("imprint:"):
        good = "database: {dsn: dbname=crm}\nmapping: {email: email}\n"
    assert mistakes("config", good + text) == []


@pytest.mark.parametrize("mapping", [
    "{email: e, phone: {from: p, calling_code: 44}, state: {value: MA, as: us_state}}",
    "{city: {from: c, map: {1: A, true: 2, null: null}, default: 7, when_null: null}}",
    "{customer_history: {account_created_at: {from: t, timezone: +0200}}}",
    "{email: e, metadata: {any name: {from: x, as: json}, n: {value: 1}, from: {from: y}}}",
])
def test_a_mapping_that_the_program_takes_is_not_refused(mapping):
    assert mistakes("mapping", f"mapping: {mapping}\n") == []

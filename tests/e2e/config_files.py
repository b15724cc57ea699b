"""The configuration's files for tests: samples, the table of wrong files, YAML as editors read it."""

import json
import re
import subprocess

import yaml

from harness import TOP, imprint_sync

GOOD = """\
database: {dsn: dbname=crm}
imprint: {base_url: "https://dev.sbx.imprint.co", api_key_file: key}
mapping: {email: email}
"""
FILES = {"key": 0o600, "ca.pem": 0o644, "client.pem": 0o644, "client.key": 0o600}


class Core(yaml.SafeLoader):
    """YAML 1.2's core schema: yes is a text, and so is 12:30."""

    yaml_implicit_resolvers = {}

    def construct_mapping(self, node, deep=False):
        names = [key.value for key, _ in node.value]
        if len(set(names)) < len(names):
            raise yaml.YAMLError("a key twice")
        # An editor's schema knows texts only: {409: retry} has the key "409".
        return {key.value: self.construct_object(value, deep=True) for key, value in node.value}


Core.add_constructor("tag:yaml.org,2002:map", lambda loader, node: loader.construct_mapping(node))
for tag, pattern, first in [
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
]:
    Core.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(rf"^(?:{pattern})$"), list(first))
Core.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(
    node.value.lower(), 0 if node.value.startswith("0x") else 10))
Core.add_constructor("tag:yaml.org,2002:bool", lambda loader, node: node.value.lower() == "true")


def read(text):
    return yaml.load(text, Core)


def sample(name="imprint-sync.yaml"):
    return (TOP / "config" / name).read_text()


def uncommented(text):
    """The sample with everything in it that can be set."""
    return re.sub(r"^( *)#([a-z_]+:)", r"\1\2", text, flags=re.M)


def schema(which):
    name = {"config": "imprint-sync", "mapping": "mapping"}[which]
    return json.loads((TOP / "config" / f"{name}.schema.json").read_text())


def prepare(folder):
    """What the sample names, so that it loads in `folder`."""
    for name, mode in FILES.items():
        (folder / name).write_text("x\n")
        (folder / name).chmod(mode)
    credentials = folder / "credentials"
    credentials.mkdir()
    for name in ("db_password", "api_key"):
        (credentials / name).write_text("x\n")
    return {"PATH": "/usr/bin:/bin", "CREDENTIALS_DIRECTORY": str(credentials)}


def check(folder, environment, files, *arguments):
    """`check --offline` over these files; the finished process."""
    for name, text in files.items():
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return subprocess.run(
        [imprint_sync(), "-c", "main.yaml", "check", "--offline", *arguments], cwd=folder,
        env=environment, capture_output=True, text=True, check=False, timeout=60)


def wrong_cases():
    """[(name, {file: text}, [message])] of tests/cases/config/wrong.txt."""
    cases = []
    text = (TOP / "tests/cases/config/wrong.txt").read_text().replace("@good\n", GOOD)
    for block in text.split("\n=== ")[1:]:
        name, rest = block.split("\n", 1)
        parts = re.split(r"^==> (.*)\n", rest, flags=re.M)
        files = dict(zip(["main.yaml", *parts[1::2]], parts[0::2]))
        messages = files.pop("expect").strip().split("\n")
        cases.append((name, files, messages))
    return cases

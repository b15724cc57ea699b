#!/usr/bin/python3
"""Holds src/ against the rules that a compiler does not know; prints "file:line: what" and exits 1.

Layers: who may include whom, and which outside library a file may use (one, outside of app).
Words: functions that this project does not call.
"""

import pathlib
import re
import sys

MAY_INCLUDE = {
    "base": {"base"},
    "domain": {"base", "domain"},
    "config": {"base", "domain", "config"},
    "io": {"base", "domain", "io"},
    "app": {"base", "domain", "config", "io", "app"},
    "main.c": {"base", "app"},
}
LIBRARIES = {
    "curl/": "libcurl",
    "json-c/": "json-c",
    "libpq-fe.h": "libpq",
    "openssl/": "libcrypto",
    "systemd/": "libsystemd",
    "yaml.h": "libyaml",
}
MAY_USE = {
    "base": set(),
    "domain": set(),
    "config": {"libyaml"},
    "io": {"libcurl", "libcrypto", "libpq", "libsystemd"},
    "app": set(LIBRARIES.values()),
    "main.c": set(),
}
FORBIDDEN = re.compile(
    r"\b(atoi|atol|atoll|sscanf|strcpy|strtok|sprintf|vsprintf|strcat|alloca|gets)\s*\("
)
INCLUDE = re.compile(r'\s*#\s*include\s*([<"])([^>"]+)[>"]')
# Comments, strings and characters, which are blanked out without moving a line.
QUIET = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def library_of(header):
    for prefix, library in LIBRARIES.items():
        if header == prefix or (prefix.endswith("/") and header.startswith(prefix)):
            return library
    return None


def layer_problems(layer, text):
    used = set()
    for number, line in enumerate(text.split("\n"), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        bracket, header = match.groups()
        library = library_of(header) if bracket == "<" else None
        target = header.split("/")[0]
        if bracket == '"' and "/" not in header:
            yield number, f'"{header}" is not written from src/'
        elif bracket == '"' and target not in MAY_INCLUDE[layer]:
            yield number, f"{layer} may not include {target}"
        if library is not None:
            used.add(library)
            if library not in MAY_USE[layer]:
                yield number, f"{layer} may not use {library}"
            elif layer == "io" and len(used) > 1:
                yield number, "one outside library a file, here: " + ", ".join(sorted(used))


def word_problems(text):
    blank = QUIET.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)
    for number, line in enumerate(blank.split("\n"), 1):
        for match in FORBIDDEN.finditer(line):
            yield number, f"{match.group(1)} is not used here"


def main():
    top = pathlib.Path(__file__).resolve().parents[2]
    problems = []
    for source in sorted((top / "src").rglob("*.[ch]")):
        layer = source.relative_to(top / "src").parts[0]
        text = source.read_text()
        if layer not in MAY_INCLUDE:
            problems.append(f"{source.relative_to(top)}:1: belongs to no layer")
            continue
        found = list(layer_problems(layer, text)) + list(word_problems(text))
        problems += [f"{source.relative_to(top)}:{number}: {what}" for number, what in found]
    for source in sorted((top / "tests").rglob("*.[ch]")):
        problems += [
            f"{source.relative_to(top)}:{number}: {what}"
            for number, what in word_problems(source.read_text())
        ]
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
"""Sums up what ctest ran: one line for each failed program, then "N passed, N failed".

    summary.py JUNIT-FILE...

Counts single tests as the programs print them (check, TAP, pytest). A program that prints none of
these counts as one test. Exit code 1 when anything failed, or nothing ran at all.
"""

import re
import sys
import xml.etree.ElementTree

CHECK = re.compile(r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)", re.M)
TAP_LINE = re.compile(r"^(not )?ok \d+(.*)$", re.M)
PYTEST = re.compile(r"^=+ ((?:\d+ \w+(?:, )?)+) in [\d.]+s.* =+$", re.M)


def count(text):
    """(passed, failed, skipped) by what a program printed."""
    passed = failed = skipped = 0
    for checks, failures, errors in CHECK.findall(text):
        wrong = int(failures) + int(errors)
        passed += int(checks) - wrong
        failed += wrong
    for negated, rest in TAP_LINE.findall(text):
        if re.search(r"# *(skip|todo)", rest, re.I):
            skipped += 1
        elif negated:
            failed += 1
        else:
            passed += 1
    for line in PYTEST.findall(text):
        for number, word in re.findall(r"(\d+) (\w+)", line):
            if word == "passed":
                passed += int(number)
            elif word in ("failed", "error", "errors"):
                failed += int(number)
            elif word == "skipped":
                skipped += int(number)
    return passed, failed, skipped


def main(paths):
    passed = failed = skipped = 0
    for path in paths:
        for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
            good, bad, left = count(case.findtext("system-out") or "")
            status = case.get("status")
            if status == "run" and good + bad + left == 0 and not re.search(
                r"no tests ran|deselected", case.findtext("system-out") or ""
            ):
                good = 1
            if status == "fail":
                bad = max(bad, 1)  # it may have crashed after its last good line
                print(f"failed: {case.get('name')} ({path.rsplit('/', 1)[-1].split('.')[0]})")
            if status in ("disabled", "notrun"):
                left = max(left, 1)
            passed, failed, skipped = passed + good, failed + bad, skipped + left
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

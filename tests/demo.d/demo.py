#!/usr/bin/python3
"""The parts of tests/demo that are more than a command: data, changes, proof and tables.

    demo.py FOLDER plan | load | drained | change | by-hand | verify | report
"""

import json
import pathlib
import re
import sys
import textwrap
import unicodedata
import urllib.request

import psycopg2

import expect
import people

UNKNOWN, REFUSED, BY_HAND = 20, 21, 22  # CRM ids of customers with a part of their own
BY_HAND_VALUES = {"email": "by.hand@example.com", "first_name": "Anaïs"}
WIDTH = 78


class Demo:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.customers, self.addresses, self.orders, self.broken = people.make()
        self.imprint_id = {c["id"]: c["imprint_customer_id"] for c in self.customers}

    def connect(self):
        connection = psycopg2.connect(dbname="crm")
        connection.autocommit = True
        return connection

    def sandbox(self, path):
        port = (self.folder / "sandbox.port").read_text().strip()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_sandbox/{path}", timeout=30) as answer:
            return json.load(answer)

    def journal(self):
        lines = (self.folder / "journal").read_text(errors="surrogateescape").splitlines()
        return [json.loads(line) for line in lines]

    # Which customers Imprint knows, and which one it refuses to update.
    def plan(self):
        known = [i for number, i in self.imprint_id.items() if i and number != UNKNOWN]
        (self.folder / "imprint-knows").write_text("\n".join(known) + "\n")
        print(f"customer={self.imprint_id[REFUSED]},status=400,type=INVALID_REQUEST_ERROR,"
              "param=postal_code,message=Postal code does not belong to the state")

    # One statement for each table, in one transaction.
    def load(self):
        with psycopg2.connect(dbname="crm") as connection, connection.cursor() as cursor:
            for table, rows in (("customers", self.customers), ("addresses", self.addresses),
                                ("orders", self.orders)):
                columns = ", ".join(rows[0])
                cursor.execute(
                    f"INSERT INTO crm.{table} ({columns}) SELECT {columns} FROM"
                    f" jsonb_populate_recordset(NULL::crm.{table}, %s)",
                    [json.dumps(rows)])

    def drained(self):
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM imprint_sync.outbox WHERE status = 'pending'")
            return cursor.fetchone()[0] == 0

    # While the daemon runs: single rows, one that changes nothing, and two bulk statements.
    def change(self):
        with self.connect() as connection, connection.cursor() as cursor:
            for statement in (
                "UPDATE crm.customers SET last_name = 'O''Hara', updated_at = now() WHERE id = 100",
                "UPDATE crm.customers SET tier = 2, updated_at = now() WHERE id = 101",
                "UPDATE crm.customers SET email = email WHERE id = 102",
                "DELETE FROM crm.orders WHERE customer_id = 103",
                "UPDATE crm.customers SET imprint_customer_id = NULL WHERE id = 104",
                "INSERT INTO crm.orders (customer_id, amount)"
                " SELECT 2 + n % 999, 10 + n FROM generate_series(1, 2000) AS n",
            ):
                cursor.execute(statement)

    # An application's own rows, each with what it changed; the two become one request.
    def by_hand(self):
        with psycopg2.connect(dbname="crm") as connection, connection.cursor() as cursor:
            for column, value in BY_HAND_VALUES.items():
                cursor.execute("INSERT INTO imprint_sync.outbox (customer_id, payload)"
                               " VALUES (%s, jsonb_build_object(%s, %s))",
                               [self.imprint_id[BY_HAND], column, value])

    # Compares what Imprint (the sandbox) holds with the CRM, customer by customer and field by
    # field, and the dead rows with those that cannot be sent.
    def verify(self):
        problems = []
        with self.connect() as connection:
            wanted = expect.expected_bodies(connection, {*self.broken, UNKNOWN, REFUSED})
            dead = expect.rows(connection.cursor(), DEAD_OF_EACH)
        wanted[self.imprint_id[BY_HAND]].update(BY_HAND_VALUES)
        found = {i.lower(): record["state"] for i, record in self.sandbox("customers").items()}
        found.pop(self.imprint_id[UNLINKED], None)  # sent while it was linked
        for imprint_id in sorted(set(wanted) | set(found)):
            for line in expect.differences(wanted.get(imprint_id, {}), found.get(imprint_id, {})):
                problems.append(f"{imprint_id}: {line}")
        problems += self.wrong_dead({row["customer_id"].lower(): row for row in dead})
        by_hand = [e["body"] for e in self.journal()
                   if e["customer"].lower() == self.imprint_id[BY_HAND]]
        if by_hand.count(BY_HAND_VALUES) != 1 or by_hand[-1] != BY_HAND_VALUES:
            problems.append("the application's two rows did not become one partial update")
        print("\n".join(problems[:20]), file=sys.stderr)
        if problems:
            sys.exit(f"{len(problems)} differences between the CRM and what Imprint holds")
        print(f"{len(wanted)} customers, {sum(map(count_fields, wanted.values()))} fields")

    def wrong_dead(self, dead):
        wanted = {self.imprint_id[number]: field + ":" for number, field in self.broken.items()}
        wanted[self.imprint_id[UNKNOWN]] = "CUSTOMER_NOT_FOUND_ERROR"
        wanted[self.imprint_id[REFUSED]] = "INVALID_REQUEST_ERROR"
        for imprint_id in sorted(set(wanted) | set(dead)):
            reason = dead.get(imprint_id, {}).get("error") or "no dead row"
            if wanted.get(imprint_id, "not dead") not in reason:
                yield f"{imprint_id}: expected {wanted.get(imprint_id, 'no dead row')}, found {reason}"

    def report(self):
        self.report_sent()
        self.report_example()
        self.report_dead()
        self.report_stats()

    def report_sent(self):
        journal = self.journal()
        rows = [["requests", len(journal)],
                ["  accepted", sum(e["status"] == 200 for e in journal)],
                ["  refused", sum(e["status"] >= 400 for e in journal)],
                ["customers", len({e["customer"].lower() for e in journal})]]
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*), count(*) FILTER (WHERE status = 'done'),"
                           " count(*) FILTER (WHERE status = 'dead') FROM imprint_sync.outbox")
            total, done, dead = cursor.fetchone()
        rows += [["outbox rows", total], ["  done", done], ["  dead", dead]]
        table("What was sent", ["", "number"], rows)

    def report_example(self):
        with self.connect() as connection:
            row = expect.rows(connection.cursor(), "SELECT to_jsonb(v) AS row FROM"
                              " crm.imprint_customers v WHERE crm_id = 1")[0]["row"]
        sent = [e for e in self.journal() if e["customer"].lower() == self.imprint_id[1]][-1]["body"]
        mapping = (pathlib.Path(__file__).parent / "mapping.yaml").read_text()
        rows, parent = [], ""
        for target, value in flatten(sent):
            above, _, leaf = target.rpartition(".")
            if above and above != parent:
                rows.append(["", "", above, ""])
            parent = above
            column = re.search(rf"^ +{leaf}: +(?:\{{from: )?([\w.]+)", mapping, re.M).group(1)
            rows.append([column, str(value_at(row, column)), "  " * bool(above) + leaf, str(value)])
        table("One update, before and after the mapping", ["column", "row", "field", "sent"],
              rows, [14, 17, 24, 20])

    def report_dead(self):
        with self.connect() as connection:
            rows = expect.rows(connection.cursor(), DEAD_BY_REASON)
        table("What is dead, and why", ["rows", "http", "reason"],
              [[r["rows"], r["http_status"] or "", r["error"]] for r in rows])

    def report_stats(self):
        log = (self.folder / "imprint-sync.log").read_text()
        last = [line for line in log.splitlines() if re.match(r"\S+ \w+ stats ", line)][-1]
        fields = re.findall(r"(\w+)=(\S+)", last)
        cells = [f"{k}={v}" for k, v in fields]
        heading("The last stats line of the log")
        columns = 4
        for start in range(0, len(cells), columns):
            print(" ".join(f"{c:<19}" for c in cells[start:start + columns]).rstrip())


UNLINKED = 104
DEAD_OF_EACH = """
    SELECT DISTINCT ON (lower(customer_id)) customer_id, http_status, error
      FROM imprint_sync.outbox WHERE status = 'dead' ORDER BY lower(customer_id), id DESC"""
DEAD_BY_REASON = """
    SELECT count(*) AS rows, http_status, error FROM imprint_sync.outbox
     WHERE status = 'dead' GROUP BY 2, 3 ORDER BY 2 NULLS FIRST, 3"""


def count_fields(value):
    return sum(map(count_fields, value.values())) if isinstance(value, dict) else 1


def flatten(value, path=""):
    if not isinstance(value, dict):
        return [(path, value)]
    return [leaf for k, v in value.items() for leaf in flatten(v, f"{path}.{k}".lstrip("."))]


def value_at(row, path):
    for key in path.split("."):
        row = row[key]
    return row


def width_of(text):
    """Columns on a terminal: two for wide characters, none for marks."""
    return sum(0 if unicodedata.combining(c) or unicodedata.category(c) in ("Cf", "Mn")
               else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def fit(value, width):
    text = str(value)
    if width_of(text) > width:
        while width_of(text) > width - 1:
            text = text[:-1]
        text += "…"
    pad = " " * (width - width_of(text))
    return pad + text if isinstance(value, int) else text + pad


def heading(title):
    print(f"\n{title}\n" + "─" * WIDTH)


def table(title, heads, rows, widths=None):
    """Numbers to the right; a last column that is too wide goes on in the next line."""
    gap = " " if widths else "  "
    if widths is None:
        widths = [max(width_of(str(r[i])) for r in [heads, *rows]) for i in range(len(heads))]
        widths[-1] = min(widths[-1], WIDTH - sum(widths[:-1]) - len(gap) * (len(widths) - 1))
    heading(title)
    indent = " " * (sum(widths[:-1]) + len(gap) * (len(widths) - 1))
    for row in [heads, *rows]:
        first, *more = [row[-1]] if isinstance(row[-1], int) or gap == " " else (
            textwrap.wrap(row[-1], widths[-1]) or [""])
        print(gap.join(fit(v, w) for v, w in zip([*row[:-1], first], widths)).rstrip())
        for line in more:
            print(indent + line)


if __name__ == "__main__":
    demo = Demo(sys.argv[1])
    result = {"plan": demo.plan, "load": demo.load, "drained": demo.drained,
              "change": demo.change, "by-hand": demo.by_hand, "verify": demo.verify,
              "report": demo.report}[sys.argv[2]]()
    sys.exit(result is False)

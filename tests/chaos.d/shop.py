"""The application: many sessions that change customers in every way an application does, and what
each of them knows of its commits (the ledger, which is kept on this side of the database)."""

import json
import pathlib
import random
import threading
import time

import psycopg2

HERE = pathlib.Path(__file__).resolve().parent

# In every value that is somebody's, so that a log can be searched for them.
MARK = "Zq7x"

SOURCED = [f"sourced-{n:04d}" for n in range(1, 121)]    # rows by triggers, read from the source
MEMBERS = [f"member-{n:04d}" for n in range(1, 61)]      # rows by the application, partial
SWITCHES = [f"switch-{n:04d}" for n in range(1, 41)]     # rows by the application, to and fro
INVALID = "doomed-invalid"                               # cannot be mapped
REFUSED = "doomed-refused"                               # the API refuses it

COUNTERS = ("version", "address_version", "orders_version")


def make(db):
    """The schema and its customers. None of them is in the outbox afterwards."""
    db.execute((HERE / "shop.sql").read_text())
    for number, customer in enumerate(SOURCED, 1):
        db.execute("INSERT INTO shop.customers VALUES (%s, %s, %s, %s)", number, customer,
                   f"{MARK}0@example.com", f"{MARK} 0")
        db.execute("INSERT INTO shop.addresses VALUES (%s, %s)", number, f"{MARK}ville 0")
        db.execute("INSERT INTO shop.order_tally VALUES (%s)", number)
    for customer in MEMBERS:
        db.execute("INSERT INTO shop.members (imprint_id) VALUES (%s)", customer)
    for customer in SWITCHES:
        db.execute("INSERT INTO shop.switches VALUES (%s)", customer)


def expected(db):
    """{customer: what Imprint must hold}, for all that were ever changed."""
    rows = db.query("""
        SELECT v.imprint_id AS customer, jsonb_build_object(
                   'email', v.email, 'first_name', v.first_name, 'city', v.city,
                   'customer_history', jsonb_build_object(
                       'transaction_count', v.orders, 'ltv_amount', (v.amount * 100)::bigint,
                       'ltv_currency', 'USD'),
                   'metadata', jsonb_build_object(
                       'version', v.version::text, 'address_version', v.address_version::text,
                       'orders_version', v.orders_version::text)) AS state
          FROM shop.imprint_customers v WHERE v.version + v.address_version + v.orders_version > 0
        UNION ALL
        SELECT imprint_id, jsonb_strip_nulls(jsonb_build_object(
                   'email', email, 'first_name', first_name, 'city', city,
                   'metadata', jsonb_build_object('version', version::text)))
          FROM shop.members WHERE version > 0
        UNION ALL
        SELECT imprint_id, jsonb_build_object('first_name', first_name)
          FROM shop.switches WHERE first_name IS NOT NULL""")
    return {row["customer"]: row["state"] for row in rows}


class Ledger:
    """What one session saw committed."""

    def __init__(self):
        self.rows = []     # (id of an outbox row, customer, counter or None, its value)
        self.commits = self.writes = self.rollbacks = self.failures = 0


class Session(threading.Thread):
    """Writes at its rate until `stop` is set. A database that is away is waited for."""

    def __init__(self, connect, seed, rate, stop, operations):
        super().__init__(daemon=True)
        self.connect, self.rate, self.stop = connect, rate, stop
        self.rng = random.Random(seed)
        self.names, self.weights = zip(*operations.items())
        self.ledger = Ledger()
        self.connection = self.other = None
        self.noted = []
        self.written = 0
        self.error = None

    # ---- the rhythm ----

    def run(self):
        try:
            self.write_on()
        except Exception as error:  # of this program: the run must not go on as if all were well
            self.error = error
        finally:
            self.disconnect()

    def write_on(self):
        due = time.monotonic() + self.rng.random() / self.rate
        while not self.stop.wait(max(0, due - time.monotonic())):
            self.written = 1
            try:
                self.write_once()
            except psycopg2.Error:
                self.ledger.failures += 1
                self.disconnect()
                self.stop.wait(0.1)
            # What was missed while the database was away is not made up for.
            due = max(due + self.written * self.rng.uniform(0.5, 1.5) / self.rate,
                      time.monotonic() - 1)

    def write_once(self):
        if self.connection is None:
            self.connection, self.other = self.connect(), self.connect()
        self.noted = []
        operation = self.rng.choices(self.names, self.weights)[0]
        with self.connection.cursor() as cursor:
            getattr(self, operation)(cursor)
        self.commit(self.connection)

    def commit(self, connection):
        """Noted only when it is certain: a COMMIT whose answer is lost may be either."""
        connection.commit()
        self.ledger.commits += 1
        self.ledger.writes += self.written
        self.ledger.rows += self.noted
        self.noted = []

    def disconnect(self):
        for connection in (self.connection, self.other):
            if connection is not None:
                connection.close()
        self.connection = self.other = None

    def note(self, cursor, customer, counter, value):
        """The outbox row that this session wrote last."""
        cursor.execute("SELECT currval('imprint_sync.outbox_id_seq')")
        self.noted.append((cursor.fetchone()[0], customer, counter, value))

    def some(self):
        return self.rng.randrange(1, len(SOURCED) + 1)

    def text(self, form="{} {}"):
        return form.format(MARK, self.rng.randrange(10**6))

    # ---- customers of the source, whose rows triggers write ----

    def profile(self, cursor):
        self.change_profile(cursor, self.some())

    def change_profile(self, cursor, number):
        cursor.execute("UPDATE shop.customers SET email = %s, first_name = %s, version = version + 1"
                       " WHERE id = %s RETURNING version",
                       [self.text("{}{}@example.com"), self.text(), number])
        version = cursor.fetchone()[0]
        self.note(cursor, SOURCED[number - 1], "version", version)
        return version

    def address(self, cursor):
        self.change_address(cursor, self.some())

    def change_address(self, cursor, number):
        cursor.execute("UPDATE shop.addresses SET city = %s, version = version + 1"
                       " WHERE customer_id = %s RETURNING version",
                       [self.text("{}ville {}"), number])
        self.note(cursor, SOURCED[number - 1], "address_version", cursor.fetchone()[0])

    def order(self, cursor):
        """One more, or one less."""
        number = self.some()
        cursor.execute("UPDATE shop.order_tally SET version = version + 1 WHERE customer_id = %s"
                       " RETURNING version", [number])
        version = cursor.fetchone()[0]
        removed = 0
        if self.rng.random() < 0.5:
            cursor.execute("DELETE FROM shop.orders WHERE id ="
                           " (SELECT max(id) FROM shop.orders WHERE customer_id = %s)", [number])
            removed = cursor.rowcount
        if removed == 0:
            cursor.execute("INSERT INTO shop.orders (customer_id, amount) VALUES (%s, %s)",
                           [number, self.rng.randrange(1, 10**5) / 100])
        self.note(cursor, SOURCED[number - 1], "orders_version", version)

    def two_tables(self, cursor):
        """Of one customer, in two transactions that are open at once."""
        number = self.some()
        first = self.rng.random() < 0.5
        self.change_profile(cursor, number)
        profile, self.noted = self.noted, []
        with self.other.cursor() as other:
            self.change_address(other, number)
        if first:
            self.commit(self.other)
            self.noted = profile
            return
        address, self.noted = self.noted, profile
        self.commit(self.connection)
        self.noted = address
        self.commit(self.other)

    def with_payload(self, cursor):
        """A trigger's row and an application's own row for the same change."""
        number = self.some()
        version = self.change_profile(cursor, number)
        self.insert(cursor, SOURCED[number - 1], {"version": version, "first_name": "old"})

    def bulk(self, cursor):
        first = self.some()
        cursor.execute("SELECT FROM shop.customers WHERE id BETWEEN %s AND %s ORDER BY id"
                       " FOR NO KEY UPDATE", [first, first + 29])
        self.written = cursor.rowcount
        cursor.execute("UPDATE shop.customers SET first_name = %s, version = version + 1"
                       " WHERE id BETWEEN %s AND %s", [self.text(), first, first + 29])

    def announce(self, cursor):
        """As a backfill does: thin rows that are not urgent."""
        self.insert(cursor, SOURCED[self.some() - 1], None, priority=1)

    def no_change(self, cursor):
        cursor.execute("UPDATE shop.customers SET first_name = first_name WHERE id = %s",
                       [self.some()])

    # ---- customers whose rows the application writes itself ----

    def insert(self, cursor, customer, payload, priority=0):
        # Ids that differ in case are one customer.
        spelling = customer.upper() if self.rng.random() < 0.3 else customer
        cursor.execute("INSERT INTO imprint_sync.outbox (customer_id, payload, priority)"
                       " VALUES (%s, %s, %s)",
                       [spelling, None if payload is None else json.dumps(payload), priority])

    def member(self, cursor):
        customer = self.rng.choice(MEMBERS)
        column, value = self.rng.choice([("email", self.text("{}{}@example.com")),
                                         ("first_name", self.text()),
                                         ("city", self.text("{}ville {}"))])
        cursor.execute(f"UPDATE shop.members SET {column} = %s, version = version + 1"
                       " WHERE imprint_id = %s RETURNING version", [value, customer])
        version = cursor.fetchone()[0]
        self.insert(cursor, customer, {column: value, "version": version})
        self.note(cursor, customer, "version", version)

    def switch(self, cursor):
        customer = self.rng.choice(SWITCHES)
        cursor.execute("UPDATE shop.switches SET first_name = CASE first_name WHEN %s THEN %s"
                       " ELSE %s END WHERE imprint_id = %s RETURNING first_name",
                       [f"{MARK} on", f"{MARK} off", f"{MARK} on", customer])
        self.insert(cursor, customer, {"first_name": cursor.fetchone()[0]})
        self.note(cursor, customer, None, None)

    def doomed(self, cursor):
        customer = self.rng.choice([INVALID, REFUSED])
        email = "at home" if customer == INVALID else "{}@example.com"
        self.insert(cursor, customer, {"email": MARK + email.format(self.rng.randrange(10**6))})
        self.note(cursor, customer, None, None)

    # ---- ways to end a transaction ----

    def late(self, cursor):
        self.rng.choice([self.address, self.member, self.order])(cursor)
        self.stop.wait(self.rng.uniform(0.2, 3))

    def rollback(self, cursor):
        self.rng.choice([self.profile, self.member])(cursor)
        self.connection.rollback()
        self.ledger.rollbacks += 1
        self.noted = []
        self.written = 0


# How often each is chosen, in a hundred.
OPERATIONS = {"profile": 14, "address": 14, "order": 13, "two_tables": 8, "with_payload": 4,
              "bulk": 1, "announce": 3, "no_change": 3, "member": 20, "switch": 14, "doomed": 1,
              "late": 2, "rollback": 3}


class Shop:
    """All sessions."""

    def __init__(self, db, seed, writes_per_s, sessions=16, operations=None):
        self.stop = threading.Event()
        self.sessions = [
            Session(db.connect, f"{seed} {n}", writes_per_s / sessions, self.stop,
                    operations or OPERATIONS) for n in range(sessions)]

    def start(self):
        for session in self.sessions:
            session.start()

    def finish(self):
        """Ends all sessions; returns one ledger of all of them."""
        self.stop.set()
        total = Ledger()
        for session in self.sessions:
            session.join(60)
            assert not session.is_alive(), "a session of the application does not end"
            if session.error is not None:
                raise session.error
            ledger = session.ledger
            total.rows += ledger.rows
            for name in ("commits", "writes", "rollbacks", "failures"):
                setattr(total, name, getattr(total, name) + getattr(ledger, name))
        return total

"""`check`: everything that is looked at, and what it says about each thing that can be wrong."""

import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import threading

import pytest

import harness
from harness import email, new_customer


def look(config, *arguments, code=None):
    """The entries of `check --json`, and its exit code if that is given."""
    run = config.command("check", "--json", *arguments)
    entries = json.loads(run.stdout)
    assert all(set(e) == {"level", "check", "text", "todo"} for e in entries), entries
    assert all(e["level"] in ("ok", "warning", "failed") for e in entries)
    failed = any(e["level"] == "failed" for e in entries)
    assert failed == (run.returncode in (69, 78)), (run.returncode, run.stdout)
    assert code is None or run.returncode == code, (run.returncode, run.stdout, run.stderr)
    return entries


def bad(entries):
    return [e for e in entries if e["level"] != "ok"]


def about(entries, what):
    return [e for e in entries if e["check"] == what]


def only(entries, what):
    [entry] = about(entries, what)
    return entry


# ---- the whole ---------------------------------------------------------------------------------

def test_a_set_up_that_is_right(db, config):
    entries = look(config, "--api", code=0)
    assert bad(entries) == []
    said = {e["check"] for e in entries}
    assert said == {"configuration", "database", "role", "schema", "right", "source", "mapping",
                    "index", "watched", "notify", "api", "key"}
    assert "PostgreSQL 1" in only(entries, "database")["text"]
    assert "sync_daemon" in only(entries, "role")["text"]
    assert "127.0.0.1:" in only(entries, "api")["text"]
    assert all(e["todo"] is None for e in entries)


def test_the_list_is_aligned_and_says_the_same(db, config):
    db.execute("REVOKE DELETE ON imprint_sync.outbox FROM imprint_sync_daemon")
    run = config.command("check")
    entries = look(config)
    lines = run.stdout.rstrip("\n").split("\n")
    assert [line for line in lines if not line.startswith(" ")] == [
        f"{e['level']:<8} {e['check']:<14} {e['text']}" for e in entries]
    assert [line for line in lines if line.startswith(" ")] == [
        " " * 24 + "-> " + e["todo"] for e in entries if e["todo"]]
    assert run.stderr.startswith("imprint-sync: check: 1 failed; first right: DELETE")


def test_json_of_a_configuration_that_is_wrong(config):
    config.change({"imprint": {"timeout": "soon"}, "delivery": {"rate": "fast"}})
    entries = look(config, "--offline", code=78)
    assert [e["check"] for e in entries] == ["configuration", "configuration"]
    assert all(re.search(r"imprint-sync\.yaml:\d+:\d+: ", e["text"]) for e in entries)


def test_no_text_breaks_the_list(config):
    folder = os.fsencode(config.folder) + b"/odd \x1b[2J\n\xff"
    os.mkdir(folder)
    (config.folder / "imprint-sync.yaml").rename(os.fsdecode(folder + b"/f.yaml"))
    for json_too in ([], ["--json"]):
        run = subprocess.run(
            [os.fsencode(harness.imprint_sync()), b"-c", folder + b"/f.yaml", b"check",
             b"--offline", *json_too], capture_output=True, timeout=60, check=False)
        assert run.returncode == 0, run.stderr
        text = json.loads(run.stdout)[0]["text"] if json_too else run.stdout.decode()
        assert "odd ?[2J??/f.yaml" in text


def test_offline_looks_at_the_files_only(config, sandbox):
    sandbox.stop()
    config.change({"database": {"dsn": "host=/nonexistent dbname=crm"}})
    assert [e["check"] for e in look(config, "--offline", code=0)] == ["configuration"]
    run = config.command("check", "--offline", "--api")
    assert run.returncode == 64 and "--offline" in run.stderr


def test_a_database_that_is_away_does_not_hide_the_api(config, sandbox):
    config.change({"database": {"dsn": "host=/nonexistent dbname=crm"}})
    entries = look(config, code=69)
    assert only(entries, "database")["level"] == "failed"
    assert only(entries, "api")["level"] == "ok"


# ---- server, role, schema ----------------------------------------------------------------------

class Proxy:
    """Passes bytes between a client and PostgreSQL; `change` may alter the server's."""

    def __init__(self, cluster, change):
        self.target = f"{cluster.folder}/.s.PGSQL.{cluster.port}"
        self.change = change
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self.target)
                for source, sink, change in ((client, server, bytes), (server, client, self.change)):
                    threading.Thread(target=self.pump, args=(source, sink, change),
                                     daemon=True).start()

    @staticmethod
    def pump(source, sink, change):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(change(data))
            sink.shutdown(socket.SHUT_RDWR)

    def dsn(self, db):
        return f"host=127.0.0.1 port={self.port} dbname={db.name} user=sync_daemon sslmode=disable"


@pytest.fixture
def proxy(cluster):
    proxies = []

    def make(change):
        proxies.append(Proxy(cluster, change))
        return proxies[-1]

    yield make
    for made in proxies:
        made.listener.close()


def as_version(version):
    return lambda data: re.sub(rb"server_version\x00\d\d", b"server_version\x00" + version, data)


def test_a_server_that_is_too_old(db, config, proxy):
    config.change({"database": {"dsn": proxy(as_version(b"13")).dsn(db)}})
    entries = look(config, code=78)
    assert "13." in only(entries, "database")["text"]
    assert "14" in only(entries, "database")["text"]
    assert about(entries, "right") == []


def test_a_server_that_is_old(db, config, proxy):
    config.change({"database": {"dsn": proxy(as_version(b"14")).dsn(db)}})
    entries = look(config, code=0)
    assert [e["check"] for e in bad(entries)] == ["database"]


def test_a_superuser_is_too_much(db, config):
    config.change({"database": {"dsn": db.dsn("postgres")}})
    [entry] = bad(look(config, code=0))
    assert entry["check"] == "role" and "superuser" in entry["text"]
    assert "imprint_sync_daemon" in entry["todo"]


@pytest.mark.parametrize("statement, text", [
    ("DROP SCHEMA imprint_sync CASCADE", "there is no schema"),
    ("DELETE FROM imprint_sync.schema_version WHERE version > 1", "version 1 is there"),
    ("INSERT INTO imprint_sync.schema_version (version) VALUES (9999)", "version 9999 is there"),
])
def test_another_schema(db, config, statement, text):
    db.execute(statement)
    entries = look(config, code=78)
    assert text in only(entries, "schema")["text"]
    assert about(entries, "source") == []


# ---- rights ------------------------------------------------------------------------------------

GRANTED = """
    SELECT format('%s ON SCHEMA %I', a.privilege_type, n.nspname) AS name
      FROM pg_namespace n CROSS JOIN aclexplode(n.nspacl) a
     WHERE n.nspname = 'imprint_sync' AND a.grantee = 'imprint_sync_daemon'::regrole
    UNION ALL
    SELECT format('%s ON %s', a.privilege_type, c.oid::regclass)
      FROM pg_class c CROSS JOIN aclexplode(c.relacl) a
     WHERE c.relnamespace = 'imprint_sync'::regnamespace
       AND a.grantee = 'imprint_sync_daemon'::regrole
    UNION ALL
    SELECT format('%s (%s) ON %s', a.privilege_type, t.attname, t.attrelid::regclass)
      FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid CROSS JOIN aclexplode(t.attacl) a
     WHERE c.relnamespace = 'imprint_sync'::regnamespace
       AND a.grantee = 'imprint_sync_daemon'::regrole
    UNION ALL
    SELECT format('%s ON FUNCTION imprint_sync.%I', a.privilege_type, p.proname)
      FROM pg_proc p CROSS JOIN aclexplode(p.proacl) a
     WHERE p.pronamespace = 'imprint_sync'::regnamespace
       AND a.grantee = 'imprint_sync_daemon'::regrole"""


def single(name):
    """'UPDATE (a, b) ON t' as one right for each column."""
    several = re.fullmatch(r"(\w+) \((.*)\) (ON .*)", name)
    return [f"{several[1]} ({column}) {several[3]}" for column in several[2].split(", ")] \
        if several else [name]


def looked_at(config):
    return [e["text"] for e in about(look(config), "right") if "imprint_sync" in e["text"]]


def test_every_right_that_the_migrations_grant_is_looked_at(db, config):
    granted = sorted(row["name"] for row in db.query(GRANTED))
    assert sorted(one for name in looked_at(config) for one in single(name)) == granted


def test_each_right_that_is_taken_away_has_its_line(db, config):
    """All of them but USAGE and reading the version, one after the other."""
    names = looked_at(config)
    assert len(names) > 20
    for name in names:
        db.execute(f"REVOKE {name} FROM imprint_sync_daemon, PUBLIC")
        entries = look(config, code=78)
        [entry] = bad(entries)
        assert (entry["check"], entry["text"]) == ("right", f"{name} is missing")
        assert entry["todo"] == f"GRANT {name} TO imprint_sync_daemon"
        db.execute(entry["todo"])  # what it says to do is right
    assert bad(look(config, code=0)) == []


def test_one_column_of_a_right(db, config):
    db.execute("REVOKE UPDATE (error) ON imprint_sync.outbox FROM imprint_sync_daemon")
    [entry] = bad(look(config, code=78))
    assert entry["text"].startswith("UPDATE (status,")


def test_a_role_outside_of_the_group(db, config):
    db.execute("DROP ROLE IF EXISTS \"Out sider\"; CREATE ROLE \"Out sider\" LOGIN")
    try:
        config.change({"database": {"dsn": db.dsn("'Out sider'")}})
        entries = look(config, code=78)
        assert "no member" in only(entries, "role")["text"]
        todo = {e["todo"] for e in bad(entries)}
        assert todo == {'GRANT imprint_sync_daemon TO "Out sider"'}
        db.execute(todo.pop())
        assert bad(look(config, code=0)) == []
    finally:
        db.execute('DROP ROLE "Out sider"')


def test_rights_on_the_source(db, config):
    for name in ("USAGE ON SCHEMA crm", "SELECT ON crm.imprint_customers"):
        db.execute(f"REVOKE {name} FROM imprint_sync_daemon")
        [entry] = bad(look(config, code=78))
        assert entry["check"] == "right" and "is missing" in entry["text"]
        assert entry["todo"] == f"GRANT {name} TO imprint_sync_daemon"
        db.execute(entry["todo"])
    db.execute("REVOKE SELECT ON crm.imprint_customers FROM imprint_sync_daemon;"
               "GRANT SELECT (imprint_customer_id, email) ON crm.imprint_customers"
               " TO imprint_sync_daemon")
    config.change({"mapping": {"email": "email", "first_name": "first_name"}})
    [entry] = bad(look(config, code=78))
    assert entry["text"] == "SELECT (first_name) ON crm.imprint_customers is missing"
    config.change({"mapping": {"email": "email"}})
    assert bad(look(config, code=0)) == []


def test_a_view_whose_owner_may_not_read(db, config):
    db.execute("CREATE ROLE view_owner; CREATE TABLE crm.hidden (id uuid PRIMARY KEY, email text);"
               "CREATE VIEW crm.over AS SELECT * FROM crm.hidden;"
               "ALTER VIEW crm.over OWNER TO view_owner;"
               "GRANT SELECT ON crm.over TO imprint_sync_daemon")
    try:
        use(config, "crm.over")
        [entry] = bad(look(config, code=78))
        assert entry["check"] == "source" and "42501" in entry["text"]
    finally:
        db.execute("DROP VIEW crm.over; DROP ROLE view_owner")


# ---- the source --------------------------------------------------------------------------------

def use(config, relation, key="id", mapping=None):
    config.change({"source": {"relation": relation, "customer_id": key, "updated_at": None},
                   "mapping": mapping or {"email": "email"}})


@pytest.fixture
def people(db, config):
    """A table as source."""
    db.execute("CREATE TABLE crm.people (id text PRIMARY KEY, email text, other text);"
               "GRANT SELECT ON ALL TABLES IN SCHEMA crm TO imprint_sync_daemon;"
               "ALTER DEFAULT PRIVILEGES IN SCHEMA crm GRANT SELECT ON TABLES TO imprint_sync_daemon")
    use(config, "crm.people")


def test_kinds_of_sources(db, config, people):
    db.execute("""
        INSERT INTO crm.people SELECT n::text, 'a@example.com' FROM generate_series(1, 5000) n;
        ANALYZE crm.people;
        CREATE VIEW crm."A view" AS SELECT * FROM crm.people;
        CREATE TABLE crm.parted (id text PRIMARY KEY, email text) PARTITION BY HASH (id);
        CREATE TABLE crm.part PARTITION OF crm.parted FOR VALUES WITH (MODULUS 1, REMAINDER 0)""")
    for relation, kind, rows in (("crm.people", "table", 5000), ('crm."A view"', "view", 5000),
                                 ("crm.parted", "partitioned table", None)):
        use(config, relation)
        entries = look(config, code=0)
        assert bad(entries) == []
        said = re.search(r"a ([a-z ]+) of about (\d+) rows", only(entries, "source")["text"])
        assert said[1] == kind and (rows is None or int(said[2]) == rows)


@pytest.mark.parametrize("relation, text", [
    ("crm.imprint_customer", "does not exist"),
    ("nowhere.people", "there is no schema nowhere"),
    ("crm..people", "is not the name of a relation"),
    ("crm.mat", "materialized"),
    ("crm.far", "foreign table"),
])
def test_what_is_no_source(db, config, people, relation, text):
    db.execute("CREATE MATERIALIZED VIEW crm.mat AS SELECT * FROM crm.people;"
               "CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER nowhere FOREIGN DATA WRAPPER"
               " nothing; CREATE FOREIGN TABLE crm.far (id text, email text) SERVER nowhere")
    use(config, relation)
    [entry] = bad(look(config, code=78))
    assert entry["check"] == "source" and text in entry["text"], entry


def test_a_view_over_a_materialized_view(db, config, people):
    db.execute("CREATE MATERIALIZED VIEW crm.mat AS SELECT * FROM crm.people;"
               "CREATE UNIQUE INDEX ON crm.mat (id); CREATE VIEW crm.inner_view AS TABLE crm.mat;"
               "CREATE VIEW crm.outer_view AS TABLE crm.inner_view")
    use(config, "crm.outer_view")
    [entry] = bad(look(config, code=0))
    assert entry["check"] == "source" and "crm.mat, a materialized view" in entry["text"]


def test_no_source(db, config):
    config.change({"source": None})
    [entry] = bad(look(config, code=0))
    assert entry["check"] == "source" and "held" in entry["text"]


def test_a_key_of_the_wrong_type(db, config, people):
    db.execute("ALTER TABLE crm.people ADD paid numeric")
    use(config, "crm.people", "paid")
    [entry] = bad(look(config, code=78))
    assert "cannot hold an Imprint id" in entry["text"]


# ---- row security ------------------------------------------------------------------------------

SECURE = "ALTER TABLE crm.people ENABLE ROW LEVEL SECURITY"


def hidden(config):
    entries = look(config)
    return [e for e in about(entries, "source") if "row security" in e["text"]]


def test_row_security_of_a_table(db, config, people):
    db.execute(SECURE)
    [entry] = hidden(config)
    assert entry["level"] == "failed" and "crm.people" in entry["text"]
    assert "sync_daemon" in entry["text"]
    db.execute("CREATE POLICY part ON crm.people USING (id < 'm')")
    assert hidden(config)
    db.execute(entry["todo"])
    assert hidden(config) == []
    db.execute("CREATE POLICY fewer ON crm.people AS RESTRICTIVE USING (id < 'm')")
    assert hidden(config)


def test_row_security_below_a_view(db, config, people):
    """There the rights of the view's owner count, who here owns the table as well."""
    db.execute(SECURE + "; CREATE VIEW crm.over AS TABLE crm.people")
    use(config, "crm.over")
    assert hidden(config) == []
    db.execute("ALTER VIEW crm.over SET (security_invoker = true)")
    assert "from sync_daemon" in hidden(config)[0]["text"]
    db.execute("ALTER VIEW crm.over RESET (security_invoker); CREATE ROLE view_owner;"
               "GRANT SELECT ON crm.people TO view_owner; ALTER VIEW crm.over OWNER TO view_owner;"
               "GRANT USAGE ON SCHEMA crm TO view_owner")
    try:
        assert "from view_owner" in hidden(config)[0]["text"]
        db.execute("ALTER TABLE crm.people OWNER TO view_owner")
        assert hidden(config) == []
        db.execute("ALTER TABLE crm.people FORCE ROW LEVEL SECURITY")
        assert "from view_owner" in hidden(config)[0]["text"]
    finally:
        db.execute("DROP VIEW crm.over; DROP TABLE crm.people; DROP OWNED BY view_owner;"
                   "DROP ROLE view_owner")


# ---- indexes -----------------------------------------------------------------------------------

def demanded_index(config, db):
    """What is to be done for an index; it is done, and then all is well."""
    [entry] = bad(look(config, code=0))
    assert entry["check"] == "index" and entry["level"] == "warning", entry
    db.execute(entry["todo"])
    assert bad(look(config, code=0)) == []
    return entry["todo"]


@pytest.mark.parametrize("type_name", ["text", "varchar(36)", "uuid", "bigint", "int"])
def test_a_table_without_an_index(db, config, people, type_name):
    db.execute(f'CREATE TABLE crm."Heap" ("Imprint id" {type_name}, email text)')
    use(config, 'crm."Heap"', "Imprint id")
    assert demanded_index(config, db) == 'CREATE INDEX CONCURRENTLY ON crm."Heap" ("Imprint id")'


def test_an_index_that_is_walked_over(db, config, people):
    """All that is read stands in the index, but not what is looked up."""
    db.execute("CREATE TABLE crm.bare (customer uuid, email text);"
               "CREATE INDEX ON crm.bare (customer, email);"
               "CREATE VIEW crm.over AS SELECT customer::text AS id, email FROM crm.bare")
    use(config, "crm.over")
    assert demanded_index(config, db).endswith("ON crm.bare (((customer)::text))")


def test_a_view_that_computes_its_key(db, config, people):
    db.execute("CREATE TABLE crm.bare (customer uuid PRIMARY KEY, email text, gone boolean);"
               "CREATE VIEW crm.over AS SELECT customer::text AS id, email FROM crm.bare"
               " WHERE email <> '' AND gone = false")
    use(config, "crm.over")
    entry = only(look(config, code=0), "index")
    assert entry["todo"] == "CREATE INDEX CONCURRENTLY ON crm.bare (((customer)::text))"


def test_a_table_that_is_joined_without_an_index(db, config, people):
    db.execute("CREATE TABLE crm.notes (person text, note text);"
               "CREATE VIEW crm.over AS SELECT p.id, p.email, n.note FROM crm.people p"
               " LEFT JOIN crm.notes n ON n.person = p.id")
    use(config, "crm.over", mapping={"email": "email", "metadata": {"note": "note"}})
    assert demanded_index(config, db) == "CREATE INDEX CONCURRENTLY ON crm.notes (person)"


@pytest.mark.parametrize("each", [1, 500])
def test_a_small_table_that_has_an_index_is_no_concern(db, config, people, each):
    """The planner would go over all of it."""
    db.execute("CREATE TABLE crm.members (id text, email text, tier int);"
               "CREATE INDEX ON crm.members (id);"
               "CREATE TABLE crm.tiers (id int PRIMARY KEY, name text);"
               "INSERT INTO crm.tiers SELECT n, 'a' FROM generate_series(1, 300) n;"
               f"INSERT INTO crm.members SELECT n / {each}, '', 1 + n % 5"
               " FROM generate_series(1, 5000) n; ANALYZE crm.tiers, crm.members;"
               "CREATE VIEW crm.over AS SELECT p.id, p.email, t.name FROM crm.members p"
               " LEFT JOIN crm.tiers t ON t.id = p.tier")
    use(config, "crm.over", mapping={"email": "email", "metadata": {"tier": "name"}})
    assert bad(look(config, code=0)) == []


def test_partitions_get_their_index_by_the_whole(db, config, people):
    db.execute("CREATE TABLE crm.parted (id text, email text) PARTITION BY HASH (email);"
               "CREATE TABLE crm.part PARTITION OF crm.parted FOR VALUES"
               " WITH (MODULUS 1, REMAINDER 0)")
    use(config, "crm.parted")
    assert demanded_index(config, db) == "CREATE INDEX ON crm.parted (id)"


def test_a_view_that_no_index_helps(db, config, people):
    db.execute("CREATE VIEW crm.over AS SELECT id, min(email) AS email, count(*) FROM crm.people"
               " GROUP BY id; CREATE VIEW crm.odd AS SELECT p.id, p.email, o.n FROM crm.people p"
               " CROSS JOIN (SELECT count(*) AS n FROM crm.people) o")
    use(config, "crm.over")
    assert bad(look(config, code=0)) == []
    use(config, "crm.odd", mapping={"email": "email", "metadata": {"n": "n"}})
    entry = only(look(config, code=0), "index")
    assert entry["level"] == "warning" and entry["todo"] is None


# ---- columns -----------------------------------------------------------------------------------

def mapping_errors(config, code):
    return [e["text"] for e in about(look(config, code=code), "mapping") if e["level"] == "failed"]


def test_columns_that_do_not_exist(db, config):
    config.change({
        "source": {"customer_id": "imprint_customer", "updated_at": "changed"},
        "mapping": {"email": "e_mail", "first_name": "xyz",
                    "customer_history": {
                        "ltv_amount": {"from": "lifetime_value", "as": "minor_units",
                                       "currency": "ltv_curency"},
                        "ltv_currency": "ltv_curency"}}})
    texts = [e["text"] for e in bad(look(config, code=78))]
    assert texts == [
        "source.customer_id: crm.imprint_customers has no column imprint_customer; did you mean"
        " imprint_customer_id?",
        "source.updated_at: crm.imprint_customers has no column changed",
        "email: crm.imprint_customers has no column e_mail; did you mean email?",
        "first_name: crm.imprint_customers has no column xyz",
        "customer_history.ltv_amount: crm.imprint_customers has no column ltv_curency; did you"
        " mean ltv_currency?",
        "customer_history.ltv_currency: crm.imprint_customers has no column ltv_curency; did you"
        " mean ltv_currency?"]


TYPED = """
    CREATE TYPE crm.mood AS ENUM ('good', 'bad');
    CREATE TYPE crm.place AS (city text, state text);
    CREATE DOMAIN crm.inner_flag AS boolean;
    CREATE DOMAIN crm.flag AS crm.inner_flag;
    CREATE TABLE crm.typed (
        id uuid PRIMARY KEY, a_text text, a_varchar varchar(9), a_char char(3), an_enum crm.mood,
        a_bool boolean, a_domain crm.flag, an_int int, a_numeric numeric(9, 2), a_money money,
        a_date date, a_time time, a_timestamp timestamp(3), a_timestamptz timestamptz,
        an_interval interval, a_bytea bytea, a_json json, a_jsonb jsonb, an_array text[],
        a_place crm.place, a_range int4range, an_inet inet);
    GRANT SELECT ON crm.typed TO imprint_sync_daemon"""


@pytest.mark.parametrize("mapping, said", [
    ({"email": "a_bool"}, "email: column a_bool is boolean, which can never be a valid email, only"
                          " text, boolean or json"),
    ({"email": "a_domain"}, "column a_domain is boolean"),
    ({"email": "a_numeric"}, "column a_numeric is numeric"),
    ({"phone": "a_date"}, "column a_date is date"),
    ({"first_name": "an_array"}, "column an_array is text[]"),
    ({"first_name": "a_bytea"}, "column a_bytea is bytea"),
    ({"first_name": "a_place"}, "column a_place is crm.place"),
    ({"preferred_language": "an_int"}, "column an_int is integer"),
    ({"state": {"from": "id", "as": "us_state"}}, "column id is uuid"),
    ({"customer_history": {"account_created_at": "a_time"}}, "a_time is time without time zone"),
    ({"customer_history": {"account_tenure": {"from": "an_interval", "as": "months_since"}}},
     "column an_interval is interval"),
    ({"customer_history": {"transaction_count": "a_timestamp"}},
     "transaction_count: column a_timestamp is timestamp without time zone"),
    ({"customer_history": {"ltv_amount": {"from": "a_money", "as": "minor_units",
                                          "currency": "a_char"}, "ltv_currency": "a_char"}},
     "column a_money is money"),
    ({"city": "a_text.city"}, "a_text.city is a member of column a_text, but that is text"),
    ({"city": "an_array.city"}, "but that is text[]"),
])
def test_a_column_that_can_never_be_valid(db, config, mapping, said):
    db.execute(TYPED)
    use(config, "crm.typed", mapping=mapping)
    [text] = mapping_errors(config, 78)
    assert said in text


def test_a_currency_that_can_never_be_valid(db, config):
    db.execute(TYPED)
    use(config, "crm.typed", mapping={"customer_history": {
        "ltv_amount": {"from": "a_numeric", "as": "minor_units", "currency": "an_int"},
        "ltv_currency": "an_int"}})
    assert ["customer_history.ltv_amount", "customer_history.ltv_currency"] == [
        text.split(":")[0] for text in mapping_errors(config, 78)]


def test_columns_that_can_be_valid(db, config):
    db.execute(TYPED)
    use(config, "crm.typed", mapping={
        "email": "a_varchar", "phone": {"from": "an_int"}, "first_name": "a_bool",
        "city": "a_place.city", "street_line1": "a_jsonb.street.line1", "postal_code": "an_inet",
        "customer_history": {
            "ltv_amount": {"from": "a_numeric", "as": "minor_units", "currency": "a_char"},
            "ltv_currency": "a_char", "account_created_at": "a_timestamptz",
            "account_tenure": {"from": "a_date", "as": "months_since"},
            "loyalty_tier": {"from": "an_enum"}, "transaction_count": "a_numeric"},
        "metadata": {"all": {"from": "an_array", "as": "json"},
                     "place": {"from": "a_place", "as": "json"},
                     "flag": {"from": "a_domain", "as": "boolean"},
                     "coded": {"from": "a_bytea", "as": "text", "map": {"x": "y"}}}})
    entries = look(config, code=0)
    assert bad(entries) == []
    assert "18 columns" not in only(entries, "mapping")["text"]
    assert re.search(r"has the \d+ columns", only(entries, "mapping")["text"])


def test_jsonb_for_a_single_value_is_doubtful(db, config):
    """A view may give attributes -> 'email', which works."""
    db.execute(TYPED)
    use(config, "crm.typed", mapping={"email": "a_jsonb"})
    [entry] = bad(look(config, code=0))
    assert entry["check"] == "mapping" and "a_jsonb.name" in entry["text"]


# ---- watched tables and NOTIFY -----------------------------------------------------------------

def test_nothing_is_watched(db, config):
    for table in ("customers", "orders", "addresses"):
        db.execute(f"SELECT imprint_sync.unwatch('crm.{table}')")
    [entry] = bad(look(config, code=0))
    assert entry["check"] == "watched" and "imprint_sync.watch" in entry["todo"]
    config.change({"source": None})
    assert [e["check"] for e in bad(look(config, code=0))] == ["source"]


def test_a_watch_that_is_lost(db, config):
    trigger = db.value("SELECT tgname FROM pg_trigger WHERE tgrelid = 'crm.orders'::regclass"
                       " AND tgname LIKE 'imprint_sync%insert'")
    db.execute(f"DROP TRIGGER {trigger} ON crm.orders")
    [entry] = bad(look(config, code=78))
    assert "crm.orders: trigger missing" in entry["text"] and trigger in entry["text"]
    db.execute(entry["todo"])
    assert bad(look(config, code=0)) == []


def test_a_watched_table_that_is_gone(db, config):
    db.execute("ALTER TABLE crm.addresses RENAME TO places; CREATE TABLE crm.addresses (a int)")
    entries = bad(look(config, code=78))
    assert {e["check"] for e in entries} == {"watched"}
    assert any("another table has its name" in e["text"] for e in entries)


def test_notify_arrives_over_listen_dsn(db, cluster, config):
    config.change({"database": {"listen_dsn": cluster.dsn(db.name, "sync_daemon")}})
    entry = only(look(config, code=0), "notify")
    assert entry["level"] == "ok" and "database.listen_dsn" in entry["text"]
    config.change({"database": {"listen_dsn": cluster.dsn("postgres", "sync_daemon")}})
    entry = only(look(config, code=78), "notify")
    assert "does not arrive" in entry["text"]
    config.change({"database": {"listen_dsn": "host=/nonexistent dbname=crm"}})
    entry = only(look(config, code=69), "notify")
    assert "database.listen_dsn" in entry["text"]


def test_notify_is_off(db, config):
    config.change({"outbox": {"notify": False},
                   "database": {"listen_dsn": "host=/nonexistent dbname=crm"}})
    assert only(look(config, code=0), "notify")["text"].startswith("off")


def test_a_pooler_is_seen(db, cluster, config, proxy):
    """It makes up a process number; to try LISTEN through it would prove nothing."""
    pooler = proxy(lambda data: re.sub(rb"K\x00\x00\x00\x0c....", b"K\x00\x00\x00\x0c\x7fabc", data,
                                       flags=re.S))
    config.change({"database": {"dsn": pooler.dsn(db)}})
    [entry] = bad(look(config, code=0))
    assert entry["check"] == "notify" and "pooler" in entry["text"]
    assert "listen_dsn" in entry["todo"]
    config.change({"database": {"listen_dsn": cluster.dsn(db.name, "sync_daemon")}})
    assert bad(look(config, code=0)) == []


def test_prepared_transactions_leave_no_notify(sandbox, tmp_path):
    with harness.Cluster("max_prepared_transactions=5").running() as cluster:
        db = cluster.new_database()
        config = harness.Config(pathlib.Path(tmp_path), {
            "database": {"dsn": db.dsn()}, "imprint": {"base_url": sandbox.url}})
        [entry] = bad(look(config, code=0))
        assert entry["check"] == "notify" and "max_prepared_transactions = 5" in entry["text"]
        db.connection.close()


def test_check_wakes_no_daemon_and_leaves_nothing(db, config, daemon):
    daemon.start()
    customer = new_customer()
    db.wait_settled(db.add(customer, email(customer)))
    before = db.query("SELECT id, status FROM imprint_sync.outbox ORDER BY id")
    instances = db.query("SELECT id FROM imprint_sync.instance")
    assert bad(look(config, "--api", code=0)) == []
    assert db.query("SELECT id, status FROM imprint_sync.outbox ORDER BY id") == before
    assert db.query("SELECT id FROM imprint_sync.instance") == instances


# ---- the API -----------------------------------------------------------------------------------

def certificate(folder, days, name="127.0.0.1"):
    """A server certificate in place of the sandbox's own, and its authority."""
    kind = "IP" if name[0].isdigit() else "DNS"

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, cwd=folder, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca-key.pem", "-out",
            "ca.pem", "-days", "400", "-subj", "/CN=Test authority")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server-key.pem", "-out",
            "server.csr", "-subj", "/O=Tests/CN=sandbox.test")
    (folder / "extensions").write_text(f"subjectAltName={kind}:{name}\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca-key.pem",
            "-CAcreateserial", "-out", "server.pem", "-days", str(days), "-extfile", "extensions")


@pytest.fixture
def tls(tmp_path, config):
    """A sandbox with TLS and a certificate of these days."""
    sandboxes = []

    def start(days=365, name="127.0.0.1"):
        folder = tmp_path / "tls"
        folder.mkdir()
        certificate(folder, days, name)
        sandboxes.append(harness.Sandbox(folder, tls=True).start())
        config.change({"imprint": {"base_url": sandboxes[0].url,
                                   "ca_file": str(folder / "ca.pem")}})
        return sandboxes[0]

    yield start
    for sandbox in sandboxes:
        sandbox.stop()


def test_tls_is_told(db, config, tls):
    sandbox = tls()
    entries = look(config, "--api", code=0)
    assert bad(entries) == []
    api = only(entries, "api")["text"]
    assert f"127.0.0.1:{sandbox.port}" in api and "TLSv1.3" in api and "verified" in api
    text = only(entries, "certificate")["text"]
    assert "sandbox.test" in text and "Test authority" in text
    assert re.search(r"valid until 20\d\d-\d\d-\d\d", text)
    assert only(entries, "key")["level"] == "ok"


def test_no_request_is_made_without_api(db, config, tls):
    sandbox = tls()
    look(config, code=0)
    assert sandbox.control("GET", "stats")["requests"] == 0


def test_a_certificate_that_expires_soon(db, config, tls):
    tls(days=20)
    [entry] = bad(look(config, code=0))
    assert entry["check"] == "certificate"
    assert re.search("in (19|20) days", entry["text"])  # by what is left of today


def test_a_certificate_of_another_name(db, config, tls):
    tls(name="elsewhere.test")
    entries = look(config, "--api", code=69)
    [entry] = bad(entries)
    assert entry["check"] == "api" and "certificate" in entry["text"]
    assert about(entries, "key") == []


def test_an_authority_that_is_not_trusted(db, config, tls):
    tls()
    config.change({"imprint": {"ca_file": None}})
    [entry] = bad(look(config, code=69))
    assert entry["check"] == "api" and "SSL certificate problem" in entry["text"]


@pytest.mark.parametrize("url, said", [
    ("http://127.0.0.1:9", "127.0.0.1 port 9"),
    ("https://name.invalid", "name.invalid"),
])
def test_an_api_that_cannot_be_reached(db, config, url, said):
    config.change({"imprint": {"base_url": url}})
    [entry] = bad(look(config, code=69))
    assert entry["check"] == "api" and said in entry["text"]


def test_a_server_without_tls(db, config, sandbox):
    config.change({"imprint": {"base_url": sandbox.url.replace("http:", "https:")}})
    [entry] = bad(look(config, code=69))
    assert entry["check"] == "api"


def test_a_key_that_is_refused(db, config, sandbox):
    sandbox.keys("another")
    [entry] = bad(look(config, "--api", code=78))
    assert entry["check"] == "key" and "401" in entry["text"]
    assert harness.KEY not in json.dumps(entry)

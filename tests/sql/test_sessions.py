"""What takes more than one session, or a cluster of its own: locks, NOTIFY, late commits, XA,
roles that do not exist yet.

TEST_DSN names a database whose role is a superuser; the tests make databases of their own
beside it.
"""
import glob
import os
import pathlib
import pwd
import re
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import uuid

import psycopg2
import psycopg2.extensions
import pytest

SQL = pathlib.Path(__file__).resolve().parents[2] / "sql"
FILES = sorted(SQL.glob("[0-9][0-9][0-9][0-9]_*.sql"))


def connect(dsn, **more):
    connection = psycopg2.connect(dsn, **more)
    connection.autocommit = True
    return connection


def query(connection, sql, args=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, args)
        return cursor.fetchall() if cursor.description else None


def migrate(dsn, **more):
    """As the runner does it: one simple query a file, one transaction."""
    connection = psycopg2.connect(dsn, **more)
    for number, path in enumerate(FILES, 1):
        query(connection, path.read_text())
        query(connection, f"INSERT INTO imprint_sync.schema_version(version) VALUES ({number})")
        connection.commit()
    connection.close()


@pytest.fixture(scope="module")
def dsn():
    admin = connect(os.environ["TEST_DSN"])
    name = "t_" + uuid.uuid4().hex[:12]
    query(admin, f"CREATE DATABASE {name}")
    own = psycopg2.extensions.make_dsn(os.environ["TEST_DSN"], dbname=name)
    migrate(own)
    yield own
    query(admin, f"DROP DATABASE {name} WITH (FORCE)")
    admin.close()


@pytest.fixture
def session(dsn):
    """Opens sessions on a clean queue; closes them."""
    opened = []

    def open_session(autocommit=True):
        opened.append(connect(dsn))
        opened[-1].autocommit = autocommit
        return opened[-1]

    query(open_session(), """
        DELETE FROM imprint_sync.outbox; DELETE FROM imprint_sync.instance;
        UPDATE imprint_sync.lease SET holder = NULL, epoch = 0, renewals = 0;
        SELECT imprint_sync.idle(0)""")
    yield open_session
    for connection in opened:
        connection.close()


def beat(connection, me, keep=(), take=(), give=()):
    """keep, give: (slot, epoch); take: (slot, epoch, renewals). Returns the leases by slot."""
    def column(rows, i):
        return [row[i] for row in rows]
    rows = query(connection, """
        SELECT slot, holder, epoch, renewals FROM imprint_sync.heartbeat(%s, 'h', 1, 'run', '1', true,
            %s::smallint[], %s::bigint[], %s::smallint[], %s::bigint[], %s::bigint[],
            %s::smallint[], %s::bigint[])""",
        (me, column(keep, 0), column(keep, 1), column(take, 0), column(take, 1), column(take, 2),
         column(give, 0), column(give, 1)))
    return {row[0]: row[1:] for row in rows}


def begin_settle(connection, me, slots):
    """What a settle does first: its lease rows by holder and epoch, in order of slot."""
    return query(connection, """
        SELECT slot FROM imprint_sync.lease
         WHERE (slot, epoch) IN (SELECT * FROM unnest(%s::smallint[], %s::bigint[])) AND holder = %s
         ORDER BY slot FOR KEY SHARE""", ([s for s, _ in slots], [e for _, e in slots], me))


# ---- leases ------------------------------------------------------------------------------------

def test_a_renewal_does_not_wait_for_a_settle(session):
    a, settling = session(), session(autocommit=False)
    beat(a, "A", take=[(1, 0, 0)])
    assert begin_settle(settling, "A", [(1, 1)]) == [(1,)]
    query(a, "SET statement_timeout = '2s'")
    assert beat(a, "A", keep=[(1, 1)])[1] == ("A", 1, 2)
    settling.rollback()


def test_a_slot_is_not_taken_under_a_running_settle(session):
    a, b, settling = session(), session(), session(autocommit=False)
    beat(a, "A", take=[(1, 0, 0)])
    begin_settle(settling, "A", [(1, 1)])
    query(b, "SET statement_timeout = '2s'")
    beat(b, "B", take=[(2, 0, 0)])
    # the stuck settle of A keeps its slot, but not B from renewing and taking what it can
    leases = beat(b, "B", keep=[(2, 1)], take=[(1, 1, 1), (3, 0, 0)])
    assert leases[1] == ("A", 1, 1)
    assert leases[2] == ("B", 1, 2)
    assert leases[3] == ("B", 1, 1)
    settling.commit()
    assert beat(b, "B", take=[(1, 1, 1)])[1] == ("B", 2, 2)
    # and the old owner settles nothing any more
    assert begin_settle(settling, "A", [(1, 1)]) == []


def test_a_settle_waits_for_a_take_and_then_finds_the_lease_gone(session):
    a, b, settling = session(), session(autocommit=False), session()
    beat(a, "A", take=[(1, 0, 0)])
    beat(b, "B", take=[(1, 1, 1)])
    found = []
    thread = threading.Thread(target=lambda: found.append(begin_settle(settling, "A", [(1, 1)])))
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    b.commit()
    thread.join(5)
    assert found == [[]]


def test_only_one_of_two_takers_wins(session):
    a, b, c = session(), session(autocommit=False), session()
    beat(a, "A", take=[(1, 0, 0)])
    beat(b, "B", take=[(1, 1, 1)])
    query(c, "SET statement_timeout = '2s'")
    assert beat(c, "C", take=[(1, 1, 1)])[1] == ("A", 1, 1)      # B has not committed
    b.commit()
    assert beat(c, "C", take=[(1, 1, 1)])[1] == ("B", 2, 2)


def test_heartbeats_and_settles_do_not_deadlock(session):
    """Every session names the slots in another order."""
    failures = []

    def beats(me, order):
        connection = session()
        held = {}
        try:
            for _ in range(60):
                seen = query(connection, "SELECT slot, epoch, renewals FROM imprint_sync.lease")
                rows = sorted(seen, key=lambda row: order(row[0]))
                leases = beat(connection, me, keep=[(s, e) for s, e in held.items()],
                              take=[r for r in rows if r[0] not in held],
                              give=[(s, e) for s, e in held.items() if order(s) % 7 == 0])
                held = {s: l[1] for s, l in leases.items() if l[0] == me}
                begin_settle(connection, me, list(held.items())[::-1])
        except psycopg2.Error as error:
            failures.append(error)

    orders = (lambda s: s, lambda s: -s, lambda s: s * 37 % 64, lambda s: s ^ 21)
    threads = [threading.Thread(target=beats, args=(f"I{i}", order)) for i, order in enumerate(orders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []


def test_renewing_stays_in_the_page(session):
    a = session()
    for _ in range(300):
        beat(a, "A", keep=[(s, 1) for s in range(64)], take=[(s, 0, 0) for s in range(64)])
    pages = query(a, "SELECT pg_relation_size('imprint_sync.lease') / current_setting('block_size')::int")
    assert pages[0][0] <= 64    # over 150 if nothing were cleaned; a snapshot of somebody may hold back some
    query(a, "SELECT pg_stat_force_next_flush()")
    updated, hot = query(a, "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'lease'")[0]
    assert hot > 0.9 * updated


# ---- waking up ---------------------------------------------------------------------------------

def notified(listener, seconds=0.5):
    select.select([listener], [], [], seconds)
    listener.poll()
    seen = [n.channel for n in listener.notifies]
    listener.notifies.clear()
    return seen


@pytest.fixture
def listener(session):
    connection = session()
    if query(connection, "SHOW max_prepared_transactions")[0][0] != "0":
        pytest.skip("no NOTIFY on a cluster with max_prepared_transactions > 0")
    query(connection, "LISTEN imprint_sync")
    return connection


def idle(connection, seconds):
    query(connection, "SELECT imprint_sync.idle(extract(epoch FROM clock_timestamp())::bigint + %s)", (seconds,))


def test_an_idle_daemon_is_woken_and_a_busy_one_is_not(session, listener):
    app = session()
    query(app, "INSERT INTO imprint_sync.outbox (customer_id) VALUES ('a')")
    assert notified(listener) == []
    idle(app, 60)
    query(app, "INSERT INTO imprint_sync.outbox (customer_id) VALUES ('a'), ('b')")
    assert notified(listener) == ["imprint_sync"]
    query(app, "INSERT INTO imprint_sync.outbox (customer_id) SELECT 'a' WHERE false")
    assert notified(listener) == []
    idle(app, -1)       # a daemon that died while idle: the time runs out by itself
    query(app, "INSERT INTO imprint_sync.outbox (customer_id) VALUES ('a')")
    assert notified(listener) == []


def test_idleness_is_seen_inside_an_old_snapshot(session, listener):
    app, daemon = session(autocommit=False), session()
    query(app, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    query(app, "SELECT count(*) FROM imprint_sync.outbox")
    idle(daemon, 60)
    query(app, "INSERT INTO imprint_sync.outbox (customer_id) VALUES ('a')")
    app.commit()
    assert notified(listener) == ["imprint_sync"]


def test_a_watched_table_wakes_only_with_a_change(session, listener):
    crm = session()
    query(crm, "CREATE TABLE t_wake (id text PRIMARY KEY, v int)")
    query(crm, "SELECT imprint_sync.watch('t_wake', 'id', 'id', 't_wake', 'id')")
    query(crm, "INSERT INTO t_wake VALUES ('W1', 1)")
    idle(crm, 60)
    query(crm, "UPDATE t_wake SET v = v")
    assert notified(listener) == []
    query(crm, "UPDATE t_wake SET v = 2")
    assert notified(listener) == ["imprint_sync"]
    query(crm, "DROP TABLE t_wake")


# ---- late commits ------------------------------------------------------------------------------

def test_a_late_commit_has_the_lower_id_and_the_older_due_time(session):
    """Why a cursor looks back: what commits last is not what was inserted last."""
    early, late, reader = session(autocommit=False), session(), session()
    query(early, "INSERT INTO imprint_sync.outbox (customer_id) VALUES ('early')")
    query(late, "INSERT INTO imprint_sync.outbox (customer_id) VALUES ('late')")
    cursor = query(reader, "SELECT max(id), max(due_at) FROM imprint_sync.outbox")[0]
    early.commit()
    behind = query(reader, """SELECT customer_id FROM imprint_sync.outbox
                               WHERE id < %s AND due_at < %s AND due_at > clock_timestamp() - interval '2 s'""", cursor)
    assert behind == [("early",)]


def test_a_transaction_open_for_long_is_not_late(session):
    app = session(autocommit=False)
    query(app, "SELECT 1")
    time.sleep(2.2)
    query(app, "INSERT INTO imprint_sync.outbox (customer_id) VALUES ('slow')")
    app.commit()
    assert query(session(), """SELECT due_at > clock_timestamp() - interval '2 s' FROM imprint_sync.outbox""") == [(True,)]


def test_two_changes_of_one_customer_at_once_leave_two_thin_rows(session):
    """The row read later shows both: neither trigger copies a row without the other's change."""
    one, two, reader = session(autocommit=False), session(autocommit=False), session()
    query(reader, """CREATE TABLE t_c (id int PRIMARY KEY, iid text, name text);
        CREATE TABLE t_a (customer int PRIMARY KEY, city text);
        INSERT INTO t_c VALUES (1, 'X1', 'old'); INSERT INTO t_a VALUES (1, 'old');
        SELECT imprint_sync.watch('t_c', 'id', 'iid', 't_c', 'id');
        SELECT imprint_sync.watch('t_c', 'id', 'iid', 't_a', 'customer')""")
    query(one, "UPDATE t_c SET name = 'new'")
    query(two, "UPDATE t_a SET city = 'new'")
    one.commit()
    two.commit()
    assert query(reader, "SELECT customer_id, payload FROM imprint_sync.outbox") == [("X1", None)] * 2
    query(reader, "DROP TABLE t_a, t_c")


# ---- failures ----------------------------------------------------------------------------------

def test_the_warning_names_the_table_and_no_value(session):
    crm = session()
    query(crm, """CREATE TABLE t_w (id int PRIMARY KEY, iid text);
        CREATE VIEW t_v AS SELECT id, (iid::numeric)::text AS iid FROM t_w;
        CREATE TABLE t_o (customer int);
        INSERT INTO t_w VALUES (1, 'jane@example.com');
        SELECT imprint_sync.watch('t_v', 'id', 'iid', 't_o', 'customer')""")
    crm.notices.clear()
    query(crm, "INSERT INTO t_o VALUES (1)")
    assert len(crm.notices) == 1
    assert "WARNING" in crm.notices[0] and "public.t_o" in crm.notices[0] and "22P02" in crm.notices[0]
    assert "jane" not in crm.notices[0]
    assert query(crm, "SELECT watched_name, sqlstate FROM imprint_sync.watch_error") == [("public.t_o", "22P02")]
    assert "jane" not in str(query(crm, "SELECT * FROM imprint_sync.watch_error"))
    query(crm, "DELETE FROM imprint_sync.watch_error; DROP TABLE t_o; DROP VIEW t_v; DROP TABLE t_w")


def test_failures_of_two_transactions_do_not_wait_for_each_other(session):
    one, two = session(autocommit=False), session()
    query(two, """CREATE TABLE t_f (customer int, iid text);
        CREATE TABLE t_g (id int, iid text);
        SELECT imprint_sync.watch('t_g', 'id', 'iid', 't_f', 'customer');
        ALTER TABLE t_g RENAME iid TO other""")
    query(one, "INSERT INTO t_f VALUES (1)")
    query(two, "SET statement_timeout = '2s'")
    query(two, "INSERT INTO t_f VALUES (2)")
    one.commit()
    assert query(two, "SELECT count(*) FROM imprint_sync.watch_error") == [(2,)]
    query(two, "DELETE FROM imprint_sync.watch_error; DROP TABLE t_f, t_g")


def test_a_locked_queue_costs_the_crm_its_own_lock_timeout_and_no_more(session):
    crm, admin = session(), session(autocommit=False)
    query(crm, """CREATE TABLE t_l (id text PRIMARY KEY);
        SELECT imprint_sync.watch('t_l', 'id', 'id', 't_l', 'id')""")
    query(admin, "LOCK TABLE imprint_sync.outbox IN ACCESS EXCLUSIVE MODE")
    query(crm, "SET lock_timeout = '100ms'")
    query(crm, "INSERT INTO t_l VALUES ('L1')")
    admin.rollback()
    assert query(crm, "SELECT sqlstate FROM imprint_sync.watch_error") == [("55P03",)]
    query(crm, "DELETE FROM imprint_sync.watch_error; DROP TABLE t_l")


def test_watching_again_does_not_wait_for_writers(session):
    crm, admin = session(autocommit=False), session()
    query(admin, """CREATE TABLE t_again (id text PRIMARY KEY);
        SELECT imprint_sync.watch('t_again', 'id', 'id', 't_again', 'id')""")
    query(crm, "INSERT INTO t_again VALUES ('A1')")
    query(admin, "SET lock_timeout = '500ms'")
    query(admin, "SELECT imprint_sync.watch('t_again', 'id', 'id', 't_again', 'id')")
    crm.rollback()
    query(admin, "DROP TABLE t_again")


# ---- a cluster of its own: XA, and roles that nobody made yet -----------------------------------

@pytest.fixture(scope="module")
def cluster():
    """A private cluster with max_prepared_transactions = 5 and no imprint_sync roles."""
    initdb = shutil.which("initdb") or max(glob.glob("/usr/lib/postgresql/*/bin/initdb"),
                                           key=lambda p: int(p.split("/")[4]))
    folder = tempfile.mkdtemp(prefix="imprint-sync-")
    # the server refuses to run as root
    run_as = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    if run_as:
        os.chown(folder, pwd.getpwnam("postgres").pw_uid, pwd.getpwnam("postgres").pw_gid)
    data = os.path.join(folder, "data")
    subprocess.run([initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"],
                   check=True, stdout=subprocess.DEVNULL, **run_as)
    server = subprocess.Popen(
        [os.path.join(os.path.dirname(initdb), "postgres"), "-D", data, "-k", folder, "-h", "",
         "-c", "max_prepared_transactions=5", "-c", "fsync=off"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **run_as)
    dsn = f"host={folder} user=postgres dbname=postgres"
    try:
        for _ in range(100):
            try:
                psycopg2.connect(dsn).close()
                break
            except psycopg2.OperationalError:
                time.sleep(0.1)
        yield dsn
    finally:
        server.send_signal(signal.SIGINT)       # fast: SIGTERM waits for sessions that a failed test left
        server.wait(30)
        shutil.rmtree(folder)


def test_two_databases_may_make_the_roles_at_the_same_time(cluster):
    admin = connect(cluster)
    query(admin, "CREATE DATABASE one")
    query(admin, "CREATE DATABASE two")
    failures = []
    first = psycopg2.connect(cluster, dbname="one")
    query(first, FILES[0].read_text())              # not committed: the other waits for the roles

    def second():
        try:
            migrate(cluster, dbname="two")
        except psycopg2.Error as error:
            failures.append(error)

    thread = threading.Thread(target=second)
    thread.start()
    thread.join(1)
    assert thread.is_alive()
    first.commit()
    thread.join(10)
    assert not thread.is_alive() and failures == []
    first.close()


def test_a_role_without_superuser_migrates(cluster):
    admin = connect(cluster)
    query(admin, "CREATE ROLE migrator LOGIN NOINHERIT CREATEROLE")
    query(admin, "CREATE DATABASE plain")
    query(admin, "GRANT CREATE ON DATABASE plain TO migrator")
    migrate(cluster, dbname="plain", user="migrator")
    own = connect(cluster, dbname="plain")
    assert query(own, "SELECT version FROM imprint_sync.schema_version ORDER BY 1") == [(i + 1,) for i in range(len(FILES))]
    assert query(own, """SELECT DISTINCT relowner::regrole::text FROM pg_class
                          WHERE relnamespace = 'imprint_sync'::regnamespace""") == [("imprint_sync_owner",)]


def test_outside_a_transaction_a_file_stops(cluster):
    admin = connect(cluster)
    query(admin, "CREATE DATABASE loose")
    own = connect(cluster, dbname="loose")
    with pytest.raises(psycopg2.Error, match="one transaction"):
        for statement in split_statements(FILES[0].read_text()):
            query(own, statement)


def split_statements(text):
    """Good enough for these files: a statement ends with ; at the end of a line outside of $$."""
    parts, inside = [""], False
    for line in text.splitlines(keepends=True):
        inside ^= line.count("$$") % 2 == 1
        parts[-1] += line
        if line.split("--")[0].rstrip().endswith(";") and not inside:
            parts.append("")
    return [part for part in parts if re.sub(r"--.*", "", part).strip()]


def test_the_files_need_no_setting_of_the_session(cluster):
    admin = connect(cluster)
    query(admin, "CREATE DATABASE odd TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
    migrate(cluster, dbname="odd", options="-c standard_conforming_strings=off -c escape_string_warning=off"
            " -c search_path=public -c default_transaction_isolation=serializable")
    own = connect(cluster, dbname="odd")
    query(own, "CREATE TABLE t (id text PRIMARY KEY, v text)")
    query(own, "SELECT imprint_sync.watch('t', 'id', 'id', 't', 'id')")
    query(own, "INSERT INTO t VALUES (E'a\\\\b', 'x'), (E'\\xe9', 'y')")
    assert query(own, "SELECT count(*) FROM imprint_sync.outbox") == [(2,)]
    assert query(own, "SELECT count(*) FROM imprint_sync.watch_error") == [(0,)]


def test_prepare_transaction_works_while_the_daemon_is_idle(cluster):
    admin = connect(cluster)
    query(admin, "CREATE DATABASE xa")
    migrate(cluster, dbname="xa")
    crm = psycopg2.connect(cluster, dbname="xa")
    query(crm, "CREATE TABLE t (id text PRIMARY KEY)")
    query(crm, "SELECT imprint_sync.watch('t', 'id', 'id', 't', 'id')")
    crm.commit()
    idle(crm, 60)
    crm.commit()
    crm.tpc_begin(crm.xid(1, "x", "y"))
    query(crm, "INSERT INTO t VALUES ('XA1')")
    query(crm, "INSERT INTO imprint_sync.outbox (customer_id) VALUES ('XA2')")
    crm.tpc_prepare()
    crm.tpc_commit()
    assert query(crm, "SELECT customer_id FROM imprint_sync.outbox ORDER BY id") == [("XA1",), ("XA2",)]


@pytest.mark.parametrize("call", [
    "imprint_sync.retry_thin({0})", "imprint_sync.retry_hold({0}, '{{}}', 0, true, now(), '1 min')",
    "imprint_sync.retry_release({0}, 0)"])
def test_retry_waits_for_a_settle_of_any_of_its_customers(dsn, call):
    """The settle holds the last of the leases concerned, so all of them must be asked for."""
    retry, settle = connect(dsn), connect(dsn)
    rows = query(retry, "INSERT INTO imprint_sync.outbox (customer_id, status, settled_at)"
                        " SELECT 'r' || n, 'dead', now() FROM generate_series(1, 20) AS n RETURNING id, slot")
    last = max(slot for _, slot in rows)
    call = call.format(f"ARRAY{[row_id for row_id, _ in rows]}::bigint[]")
    settle.autocommit = False
    query(settle, "SELECT FROM imprint_sync.lease WHERE slot = %s FOR KEY SHARE", (last,))
    query(retry, "SET lock_timeout = '200ms'")
    with pytest.raises(psycopg2.errors.LockNotAvailable):
        query(retry, f"SELECT {call}")
    settle.rollback()
    query(retry, f"SELECT {call}")
    query(retry, "DELETE FROM imprint_sync.outbox")
    settle.close()
    retry.close()

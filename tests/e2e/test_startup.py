"""What is wrong at the start is said in one clear line, with the exit code for it."""

import pytest

import harness
from harness import email, new_customer


@pytest.fixture
def bare(cluster):
    """A database without anything of imprint-sync."""
    database = cluster.new_database("template0")
    yield database
    database.drop()


def refusal(run):
    """The line that says why."""
    lines = [line for line in run.stderr.split("\n") if line.strip()]
    assert lines, "it says nothing"
    return lines[-1]


@pytest.mark.parametrize("command", [["run"], ["run", "--once"], ["check"]])
def test_a_missing_schema(bare, sandbox, config, command):
    config.change({"database": {"dsn": bare.dsn("postgres")}})
    run = config.command(*command)
    assert run.returncode == 78, run.stderr
    assert "migrate" in run.stderr + run.stdout


@pytest.mark.parametrize("command", [["run"], ["run", "--once"], ["check"]])
def test_an_old_schema(db, config, command):
    db.execute("DELETE FROM imprint_sync.schema_version"
               " WHERE version = (SELECT max(version) FROM imprint_sync.schema_version)")
    run = config.command(*command)
    assert run.returncode == 78, run.stderr
    assert "migrate" in run.stderr + run.stdout


@pytest.mark.parametrize("command", [["run"], ["run", "--once"], ["check"]])
def test_a_newer_schema(db, config, command):
    db.execute("INSERT INTO imprint_sync.schema_version (version) VALUES (9999)")
    run = config.command(*command)
    assert run.returncode == 78, run.stderr
    assert "9999" in run.stderr + run.stdout


@pytest.mark.parametrize("command", [["run", "--once"], ["check"], ["migrate"]])
@pytest.mark.parametrize("dsn", [
    "host=127.0.0.1 port=1 dbname=crm user=x connect_timeout=2",
    "host=/nonexistent dbname=crm user=x",
    "host=name.invalid dbname=crm user=x connect_timeout=2",
])
def test_an_unreachable_database(config, command, dsn):
    config.change({"database": {"dsn": dsn}})
    run = config.command(*command)
    assert run.returncode == 69, run.stderr
    assert refusal(run)


def test_a_database_that_refuses_the_role(db, config):
    config.change({"database": {"dsn": db.dsn("nobody_of_that_name")}})
    run = config.command("check")
    assert run.returncode in (69, 78), run.stderr


def test_an_unreachable_api(db, sandbox, config):
    sandbox.stop()
    run = config.command("check", "--api")
    assert run.returncode == 69, run.stderr


def test_a_wrong_key_is_found_by_check(db, sandbox, config):
    run = config.command("check", "--api")
    assert run.returncode == 0, run.stderr + run.stdout
    sandbox.keys("another")
    run = config.command("check", "--api")
    assert run.returncode not in (0, 69), run.stderr
    assert harness.KEY not in run.stdout + run.stderr


def test_migrate_is_idempotent_and_prints(bare, config):
    config.change({"database": {"dsn": bare.dsn("postgres")}})
    printed = config.command("migrate", "--print")
    assert printed.returncode == 0 and "CREATE TABLE imprint_sync.outbox" in printed.stdout
    assert bare.value("SELECT to_regclass('imprint_sync.outbox')") is None
    first = config.command("migrate")
    assert first.returncode == 0 and first.stdout + first.stderr, first.stderr
    again = config.command("migrate")
    assert again.returncode == 0, again.stderr
    versions = bare.query("SELECT version FROM imprint_sync.schema_version ORDER BY 1")
    assert [v["version"] for v in versions] == list(range(1, len(versions) + 1))


def test_the_printed_sql_does_the_same(bare, config):
    config.change({"database": {"dsn": bare.dsn("postgres")}})
    script = config.folder / "printed.sql"
    script.write_text(config.command("migrate", "--print").stdout)
    run = harness.subprocess.run(
        ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", bare.dsn("postgres"), "-f", str(script)],
        capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert config.command("migrate").returncode == 0
    assert config.command("check").returncode in (0, 78)


def test_two_migrations_at_once(bare, config):
    config.change({"database": {"dsn": bare.dsn("postgres")}})
    runs = [harness.subprocess.Popen([harness.imprint_sync(), "-c", str(config.file), "migrate"],
                                     stderr=harness.subprocess.DEVNULL,
                                     stdout=harness.subprocess.DEVNULL) for _ in range(4)]
    assert [run.wait(60) for run in runs] == [0, 0, 0, 0]


def test_the_daemon_waits_for_a_database_that_comes_later(db, sandbox, config, daemon):
    """After a start the database may go and come: that is tested elsewhere. Here it was there once."""
    daemon.start()
    customer = new_customer()
    assert db.wait_settled(db.add(customer, email(customer)))["status"] == "done"
    assert daemon.events("db.connect")


BROKEN = [
    ({"imprint": {"timeout": "soon"}}, "imprint.timeout"),
    ({"delivery": {"rate": "fast"}}, "delivery.rate"),
    ({"delivery": {"wrokers": 3}}, "delivery.workers"),
    ({"outbox": {"lease": "1s"}}, "outbox.lease"),
    ({"mapping": {"e_mail": "email"}}, "email"),
    ({"mapping": {"email": {"from": "email", "as": "emial"}}}, "email"),
    ({"imprint": {"environment": "production"}}, "imprint."),
    ({"imprint": {"api_key_file": "/nonexistent/key"}}, "imprint.api_key_file"),
    ({"database": {"dsn": "dbname=crm password=hunter2-e2e"}}, "database.dsn"),
    ({"source": {"relation": "crm.no_such_view"}}, "crm.no_such_view"),
    ({"mapping": {"email": "no_such_column"}}, "no_such_column"),
]


@pytest.mark.parametrize("change, names", BROKEN)
def test_a_wrong_configuration(db, sandbox, config, change, names):
    config.change(change)
    run = config.command("check")
    assert run.returncode == 78, run.stdout + run.stderr
    assert names in run.stdout + run.stderr
    assert "hunter2" not in run.stdout + run.stderr


def test_all_errors_of_a_file_are_said_with_their_places(config):
    config.change({"imprint": {"timeout": "soon"}, "delivery": {"rate": "fast"}})
    run = config.command("check", "--offline")
    assert run.returncode == 78
    said = [line for line in (run.stdout + run.stderr).split("\n") if "imprint-sync.yaml:" in line]
    assert len(said) >= 2
    assert all(harness.re.search(r"imprint-sync\.yaml:\d+:\d+: ", line) for line in said)

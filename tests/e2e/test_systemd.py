"""The package on a throw-away Debian with a real systemd, PostgreSQL as Debian sets it up, and the
sandbox: README's set-up is typed in as it stands, then the units are used and hurt. The tests build
on each other's machine, but each starts from a service that is stopped."""

import contextlib
import json
import os
import re
import subprocess

import pytest

from harness import KEY, TOP, program, spawn, wait_until
from test_package import _package  # pylint: disable=unused-import  # a fixture

# The machine has our network, but a loopback address that nobody else has.
ADDRESS = f"127.{os.getpid() // 62500 % 250 + 1}.{os.getpid() // 250 % 250 + 1}.{os.getpid() % 250 + 2}"
URL = f"http://{ADDRESS}:8787"
PASSWORD = "e2e-password-41c07b"
CUSTOMER = "BBB815E9-F654-438D-9AD3-3F7BB8136FC0"  # the one of README
CONFIGURATION = "/etc/imprint-sync/imprint-sync.yaml"
SERVICE = "imprint-sync"

# What the person at the keyboard writes into the file that sudoedit opens.
EDITOR = f"""#!/bin/sh -eu
case $1 in
    *api_key*) echo {KEY} >"$1" ;;
    *imprint-sync*) sed -i 's|^  base_url:.*|  base_url: {URL}\\n  environment: custom|' "$1" ;;
esac
"""

TUNED = f"""
database: {{dsn: "host=/run/postgresql dbname=crm user=imprint_sync"}}
source: {{relation: crm.imprint_customers, customer_id: imprint_customer_id}}
imprint: {{environment: custom, base_url: "{URL}", timeout: 1s, connect_timeout: 1s, api_key_file: "${{CREDENTIALS_DIRECTORY}}/api_key"}}
delivery: {{rate: 1000/s, burst: 100, skip_unchanged: false}}
outbox: {{lease: 3s}}
log: {{stats_interval: 1s}}
mapping_file: mapping.yaml
"""


class Machine:
    """What tests/systemd/boot runs, entered as root."""

    def __init__(self, folder, *files):
        self.process = spawn([str(TOP / "tests/systemd/boot"), str(folder), *map(str, files)],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.init = None

    def find_init(self):
        """The process id, out here, of its PID 1."""
        if self.process.poll() is not None:
            said = self.process.stdout.read()
            if self.process.returncode == 77:
                pytest.skip(said.strip())
            raise AssertionError(f"no boot: {said}")
        with contextlib.suppress(OSError):
            for parent in children(self.process.pid):
                for child in children(parent):
                    with open(f"/proc/{child}/comm", encoding="utf-8") as comm:
                        if comm.read() == "systemd\n":
                            return child
        return None

    def wait_booted(self):
        self.init = wait_until(self.find_init, "systemd starts")
        wait_until(lambda: self.run("systemctl is-system-running", None).strip() in ("running", "degraded"),
                   "the machine is up")
        assert self.run("systemctl --failed --plain --no-legend") == ""

    def run(self, script, code=0, stdin=""):
        """Runs it in bash; its output. `code` None: whatever it ends with."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.init), "-m", "-u", "-i", "-p", "-C", "-r", "--", "env", "-i",
             "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=/root", "PAGER=cat",
             "DEBIAN_FRONTEND=noninteractive", "EDITOR=/usr/local/bin/editor", "bash", "-euo", "pipefail",
             "-c", f"cd /root; {script}"],
            input=stdin, capture_output=True, text=True, timeout=60, check=False)
        if code not in (None, done.returncode):
            raise AssertionError(f"{script}: {done.returncode}\n{done.stdout}{done.stderr}"
                                 + self.run("journalctl -q --no-pager -n 40", None))
        return done.stdout + done.stderr

    def write(self, path, text, mode="644"):
        self.run(f"install -D -m {mode} /dev/stdin {path}", stdin=text)

    def remove(self):
        self.process.terminate()
        self.process.wait(30)

    # ---- PostgreSQL and the sandbox ------------------------------------------------------------

    def sql(self, statement):
        return self.run("cd /; runuser -u postgres -- psql -X -q -A -t -v ON_ERROR_STOP=1 -d crm -f -",
                        stdin=statement).strip()

    def control(self, method, path, body=""):
        return json.loads(self.run(
            "python3 -c 'import sys, urllib.request as u; print(u.urlopen(u.Request("
            "sys.argv[2], method=sys.argv[1], data=sys.stdin.buffer.read() or None)).read().decode())'"
            f" {method} {URL}/_sandbox/{path}", stdin=body))

    def faults(self, *specs):
        self.control("PUT", "faults", json.dumps(specs))

    def sent(self):
        """How often each customer was sent, by the sandbox's journal."""
        return self.run("sed -n 's/.*\"customer\":\"\\([^\"]*\\)\".*/\\1/p' /run/journal").lower().split()

    def fill(self, first, count):
        """Customers of the source that changed: ids `first` and so on."""
        self.sql("INSERT INTO crm.customers (id, imprint_customer_id, email, currency) SELECT n,"
                 " (lpad(n::text, 8, '0') || '-0000-4000-8000-00000000000b')::uuid, 'c' || n || '@example.com',"
                 f" 'USD' FROM generate_series({first}, {first + count - 1}) AS n")

    def statuses(self):
        """{status: rows of the outbox}"""
        rows = self.sql("SELECT status, count(*) FROM imprint_sync.outbox GROUP BY 1").split()
        return {row.split("|")[0]: int(row.split("|")[1]) for row in rows}

    def wait_sent(self):
        wait_until(lambda: self.statuses().keys() <= {"done"}, "all is sent")

    # ---- units -----------------------------------------------------------------------------------

    def show(self, name, unit=SERVICE):
        return self.run(f"systemctl show -P {name} {unit}").strip()

    def log(self, *arguments, unit=SERVICE):
        """The unit's entries, as dicts."""
        self.run("journalctl --sync")
        return [json.loads(line) for line in
                self.run(f"journalctl -q -o json -u {unit} {' '.join(arguments)}", None).splitlines()]

    def said(self, text, unit=SERVICE):
        return [entry["MESSAGE"] for entry in self.log(unit=unit) if text in entry["MESSAGE"]]

    def configure(self, **sections):
        """The packaged way: key from systemd, a user that systemd makes up."""
        text = TUNED
        for section, lines in sections.items():
            text = re.sub(rf"^{section}: .*\n", f"{section}: {lines}\n", text, flags=re.M)
        self.write(CONFIGURATION, text)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
        return [int(word) for word in file.read().split()]


@pytest.fixture(name="machine", scope="module")
def _machine(tmp_path_factory, package):
    if os.geteuid() != 0:
        pytest.skip("no systemd can be booted here: only root can")
    machine = Machine(tmp_path_factory.mktemp("machine"), package, program("imprint-sandbox"),
                      TOP / "tests/demo.d/crm.sql")
    try:
        machine.wait_booted()
        install_crm(machine)
        yield machine
    finally:
        machine.remove()


def install_crm(machine):
    """A company's server, with nothing of imprint-sync on it."""
    machine.run("dpkg --purge imprint-sync; userdel imprint_sync", None)
    machine.write("/usr/local/bin/editor", EDITOR, "755")
    machine.write("/etc/apt/apt.conf.d/99tests", 'APT::Install-Recommends "false";\n')
    machine.run("rm -rf /usr/sbin/policy-rc.d /etc/imprint-sync; mkdir -p build/package;"
                " cp /files/imprint-sync_*.deb build/package")
    machine.run(f"systemd-run -q --unit=sandbox /files/imprint-sandbox --listen {ADDRESS} --port 8787 --journal /run/journal"
                f" --api-key {KEY}")
    machine.run("version=$(ls /usr/lib/postgresql | sort -n | tail -1);"
                " pg_createcluster --port 5432 --pgoption fsync=off $version crm -- --no-sync;"
                f" echo \"listen_addresses = '{ADDRESS}'\" >>/etc/postgresql/$version/crm/postgresql.conf;"
                " systemctl start postgresql@$version-crm")
    machine.run("runuser -u postgres createdb crm")
    schema, _ = (TOP / "tests/demo.d/crm.sql").read_text().split("CREATE VIEW")
    machine.sql(schema + "INSERT INTO crm.customers (id, imprint_customer_id, email, currency)"
                f" VALUES (1, '{CUSTOMER}', 'jane@example.com', 'USD');")


@pytest.fixture(name="service")
def _service(machine):
    """The machine, with the service set up as packaged, and stopped before and after."""
    machine.faults()
    machine.configure()
    yield machine
    machine.run("systemctl stop 'imprint-sync*'; systemctl reset-failed; rm -rf /run/systemd/system/imprint*;"
                " systemctl daemon-reload")
    machine.sql("TRUNCATE imprint_sync.outbox")


# ---- README ----------------------------------------------------------------------------------------

def readme_steps():
    """(language, text) of each block of the set-up, up to the first that needs more than a command."""
    chapter = re.search(r"^## Set-up on a real CRM\n(.*?)^### ", (TOP / "README.md").read_text(), re.M | re.S)[1]
    return re.findall(r"^```(\w+)\n(.*?)^```$", chapter, re.M | re.S)


def typed(text):
    """What differs here: the package is built, and nobody looks at the log until Ctrl-C."""
    text = re.sub(r"^(sudo apt-get install gcc|cmake ).*\n", "", text, flags=re.M)
    return text.replace("journalctl -u imprint-sync -f", "journalctl -u imprint-sync")


def test_the_set_up_of_the_readme_ends_with_the_first_update(machine):
    steps = readme_steps()
    assert [language for language, _ in steps] == ["sh", "sh", "sql", "sql", "sh", "sh", "sh", "sh"]
    said = []
    for language, text in steps:
        said.append(machine.run(typed(text)) if language == "sh" else machine.sql(text))
    assert re.search(r"^ok +key ", said[5], re.M), said[5]
    assert "+14155552671" in said[5]
    assert "daemon.ready" in said[6]
    wait_until(lambda: machine.control("GET", "customers")[CUSTOMER]["state"]["customer_history"]
               ["loyalty_tier"] == "GOLD", "the update of README arrives")
    machine.wait_sent()
    assert machine.show("ActiveState") == "active" and machine.show("NRestarts") == "0"
    machine.run("systemctl disable --now imprint-sync; userdel imprint_sync;"
                " chown root: /etc/imprint-sync/api_key; chmod 600 /etc/imprint-sync/api_key")


# ---- the service -----------------------------------------------------------------------------------

def test_key_and_password_come_from_systemd_and_the_user_too(service):
    service.sql(f"ALTER ROLE imprint_sync PASSWORD '{PASSWORD}'")
    service.write("/etc/imprint-sync/db_password", PASSWORD + "\n", "600")
    service.write("/run/systemd/system/imprint-sync.service.d/password.conf",
                  "[Service]\nLoadCredential=db_password:/etc/imprint-sync/db_password\n")
    service.configure(database=f'{{dsn: "host={ADDRESS} dbname=crm user=imprint_sync",'
                               ' password_file: "${CREDENTIALS_DIRECTORY}/db_password"}')
    service.run("systemctl daemon-reload; systemctl start imprint-sync")
    service.fill(100, 1)
    service.wait_sent()
    pid = service.show("MainPID")
    uid = int(service.run(f"sed -n 's/^Uid:\\t\\([0-9]*\\).*/\\1/p' /proc/{pid}/status"))
    assert 61184 <= uid <= 65519, "a user of systemd's making"
    assert service.run("getent passwd imprint_sync").startswith(f"imprint_sync:x:{uid}:")
    service.run("grep imprint_sync /etc/passwd", 1)
    shown = service.run(f"tr '\\0' '\\n' </proc/{pid}/environ; tr '\\0' ' ' </proc/{pid}/cmdline")
    assert "CREDENTIALS_DIRECTORY=/run/credentials/imprint-sync.service\n" in shown
    assert KEY not in shown and PASSWORD not in shown
    for secret in ("api_key", "db_password"):
        service.run(f"cmp /run/credentials/imprint-sync.service/{secret} /etc/imprint-sync/{secret}")
        service.run(f"runuser -u nobody cat /run/credentials/imprint-sync.service/{secret}", 1)
        service.run(f"runuser -u nobody cat /etc/imprint-sync/{secret}", 1)
    service.run("systemctl stop imprint-sync; getent passwd imprint_sync", 2)
    service.run("test ! -e /run/credentials/imprint-sync.service")


def test_systemctl_status_says_how_it_goes(service):
    service.run("systemctl start imprint-sync")
    text = wait_until(lambda: service.show("StatusText"), "a status")
    assert re.search(r"^ +Status: \".+\"$", service.run("systemctl status --no-pager imprint-sync"), re.M), text
    assert wait_until(lambda: re.search(r"\d", service.show("StatusText")), "numbers in it")


def test_a_reload_takes_over_a_good_file_and_fails_with_a_bad_one(service):
    service.run("systemctl start imprint-sync")
    pid = service.show("MainPID")
    service.configure(delivery="{rate: 77/s}")
    service.run("systemctl reload imprint-sync")
    wait_until(lambda: service.said("daemon.reload"), "it is taken over")
    service.configure(delivery="{rates: 78/s}")
    assert "failed" in service.run("systemctl reload imprint-sync", 1)
    assert service.said(f"{CONFIGURATION}:5:"), "the place of the mistake is in the journal"
    service.fill(200, 1)
    service.wait_sent()
    assert service.show("MainPID") == pid and service.show("ActiveState") == "active"
    reloads = service.said("daemon.reload")
    assert not [line for line in reloads if " error " in line], reloads


def test_a_stop_finishes_what_is_in_flight(service):
    service.faults("delay=3000")
    service.configure(outbox="{lease: 60s}", imprint=f'{{environment: custom, base_url: "{URL}", timeout: 20s,'
                      ' api_key_file: "${CREDENTIALS_DIRECTORY}/api_key"}')
    service.run("systemctl start imprint-sync")
    service.fill(300, 4)
    wait_until(lambda: service.control("GET", "stats")["in_progress"] == 4, "all are in flight")
    service.run("systemctl stop imprint-sync")
    assert service.statuses().keys() == {"done"}
    assert service.show("ExecMainStatus") == "0" and service.show("Result") == "success"
    assert service.show("ActiveState") == "inactive"
    assert len([customer for customer in service.sent() if customer.startswith("0000030")]) == 4


def test_one_that_stands_still_is_killed_and_started_again(service):
    service.write("/run/systemd/system/imprint-sync.service.d/watchdog.conf",
                  "[Service]\nWatchdogSec=2s\nRestartSec=100ms\n")
    service.run("systemctl daemon-reload; systemctl start imprint-sync")
    pid = service.show("MainPID")
    service.run(f"kill -STOP {pid}")
    service.fill(400, 3)
    wait_until(lambda: service.show("NRestarts") == "1" and service.show("ActiveState") == "active",
               "it is started again")
    assert service.show("MainPID") not in (pid, "0")
    assert service.run("journalctl -q -u imprint-sync -g 'Watchdog timeout'")
    service.wait_sent()
    assert {customer[:8] for customer in service.sent()} >= {"00000400", "00000401", "00000402"}


def test_a_wrong_configuration_is_not_tried_again(service):
    service.configure(delivery="{rates: 78/s}")
    service.run("systemctl start imprint-sync", 1)
    assert service.show("ActiveState") == "failed" and service.show("NRestarts") == "0"
    assert service.show("ExecMainStatus") == "78"


@pytest.mark.parametrize("form", ["logfmt", "json", "journal"])
def test_the_journal_has_priorities_and_with_its_own_format_fields(service, form):
    service.faults("status=503")
    service.configure(log=f"{{format: {form}}}")
    service.run("systemctl start imprint-sync")
    begin = f"_PID={service.show('MainPID')}"
    service.fill({"logfmt": 500, "json": 501, "journal": 502}[form], 1)

    def entries(event):
        return [entry for entry in service.log(begin) if entry.get("EVENT") == event or event in entry["MESSAGE"]]

    [ready] = wait_until(lambda: entries("daemon.ready"), "it is ready")
    retry = wait_until(lambda: entries("update.retry"), "a retry")[0]
    assert (ready["PRIORITY"], retry["PRIORITY"]) == ("6", "4")
    assert not ready["MESSAGE"].startswith("<") and ready["_SYSTEMD_UNIT"] == "imprint-sync.service"
    if form == "journal":
        assert retry["EVENT"] == "update.retry" and retry["HTTP_STATUS"] == "503"
        assert retry["CUSTOMER_ID"].startswith("00000502") and retry["_TRANSPORT"] == "journal"
        assert service.log(begin, "EVENT=update.retry")[0]["CUSTOMER_ID"] == retry["CUSTOMER_ID"]
    else:
        assert retry["_TRANSPORT"] == "stdout" and "EVENT" not in retry


# ---- its relatives -----------------------------------------------------------------------------------

def run_of(machine, name):
    return machine.sql("SELECT state, done, dead, holder IS NULL FROM imprint_sync.backfill_run"
                       f" WHERE name = '{name}'").split("|")


def test_a_backfill_is_a_unit_that_ends_with_its_run(service):
    service.fill(600, 20)
    service.sql("TRUNCATE imprint_sync.outbox")
    service.write("/etc/imprint-sync/backfill/first-day.env",
                  "SCOPE=--where \"imprint_customer_id::text LIKE '000006%'  AND true\"\n", "600")
    service.run("systemctl start imprint-sync-backfill@first-day")
    assert run_of(service, "first-day") == ["done", "20", "0", "t"]
    unit = "imprint-sync-backfill@first-day"
    assert service.show("Result", unit) == "success" and service.show("ActiveState", unit) == "inactive"
    # Its name is used up, and that is said.
    service.run(f"systemctl start {unit}", 1)
    assert service.said("run first-day is done", unit) and service.show("NRestarts", unit) == "0"
    # Some that cannot be sent are no failure of the unit.
    service.sql("UPDATE crm.customers SET email = 'none' WHERE id = 600; TRUNCATE imprint_sync.outbox")
    service.run("cp /etc/imprint-sync/backfill/first-day.env /etc/imprint-sync/backfill/second.env;"
                " systemctl start imprint-sync-backfill@second")
    assert run_of(service, "second")[2] == "1"
    assert service.show("ActiveState", "imprint-sync-backfill@second") == "inactive"
    service.sql("TRUNCATE imprint_sync.outbox")


def test_a_backfill_without_a_file_says_what_it_lacks(service):
    service.run("systemctl start imprint-sync-backfill@nobody", 1)
    assert service.said("there is no run nobody to go on with", "imprint-sync-backfill@nobody")


def test_a_backfill_is_paused_by_stop_and_goes_on_with_start(service):
    service.configure(delivery="{rate: 50/s, burst: 10, skip_unchanged: false}")
    service.fill(700, 150)
    service.sql("TRUNCATE imprint_sync.outbox")
    before = len(service.sent())
    unit = "imprint-sync-backfill@paused.1"
    service.write("/etc/imprint-sync/backfill/paused.1.env",
                  "SCOPE=--ahead 20 --where \"imprint_customer_id::text SIMILAR TO '000007%|000008%'\"\n")
    service.run(f"systemctl start --no-block {unit}")
    wait_until(lambda: len(service.sent()) > before + 20, "it goes on")
    service.run(f"systemctl stop {unit}")
    state, done, _, free = run_of(service, "paused.1")
    assert (state, free) == ("paused", "t") and 0 < int(done) < 150
    assert service.show("ActiveState", unit) == "inactive" and service.show("Result", unit) == "success"
    service.run(f"systemctl start {unit}")
    assert run_of(service, "paused.1") == ["done", "150", "0", "t"]
    assert len(service.sent()) == before + 150, "none is sent twice"


def test_several_instances_share_the_customers(service):
    service.write("/run/systemd/system/imprint-sync@2.service.d/other.conf",
                  "[Service]\nEnvironment=CONFIG=/etc/imprint-sync/other.yaml\n")
    service.run(f"install -m 644 {CONFIGURATION} /etc/imprint-sync/other.yaml; systemctl daemon-reload;"
                " systemctl enable --now imprint-sync@{1,2}")
    wait_until(lambda: service.sql("SELECT string_agg(n::text, ' ') FROM (SELECT count(*) AS n FROM"
                                   " imprint_sync.lease GROUP BY holder) AS share") == "32 32", "fair shares")
    service.fill(900, 40)
    service.wait_sent()
    for unit in ("imprint-sync@1", "imprint-sync@2"):
        assert service.show("NRestarts", unit) == "0" and service.show("StatusText", unit)
    assert service.sql("SELECT count(DISTINCT id) FROM imprint_sync.instance") == "2"
    service.run("systemctl reload imprint-sync@{1,2}; echo rubbish: >>/etc/imprint-sync/other.yaml;"
                " systemctl reload imprint-sync@1")
    service.run("systemctl reload imprint-sync@2", 1)
    service.run("systemctl disable --now imprint-sync@{1,2}")


# ---- the package's scripts ----------------------------------------------------------------------------

def test_an_upgrade_restarts_what_runs_and_a_purge_stops_it(service):
    service.run("systemctl enable --now imprint-sync imprint-sync@1")
    before = [service.show("MainPID", unit) for unit in (SERVICE, "imprint-sync@1")]
    service.run("dpkg --no-triggers --force-unsafe-io -i build/package/imprint-sync_*.deb")
    after = [service.show("MainPID", unit) for unit in (SERVICE, "imprint-sync@1")]
    assert not set(before) & set(after) and "0" not in after
    service.run("dpkg --no-triggers --purge imprint-sync")
    assert service.run("pgrep -x imprint-sync", 1) == ""
    assert service.run("systemctl --failed --plain --no-legend") == ""
    assert service.run("find /etc/systemd -name 'imprint-sync*'") == ""
    service.run("systemctl start imprint-sync", 5)
    service.run("dpkg --no-triggers --force-unsafe-io -i build/package/imprint-sync_*.deb")

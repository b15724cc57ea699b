"""What watch() costs the CRM: transactions a second of customer updates, as pgbench makes them.

"watched, no daemon" is the cost of watch() itself. "daemon waits" adds a daemon that waits for
its rate. "daemon busy" is for information only: its own work shares the cores with the CRM's.
"""

import contextlib
import re
import subprocess

import harness
import lab as labs

NAME = "watch"
TITLE = "The CRM's own transactions with and without watch()"
SINGLE = """\\set id random(1, {customers})
UPDATE crm.customers SET tier = (tier + 1) % 4, updated_at = now() WHERE id = :id;
"""
MANY = """\\set id random(1, {customers} - 1000)
UPDATE crm.customers SET tier = (tier + 1) % 4, updated_at = now() WHERE id BETWEEN :id AND :id + 999;
"""


def pgbench():
    return str(next(labs.pathlib.Path("/usr/lib/postgresql").glob("*/bin/pgbench")))


def transactions_per_s(lab, script, clients, seconds):
    file = lab.new_folder() / "script.sql"
    file.write_text(script.format(customers=lab.customers))
    run = subprocess.run(
        [pgbench(), "-n", "-f", str(file), "-c", str(clients), "-j", str(min(clients, 2)), "-T",
         str(seconds), "--max-tries=10", "-M", "prepared", "-h", str(lab.cluster.folder), "-p",
         str(lab.cluster.port), "-U", "postgres", lab.db.name],
        capture_output=True, text=True, check=False)
    found = re.search(r"tps = ([\d.]+)", run.stdout)
    if run.returncode != 0 or found is None:
        raise RuntimeError(run.stderr)
    return float(found[1])


@contextlib.contextmanager
def watched(lab):
    lab.db.execute("SELECT imprint_sync.watch('crm.imprint_customers', 'crm_id',"
                   " 'imprint_customer_id', 'crm.customers', 'id')")
    try:
        yield
    finally:
        lab.db.execute("SELECT imprint_sync.unwatch('crm.customers')")


@contextlib.contextmanager
def daemon(lab, rate):
    """With a low rate it has nothing to do but to wait for its tokens; a high one keeps it busy."""
    answerer = labs.Answerer(lab.new_folder(), log=False)
    process = harness.Daemon(lab.config(answerer.url, {"delivery": {"rate": rate, "burst": 10}}))
    try:
        process.start()
        yield
    finally:
        process.stop()
        answerer.stop()


def measure(lab, results, scale):
    seconds = 3 if scale.quick else 20
    for name, script in (("single rows", SINGLE), ("1,000 rows a statement", MANY)):
        for clients in (1, 16):
            case = f"{name}, {clients} client{'s' if clients > 1 else ''}"
            for _ in range(scale.runs):
                one(lab, results, case, script, clients, seconds)


def one(lab, results, case, script, clients, seconds):
    def run(quantity):
        lab.empty_outbox()
        lab.db.execute("VACUUM crm.customers")
        speed = transactions_per_s(lab, script, clients, seconds)
        results.add(NAME, case, quantity, "transactions/s", speed)
        return speed

    free = run("without")
    with watched(lab):
        alone = run("watched, no daemon")
        with daemon(lab, "1/s"):
            idle = run("daemon waits")
        with daemon(lab, "1000000/s"):
            busy = run("daemon busy")
    for name, speed in (("watched, no daemon", alone), ("daemon waits", idle),
                        ("daemon busy", busy)):
        results.add(NAME, case, f"{name}: of without", "", speed / free)

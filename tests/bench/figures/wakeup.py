"""How long after its COMMIT does a change arrive at the API?"""

import contextlib
import random
import time

import harness
import lab as labs

NAME = "wakeup"
TITLE = "From COMMIT to the request's arrival"
RATE = 500  # of the runs at 80 % of it, and beside a backfill


def quantile(values, part):
    return values[min(len(values) - 1, int(part * len(values)))]


def idle(lab):
    return lab.db.value("SELECT last_value > extract(epoch FROM clock_timestamp())"
                        " FROM imprint_sync.idle_until")


def changes(lab, kind, count, gap_s, wait_idle):
    """Commits so many changes; {customer: when its COMMIT had returned}, less the round trip."""
    committed = {}
    ids = [row["id"] for row in lab.db.query(
        "SELECT imprint_customer_id::text AS id FROM crm.customers WHERE id <= %s ORDER BY id",
        count)]
    payload = harness.json.dumps(lab.db.value(
        "SELECT to_jsonb(v) - 'updated_at' FROM crm.imprint_customers v WHERE crm_id = 1"))
    clock = random.Random(1)
    with contextlib.closing(lab.db.connect()) as connection, connection.cursor() as cursor:
        for customer in ids:
            if wait_idle:
                harness.wait_until(lambda: idle(lab), "the daemon is idle")
            time.sleep(clock.expovariate(1 / gap_s))
            cursor.execute("INSERT INTO imprint_sync.outbox (customer_id, payload)"
                           " VALUES (%s, %s)", [customer, payload if kind == "application" else None])
            connection.commit()
            committed[customer] = time.time_ns()
    return committed


@contextlib.contextmanager
def running(lab, settings):
    lab.empty_outbox()
    answerer = labs.Answerer(lab.new_folder())
    config = lab.config(answerer.url, settings)
    daemon = harness.Daemon(config)
    try:
        daemon.start()
        yield answerer
    finally:
        if daemon.process is not None:
            daemon.stop()
        answerer.stop()


def one(lab, results, case, kind, count, gap_s, settings=None, wait_idle=False, backlog=0):
    with running(lab, settings or {}) as answerer:
        if backlog:
            lab.db.execute(
                "INSERT INTO imprint_sync.outbox (customer_id, priority) SELECT imprint_customer_id,"
                " 1 FROM crm.customers WHERE id > %s ORDER BY id LIMIT %s", count, backlog)
        committed = changes(lab, kind, count, gap_s, wait_idle)

        def arrived():
            first = {}
            for at, customer in answerer.arrivals():
                first.setdefault(customer, at)
            return first if all(c in first for c in committed) else None

        first = harness.wait_until(arrived, "all have arrived", 120)
    lags_ms = sorted((first[c] - at) / 1e6 for c, at in committed.items())
    for name, part in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)):
        results.add(NAME, case, name, "ms", max(0.0, quantile(lags_ms, part)))


def measure(lab, results, scale):
    count = 200 if scale.quick else 1000
    limited = {"delivery": {"rate": f"{RATE}/s", "burst": 50}}
    polling = {"outbox": {"notify": False, "poll_interval": "1s"}}
    seconds = 4 if scale.quick else 20
    for _ in range(scale.runs):
        for kind in ("application", "thin"):
            one(lab, results, f"{kind} rows, idle", kind, count // 4, 0.05, wait_idle=True)
            one(lab, results, f"{kind} rows, 20/s", kind, count, 0.05)
        one(lab, results, "thin rows, 80 % of the rate", "thin", int(RATE * 0.8 * seconds),
            1 / (RATE * 0.8), limited)
        one(lab, results, "thin rows, 20/s beside a backfill", "thin", count // 2, 0.05, limited,
            backlog=RATE * (count // 20))
        one(lab, results, "thin rows, 20/s, polling only (1 s)", "thin", count, 0.05, polling)

"""How many updates a second, and what each costs, as rows that wait are worked off."""

import harness
import lab as labs

NAME = "throughput"
TITLE = "Throughput: updates a second, and what each costs"
WAYS = ("plain", "tls", "http2")
WAY_NAMES = {"plain": "HTTP/1.1", "tls": "HTTP/1.1, TLS", "http2": "HTTP/2, TLS"}


def versioned(lab, way, changes=None):
    version = {"imprint": {"http_version": "2" if way == "http2" else "1.1"}}
    return lab.config(lab.nginx.url(way), harness.merged(version, changes or {}),
                      lab.nginx.ca_file(way))


def daemon(lab, results, case, way, kind, count, changes=None):
    lab.empty_outbox()
    lab.add_rows(kind, count)
    results.add_cost(NAME, case, count, lab.once(versioned(lab, way, changes)))


def two_instances(lab, results, case, kind, count):
    """Both hold their half of the slots before the rows come."""
    lab.empty_outbox()
    runs = []
    for _ in range(2):
        config = versioned(lab, "plain", {"outbox": {"lease": "30s", "poll_interval": "100ms"}})
        runs.append(labs.Run([harness.imprint_sync(), "-c", str(config.file), "run"],
                             config.folder / "daemon.log"))
    harness.wait_until(
        lambda: lab.db.value("SELECT min(n) = 32 AND count(*) = 2 FROM (SELECT count(*) AS n"
                             " FROM imprint_sync.lease WHERE holder <> '' GROUP BY holder) AS h"),
        "each has its half", 90)
    wal, database_cpu, cpu = lab.wal_bytes(), lab.database_cpu(), sum(r.cpu() for r in runs)
    before = lab.nginx.count()
    lab.add_rows(kind, count)
    wal = lab.wal_bytes() - wal if kind is None else lab.wal_bytes()
    started = labs.time.monotonic()
    harness.wait_until(lambda: lab.nginx.count() - before >= count, "all are sent", 600)
    harness.wait_until(lambda: lab.db.pending() == 0, "all are settled", 60)
    seconds = labs.time.monotonic() - started
    cost = {"seconds": seconds, "cpu_s": sum(r.cpu() for r in runs) - cpu,
            "wal_bytes": lab.wal_bytes() - wal,
            "database_cpu_s": lab.database_cpu() - database_cpu}
    cost["peak_kb"] = max(r.stop()["peak_kb"] for r in runs)
    results.add_cost(NAME, case, count, cost)


def reference_wal(lab, results, count):
    """One INSERT and one UPDATE of the same rows in a table with the outbox's columns and indexes."""
    lab.db.execute("DROP TABLE IF EXISTS plain_copy;"
                   "CREATE TABLE plain_copy (LIKE imprint_sync.outbox INCLUDING ALL)")
    lab.db.execute("CHECKPOINT")
    before = lab.wal_bytes()
    lab.db.execute("INSERT INTO plain_copy (customer_id, payload) SELECT imprint_customer_id,"
                   " to_jsonb(v) - 'updated_at' FROM crm.imprint_customers v WHERE crm_id <= %s",
                   count)
    inserted = lab.wal_bytes()
    lab.db.execute("UPDATE plain_copy SET status = 'done', settled_at = now(), http_status = 200")
    results.add(NAME, "one INSERT", "WAL", "B/update", (inserted - before) / count)
    results.add(NAME, "one UPDATE", "WAL", "B/update", (lab.wal_bytes() - inserted) / count)
    lab.db.execute("DROP TABLE plain_copy")


def measure(lab, results, scale):
    small, large = scale.rows
    for _ in range(scale.runs):
        for way in WAYS:
            results.add_cost(NAME, f"bare libcurl, {WAY_NAMES[way]}", small * 2,
                             lab.limit(way, small * 2))
        for way in ("plain", "tls"):
            results.add_cost(NAME, f"naive worker, {WAY_NAMES[way]}", scale.naive,
                             lab.naive(way, scale.naive))
        for way in WAYS:
            daemon(lab, results, f"application rows, {WAY_NAMES[way]}", way, "application", small)
            daemon(lab, results, f"thin rows, {WAY_NAMES[way]}", way, "thin", small)
        daemon(lab, results, "application rows, skip_unchanged off", "plain", "application", small,
               {"delivery": {"skip_unchanged": False}})
        daemon(lab, results, "application rows, retention 0", "plain", "application", small,
               {"outbox": {"retention": "0"}})
        two_instances(lab, results, "application rows, two instances", "application", small)
        reference_wal(lab, results, small)
    for _ in range(scale.large_runs):
        for kind in ("application", "thin"):
            daemon(lab, results, f"{kind} rows, {large:,} of them", "plain", kind, large)
    ratios(results)


def ratios(results):
    """Each case against what was measured beside it."""
    for case in results.cases(NAME):
        if case.startswith(("bare", "naive", "one")):
            continue
        way = next((name for name in sorted(WAY_NAMES.values(), key=len, reverse=True)
                    if case.endswith(name)), WAY_NAMES["plain"])
        limit, naive = f"bare libcurl, {way}", f"naive worker, {way}"
        speed, cpu = (results.median(NAME, case, q) for q in ("updates/s", "client CPU"))
        results.add(NAME, case, "of the limit", "", speed / results.median(NAME, limit, "updates/s"))
        results.add(NAME, case, "CPU of the limit", "",
                    cpu / results.median(NAME, limit, "client CPU"))
        if results.median(NAME, naive, "updates/s"):
            results.add(NAME, case, "of naive", "",
                        speed / results.median(NAME, naive, "updates/s"))


def plot(results):
    bars = [(case, results.median(NAME, case, "updates/s")) for case in results.cases(NAME)
            if results.median(NAME, case, "updates/s")]
    return {"throughput": ("bars", "updates a second", bars)}

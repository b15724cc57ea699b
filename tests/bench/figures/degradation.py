"""What slows a queue down: snapshots held by others, rows that lie behind it, no vacuum."""

import contextlib

import lab as labs

NAME = "degradation"
TITLE = "Under a held snapshot, behind settled rows, without autovacuum"


def tenths(arrivals):
    """Updates a second in the second tenth of the requests and in the last."""
    times = [at for at, _ in arrivals]
    tenth = len(times) // 10

    def speed(first):
        return (tenth - 1) / ((times[first + tenth - 1] - times[first]) / 1e9)

    return speed(0), speed(len(times) - tenth)


@contextlib.contextmanager
def snapshot(lab):
    """A session with one old snapshot; it has written nothing."""
    with contextlib.closing(lab.db.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT count(*) FROM imprint_sync.instance")
        yield


@contextlib.contextmanager
def writer(lab):
    """A transaction of the CRM that has written and does not end."""
    with contextlib.closing(lab.db.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE crm.customers SET tier = tier WHERE id = 1")
        yield


@contextlib.contextmanager
def settled(lab, count):
    """So many rows that are done, of all customers, then statistics as vacuum would have them."""
    lab.db.execute(
        "INSERT INTO imprint_sync.outbox (customer_id) SELECT md5((n %% %s + 1)::text)::uuid"
        " FROM generate_series(1, %s) AS n", lab.customers, count)
    lab.db.execute("UPDATE imprint_sync.outbox SET status = 'done', settled_at = now(),"
                   " http_status = 200")
    lab.db.execute("VACUUM ANALYZE imprint_sync.outbox")
    yield


@contextlib.contextmanager
def no_autovacuum(lab):
    lab.db.execute("ALTER TABLE imprint_sync.outbox SET (autovacuum_enabled = off)")
    try:
        yield
    finally:
        lab.db.execute("ALTER TABLE imprint_sync.outbox RESET (autovacuum_enabled)")


def one(lab, results, case, count, trouble):
    lab.empty_outbox()
    with trouble:
        lab.add_rows("application", count)
        answerer = labs.Answerer(lab.new_folder())
        try:
            cost = lab.once(lab.config(answerer.url))
            first, last = tenths(answerer.arrivals())
        finally:
            answerer.stop()
    results.add(NAME, case, "updates/s", "1/s", count / cost["seconds"])
    results.add(NAME, case, "last tenth", "of the first", last / first)
    results.add(NAME, case, "client CPU", "us/update", cost["cpu_s"] / count * 1e6)
    results.add(NAME, case, "database CPU", "us/update", cost["database_cpu_s"] / count * 1e6)
    results.add(NAME, case, "peak memory", "MB", cost["peak_kb"] / 1024)


def measure(lab, results, scale):
    count = scale.rows[1]
    behind = 200_000 if scale.quick else 10_000_000
    for _ in range(scale.large_runs if scale.quick else 3):
        one(lab, results, "nothing", count, contextlib.nullcontext())
        one(lab, results, "a held snapshot", count, snapshot(lab))
        one(lab, results, "a writer's open transaction", count, writer(lab))
        one(lab, results, "autovacuum off", count, no_autovacuum(lab))
    one(lab, results, f"{behind:,} settled rows behind", count, settled(lab, behind))
    free = results.median(NAME, "nothing", "updates/s")
    for case in results.cases(NAME):
        results.add(NAME, case, "of nothing", "",
                    results.median(NAME, case, "updates/s") / free)

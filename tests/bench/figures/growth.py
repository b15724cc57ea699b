"""Does an update cost more the longer the queue is? The first so many of a queue of each length."""

import signal

import harness
import lab as labs

NAME = "growth"
TITLE = "Time for each of the first updates, by the length of the queue"


def lengths(scale):
    return (10_000, 100_000) if scale.quick else (10_000, 100_000, 1_000_000, 10_000_000)


def case_of(length):
    return f"{length:,} pending"


def one(lab, results, length, count):
    lab.empty_outbox()
    lab.db.execute(
        "INSERT INTO imprint_sync.outbox (customer_id, payload) SELECT md5(n::text)::uuid,"
        " jsonb_build_object('email', 'customer.' || n || '@mail.example.com')"
        " FROM generate_series(1, %s) AS n", length)
    lab.db.execute("ANALYZE imprint_sync.outbox")
    lab.db.execute("CHECKPOINT")
    answerer = labs.Answerer(lab.new_folder())
    config = lab.config(answerer.url)
    cpu = lab.database_cpu()
    run = labs.Run([harness.imprint_sync(), "-c", str(config.file), "run"],
                   config.folder / "daemon.log")
    try:
        arrivals = harness.wait_until(
            lambda: (lambda got: got if len(got) >= count else None)(answerer.arrivals()),
            "enough are sent", 300)
        used = run.cpu()
        database = lab.database_cpu() - cpu
    finally:
        run.process.send_signal(signal.SIGTERM)
        cost = run.result()
        answerer.stop()
    sent = len(arrivals)
    seconds = (arrivals[-1][0] - arrivals[0][0]) / 1e9
    results.add(NAME, case_of(length), "time", "us/update", seconds / sent * 1e6)
    results.add(NAME, case_of(length), "client CPU", "us/update", used / sent * 1e6)
    results.add(NAME, case_of(length), "database CPU", "us/update", database / sent * 1e6)
    results.add(NAME, case_of(length), "peak memory", "MB", cost["peak_kb"] / 1024)


def measure(lab, results, scale):
    for length in lengths(scale):
        for _ in range(scale.runs if length <= 1_000_000 else 3):
            one(lab, results, length, 8_000)


def plot(results):
    cases = [(int(case.split()[0].replace(",", "")), case) for case in results.cases(NAME)]
    return {"growth": ("lines", "microseconds for each update", {
        "x": "pending rows", "log_x": True,
        "series": {q: [(n, results.median(NAME, case, q)) for n, case in cases]
                   for q in ("time", "client CPU", "database CPU")}})}

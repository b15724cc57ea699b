"""Is the limit kept, and used? Counted in every window of the server's own log."""

import time

import harness
import lab as labs

NAME = "rate"
TITLE = "The rate limit with a backlog: mean of the limit, and the fullest windows of the allowed"
WINDOWS_S = (0.1, 1, 10)


def fullest(times_ns, window_s):
    """The largest number of requests in any window of this length."""
    most, first = 0, 0
    for last, at in enumerate(times_ns):
        while times_ns[first] <= at - window_s * 1e9:
            first += 1
        most = max(most, last - first + 1)
    return most


def adverse(daemons, rate):
    """The worst start: one is killed and another begins while all the buckets are full."""
    time.sleep(1)  # part of the load, nothing is waited for
    daemons[0].kill()
    daemons[0].start(wait=False)


def one(lab, results, rate, instances, seconds, is_adverse):
    burst = max(10, rate // 10)
    lab.empty_outbox()
    lab.add_rows("thin", min(lab.customers, int(rate * (seconds + 5))))
    answerer = labs.Answerer(lab.new_folder())
    daemons = [harness.Daemon(lab.config(answerer.url, {
        "delivery": {"rate": f"{rate}/s", "burst": burst, "workers": 64},
        "outbox": {"lease": "30s"}})) for _ in range(instances)]
    try:
        for daemon in daemons:
            daemon.start(wait=False)
        if is_adverse:
            adverse(daemons, rate)
        harness.wait_until(answerer.arrivals, "the first request", 120)
        time.sleep(seconds)
    finally:
        for daemon in daemons:
            if daemon.process is not None:
                daemon.stop()
        times = sorted(at for at, _ in answerer.arrivals())
        answerer.stop()
    case = f"{rate}/s, {instances} instance{'s' if instances > 1 else ''}" \
        + (", one killed" if is_adverse else "")
    # From the second second on: a bucket begins empty, and slots are shared out first.
    steady = [t for t in times if t > times[0] + 2e9 and t <= times[0] + seconds * 1e9]
    if not is_adverse:
        results.add(NAME, case, "mean", "of the limit",
                    (len(steady) - 1) / ((steady[-1] - steady[0]) / 1e9) / rate)
    for window_s in WINDOWS_S:
        results.add(NAME, case, f"{window_s} s", "of rate*t + burst",
                    fullest(times, window_s) / (rate * window_s + burst))


def measure(lab, results, scale):
    seconds = 12 if scale.quick else 60
    for rate in (10, 100, 1000):
        for instances in (1, 3):
            one(lab, results, rate, instances, seconds, False)
    one(lab, results, 100, 3, seconds, True)

"""Answers that take 200 ms: does everything wait at the same time? Ideal is workers / latency."""

import lab as labs

NAME = "far"
TITLE = "Answers after 200 ms: updates a second against workers / 0.2 s"
DELAY_MS = 200
WORKERS = (16, 64, 256, 1024)  # 1024 is the most that delivery.workers takes


def steady_rate(arrivals):
    """Requests a second between the first fifth and the last."""
    times = [at for at, _ in arrivals]
    first, last = len(times) // 5, len(times) * 4 // 5
    return (last - first) / ((times[last] - times[first]) / 1e9)


def one(lab, workers, seconds):
    """(updates/s, client CPU us/update)"""
    count = int(workers / (DELAY_MS / 1000) * seconds)
    lab.empty_outbox()
    lab.add_rows("application", count)
    answerer = labs.Answerer(lab.new_folder(), DELAY_MS)
    try:
        config = lab.config(answerer.url, {"delivery": {"workers": workers}})
        cost = lab.once(config)
        return steady_rate(answerer.arrivals()), cost["cpu_s"] / count * 1e6
    finally:
        answerer.stop()


def bare(lab, workers, seconds):
    answerer = labs.Answerer(lab.new_folder(), DELAY_MS)
    try:
        lab.limit("plain", int(workers / (DELAY_MS / 1000) * seconds), workers, answerer.url)
        return steady_rate(answerer.arrivals())
    finally:
        answerer.stop()


def measure(lab, results, scale):
    seconds = 3 if scale.quick else 10
    for _ in range(scale.runs):
        for workers in WORKERS:
            ideal = workers / (DELAY_MS / 1000)
            case = f"{workers} workers"
            speed, cpu = one(lab, workers, seconds)
            results.add(NAME, case, "updates/s", "1/s", speed)
            results.add(NAME, case, "of the ideal", "", speed / ideal)
            results.add(NAME, case, "bare libcurl", "of the ideal",
                        bare(lab, workers, seconds) / ideal)
            results.add(NAME, case, "client CPU", "us/update", cpu)


def plot(results):
    series = {name: [(workers, results.median(NAME, f"{workers} workers", quantity))
                     for workers in WORKERS]
              for name, quantity in (("imprint-sync", "of the ideal"),
                                     ("bare libcurl", "bare libcurl"))}
    return {"far": ("lines", "achieved of workers / 0.2 s",
                    {"x": "workers", "log_x": True, "series": series})}

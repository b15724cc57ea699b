"""HTTP/1.1 with a connection for each request in flight, or HTTP/2 with one for many: which costs
less, and does one of them make requests wait? By latency and number of workers, over TLS."""

import harness
import lab as labs
from figures.far import steady_rate

NAME = "http"
TITLE = "HTTP/1.1 against HTTP/2, over TLS: CPU of an update, and the share of workers / latency"
LATENCIES_MS = (0, 20, 200)
WORKERS = (16, 64, 256)
WAYS = {"1.1": "tls", "2": "http2"}
MOST = 20_000  # updates of one measurement


def count_of(latency_ms, workers, seconds):
    return min(MOST, int(workers / max(latency_ms, 5) * 1000 * seconds))


def one(lab, version, latency_ms, workers, seconds):
    """(share of workers / latency, or None without latency; client CPU us/update)

    CPU is that between the first third and the last tenth: in life a connection is made once for
    very many requests, here it would be most of the cost of a slow case."""
    count = count_of(latency_ms, workers, seconds)
    lab.empty_outbox()
    lab.add_rows("application", count)
    answerer = labs.Answerer(lab.new_folder(), latency_ms)
    nginx = labs.Nginx(lab.new_folder(), answerer.port)
    try:
        way = WAYS[version]
        config = lab.config(f"{nginx.url(way)}/far", {
            "imprint": {"http_version": version}, "delivery": {"workers": workers}},
            nginx.ca_file(way))
        run = labs.Run([harness.imprint_sync(), "-c", str(config.file), "run", "--once"],
                       config.folder / "daemon.log")
        begin, end = (reached(nginx, run, count * part // 30) for part in (10, 27))
        run.result()
        ideal = workers / latency_ms * 1000 if latency_ms else None
        share = steady_rate(answerer.arrivals()) / ideal if ideal else None
        return share, (end[1] - begin[1]) / (end[0] - begin[0]) * 1e6
    finally:
        nginx.stop()
        answerer.stop()


def reached(nginx, run, count):
    """(requests, CPU seconds) as soon as there were so many requests."""
    harness.wait_until(lambda: nginx.count() >= count, "it sends", 120)
    return nginx.count(), run.cpu()


def case_of(latency_ms, workers):
    return f"{latency_ms} ms, {workers} workers"


def measure(lab, results, scale):
    seconds = 2 if scale.quick else 5
    for _ in range(scale.runs):
        for latency_ms in LATENCIES_MS:
            for workers in WORKERS:
                case = case_of(latency_ms, workers)
                for version in WAYS:
                    share, cpu = one(lab, version, latency_ms, workers, seconds)
                    results.add(NAME, case, f"CPU, HTTP/{version}", "us/update", cpu)
                    if share is not None:
                        results.add(NAME, case, f"of the ideal, HTTP/{version}", "", share)
    for latency_ms in LATENCIES_MS:
        for workers in WORKERS:
            case = case_of(latency_ms, workers)
            first, second = (results.median(NAME, case, f"CPU, HTTP/{v}") for v in WAYS)
            results.add(NAME, case, "CPU, HTTP/2 to 1.1", "", second / first)


def plot(results):
    series = {f"{latency_ms} ms": [
        (workers, results.median(NAME, case_of(latency_ms, workers), "CPU, HTTP/2 to 1.1"))
        for workers in WORKERS] for latency_ms in LATENCIES_MS}
    return {"http": ("lines", "CPU of HTTP/2 to that of HTTP/1.1",
                     {"x": "workers", "log_x": True, "series": series})}

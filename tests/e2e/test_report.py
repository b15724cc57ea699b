"""`report`: a page of charts from a real log, with an outage in it; and from logs of any kind."""

import html.parser
import json
import re
import resource
import subprocess
import xml.etree.ElementTree as xml

import pytest

import harness
from harness import email, imprint_sync, new_customer

VOID = {"meta", "link", "br", "hr", "img"}
SVG = "{http://www.w3.org/2000/svg}"


class Page(html.parser.HTMLParser):
    """A page whose elements are all closed; its texts, and what it would load."""

    def __init__(self, text):
        super().__init__()
        self.open, self.loads, self.texts, self.names = [], [], [], set()
        self.feed(text)
        self.close()
        assert self.open == []
        self.text = re.sub(r"\s+", " ", " ".join(self.texts))
        self.charts = {svg.get("aria-label"): svg for svg in
                       map(xml.fromstring, re.findall(r"<svg.*?</svg>", text, re.S))}

    def handle_starttag(self, tag, attributes):
        self.names.add(tag)
        self.loads += [value for name, value in attributes if name in ("src", "href", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def rows(self):
        return [row for chart in self.charts.values() for row in chart]


def report(*files, text=""):
    run = subprocess.run([imprint_sync(), "report", *map(str, files)], input=text, timeout=60,
                         capture_output=True, encoding="utf-8", check=False)
    assert not harness.SANITIZER.search(run.stderr), run.stderr
    return run


def page(*files, text=""):
    run = report(*files, text=text)
    assert (run.returncode, run.stderr) == (0, ""), run.stderr
    return Page(run.stdout)


def tile(read, label):
    """The number above a label."""
    return int(re.search(rf"([\d,]+) +{label}", read.text)[1].replace(",", ""))


def bands(read):
    return [re.match(r"band s-(\w+)", rect.get("class"))[1]
            for rect in read.charts["The way to Imprint"].findall(f"{SVG}rect")]


@pytest.fixture(scope="module")
def outage_log(cluster, tmp_path_factory):
    """Of a daemon that sent, met an outage, sent again, and gave up rows."""
    folder = tmp_path_factory.mktemp("outage")
    database = cluster.new_database()
    sandbox = harness.Sandbox(folder).start()
    daemon = harness.Daemon(harness.Config(folder, {
        "database": {"dsn": database.dsn()}, "imprint": {"base_url": sandbox.url},
        "log": {"stats_interval": "200ms"}}))
    try:
        daemon.start()
        for customer in (new_customer() for _ in range(20)):
            database.add(customer, email(customer))
        database.wait_drained()
        daemon.wait_event("stats", ok=20)
        sandbox.faults("status=503,shape=1")
        for customer in (new_customer() for _ in range(10)):
            database.add(customer, email(customer))
        daemon.wait_event("api.down")
        daemon.wait_event("stats", paused="down")
        sandbox.faults()
        daemon.wait_event("api.up")
        database.wait_drained()
        database.wait_settled(database.add(new_customer(), {"email": "no address"}))
        sandbox.faults("status=422,shape=1,type=INVALID_REQUEST_ERROR,param=email")
        customer = new_customer()
        database.wait_settled(database.add(customer, email(customer)))
        sandbox.faults()
        daemon.wait_event("stats", ok=30, pending=0, dead=2)
        assert daemon.stop() == 0
        yield daemon
    finally:
        daemon.stop()
        sandbox.stop()
        database.drop()


def test_a_real_log_becomes_one_page(outage_log):
    read = page(outage_log.log_file)
    stats = outage_log.events("stats")[-1]
    assert tile(read, "requests sent") == int(stats["sent"])
    assert tile(read, "accepted") == 30
    assert tile(read, "retried") == int(stats["retried"])
    assert tile(read, "rows died") == 2
    assert "INVALID_REQUEST_ERROR, email" in read.text
    assert "open to down" in read.text and "down to open" in read.text
    assert "down" in bands(read)  # the worst of each second
    assert re.search(r"open, [\d.]+ s", read.text) and re.search(r"down, [\d.]+ s", read.text)
    assert f"from {len(outage_log.log().splitlines())} lines" in read.text
    assert "no lines of its log" not in read.text
    assert len(read.charts) == 7, read.charts.keys()


def test_the_page_needs_nothing_else(outage_log):
    text = report(outage_log.log_file).stdout
    read = Page(text)
    assert read.loads == [] and not read.names & {"script", "link", "iframe", "img", "object"}
    assert "url(" not in text and "@import" not in text
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"] * len(read.charts)
    assert "prefers-color-scheme:dark" in text and "@media print" in text


def test_no_customer_is_on_the_page(outage_log):
    text = report(outage_log.log_file).stdout
    named = {event["customer_id"] for event in outage_log.events() if "customer_id" in event}
    assert len(named) >= 32
    assert not any(customer in text for customer in named)
    assert "example.com" not in text and harness.KEY not in text


def without_foot(text):
    return re.sub(r"Made by .*? log", "", text, flags=re.S)


def test_every_way_to_the_log_makes_the_same_page(outage_log, tmp_path):
    """As a file, through a pipe, as JSON, and as both forms that journalctl -o json has."""
    expected = without_foot(report(outage_log.log_file).stdout)
    lines = outage_log.log().splitlines()
    assert without_foot(report(text=outage_log.log()).stdout) == expected
    assert without_foot(report("-", text=outage_log.log()).stdout) == expected
    as_json = [json.dumps(harness.parse_line(line)) for line in lines]
    assert without_foot(report(text="\n".join(as_json)).stdout) == expected
    journal = [json.dumps({"__REALTIME_TIMESTAMP": "1", "_PID": "7", "MESSAGE": line})
               for line in lines]
    assert without_foot(report(text="\n".join(journal)).stdout) == expected


def test_the_journal_s_own_fields(tmp_path):
    def entry(at_s, **fields):
        return json.dumps({"__REALTIME_TIMESTAMP": str((1772600767 + at_s) * 10**6),
                           "PRIORITY": "6", **fields})

    read = page(text="\n".join([
        entry(0, EVENT="daemon.start", VERSION="1"),
        entry(60, EVENT="stats", SENT="10", OK="7", PAUSED="no", PENDING="4"),
        entry(61, MESSAGE="Stopped imprint-sync.service."),
        entry(62, EVENT="update.dead", CUSTOMER_ID="c-1", ROWS="3", TYPE="T", PARAM="p")]))
    assert tile(read, "requests sent") == 10 and tile(read, "accepted") == 7
    assert tile(read, "rows died") == 3 and "c-1" not in read.text
    assert "1 of these were no lines of its log (the first: 3)" in read.text


LINE = "2026-03-04T05:06:{:02}.000Z info {}\n"


def test_bad_lines_are_counted_and_told():
    read = page(text=LINE.format(0, "daemon.start") + "Traceback\n\x00\xff\n" + "x" * 200000 + "\n"
                + LINE.format(1, "stats sent=3") + LINE.format(2, "stats sent=5")[:-2])
    assert "from 6 lines; 4 of these were no lines of its log (the first: 2)" in read.text
    assert tile(read, "requests sent") == 3


def test_whatever_a_line_says_is_text():
    run = report(text=LINE.format(1, 'update.dead rows=1 reason="<script>alert(1)</script>&amp;"')
                 + LINE.format(2, 'db.lost reason="\\u003cimg src=x\\u003e \\u001b[2J"'))
    read = Page(run.stdout)
    assert "<script>alert(1)</script>&amp;" in read.text and "<img src=x> ?[2J" in read.text
    assert not read.names & {"script", "img"} and "\x1b" not in run.stdout


def test_two_daemons_each_with_its_own_counters(tmp_path):
    (tmp_path / "a").write_text(LINE.format(0, "daemon.start") + LINE.format(20, "stats sent=100"))
    (tmp_path / "b").write_text(LINE.format(5, "stats sent=140") + LINE.format(25, "stats sent=170"))
    read = page(tmp_path / "a", tmp_path / "b")
    assert tile(read, "requests sent") == 130 and "4 lines of 2 logs" in read.text


def test_what_cannot_be_read_is_said(tmp_path):
    run = report(tmp_path / "absent")
    assert (run.returncode, run.stdout) == (1, "")
    assert f"{tmp_path}/absent cannot be opened: No such file" in run.stderr
    run = report(tmp_path)
    assert run.returncode == 1 and f"{tmp_path} cannot be read: Is a directory" in run.stderr
    run = report(text="Jan 01 host app: hello\n")
    assert (run.returncode, run.stdout) == (65, "")
    assert "no line of imprint-sync's log among 1 read" in run.stderr
    with open("/dev/full", "w") as full:
        run = subprocess.run([imprint_sync(), "report"], input=LINE.format(1, "stats"), text=True,
                             stdout=full, stderr=subprocess.PIPE, timeout=30, check=False)
    assert run.returncode == 1 and "the page cannot be written: No space left" in run.stderr


def test_other_commands_take_no_words_and_help_may_follow_them():
    run = subprocess.run([imprint_sync(), "version", "x"], capture_output=True, text=True,
                         timeout=30, check=False)
    assert run.returncode == 64 and "unexpected word: x" in run.stderr
    run = report("some.log", "--help")
    assert run.returncode == 0 and "report [OPTION...] [FILE...]" in run.stdout


def test_a_long_log_takes_no_more_memory(tmp_path):
    """400,000 lines over three years: read as they come, drawn in at most 480 buckets."""
    log = tmp_path / "long.log"
    with open(log, "w") as file:
        for day in range(1000):
            date = f"{2023 + day // 336}-{day % 336 // 28 + 1:02}-{day % 28 + 1:02}"
            for minute in range(400):
                file.write(f"{date}T{minute // 60:02}:{minute % 60:02}:00.000Z info stats"
                           f" sent={day * 400 + minute} ok=1 pending=5 paused=no\n")

    def limit():
        resource.setrlimit(resource.RLIMIT_DATA, (64 << 20, 64 << 20))

    sanitized = b"__asan_init" in open(imprint_sync(), "rb").read()
    run = subprocess.run([imprint_sync(), "report", log], capture_output=True, text=True, timeout=60,
                         preexec_fn=None if sanitized else limit, check=False)
    assert run.returncode == 0, run.stderr
    read = Page(run.stdout)
    assert tile(read, "requests sent") == 399999
    assert len(run.stdout) < 1 << 20

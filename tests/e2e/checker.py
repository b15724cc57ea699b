"""Asserts the invariants of a run from what was written down: the journal of the sandbox and the
database. Nothing here asks the daemon."""

import bisect
import collections
import itertools
import json
import re

import jsonschema
import yaml

import harness

CONTRACT = harness.TOP / "tests/contract/imprint-openapi.yaml"
WINDOWS_S = (0.1, 0.5, 1, 5)
NS = 10**9
HELD_UP_S = 0.1


def check_settled(db, count=None):
    """I1: every row is done or dead, and the dead say why. `count`: rows that were written."""
    rows = db.rows()
    assert count is None or len(rows) == count, f"{len(rows)} rows instead of {count}"
    for row in rows:
        assert row["status"] in ("done", "dead"), row
        assert row["settled_at"] is not None, row
        assert row["status"] != "dead" or row["error"], row


def check_no_overlap(journal):
    """I2: a customer's next request starts after the one before has ended."""
    last = {}
    for entry in journal:
        customer = entry["customer"].lower()
        before = last.get(customer)
        assert before is None or entry["start_ns"] >= before["end_ns"], (
            f"requests {before['seq']} and {entry['seq']} of {customer} overlap")
        last[customer] = entry


def check_newest(sandbox, expected):
    """I2: what Imprint holds is the newest state. `expected`: {customer: state}."""
    found = sandbox.customers()
    for customer, state in expected.items():
        record = found.get(customer.lower())
        assert record is not None, f"nothing was accepted for {customer}"
        assert record["state"] == state, f"{customer}: {record['state']} instead of {state}"


def worst_windows(starts):
    """{window in seconds: the most requests in any window of that length}."""
    starts = sorted(starts)
    worst = dict.fromkeys(WINDOWS_S, 0)
    for window_s in WINDOWS_S:
        first = 0
        for last, start in enumerate(starts):
            while start - starts[first] >= window_s * NS:
                first += 1
            worst[window_s] = max(worst[window_s], last - first + 1)
    return worst


def allowed(window_s, rate_per_s, burst):
    """I4: at most rate * t + burst requests *leave* in any window of t seconds. The journal has
    their arrivals: of those that arrive in t seconds none left more than HELD_UP_S earlier, so all
    of them left within t + HELD_UP_S. That is so long because a busy machine lets the sandbox, or
    a daemon between the token and the socket, wait for a processor."""
    return rate_per_s * (window_s + HELD_UP_S) + burst


def check_rate(journal, rate_per_s, burst):
    for window_s, inside in worst_windows(entry["start_ns"] for entry in journal).items():
        most = allowed(window_s, rate_per_s, burst)
        assert inside <= most, f"{inside} requests in {window_s} s, {most:.1f} are allowed"


def check_done_means_accepted(db, journal):
    """I6: for each done row Imprint accepted a request of its customer after it was written,
    unless it says `unchanged`."""
    accepted = {}
    for entry in journal:
        if entry["status"] in range(200, 300) and entry["applied"]:
            key = entry["customer"].lower()
            accepted[key] = max(accepted.get(key, 0), entry["wall_ns"])
    for row in db.rows():
        if row["status"] == "done" and row["error"] != "unchanged":
            assert row["http_status"] is None or row["http_status"] in range(200, 300), row
            when = accepted.get(row["customer_id"].lower(), 0) / NS
            assert when >= row["created_at"].timestamp() - 0.001, f"done, but not accepted: {row}"


def is_date_time(text):
    return re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", text) is not None


def contract_validator():
    document = yaml.safe_load(CONTRACT.read_text())
    formats = jsonschema.FormatChecker(())
    formats.checks("email")(lambda text: re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", text) is not None)
    formats.checks("date-time")(is_date_time)
    schema = {"$ref": "#/components/schemas/CustomerUpdate", "components": document["components"]}
    return jsonschema.Draft202012Validator(schema, format_checker=formats)


def check_contract(journal):
    """Every body is one that the contract allows."""
    validator = contract_validator()
    for entry in journal:
        errors = [error.message for error in validator.iter_errors(entry["body"])]
        assert not errors, f"request {entry['seq']}: {errors}"


def check_all(db, sandbox, rate_per_s=1000, burst=100, rows=None, expected=None):
    sandbox.control("GET", "stats")  # answered when all that ended is in the journal
    journal = sandbox.journal()
    check_settled(db, rows)
    check_no_overlap(journal)
    check_rate(journal, rate_per_s, burst)
    check_done_means_accepted(db, journal)
    check_contract(journal)
    check_newest(sandbox, expected or {})


def leaks(text, values, secrets=()):
    """Which of the customers' values and secrets stand in a log. Short ones and those that are
    also words of the log itself say nothing."""
    found = [secret for secret in secrets if secret in text]
    for value in values:
        word = str(value)
        if len(word) >= 5 and re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text):
            found.append(word)
    return found


# ---- a whole run of tests/chaos --------------------------------------------------------------
#
# One pass over journal, outbox, ledger and logs, n log n in their length. Each function yields a
# line for each violation, which begins with the invariant's name.

COUNTERS = ("version", "address_version", "orders_version")
# Answers that do not tell the client that its update was accepted, although their status is 200.
SPOILT = {"reset", "hang", "cut", "other-id", "not-json", "huge", "empty"}
# The word of a fault that hits everybody: no row's own.
OUTAGE = "type=outage"
# Clocks of one machine, read through numbers of different precision.
TICK_NS = 10**6

# Times in ns since the epoch; `applied` is 0 if the update was not.
Request = collections.namedtuple(
    "Request", "start end applied customer status aborted fault sha body")

# A row of the outbox; `customer` in lower case, times in ns since the epoch.
Row = collections.namedtuple(
    "Row", "id customer status attempts http_status error created settled payload")

# A time of trouble that is no row's fault: so many customers may be charged for it once each.
Trouble = collections.namedtuple("Trouble", "start end charged what")


def read_journal(file):
    """The requests in the order of their arrival. Over restarts of the sandbox, so by time."""
    requests = []
    with open(file, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            entry = json.loads(line)
            shift = entry["wall_ns"] - entry["start_ns"]
            requests.append(Request(
                entry["wall_ns"], entry["end_ns"] + shift,
                entry["applied_ns"] + shift if entry["applied"] else 0,
                entry["customer"].lower(), entry["status"], entry["aborted"], entry["fault"] or "",
                entry["body_sha256"], entry["body"]))
    return sorted(requests)


def is_accepted(request):
    """An answer that says so was sent. Where the client left just then (aborted), or its patience
    ended (slow), it may have got it or not."""
    return (request.applied > 0 and request.status in range(200, 300)
            and SPOILT.isdisjoint(request.fault.split(",")))


def counters_of(body):
    metadata = body.get("metadata", {})
    return {name: int(metadata[name]) for name in COUNTERS if name in metadata}


def merge(state, body):
    """What Imprint holds after an update: objects by member, everything else replaced."""
    for name, value in body.items():
        if isinstance(value, dict):
            merge(state.setdefault(name, {}), value)
        else:
            state[name] = value


class History:
    """One customer's requests, in order."""

    def __init__(self):
        self.requests = []
        self.applied = []       # requests, in the order in which they were applied
        self.accepted_at = []   # when the answer was there, of those with a believable one
        self.accepted = []      # (request, the highest counters so far)
        self.failed_at = []     # when those began that may have cost an attempt

    @classmethod
    def of_all(cls, requests, slow_ns):
        """{customer: History}. An answer later than slow_ns may have been too late for its client."""
        histories = collections.defaultdict(cls)
        for request in requests:
            histories[request.customer].add(request, slow_ns)
        for history in histories.values():
            history.applied.sort(key=lambda r: r.applied)
        return histories

    def add(self, request, slow_ns):
        self.requests.append(request)
        if request.applied > 0:
            self.applied.append(request)
        accepted = is_accepted(request)
        if accepted:
            highest = dict(self.accepted[-1][1]) if self.accepted else {}
            for name, value in counters_of(request.body).items():
                highest[name] = max(highest.get(name, 0), value)
            self.accepted_at.append(request.applied)
            self.accepted.append((request, highest))
        if not accepted or request.aborted or request.end - request.start > slow_ns:
            if request.status != 401 and OUTAGE not in request.fault.split(","):
                self.failed_at.append(request.start)

    def last_accepted(self, before):
        """(request, highest counters) of the last one whose update was applied before."""
        place = bisect.bisect_right(self.accepted_at, before)
        return self.accepted[place - 1] if place > 0 else None

    def last_begun(self, before):
        place = bisect.bisect_right(self.requests, before, key=lambda r: r.start)
        return self.requests[place - 1] if place > 0 else None

    def failures(self, after, before):
        return (bisect.bisect_right(self.failed_at, before)
                - bisect.bisect_left(self.failed_at, after))


def end_of(request, timeout_ns):
    """When a request can do nothing more. The sandbox ends it when the answer is written or the
    client has left, and applies a late update although the client has left: all that counts. Only
    where the sandbox itself waits for the client to leave (hang, applied long before) a client that
    was stopped would stay for ever: it counts until its client, awake, would have left."""
    if "hang" in request.fault.split(","):
        return min(request.end, request.start + timeout_ns)
    return request.end


def overlaps(histories, timeout_ns):
    for customer, history in histories.items():
        end, before = 0, None
        for request in history.requests:
            if request.start < end:
                yield (f"I2: two requests of {customer} overlap by {(end - request.start) / NS:.6f}"
                       f" s: {before} and {request}")
            if end_of(request, timeout_ns) > end:
                end, before = end_of(request, timeout_ns), request


def regressions(histories):
    for customer, history in histories.items():
        highest = {}
        for request in history.applied:
            for name, value in counters_of(request.body).items():
                if value < highest.get(name, 0):
                    yield (f"I2: {customer} went back from {name} {highest[name]} to {value}:"
                           f" {request}")
                highest[name] = max(highest.get(name, 0), value)


def stale_states(histories, expected):
    """expected: {customer: what Imprint must hold}."""
    for customer, wanted in expected.items():
        state = {}
        for request in histories[customer].applied:
            merge(state, request.body)
        if state != wanted:
            yield f"I2: Imprint holds {state} of {customer}, the newest is {wanted}"


def unsettled(rows, ledger, doomed):
    """ledger: {id: (customer, counter, value)} of rows that were certainly committed; doomed:
    {customer: what its dead rows must say}, all others must not die."""
    left = dict(ledger)
    for row in rows:
        known = left.pop(row.id, None)
        if known is not None and known[0] != row.customer:
            yield f"I1: row {row.id} was written for {known[0]}: {row}"
        if row.status not in ("done", "dead") or row.settled is None:
            yield f"I1: not settled: {row}"
        elif row.status == "dead" and not row.error:
            yield f"I1: dead without a reason: {row}"
        elif (row.status == "dead") != (row.customer in doomed):
            yield f"I1: {row.status}, and should not be: {row}"
        elif row.status == "dead" and doomed[row.customer] not in row.error:
            yield f"I1: dead for another reason: {row}"
    for row_id, known in left.items():
        yield f"I1: row {row_id} of {known[0]} was committed, and is gone"


def unaccepted(rows, histories, ledger):
    """I6 for each row that is done. `rows` in order of id."""
    later = {}  # customer -> when its next row was written
    for row in reversed(rows):
        if row.status == "done" and row.settled is not None:
            yield from unaccepted_row(row, histories[row.customer], ledger.get(row.id),
                                      later.get(row.customer))
        later[row.customer] = row.created


def unaccepted_row(row, history, known, next_created):
    last = history.last_accepted(row.settled + TICK_NS)
    if last is None:
        yield f"I6: done, and nothing was accepted: {row}"
        return
    request, highest = last
    if row.error == "unchanged":
        begun = history.last_begun(row.settled)
        if not is_accepted(begun):
            yield f"I6: unchanged, but the request before was {begun}: {row}"
        newest = next_created is None or next_created > row.settled
        if newest and row.payload is not None and not is_part(row.payload, request.body):
            yield f"I6: unchanged, but {request.body} was accepted last: {row}"
    elif request.start < row.created - TICK_NS:
        yield f"I6: done, and nothing was accepted since it was written: {row}"
    if known is not None and known[1] is not None and highest.get(known[1], 0) < known[2]:
        yield f"I6: done with {known[1]} {known[2]}, but {highest} was accepted: {row}"


def is_part(payload, body):
    """Are the payload's columns in the body? They have the names of their fields."""
    return all(body.get(name) == value for name, value in payload.items() if name not in COUNTERS)


def late_answers(log_files):
    """{customer: how often an answer came after the lease}."""
    late = collections.Counter()
    for file in log_files:
        with open(file, encoding="utf-8", errors="replace") as lines:
            late.update(found[1].lower() for line in lines
                        if (found := re.search(r" update\.late customer_id=(\S+)", line)))
    return late


def wrongly_charged(rows, histories, troubles, late=collections.Counter()):
    """I3: a row has at most the attempts for which its customer's requests failed in its time, and
    one more for each trouble that still has room for its customer. A late answer gives what is
    pending of its customer another number, which keeps it from being settled alone, and counts for
    nothing: an update's attempts are its rows' fewest."""
    troubles = sorted((t for t in troubles if t.charged), key=lambda t: t.end)
    charged = collections.defaultdict(set)
    last = max((t.end for t in troubles), default=0)
    # Who settled first chooses first, the trouble that ended first: so all find room if all can.
    for row in sorted((r for r in rows if r.attempts > 0), key=lambda r: r.settled or last):
        settled = row.settled or last
        own = histories[row.customer].failures(row.created, settled)
        missing = row.attempts - own - late[row.customer]
        for trouble in troubles:
            customers = charged[trouble]
            lived = trouble.start <= settled and trouble.end >= row.created
            if missing > 0 and lived and (
                    row.customer in customers or len(customers) < trouble.charged):
                customers.add(row.customer)
                missing -= 1
        if missing > 0:
            yield f"I3: {row.attempts} attempts, {own} failures, and no trouble explains it: {row}"


def too_fast(requests, rate_per_s, burst):
    for window_s, inside in worst_windows(r.start for r in requests).items():
        if inside > allowed(window_s, rate_per_s, burst):
            yield (f"I4: {inside} requests in {window_s} s,"
                   f" {allowed(window_s, rate_per_s, burst):.1f} are allowed")


def tattles(log_files, secrets):
    """I5: `secrets` are texts that stand in what is secret, and nowhere else."""
    search = re.compile("|".join(map(re.escape, secrets)), re.IGNORECASE)
    for file in log_files:
        with open(file, encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                if search.search(line):
                    yield f"I5: {file}:{number} says {search.search(line)[0]}"


def duplicates(histories):
    """Requests that sent once more what Imprint held already: the price of at least once."""
    return sum(a.sha == b.sha for history in histories.values()
               for a, b in itertools.pairwise(history.applied))


def complain(violations, most=10):
    """Raises an AssertionError with the first of each invariant, and their number."""
    by_name = collections.defaultdict(list)
    for line in violations:
        by_name[line.split(":")[0]].append(line)
    lines = [line for name in sorted(by_name)
             for line in [f"{name}: {len(by_name[name])} violations"] + by_name[name][:most]]
    assert not lines, "\n".join(lines)

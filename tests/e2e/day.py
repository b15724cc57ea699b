"""A day in the log of a daemon, for what reads logs: the same 24 hours each time.

Quiet nights and a noon peak; a deployment, a lost database, an outage of the API with the backlog
that it leaves, a throttle, a key that was withdrawn, a backfill, and rows that died.
"""

import datetime
import math
import random

START = datetime.datetime(2026, 3, 4, tzinfo=datetime.timezone.utc)
MINUTES = 24 * 60

# (first minute, last minute, state, event, reason): Imprint or the database is away.
AWAY = (
    (9 * 60 + 12, 9 * 60 + 17, "database", "db.lost", "connection refused"),
    (13 * 60 + 10, 13 * 60 + 58, "down", "api.down", "server_error"),
    (16 * 60 + 30, 16 * 60 + 33, "paused", "api.throttled", "throttled"),
    (19 * 60 + 5, 19 * 60 + 31, "unauthorized", "api.unauthorized", "unauthorized"),
)
DEAD = (("type=INVALID_REQUEST_ERROR param=email", 0.02), ('reason="phone: column mobile: not a phone number"', 0.01),
        ("type=CUSTOMER_NOT_FOUND", 0.004), ("reason=source.missing", 0.002))
RATE_LIMIT = 50.0


class Day:
    """The daemon's counters, and what it has said."""

    def __init__(self):
        self.chance = random.Random(6)
        self.lines = []
        self.total = dict.fromkeys(("sent", "ok", "unchanged", "retried", "failed", "throttled"), 0)
        self.pending, self.dead, self.waited_s = 0, 3, 0

    def say(self, minute, second, level, event, fields=""):
        at = START + datetime.timedelta(minutes=minute, seconds=second)
        stamp = f"{at:%Y-%m-%dT%H:%M:%S}.{self.chance.randrange(1000):03}Z"
        self.lines.append(f"{stamp} {level} {event} {fields}".rstrip())

    def start(self, minute, second):
        self.say(minute, second, "info", "daemon.start",
                 "version=0.1.0 instance=crm-1-4711 environment=production once=false")
        self.say(minute, second + 1, "info", "db.connect",
                 "server_version=150004 schema_version=1 source=ready")
        self.say(minute, second + 2, "info", "lease.acquire", "slots=64 held=64")
        self.say(minute, second + 2, "info", "daemon.ready", "slots=64")
        self.total = dict.fromkeys(self.total, 0)

    def stop(self, minute, second):
        self.say(minute, second, "info", "daemon.stopping", "reason=SIGTERM in_flight=2")
        self.say(minute, second + 1, "info", "daemon.stop", "reason=SIGTERM exit=0")

    def changes(self, minute):
        """How many customers change in a minute: few at night, most at noon."""
        day = math.sin(math.pi * max(0.0, min(1.0, (minute - 300) / 1020)))
        return int(self.chance.gauss(20 + 900 * day * day, 15 + 60 * day))

    def deliver(self, minute, allowed):
        arrived = max(0, self.changes(minute))
        took = min(self.pending + arrived, int(allowed * 60))
        self.pending += arrived - took
        retried = sum(self.chance.random() < 0.002 for _ in range(took))
        unchanged = took // 25
        self.total["sent"] += took - unchanged + retried
        self.total["ok"] += took - unchanged
        self.total["unchanged"] += unchanged
        self.total["retried"] += retried
        self.total["failed"] += retried
        # As the backlog is worked off from its oldest end, its age falls to nothing evenly.
        self.waited_s = 0 if not self.pending else max(60, self.waited_s - 60 * took // (arrived + 1) + 60)

    def deaths(self, minute):
        for reason, chance in DEAD:
            if self.chance.random() < chance:
                self.dead += 1
                self.say(minute, 40, "error", "update.dead",
                         f"customer_id={self.chance.randrange(16**8):08x}-0000-4000-8000-000000000000"
                         f" id={minute * 700} rows=1 attempts=1 {reason}")

    def stats(self, minute, state, rate):
        busy = 1 + self.pending / 20000
        p50 = self.chance.uniform(38, 52) * (1 if state == "no" else 60)
        lag = p50 * 2 + self.waited_s * 1000
        self.say(minute, 59, "info", "stats", " ".join([
            f"pending={self.pending} oldest_s={self.waited_s} due={self.pending} retrying=0 dead={self.dead}"
            f" in_flight={0 if state != 'no' else 2}", *(f"{key}={value}" for key, value in self.total.items()),
            f"rate_limit={RATE_LIMIT:.3f} rate={rate:.3f} p50_ms={p50:.3f} p95_ms={p50 * 2.2 * busy:.3f}"
            f" p99_ms={p50 * 4.1 * busy:.3f} lag_p50_ms={lag:.3f} lag_p99_ms={lag * 3:.3f} db_ms=3.100"
            f" slots=64 paused={state} xmin_age_s=2 rss_kb={18000 + minute}"]))

    def go_away(self, minute, event, state, reason):
        if event == "db.lost":
            self.say(minute, 4, "error", event, f'reason="{reason}" sqlstate=""')
        else:
            self.say(minute, 4, "warning", event, f"from=open to={state} reason={reason}"
                     f" detail={reason} probe_in_ms=1000")

    def come_back(self, minute, event, state):
        if event == "db.lost":
            self.say(minute, 20, "info", "db.connect", "server_version=150004 schema_version=1 source=ready")
        else:
            self.say(minute, 20, "info", "api.authorized" if state == "unauthorized" else "api.up",
                     f"from={state} to=open reason=probe detail=accepted")

    def pass_minute(self, minute):
        state, rate = "no", RATE_LIMIT
        for first, last, name, event, reason in AWAY:
            if minute == first:
                self.go_away(minute, event, name, reason)
            if minute == last:
                self.come_back(minute, event, name)
            if first <= minute < last:
                state, rate = name, 0.0
            elif event == "api.throttled" and last <= minute < last + 25:
                rate = RATE_LIMIT / 2 + minute - last
        if rate > 0:
            self.deliver(minute, rate)
            self.deaths(minute)
        else:
            self.pending += max(0, self.changes(minute))
            self.waited_s += 60
        if state == "down":
            self.total["sent"] += 1  # one probe at a time
            self.total["failed"] += 1
        self.stats(minute, state, rate)


def lines():
    day = Day()
    day.start(0, 1)
    for minute in range(MINUTES):
        if minute == 4 * 60 + 2:
            day.stop(minute, 0)
            day.start(minute, 4)
        if minute == 21 * 60:
            day.say(minute, 10, "info", "backfill.start", "name=2026-03 scope=all total=40000")
        if minute == 22 * 60 + 20:
            day.say(minute, 10, "info", "backfill.done", "name=2026-03 state=done reason=\"all done\""
                    " enqueued=40000 done=31000 unchanged=8998 dead=2 elapsed_s=4800")
        day.pass_minute(minute)
    return day.lines


if __name__ == "__main__":
    print("\n".join(lines()))

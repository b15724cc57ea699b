"""Several instances on one outbox: fair shares, hand-over, take-over, fencing (I2, I4)."""

import contextlib
import signal
import time

import pytest

import checker
import harness
from harness import email, new_customer, wait_until

SHORT = {"imprint": {"timeout": "500ms", "connect_timeout": "500ms"}, "outbox": {"lease": "2s"}}
FULL = 64


@contextlib.contextmanager
def instances(db, sandbox, tmp_path, count, changes=None, start=True):
    """`count` daemons on one outbox, each with a folder of its own."""
    daemons = []
    for i in range(count):
        folder = tmp_path / f"instance-{i}"
        folder.mkdir()
        config = harness.Config(folder, harness.merged(
            {"database": {"dsn": db.dsn()}, "imprint": {"base_url": sandbox.url}}, changes or {}))
        daemons.append(harness.Daemon(config))
    try:
        for daemon in daemons if start else []:
            daemon.start()
        yield daemons
    finally:
        for daemon in daemons:
            if daemon.process is not None:
                daemon.process.send_signal(signal.SIGCONT)
            code = daemon.stop()
            assert code in (None, 0), daemon.log()[-3000:]


def holders(db):
    """{instance: number of slots}; None: free."""
    return {row["holder"]: row["n"] for row in db.query(
        "SELECT holder, count(*) AS n FROM imprint_sync.lease GROUP BY 1")}


def wait_shares(db, *shares):
    wait_until(lambda: sorted(holders(db).values()) == sorted(shares) and None not in holders(db),
               f"shares {shares}, not {holders(db)}")


def identity(daemon):
    return daemon.events("daemon.start")[-1]["instance"]


def keep_writing(db, seconds, customers):
    """One row for one customer after the other."""
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        customer = customers[count % len(customers)]
        db.add(customer, {"email": f"v{count}@example.com"})
        count += 1
        time.sleep(0.005)
    return count


def longest_pause(journal, since_ns):
    """Between two arrivals, in seconds."""
    starts = [since_ns] + sorted(e["start_ns"] for e in journal if e["start_ns"] > since_ns)
    return max((b - a for a, b in zip(starts, starts[1:])), default=0) / 1e9


def test_a_second_instance_gets_half_and_the_others_go_on(db, sandbox, tmp_path):
    # The leases are so long that nothing here can come of one running out.
    changes = {"outbox": {"lease": "10m"}, "delivery": {"rate": "1000/s", "burst": 100}}
    customers = [new_customer() for _ in range(100)]
    with instances(db, sandbox, tmp_path, 2, changes, start=False) as (first, second):
        first.start()
        wait_shares(db, 64)
        keep_writing(db, 0.5, customers)
        second.start()
        keep_writing(db, 1.5, customers)
        wait_shares(db, 32, 32)
        keep_writing(db, 1, customers)
        # Stopping hands over at once, of either.
        first.stop()
        wait_shares(db, 64)
        assert holders(db) == {identity(second): 64}
        keep_writing(db, 0.5, customers)
        db.wait_drained()
        assert not first.events("lease.lost") and not second.events("lease.lost")
    checker.check_all(db, sandbox, rate_per_s=1000, burst=100)
    # Nothing waited for a lease to end, by far.
    assert longest_pause(sandbox.journal(), sandbox.journal()[0]["start_ns"]) < 60


def test_three_instances_share_and_beyond_the_burst_they_stand_by(db, sandbox, tmp_path):
    changes = {"delivery": {"burst": 3}, "outbox": {"lease": "10m"}}  # at least 22 slots each
    with instances(db, sandbox, tmp_path, 3, changes) as daemons:
        wait_shares(db, 32, 32)
        standby = [d for d in daemons if identity(d) not in holders(db)]
        assert len(standby) == 1
        for _ in range(20):
            db.add(new_customer(), email(new_customer()))
        db.wait_drained()
        # One leaves: the one that stood by steps in.
        next(d for d in daemons if d is not standby[0]).stop()
        wait_until(lambda: holders(db).get(identity(standby[0])) == 32, "the third one steps in")


def test_a_reload_of_the_burst_moves_the_slots(db, sandbox, tmp_path):
    with instances(db, sandbox, tmp_path, 2, {"outbox": {"lease": "10m"}}) as (first, second):
        wait_shares(db, 32, 32)
        for daemon in first, second:  # one whole token needs all 64 now
            daemon.config.change({"delivery": {"burst": 1}})
            daemon.process.send_signal(signal.SIGHUP)
            daemon.wait_event("daemon.reload")
        wait_shares(db, 64)


def test_after_kill_9_the_slots_move_when_the_lease_ends(db, sandbox, tmp_path):
    with instances(db, sandbox, tmp_path, 2, SHORT) as (first, second):
        wait_shares(db, 32, 32)
        first.kill()
        # By the other's own watch: not before it has seen them unchanged for a full lease.
        row = db.add(new_customer(), email(new_customer()))
        wait_until(lambda: holders(db) == {identity(second): 64}, "all slots are the other's")
        db.wait_settled(row)
        # The dead one is struck off the list.
        wait_until(lambda: db.value("SELECT count(*) FROM imprint_sync.instance") == 1,
                   "one instance is listed")
    checker.check_all(db, sandbox)


def test_one_stopped_past_its_lease_wakes_up_harmless(db, sandbox, tmp_path):
    customers = [new_customer() for _ in range(40)]
    with instances(db, sandbox, tmp_path, 2, SHORT) as (first, second):
        wait_shares(db, 32, 32)
        sandbox.faults("delay=300")
        for round_number in range(3):
            for customer in customers:
                db.add(customer, {"email": f"r{round_number}-{customer[:8]}@example.com"})
            wait_until(lambda: len(sandbox.journal()) > 20 * round_number, "requests")
            first.process.send_signal(signal.SIGSTOP)
            wait_until(lambda: holders(db).get(identity(second)) == 64, "the other takes over")
            first.process.send_signal(signal.SIGCONT)
            wait_until(lambda: len(first.events("lease.lost")) > round_number, "it notices")
            wait_until(lambda: is_shared_again(db), "both send again")
        sandbox.faults()
        db.wait_drained()
    checker.check_all(db, sandbox)
    for customer in customers:
        assert sandbox.state(customer)["email"].startswith("r2-")


def is_shared_again(db):
    # What timed out while it slept may have closed its pool: it needs a customer to try with.
    db.add(new_customer(), email(new_customer()))
    return sorted(holders(db).values()) == [32, 32]


@pytest.mark.parametrize("rows, source", (("thin", True), ("own", True), ("own", False)))
def test_a_late_answer_sends_the_newest_state_once_more(db, sandbox, tmp_path, rows, source):
    """Also of a customer whose rows the application writes, and whom the source does not know."""
    def change(address):
        if rows == "thin":
            db.execute("UPDATE crm.customers SET email = %s", address)
        else:
            db.add(mine, {"email": address})

    # The answer is there, but the instance sleeps and its lease goes meanwhile.
    with instances(db, sandbox, tmp_path, 2, SHORT, start=False) as (first, second):
        for daemon in first, second:
            daemon.config.change({} if source else {"source": None})
            daemon.start()
        wait_shares(db, 32, 32)
        mine = first_customer_of(db, identity(first))
        if rows == "thin":
            db.execute("INSERT INTO crm.customers (id, imprint_customer_id, email, currency)"
                       " VALUES (1, %s, 'crm@example.com', 'USD')", mine)
            db.wait_drained()
        sandbox.faults(f"customer={mine},delay=400,count=1")
        change("old@example.com")
        wait_until(lambda: sandbox.control("GET", "stats")["in_progress"], "it is under way")
        first.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: holders(db).get(identity(second)) == 64, "the other takes over")
        change("new@example.com")
        db.wait_drained()
        sent = len(sandbox.journal(mine))
        first.process.send_signal(signal.SIGCONT)
        first.wait_event("update.late")
        wait_until(lambda: len(sandbox.journal(mine)) > sent, "it is sent once more")
        db.wait_drained()
    assert sandbox.journal(mine)[-1]["body"]["email"] == "new@example.com"
    checker.check_settled(db)
    assert not [row for row in db.rows() if row["status"] == "dead"]
    checker.check_no_overlap(sandbox.journal())


def test_a_run_counts_a_row_that_is_due_again_once(db, sandbox, tmp_path):
    """A late answer makes all later rows of its customer due again, also that of a backfill."""
    with instances(db, sandbox, tmp_path, 2, SHORT) as (first, second):
        wait_shares(db, 32, 32)
        mine = first_customer_of(db, identity(first))
        db.execute("SET session_replication_role = replica; INSERT INTO crm.customers"
                   " (id, imprint_customer_id, email, currency) VALUES (1, %s, 'crm@example.com', 'USD');"
                   " SET session_replication_role = DEFAULT", mine)
        sandbox.faults(f"customer={mine},delay=400,count=1")
        db.add(mine, {"email": "old@example.com"})
        wait_until(lambda: sandbox.control("GET", "stats")["in_progress"], "it is under way")
        first.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: holders(db).get(identity(second)) == 64, "the other takes over")
        result = second.config.command("backfill", "--all", "--name", "once")
        assert result.returncode == 0, result.stderr
        sent = len(sandbox.journal(mine))
        first.process.send_signal(signal.SIGCONT)
        first.wait_event("update.late")
        wait_until(lambda: len(sandbox.journal(mine)) > sent, "it is sent once more")
        db.wait_drained()
    [run] = db.query("SELECT enqueued, done, unchanged, dead FROM imprint_sync.backfill_run")
    assert dict(run) == {"enqueued": 1, "done": 1, "unchanged": 0, "dead": 0}


def test_what_is_due_again_is_not_sent_after_what_is_newer(db, sandbox, tmp_path):
    """The late answer makes a done row due again while a newer one, alone, is under way."""
    with instances(db, sandbox, tmp_path, 2, SHORT, start=False) as (first, second):
        for daemon in first, second:
            daemon.config.change({"source": None})
            daemon.start()
        wait_shares(db, 32, 32)
        mine = first_customer_of(db, identity(first))
        sandbox.faults(f"customer={mine},delay=400,count=1")
        db.add(mine, {"email": "old@example.com"})
        wait_until(lambda: sandbox.control("GET", "stats")["in_progress"], "it is under way")
        first.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: holders(db).get(identity(second)) == 64, "the other takes over")
        db.add(mine, {"email": "newer@example.com"})
        db.wait_drained()
        sandbox.faults(f"customer={mine},delay=450,count=1")
        db.add(mine, {"email": "newest@example.com"})
        wait_until(lambda: sandbox.control("GET", "stats")["in_progress"], "the newest is under way")
        first.process.send_signal(signal.SIGCONT)
        first.wait_event("update.late")
        db.wait_drained()
    assert sandbox.state(mine)["email"] == "newest@example.com"
    assert sandbox.journal(mine)[-1]["body"] == {"email": "newest@example.com"}


def test_leases_of_different_length_are_all_waited_for(db, sandbox, tmp_path):
    with instances(db, sandbox, tmp_path, 2, SHORT, start=False) as (slow, quick):
        slow.config.change({"outbox": {"lease": "30s"}})  # a heartbeat every 6 s
        slow.start()
        quick.start()
        wait_shares(db, 32, 32)
        keep_writing(db, 5, [new_customer() for _ in range(50)])
        db.wait_drained()
        assert not slow.events("lease.lost")
    checker.check_all(db, sandbox)


def first_customer_of(db, instance):
    """A customer in one of the slots that this instance holds."""
    while True:
        customer = new_customer()
        if db.value("SELECT holder FROM imprint_sync.lease WHERE slot = imprint_sync.slot_of(%s)",
                    customer) == instance:
            return customer


def test_one_that_cannot_reach_the_api_leaves_its_slots_to_the_others(db, sandbox, tmp_path):
    with instances(db, sandbox, tmp_path, 2, SHORT, start=False) as (bad, good):
        bad.config.change({"imprint": {"base_url": f"http://127.0.0.1:{harness.free_port()}"}})
        bad.start()
        good.start()
        wait_shares(db, 32, 32)
        for _ in range(60):
            db.add(new_customer(), email(new_customer()))
        bad.wait_event("api.down", reason="failures")
        db.wait_drained()
        wait_until(lambda: holders(db).get(identity(good), 0) >= 57, "the good one has the slots")
        assert not [r for r in db.rows() if r["attempts"] > 5], "attempts of its outage"


def test_a_throttle_of_one_holds_for_all(db, sandbox, tmp_path):
    with instances(db, sandbox, tmp_path, 2, {"outbox": {"lease": "10m"}}) as daemons:
        wait_shares(db, 32, 32)
        first, second = daemons
        mine = first_customer_of(db, identity(first))
        sandbox.faults("status=429,count=1,retry-after=3600")
        db.add(mine, email(mine))
        first.wait_event("api.throttled", reason="throttled")
        second.wait_event("api.throttled", reason="shared")
        # One that starts now keeps to it as well.
        second.stop()
        second.start()
        second.wait_event("api.throttled", 2, reason="shared")
        assert len(sandbox.journal()) == 1


def test_a_pause_stops_all_and_resume_lets_them_go_on(db, sandbox, tmp_path):
    with instances(db, sandbox, tmp_path, 2, {"outbox": {"lease": "10m"}}) as (first, second):
        wait_shares(db, 32, 32)
        run = first.config.command("pause")
        assert (run.returncode, run.stdout) == (
            0, "paused: no instance sends anything until `imprint-sync resume`\n")
        first.wait_event("api.down", reason="manual")
        second.wait_event("api.down", reason="manual")
        for _ in range(10):
            db.add(new_customer(), email(new_customer()))
        second.stop()
        second.start()
        second.wait_event("api.down", 2, reason="manual")
        assert sandbox.journal() == []
        run = second.config.command("resume")
        assert (run.returncode, run.stdout) == (0, "resumed: all instances go on\n")
        db.wait_drained()
        assert {r["attempts"] for r in db.rows()} == {0}
        assert first.config.command("resume").stdout == "nothing was paused\n"


def test_a_pause_ends_by_itself(db, sandbox, config, daemon):
    daemon.start()
    assert config.command("pause", "--until", "1s").returncode == 0
    daemon.wait_event("api.down", reason="manual")
    daemon.wait_event("api.up", reason="resumed")
    assert config.command("resume").stdout == "nothing was paused\n"


def test_a_pause_says_what_is_wrong_with_its_end(db, config):
    for until, code, text in (
            ("soon", 64, "neither a time"), ("0", 64, "neither a time"),
            ("2020-01-01T00:00:00Z", 64, "must end in the future")):
        run = config.command("pause", "--until", until)
        assert run.returncode == code and text in run.stderr, run
    run = config.command("pause", "--until", "2100-01-01 02:00:00+02")
    assert run.stdout == "paused: no instance sends anything until 2100-01-01T00:00:00Z\n"


def test_once_does_not_wait_for_the_end_of_a_pause(db, config):
    assert config.command("pause").returncode == 0
    db.add(new_customer(), email(new_customer()))
    run = config.command("run", "--once")
    assert run.returncode == 1 and "imprint-sync resume" in run.stderr, run.stderr
    assert db.pending() == 1


def test_on_another_server_a_free_slot_waits_for_a_lease(db, sandbox, config, daemon):
    # As after a failover: leases that were granted may be missing here.
    db.execute("UPDATE imprint_sync.server SET timeline = 'FFFFFFFF'")
    config.change({"outbox": {"lease": "3s"},
                   "imprint": {"timeout": "500ms", "connect_timeout": "500ms"}})
    daemon.start()
    started = db.value("SELECT started_at FROM imprint_sync.instance")
    assert holders(db) == {"(failover)": 64}
    wait_until(lambda: holders(db).get(identity(daemon)) == 64, "the slots are taken")
    waited = db.value("SELECT extract(epoch FROM clock_timestamp() - %s)::float8", started)
    assert waited >= 2.9
    # Said once: the next one need not wait.
    daemon.stop()
    daemon.start()
    assert holders(db) == {identity(daemon): 64}


def test_the_rate_holds_for_all_together_while_slots_move(db, sandbox, tmp_path):
    changes = {"delivery": {"rate": "200/s", "burst": 10}, "outbox": {"lease": "10m"}}
    with instances(db, sandbox, tmp_path, 3, changes, start=False) as daemons:
        for _ in range(1500):
            db.add(new_customer(), email(new_customer()))
        for daemon in daemons:
            daemon.start()
        wait_until(lambda: len(sandbox.journal()) > 500, "requests")
        daemons[0].stop()
        wait_until(lambda: len(sandbox.journal()) > 1000, "more requests")
        daemons[0].start()
        db.wait_drained()
    checker.check_all(db, sandbox, rate_per_s=200, burst=10)

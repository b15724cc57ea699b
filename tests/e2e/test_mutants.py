"""The proof of tests/chaos is worth something only if it can fail: daemons with one thing broken,
each in a run that is made for it, must be caught by name of the invariant. The source is copied, one
place of it is changed, and only the daemon is built."""

import dataclasses
import os
import shutil
import subprocess

import pytest

import drive
import harness
from plan import Event


@dataclasses.dataclass(frozen=True)
class Mutant:
    name: str
    file: str
    old: str            # stands there exactly once
    new: str
    invariant: str
    run: dict = dataclasses.field(default_factory=dict)  # drive.Options
    also: tuple = ()    # (old, new) of another place in that file

    def places(self):
        return ((self.old, self.new), *((self.also,) if self.also else ()))


CALM = {"seconds": 4, "kinds": (), "faults": (), "instances": 1}

MUTANTS = [
    Mutant("failures_are_repeated_after_days", "src/io/outbox_sql.c",
           "r.delay_ms * interval '1 millisecond'", "r.delay_ms * interval '1 day'", "I1",
           CALM | {"faults": ("p=0.1,status=500",), "stuck": 4}),
    Mutant("older_rows_over_newer_ones", "src/app/intake.c",
           "ok = customer->rows[i].thin || row_add(&intake->row, customer->rows[i].payload, false);",
           "const struct outbox_row *at = &customer->rows[customer->row_count - 1 - i];"
           " ok = at->thin || row_add(&intake->row, at->payload, false);", "I2",
           CALM | {"rate": 30, "operations": {"member": 1}}),
    Mutant("no_wait_after_an_unknown_outcome", "src/app/relay.c",
           "floor_ns = verdict->unknown_outcome ? config->imprint.timeout_ns : 0;",
           "floor_ns = 0;", "I2",
           CALM | {"faults": ("p=0.1,delay=1040,before=1",), "writes": 60}),
    Mutant("an_owner_that_does_not_see_its_lease_end", "src/domain/lease.c",
           "slot->deadline_ns = asked_ns + lease->lease_ns;",
           "slot->deadline_ns = asked_ns + 100 * lease->lease_ns;", "I2",
           CALM | {"seconds": 8, "instances": 2, "rate": 30, "timeout": 0.4, "lease": 1.2,
                   "events": (Event(1, "pause", 0, "", 2.5), Event(5, "pause", 1, "", 2.5))}),
    # The cut-off instance goes on sending for two seconds. When it is back its outcomes are old, and
    # it gets no slots (burst 1: one instance has them all), which would make good for them. That a
    # hash is remembered only with a row that is settled hides most of it, so that goes as well.
    Mutant("settling_without_the_fence", "src/io/outbox_sql.c",
           "((c.slot, c.epoch) IN (SELECT held.slot, held.epoch FROM held)) IS TRUE AS mine",
           "true AS mine", "I6",
           CALM | {"seconds": 11, "instances": 2, "writes": 100, "rate": 60, "burst": 1,
                   "timeout": 0.2, "lease": 3, "operations": {"switch": 1},
                   "events": (Event(1, "link", 0, "cut", 4.2),)},
           ("AND (ours.ord IN (SELECT x.ord FROM x)) IS TRUE",
            "AND ((ours.ord IN (SELECT x.ord FROM x)) IS TRUE OR true)")),
    Mutant("outages_cost_attempts", "src/domain/pool.c",
           "return pool->failing.count >= pool->breaker_customers || verdict->pause_ns > 0;",
           "return verdict->pause_ns > 0;", "I3",
           CALM | {"events": (Event(1, "api", -1, "503", 2),)}),
    Mutant("twice_the_rate", "src/domain/gate.c",
           "return (wide)gate->rate.count *", "return (wide)2 * (wide)gate->rate.count *", "I4",
           CALM | {"rate": 30, "burst": 5}),
    Mutant("values_in_the_log", "src/app/settler.c",
           'LOG_TEXT("customer_id", id ? update->customer_id : "(invalid)")',
           'LOG_STR("customer_id", id ? buf_peek(&update->body) : STR("(invalid)"))', "I5", CALM),
    Mutant("unchanged_without_a_look", "src/app/intake.c",
           "intake_hash_equal(update->hash, state_hash)", "state_hash.len > 0", "I6", CALM),
    Mutant("done_without_acceptance", "src/io/outbox.c",
           'case UPDATE_OUTCOME_RETRY:\n        return "retry";',
           'case UPDATE_OUTCOME_RETRY:\n        return "done";', "I6",
           CALM | {"faults": ("p=0.1,status=500",)}),
]
BY_NAME = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)


@BY_NAME
def test_the_place_is_there(mutant):
    """Once: a change of the source that takes a mutant away must not pass in silence."""
    text = (harness.TOP / mutant.file).read_text()
    assert [text.count(old) for old, _ in mutant.places()] == [1] * len(mutant.places())


def test_each_invariant_has_a_mutant():
    assert {mutant.invariant for mutant in MUTANTS} == {f"I{n}" for n in range(1, 7)}


class Workshop:
    """A copy of the source in which one mutant after the other is built."""

    def __init__(self, folder):
        self.source, self.build_folder = folder / "source", folder / "build"
        shutil.copytree(harness.TOP, self.source,
                        ignore=shutil.ignore_patterns("build", ".git", "tests"))
        launcher = ["-DCMAKE_C_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
        self.run(["cmake", "-G", "Ninja", "-S", self.source, "-B", self.build_folder,
                  "-DCMAKE_BUILD_TYPE=Debug", "-DIMPRINT_TESTS=OFF", *launcher])

    def run(self, command):
        # Paths of the copy do not matter to a compiler cache.
        environment = os.environ | {"CCACHE_BASEDIR": str(self.source), "CCACHE_NOHASHDIR": "1"}
        run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False,
                             env=environment)
        assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]

    def build(self, mutant):
        """The path of the daemon with this one thing changed."""
        file = self.source / mutant.file
        text = file.read_text()
        broken = text
        for old, new in mutant.places():
            broken = broken.replace(old, new)
        file.write_text(broken)
        try:
            self.run(["cmake", "--build", self.build_folder, "--target", "imprint-sync"])
        finally:
            file.write_text(text)
        built = self.build_folder / mutant.name
        shutil.copy(self.build_folder / "imprint-sync", built)
        return built


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    if "sanitize" in harness.imprint_sync():
        pytest.skip("once is enough, on the release build")
    return Workshop(tmp_path_factory.mktemp("mutants"))


@pytest.mark.slow
@BY_NAME
def test_a_mutant_is_caught(mutant, workshop, cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("IMPRINT_SYNC", str(workshop.build(mutant)))
    with pytest.raises(AssertionError, match=rf"(?m)^{mutant.invariant}: \d+ violations") as caught:
        drive.chaos(drive.Options(**mutant.run), cluster, tmp_path)
    assert "\nagain: tests/chaos --seed 1 " in str(caught.value)
    assert (tmp_path / "outbox.csv").read_text().count("\n") > 100

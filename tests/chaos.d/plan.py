"""What goes wrong and when: a pure function of the seed, so that a run can be repeated.

Each kind of trouble has its own train of events, drawn from the seed alone. An instance in trouble
is left alone until it is over: what is tested then is that trouble, and the plan stays readable.
"""

import dataclasses
import random


@dataclasses.dataclass(frozen=True)
class Event:
    at: float        # seconds from the start
    kind: str        # a key of KINDS
    target: int      # the instance; -1: none
    how: str         # a variant of the kind
    seconds: float   # how long it lasts

    @property
    def end(self):
        return self.at + self.seconds

    def __str__(self):
        who = f"instance {self.target}" if self.target >= 0 else ""
        return f"{self.at:8.2f}  {self.kind:<9} {self.how:<10} {self.seconds:5.2f} s  {who}".rstrip()


@dataclasses.dataclass(frozen=True)
class Kind:
    every: tuple     # seconds from one to the next
    lasts: tuple     # seconds; `leases`: lease times
    hows: tuple = ("",)
    leases: bool = False
    instance: bool = True


KINDS = {
    # SIGKILL; started again after `seconds`.
    "kill": Kind((2, 3), (0, 2)),
    # SIGTERM, a clean stop; started again after `seconds`.
    "term": Kind((6, 10), (0, 2)),
    # SIGSTOP, and SIGCONT after the lease has run out, or just before.
    "pause": Kind((5, 9), (0.2, 2), leases=True),
    # The way to Postgres: frozen (what was under way arrives later), or cut (connections end).
    "link": Kind((6, 10), (0.3, 2), ("freeze", "cut"), leases=True),
    "postgres": Kind((10, 16), (0, 1.5), ("immediate", "fast"), instance=False),
    # The API: its process restarts; answers 503 or 429 only; or takes another key, and the daemons
    # get it when it is over.
    "api": Kind((12, 20), (1, 3), ("restart", "503", "429", "401"), instance=False),
}


def make_plan(seed, seconds, instances=3, lease=2.5, kinds=tuple(KINDS)):
    """The events in order. Nothing begins in the last second."""
    events = []
    for name in kinds:
        kind = KINDS[name]
        rng = random.Random(f"{seed} {name}")
        at = rng.uniform(1, kind.every[0])
        while at < seconds - 1:
            length = rng.uniform(*kind.lasts) * (lease if kind.leases else 1)
            target = rng.randrange(instances) if kind.instance else -1
            events.append(Event(at, name, target, rng.choice(kind.hows), length))
            at += rng.uniform(*kind.every)
    return without_collisions(sorted(events, key=lambda e: (e.at, e.kind)), instances)


def without_collisions(events, instances):
    """An event whose instance is in trouble hits the next one; none is free: it is left out."""
    free_at = {}
    kept = []
    for event in events:
        names = ([event.kind] if event.target < 0
                 else [(event.target + i) % instances for i in range(instances)])
        name = next((n for n in names if free_at.get(n, 0) <= event.at), None)
        if name is not None:
            free_at[name] = event.end + 0.5
            kept.append(event if event.target < 0 else dataclasses.replace(event, target=name))
    return kept

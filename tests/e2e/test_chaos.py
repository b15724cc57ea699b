"""Short runs of tests/chaos, and its plan."""

import pytest

import drive
import harness
import plan

SECONDS = 14


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_invariants_hold(seed, cluster, tmp_path):
    if seed > 1 and "sanitize" in harness.imprint_sync():
        pytest.skip("one is enough of the slow build")
    numbers = drive.chaos(drive.Options(seed=seed, seconds=SECONDS), cluster, tmp_path)
    drive.print_numbers(numbers)
    # That they hold is worth something only if much was done.
    assert numbers["events: kill"] >= 3
    assert numbers["  done"] > 500 and numbers["requests"] > 100


def test_the_plan_is_a_function_of_the_seed():
    plans = [[str(event) for event in plan.make_plan(seed, 60)] for seed in (1, 1, 2)]
    assert plans[0] == plans[1] != plans[2]
    events = plan.make_plan(1, 60)
    assert {event.kind for event in events} == set(plan.KINDS)
    assert all(0 < event.at < 59 for event in events)


def test_an_instance_has_one_trouble_at_a_time():
    free_at = {}
    for event in plan.make_plan(5, 600):
        name = event.kind if event.target < 0 else event.target
        assert event.at >= free_at.get(name, 0)
        free_at[name] = event.end


def test_options_say_how_to_run_it_again():
    options, _ = drive.parse(["--seed", "7", "--minutes", "2", "--kinds", "kill,link"])
    again, _ = drive.parse(options.command().split()[1:])
    assert again == options and again.plan() == options.plan()


@pytest.mark.parametrize("wrong", [["--kinds", "kil"], ["--instances", "0"], ["--lease", "1"],
                                   ["--seconds", "5", "--minutes", "1"]])
def test_wrong_options(wrong, capsys):
    with pytest.raises(SystemExit) as end:
        drive.parse(wrong)
    assert end.value.code == 2 and "error:" in capsys.readouterr().err

"""The benchmark of a machine: every part can be measured, and the verdict is right."""

import pytest

from benchmarks import machines
from benchmarks.machines import Figure, Way, seconds_of, verdicts

FLOAT, HALF = Way("float32", True, 2), Way("bfloat16", True, 2)


def test_every_training_and_network_is_among_the_parts(monkeypatch):
    found = [
        name
        for part in (machines.of_trainings, machines.of_generators, machines.of_lenet,
                     machines.of_frozen)
        for name, *_ in part("cpu", 0, True)
    ]  # fmt: skip
    assert {f"generator {name}" for name in machines.GENERATORS} < set(found)
    assert {"small network", "LeNet", "small network looks"} < set(found)


@pytest.mark.parametrize(
    ("best", "verdict"),
    [(0.9, "within 20 %"), (0.5, "takes 2.0 times as long as bfloat16, channels last")],
)
def test_a_default_is_held_against_the_best(best, verdict):
    found = [Figure("a", FLOAT, 1.0, True), Figure("a", HALF, best, False)]
    assert verdict in verdicts(found)[0]
    assert "cannot be computed" in verdicts(found[1:])[0]


def test_a_slow_call_is_timed_once():
    now = [0.0]

    def call():
        now[0] += 10

    assert seconds_of(call, "cpu", 2.0, clock=lambda: now[0]) == 10
    assert now[0] == 20

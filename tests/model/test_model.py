"""cdbfs against a plain dictionary, step by step (see machine): the tree in memory, and a real mount."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import Machine, MemoryMachine, MountMachine


def size(examples: int, steps: int, *, same: bool) -> settings:
    """`same`: the same steps in each run, so that CI is as good tomorrow as today."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=same,
        database=None,
        deadline=None,
        print_blob=not same,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.parametrize(
    ("machine", "size"),
    [
        pytest.param(MemoryMachine, size(12, 40, same=True), id="memory"),
        pytest.param(MountMachine, size(6, 30, same=True), id="mount"),
        pytest.param(MemoryMachine, size(400, 60, same=False), id="memory-full", marks=pytest.mark.full),
        pytest.param(MountMachine, size(100, 60, same=False), id="mount-full", marks=pytest.mark.full),
    ],
)
@pytest.mark.timeout(3600)
def test_what_is_seen_was_published(machine: type[Machine], size: settings) -> None:
    run_state_machine_as_test(machine, settings=size)

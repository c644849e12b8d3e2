"""Training samples divided into forgotten and retained ones."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies.conftest import context_of
from tests.strategies.forget_requests import request_of
from tests.text_tasks import text_task

from clbench.contracts import Samples
from clbench.core.errors import ConfigError
from clbench.strategies._unlearning.training_data import Part, divided
from clbench.streams.card import load_stream


def numbered(n: int) -> Samples:
    """Samples whose only tensor is their position."""
    return Samples(ids=[str(i) for i in range(n)], tensors={"at": torch.arange(n)})


def test_forgotten_and_retained_samples_make_up_all(tiny: Any) -> None:
    one, two, _ = load_stream(tiny.stream).tasks
    data = divided(context_of(tiny), [one, two], request_of({two: torch.tensor([1, 5, 23])}))
    assert [(part.task.name, len(part)) for part in data.all] == [("one", 24), ("two", 24)]
    assert [(part.task.name, part.positions.tolist()) for part in data.forgotten] == [("two", [1, 5, 23])]
    assert [(part.task.name, len(part)) for part in data.retained] == [("one", 24), ("two", 21)]
    assert not set(data.retained[1].positions.tolist()) & {1, 5, 23}
    assert data.share == 3 / 48


def test_a_task_that_is_forgotten_as_a_whole_retains_nothing(tiny: Any) -> None:
    one, two, _ = load_stream(tiny.stream).tasks
    data = divided(context_of(tiny), [one, two], request_of({two: torch.arange(24)}))
    assert [part.task.name for part in data.retained] == ["one"]


def test_requests_that_ask_for_nothing_or_all_or_the_unknown_are_refused(tiny: Any) -> None:
    one, two, _ = load_stream(tiny.stream).tasks
    context = context_of(tiny)
    for positions, got in ((torch.zeros(0, dtype=torch.int64), "none"), (torch.arange(24), "all of them")):
        with pytest.raises(ConfigError, match=f"forget one: wanted some of the training samples .*, got {got}"):
            divided(context, [one], request_of({one: positions}))
    with pytest.raises(ConfigError, match="wanted samples of tasks learnt so far, got some of task 'two'"):
        divided(context, [one], request_of({two: torch.arange(3)}))


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 3))
def test_full_batches_are_full_and_have_every_sample(n: int, size: int, seed: int) -> None:
    size = min(n, size)
    positions = torch.arange(0, 3 * n, 3)
    part = Part(text_task("one"), numbered(3 * n), positions)
    batches = [batch["at"] for batch in part.full_batches(size, torch.Generator().manual_seed(seed))]
    assert {len(batch) for batch in batches} == {size}
    assert len(batches) == -(-n // size)
    assert set(torch.cat(batches).tolist()) == set(positions.tolist())
    counts = torch.bincount(torch.cat(batches))[positions]
    assert int(counts.max()) <= 2
    assert torch.equal(torch.cat([batch["at"] for batch in part.batches(size)]), positions)

"""Shared pools: counts and tables by hand, LoRA as the special case, and what does not fit."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from clbench.contracts import Context, ScoresClasses, require
from clbench.contracts.updating import learn_task
from clbench.core.errors import ConfigError
from clbench.strategies._adapters.initial_factors import Factors
from clbench.strategies._adapters.low_rank import Arithmetic, LowRankAdapter
from clbench.strategies._adapters.shared_pools import PooledAdapter, Pools, PoolShape
from clbench.strategies.lora import Lora, LoraConfig
from clbench.strategies.mos import Mos, MosConfig
from clbench.streams.card import load_stream

NewContext = Callable[..., Context]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_counts_by_hand() -> None:
    """Three layers of 6 inputs and 8 outputs with r 4, e 2, p 1, n 2."""
    shape = PoolShape(4, 2, 1, 2)
    pools = Pools([nn.Linear(6, 8) for _ in range(3)], shape, seeded(0), seeded(1))
    assert pools.a.shape == (2 * 3 * 2, 3)
    assert pools.b.shape == (12, 4)
    assert sum(p.numel() for p in pools.parameters()) == 2 * 3 * (6 + 8)
    factors = pools.factors(2)
    assert (factors.a.shape, factors.b.shape) == ((4, 6), (8, 4))
    assert not factors.b.any()
    assert pools.a.abs().max() <= 6**-0.5  # Kaiming with a = sqrt(5): 1 / sqrt(in)
    assert pools.a.abs().max() > 0.8 * 6**-0.5


def test_pieces_are_concatenated_in_the_order_of_the_table() -> None:
    shape = PoolShape(2, 2, 1, 2)
    pools = Pools([nn.Linear(4, 6) for _ in range(2)], shape, seeded(0), seeded(1))
    table = shape.tables(2, seeded(0))  # that of A is drawn first
    rows = pools.a.detach()[table[1]]
    torch.testing.assert_close(
        pools.factors(1).a.detach(), torch.stack([torch.cat([rows[0], rows[1]]), torch.cat([rows[2], rows[3]])])
    )


@given(st.integers(0, 50), st.integers(1, 4), st.integers(0, 3), st.integers(0, 3), st.integers(1, 3), st.data())
def test_tables_hold_distinct_shared_rows_and_each_private_row_once(
    seed: int, layers: int, private: int, more: int, pieces: int, data: st.DataObject
) -> None:
    rank = private + data.draw(st.integers(0, more * layers))
    shape = PoolShape(max(1, rank), private + more, min(private, max(1, rank)), pieces)
    if shape.rank - shape.private_rank > (shape.pool_rank - shape.private_rank) * layers:
        return
    table, shared = shape.tables(layers, seeded(seed)), (shape.pool_rank - shape.private_rank) * layers * pieces
    assert table.shape == (layers, shape.rank * pieces)
    drawn = (shape.rank - shape.private_rank) * pieces
    assert all(len(set(row.tolist())) == len(row) for row in table)
    assert not drawn or table[:, :drawn].max() < shared
    assert table[:, drawn:].flatten().tolist() == list(range(shared, shared + shape.private_rank * layers * pieces))


def test_without_shared_pieces_the_tables_are_loras() -> None:
    assert PoolShape(2, 2, 2, 1).tables(3, seeded(0)).tolist() == [[0, 1], [2, 3], [4, 5]]


def test_without_shared_pieces_it_is_lora() -> None:
    rank, names = 3, ["0", "2"]
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(6, 6), nn.GELU(), nn.Linear(6, 6)).requires_grad_(False)
    theirs = nn.Sequential(nn.Linear(6, 6), nn.GELU(), nn.Linear(6, 6)).requires_grad_(False)
    theirs.load_state_dict(ours.state_dict())
    arithmetic = Arithmetic(0.5, 0.2, peft_order=True)
    pools = Pools([ours[0], ours[2]], PoolShape(rank, rank, rank, 1), seeded(0), seeded(1))  # type: ignore[list-item]
    pooled = PooledAdapter({"all": pools}, {"all": names}, arithmetic)
    starts = {name: pooled.factors(name) for name in names}
    lora = LowRankAdapter(
        {n: Factors(nn.Parameter(f.a.detach().clone()), nn.Parameter(f.b.detach().clone())) for n, f in starts.items()},
        arithmetic,
    )
    pooled.attach(ours)
    lora.attach(theirs)
    results = []
    for module, adapter in ((ours, pooled), (theirs, lora)):
        torch.manual_seed(2)
        optimizer = torch.optim.AdamW([p for _, p in adapter.parameters()], lr=0.05)
        losses = []
        for _ in range(6):
            loss = (module(torch.randn(9, 6)) - torch.randn(9, 6)).square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.detach())
        adapter.merge(module)
        results.append([*losses, *module.state_dict().values()])
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)


def test_the_merged_model_says_what_the_attached_one_said(tiny: Any, new_context: NewContext) -> None:
    context, task = new_context(), load_stream(tiny.stream).tasks[0]
    strategy = Mos(MosConfig(lr=0.05), context)
    batch = context.samples(task, "test").batch(slice(None))
    seen = []
    merge = strategy.end_task

    def end_task(task: Any) -> None:
        context.learner.module.eval()
        seen.append(require(context.learner, ScoresClasses).logits(batch, [task]).detach())
        merge(task)

    strategy.end_task = end_task  # type: ignore[method-assign]
    with torch.no_grad():
        before = require(context.learner, ScoresClasses).logits(batch, [task])
    learn_task(strategy, task)
    with torch.no_grad():
        after = require(context.learner, ScoresClasses).logits(batch, [task])
    torch.testing.assert_close(after, seen[0], atol=1e-4, rtol=1e-4)
    assert (after - before).abs().max() > 1e-2
    assert strategy.state_dict() == {}


def test_a_task_trains_as_many_values_as_lora_of_the_pools_rank(new_context: NewContext) -> None:
    found = Mos(MosConfig(pool_rank=5, rank=9, private_rank=1), new_context()).footprint()
    assert found == Lora(LoraConfig(rank=5), new_context()).footprint()


@pytest.mark.parametrize("tables", ["new", "kept"])
def test_tables_of_two_tasks(tables: Any, tiny: Any, new_context: NewContext) -> None:
    strategy = Mos(MosConfig(tables=tables), new_context())
    seen = []
    begin = strategy.begin_task

    def begin_task(task: Any) -> None:
        begin(task)
        pools = next(iter(strategy._adapter._pools.values()))
        seen.append(pools._tables[0])

    strategy.begin_task = begin_task  # type: ignore[method-assign]
    for task in load_stream(tiny.stream).tasks[:2]:
        learn_task(strategy, task)
    assert torch.equal(*seen) == (tables == "kept")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"rank": 30, "pool_rank": 4, "private_rank": 1, "roles": ["q"]},
            "takes rank - private_rank = 29 shared vectors, wanted at most .* = 12",
        ),
        ({"pieces": 3}, "width 32 is not divisible into pieces = 3"),
    ],
)
def test_what_does_not_fit_the_layers_is_refused(
    settings: dict[str, Any], message: str, tiny: Any, new_context: NewContext
) -> None:
    with pytest.raises(ConfigError, match=message):
        learn_task(Mos(MosConfig(**settings), new_context()), load_stream(tiny.stream).tasks[0])


def test_more_private_ranks_than_ranks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"private_rank must be at most pool_rank \(16\), got 17"):
        MosConfig(private_rank=17)

"""Costs are told as if each cell were alone: decoding once and apart, what was taken over at its own price."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench.benchmarks import clock as clock_module
from clbench.benchmarks.clock import Clock
from clbench.benchmarks.engine.shared_results import SharedResults


class Run:
    """A run whose time goes on only where work is done: splits and shared work by name, as cells ask for them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, works: dict[str, list[tuple[str, int]]]) -> None:
        self.time = 0.0
        monkeypatch.setattr(clock_module, "time", SimpleNamespace(perf_counter=lambda: self.time))
        self.shared = SharedResults(limit=10**9)
        self.clock = self.shared.clock
        self._works = works
        self.decoded: dict[str, float] = {}
        self._prepared: set[str] = set()

    def cell(self, steps: list[tuple[str, int]]) -> tuple[float, float, float, float]:
        """Do what a cell does: (seconds of work, of decoding, taken over, really spent)."""
        self.clock.new_cell()
        self._prepared.clear()
        before = (self.clock.now(), self.clock.decoding, self.clock.taken_over, self.time)
        self._all(steps)
        after = (self.clock.now(), self.clock.decoding, self.clock.taken_over, self.time)
        work, decoding, taken_over, spent = (b - a for a, b in zip(before, after, strict=True))
        return work, decoding, taken_over, spent

    def _all(self, steps: list[tuple[str, int]]) -> int:
        for kind, number in steps:
            self._do(kind, number)
        return len(steps)

    def _do(self, kind: str, number: int) -> None:
        match kind:
            case "work":
                self.time += number
            case "split":
                self._split(f"split {number}", 2.0**number)
            case "prepare" if f"{number}" not in self._prepared:
                self._prepared.add(f"{number}")
                with self.clock.preparing():
                    self._split("split 0", 1.0)
                    self.time += number
            case "shared":
                self.shared.once(number, lambda: self._all(self._works[str(number)]), lambda _: 1)

    def _split(self, name: str, seconds: float) -> None:
        if name in self.decoded:
            self.clock.need({name: self.decoded[name]})
            return
        with self.clock.stopped() as took:
            self.time += seconds
        self.decoded[name] = took[0]
        self.clock.need({name: took[0]}, decoded_now=True)


INSIDE = st.lists(
    st.one_of(
        st.tuples(st.just("work"), st.integers(0, 50)),
        st.tuples(st.just("split"), st.integers(0, 4)),
        st.tuples(st.just("prepare"), st.integers(1, 3)),
    ),
    max_size=4,
)
NESTED = st.tuples(INSIDE, st.booleans()).map(lambda pair: pair[0] + ([("shared", 0)] if pair[1] else []))
WORKS = st.tuples(INSIDE, NESTED, NESTED).map(lambda found: {str(number): steps for number, steps in enumerate(found)})
STEP = st.one_of(
    st.tuples(st.just("work"), st.integers(0, 50)),
    st.tuples(st.just("split"), st.integers(0, 4)),
    st.tuples(st.just("shared"), st.integers(0, 2)),
)
CELLS = st.lists(st.lists(STEP, max_size=6), min_size=1, max_size=4)


@given(WORKS, CELLS)
def test_a_cell_costs_the_same_alone_and_after_others(
    works: dict[str, list[tuple[str, int]]], cells: list[list[tuple[str, int]]]
) -> None:
    """Work without what is prepared, which each cell does for itself, and decoding: equal; the rest is taken over."""
    works = {name: [step for step in steps if step[0] != "prepare"] for name, steps in works.items()}
    with pytest.MonkeyPatch.context() as patch:
        together = Run(patch, works)
        found = [together.cell(steps) for steps in cells]
    for steps, (work, decoding, taken_over, spent) in zip(cells, found, strict=True):
        with pytest.MonkeyPatch.context() as patch:
            assert Run(patch, works).cell(steps)[:2] == pytest.approx((work, decoding))
        assert work + decoding - taken_over == pytest.approx(spent)
        assert taken_over >= 0


@given(WORKS, CELLS)
def test_what_was_counted_and_not_taken_over_was_spent(
    works: dict[str, list[tuple[str, int]]], cells: list[list[tuple[str, int]]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        together = Run(patch, works)
        for work, decoding, taken_over, spent in map(together.cell, cells):
            assert work + decoding - taken_over == pytest.approx(spent)


def test_what_a_cell_prepares_for_its_later_versions_is_in_no_price(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first cell prepares within its first test (7 s of it are decoding), the second within its own first one."""
    run = Run(monkeypatch, {"1": [("prepare", 5), ("work", 10)], "2": [("prepare", 5), ("work", 10)]})
    run.decoded["split 0"] = 7.0
    first = run.cell([("shared", 1), ("prepare", 5), ("work", 10)])
    second = run.cell([("shared", 1), ("prepare", 5), ("work", 10)])
    assert first == (25.0, 7.0, 7.0, 25.0)
    assert second == (25.0, 7.0, 17.0, 15.0)


def test_a_failure_leaves_the_clock_sound() -> None:
    clock = Clock()
    with pytest.raises(ZeroDivisionError), clock.pricing(), clock.preparing(), clock.stopped():
        raise ZeroDivisionError
    with clock.pricing() as price:
        clock.need({"a": 1.0})
    assert price.splits == {"a": 1.0}
    assert (clock.decoding, clock.taken_over) == (1.0, 1.0)

"""Suites: products, overrides, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from clbench.benchmarks.engine.suite import SuiteChanges, load_suite
from clbench.benchmarks.tuning.tuned_record import read_tuned
from clbench.core.cards import SUITE_CARDS
from clbench.core.errors import ClbenchError, ConfigError, RegistryError
from clbench.spec.update import KINDS

WITH_A_ROOT = ("mtil", "mtil-5shot", "xtail")
"""Suites over the user's own data; the tests of their streams make some up."""


@pytest.mark.parametrize("name", [name for name in SUITE_CARDS.names() if name not in WITH_A_ROOT])
def test_every_suite_that_ships_is_sound(name: str) -> None:
    suite = load_suite(name)
    assert suite.cells
    assert suite.config.description


@pytest.mark.parametrize("name", WITH_A_ROOT)
def test_codyra_as_released_has_what_the_release_has(name: str) -> None:
    """The released thresholds, too: scaled to 500 steps, MTIL's 1,000 would leave 8 of 16 gates instead of 3."""
    listed = cast(list[dict[str, object]], SUITE_CARDS.get(name).values["strategies"])
    entries = [entry for entry in listed if "as released" in str(entry)]
    released = [{"symmetric": True, "operator": "released", "reference_steps": None}]
    assert [{key: entry[key] for key in released[0]} for entry in entries] == released


@pytest.mark.parametrize("name", [name for name in SUITE_CARDS.names() if "tuned" in SUITE_CARDS.get(name).values])
def test_every_rate_that_a_suite_ships_is_used_by_its_cells(name: str) -> None:
    """A suite's entry that no longer has what its search was given would be run at defaults, without a word."""
    suite = load_suite(name)
    run = [(cell.names, cell.config.model_dump(mode="json")) for cell in suite.cells]
    for result in map(read_tuned, suite.config.tuned):
        for choice in result.chosen:
            of, wanted = (result.stream, result.learner, choice.strategy), {**choice.given, **choice.settings}
            assert any(names == of and {**settings, **wanted} == settings for names, settings in run), choice


def test_cells_are_the_product(write_suite: Callable[..., str]) -> None:
    suite = load_suite(write_suite("finetune", {"name": "lora", "rank": 2}, seeds=[0, 1]))
    assert [(cell.label, cell.seed) for cell in suite.cells] == [
        ("finetune", 0),
        ("finetune", 1),
        ("lora rank=2", 0),
        ("lora rank=2", 1),
    ]
    assert len({cell.key for cell in suite.cells}) == 4
    assert suite.cells[0].learner.endswith("tiny_clip.py")


def test_a_cross_stands_for_every_way(write_suite: Callable[..., str]) -> None:
    axes = [[{"name": "finetune"}, {"name": "lora", "rank": 2}], [{}, {"select": "random"}, {"lr": 0.5}]]
    suite = load_suite(write_suite("zero-shot", {"cross": axes, "last_only": True}))
    assert [cell.label for cell in suite.cells] == [
        "zero-shot",
        "finetune",
        "finetune select=random",
        "finetune lr=0.5",
        "lora rank=2",
        "lora select=random rank=2",
        "lora lr=0.5 rank=2",
    ]
    assert [cell.last_only for cell in suite.cells] == [False, *[True] * 6]


def test_a_chosen_strategy_has_defaults_on_streams_that_the_suite_has_no_entry_for() -> None:
    changes = SuiteChanges(strategies=["osft", "finetune"], streams=["clip-mini", "text-open"])
    found = [(cell.names[0], cell.label) for cell in load_suite("quick", changes).cells]
    assert found == [
        ("clip-mini", "osft"),
        ("clip-mini", "finetune"),
        ("text-open", "osft"),
        ("text-open", "finetune"),
    ]


@pytest.mark.parametrize(
    ("axes", "wanted"),
    [
        ("finetune", "lists of mappings under cross"),
        ([], "lists of mappings under cross"),
        ([[]], "lists of mappings under cross"),
        ([["finetune"]], "lists of mappings under cross"),
        ([[{"name": "lora", "rank": 2}], [{"rank": 3}]], "every setting in one list of cross only, .*rank. is in two"),
        ([[{"rank": 3}]], "names, or mappings with a name and settings"),
    ],
)
def test_a_cross_that_means_nothing_is_refused(axes: object, wanted: str, write_suite: Callable[..., str]) -> None:
    with pytest.raises(ConfigError, match=wanted) as found:
        load_suite(write_suite({"cross": axes}))
    assert "\n" not in str(found.value)


def test_the_command_line_changes_what_it_names(write_suite: Callable[..., str]) -> None:
    overrides = {"strategy.lr": 0.5, "lora.rank": 3, "budget.steps": 7, "split": "validation"}
    suite = load_suite(write_suite("zero-shot", "finetune", "lora"), SuiteChanges(seeds=[5], overrides=overrides))
    zero, finetune, lora = suite.cells
    assert zero.resolved["budget"] == {"steps": 7, "batch_size": 8, "micro_batch": None, "checkpointing": False}
    assert (zero.seed, zero.split) == (5, "validation")
    assert (finetune.label, lora.label) == ("finetune lr=0.5", "lora lr=0.5 rank=3")


def test_a_stream_may_have_a_budget_of_its_own(write_suite: Callable[..., str], tiny: Any) -> None:
    path = write_suite("finetune", budgets={tiny.stream: {"steps": 2, "batch_size": 3}})
    (cell,) = load_suite(path).cells
    assert (cell.budget.steps, cell.budget.batch_size) == (2, 3)
    (cell,) = load_suite(path, SuiteChanges(overrides={"budget.steps": 1})).cells
    assert (cell.budget.steps, cell.budget.batch_size) == (1, 3)
    with pytest.raises(RegistryError, match="unknown stream 'clip-mimi'"):
        load_suite(write_suite("finetune", budgets={"clip-mimi": {"steps": 2}}))


def test_a_strategy_may_be_tested_at_the_end_only(write_suite: Callable[..., str]) -> None:
    all_of_it, end = load_suite(write_suite("joint", {"name": "joint", "last_only": True})).cells
    assert (all_of_it.last_only, end.last_only) == (False, True)
    assert all_of_it.key != end.key
    with pytest.raises(ConfigError, match="last_only of a strategy must be true or false, got 'yes'"):
        load_suite(write_suite({"name": "joint", "last_only": "yes"}))


def test_chosen_strategies_keep_the_suites_settings(write_suite: Callable[..., str]) -> None:
    suite = load_suite(
        write_suite("finetune", {"name": "lora", "rank": 2, "label": "small"}),
        SuiteChanges(strategies=["lora", "zero-shot"]),
    )
    assert [cell.label for cell in suite.cells] == ["small", "zero-shot"]


def test_an_argument_after_a_colon_is_the_setting_that_the_strategy_named(write_suite: Callable[..., str]) -> None:
    path = write_suite({"name": "peft:loha", "settings": {"r": 2}}, "finetune")
    loha, _ = load_suite(path).cells
    assert (loha.strategy, getattr(loha.config, "method")) == ("peft", "loha")  # noqa: B009
    listed, other = load_suite(path, SuiteChanges(strategies=["peft:loha", "peft:osf"])).cells
    assert listed.digest == loha.digest
    assert other.config.model_dump()["method"] == "osf"
    with pytest.raises(ConfigError, match="strategy finetune takes no argument, got 'finetune:fast'"):
        load_suite(path, SuiteChanges(strategies=["finetune:fast"]))
    with pytest.raises(RegistryError, match="unknown strategy 'pefd'"):
        load_suite(write_suite("pefd:osf"))


def test_an_entry_may_have_a_strategy_for_each_kind_of_update(write_suite: Callable[..., str]) -> None:
    entries: list[Any] = [
        {"compress": {"name": "prune", "rule": "wanda"}, "learn": "finetune", "forget": "ssd"},
        {"learn": {"name": "lora", "rank": 2}, "compress": "quantize", "label": "small"},
        {"learn": "peft:loha", "adopt": "retrain", "last_only": True},
        "zero-shot",
    ]
    cells = load_suite(write_suite(*entries)).cells
    assert [cell.label for cell in cells] == [
        "finetune + prune rule=wanda + ssd",
        "small",
        "peft method=loha + retrain",
        "zero-shot",
    ]
    assert [cell.last_only for cell in cells] == [False, False, True, False]
    first, *_, last = cells
    chosen = {kind: (first.choice_for(kind).strategy, last.choice_for(kind).strategy) for kind in KINDS}
    assert chosen == {
        "learn": ("finetune", "zero-shot"),
        "adopt": ("finetune", "zero-shot"),  # what is not named is left to the first one, which may refuse it
        "compress": ("prune", "zero-shot"),
        "forget": ("ssd", "zero-shot"),
    }
    assert first.names[2] == "finetune"
    assert cast(dict[str, Any], first.resolved["strategy_compress"])["settings"]["rule"] == "wanda"
    assert "strategy_compress" not in last.resolved
    assert len({cell.digest for cell in cells}) == 4


def test_settings_of_every_part_of_an_entry_can_be_changed(write_suite: Callable[..., str]) -> None:
    wanda = {"name": "prune", "rule": "wanda"}
    path = write_suite({"learn": "finetune", "compress": wanda}, {"learn": "ewc", "compress": "prune"}, "ewc")
    overrides = {"finetune.lr": 0.5, "prune.rule": "magnitude", "strategy.clip_norm": 2.0}
    suite = load_suite(path, SuiteChanges(strategies=["finetune"], overrides=overrides))
    (cell,) = suite.cells  # the entry that has the named strategy for some kind of update
    assert cell.config.model_dump()["lr"] == 0.5
    assert cell.config.model_dump()["clip_norm"] == 2.0
    assert cell.choice_for("compress").config.model_dump()["rule"] == "magnitude"
    assert [cell.label for cell in load_suite(path, SuiteChanges(strategies=["prune"])).cells] == [
        "finetune + prune rule=wanda",
        "ewc + prune",
    ]
    with pytest.raises(ConfigError, match="strategy prune: rule must be"):
        load_suite(path, SuiteChanges(overrides={"prune.rule": "wando"}))


def test_equal_cells_have_equal_keys_and_settings_change_them(write_suite: Callable[..., str]) -> None:
    path = write_suite("finetune")
    one, two = load_suite(path).cells[0], load_suite(path).cells[0]
    other = load_suite(path, SuiteChanges(overrides={"finetune.lr": 0.25})).cells[0]
    assert one.key == two.key
    assert one.digest != other.digest


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"strategies": ["finetun"]}, "unknown strategy 'finetun': did you mean 'finetune'?"),
        (
            {"strategies": [{"name": "lora", "rank": 0}]},
            "strategy lora: rank must be greater than or equal to 1, got 0",
        ),
        (
            {"strategies": [{"rank": 0}]},
            "must be names, or mappings with a name and settings, got [{'rank': 0}]",
        ),
        ({"strategies": []}, "strategies must"),
        ({"stratgies": ["lora"]}, "did you mean 'strategies'?"),
        ({"strategies": ["lora", "lora"]}, "is there twice"),
        ({"streams": ["clip-mimi"]}, "unknown stream 'clip-mimi': did you mean 'clip-mini'?"),
        ({"learners": ["mini-clap"]}, "unknown learner 'mini-clap': did you mean 'mini-clip'?"),
        ({"budget": {"steps": 0}}, "budget.steps must be greater than or equal to 1, got 0"),
        ({"split": "exam"}, "split must be 'train', 'validation' or 'test', got 'exam'"),
        ({"seeds": ["x"]}, "seeds.0 must be a valid integer"),
    ],
)
def test_malformed_suites_are_one_line(write_suite: Callable[..., str], values: dict[str, Any], message: str) -> None:
    path = Path(write_suite("zero-shot"))
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **values}))
    with pytest.raises(ClbenchError) as caught:
        load_suite(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["streams: [", "- a", "3", "\0"])
def test_what_is_no_suite_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(RegistryError, match=r"suite file .*s\.yaml"):
        load_suite(str(tmp_path / "s.yaml"))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("lora.rank", "applies to no strategy"),
        ("strategy.rnk", "applies to no strategy"),
        ("steps", "unknown setting"),
        ("finetune.rank", "unknown setting 'rank'"),
        ("budget.step", "unknown setting 'budget.step': did you mean 'steps'?"),
    ],
)
def test_overrides_that_apply_to_nothing_are_refused(write_suite: Callable[..., str], key: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_suite(write_suite("finetune"), SuiteChanges(overrides={key: 1}))
    assert message in str(caught.value)


def test_a_strategy_may_be_kept_to_some_streams(write_suite: Callable[..., str], tiny: Any) -> None:
    entries = ({"name": "finetune", "streams": [tiny.stream]}, {"name": "lora", "streams": "clip-mini"}, "zero-shot")
    suite = load_suite(write_suite(*entries, streams=[tiny.stream, "clip-mini"]))
    assert [(cell.label, cell.stream) for cell in suite.cells] == [
        ("finetune", tiny.stream),
        ("zero-shot", tiny.stream),
        ("lora", "clip-mini"),
        ("zero-shot", "clip-mini"),
    ]
    with pytest.raises(ConfigError, match="streams of a strategy must be names, got 3"):
        load_suite(write_suite({"name": "finetune", "streams": 3}))

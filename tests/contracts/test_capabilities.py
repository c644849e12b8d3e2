"""What only some learners can do: who has it, and how those without it are refused."""

import math
from pathlib import Path

import pytest
import torch
import yaml
from tests.image_tasks import image_task
from tests.scripted_images import ScriptedImages
from torch import nn

from clbench.benchmarks.engine.footprint import footprint
from clbench.benchmarks.engine.learners import build_learner, class_of, shipped_with
from clbench.benchmarks.engine.suite import load_suite
from clbench.contracts import (
    ClassScores,
    ContinuesFromPrefix,
    Ensembles,
    LanguageModel,
    Learner,
    ScoresClasses,
    ScoresTokens,
    ScoresUnlearntClasses,
    Stacked,
    TakesPrompts,
    require,
)
from clbench.contracts.capabilities import WORDS, lacking
from clbench.core.errors import ConfigError
from clbench.core.registry import LEARNERS, STRATEGIES

CLIP = {"mini-clip", "open_clip"}
TEXT = {"llama", "mini-llama", "mini-t5", "smollm2", "t5"}
VIT = {"mini-vit", "vit"}
WHO: dict[type, set[str]] = {
    Stacked: VIT,
    ContinuesFromPrefix: VIT,
    TakesPrompts: VIT,
    ScoresClasses: CLIP | TEXT | VIT,
    ScoresUnlearntClasses: CLIP | TEXT,
    ScoresTokens: CLIP | TEXT | VIT,
    Ensembles: CLIP | TEXT,
    LanguageModel: TEXT,
}
BOTH = "one stack of blocks (Stacked) and soft prompts (TakesPrompts)"
BEFORE = "scores of classes before they are learnt (ScoresUnlearntClasses)"
UNTOLD = """
from tests.scripted_images import ScriptedImages
from clbench.core.registry import LEARNERS

@LEARNERS.register("untold")
def untold(argument, seed):
    \"\"\"A learner whose factory does not tell its class.\"\"\"
    return ScriptedImages()
"""


@pytest.mark.parametrize("capability", WORDS, ids=lambda capability: capability.__name__)
def test_families_have_what_their_models_can_do(capability: type) -> None:
    assert set(shipped_with([capability])) == WHO[capability]


@pytest.mark.parametrize("name", ["mini-clip", "mini-llama", "mini-t5", "mini-vit"])
def test_the_class_that_a_factory_tells_is_that_of_what_it_builds(name: str) -> None:
    assert class_of(name) is type(build_learner(name, 0, torch.device("cpu")))


def test_every_shipped_learner_tells_its_class() -> None:
    assert all(class_of(name) for name in LEARNERS.names())


def test_what_a_strategy_requires_is_a_capability() -> None:
    required = {name: STRATEGIES.get(name).value.requires for name in STRATEGIES.names()}  # type: ignore[attr-defined]
    assert {one for listed in required.values() for one in listed} <= set(WORDS)
    assert {name for name, listed in required.items() if Stacked in listed} == {"head-only", "tap-slf", "telly", "vpt"}


def test_a_learner_without_a_capability_is_refused_in_words() -> None:
    learner = ScriptedImages()
    assert lacking(type(learner), [Stacked, ScoresTokens]) == (Stacked, ScoresTokens)
    wanted = r"^learner scripted-images lacks what this strategy needs: soft prompts \(TakesPrompts\)$"
    with pytest.raises(ConfigError, match=wanted):
        require(learner, TakesPrompts)


def test_class_scores_need_logits() -> None:
    class Half(ClassScores, ScriptedImages):
        pass

    with pytest.raises(TypeError, match="abstract method logits"):
        Half()  # type: ignore[abstract]


def test_each_sample_competes_among_the_classes_of_its_own_task() -> None:
    """Scores (1, 2 | 3, 4, 0): a sample of the second task ignores the first two columns."""
    learner = require(build_learner("mini-vit", 0, torch.device("cpu")), ScoresClasses)
    logits = torch.tensor([[1.0, 2, 3, 4, 0], [1.0, 2, 3, 4, 0]])
    tasks = [
        image_task("accuracy", name, classes=classes) for name, classes in (("x", ("a", "b")), ("y", tuple("abc")))
    ]
    found = learner.loss_from_logits(logits, torch.tensor([0, 3]), tasks)
    one = math.log(1 + math.exp(2 - 1))
    two = math.log(1 + math.exp(3 - 4) + math.exp(0 - 4))
    assert float(found) == pytest.approx((one + two) / 2, rel=1e-6)


def suite_of(folder: Path, learner: str, *strategies: object, stream: str = "clip-mini") -> str:
    values = {"streams": [stream], "learners": [learner], "strategies": list(strategies)}
    (folder / "suite.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return str(folder / "suite.yaml")


@pytest.mark.parametrize(
    ("learner", "strategy", "stream", "message", "fit"),
    [
        (
            "mini-clip",
            "head-only",
            "clip-mini",
            "learner mini-clip lacks what strategy head-only needs: one stack of blocks (Stacked)",
            "mini-vit, vit",
        ),
        (
            "mini-t5",
            {"name": "tap-slf", "prompts": 2},
            "text-open",
            "learner mini-t5 lacks what strategy tap-slf needs: {both}",
            "mini-vit, vit",
        ),
        (
            "mini-vit",
            "zscl",
            "ultrasound-mini",
            f"learner mini-vit lacks what strategy zscl needs: {BEFORE}",
            "llama, mini-clip, mini-llama, mini-t5, open_clip, smollm2, t5",
        ),
        (
            "{scripted}",
            {"name": "codyra", "symmetric": True},
            "clip-mini",
            "learner {scripted} lacks what strategy codyra needs: scores of classes (ScoresClasses)",
            "llama, mini-clip, mini-llama, mini-t5, mini-vit, open_clip, smollm2, t5, vit",
        ),
    ],
)
def test_a_suite_with_an_unfit_pair_is_refused_when_it_is_loaded(
    learner: str, strategy: object, stream: str, message: str, fit: str, tmp_path: Path
) -> None:
    scripted = str(Path(__file__).parents[1] / "scripted_learner.py")
    learner, message = (text.replace("{scripted}", scripted).replace("{both}", BOTH) for text in (learner, message))
    with pytest.raises(ConfigError) as caught:
        load_suite(suite_of(tmp_path, learner, strategy, stream=stream))
    name = strategy["name"] if isinstance(strategy, dict) else strategy
    assert str(caught.value) == f"{message}; learners for strategy {name}: {fit}"


def test_a_setting_decides_what_is_required(tmp_path: Path) -> None:
    scripted = str(Path(__file__).parents[1] / "scripted_learner.py")
    assert load_suite(suite_of(tmp_path, scripted, {"name": "codyra", "symmetric": False})).cells


def test_a_learner_that_does_not_tell_its_class_is_checked_when_a_strategy_is_built(tmp_path: Path) -> None:
    path = tmp_path / "untold.py"
    path.write_text(UNTOLD, encoding="utf-8")
    assert class_of(str(path)) is None
    assert load_suite(suite_of(tmp_path, str(path), "telly")).cells
    with pytest.raises(ConfigError, match="learner scripted-images lacks what strategy Telly needs: one stack"):
        footprint("telly", str(path))


def test_a_class_may_be_a_factory_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain(ScriptedImages):
        pass

    def vague(argument: str, seed: int) -> Learner:
        return Plain()

    def unresolved(argument: str, seed: int) -> "Missing":  # type: ignore[name-defined]  # noqa: F821
        return Plain()

    for factory, wanted in ((Plain, Plain), (vague, None), (unresolved, None), (nn.Identity(), None)):
        component = type("Component", (), {"value": factory})
        monkeypatch.setattr(LEARNERS, "get", lambda name, component=component: component)
        assert class_of("any") is wanted

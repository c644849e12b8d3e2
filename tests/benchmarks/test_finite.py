"""Models that are none: weights with NaN are refused when they are loaded and saved, scores with NaN when read."""

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.benchmarks.stored_versions import lose_last, stored
from tests.strategies.update_streams import write_card
from tests.strategies.update_streams import write_suite as write_update_suite
from tests.text_tasks import text_task
from tests.tiny_images import write_stream
from torch import nn

from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.engine.cell_log import Outcome
from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.engine.runner import RunOptions, run_suite
from clbench.benchmarks.engine.suite import load_suite
from clbench.benchmarks.engine.version_keys import VersionKey
from clbench.benchmarks.engine.version_store import VersionStore
from clbench.benchmarks.evaluation.evaluator import Evaluator
from clbench.contracts import Ensembles, Learner, Samples, Split, Stream, Task, require
from clbench.core.errors import CheckpointError, TrainingError
from clbench.learners._text.choices import best_choice
from clbench.streams.card import load_stream

CPU = torch.device("cpu")
TESTS = Path(__file__).parents[1]
MODELS = TESTS.parent / "src" / "clbench" / "learners"


class Silent:
    """A listener."""

    def on_cell_start(self, *arguments: object) -> None:
        """Nothing."""

    on_version_end = on_cell_end = on_step = on_problem = on_cell_start


def run(path: str, out: Path) -> Sequence[Outcome]:
    options = RunOptions(out, CPU, f"sqlite:///{out / 'mlflow.db'}")
    return run_suite(load_suite(path), options, Silent()).outcomes


def spoil(path: Path, name: str, value: float = torch.nan) -> None:
    """Put three bad values into one tensor of a file of weights."""
    state = load_file(path)
    state[name].view(-1)[:3] = value
    save_file(state, path, {"format": "pt"})


@pytest.mark.parametrize("value", [torch.nan, -torch.inf])
@pytest.mark.parametrize(
    ("learner", "source", "name"),
    [
        ("llama:{}", "mini_llama/v2", "model.layers.1.mlp.up_proj.weight"),
        ("t5:{}", "mini_t5", "decoder.block.0.layer.0.SelfAttention.q.weight"),
    ],
)
def test_a_language_model_with_nan_is_refused_when_it_is_loaded(
    learner: str, source: str, name: str, value: float, tmp_path: Path
) -> None:
    shutil.copytree(MODELS / source, tmp_path / "m", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    path = tmp_path / "m" / "model.safetensors"
    save_file({key: tensor.float() for key, tensor in load_file(path).items()}, path, {"format": "pt"})
    spoil(path, name, value)
    specification = learner.format(tmp_path / "m")
    with pytest.raises(CheckpointError) as caught:
        build_learner(specification, 0, CPU)
    size = load_file(path)[name].numel()
    assert str(caught.value) == f"learner {specification}: 3 of {size} values of {name} are not finite"


@pytest.mark.parametrize(
    ("learner", "name", "told"),
    [
        ("vit:vit_tiny_patch16_224@32", "blocks.3.mlp.fc1.weight", "backbone.blocks.3.mlp.fc1.weight"),
        ("open_clip:RN50", "visual.layer1.0.bn1.running_var", "visual.layer1.0.bn1.running_var"),
    ],
)
def test_so_is_an_image_model(learner: str, name: str, told: str, tmp_path: Path) -> None:
    if learner.startswith("vit"):
        import timm

        model: Any = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=0, global_pool="")
    else:
        import open_clip

        model = open_clip.create_model("RN50")
    save_file({key: tensor.contiguous() for key, tensor in model.state_dict().items()}, tmp_path / "w.safetensors")
    spoil(tmp_path / "w.safetensors", name)
    with pytest.raises(CheckpointError, match=rf"learner {learner}/.*: 3 of \d+ values of {told} are not finite$"):
        build_learner(f"{learner}/{tmp_path / 'w.safetensors'}", 0, CPU)


SPOILT = f'''"""A learner with a NaN."""
import torch
from clbench.core.registry import LEARNERS

@LEARNERS.register("spoilt")
def spoilt(argument, seed):
    """The tiny CLIP, spoilt if told so."""
    learner = LEARNERS.get({str(TESTS / "tiny_clip.py")!r}).value("a", seed=seed)
    learner.name = "spoilt"
    if argument:
        learner.module.ln_final.weight.data[0] = torch.nan
    return learner
'''


def test_a_later_release_with_nan_is_told_before_anything_is_trained(tiny: Any, tmp_path: Path) -> None:
    (tmp_path / "spoilt.py").write_text(SPOILT)
    spoilt = str(tmp_path / "spoilt.py")
    card = write_card(tiny, tmp_path, releases=[spoilt, f"{spoilt}:x"], learner=spoilt)
    (outcome,) = run(write_update_suite(card, tmp_path, "naive-update"), tmp_path)
    assert (outcome.status, outcome.defect) == ("failed", False)
    assert "values of ln_final.weight are not finite" in outcome.error
    assert outcome.folder.last_version is None


STRATEGY = '''"""Leaves a NaN after its second task."""
import torch
from clbench.contracts import Strategy, StrategyConfig
from clbench.core.registry import STRATEGIES

@STRATEGIES.register("spoils", config=StrategyConfig)
class Spoils(Strategy[StrategyConfig]):
    """Puts it into its state or into the model."""
    memory = torch.zeros(4)
    def learn(self, task):
        if len(self.seen) == 2:
            WHERE[0] = torch.nan
    def state_dict(self):
        return {"kept": {"importance": self.memory}}
    def load_state_dict(self, state):
        self.memory = state["kept"]["importance"]
'''


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("self.memory", "1 of 4 values of /kept/importance are not finite"),
        ("self.learner.module.ln_final.weight.data", "1 of 32 values of ln_final.weight are not finite"),
    ],
)
def test_what_training_leaves_is_checked_before_it_is_tested_and_saved(
    where: str, told: str, write_suite: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "spoils.py").write_text(STRATEGY.replace("WHERE", where))
    (outcome,) = run(write_suite(str(tmp_path / "spoils.py")), tmp_path)
    assert outcome.error == f"version 2: training has left what is no model: {told}"
    assert (outcome.defect, outcome.folder.last_version) == (False, 1)


def test_a_last_step_that_went_too_far_is_told_though_every_loss_was_finite(
    write_suite: Callable[..., str], tmp_path: Path
) -> None:
    path = write_suite({"name": "finetune", "lr": 3e38, "warmup": 0.0}, budget={"steps": 1, "batch_size": 8})
    (outcome,) = run(path, tmp_path)
    assert outcome.status == "failed"
    assert "version 1" in outcome.error
    assert "not finite" in outcome.error
    assert "smaller" not in outcome.error


def test_saved_weights_that_were_damaged_are_told_when_a_cell_goes_on(
    write_suite: Callable[..., str], tmp_path: Path
) -> None:
    path = write_suite("finetune")
    (outcome,) = run(path, tmp_path)
    folder = outcome.folder.path
    key = VersionKey(stored(tmp_path, folder, 2).name, {})
    weights = {n: t.clone() for n, t in build_learner(outcome.cell.learner, 0, CPU).state_dict().items()}
    weights["ln_final.weight"][:3] = torch.nan
    store = VersionStore(tmp_path)
    version = store.find(key)
    assert version is not None
    store.save(key, version, weights, {"learn": {}})
    lose_last(tmp_path, folder, 3)
    assert CellFolder(folder).last_version == 2
    (again,) = run(path, tmp_path)
    assert "version 2: 3 of 32 values of ln_final.weight are not finite; --fresh computes the cell again" in again.error


def evaluated(learner: Learner, tasks: Sequence[Task], protocols: Any, version: int = 1) -> None:
    def samples(task: Task, split: Split) -> Samples:
        return learner.encode(task.load(split), task)

    Evaluator(Stream("made-up", tuple(tasks), protocols, "x"), "test", samples).evaluate(learner, version)


@pytest.mark.parametrize("protocol", ["task-id", "union"])
def test_scores_of_clip_that_overflow_are_told(tiny: Any, protocol: str) -> None:
    learner = build_learner(tiny.learner, 0, CPU)
    tasks = load_stream(tiny.stream).tasks
    evaluated(learner, tasks, (protocol,))
    learner.module.logit_scale.data.fill_(200.0)  # type: ignore[operator]
    message = rf"version 1, task 'one', protocol {protocol}: the model's scores of 15 of 15 samples are not finite"
    with pytest.raises(TrainingError, match=message):
        evaluated(learner, tasks, (protocol,))
    with pytest.raises(CheckpointError, match="version 0, task 'one'"):
        evaluated(learner, tasks, (protocol,), 0)


@pytest.mark.parametrize("protocol", ["task-id", "union", "open"])
@pytest.mark.parametrize("family", ["t5", "llama"])
@pytest.mark.parametrize("ensemble", [False, True])
def test_scores_of_tokens_that_overflow_are_told(
    family: str, protocol: Any, ensemble: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = build_learner(str(TESTS / f"tiny_{family}.py"), 0, CPU)
    tasks = [text_task("one"), text_task("two")]
    if ensemble:
        monkeypatch.setattr(learner, "predictor", partial(require(learner, Ensembles).ensemble, learner))
    evaluated(learner, tasks, (protocol,))
    head: nn.Module = learner.module.get_output_embeddings()  # type: ignore[operator]
    head.register_forward_hook(lambda module, inputs, scores: scores * torch.inf)
    with pytest.raises(
        TrainingError, match=rf"version 1, task 'one', protocol {protocol}: the model's scores of \d+ of 15"
    ):
        evaluated(learner, tasks, (protocol,))


def test_choices_without_a_likeliest_one_have_no_confidence() -> None:
    scores = torch.tensor([[0.0, 1.0], [torch.nan, 1.0], [-torch.inf, -torch.inf]])
    batch = {"choice.0": torch.zeros(3), "choice.1": torch.zeros(3), "label": torch.zeros(3, dtype=torch.int64)}
    found = best_choice(batch, scores, scores).confidence
    assert found is not None
    assert found.isfinite().tolist() == [True, False, False]


@pytest.mark.parametrize("name", ["disc", "tone", "box", "ends", "size"])
def test_answers_of_heads_that_overflow_are_told(name: str, tmp_path: Path) -> None:
    learner = build_learner(str(TESTS / "tiny_vit.py"), 0, CPU)
    task = next(task for task in load_stream(write_stream(tmp_path, "none")).tasks if task.name == name)
    learner.add_task(task)
    evaluated(learner, [task], ("task-id",))
    for p in learner.head(task).values():
        p.data.mul_(1e30)
    with pytest.raises(TrainingError, match=rf"task '{name}', protocol task-id: the model's scores of \d of 7 samples"):
        evaluated(learner, [task], ("task-id",))

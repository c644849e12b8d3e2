"""What every registered strategy must do with language models; the tests walk the registry."""

from pathlib import Path

import pytest
import torch
import yaml
from datasets import Dataset
from tests.strategies.cut_runs import FOR_TASKS, Killed, passes_of, run
from tests.strategies.part_cells import PARTS, entry
from tests.text_tasks import rows_of
from torch import Tensor

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.engine.suite import load_suite
from clbench.contracts import Budget, Context, Task, TextLimits
from clbench.contracts.updating import learn_task
from clbench.spec.ledger import read_ledger, task_scores
from clbench.spec.task import SPLITS
from clbench.strategies._training.gradient import GradientConfig, GradientStrategy

HERE = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two tasks of short texts, as files in the layout of real streams."""
    folder = tmp_path_factory.mktemp("texts")
    for name in ("one", "two"):
        for split in SPLITS:
            (folder / "data" / name).mkdir(parents=True, exist_ok=True)
            rows_of(name, split).to_parquet(folder / "data" / name / f"{split}.parquet")
    tasks = [{"name": name, "kind": "classification", "metric": "exact_match"} for name in ("one", "two")]
    card = {
        "name": "texts",
        "description": "Words in the middle of texts.",
        "loader": "text-parquet",
        "data": "data",
        "learner": str(HERE / "tiny_t5.py"),
        "limits": {"input_tokens": 32, "answer_tokens": 8},
        "protocols": ["open", "task-id", "union"],
        "order_reason": "none",
        "tasks": tasks,
    }
    (folder / "texts.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    return str(folder / "texts.yaml")


def cell_of(stream: str, folder: Path, strategy: object, learner: str = "t5", steps: int = 3) -> Cell:
    """The only cell of a suite over the stream."""
    values = {
        "streams": [stream],
        "learners": [str(HERE / f"tiny_{learner}.py")],
        "strategies": [strategy],
        "budget": {"steps": steps, "batch_size": 6},
    }
    (folder / "suite.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return load_suite(str(folder / "suite.yaml")).cells[0]


@pytest.mark.parametrize(("slot", "part"), PARTS)
def test_parts_on_a_language_model(slot: str, part: str, stream: str, tmp_path: Path) -> None:
    learner = "llama" if len(part) % 2 else "t5"  # half of the parts on each
    cell = cell_of(stream, tmp_path, entry("finetune", slot, part), learner)
    straight = run(cell, tmp_path / "straight")
    with pytest.raises(Killed):
        run(cell, tmp_path / "cut", stop_after=1)
    cut = run(cell, tmp_path / "cut")
    assert read_ledger(cut.path / "ledger.parquet").equals(read_ledger(straight.path / "ledger.parquet"))
    assert [cut.record(v).digest for v in range(3)] == [straight.record(v).digest for v in range(3)]
    assert passes_of(cut) == passes_of(straight)


@pytest.mark.parametrize("name", FOR_TASKS)
@pytest.mark.parametrize("learner", ["t5", "llama"])
def test_language_models_learn_and_resume_exactly(name: str, learner: str, stream: str, tmp_path: Path) -> None:
    cell = cell_of(stream, tmp_path, name, learner)
    straight = run(cell, tmp_path / "straight")
    with pytest.raises(Killed):
        run(cell, tmp_path / "cut", stop_after=1)
    cut = run(cell, tmp_path / "cut")
    assert read_ledger(cut.path / "ledger.parquet").equals(read_ledger(straight.path / "ledger.parquet"))
    digests = [straight.record(version).digest for version in range(3)]
    assert [cut.record(version).digest for version in range(3)] == digests
    assert passes_of(cut) == passes_of(straight)
    assert name == "zero-shot" or len(set(digests)) == 3


@pytest.mark.parametrize("name", ["finetune", "ewc", "lora", "osft"])
def test_the_first_task_is_learnt_so_that_it_can_be_said(name: str, stream: str, tmp_path: Path) -> None:
    """Greedy decoding says the right word, also after training through Avalanche, which sees class scores only."""
    cell = cell_of(stream, tmp_path, {"name": name, "lr": 0.02}, steps=80)
    with pytest.raises(Killed):
        run(cell, tmp_path / "cell", stop_after=1)
    scores = task_scores(CellFolder(tmp_path / "cell").rows(1), "open")
    assert scores[1, "one"] > 0.9


class Watched(GradientStrategy[GradientConfig]):
    """Keeps the gradients of its last step."""

    def after_backward(self, task: Task) -> None:
        """Copy them."""
        self.found = {name: p.grad.clone() for name, p in self.learner.trainable().items() if p.grad is not None}


@pytest.mark.parametrize("learner", ["t5", "llama"])
def test_accumulated_gradients_are_the_whole_batchs_where_answers_differ_in_length(learner: str) -> None:
    def gradients(micro: int | None) -> dict[str, Tensor]:
        model = build_learner(str(HERE / f"tiny_{learner}.py"), 0, torch.device("cpu"))
        samples = model.encode(rows, task)
        context = Context(
            learner=model,
            budget=Budget(steps=1, batch_size=8, micro_batch=micro),
            seed=0,
            samples=lambda task, split: samples,
            new_learner=lambda: model,
            progress=lambda step, total: None,
            record=lambda name, value: None,
        )
        strategy = Watched(GradientConfig(), context)
        learn_task(strategy, task)
        return strategy.found

    answers = ["a", "long enough to count more", "bc", "def"] * 2
    rows = Dataset.from_dict({"sample_id": list("01234567"), "text": [f"say {n}" for n in range(8)], "answer": answers})
    limits = TextLimits(input_tokens=32, answer_tokens=40)
    task = Task("uneven", "generation", "exact_match", lambda split: rows, str, limits=limits)
    whole = gradients(None)
    for micro in (1, 3, 8):
        parts = gradients(micro)
        for name, gradient in whole.items():
            torch.testing.assert_close(parts[name], gradient, atol=1e-5, rtol=1e-4, msg=name)

"""Probes by lm-evaluation-harness: a task of our own, against plain forward passes; what is told where it cannot be."""

import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import yaml
from mlflow import MlflowClient
from tests.benchmarks.stored_versions import stored
from tests.command import Command
from tests.text_tasks import SIZES, rows_of

from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.engine.runner import RunOptions, SuiteResult, run_suite
from clbench.benchmarks.engine.suite import Suite, load_suite
from clbench.benchmarks.evaluation.harness_probe import HarnessProbe
from clbench.contracts import LanguageModel, Learner, require
from clbench.core.checkpoints import load_tensors
from clbench.core.errors import ConfigError

CPU = torch.device("cpu")
ROWS = [
    {"question": "A salmon is a", "label": 0},
    {"question": "An eagle is a", "label": 1},
    {"question": "The trout, which lives in rivers, is a", "label": 0},
    {"question": "The sparrow is a", "label": 1},
    {"question": "Where the river meets the sea there was a", "label": 1},
]
CHOICES = ["fish", "bird"]


class Silent:
    """A listener that does nothing."""

    def on_cell_start(self, *arguments: object) -> None:
        """Nothing."""

    on_version_end = on_cell_end = on_step = on_problem = on_cell_start


def run(suite: Suite, out: Path, probe: HarnessProbe | None) -> SuiteResult:
    return run_suite(suite, RunOptions(out, CPU, f"sqlite:///{out / 'mlflow.db'}", probe=probe), Silent())


@pytest.fixture
def harness_task(tmp_path: Path) -> str:
    """The YAML file of a task."""
    (tmp_path / "rows.json").write_text(json.dumps(ROWS))
    values = {
        "task": "swims",
        "dataset_path": "json",
        "dataset_kwargs": {
            "data_files": {"test": str(tmp_path / "rows.json")},
            "cache_dir": str(tmp_path / "cache"),
        },
        "output_type": "multiple_choice",
        "test_split": "test",
        "doc_to_text": "{{question}}",
        "doc_to_choice": CHOICES,
        "doc_to_target": "label",
        "metric_list": [{"metric": "acc"}],
    }
    (tmp_path / "swims.yaml").write_text(yaml.safe_dump(values))
    return str(tmp_path / "swims.yaml")


@pytest.fixture
def text_suite(tmp_path: Path) -> Suite:
    """One task of made-up texts, learnt by mini-llama in two steps."""
    for split in SIZES:
        path = tmp_path / "data" / "two" / f"{split}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows_of("two", split).to_parquet(path)
    card = {
        "name": "texts",
        "description": "Made up.",
        "loader": "text-parquet",
        "data": "data",
        "learner": "mini-llama",
        "protocols": ["task-id"],
        "order_reason": "none",
        "limits": {"input_tokens": 32, "answer_tokens": 8},
        "tasks": [{"name": "two", "kind": "classification", "metric": "exact_match"}],
    }
    (tmp_path / "texts.yaml").write_text(yaml.safe_dump(card))
    suite = {
        "streams": [str(tmp_path / "texts.yaml")],
        "strategies": [{"name": "finetune", "lr": 0.01}],
        "budget": {"steps": 2, "batch_size": 8},
    }
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
    return load_suite(str(tmp_path / "suite.yaml"))


@torch.no_grad()
def accuracy(learner: Learner) -> float:
    """How often the right choice is the likelier one, by one plain forward pass each."""
    model, tokenizer = require(learner, LanguageModel).language_model()

    def likelihood(question: str, choice: str) -> float:
        begun, whole = (tokenizer(text)["input_ids"] for text in (question, f"{question} {choice}"))
        scores = model(input_ids=torch.tensor([whole])).logits[0].log_softmax(dim=-1)
        return sum(float(scores[at - 1, whole[at]]) for at in range(len(begun), len(whole)))

    right = [max(range(2), key=lambda k: likelihood(str(row["question"]), CHOICES[k])) == row["label"] for row in ROWS]
    return sum(right) / len(right)


@pytest.mark.slow
def test_a_finished_cell_is_probed_before_and_after_once(text_suite: Suite, harness_task: str, tmp_path: Path) -> None:
    pytest.importorskip("lm_eval", reason="pip install 'clbench[lm-eval]'")
    out = tmp_path / "out"
    (trained,) = run(text_suite, out, None).outcomes
    assert trained.status == "finished"
    assert trained.folder.probes.all() == {}
    digest, probe = text_suite.cells[0].digest, HarnessProbe((harness_task,))
    (kept,) = run(text_suite, out, probe).outcomes
    assert (kept.status, kept.error, kept.cell.digest) == ("kept", "", digest)

    after = build_learner("mini-llama", 0, CPU)
    before = accuracy(after)
    after.load_state_dict(load_tensors(stored(out, kept.folder.path, 1) / "weights.safetensors"))
    wanted = {0: before, 1: accuracy(after)}
    found = {version: answers for version, ((_, answers),) in _items(kept.folder)}
    assert {version: numbers["lm-eval/swims/acc"] for version, numbers in found.items()} == pytest.approx(wanted)

    client = MlflowClient(f"sqlite:///{out / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("clbench")
    assert experiment is not None
    (logged,) = client.search_runs([experiment.experiment_id], "tags.`clbench.kind` = 'cell'")
    history = client.get_metric_history(logged.info.run_id, "probe/lm-eval/swims/acc")
    assert {point.step: point.value for point in history} == pytest.approx(wanted)

    written = (kept.folder.path / "probes.json").stat().st_mtime_ns
    assert run(text_suite, out, probe).outcomes[0].status == "kept"
    assert (kept.folder.path / "probes.json").stat().st_mtime_ns == written
    assert len(client.get_metric_history(logged.info.run_id, "probe/lm-eval/swims/acc")) == 2


def _items(folder: CellFolder) -> list[tuple[int, list[tuple[str, dict[str, float]]]]]:
    return [(version, list(answers.items())) for version, answers in folder.probes.all().items()]


def test_a_learner_that_is_no_language_model_is_told_before_it_is_trained(
    write_suite: Callable[..., str], tmp_path: Path
) -> None:
    (outcome,) = run(load_suite(write_suite("finetune")), tmp_path / "out", HarnessProbe(("mmlu",))).outcomes
    assert outcome.status == "failed"
    assert (
        outcome.error == "learner tiny-clip lacks what --probe needs: a language model with a tokenizer (LanguageModel)"
    )
    assert outcome.folder.last_version is None


def test_so_is_one_whose_tokens_are_bytes() -> None:
    learner = build_learner(str(Path(__file__).parents[1] / "tiny_llama.py"), 0, CPU)
    with pytest.raises(ConfigError, match="tiny-llama: reads bytes; a language model with a tokenizer is needed"):
        require(learner, LanguageModel).language_model()


@pytest.mark.parametrize("given", ["mmlu", "lm-evil:mmlu", "lm-eval:", "lm-eval: ,"])
def test_what_is_no_probe_is_refused(given: str, clbench: Command) -> None:
    done = clbench("run", "smoke", "--probe", given)
    assert done.returncode == 2
    assert done.stderr.strip() == f"error: --probe must be lm-eval: and tasks separated by commas, got {given!r}"


def test_a_missing_package_is_told(clbench: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    assert find_spec("lm_eval") is None
    done = clbench("run", "smoke", "--probe", "lm-eval:mmlu")
    assert done.returncode == 2
    assert done.stderr.strip() == "error: --probe: lm-eval is not installed: pip install 'clbench[lm-eval]'"


@pytest.mark.slow
def test_an_unknown_task_is_told(clbench: Command) -> None:
    pytest.importorskip("lm_eval", reason="pip install 'clbench[lm-eval]'")
    done = clbench("run", "smoke", "--probe", "lm-eval:helaswag")
    assert done.returncode == 2
    assert "error: --probe: lm-eval has no task or file 'helaswag': did you mean 'hellaswag'" in done.stderr


def test_a_file_of_a_task_with_a_key_twice_is_told(harness_task: str) -> None:
    with Path(harness_task).open("a") as file:
        file.write("process_docs: !function utils.process\ntask: other\n")
    with pytest.raises(ConfigError, match=r"swims\.yaml is not sound YAML: key 'task' is there twice, in lines"):
        HarnessProbe((harness_task,)).require()


def test_numbers_of_probes_are_kept_by_version_and_question(tmp_path: Path) -> None:
    folder = CellFolder(tmp_path)
    (tmp_path / "versions" / "0002").mkdir(parents=True)
    assert folder.probes.missing(["a", "b"], 2) == {0: ["a", "b"], 2: ["a", "b"]}
    folder.probes.save(0, "a", {"x": 0.5})
    folder.probes.save(2, "a", {"x": 0.25})
    folder.probes.save(2, "b", {"y": 1.0})
    assert folder.probes.all() == {0: {"a": {"x": 0.5}}, 2: {"a": {"x": 0.25}, "b": {"y": 1.0}}}
    assert folder.probes.missing(["a", "b"], 2) == {0: ["b"]}

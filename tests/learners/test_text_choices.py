"""Multiple choice with choices of every sample's own, against one plain forward pass a choice."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from tests.learners.test_text import CPU, LEARNERS, negative_log_likelihoods

from clbench.benchmarks.engine.learners import build_learner
from clbench.contracts import Batch, Predictions, Task, TextLimits
from clbench.core.errors import DataError
from clbench.learners._text.choices import ranked
from clbench.learners._text.text_learner import TextLearner

ROWS = [
    ("how to open a jar?", ["twist it", "eat it with a very long spoon"], 0),
    ("what then?", ["nothing", "no"], 1),
    ("and at last, when all is said and done?", ["rest", "twist it"], 1),
]


@pytest.fixture(params=LEARNERS, ids=["t5", "llama"])
def learner(request: pytest.FixtureRequest) -> TextLearner:
    found = build_learner(request.param, 0, CPU)
    assert isinstance(found, TextLearner)
    return found


def task_of(metric: str = "acc", rows: Any = ROWS) -> Task:
    data = Dataset.from_list(
        [
            {"sample_id": text, "text": text, "answer": choices[min(label, 1)], "choices": choices, "label": label}
            for text, choices, label in rows
        ]
    )
    limits = TextLimits(input_tokens=64, answer_tokens=40)
    return Task("jars", "classification", metric, lambda split: data, str, limits=limits)


def batch_of(learner: TextLearner, task: Task) -> Batch:
    return learner.encode(task.load("test"), task).batch(slice(None))


def predicted(learner: TextLearner, task: Task) -> Predictions:
    with torch.no_grad():
        return learner.predictor([task], ["task-id"])(batch_of(learner, task), task)["task-id"]


def by_hand(learner: TextLearner) -> torch.Tensor:
    """Log-likelihoods without the end mark, `(3, 2)`."""
    with torch.no_grad():
        sums = [[-negative_log_likelihoods(learner, text, c)[:-1].sum() for c in choices] for text, choices, _ in ROWS]
    return torch.tensor(sums)


@pytest.mark.parametrize("metric", ["acc", "acc_norm"])
def test_the_likeliest_choice_is_taken(learner: TextLearner, metric: str) -> None:
    found, scores = predicted(learner, task_of(metric)), by_hand(learner)
    lengths = torch.tensor([[len(choice) for choice in choices] for _, choices, _ in ROWS])
    ranks = scores / lengths if metric == "acc_norm" else scores
    assert isinstance(found.prediction, torch.Tensor)
    assert found.correct is not None
    assert found.confidence is not None
    assert found.target is not None
    assert found.prediction.tolist() == ranks.argmax(dim=1).tolist()
    assert found.target.tolist() == [0, 1, 1]
    assert found.names == ["choice 1", "choice 2"]
    assert found.correct.tolist() == (found.prediction == found.target).tolist()
    shares = scores.softmax(dim=1)[torch.arange(3), found.prediction]
    torch.testing.assert_close(found.confidence, shares, rtol=1e-4, atol=1e-5)


def test_acc_norm_divides_by_characters() -> None:
    batch = {f"choice.{i}.characters": torch.tensor([length]) for i, length in enumerate((2, 10))}
    batch |= {f"choice.{i}": torch.zeros(1, 1) for i in range(2)}
    scores = torch.tensor([[-4.0, -10.0]])
    assert ranked(batch, scores, task_of("acc")).tolist() == [[-4, -10]]
    assert ranked(batch, scores, task_of("acc_norm")).tolist() == [[-2, -1]]


def test_an_ensemble_averages_the_choices_probabilities() -> None:
    task, learner, other = (
        task_of(),
        build_learner(f"{LEARNERS[1]}:a", 0, CPU),
        build_learner(f"{LEARNERS[1]}:b", 0, CPU),
    )
    assert isinstance(learner, TextLearner)
    assert isinstance(other, TextLearner)
    first, second = by_hand(learner), by_hand(other)
    with torch.no_grad():
        found = learner.ensemble(other, [task], ["task-id"])(batch_of(learner, task), task)["task-id"]
    mean = (first.softmax(dim=1) + second.softmax(dim=1)) / 2
    assert isinstance(found.prediction, torch.Tensor)
    assert found.confidence is not None
    assert found.prediction.tolist() == mean.argmax(dim=1).tolist()
    torch.testing.assert_close(found.confidence, mean.max(dim=1).values, rtol=1e-4, atol=1e-5)


def test_free_answers_are_written_where_the_task_is_known(learner: TextLearner) -> None:
    data = Dataset.from_list([{"sample_id": text, "text": text, "answer": "so"} for text, _, _ in ROWS])
    limits = TextLimits(input_tokens=64, answer_tokens=6)
    task = Task("free", "generation", "rouge_1", lambda split: data, str, limits=limits)
    with torch.no_grad():
        found = learner.predictor([task], ["open", "task-id"])(batch_of(learner, task), task)
    assert found["task-id"].prediction == found["open"].prediction
    assert all(isinstance(text, str) for text in found["open"].prediction)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("which?", ["a", "b", "c"], 0), "sample 'which?': wanted 2 choices, one right, got 3 choices and label 0"),
        (("which?", ["a", "b"], 2), "wanted 2 choices, one right, got 2 choices and label 2"),
    ],
)
def test_rows_that_do_not_fit_are_refused(row: Any, message: str) -> None:
    learner = build_learner(LEARNERS[1], 0, CPU)
    task = task_of(rows=[*ROWS, row])
    with pytest.raises(DataError) as told:
        learner.encode(task.load("test"), task)
    assert message in str(told.value)


def test_phi_is_a_learner(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PhiConfig, PhiForCausalLM, PreTrainedTokenizerFast

    letters = {letter: number for number, letter in enumerate(["<|endoftext|>", *pre_tokenizers.ByteLevel.alphabet()])}
    made = Tokenizer(models.BPE(vocab=letters, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer: Any = PreTrainedTokenizerFast
    tokenizer(tokenizer_object=made, eos_token="<|endoftext|>").save_pretrained(tmp_path)
    shape: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    PhiForCausalLM(PhiConfig(vocab_size=len(letters), num_attention_heads=2, **shape)).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "phi"
    learner = build_learner(f"llama:{tmp_path}", 0, CPU)
    assert isinstance(learner, TextLearner)
    layers = learner.linear_layers()
    assert {layer.role for layer in layers} == {"q", "k", "v", "out", "up", "down"}
    assert len(layers) == 2 * 6
    task = task_of()
    batch = batch_of(learner, task)
    assert torch.isfinite(learner.loss(batch, task))
    assert predicted(learner, task).correct is not None

"""Scores unit by unit: they are the losses that learners have, for whole sequences those of a plain forward pass."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.text_tasks import text_task

from clbench.benchmarks.engine.learners import build_learner
from clbench.contracts import Samples, ScoresTokens, Task, require
from clbench.learners._text.loading import ByteTokens
from clbench.learners._text.tokens import TextTokens
from clbench.streams.card import load_stream

TESTS = Path(__file__).parents[1]
CPU = torch.device("cpu")


def encoded(learner: Any, task: Task) -> Samples:
    samples: Samples = learner.encode(task.load("train"), task)
    return samples


@pytest.mark.parametrize("name", ["tiny_llama", "tiny_t5"])
def test_the_mean_over_the_answers_units_is_the_task_loss(name: str) -> None:
    learner, task = build_learner(str(TESTS / f"{name}.py"), 0, CPU), text_task("two")
    batch = encoded(learner, task).batch(slice(7))
    units = require(learner, ScoresTokens).token_logits(batch, task, answers_only=True)
    torch.testing.assert_close(F.cross_entropy(units.logits, units.target), learner.loss(batch, task))
    assert units.sequence.bincount().tolist() == batch["answer.width"].tolist()
    assert len(units.target) == learner.loss_terms(batch)
    assert len(require(learner, ScoresTokens).token_logits(batch, task).target) == learner.loss_terms(
        batch, answers_only=False
    )


def test_the_mean_over_a_clips_units_is_its_loss(tiny: Any) -> None:
    learner, task = build_learner(tiny.learner, 0, CPU), load_stream(tiny.stream).tasks[1]
    batch = encoded(learner, task).batch(slice(7))
    units = require(learner, ScoresTokens).token_logits(batch, task)
    torch.testing.assert_close(F.cross_entropy(units.logits, units.target), learner.loss(batch, task))
    assert units.logits.shape == (7, 3)
    assert len(units.target) == learner.loss_terms(batch)
    assert units.sequence.tolist() == list(range(7))


def test_a_decoders_units_are_all_tokens_but_the_first_as_a_plain_forward_pass_scores_them() -> None:
    learner: Any = build_learner(str(TESTS / "tiny_llama.py"), 0, CPU)
    task = text_task("two")
    samples = encoded(learner, task)
    units = learner.token_logits(samples.batch(torch.tensor([3, 0, 5])), task)
    start = 0
    for place, sample in enumerate((3, 0, 5)):
        row = samples.batch(slice(sample, sample + 1))
        text = row["input"][0, : row["input.width"][0]].long()
        whole = torch.cat([text, row["answer"][0, : row["answer.width"][0]].long()])
        logits = learner.module(whole.unsqueeze(0)).logits[0, :-1]
        end = start + len(whole) - 1
        assert torch.equal(units.target[start:end], whole[1:])
        assert units.sequence[start:end].tolist() == [place] * (len(whole) - 1)
        torch.testing.assert_close(units.logits[start:end], logits, atol=1e-5, rtol=1e-4)
        start = end
    assert start == len(units.target)


def test_vocabularies_are_equal_for_equal_tokenizers_only() -> None:
    one, two = (build_learner(f"{TESTS / 'tiny_llama.py'}:{name}", 0, CPU) for name in "ab")
    assert one.output_space() == two.output_space()
    changed = TextTokens(ByteTokens(offset=4), "other", ends_inputs=False)
    assert changed.digest() != TextTokens(ByteTokens(), "other", ends_inputs=False).digest()


def test_a_vocabulary_does_not_depend_on_what_was_tokenised_before() -> None:
    learner: Any = build_learner("mini-llama:v1", 0, CPU)
    before = learner.output_space()
    learner.tokens.inputs(["some words"], 3)  # sets the truncation of the tokenizer itself
    assert learner.output_space() == before

"""mini-t5 and mini-llama as they ship: size, tokenizer, what they say of their stream before they learn it."""

from importlib.resources import files
from pathlib import Path

import pytest
import torch

from clbench.benchmarks.engine.learners import build_learner
from clbench.core.errors import ConfigError
from clbench.learners._text.text_learner import TextLearner
from clbench.streams.card import load_stream

CPU = torch.device("cpu")
NAMES = ("mini-t5", "mini-llama:v1", "mini-llama:v2")
MODELS = Path(str(files("clbench.learners")))
MOST = 6 * 2**20


def learner_of(name: str) -> TextLearner:
    learner = build_learner(name, 0, CPU)
    assert isinstance(learner, TextLearner)
    return learner


@pytest.mark.parametrize("name", NAMES)
def test_they_are_small_and_say_every_label(name: str) -> None:
    folder, _, release = name.replace("-", "_").partition(":")
    assert (MODELS / folder / release / "model.safetensors").stat().st_size <= MOST
    learner = learner_of(name)
    for task in load_stream("text-open").tasks:
        tokens = learner.label_tokens([task])
        assert learner.tokens.texts(tokens["answer"]) == list(task.classes)
        assert int(tokens["answer.width"].max()) <= 8


@pytest.mark.parametrize("name", NAMES)
def test_held_out_text_is_likelier_than_chance(name: str) -> None:
    assert 1 < learner_of(name).general_ability()["perplexity"] < 2000  # of 8,000 words


def test_both_releases_are_one_architecture_and_tokenizer_and_not_one_model() -> None:
    one, two = learner_of("mini-llama:v1"), learner_of("mini-llama:v2")
    assert one.output_space() == two.output_space()
    assert {n: p.shape for n, p in one.trainable().items()} == {n: p.shape for n, p in two.trainable().items()}
    assert one.digest() != two.digest()
    assert learner_of("mini-llama").digest() == one.digest()


@pytest.mark.parametrize("name", ["mini-t5:large", "mini-llama:v3", "smollm2:big"])
def test_arguments_that_mean_nothing_are_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        build_learner(name, 0, CPU)

"""What testing by decoding costs beside the bare model: the evaluator beside `generate` on the same batches.

All test samples of a text stream under `open`. The evaluator adds order, batches, texts, scores and ledger rows.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

import torch

from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.engine.samples import SampleStore
from clbench.benchmarks.evaluation.evaluator import Evaluator, test_order
from clbench.benchmarks.performance._measuring import DeviceClock, default_device, describe_machine, take_turns
from clbench.benchmarks.performance._report import Comparison, Report
from clbench.contracts import Batch, Stream, Task
from clbench.core.errors import ConfigError
from clbench.learners._text.text_learner import TextLearner
from clbench.streams.card import load_stream

TURNS = 3


def generate_all(learner: TextLearner, batches: list[tuple[Task, Batch]]) -> int:
    """Decode all batches; returns how many tokens were written, padding included."""
    tokens = 0
    with torch.no_grad(), learner.autocast():
        for task, batch in batches:
            assert task.limits is not None
            tokens += learner.generate(batch, task.limits.answer_tokens).numel()
    return tokens


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Learner and stream."""
    parser.add_argument("learner", nargs="?", default="mini-t5", help="a language model (default: %(default)s)")
    parser.add_argument("--stream", default="text-open", help="stream of texts (default: %(default)s)")


def measure(options: argparse.Namespace) -> Report:
    """The evaluator and `generate` alone, in turn.

    Raises:
        ConfigError: For a learner that is no language model.
    """
    device = default_device()
    clock = DeviceClock(device)
    learner = build_learner(options.learner, 0, device)
    if not isinstance(learner, TextLearner):
        raise ConfigError(f"learner: wanted a language model, got {options.learner}")
    whole = load_stream(options.stream)
    stream = Stream(whole.name, whole.tasks, ("open",), whole.learner)
    with tempfile.TemporaryDirectory() as folder:
        samples = SampleStore(device, Path(folder)).of(whole.name, learner, options.learner)
        evaluator = Evaluator(stream, "test", samples)
        batches = [
            (task, samples(task, "test").batch(index))
            for task in stream.tasks
            for index in test_order(samples(task, "test"), learner)
        ]
        ways = {
            "generate alone": partial(clock.seconds, partial(generate_all, learner, batches)),
            "evaluator": partial(clock.seconds, partial(evaluator.evaluate, learner, 0)),
        }
        found = Comparison("testing", "s", "generate alone", take_turns(ways, options.turns, "testing"))
    tokens, seconds = generate_all(learner, batches), found.median("evaluator")
    figures = {
        "samples": float(sum(len(samples(task, "test")) for task in stream.tasks)),
        "tokens": float(tokens),
        "tokens a second, evaluator": tokens / seconds,
        "bare time over ours": 1 / found.ratio("evaluator"),
    }
    settings = {"learner": options.learner, "stream": options.stream}
    return Report("decoding", describe_machine(device), settings, [found], figures)

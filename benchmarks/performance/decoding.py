"""What testing by decoding costs beside the bare model: `python -m clbench.benchmarks.performance.decoding [LEARNER]`.

All test samples of text-mini under `open`, once through the evaluator (order, batches, texts, scores, ledger rows) and
once through `generate` alone on the same batches, in turn, so that a busy machine slows both alike.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from clbench.benchmarks.engine.execution import build_learner
from clbench.benchmarks.engine.samples import SampleStore
from clbench.benchmarks.evaluation.evaluator import Evaluator, test_order
from clbench.contracts import Batch, Stream, Task
from clbench.core import strict_json
from clbench.learners._text.text_learner import TextLearner
from clbench.streams.card import load_stream

TURNS = 3


def main() -> None:
    """Measure and print as JSON."""
    name = sys.argv[1] if len(sys.argv) > 1 else "mini-t5"
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    learner = build_learner(name, 0, device)
    assert isinstance(learner, TextLearner), f"{name} is no language model"
    whole = load_stream("text-mini")
    stream = Stream(whole.name, whole.tasks, ("open",), whole.learner)
    with tempfile.TemporaryDirectory() as folder:
        samples = SampleStore(device, Path(folder)).of(whole.name, learner, name)
        evaluator = Evaluator(stream, "test", samples)
        batches = [
            (task, samples(task, "test").batch(index))
            for task in stream.tasks
            for index in test_order(samples(task, "test"), learner)
        ]
        ours, bare, tokens = [], [], 0
        for _ in range(TURNS + 1):  # the first turn warms up
            ours.append(_seconds(device, lambda: evaluator.evaluate(learner, 0)))
            bare.append(_seconds(device, lambda: _decode(learner, batches)))
        with torch.no_grad(), learner.autocast():
            for task, batch in batches:
                tokens += learner.generate(batch, _limit(task)).numel()
    seconds, alone = statistics.median(ours[1:]), statistics.median(bare[1:])
    report = {
        "learner": name,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads",
        "samples": sum(len(samples(task, "test")) for task in stream.tasks),
        "tokens": tokens,
        "tokens_a_second": tokens / seconds,
        "bare_generate_over_testing": alone / seconds,
    }
    print(strict_json.dumps(report, indent=1))  # noqa: T201


def _decode(learner: TextLearner, batches: list[tuple[Task, Batch]]) -> None:
    with torch.no_grad(), learner.autocast():
        for task, batch in batches:
            learner.generate(batch, _limit(task))


def _limit(task: Task) -> int:
    assert task.limits is not None
    return task.limits.answer_tokens


def _seconds(device: torch.device, work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()

"""The evaluator: after every version it tests all tasks and keeps every prediction."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from clbench.benchmarks.clock import Clock
from clbench.benchmarks.evaluation.split_predictions import predictions_of
from clbench.benchmarks.evaluation.truth_cache import TruthCache
from clbench.contracts import EvalProtocol, Learner, Predictions, Predictor, Samples, Split, Stream, Task
from clbench.core.errors import CheckpointError, TrainingError
from clbench.core.finite import finite_rows
from clbench.kinds import kind_of
from clbench.scoring.images import ImageScorer
from clbench.scoring.text.answers import SCORES
from clbench.spec.ledger import SCHEMA

MEASURES = SCHEMA.field("measures").type


class Evaluator:
    """Tests versions of one learner on one stream.

    Test data are decoded once (by `samples`). A version is forwarded once for all protocols, without gradient;
    predictions stay on the device until a task is done and then come over in one go.

    Args:
        stream: The stream.
        split: Part of the tasks that is tested.
        samples: Returns the encoded samples of a task, on the learner's device.
        clock: Counts the time of preparing the truth of images.
    """

    def __init__(
        self, stream: Stream, split: Split, samples: Callable[[Task, Split], Samples], clock: Clock | None = None
    ) -> None:
        self._stream = stream
        self._split = split
        self._samples = samples
        self._truth = TruthCache(clock=clock)

    def evaluate(
        self,
        learner: Learner,
        version: int,
        predictor_of: Callable[[Sequence[Task], Sequence[EvalProtocol]], Predictor] | None = None,
    ) -> pa.Table:
        """Test one version under all protocols on all tasks of the stream that the learner can be tested on.

        Args:
            learner: The learner at this version.
            version: Number of the version.
            predictor_of: Makes the predictor; None for that of the learner.

        Returns:
            Ledger rows, by task, then protocol, then sample.

        Raises:
            TrainingError: When scores are not finite, from which nothing can be predicted.
            CheckpointError: The same at version 0, before any training.
        """
        learner.module.eval()
        tables = [SCHEMA.empty_table()]
        tasks = [task for task in self._stream.tasks if learner.can_test(task)]
        # No inference mode: what a learner caches in it (tokens, say) could not be used in training afterwards.
        with torch.no_grad(), learner.autocast():
            predictor = (predictor_of or learner.predictor)(tasks, self._stream.protocols)
            for task in tasks:
                samples = self._samples(task, self._split)
                order = test_order(samples, learner)
                parts = predictions_of(predictor, samples, task, order)
                back = _positions_in_order(order)
                for protocol in self._stream.protocols:
                    given = [part[protocol] for part in parts]
                    _require_finite(given, version, f"task {task.name!r}, protocol {protocol}")
                    found = self._answers(task, samples, back, given)
                    tables.append(_rows(version, protocol, task, samples, found))
        return pa.concat_tables(tables)

    def _answers(
        self, task: Task, samples: Samples, back: pa.Array | None, parts: Sequence[Predictions]
    ) -> dict[str, pa.Array]:
        """Columns of the ledger that depend on the predictions, in the order of the samples."""
        scorer = kind_of(task.kind).scorer(task)
        if scorer is not None:
            truths = self._truth.of(task, samples, scorer)
            return _of_images(scorer, truths, back, parts)
        if isinstance(parts[0].prediction, list):
            return _texts_of(task, samples, back, parts)
        return _classes_of(back, parts)


def test_order(samples: Samples, learner: Learner) -> list[Tensor | slice]:
    """Batches of positions: in the order of the samples, or the longest first where samples are padded.

    Batches of long samples are small, so that none takes more memory than `test_batch` samples of `test_width`.
    """
    n, size = len(samples), learner.test_batch
    lengths = samples.lengths
    if lengths is None:
        return [slice(i, min(i + size, n)) for i in range(0, n, size)]
    by_length = lengths.argsort(descending=True, stable=True)
    batches: list[Tensor | slice] = []
    start = 0
    while start < n:
        widest = max(1, int(lengths[by_length[start]]))
        count = max(1, min(size, size * learner.test_width // widest))
        batches.append(by_length[start : start + count])
        start += count
    return batches


def _require_finite(parts: Sequence[Predictions], version: int, where: str) -> None:
    """Refuse predictions that were read from NaN or infinity; the device is waited for once."""
    found = torch.cat([_finite(part) for part in parts])
    bad = len(found) - int(found.sum())
    if bad:
        kind = TrainingError if version else CheckpointError
        raise kind(f"version {version}, {where}: the model's scores of {bad} of {len(found)} samples are not finite")


def _finite(part: Predictions) -> Tensor:
    """Whether all numbers of a prediction are finite, bool `(n,)`."""
    known = [part.confidence, part.probabilities]
    if isinstance(part.prediction, Tensor) and part.prediction.is_floating_point():
        known.append(part.prediction)
    given = [finite_rows(tensor) for tensor in known if tensor is not None]
    given += [part.finite] if part.finite is not None else []
    return torch.stack(given).all(dim=0) if given else torch.ones(len(part.prediction), dtype=torch.bool)


def _positions_in_order(order: Sequence[Tensor | slice]) -> pa.Array | None:
    """Position of each sample among those tested in `order`; None where they are tested in their own order."""
    positions = [index for index in order if isinstance(index, Tensor)]
    return pa.array(torch.cat(positions).argsort().numpy()) if positions else None


def _rows(version: int, protocol: EvalProtocol, task: Task, samples: Samples, found: dict[str, pa.Array]) -> pa.Table:
    n = len(samples)
    columns = {
        "version": pa.array(np.full(n, version, np.int32)),
        "protocol": _constant(protocol, n),
        "task": _constant(task.name, n),
        "sample_id": samples.ids,
        **{name: found.get(name, pa.nulls(n, SCHEMA.field(name).type)) for name in SCHEMA.names[4:]},
    }
    return pa.table(columns, schema=SCHEMA)


def _classes_of(back: pa.Array | None, parts: Sequence[Predictions]) -> dict[str, pa.Array]:
    """Columns of class predictions: names of classes by their indices, correctness, confidence, probabilities."""
    names = parts[0].names
    columns = {
        "prediction": _named([cast(Tensor, part.prediction) for part in parts], names),
        "target": _named([cast(Tensor, part.target) for part in parts], names),
        "correct": _numbers([part.correct for part in parts], pa.bool_()),
        "score": _numbers([part.score for part in parts], pa.float64()),
        "confidence": _numbers([part.confidence for part in parts], pa.float32()),
        "measures": _probabilities([part.probabilities for part in parts], names),
    }
    return {name: c if back is None else c.take(back) for name, c in columns.items() if c is not None}


def _of_images(
    scorer: ImageScorer[Any], truths: Iterable[Any], back: pa.Array | None, parts: Sequence[Predictions]
) -> dict[str, pa.Array]:
    """Columns of predictions on images: label maps, boxes, keypoints and values, compared with the truth.

    Args:
        scorer: Compares them.
        truths: The truth of every sample.
        back: Position of each sample among those tested; None where these are in the order of the samples.
        parts: The predictions.
    """
    predictions = torch.cat([cast(Tensor, part.prediction) for part in parts]).cpu().numpy()
    if back is not None:
        predictions = predictions[back.to_numpy()]
    scores = [scorer.score(truth, one) for truth, one in zip(truths, predictions, strict=True)]
    return {
        "prediction": pa.array([found.prediction for found in scores], pa.string()),
        "target": pa.array([found.target for found in scores], pa.string()),
        "score": pa.array([found.score for found in scores], pa.float64()),
        "measures": pa.array([list(found.measures.items()) for found in scores], MEASURES),
    }


def _texts_of(task: Task, samples: Samples, back: pa.Array | None, parts: Sequence[Predictions]) -> dict[str, pa.Array]:
    """Columns of text predictions, compared with the answers by the task's metric."""
    prediction = pa.array([text for part in parts for text in part.prediction], pa.string())
    if back is not None:
        prediction = prediction.take(back)
    answers, sources = samples.truth["answer"], samples.truth["source"]
    metric = SCORES[task.metric]
    values = metric(sources.to_pylist(), prediction.to_pylist(), answers.to_pylist())
    return {"prediction": prediction, "target": answers, "score" if metric.graded else "correct": pa.array(values)}


def _probabilities(parts: Sequence[Tensor | None], names: Sequence[str]) -> pa.Array | None:
    """`probability/<class>` of every class, in the order of the labels."""
    if parts[0] is None:
        return None
    found = torch.cat(cast(list[Tensor], parts)).double().cpu().numpy()
    ends = np.arange(len(found) + 1) * len(names)
    keys = _constant_order([f"probability/{name}" for name in names], len(found))
    return pa.MapArray.from_arrays(pa.array(ends, pa.int32()), keys, pa.array(found.ravel()))


def _constant_order(texts: Sequence[str], times: int) -> pa.Array:
    return pa.array(list(texts), pa.string()).take(pa.array(np.tile(np.arange(len(texts)), times)))


def _constant(text: str, n: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array([text])).dictionary_decode()


def _named(parts: Sequence[Tensor], names: Sequence[str]) -> pa.Array:
    indices = torch.cat(list(parts)).to("cpu", torch.int32).numpy()
    return pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(list(names), pa.string())).dictionary_decode()


def _numbers(parts: Sequence[Tensor | None], kind: pa.DataType) -> pa.Array | None:
    if parts[0] is None:
        return None
    return pa.array(torch.cat(cast(list[Tensor], parts)).cpu().numpy()).cast(kind)

"""The evaluator: after every version it tests all tasks and keeps every prediction."""

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from clbench.contracts import Learner, Predictions, Protocol, Samples, Split, Stream, Task
from clbench.ledger import SCHEMA
from clbench.strategies.optimisation import autocast


class Evaluator:
    """Tests versions of one learner on one stream.

    Test data are decoded once (by `samples`). A version is forwarded once for all protocols, without gradient;
    predictions stay on the device until a task is done and then come over in one go.

    Args:
        stream: The tasks.
        split: Which part is tested.
        samples: Gives the encoded samples of a task, on the learner's device.
    """

    def __init__(self, stream: Stream, split: Split, samples: Callable[[Task, Split], Samples]) -> None:
        self._stream = stream
        self._split = split
        self._samples = samples

    def evaluate(self, learner: Learner, version: int) -> pa.Table:
        """Test one version on all tasks under all protocols of the stream.

        Returns:
            Ledger rows, by task, then protocol, then sample.
        """
        learner.module.eval()
        tables = []
        size = learner.test_batch
        # No inference mode: what a learner caches in it (tokens, say) could not be used in training afterwards.
        with torch.no_grad(), autocast(learner.device):
            predictor = learner.predictor(self._stream.tasks, self._stream.protocols)
            for task in self._stream.tasks:
                samples = self._samples(task, self._split)
                parts = [predictor(samples.batch(slice(i, i + size)), task) for i in range(0, len(samples), size)]
                for protocol in self._stream.protocols:
                    tables.append(_rows(version, protocol, task, samples, [part[protocol] for part in parts]))
        return pa.concat_tables(tables)


def _rows(version: int, protocol: Protocol, task: Task, samples: Samples, parts: Sequence[Predictions]) -> pa.Table:
    n = len(samples)
    columns = {
        "version": pa.array(np.full(n, version, np.int32)),
        "protocol": _constant(protocol, n),
        "task": _constant(task.name, n),
        "sample_id": samples.ids,
        "prediction": _texts([part.prediction for part in parts], parts[0].names),
        "target": _texts([part.target for part in parts], parts[0].names),
        "correct": _numbers([part.correct for part in parts], n, pa.bool_()),
        "score": _numbers([part.score for part in parts], n, pa.float64()),
        "confidence": _numbers([part.confidence for part in parts], n, pa.float32()),
    }
    return pa.table(columns, schema=SCHEMA)


def _constant(text: str, n: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array([text])).dictionary_decode()


def _texts(parts: Sequence[Tensor | list[str]], names: Sequence[str]) -> pa.Array:
    """Indices looked up in `names` by Arrow, or texts as they are."""
    if isinstance(parts[0], list):
        return pa.array([text for part in parts for text in part], pa.string())
    indices = torch.cat(cast(list[Tensor], parts)).to("cpu", torch.int32).numpy()
    return pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(list(names), pa.string())).dictionary_decode()


def _numbers(parts: Sequence[Tensor | None], n: int, kind: pa.DataType) -> pa.Array:
    if parts[0] is None:
        return pa.nulls(n, kind)
    return pa.array(torch.cat(cast(list[Tensor], parts)).cpu().numpy()).cast(kind)

"""Encoded samples: decoded once, kept where there is room, broken ones named."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from datasets import Dataset, Features, Image, Value
from PIL import Image as Images

from clbench.benchmarks.engine import samples as module
from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.engine.samples import SampleStore, load_samples
from clbench.contracts import Learner, Samples, Split, Task
from clbench.core.errors import BrokenSamplesError, DataError

CPU = torch.device("cpu")
N = 23


def image(seed: int) -> bytes:
    buffer = io.BytesIO()
    Images.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)).save(buffer, "png")
    return buffer.getvalue()


def task(broken: Sequence[int] = (), n: int = N, loads: list[Split] | None = None) -> Task:
    """A task of random images, some of which do not decode."""

    def load(split: Split) -> Dataset:
        if loads is not None:
            loads.append(split)
        images = [{"bytes": b"no image" if i in broken else image(i), "path": None} for i in range(n)]
        columns = {"image": images, "label": [i % 3 for i in range(n)], "sample_id": [f"s{i}" for i in range(n)]}
        features = Features({"image": Image(), "label": Value("int64"), "sample_id": Value("string")})
        return Dataset.from_dict(columns, features=features)

    return Task("random", "classification", "accuracy", load, lambda split: f"{split} {broken} {n}", ("a", "b", "c"))


@pytest.fixture
def learner(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> Learner:
    monkeypatch.setattr(module, "CHUNK", 5)
    return build_learner(tiny.learner, 0, CPU)


def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        available = 0

    monkeypatch.setattr(psutil, "virtual_memory", Full)


def same(one: Samples, two: Samples) -> bool:
    return one.ids == two.ids and all(torch.equal(tensor, two.tensors[name]) for name, tensor in one.tensors.items())


def test_chunks_give_what_one_piece_gives_and_are_decoded_once(learner: Learner, tmp_path: Path) -> None:
    loads: list[Split] = []
    random = task(loads=loads)
    samples = SampleStore(CPU, tmp_path).of("stream", learner, "tiny")
    found = samples(random, "test")
    assert same(found, learner.encode(random.load("test"), random))
    assert samples(random, "test") is found
    assert loads == ["test", "test"]  # the store's and ours
    assert not list(tmp_path.iterdir())


def test_what_does_not_fit_into_memory_is_mapped_from_disk(
    learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[Split] = []
    random = task(loads=loads)
    expected = learner.encode(random.load("train"), random)
    no_memory(monkeypatch)
    first = SampleStore(CPU, tmp_path).of("stream", learner, "tiny")(random, "train")
    second = SampleStore(CPU, tmp_path).of("stream", learner, "tiny")(random, "train")
    assert same(first, expected)
    assert same(second, expected)
    assert loads == ["train", "train"]  # ours and the first store's
    index = torch.tensor([4, 0, 22])
    assert torch.equal(second.batch(index)["image"], expected.tensors["image"][index])
    (folder,) = tmp_path.iterdir()
    second.tensors["image"].zero_()  # changes memory, not the file
    kept = load_samples(folder)
    assert kept is not None
    assert same(kept, expected)


def test_damaged_files_are_one_line(learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_memory(monkeypatch)
    SampleStore(CPU, tmp_path).of("stream", learner, "tiny")(task(), "train")
    (folder,) = tmp_path.iterdir()
    (folder / "image.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(DataError, match="damaged, remove it"):
        SampleStore(CPU, tmp_path).of("stream", learner, "tiny")(task(), "train")


@pytest.mark.parametrize("disk", [False, True])
def test_broken_samples_are_counted_and_named_or_left_out(
    learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: bool
) -> None:
    if disk:
        no_memory(monkeypatch)
    some = task(broken=(0, 1, 2, 3, 4, 11, 22))  # a whole chunk, one inside, the last one
    with pytest.raises(BrokenSamplesError, match=r"7 of 23 samples of its part 'test' do not decode.*'s0'") as caught:
        SampleStore(CPU, tmp_path).of("stream", learner, "tiny")(some, "test")
    assert caught.value.positions == (0, 1, 2, 3, 4, 11, 22)
    assert not list(tmp_path.iterdir())
    for _ in range(2):
        found = SampleStore(CPU, tmp_path).of("stream", learner, "tiny", skip_broken=True)(some, "test")
        assert found.ids.to_pylist() == [f"s{i}" for i in range(N) if i not in (0, 1, 2, 3, 4, 11, 22)]
        assert torch.equal(found.tensors["label"], torch.tensor([i % 3 for i in range(5, 22) if i != 11]))


@pytest.mark.parametrize("skip", [False, True])
def test_nothing_is_left(learner: Learner, tmp_path: Path, skip: bool) -> None:
    with pytest.raises(BrokenSamplesError, match="4 of 4 samples"):
        SampleStore(CPU, tmp_path).of("stream", learner, "tiny", skip)(task(broken=range(4), n=4), "test")
    with pytest.raises(DataError, match="its part 'test' has no samples"):
        SampleStore(CPU, tmp_path).of("stream", learner, "tiny", skip)(task(n=0), "test")


def test_tasks_of_the_same_samples_keep_their_own_ids(learner: Learner, tmp_path: Path) -> None:
    def load(name: str) -> Any:
        def rows(split: Split) -> Dataset:
            return task().load(split).map(lambda row: {"sample_id": f"{name}/{row['sample_id']}"})

        return rows

    twins = [Task(name, "classification", "accuracy", load(name), str, ("a", "b", "c")) for name in ("one", "two")]
    samples = SampleStore(CPU, tmp_path).of("stream", learner, "tiny")
    assert [samples(twin, "test").ids[0].as_py() for twin in twins] == ["one/s0", "two/s0"]


def test_another_stream_or_learner_lets_go_of_what_is_kept(learner: Learner, tmp_path: Path) -> None:
    store, loads = SampleStore(CPU, tmp_path), list[Split]()
    random = task(loads=loads)
    for stream, encoding in (("one", "tiny"), ("one", "tiny"), ("two", "tiny"), ("one", "tiny"), ("one", "other")):
        store.of(stream, learner, encoding)(random, "test")
    assert len(loads) == 4

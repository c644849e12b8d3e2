"""What tests share: a stream and a learner small enough that a whole suite runs in a second."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, settings
from PIL import Image
from tests.command import Command, command

from clbench.core.registry import (
    EDITS,
    IMAGE_METRICS,
    LEARNERS,
    LOADERS,
    MEMORIES,
    METRICS,
    OPTIMIZERS,
    PENALTIES,
    SELECTORS,
    STRATEGIES,
    Registry,
)

LEARNER = str(Path(__file__).parent / "tiny_clip.py")
SIZES = {"train": 24, "validation": 9, "test": 15}

# How long an example takes says more of the machine's other work than of the code.
settings.register_profile("clbench", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("clbench")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `gpu` run where there is a CUDA device."""
    import torch

    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device; runs where there is one"))


@pytest.fixture(autouse=True)
def _files_of_one_test_only() -> Iterator[None]:
    """Components in files that a test names are unknown to the next one, as they are to the next process."""
    yield
    parts: tuple[Registry[Any], ...] = (OPTIMIZERS, SELECTORS, MEMORIES, PENALTIES, EDITS)
    registries: tuple[Registry[Any], ...] = (STRATEGIES, LEARNERS, LOADERS, METRICS, IMAGE_METRICS)
    for registry in registries + parts:
        registry.forget_files()


@pytest.fixture
def clbench(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command line, in this process."""
    return command(capfd, monkeypatch)


@dataclass(frozen=True)
class Tiny:
    """Paths of the tiny stream and learner."""

    stream: str
    learner: str
    folder: Path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A stream of three tasks of three classes, each a fixed pattern under noise, in the layout of real streams."""
    folder = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(0)
    tasks = [
        {"name": name, "kind": "classification", "metric": "accuracy", "templates": ["a {}"]}
        for name in ("one", "two", "three")
    ]
    for task in tasks:
        _write_task(folder / "data" / str(task["name"]), str(task["name"]), rng)
    card = {
        "name": "tiny",
        "description": "Patterns under noise.",
        "loader": "image-parquet",
        "data": "data",
        "learner": LEARNER,
        "protocols": ["task-id", "union"],
        "order_reason": "none",
        "tasks": tasks,
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    return Tiny(str(folder / "tiny.yaml"), LEARNER, folder)


@pytest.fixture
def write_suite(tiny: Tiny, tmp_path: Path) -> Callable[..., str]:
    """Writes a suite over the tiny stream and returns its path."""

    def write(*strategies: Any, **settings: Any) -> str:
        values = {
            "streams": [tiny.stream],
            "strategies": list(strategies),
            "budget": {"steps": 4, "batch_size": 8},
            **settings,
        }
        path = tmp_path / "suite.yaml"
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        return str(path)

    return write


def _write_task(folder: Path, name: str, rng: np.random.Generator) -> None:
    from datasets import ClassLabel, Dataset, Features, Value
    from datasets import Image as ImageFeature

    folder.mkdir(parents=True)
    classes = [f"{name} {index}" for index in range(3)]
    features = Features({"sample_id": Value("string"), "image": ImageFeature(), "label": ClassLabel(names=classes)})
    patterns = rng.integers(0, 256, (3, 16, 16, 3))
    for split, size in SIZES.items():
        rows = [
            {
                "sample_id": f"{name}/{split}/{index}",
                "image": {"bytes": _png(patterns[index % 3] + rng.normal(0, 20, (16, 16, 3))), "path": None},
                "label": index % 3,
            }
            for index in range(size)
        ]
        Dataset.from_list(rows, features=features).to_parquet(folder / f"{split}.parquet")


def _png(values: "np.ndarray[Any, Any]") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(buffer, "png")
    return buffer.getvalue()

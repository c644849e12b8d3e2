"""What is asked of a GPU, and what draws leave of its random state; no GPU is needed."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.engine.numerics import make_deterministic
from clbench.core.devices import device_kind, has_bfloat16, to_device
from clbench.core.seeding import seeded_apart

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
TESTS = Path(__file__).parents[1]


def with_capability(monkeypatch: pytest.MonkeyPatch, major: int) -> None:
    """As on a machine whose GPU has this compute capability."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (major, 0))


@pytest.mark.parametrize(("major", "own"), [(7, False), (8, True), (9, True)])
def test_only_a_gpu_with_bfloat16_computes_in_it(major: int, own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with_capability(monkeypatch, major)
    assert has_bfloat16(CUDA) == own
    assert device_kind(CUDA) == ("cuda" if own else "cuda without bfloat16")
    assert not has_bfloat16(CPU)
    assert device_kind(CPU) == "cpu"


@pytest.mark.parametrize("major", [7, 8])
def test_auto_asks_the_gpu_and_bfloat16_does_not(major: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with_capability(monkeypatch, major)
    asked: list[str] = []
    monkeypatch.setattr(torch, "autocast", lambda device, dtype, cache_enabled: asked.append(f"{device} {dtype}"))
    learner = build_learner(str(TESTS / "tiny_vit.py"), 0, CPU)
    with FakeTensorMode(allow_non_fake_inputs=True):
        learner.module = torch.nn.Linear(2, 2, device="cuda")
    learner.autocast()
    assert asked == ["cuda torch.bfloat16"] * (major >= 8)
    learner.precision = "bfloat16"
    learner.autocast()
    assert asked[-1] == "cuda torch.bfloat16"


def test_copies_to_a_gpu_are_pinned_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[torch.Tensor] = []

    def pin(tensor: torch.Tensor) -> torch.Tensor:
        pinned.append(tensor)
        return tensor

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    waits: list[bool] = []
    plain = torch.Tensor.to

    def watched(tensor: torch.Tensor, device: torch.device, non_blocking: bool = False) -> torch.Tensor:
        waits.append(not non_blocking)
        return plain(tensor, device)

    monkeypatch.setattr(torch.Tensor, "to", watched)
    with FakeTensorMode():
        here = torch.ones(3)
        there = to_device(here, CUDA)
        assert there.device.type == "cuda"
        to_device(there, CUDA)
        back = to_device(there, CPU)
        assert back.device.type == "cpu"
    assert [tensor is here for tensor in pinned] == [True]
    assert waits == [False, False, True]


def test_what_is_drawn_apart_leaves_every_random_state(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    torch.manual_seed(1)
    assert seeded == [1]  # what `seeded_apart` must not do
    before = torch.random.get_rng_state()
    with seeded_apart(7):
        drawn = torch.rand(3)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(7)
    assert torch.equal(torch.rand(3), drawn)
    assert seeded == [1, 7]


def test_building_models_and_heads_seeds_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.image_tasks import image_task

    seeded: list[int] = []
    learner = build_learner("mini-vit", 0, CPU)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    learner.add_task(image_task("dice"))
    learner.load_state_dict(learner.state_dict())
    build_learner("vit:vit_tiny_patch16_224", 0, CPU)
    assert seeded == []


def test_no_learner_or_strategy_seeds_the_devices() -> None:
    sources = [path for room in ("src/clbench/learners", "strategies") for path in (TESTS.parent / room).rglob("*.py")]
    assert len(sources) > 100
    assert [str(path) for path in sources if "manual_seed(derive" in path.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize("there", [False, True])
def test_a_gpu_is_held_to_deterministic_kernels(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    calls: list[SimpleNamespace] = []
    monkeypatch.setattr(
        torch,
        "use_deterministic_algorithms",
        lambda mode, warn_only: calls.append(SimpleNamespace(mode=mode, warn_only=warn_only)),
    )
    make_deterministic()
    assert calls == [SimpleNamespace(mode=True, warn_only=not there)]


def test_batches_are_cut_on_a_gpu_without_reading_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa

    from clbench.contracts import Samples

    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    ids = pa.array(["a", "b", "c", "d"])
    with FakeTensorMode():
        here, there = torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.zeros(4, 3, 8, 8, device=CUDA)
        for samples in (Samples(ids, {"image": here}, CUDA), Samples(ids, {"image": there}, CUDA)):
            for index in (slice(1, 3), torch.zeros(2, dtype=torch.int64, device=samples.index_device)):
                batch = samples.batch(index)["image"]  # a fake tensor refuses what reads or mixes devices
                assert isinstance(batch, FakeTensor)
                assert batch.device.type == "cuda"
                assert len(batch) == 2

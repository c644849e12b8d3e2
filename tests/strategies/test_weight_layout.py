"""A model in shards: the same weights as one that every process holds whole, at half the bytes in each of two."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.tiny_images import write_stream

from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.engine.suite import load_suite
from clbench.core.errors import ConfigError
from clbench.strategies._parts.blocks import block_modules

TRAINING = Path(__file__).parent / "sharded_training.py"
EXACT = [
    "clip, finetune",
    "clip, lora",
    "vit, finetune",
    "llama, finetune",
    "llama, lora",
    "checkpointing",
    "bfloat16",
    "bfloat16, checkpointing",
    "one sample",
    "clipped, an adapter",
]
TO_ROUND_OFF = ["t5, finetune", "t5, lora", "three parts", "clipped", "clipped, with heads", "memory"]


@pytest.fixture(scope="module")
def found(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("shards")
    images = write_stream(folder, "mini-vit", ("disc", "tone"))
    commands = [[sys.executable, str(TRAINING), str(folder), str(number), tiny.stream, images] for number in range(2)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for command in commands]
    for process in running:
        said, _ = process.communicate(timeout=240)
        assert process.returncode == 0, said.decode()
    return [json.loads((folder / f"{number}.json").read_text()) for number in range(2)]


@pytest.mark.slow
def test_every_case_is_tested(found: list[dict[str, Any]]) -> None:
    assert sorted(found[0]) == sorted(EXACT + TO_ROUND_OFF)


@pytest.mark.slow
@pytest.mark.parametrize("case", EXACT)
def test_the_same_bits(found: list[dict[str, Any]], case: str) -> None:
    """Sums of two gradients have the same bits whichever process adds them."""
    for each in found:
        assert each[case]["equal"]
        assert each[case]["moved"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("case", TO_ROUND_OFF)
def test_the_same_weights_to_round_off(found: list[dict[str, Any]], case: str) -> None:
    """Norms, parts of a batch, and what several blocks of T5 read are added up in another order."""
    first, second = (each[case] for each in found)
    assert first["digest"] == second["digest"], "both processes end with the same bits"
    assert first["apart"] < 1e-4 * first["moved"]
    assert first["shapes"]


@pytest.mark.slow
@pytest.mark.parametrize("case", ["clip, finetune", "t5, finetune", "llama, finetune", "checkpointing"])
def test_two_processes_hold_the_bytes_of_one(found: list[dict[str, Any]], case: str) -> None:
    first, second = (each[case]["shards"] for each in found)
    for what, whole in found[0][case]["whole"].items():
        frozen = 4 if (case, what) == ("clip, finetune", "model") else 0  # a frozen scalar stays whole
        assert first[what] + second[what] == whole + frozen
        assert first[what] == pytest.approx(whole / 2, rel=0.01)


@pytest.mark.slow
def test_beneath_an_adapter_the_model_is_sharded(found: list[dict[str, Any]]) -> None:
    held, whole = (found[0]["llama, lora"][way] for way in ("shards", "whole"))
    assert held["model"] * 2 == whole["model"]
    assert held["trained"] == whole["trained"]


def test_blocks() -> None:
    """Modules that are called, not lists of modules."""
    learner = build_learner("mini-t5", 0, torch.device("cpu"))
    assert block_modules(learner) == [f"encoder.block.{n}" for n in range(3)] + [f"decoder.block.{n}" for n in range(2)]


@pytest.mark.parametrize(
    ("entry", "refused"),
    [
        ({"name": "osft"}, "strategy osft"),
        ({"name": "ewc"}, "strategy ewc"),
        ({"name": "peft"}, "strategy peft"),
        ({"name": "finetune", "optimizer": "muon"}, "strategy finetune: optimizer muon"),
        ({"name": "finetune", "select": "random"}, "strategy finetune: select random"),
        ({"name": "finetune", "penalty": "l2"}, "strategy finetune: penalty l2"),
        ({"name": "finetune", "memory": "herding"}, "strategy finetune: memory herding"),
        ({"name": "lora", "edit": "lines"}, "strategy lora: edit lines"),
    ],
    ids=str,
)
def test_what_needs_whole_weights_is_refused(entry: dict[str, object], refused: str, tiny: Any, tmp_path: Path) -> None:
    suite = {"streams": [tiny.stream], "strategies": [entry], "processes": 2, "shard": True}
    (tmp_path / "suite.yaml").write_text(json.dumps(suite))
    with pytest.raises(ConfigError) as error:
        load_suite(str(tmp_path / "suite.yaml"))
    assert str(error.value) == f"{refused} takes whole weights only: wanted shard: false, got true"


def test_one_process_has_no_shards(tiny: Any, tmp_path: Path) -> None:
    suite = {"streams": [tiny.stream], "strategies": ["finetune"], "shard": True}
    (tmp_path / "suite.yaml").write_text(json.dumps(suite))
    with pytest.raises(ConfigError, match=r"shard: true shards a model over .*: wanted processes above 1, got 1$"):
        load_suite(str(tmp_path / "suite.yaml"))

"""Memory that training takes, planned from shapes: by hand, and beside the tensors of a real step."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.command import Command

from clbench.benchmarks.engine.suite import SuiteChanges, load_suite
from clbench.benchmarks.forecast.live_bytes import LiveBytes
from clbench.benchmarks.forecast.memory_plan import GIB, MemoryPlan, plan_memory
from clbench.benchmarks.performance.planned_memory import measured_peak

SMALL = '''"""A LLaMA of a known small shape."""
from transformers import LlamaConfig, LlamaForCausalLM
from clbench.core.registry import LEARNERS
from clbench.learners._text.decoder import DecoderLearner
from clbench.learners._text.loading import ByteTokens, random_weights
from clbench.learners._text.tokens import TextTokens

@LEARNERS.register("small", argument="wanted")
def small(argument: str, seed: int) -> DecoderLearner:
    """Width 64, 3 layers, not tied: 3 x (4 x 64 x 64 + 3 x 64 x 128 + 2 x 64) + 2 x 300 x 64 + 64 weights."""
    config = LlamaConfig(vocab_size=300, hidden_size=64, intermediate_size=128, num_hidden_layers=3,
                         num_attention_heads=4)
    module = random_weights("small", {"x": config}, argument.removeprefix("random:"), LlamaForCausalLM, seed)
    return DecoderLearner("small", module, TextTokens(ByteTokens(), "small", ends_inputs=False))
'''
WEIGHTS = 3 * (4 * 64 * 64 + 3 * 64 * 128 + 2 * 64) + 2 * 300 * 64 + 64


@pytest.fixture
def learner(tmp_path: Path) -> str:
    (tmp_path / "small.py").write_text(SMALL)
    return f"{tmp_path / 'small.py'}:random:x"


def plan_of(
    tmp_path: Path, learner: str, entry: object, checkpointing: bool = False, shards: int = 1, **budget: int
) -> MemoryPlan:
    suite = {"streams": ["trace-order1"], "strategies": [entry], "budget": {"batch_size": 4, **budget}}
    together = {"processes": shards, "shard": True} if shards > 1 else {}
    (tmp_path / "suite.yaml").write_text(json.dumps({**suite, **together}))
    cell = load_suite(str(tmp_path / "suite.yaml"), SuiteChanges(learners=[learner])).cells[0]
    found = plan_memory(cell, checkpointing, bfloat16=False)
    assert isinstance(found, MemoryPlan)
    return found


def test_live_bytes_by_hand() -> None:
    weight = torch.zeros(10, 10)
    with LiveBytes([weight]) as live:
        assert live.now == 400
        a = torch.zeros(100)
        view = a.view(10, 10)
        assert live.now == 800
        b = view + weight
        assert live.now == live.peak == 1200
        del a
        assert live.now == 1200, "a view keeps the storage"
        del view, b
        assert live.now == 400
        assert live.peak == 1200
        live.restart()
        assert live.peak == 400


def test_what_a_plan_holds_by_hand(tmp_path: Path, learner: str) -> None:
    full = plan_of(tmp_path, learner, "finetune")
    assert (full.weights, full.gradients, full.optimizer, full.bases) == (4 * WEIGHTS, 4 * WEIGHTS, 8 * WEIGHTS, 0)
    matrices = 3 * (4 * 64 * 64 + 3 * 64 * 128)
    muon = plan_of(tmp_path, learner, {"name": "finetune", "optimizer": "muon"})
    assert muon.optimizer == 4 * matrices + 8 * (WEIGHTS - matrices)
    factors = 3 * (4 * (64 + 64) + 3 * (64 + 128)) * 2
    lora = plan_of(tmp_path, learner, {"name": "lora", "rank": 2})
    assert (lora.weights, lora.gradients, lora.optimizer) == (4 * (WEIGHTS + factors), 4 * factors, 8 * factors)
    osft = plan_of(tmp_path, learner, {"name": "osft", "rank_rule": "fixed", "fraction": 0.5})
    square, wide = 64 * 32 * 3, 128 * 32 + 64 * 32 + 32 * 64  # U_h, N and U_h^T W at half the rank
    assert osft.bases == 4 * 3 * (4 * square + 3 * wide)


def test_a_shard_by_hand(tmp_path: Path, learner: str) -> None:
    block, outside = 4 * 64 * 64 + 3 * 64 * 128 + 2 * 64, 2 * 300 * 64 + 64
    whole, shard = plan_of(tmp_path, learner, "finetune"), plan_of(tmp_path, learner, "finetune", shards=4)
    assert (shard.weights, shard.gradients, shard.optimizer) == (WEIGHTS, WEIGHTS, 2 * WEIGHTS)
    gathered = 4 * (outside + 2 * block)
    assert shard.activations == whole.activations + 2 * gathered, "weights and gradients"
    factors = 3 * (4 * (64 + 64) + 3 * (64 + 128)) * 2
    lora = plan_of(tmp_path, learner, {"name": "lora", "rank": 2}, shards=4)
    assert (lora.weights, lora.gradients, lora.optimizer) == (WEIGHTS + 4 * factors, 4 * factors, 8 * factors)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("strategy", ["finetune", "lora"])
def test_the_plan_is_what_a_real_step_takes(tmp_path: Path, learner: str, strategy: str, checkpointing: bool) -> None:
    plan = plan_of(tmp_path, learner, strategy, checkpointing, batch_size=1)
    (tmp_path / "suite.yaml").write_text(
        json.dumps({"streams": ["trace-order1"], "strategies": [strategy], "budget": {"batch_size": 1}})
    )
    cell = load_suite(str(tmp_path / "suite.yaml"), SuiteChanges(learners=[learner])).cells[0]
    mask = 1536**2  # transformers makes none where nothing is masked, which fake tensors hide
    assert plan.totals[1] - mask == pytest.approx(measured_peak(cell, checkpointing), rel=0.05)


def test_checkpointing_saves_activations(tmp_path: Path, learner: str) -> None:
    plain, less = (plan_of(tmp_path, learner, "finetune", on) for on in (False, True))
    assert less.activations < 0.7 * plain.activations
    assert less.weights == plain.weights


def test_samples_that_fit() -> None:
    plan = MemoryPlan(1, 2, 3, 4, {1: 60 * GIB, 2: 76 * GIB, 4: 100 * GIB})
    assert [plan.largest_micro_batch(gib) for gib in (60, 80, 141)] == [0, 2, 4]


def test_the_dry_run_needs_no_data(tmp_path: Path, learner: str, clbench: Command) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text(json.dumps({"streams": ["trace-order1"], "strategies": ["finetune", "zero-shot"]}))
    told = clbench("run", str(suite), "--dry-run", "--learners", learner, "--json")
    assert told.returncode == 2
    memory: list[dict[str, Any]] = json.loads(told.stdout)["memory"]
    assert [entry.get("weights") for entry in memory] == [4 * WEIGHTS, 4 * WEIGHTS, None]
    assert memory[2]["not_planned"] == "strategy zero-shot: does not train by gradients"
    assert "time is not forecast: stream 'trace-order1' has no data of its own" in told.stderr
    table = clbench("run", str(suite), "--dry-run", "--learners", learner)
    assert "finetune, checkpointing" in table.stdout
    assert "not planned: zero-shot" in table.stderr
    refused = clbench("run", str(suite), "--dry-run", "--learners", "mini-llama")
    assert refused.returncode == 2
    assert "needs --root" in refused.stderr


def test_a_model_larger_than_the_machine_is_not_measured(
    tmp_path: Path, learner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    from clbench.benchmarks.forecast import memory_plan

    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=10))
    plan = plan_of(tmp_path, learner, "finetune")
    found = memory_plan.too_large({memory_plan.Way("m", "finetune", False): plan}, torch.device("cpu"))
    assert found is not None
    assert found.startswith("finetune on m takes 0.0 GiB")

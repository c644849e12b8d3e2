"""What `osft` costs beside full fine-tuning and PEFT's OSF: `python -m clbench.benchmarks.performance.osft_step`.

Steps of AdamW on a LLaMA of 23 million random weights, some steps of each kind in turn, so that a busy machine slows
all alike; then how long the decomposition takes beside a singular value decomposition, on the two shapes of T5-large's
288 matrices. A few of each are timed and the rest is extrapolated; with `--t5-large` all are.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from typing import cast

import pyarrow as pa
import torch
from torch import nn

from clbench.contracts import Budget, Context, Learner, Samples, Strategy, StrategyConfig, Task, TextLimits
from clbench.core import strict_json
from clbench.core.registry import STRATEGIES
from clbench.learners._text.decoder import DecoderLearner
from clbench.learners._text.loading import ByteTokens
from clbench.learners._text.tokens import TextTokens
from clbench.strategies._linalg.subspaces import decompose
from clbench.strategies._training.optimization import clip_gradient

WIDTH, LAYERS, VOCABULARY = 512, 6, 8000
BATCH, TOKENS = 8, 128
TURNS = 3
COUNTED = 8
"""Steps a turn that are timed: two of them project the weights, one computes whole gradients; one before, one after."""
DECOMPOSED = 9
"""Matrices of a shape that are decomposed, by turns with the other way: the time of one varies by a fifth."""
LR = 1e-6
KINDS: dict[str, tuple[str, dict[str, object]]] = {
    "finetune": ("finetune", {}),
    "osft, half": ("osft", {"fraction": 0.5}),
    "osft, half, weights at every step": ("osft", {"fraction": 0.5, "weights_every": 1}),
    "osft, 0.8": ("osft", {"fraction": 0.8}),
    "osft, 0.8, weights at every step": ("osft", {"fraction": 0.8, "weights_every": 1}),
}
PEFT = "PEFT OSF, half"
T5_LARGE = {(1024, 1024): 192, (4096, 1024): 96}


def new_learner() -> Learner:
    """The LLaMA."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=1376,
        num_hidden_layers=LAYERS,
        num_attention_heads=8,
        num_key_value_heads=8,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    module: nn.Module = LlamaForCausalLM(config)
    module.to("cuda" if torch.cuda.is_available() else "cpu")
    return DecoderLearner("llama-23m", module, TextTokens(ByteTokens(), "llama-23m", ends_inputs=False))


def random_tokens(device: torch.device) -> Samples:
    """Inputs of one token with answers of all others, so that every position has a loss."""
    widths = {"input": 1, "answer": TOKENS - 1}
    tensors = {name: torch.randint(3, VOCABULARY, (BATCH, width), device=device) for name, width in widths.items()}
    lengths = {f"{name}.width": torch.full((BATCH,), width, device=device) for name, width in widths.items()}
    return Samples(pa.array([str(i) for i in range(BATCH)]), {**tensors, **lengths})


def made_up_task() -> Task:
    """Its data are never read."""

    def no_rows(split: str) -> object:
        raise AssertionError(f"made up samples are not loaded, got {split}")

    return Task("made-up", "generation", "exact_match", no_rows, str, limits=TextLimits())


def clock() -> float:
    """Seconds, the device waited for; with one thread the processor's, which other programs disturb less."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def strategy_of(kind: str, learner: Learner, samples: Samples, told: Callable[[], None]) -> Strategy[StrategyConfig]:
    """A strategy whose first task is constrained; `told` is called after each step."""
    name, settings = KINDS[kind]
    entry = STRATEGIES.get(name)
    assert entry.config is not None
    if name == "osft":
        settings = {"rank_rule": "fixed", "protect_pretrained": True, **settings}
    config = cast(StrategyConfig, entry.config.model_validate({"lr": LR, **settings}))
    context = Context(
        learner=learner,
        budget=Budget(steps=COUNTED + 2, batch_size=BATCH),
        seed=0,
        samples=lambda task, split: samples,
        new_learner=lambda: learner,
        progress=lambda done, total: told(),
        record=lambda key, value: None,
    )
    return cast(Strategy[StrategyConfig], entry.value(config, context))


def strategy_seconds(kind: str, learner: Learner, samples: Samples) -> float:
    """Mean of the counted steps; the first and the last of an update are not."""
    times: list[float] = []
    strategy_of(kind, learner, samples, lambda: times.append(clock())).update(made_up_task())
    return (times[COUNTED] - times[0]) / COUNTED


def peft_seconds(learner: Learner, samples: Samples, optimizer: torch.optim.Optimizer) -> float:
    """The same of a plain loop over PEFT's layers."""
    parameters = cast(list[nn.Parameter], optimizer.param_groups[0]["params"])
    times: list[float] = []
    learner.module.train()
    for _ in range(COUNTED + 1):
        learner.loss(samples.batch(slice(None)), made_up_task()).backward()
        clip_gradient(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        times.append(clock())
    return (times[COUNTED] - times[0]) / COUNTED


def peft_learner() -> tuple[Learner, torch.optim.Optimizer]:
    """The LLaMA with half of every rank retained by PEFT, and an optimizer for the rest."""
    from peft import OSFConfig, get_peft_model

    learner = new_learner()
    targets = [layer.name.rpartition(".")[2] for layer in learner.linear_layers()]
    get_peft_model(learner.module, OSFConfig(effective_rank=0.5, target_modules=sorted(set(targets))))
    trained = [p for p in learner.module.parameters() if p.requires_grad]
    return learner, torch.optim.AdamW(trained, lr=LR, weight_decay=0.0, fused=True)


def step_report() -> dict[str, object]:
    """Seconds a step of every kind, and what the bases take."""
    learner = new_learner()
    samples = random_tokens(learner.device)
    theirs, optimizer = peft_learner()
    times: dict[str, list[float]] = {kind: [] for kind in (*KINDS, PEFT)}
    for turn, kind in itertools.product(range(TURNS + 1), times):
        plain = kind != PEFT
        seconds = strategy_seconds(kind, learner, samples) if plain else peft_seconds(theirs, samples, optimizer)
        if turn:
            times[kind].append(seconds)
    weights = sum(4 * learner.state_dict()[f"{layer.name}.weight"].numel() for layer in learner.linear_layers())
    bases = {
        kind: strategy_of(kind, learner, samples, lambda: None).footprint()["bytes_of_bases"] / weights
        for kind in KINDS
        if "osft" in kind
    }
    step = {kind: statistics.median(kept) for kind, kept in times.items()}
    ratios = {
        kind: statistics.median(a / b for a, b in zip(kept, times["finetune"], strict=True))
        for kind, kept in times.items()
    }
    over = [a / b for a, b in zip(times["osft, half"], times[PEFT], strict=True)]
    return {
        "seconds_a_step": step,
        "over_finetune": ratios,
        "osft_half_over_peft_half": statistics.median(over),
        "bytes_of_bases_over_those_of_the_targets": bases,
    }


def decomposition_report(all_matrices: bool) -> dict[str, object]:
    """Seconds for the matrices of T5-large, 0.8 of every rank retained, by us and by `torch.linalg.svd`."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    totals, timed = {"osft": 0.0, "svd": 0.0}, {}
    for shape, count in T5_LARGE.items():
        spent: dict[str, list[float]] = {"osft": [], "svd": []}
        for number in range((count if all_matrices else DECOMPOSED) + 1):
            matrix = torch.randn(1, *shape, device=device) / shape[1] ** 0.5
            started = clock()
            decompose(matrix, [int(0.8 * min(shape))], "factor")
            between = clock()
            torch.linalg.svd(matrix, full_matrices=False)
            if number:
                spent["osft"].append(between - started)
                spent["svd"].append(clock() - between)
        timed[f"{shape[0]} x {shape[1]}"] = len(spent["osft"])
        for name, seconds in spent.items():
            totals[name] += sum(seconds) if all_matrices else statistics.median(seconds) * count
    return {"matrices_timed": timed, "seconds_for_t5_large": totals, "osft_over_svd": totals["osft"] / totals["svd"]}


def main() -> None:
    """Measure and print as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--t5-large", action="store_true", help="decompose all 288 matrices instead of a few")
    given = parser.parse_args()
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"cpu, {torch.get_num_threads()} threads"
    report = {"device": where, **step_report(), "decomposition": decomposition_report(given.t5_large)}
    print(strict_json.dumps(report, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()

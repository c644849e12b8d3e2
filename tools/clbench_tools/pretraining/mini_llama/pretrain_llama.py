"""Pre-trains mini-llama on a CPU.

`PYTHONPATH=tools python -m clbench_tools.pretraining.mini_llama.pretrain_llama v1 --corpus CACHE --teacher FOLDER`.

v1 and v2 have one architecture and one tokenizer (that of mini-t5). v1 sees every other text; v2 sees all texts, for
more steps, from another random initialisation. Build-time code: nothing imports it when clbench runs.
"""

import argparse
import copy
import json
import logging
import math
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from clbench_tools.pretraining.mini_text.corpus import BEGIN, END, Ids, save_tokenizer
from clbench_tools.pretraining.mini_text.teacher import Floats, first_vectors
from clbench_tools.pretraining.mini_text.teacher_targets import TeacherTargets, read_teacher_targets
from clbench_tools.pretraining.mini_text.tokenizer import TOKENIZER
from clbench_tools.pretraining.mini_text.weight_files import save_weights

LOG = logging.getLogger("pretrain")
SHAPE: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
}
WIDTH = 52
"""Tokens of an input."""
CHOICES = 24
"""Further tokens of an input that names possible answers."""
SPREAD = 0.05
"""Standard deviation of the first vectors; with that of mini-t5 the shared head would be overconfident."""
STEPS = {"v1": 1500, "v2": 3000}
SHARE = {"v1": 2, "v2": 1}
"""Every n-th text is used."""
ROWS = {"pairs": 20, "named": 14, "defined": 14, "plain": 8}
"""Rows of a step, by kind."""
HELD_BACK = 256
"""First passages and definitions, which are never trained on."""


def main() -> None:
    """Train, log losses on held-back corpus text and write the model."""
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    seed = list(STEPS).index(options.release)
    torch.manual_seed(seed)
    torch.set_num_threads(options.threads)
    tokenizer = Tokenizer.from_file(str(options.tokenizer))
    width = WIDTH + CHOICES if options.choices else WIDTH
    targets, words = read_teacher_targets(options.corpus, options.teacher, tokenizer, width, options.choices)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(words), **SHAPE))
    with torch.no_grad():
        vectors = SPREAD * first_vectors(words, SHAPE["hidden_size"])
        model.model.embed_tokens.weight.copy_(torch.from_numpy(vectors))
    folder = options.out / options.release
    save(folder, train(options, folder, model, Batches(targets, seed, SHARE[options.release])), tokenizer)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("release", choices=sorted(STEPS))
    parser.add_argument("--corpus", type=Path, required=True, help="cache folder of a builder of texts")
    parser.add_argument("--teacher", type=Path, required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZER)
    parser.add_argument("--out", type=Path, default=Path(str(files("clbench.learners"))) / "mini_llama")
    parser.add_argument("--choices", type=float, default=0.6, help="share of pairs and definitions with options")
    parser.add_argument("--steps", type=int, help="steps; those of the release if not given")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


class Batches:
    """Rows of a step: prompted pairs, passages to be named, definitions, plain passages.

    Args:
        targets: The corpus with the teacher's targets.
        seed: Seed of the draws.
        share: Every `share`-th text is used.
    """

    def __init__(self, targets: TeacherTargets, seed: int, share: int) -> None:
        self._targets, self._share = targets, share
        self._rng = np.random.default_rng(seed)

    def draw(self) -> tuple[Tensor, Tensor, Tensor, Floats]:
        """Token ids, ends of inputs, mask of learnt positions, and embeddings of the named and defined rows."""
        t, rng = self._targets, self._rng
        pairs = np.searchsorted(t.pair_cdf[:: self._share], rng.random(ROWS["pairs"]) * t.pair_cdf[-1]) * self._share
        pairs = np.minimum(pairs, len(t.pairs) - 1)
        named, defined, plain = (self._some(ROWS[kind]) for kind in ("named", "defined", "plain"))
        return self._rows(pairs, named, defined, plain, rng)

    def held_back(self) -> tuple[Tensor, Tensor, Tensor, Floats]:
        """Rows that are never trained on (except the pairs), the same each time."""
        rows = np.arange(HELD_BACK)
        return self._rows(rows[:1], rows, rows, rows, np.random.default_rng(0))

    def _some(self, n: int) -> NDArray[np.int64]:
        last = min(len(self._targets.passages), len(self._targets.defined))
        chosen: NDArray[np.int64] = self._rng.integers(HELD_BACK, last, n) // self._share * self._share
        return np.maximum(chosen, HELD_BACK)

    def _rows(
        self,
        pairs: NDArray[np.int64],
        named: NDArray[np.int64],
        defined: NDArray[np.int64],
        plain: NDArray[np.int64],
        rng: np.random.Generator,
    ) -> tuple[Tensor, Tensor, Tensor, Floats]:
        t = self._targets
        name = np.zeros((len(named), t.words.shape[1]), np.int32)
        which = (rng.random((len(named), 1)) > t.near_cdf[named]).sum(axis=1).clip(0, t.near.shape[1] - 1)
        name[:, 0] = t.near[named, which]
        nothing = np.zeros((len(plain), t.words.shape[1]), np.int32)
        inputs = np.concatenate([t.named[named], t.defined[defined], t.pairs[pairs], t.passages[plain]])
        answers = np.concatenate([name, t.words[defined], t.answers[pairs], nothing])
        everything = np.zeros(len(inputs), bool)
        everything[-len(plain) :] = True
        return *joined(inputs, answers, everything), np.concatenate([t.of_passages[named], t.of_glosses[defined]])


def joined(inputs: Ids, answers: Ids, everything: NDArray[np.bool_]) -> tuple[Tensor, Tensor, Tensor]:
    """Join begin token, input, answer and end token in one row.

    Args:
        inputs: `(n, width)`, padded with 0.
        answers: `(n, width)`, padded with 0; all 0 for plain text.
        everything: `(n,)`, whether all tokens of a row are learnt instead of only its answer.

    Returns:
        Token ids `(n, tokens)`, ends of inputs `(n,)`, mask of learnt positions `(n, tokens)`.
    """
    n, width = inputs.shape
    read, written = (inputs != 0).sum(axis=1), (answers != 0).sum(axis=1)
    rows = np.zeros((n, width + answers.shape[1] + 2), np.int64)
    rows[:, 0] = BEGIN
    rows[:, 1 : width + 1] = inputs
    at = np.arange(rows.shape[1])
    for shift in range(answers.shape[1]):  # a handful of columns
        some = np.flatnonzero(shift < written)
        rows[some, read[some] + 1 + shift] = answers[some, shift]
    rows[np.arange(n), read + written + 1] = END
    learnt = (at <= (read + written + 1)[:, None]) & (at > np.where(everything, 0, read)[:, None])
    longest = int((read + written).max()) + 2
    return torch.from_numpy(rows[:, :longest]), torch.from_numpy(read), torch.from_numpy(learnt[:, :longest])


def losses(model: nn.Module, head: nn.Module, batch: tuple[Tensor, Tensor, Tensor, Floats]) -> tuple[Tensor, Tensor]:
    """Loss of the learnt tokens, and loss between the inputs' last states and the teacher.

    The first one is the mean over rows of the mean over tokens. The vocabulary is scored at learnt positions only,
    which saves most of the time.

    Args:
        model: The student.
        head: Maps its states to the teacher's width.
        batch: Of `Batches`.
    """
    rows, ends, learnt, wanted_states = batch
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(input_ids=rows, use_cache=False).last_hidden_state  # type: ignore[operator]
        at = learnt[:, 1:]
        logits = model.lm_head(hidden[:, :-1][at])  # type: ignore[operator]
    each = F.cross_entropy(logits.float(), rows[:, 1:][at], reduction="none")
    weight = (1 / at.sum(dim=1, keepdim=True)).expand(at.shape)[at] / len(rows)
    state = hidden[torch.arange(len(wanted_states)), ends[: len(wanted_states)]].float()
    found, wanted = F.normalize(head(state), dim=-1), torch.from_numpy(wanted_states - wanted_states.mean(axis=0))
    wanted = F.normalize(wanted, dim=-1)
    relations = F.cross_entropy(20 * found @ wanted.T, (20 * wanted @ wanted.T).softmax(dim=1))
    return (each * weight).sum(), (1 - (found * wanted).sum(dim=-1)).mean() + relations


def train(options: argparse.Namespace, folder: Path, model: LlamaForCausalLM, batches: Batches) -> nn.Module:
    """Train the model.

    Args:
        options: Options of the command line.
        folder: Where weights are saved.
        model: With its first vectors.
        batches: Draws the rows.

    Returns:
        The model with the running average of its weights.
    """
    head = nn.Linear(SHAPE["hidden_size"], 384)
    parameters = [*model.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=options.lr, weight_decay=0.01, betas=(0.9, 0.98), fused=True)
    steps: int = options.steps or STEPS[options.release]

    def factor(step: int) -> float:
        return min((step + 1) / (0.04 * steps), 0.5 * (1 + math.cos(math.pi * step / steps)))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    average = copy.deepcopy(model)
    began = time.monotonic()
    for step in range(1, steps + 1):
        answers, teacher = losses(model, head, batches.draw())
        (2 * answers + teacher).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            decay = min(0.995, step / (step + 10))
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
        if step % 250 == 0 or step == steps:
            with torch.no_grad():
                found = [float(loss) for loss in losses(average, head, batches.held_back())]
            pace = (time.monotonic() - began) / step
            LOG.info("step %d: held back: answers and text %.3f, teacher %.3f; %.3f s a step", step, *found, pace)
            save_weights(folder / "model.safetensors", average)
    return average


def save(folder: Path, model: nn.Module, tokenizer: Tokenizer) -> None:
    """Write all files that `from_pretrained` reads.

    Args:
        folder: Where to write.
        model: The trained model.
        tokenizer: Its tokenizer.
    """
    save_weights(folder / "model.safetensors", model)
    marks = {"pad_token_id": 0, "eos_token_id": END, "bos_token_id": BEGIN}
    settings = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "float16"}
    shape = {"vocab_size": tokenizer.get_vocab_size(), **SHAPE}
    (folder / "config.json").write_text(json.dumps({**settings, **shape, **marks}, indent=2) + "\n")
    save_tokenizer(tokenizer, folder, begin=True)


if __name__ == "__main__":
    main()

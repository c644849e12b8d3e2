"""Fine-tunes a mini-t5 on each task of text-mini alone.

`PYTHONPATH=tools python -m clbench_tools.pretraining.mini_t5.fine_tune --data DATA`.

Prints exact match of greedy decoding on the validation part; reads no test part. Its output is the table of the model
card.
"""

import argparse
import logging
import math
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoTokenizer, T5ForConditionalGeneration

LOG = logging.getLogger("fine_tune")
BATCH = 32
INPUT, ANSWER = 64, 8
"""Tokens at most, as in text-mini's card."""

Rows = tuple[Tensor, Tensor, list[str]]
"""Inputs `(n, 64)`, answers `(n, 8)`, both padded with 0, and the answers as text."""


def main() -> None:
    """Fine-tune each task with each learning rate, from the same weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of text-mini's data")
    parser.add_argument("--model", type=Path, default=Path(str(files("clbench.learners"))) / "mini_t5")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--lr", type=float, nargs="+", default=[1e-3, 2e-3, 4e-3])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    for folder in sorted(path for path in options.data.iterdir() if path.is_dir()):
        training, validation = (read(tokenizer, folder / f"{part}.parquet") for part in ("train", "validation"))
        found = [f"before {exact_match(load(options.model), tokenizer, validation):.3f}"]
        for lr in options.lr:
            model, began = load(options.model), time.monotonic()
            fine_tune(model, training, options.steps, lr, options.seed)
            seconds = time.monotonic() - began
            found.append(f"lr {lr:g}: {exact_match(model, tokenizer, validation):.3f} ({seconds:.0f} s)")
        LOG.info("%s: %s", folder.name, ", ".join(found))


def load(folder: Path) -> Any:
    """The model in float32."""
    return T5ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)


def read(tokenizer: Any, path: Path) -> Rows:
    """The rows of a part as token ids."""
    rows = pq.read_table(path, columns=["text", "answer"]).to_pydict()
    settings = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
    inputs = tokenizer(rows["text"], max_length=INPUT, **settings)["input_ids"]
    return inputs, tokenizer(rows["answer"], max_length=ANSWER, **settings)["input_ids"], rows["answer"]


def cut(ids: Tensor) -> Tensor:
    """Remove the columns that are padding in every row."""
    return ids[:, : int((ids != 0).sum(dim=1).max())]


def fine_tune(model: Any, rows: Rows, steps: int, lr: float, seed: int) -> None:
    """Fine-tune by AdamW: a tenth of the steps warm up, then the rate falls by a cosine to zero.

    Args:
        model: Trained in place.
        rows: Training rows.
        steps: Steps of `BATCH` rows.
        lr: Learning rate.
        seed: Seed of the order of rows.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0, fused=True)
    rise = steps / 10

    def factor(step: int) -> float:
        return min((step + 1) / rise, 0.5 * (1 + math.cos(math.pi * max(0.0, step - rise) / (steps - rise))))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    generator = torch.Generator().manual_seed(seed)
    epochs = -(-steps * BATCH // len(rows[0]))
    order = torch.cat([torch.randperm(len(rows[0]), generator=generator) for _ in range(epochs)])
    model.train()
    for step in range(steps):
        chosen = order[step * BATCH : (step + 1) * BATCH]
        inputs, answers = cut(rows[0][chosen]), cut(rows[1][chosen])
        logits = model(
            input_ids=inputs, attention_mask=(inputs != 0).long(), decoder_input_ids=F.pad(answers[:, :-1], (1, 0))
        ).logits
        F.cross_entropy(logits.flatten(0, 1), answers.flatten(), ignore_index=0).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)


@torch.no_grad()
def exact_match(model: Any, tokenizer: Any, rows: Rows) -> float:
    """Share of answers that greedy decoding reproduces exactly, in [0, 1].

    Args:
        model: Put into evaluation mode.
        tokenizer: Its tokenizer.
        rows: Tested rows.
    """
    model.eval()
    right = 0
    for start in range(0, len(rows[0]), 100):
        inputs = cut(rows[0][start : start + 100])
        written = model.generate(
            input_ids=inputs, attention_mask=(inputs != 0).long(), max_new_tokens=ANSWER, do_sample=False
        )
        texts = tokenizer.batch_decode(written, skip_special_tokens=True)
        right += sum(text.strip() == answer for text, answer in zip(texts, rows[2][start : start + 100], strict=True))
    return right / len(rows[0])


if __name__ == "__main__":
    main()

"""Pre-trains mini-t5 on a CPU.

`PYTHONPATH=tools python -m clbench_tools.pretraining.mini_t5.pretrain_t5 --corpus CACHE --teacher FOLDER`.

`clbench_tools.text_open.build_text_open` writes the corpus into its cache; the teacher is
all-MiniLM-L6-v2. Writes weights, config and tokenizer into `--out` (the learner's folder). Build-time code: nothing
imports it when clbench runs.
"""

import argparse
import copy
import logging
import math
import time
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import T5Config, T5ForConditionalGeneration

from clbench.core.storage import write_json
from clbench_tools.pretraining.mini_t5.t5_batches import HELD_BACK, ROWS, Batches, Examples
from clbench_tools.pretraining.mini_text.corpus import END, PAD, Ids, save_tokenizer
from clbench_tools.pretraining.mini_text.teacher import first_vectors
from clbench_tools.pretraining.mini_text.teacher_targets import read_teacher_targets
from clbench_tools.pretraining.mini_text.tokenizer import TOKENIZER
from clbench_tools.pretraining.mini_text.weight_files import save_weights

LOG = logging.getLogger("pretrain")
SHAPE = {"d_model": 128, "d_kv": 32, "d_ff": 512, "num_layers": 3, "num_decoder_layers": 2, "num_heads": 4}
WIDTH = 63
"""Tokens of an input without its end mark."""
CHOICES = 24
"""Further tokens of an input that names possible answers."""
WEIGHTS = {"pairs": 1.0, "named": 0.7, "defined": 0.5, "spans": 0.4, "teacher": 1.0}
SHARPNESS = 20.0
"""Inverse temperature of the similarities within a batch."""
EVERY = 250


def main() -> None:
    """Train, log losses on held-back corpus text and write the model."""
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    tokenizer = Tokenizer.from_file(str(options.tokenizer))
    options.out.mkdir(parents=True, exist_ok=True)
    save_tokenizer(tokenizer, options.out, begin=False)
    save_config(options.out, tokenizer)
    width = WIDTH + CHOICES if options.choices else WIDTH
    targets, words = read_teacher_targets(options.corpus, options.teacher, tokenizer, width, options.choices)
    model = T5ForConditionalGeneration(T5Config.from_pretrained(options.out))
    with torch.no_grad():
        model.shared.weight.copy_(torch.from_numpy(first_vectors(words, SHAPE["d_model"])))
    middle = np.concatenate([targets.of_passages, targets.of_glosses]).mean(axis=0)
    train(options, model, Batches(targets, options.seed), torch.from_numpy(middle))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True, help="cache folder of a builder of texts")
    parser.add_argument("--teacher", type=Path, required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZER)
    parser.add_argument("--out", type=Path, default=Path(str(files("clbench.learners"))) / "mini_t5")
    parser.add_argument("--choices", type=float, default=0.6, help="share of pairs and definitions with options")
    parser.add_argument("--steps", type=int, default=4500)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="two are slower than one where cores are shared")
    return parser.parse_args()


def answer_losses(model: nn.Module, inputs: Ids, answers: Ids) -> tuple[Tensor, Tensor]:
    """Loss of every answer, and the encoder's output.

    Args:
        model: The student.
        inputs: Token ids `(n, tokens)`, padded with 0.
        answers: Token ids `(n, tokens)`, padded with 0.

    Returns:
        Mean loss over each answer's tokens `(n,)`, mean of the encoder's output over each input `(n, width)`.
    """
    read, asked = (torch.from_numpy(ids[:, : int((ids != 0).sum(axis=1).max())]).long() for ids in (inputs, answers))
    shifted = F.pad(asked[:, :-1], (1, 0))  # T5 begins with the padding token
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(input_ids=read, attention_mask=(read != 0).long(), decoder_input_ids=shifted)
    each = F.cross_entropy(out.logits.float().flatten(0, 1), asked.flatten(), reduction="none").view_as(asked)
    real, mask = asked != 0, (read != 0).unsqueeze(-1)
    pooled = (out.encoder_last_hidden_state.float() * mask).sum(1) / mask.sum(1)
    return (each * real).sum(1) / real.sum(1), pooled


def teacher_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """1 - cosine, plus the cross-entropy between teacher and student of the similarities within the batch.

    Args:
        found: Output of the student `(n, 384)`.
        wanted: The teacher's centred embeddings `(n, 384)`.
    """
    found, wanted = F.normalize(found, dim=-1), F.normalize(wanted, dim=-1)
    relations = F.cross_entropy(SHARPNESS * found @ wanted.T, (SHARPNESS * wanted @ wanted.T).softmax(dim=1))
    return (1 - (found * wanted).sum(dim=-1)).mean() + relations


def losses(model: nn.Module, head: nn.Module, middle: Tensor, batch: Examples, named: int) -> dict[str, Tensor]:
    """All losses of a batch by name.

    Args:
        model: The student.
        head: Maps the mean of the encoder's output to the teacher's width.
        middle: Mean of the teacher's embeddings `(384,)`.
        batch: Examples.
        named: Number of the first rows that are named passages.
    """
    each, pooled = answer_losses(model, batch.inputs, batch.answers)
    both = len(batch.embeddings)
    found = {"named": each[:named].mean(), "defined": each[named:both].mean()}
    if len(each) > both:
        found["pairs"] = each[both:].mean()
    found["spans"] = answer_losses(model, batch.holes, batch.spans)[0].mean()
    return found | {"teacher": teacher_loss(head(pooled[:both]), torch.from_numpy(batch.embeddings) - middle)}


def train(options: argparse.Namespace, model: T5ForConditionalGeneration, batches: Batches, middle: Tensor) -> None:
    """Train the model; write the running average of its weights.

    Args:
        options: Options of the command line.
        model: With its first vectors.
        batches: Draws the examples.
        middle: Mean of the teacher's embeddings `(384,)`.
    """
    head = nn.Linear(SHAPE["d_model"], len(middle))
    parameters = [*model.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=options.lr, weight_decay=0.01, betas=(0.9, 0.98), fused=True)

    steps: int = options.steps

    def factor(step: int) -> float:
        rise = min(1.0, (step + 1) / (0.04 * steps))
        return min(rise, 0.5 * (1 + math.cos(math.pi * step / steps)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    average: nn.Module = copy.deepcopy(model)
    average.eval()
    held_back = batches.held_back()
    began = time.monotonic()
    for step in range(1, steps + 1):
        found = losses(model, head, middle, batches.draw(), ROWS["named"])
        torch.stack([WEIGHTS[name] * loss for name, loss in found.items()]).sum().backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            decay = min(0.995, step / (step + 10))
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
        if step % EVERY == 0 or step == steps:
            with torch.no_grad():
                found = losses(average, head, middle, held_back, HELD_BACK)
            pace = (time.monotonic() - began) / step
            text = ", ".join(f"{name} {float(loss):.3f}" for name, loss in found.items())
            LOG.info("step %d: held back: %s; %.3f s a step", step, text, pace)
            save_weights(options.out / "model.safetensors", average)


def save_config(folder: Path, tokenizer: Tokenizer) -> None:
    """Write the shape of the model in transformers' form."""
    settings = {"architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "dtype": "float16"}
    shape = {"vocab_size": tokenizer.get_vocab_size(), "feed_forward_proj": "relu", "dropout_rate": 0.0, **SHAPE}
    marks = {"pad_token_id": PAD, "eos_token_id": END, "decoder_start_token_id": PAD, "tie_word_embeddings": True}
    write_json(folder / "config.json", {**settings, **shape, **marks})


if __name__ == "__main__":
    main()

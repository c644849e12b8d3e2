"""Pre-trains mini-t5 on a CPU: `python -m clbench.models.mini_t5.pretrain --corpus CACHE --teacher FOLDER`.

The corpus is written by `streams/text_sequences/build_text_mini`, the teacher is all-MiniLM-L6-v2. Writes the files of
this folder. Build-time code: nothing imports it when clbench runs.
"""

import argparse
import copy
import json
import logging
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import T5Config, T5ForConditionalGeneration

from clbench.models.mini_text.corpus import Ids, read_corpus, save_tokenizer, train_tokenizer
from clbench.models.mini_text.distil import Data, embedded, save_weights, taught_loss
from clbench.models.mini_text.teacher import Floats, word_vectors

LOG = logging.getLogger("pretrain")
VOCABULARY = 8000
SHAPE = {"d_model": 128, "d_kv": 32, "d_ff": 512, "num_layers": 3, "num_decoder_layers": 2, "num_heads": 4}


def main() -> None:
    """Train, log losses on held-back corpus text and write the model."""
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    corpus = read_corpus(options.corpus)
    tokenizer = train_tokenizer(corpus, VOCABULARY)
    names = [tokenizer.id_to_token(i) or "" for i in range(tokenizer.get_vocab_size())]
    config = T5Config(vocab_size=len(names), dropout_rate=0.0, decoder_start_token_id=0, **SHAPE)
    model = T5ForConditionalGeneration(config)
    vectors = word_vectors(options.teacher, [name.removeprefix("##") for name in names], config.d_model)
    with torch.no_grad():
        model.shared.weight.copy_(torch.from_numpy(vectors))
    data = Data(corpus, tokenizer, names, embedded(options.corpus, options.teacher, corpus), options.seed)
    best = train(options, model, data)
    save(options.out, best, tokenizer)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True, help="folder that build_text_mini has filled")
    parser.add_argument("--teacher", type=Path, required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=48, help="passages, and as many definitions")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def losses(model: nn.Module, head: nn.Module, batch: tuple[Ids, Ids, Floats]) -> tuple[Tensor, Tensor]:
    """Of the answers (mean over samples of the mean over tokens), and of the encoder's mean against the teacher."""
    inputs, targets = (torch.from_numpy(ids[:, : int((ids != 0).sum(axis=1).max())]).long() for ids in batch[:2])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(input_ids=inputs, attention_mask=inputs != 0, labels=targets.masked_fill(targets == 0, -100))
    real = targets != 0
    each = F.cross_entropy(out.logits.float().flatten(0, 1), targets.flatten(), reduction="none").view_as(targets)
    answers = ((each * real).sum(1) / real.sum(1)).mean()
    mask = (inputs != 0).unsqueeze(-1)
    pooled = (out.encoder_last_hidden_state.float() * mask).sum(1) / mask.sum(1)
    return answers, taught_loss(head(pooled), batch[2])


def train(options: argparse.Namespace, model: T5ForConditionalGeneration, data: Data) -> nn.Module:
    """The loop; returns the running average of the weights."""
    head = nn.Linear(SHAPE["d_model"], data.taught[0].shape[1])
    parameters = [*model.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=options.lr, weight_decay=0.01, betas=(0.9, 0.98), fused=True)
    rise = max(1, options.steps // 20)

    def factor(step: int) -> float:
        return min((step + 1) / rise, 0.5 * (1 + math.cos(math.pi * step / options.steps)))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
    average = copy.deepcopy(model)
    began = time.monotonic()
    for step in range(1, options.steps + 1):
        parts = [losses(model, head, data.passages_of(options.batch)), losses(model, head, data.defined(options.batch))]
        loss = torch.stack([answers + 2 * taught for answers, taught in parts]).sum()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        scheduler.step()
        optimiser.zero_grad(set_to_none=True)
        with torch.no_grad():
            decay = min(0.998, step / (step + 10))
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
        if step % 250 == 0 or step == options.steps:
            with torch.no_grad():
                answers, taught = losses(average, head, data.held_back())
            pace = (time.monotonic() - began) / step
            LOG.info("step %d: held-back answers %.3f, teacher %.3f, %.3f s a step", step, answers, taught, pace)
            save_weights(options.out, average)
    return average


def save(folder: Path, model: nn.Module, tokenizer: Tokenizer) -> None:
    """Everything that `from_pretrained` reads."""
    save_weights(folder, model)
    settings = {"architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "dtype": "float16"}
    shape = {"vocab_size": tokenizer.get_vocab_size(), "dropout_rate": 0.0, **SHAPE}
    marks = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0, "tie_word_embeddings": True}
    (folder / "config.json").write_text(json.dumps({**settings, **shape, **marks}, indent=2) + "\n")
    save_tokenizer(tokenizer, folder, begin=False)


if __name__ == "__main__":
    main()

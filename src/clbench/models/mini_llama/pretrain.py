"""Pre-trains mini-llama on a CPU: `python -m clbench.models.mini_llama.pretrain v1 --corpus CACHE --teacher FOLDER`.

v1 and v2 have one architecture and one tokenizer (that of mini-t5). v1 sees every other text of the corpus, v2 all of
it for more steps from a start of its own. Build-time code: nothing imports it when clbench runs.
"""

import argparse
import copy
import json
import logging
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from clbench.models.mini_text.corpus import BEGIN, Ids, read_corpus, save_tokenizer
from clbench.models.mini_text.distil import Data, embedded, save_weights, taught_loss
from clbench.models.mini_text.teacher import Floats, word_vectors

LOG = logging.getLogger("pretrain")
SHAPE = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
}
SPREAD = 0.05
"""Standard deviation of the first vectors: those of mini-t5 would make the shared head too sure of itself."""
STEPS = {"v1": 2000, "v2": 5000}
SHARE = {"v1": 2, "v2": 1}
"""Every so-manieth text is used."""


def main() -> None:
    """Train, log losses on held-back corpus text and write the model."""
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    seed = list(STEPS).index(options.release)
    torch.manual_seed(seed)
    torch.set_num_threads(options.threads)
    tokenizer = Tokenizer.from_file(str(options.tokenizer / "tokenizer.json"))
    corpus = read_corpus(options.corpus)
    names = [tokenizer.id_to_token(i) or "" for i in range(tokenizer.get_vocab_size())]
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(names), **SHAPE))
    vectors = SPREAD * word_vectors(options.teacher, [name.removeprefix("##") for name in names], SHAPE["hidden_size"])
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(torch.from_numpy(vectors))
    data = Data(
        corpus, tokenizer, names, embedded(options.corpus, options.teacher, corpus), seed, SHARE[options.release]
    )
    folder = options.out / options.release
    average = train(options, folder, model, data)
    save(folder, average, tokenizer)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("release", choices=sorted(STEPS))
    parser.add_argument("--corpus", type=Path, required=True, help="folder that build_text_mini has filled")
    parser.add_argument("--teacher", type=Path, required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--tokenizer", type=Path, default=Path(__file__).parents[1] / "mini_t5")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--batch", type=int, default=32, help="passages, and as many definitions")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def behind(inputs: Ids, targets: Ids) -> tuple[Tensor, Tensor, Tensor]:
    """Begin mark, input and answer in one row, padding behind; where inputs end; which tokens are answers.

    Args:
        inputs: `(n, width)`, padded with 0, with end marks, which are left out.
        targets: The same for answers, whose end marks stay.
    """
    lengths = (inputs != 0).sum(axis=1) - 1
    rows = np.zeros((len(inputs), 1 + inputs.shape[1] + targets.shape[1]), np.int64)
    rows[:, 0] = BEGIN
    at = np.arange(rows.shape[1])[None] - 1
    text = (at >= 0) & (at < lengths[:, None])
    answer = (at >= lengths[:, None]) & (at < lengths[:, None] + targets.shape[1])
    rows[text] = inputs[np.arange(inputs.shape[1])[None] < lengths[:, None]]
    rows[answer] = targets.reshape(-1)
    width = int((rows != 0).sum(axis=1).max())
    return torch.from_numpy(rows[:, :width]), torch.from_numpy(lengths), torch.from_numpy(answer[:, :width])


def losses(model: nn.Module, head: nn.Module, batch: tuple[Ids, Ids, Floats]) -> tuple[Tensor, Tensor, Tensor]:
    """Of all tokens, of the answers alone, and of the state at the input's end against the teacher."""
    rows, ends, answer = behind(batch[0], batch[1])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(input_ids=rows, output_hidden_states=True)
    each = F.cross_entropy(out.logits[:, :-1].float().flatten(0, 1), rows[:, 1:].flatten(), reduction="none")
    each, real, asked = each.view(len(rows), -1), rows[:, 1:] != 0, answer[:, 1:] & (rows[:, 1:] != 0)
    state = out.hidden_states[-1].float()[torch.arange(len(rows)), ends]
    return (each * real).sum() / real.sum(), (each * asked).sum() / asked.sum(), taught_loss(head(state), batch[2])


def train(options: argparse.Namespace, folder: Path, model: LlamaForCausalLM, data: Data) -> nn.Module:
    """The loop; returns the running average of the weights."""
    head = nn.Linear(SHAPE["hidden_size"], data.taught[0].shape[1])
    parameters = [*model.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=options.lr, weight_decay=0.01, betas=(0.9, 0.98), fused=True)
    steps = STEPS[options.release]
    rise = max(1, steps // 20)

    def factor(step: int) -> float:
        return min((step + 1) / rise, 0.5 * (1 + math.cos(math.pi * step / steps)))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
    average = copy.deepcopy(model)
    began = time.monotonic()
    for step in range(1, steps + 1):
        for batch in (data.wordless(options.batch), data.defined(options.batch)):
            everything, answers, taught = losses(model, head, batch)
            (everything + answers + taught).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        scheduler.step()
        optimiser.zero_grad(set_to_none=True)
        with torch.no_grad():
            decay = min(0.998, step / (step + 10))
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
        if step % 250 == 0 or step == steps:
            with torch.no_grad():
                found = [float(loss) for loss in losses(average, head, data.held_back_wordless())]
            pace = (time.monotonic() - began) / step
            LOG.info("step %d: held-back text %.3f, answers %.3f, teacher %.3f, %.3f s a step", step, *found, pace)
            save_weights(folder, average)
    return average


def save(folder: Path, model: nn.Module, tokenizer: Tokenizer) -> None:
    """Everything that `from_pretrained` reads."""
    save_weights(folder, model)
    marks = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": BEGIN}
    settings = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "float16"}
    shape = {"vocab_size": tokenizer.get_vocab_size(), **SHAPE}
    (folder / "config.json").write_text(json.dumps({**settings, **shape, **marks}, indent=2) + "\n")
    save_tokenizer(tokenizer, folder, begin=True)


if __name__ == "__main__":
    main()

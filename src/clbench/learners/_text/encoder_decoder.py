"""Encoder-decoder language models, such as T5."""

import re
from pathlib import Path

import torch
from torch import Tensor, nn

from clbench.contracts import Batch, LinearLayer
from clbench.learners._text.text_learner import ScoreWatch, TextLearner, linear_layers_of, log_likelihoods
from clbench.learners._text.tokens import TextTokens, mask_of

BLOCKS = re.compile(r"^(?P<tower>encoder|decoder)\.block\.(?P<block>\d+)\.")
ROLES = {"q": "q", "k": "k", "v": "v", "o": "out", "wi": "up", "wi_0": "gate", "wi_1": "up", "wo": "down"}
CROSS = "EncDecAttention"
ENCODED = "encoded"
"""Name of the encoder's output in a batch, `(n, width, hidden)`; `read` adds it."""
READ_BY_CROSS = ("cross_k", "cross_v")
"""Roles of layers in the decoder that read the encoder's output."""


class EncoderDecoderLearner(TextLearner):
    """A `T5ForConditionalGeneration` (Raffel et al. 2020): the encoder reads the input, the decoder writes the answer.

    Args:
        name: Name of the learner in a suite.
        module: The model.
        tokens: Converts texts to tokens and back.
        held_out: Parquet file of held-out plain text, for `general_ability`.
    """

    def __init__(self, name: str, module: nn.Module, tokens: TextTokens, held_out: Path | None = None) -> None:
        super().__init__(name, module, tokens, held_out)
        settings = self._model.generation_config
        self._start: int = settings.decoder_start_token_id or 0  # T5 starts with its padding token, 0
        settings.decoder_start_token_id = self._start

    def read(self, batch: Batch) -> Batch:
        """The batch with the encoder's output, computed if it is not there."""
        if ENCODED in batch:
            return batch
        encoded = self._model.encoder(input_ids=batch["input"].long(), attention_mask=mask_of(batch, "input"))
        return {**batch, ENCODED: encoded.last_hidden_state}

    def answer_logits(self, batch: Batch) -> Tensor:
        """Scores under teacher forcing, `(n, width, vocabulary)`."""
        answer = batch["answer"].long()
        forced = torch.cat([answer.new_full((len(answer), 1), self._start), answer[:, :-1]], dim=1)
        logits: Tensor = self._model(
            input_ids=batch["input"].long(),
            attention_mask=mask_of(batch, "input"),
            decoder_input_ids=forced,
            use_cache=False,
        ).logits
        return logits

    def label_scores(self, batch: Batch, labels: Batch) -> Tensor:
        """Log-likelihoods `(n, answers)`; inputs are encoded once, and what the decoder reads of them is shared."""
        mask = mask_of(batch, "input")
        encoded = self.read(batch)[ENCODED]
        n, count = len(mask), len(labels["answer"])
        began = self._model(
            encoder_outputs=(encoded,),
            attention_mask=mask,
            decoder_input_ids=torch.full((n, 1), self._start, device=mask.device),
            use_cache=True,
        )
        kept = getattr(began, self._cache)
        kept.batch_repeat_interleave(count)
        forced = labels["answer"][:, :-1].long().repeat(n, 1)
        rest = self._model(
            # The encoder's keys and values are in the cache; the decoder reads only the shape of this.
            encoder_outputs=(encoded[:1].expand(n * count, -1, -1),),
            attention_mask=mask.repeat_interleave(count, dim=0),
            decoder_input_ids=forced,
            use_cache=True,
            **{self._cache: kept},
        ).logits
        return log_likelihoods(began.logits[:, 0], rest.unflatten(0, (n, count)), labels)

    def generate(self, batch: Batch, limit: int, watch: ScoreWatch | None = None) -> Tensor:
        """Greedily decoded token ids `(n, at most limit)`.

        Args:
            batch: Batch of n inputs.
            limit: Largest number of tokens.
            watch: Called with the scores of every token.
        """
        from transformers import DynamicCache, EncoderDecoderCache
        from transformers.modeling_outputs import BaseModelOutput

        written: Tensor = self._model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=self.read(batch)[ENCODED]),
            attention_mask=mask_of(batch, "input"),
            max_new_tokens=limit,
            do_sample=False,
            num_beams=1,
            eos_token_id=self.tokens.end,
            pad_token_id=self.tokens.end,
            logits_processor=[] if watch is None else [watch],
            **{
                self._cache: EncoderDecoderCache(DynamicCache(), DynamicCache())
            },  # the default has as many layers as the encoder
        )
        return written[:, 1:]

    def pretraining_pair(self, passage: str) -> tuple[str, str]:
        """Span corruption at fixed positions: the sixth and seventh of every ten words are the answer."""
        words = passage.split()
        read, asked = [], []
        for number, start in enumerate(range(0, len(words), 10)):
            hidden = words[start + 5 : start + 7]
            mark = [f"<extra_id_{number}>"] if hidden else []
            read += [*words[start : start + 5], *mark, *words[start + 7 : start + 10]]
            asked += [*mark, *hidden]
        return " ".join(read), " ".join(asked)

    def counted_module(self) -> nn.Module:
        """The encoder: an input counts when it is read, and not again for each answer that is scored after it."""
        found: nn.Module = self._model.encoder
        return found

    def linear_layers(self) -> tuple[LinearLayer, ...]:
        """The projections of both towers; cross-attention has roles of its own (`cross_q`, ...)."""
        return linear_layers_of(self.module, BLOCKS, ROLES, CROSS)

    def real_tokens(self, batch: Batch, layer: LinearLayer) -> Tensor | None:
        """Mask of the input's tokens for layers that read the input, else of the answer's tokens."""
        return mask_of(batch, "input" if layer.tower == "encoder" or layer.role in READ_BY_CROSS else "answer")

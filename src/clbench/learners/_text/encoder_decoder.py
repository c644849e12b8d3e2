"""Encoder-decoder language models: T5 and its kin."""

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
"""Where `read` puts the encoder's output in a batch, `(n, width, hidden)`."""
READ_BY_CROSS = ("cross_k", "cross_v")
"""Roles in the decoder whose input is the encoder's output."""


class EncoderDecoderLearner(TextLearner):
    """A `T5ForConditionalGeneration` (Raffel et al. 2020): the encoder reads the input, the decoder writes the answer.

    Args:
        name: As in a suite.
        module: The model.
        tokens: Of its tokenizer.
        held_out: See `TextLearner`.
    """

    def __init__(self, name: str, module: nn.Module, tokens: TextTokens, held_out: Path | None = None) -> None:
        super().__init__(name, module, tokens, held_out)
        settings = self._model.generation_config
        self._start: int = settings.decoder_start_token_id or 0  # T5's is its padding token, 0, also where nobody says
        settings.decoder_start_token_id = self._start

    def read(self, batch: Batch) -> Batch:
        """The batch with the encoder's output beside it."""
        if ENCODED in batch:
            return batch
        encoded = self._model.encoder(input_ids=batch["input"].long(), attention_mask=mask_of(batch, "input"))
        return {**batch, ENCODED: encoded.last_hidden_state}

    def answer_logits(self, batch: Batch) -> Tensor:
        """Scores under teacher forcing, `(n, width, vocabulary)`."""
        answer = batch["answer"].long()
        told = torch.cat([answer.new_full((len(answer), 1), self._start), answer[:, :-1]], dim=1)
        logits: Tensor = self._model(
            input_ids=batch["input"].long(),
            attention_mask=mask_of(batch, "input"),
            decoder_input_ids=told,
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
        told = labels["answer"][:, :-1].long().repeat(n, 1)
        rest = self._model(
            # The decoder finds the encoder's keys and values in the cache and asks this for no more than its shape.
            encoder_outputs=(encoded[:1].expand(n * count, -1, -1),),
            attention_mask=mask.repeat_interleave(count, dim=0),
            decoder_input_ids=told,
            use_cache=True,
            **{self._cache: kept},
        ).logits
        return log_likelihoods(began.logits[:, 0], rest.unflatten(0, (n, count)), labels)

    def generate(self, batch: Batch, limit: int, watch: ScoreWatch | None = None) -> Tensor:
        """Greedily decoded token ids `(n, at most limit)`."""
        from transformers import DynamicCache, EncoderDecoderCache
        from transformers.modeling_outputs import BaseModelOutput

        written: Tensor = self._model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=self.read(batch)[ENCODED]),
            attention_mask=mask_of(batch, "input"),
            max_new_tokens=limit,
            do_sample=False,
            num_beams=1,
            eos_token_id=self._tokens.end,
            pad_token_id=self._tokens.end,
            logits_processor=[] if watch is None else [watch],
            **{self._cache: EncoderDecoderCache(DynamicCache(), DynamicCache())},  # its own has the encoder's layers
        )
        return written[:, 1:]

    def asked_as_in_pretraining(self, passage: str) -> tuple[str, str]:
        """Span corruption without chance: of every ten words the sixth and seventh are asked for."""
        words = passage.split()
        read, asked = [], []
        for number, start in enumerate(range(0, len(words), 10)):
            hidden = words[start + 5 : start + 7]
            mark = [f"<extra_id_{number}>"] if hidden else []
            read += [*words[start : start + 5], *mark, *words[start + 7 : start + 10]]
            asked += [*mark, *hidden]
        return " ".join(read), " ".join(asked)

    def linear_layers(self) -> tuple[LinearLayer, ...]:
        """The projections of both towers; those of the attention to the encoder's output have roles of their own."""
        return linear_layers_of(self.module, BLOCKS, ROLES, CROSS)

    def real_tokens(self, batch: Batch, layer: LinearLayer) -> Tensor | None:
        """The input's tokens in the encoder and where the decoder reads it, else the answer's."""
        return mask_of(batch, "input" if layer.tower == "encoder" or layer.role in READ_BY_CROSS else "answer")

"""Decoder-only language models, such as LLaMA."""

import re

import torch
from torch import Tensor, nn

from clbench.contracts import Batch, LinearLayer, Task, TokenScores
from clbench.core.forward_passes import passes_uncounted
from clbench.learners._text.text_learner import ScoreWatch, TextLearner, linear_layers_of, log_likelihoods

BLOCKS = re.compile(r"\.layers\.(?P<block>\d+)\.")
ROLES = {
    "q_proj": "q",
    "k_proj": "k",
    "v_proj": "v",
    "o_proj": "out",
    "gate_proj": "gate",
    "up_proj": "up",
    "down_proj": "down",
    "dense": "out",  # Phi's names, from here on
    "fc1": "up",
    "fc2": "down",
}


class DecoderLearner(TextLearner):
    """A causal language model (Touvron et al. 2023 and others): it writes the answer after the input.

    In training, the answer follows its input directly and padding is behind both; causal attention cannot see it, so no
    mask is needed. In decoding, padding is in front.
    """

    def answer_logits(self, batch: Batch) -> Tensor:
        """Scores `(n, width, vocabulary)`, computed at the positions of answers only."""
        before = batch["input.width"].long().unsqueeze(1)
        steps = torch.arange(batch["answer"].shape[1], device=before.device)
        hidden = self._model.model(input_ids=_concatenated(batch), use_cache=False).last_hidden_state
        at = (before - 1 + steps).unsqueeze(-1).expand(-1, -1, hidden.shape[-1])
        logits: Tensor = self._model.lm_head(hidden.gather(1, at))
        return logits

    def token_logits(self, batch: Batch, task: Task, answers_only: bool = False) -> TokenScores:
        """Scores of the tokens of inputs and answers without each sample's first, or of answers only, without padding.

        Args:
            batch: The batch, as for `loss`.
            task: Not used.
            answers_only: Whether to leave out the tokens of inputs.
        """
        ids = _concatenated(batch)
        at = torch.arange(1, ids.shape[1], device=ids.device)
        before = batch["input.width"].unsqueeze(1)
        asked = at < before + batch["answer.width"].unsqueeze(1)
        if answers_only:
            asked = asked & (at >= before)
        hidden = self._model.model(input_ids=ids, use_cache=False).last_hidden_state
        logits: Tensor = self._model.lm_head(hidden[:, :-1][asked])
        return TokenScores(logits, ids[:, 1:][asked], asked.nonzero()[:, 0])

    def loss_terms(self, batch: Batch, answers_only: bool = True) -> Tensor:
        """Number of tokens of answers, or of inputs and answers without each sample's first."""
        answers = super().loss_terms(batch)
        return answers if answers_only else answers + (batch["input.width"] - 1).sum()

    def label_scores(self, batch: Batch, labels: Batch) -> Tensor:
        """Log-likelihoods `(n, answers)`; each input is read once, and its keys and values serve all answers."""
        ids, mask = _padded_in_front(batch)
        n, count = len(ids), len(labels["answer"])
        places = (mask.cumsum(dim=1) - 1).clamp(min=0)
        began = self._model(input_ids=ids, attention_mask=mask, position_ids=places, use_cache=True, logits_to_keep=1)
        kept = getattr(began, self._cache)
        kept.batch_repeat_interleave(count)
        forced = labels["answer"][:, :-1].long().repeat(n, 1)
        seen = mask.repeat_interleave(count, dim=0)
        steps = torch.arange(1, forced.shape[1] + 1, device=ids.device)
        with passes_uncounted():  # answers go on from inputs, which were counted
            rest = self._model(
                input_ids=forced,
                attention_mask=torch.cat([seen, seen.new_ones(forced.shape)], dim=1),
                position_ids=places[:, -1:].repeat_interleave(count, dim=0) + steps,
                use_cache=True,
                **{self._cache: kept},
            ).logits
        return log_likelihoods(began.logits[:, -1], rest.unflatten(0, (n, count)), labels)

    def generate(self, batch: Batch, limit: int, watch: ScoreWatch | None = None) -> Tensor:
        """Greedily decoded token ids `(n, at most limit)`.

        Args:
            batch: Batch of n inputs.
            limit: Largest number of tokens.
            watch: Called with the scores of every token.
        """
        ids, mask = _padded_in_front(batch)
        written: Tensor = self._model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=limit,
            do_sample=False,
            num_beams=1,
            eos_token_id=self.tokens.end,
            pad_token_id=self.tokens.end,
            logits_processor=[] if watch is None else [watch],
        )
        return written[:, ids.shape[1] :]

    def pretraining_pair(self, passage: str) -> tuple[str, str]:
        """The first word, and the text after it."""
        first, _, rest = passage.partition(" ")
        return first, rest

    def counted_module(self) -> nn.Module:
        """The model without its output layer: an input counts when it is read. Decoding counts it at every token."""
        found: nn.Module = self._model.model
        return found

    def linear_layers(self) -> tuple[LinearLayer, ...]:
        """The projections of attention and MLP in every block."""
        return linear_layers_of(self.module, BLOCKS, ROLES)

    def real_tokens(self, batch: Batch, layer: LinearLayer) -> Tensor | None:
        """Mask of input and answer; padding is behind them."""
        width = batch["input"].shape[1] + batch["answer"].shape[1]
        filled = batch["input.width"] + batch["answer.width"]
        return torch.arange(width, device=filled.device) < filled.unsqueeze(1)


def _concatenated(batch: Batch) -> Tensor:
    """Inputs concatenated with their answers, `(n, input + answer)`; padding is at the end."""
    width = batch["input"].shape[1]
    both = torch.cat([batch["input"], batch["answer"]], dim=1).long()
    at = torch.arange(both.shape[1], device=both.device).expand(len(both), -1)
    before = batch["input.width"].long().unsqueeze(1)
    shifted = torch.where(at < before, at, (at - before + width).clamp(max=both.shape[1] - 1))
    return both.gather(1, shifted)


def _padded_in_front(batch: Batch) -> tuple[Tensor, Tensor]:
    """Inputs with padding in front, and their mask (0 for padding, else 1): both `(n, width)` int64."""
    ids = batch["input"].long()
    width = ids.shape[1]
    start = width - batch["input.width"].long().unsqueeze(1)
    at = torch.arange(width, device=ids.device) - start
    return ids.gather(1, at.clamp(min=0)), (at >= 0).long()

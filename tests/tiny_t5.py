"""A T5 small enough for tests: random weights, bytes as tokens."""

import torch
from transformers import T5Config, T5ForConditionalGeneration

from clbench.core.registry import LEARNERS
from clbench.core.seeding import derive
from clbench.learners._text.encoder_decoder import EncoderDecoderLearner
from clbench.learners._text.loading import ByteTokens
from clbench.learners._text.tokens import TextTokens


@LEARNERS.register("tiny-t5")
def tiny_t5(argument: str, seed: int) -> EncoderDecoderLearner:
    """Width 16, 1 + 2 layers."""
    config = T5Config(
        vocab_size=260,
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=1,
        num_decoder_layers=2,
        num_heads=2,
        dropout_rate=0.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "tiny-t5", *argument.split()))
        model = T5ForConditionalGeneration(config)
    return EncoderDecoderLearner("tiny-t5", model, TextTokens(ByteTokens(), "tiny-t5", ends_inputs=True))

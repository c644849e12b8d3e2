"""A LLaMA small enough for tests: random weights, bytes as tokens, keys and values shared by two heads."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from clbench.core.registry import LEARNERS
from clbench.core.seeding import derive
from clbench.learners._text.decoder import DecoderLearner
from clbench.learners._text.loading import ByteTokens
from clbench.learners._text.tokens import TextTokens


@LEARNERS.register("tiny-llama")
def tiny_llama(argument: str, seed: int) -> DecoderLearner:
    """Width 16, 2 layers; other weights for each argument."""
    config = LlamaConfig(
        vocab_size=260,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        initializer_range=0.3,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "tiny-llama", *argument.split()))
        model = LlamaForCausalLM(config)
    return DecoderLearner("tiny-llama", model, TextTokens(ByteTokens(), "tiny-llama", ends_inputs=False))

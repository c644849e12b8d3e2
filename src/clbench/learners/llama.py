"""LLaMA and other causal language models of transformers, by hub name, folder or shape."""

from pathlib import Path

from clbench.core.errors import CheckpointError
from clbench.core.registry import LEARNERS
from clbench.learners._shared.arguments import require_argument
from clbench.learners._text.decoder import DecoderLearner
from clbench.learners._text.loading import RANDOM, SOURCES, ByteTokens, load_pretrained, random_weights
from clbench.learners._text.tokens import TextTokens


@LEARNERS.register("llama", argument="wanted")
def llama(argument: str, seed: int) -> DecoderLearner:
    """A causal language model: `llama:meta-llama/Llama-2-7b-hf` (hub), `llama:FOLDER`, `llama:random:llama-2-7b`.

    Models whose layers are named like LLaMA's (Mistral, Qwen, Vicuna, TinyLlama, ...) work, too.
    A folder with a LoRA adapter of PEFT gives the adapter's base model with the adapter merged into it.

    Args:
        argument: Hub name, folder, or `random:` and a shape (llama-2-7b, llama-3.1-8b, tiny-llama-1.1b).
        seed: Seed of random weights.

    Raises:
        ConfigError: For an unknown shape, or an empty argument.
        CheckpointError: For weights that are missing, cannot be fetched or belong to another architecture.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    name = f"llama:{require_argument('llama', argument, SOURCES)}"
    if argument.startswith(RANDOM):
        shapes = {
            "llama-2-7b": LlamaConfig(),
            "llama-3.1-8b": LlamaConfig(vocab_size=128256, intermediate_size=14336, num_key_value_heads=8),
            "tiny-llama-1.1b": LlamaConfig(
                hidden_size=2048, intermediate_size=5632, num_hidden_layers=22, num_key_value_heads=4
            ),
        }
        module = random_weights(name, shapes, argument.removeprefix(RANDOM), LlamaForCausalLM, seed)
        return DecoderLearner(name, module, TextTokens(ByteTokens(), name, ends_inputs=False))
    return llama_from(name, argument)


def llama_from(name: str, source: str, held_out: Path | None = None, **settings: object) -> DecoderLearner:
    """The causal language model in a folder or of a hub name.

    Args:
        name: Name of the learner.
        source: Folder or hub name.
        held_out: Held-out plain text, for `general_ability`.
        **settings: Further arguments of `from_pretrained` (`gguf_file`).

    Raises:
        CheckpointError: When it is missing, damaged or of another architecture.
    """
    from transformers import AutoModelForCausalLM

    module, tokenizer = load_pretrained(name, source, AutoModelForCausalLM, **settings)
    learner = DecoderLearner(name, module, TextTokens(tokenizer, name, ends_inputs=False), held_out)
    if not (hasattr(module, "model") and hasattr(module, "lm_head") and learner.linear_layers()):
        raise CheckpointError(
            f"learner {name}: {source}: {type(module).__name__} is not built like LLaMA: wanted linear layers in"
            " `model.layers` and an `lm_head`"
        )
    return learner

"""T5 models of transformers, by hub name, folder or shape."""

from pathlib import Path

from clbench.core.registry import LEARNERS
from clbench.learners._shared.arguments import require_argument
from clbench.learners._text.encoder_decoder import EncoderDecoderLearner
from clbench.learners._text.loading import RANDOM, SOURCES, ByteTokens, load_pretrained, random_weights
from clbench.learners._text.tokens import TextTokens


@LEARNERS.register("t5", argument="wanted")
def t5(argument: str, seed: int) -> EncoderDecoderLearner:
    """A T5 model: `t5:google-t5/t5-large` (hub), `t5:FOLDER`, `t5:random:t5-large` (random weights, byte tokens).

    A folder with a LoRA adapter of PEFT gives the adapter's base model with the adapter merged into it.

    Args:
        argument: Hub name, folder, or `random:` and a shape (t5-small, t5-base, t5-large, t5-3b).
        seed: Seed of random weights.

    Raises:
        ConfigError: For an unknown shape, or an empty argument.
        CheckpointError: For weights that are missing, cannot be fetched or belong to another architecture.
    """
    from transformers import T5Config, T5ForConditionalGeneration

    name = f"t5:{require_argument('t5', argument, SOURCES)}"
    if argument.startswith(RANDOM):
        shapes = {
            "t5-small": T5Config(),
            "t5-base": T5Config(d_model=768, d_ff=3072, num_layers=12, num_heads=12),
            "t5-large": T5Config(d_model=1024, d_ff=4096, num_layers=24, num_heads=16),
            "t5-3b": T5Config(d_model=1024, d_kv=128, d_ff=16384, num_layers=24, num_heads=32),
        }
        module = random_weights(name, shapes, argument.removeprefix(RANDOM), T5ForConditionalGeneration, seed)
        return EncoderDecoderLearner(name, module, TextTokens(ByteTokens(), name, ends_inputs=True))
    return t5_from(name, argument)


def t5_from(name: str, source: str, held_out: Path | None = None) -> EncoderDecoderLearner:
    """The T5 model in a folder or of a hub name.

    Args:
        name: Name of the learner.
        source: Folder or hub name.
        held_out: Held-out plain text, for `general_ability`.

    Raises:
        CheckpointError: When it is missing, damaged or of another architecture.
    """
    from transformers import T5ForConditionalGeneration

    module, tokenizer = load_pretrained(name, source, T5ForConditionalGeneration)
    return EncoderDecoderLearner(name, module, TextTokens(tokenizer, name, ends_inputs=True), held_out)

"""mini-t5: T5s of two million weights that ship with the package, pre-trained by `clbench_tools.pretraining`."""

from importlib.resources import files
from pathlib import Path

from clbench.core.errors import ConfigError, did_you_mean
from clbench.core.registry import LEARNERS
from clbench.learners._text.encoder_decoder import EncoderDecoderLearner
from clbench.learners.t5 import t5_from

RELEASES = {"": ("mini_t5", "held_out.parquet"), "v2": ("mini_t5/v2", "held_out_open.parquet")}
"""Folder of the weights and file of held-out text, by release."""


@LEARNERS.register("mini-t5")
def mini_t5(argument: str, seed: int) -> EncoderDecoderLearner:  # noqa: ARG001  # the signature of every learner
    """A small T5: `mini-t5` for text-mini, or `mini-t5:v2` for text-open, which has seen prompts that name answers.

    Args:
        argument: Empty, or `v2`: the same architecture with another tokenizer, trained on openly licensed texts alone.
        seed: Not used: the weights are those that ship with the package.

    Raises:
        ConfigError: For another argument.
        CheckpointError: When the installed weights are damaged.
    """
    if argument not in RELEASES:
        raise ConfigError(f"learner mini-t5:{argument}: {did_you_mean(argument, [name for name in RELEASES if name])}")
    models = Path(str(files("clbench.learners")))
    folder, held_out = RELEASES[argument]
    name = f"mini-t5:{argument}" if argument else "mini-t5"
    return t5_from(name, str(models / folder), models / "_text" / held_out)

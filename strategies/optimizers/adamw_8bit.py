"""AdamW whose moments take a byte each, for models whose optimizer state does not fit."""

from collections.abc import Sequence
from typing import final

from torch.optim import Optimizer

from clbench.core.errors import ConfigError
from clbench.core.registry import OPTIMIZERS
from clbench.strategies._parts.optimizer import OptimizerConfig, OptimizerPart, Plan
from clbench.strategies._parts.part import Trained

BLOCK = 256
"""Values with a common scale."""
SMALLEST = 4096
"""Parameters with fewer values have moments in float32."""


@OPTIMIZERS.register("adamw-8bit", config=OptimizerConfig)
@final
class AdamW8bit(OptimizerPart[OptimizerConfig]):
    """AdamW with moments in 8 bits by blocks of 256 values (Dettmers et al. 2022), by torchao; extra `low-memory`.

    A value of a moment is the nearest of 256 on a scale that is finer near zero, times the largest of its block. State
    takes 2.03 bytes a value instead of 8. Departure: the paper rounds in blocks of 2,048. torchao compiles the step, so
    a GPU or a C++ compiler is needed, and the first step takes seconds. AdamW trains what has fewer than 4,096 values
    or a number of values that is no multiple of 256; those have moments in float32, as in torchao.
    """

    @property
    def state_bytes(self) -> float:
        """A byte for each moment, and a float32 scale for each block of it."""
        return 2 * (1 + 4 / BLOCK)

    def takes(self, trained: Trained) -> bool:
        """Parameters of whole blocks, not too small."""
        values = trained.parameter.numel()
        return values >= SMALLEST and values % BLOCK == 0

    def build(self, parameters: Sequence[Trained], plan: Plan) -> Optimizer:
        """AdamW of torchao, of all parameters.

        Raises:
            ConfigError: Where torchao is not installed.
        """
        try:
            from torchao.optim import AdamW8bit as TorchaoAdamW  # transformers looks for it, too; installed on request
        except ImportError:
            raise ConfigError("optimizer adamw-8bit: torchao is missing (pip install 'clbench[low-memory]')") from None
        found = [item.parameter for item in parameters]
        built: Optimizer = TorchaoAdamW(found, plan.lr, plan.betas, weight_decay=plan.weight_decay, block_size=BLOCK)
        return built

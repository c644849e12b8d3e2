"""clbench: a continual-learning benchmark harness that keeps every prediction.

The names that a strategy, a part of one or a notebook needs are imported from here: `from clbench import Strategy,
register`. Each is loaded from its module at first use, so `import clbench` itself imports neither torch nor pydantic.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clbench.contracts import Batch, ForgetRequest, Learner, Strategy, StrategyConfig, Stream, Task
    from clbench.core.registry import EDITS, MEMORIES, OPTIMIZERS, PENALTIES, SELECTORS, register
    from clbench.spec.update import Adopt, Compress, Forget, Learn
    from clbench.strategies._parts.edit import Edit, EditConfig
    from clbench.strategies._parts.memory import Memory, MemoryConfig
    from clbench.strategies._parts.optimizer import OptimizerConfig, OptimizerPart
    from clbench.strategies._parts.part import Trained
    from clbench.strategies._parts.penalty import Penalty, PenaltyConfig
    from clbench.strategies._parts.selector import FixedSelector, FixedSelectorConfig, Selector, SelectorConfig
    from clbench.strategies._training.gradient import GradientConfig, GradientStrategy
    from clbench.streams.card import load_stream
else:  # hidden from type checkers: for them a name that is not imported above is an error
    _MODULES = {
        "Adopt": "clbench.spec.update",
        "Batch": "clbench.contracts",
        "Compress": "clbench.spec.update",
        "EDITS": "clbench.core.registry",
        "Edit": "clbench.strategies._parts.edit",
        "EditConfig": "clbench.strategies._parts.edit",
        "Forget": "clbench.spec.update",
        "ForgetRequest": "clbench.contracts",
        "GradientConfig": "clbench.strategies._training.gradient",
        "GradientStrategy": "clbench.strategies._training.gradient",
        "Learn": "clbench.spec.update",
        "Learner": "clbench.contracts",
        "MEMORIES": "clbench.core.registry",
        "Memory": "clbench.strategies._parts.memory",
        "MemoryConfig": "clbench.strategies._parts.memory",
        "OPTIMIZERS": "clbench.core.registry",
        "OptimizerConfig": "clbench.strategies._parts.optimizer",
        "OptimizerPart": "clbench.strategies._parts.optimizer",
        "PENALTIES": "clbench.core.registry",
        "Penalty": "clbench.strategies._parts.penalty",
        "PenaltyConfig": "clbench.strategies._parts.penalty",
        "SELECTORS": "clbench.core.registry",
        "FixedSelector": "clbench.strategies._parts.selector",
        "FixedSelectorConfig": "clbench.strategies._parts.selector",
        "Selector": "clbench.strategies._parts.selector",
        "SelectorConfig": "clbench.strategies._parts.selector",
        "Strategy": "clbench.contracts",
        "StrategyConfig": "clbench.contracts",
        "Stream": "clbench.contracts",
        "Task": "clbench.contracts",
        "Trained": "clbench.strategies._parts.part",
        "load_stream": "clbench.streams.card",
        "register": "clbench.core.registry",
    }

    def __getattr__(name: str) -> object:
        """Load an exported name from its module (PEP 562)."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        globals()[name] = value = getattr(import_module(_MODULES[name]), name)
        return value

    def __dir__() -> list[str]:
        """The exported names, too, loaded or not."""
        return sorted({*globals(), *__all__})


__version__ = "0.1.0"

__all__ = [
    "EDITS",
    "MEMORIES",
    "OPTIMIZERS",
    "PENALTIES",
    "SELECTORS",
    "Adopt",
    "Batch",
    "Compress",
    "Edit",
    "EditConfig",
    "FixedSelector",
    "FixedSelectorConfig",
    "Forget",
    "ForgetRequest",
    "GradientConfig",
    "GradientStrategy",
    "Learn",
    "Learner",
    "Memory",
    "MemoryConfig",
    "OptimizerConfig",
    "OptimizerPart",
    "Penalty",
    "PenaltyConfig",
    "Selector",
    "SelectorConfig",
    "Strategy",
    "StrategyConfig",
    "Stream",
    "Task",
    "Trained",
    "load_stream",
    "register",
]

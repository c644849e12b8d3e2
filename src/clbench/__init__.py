"""clbench: a continual-learning benchmark harness that keeps every prediction.

The names that a strategy or a notebook needs are imported from here: `from clbench import Strategy, register`. Each is
loaded from its module at first use, so `import clbench` itself imports neither torch nor pydantic.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clbench.contracts import Batch, ForgetRequest, Learner, Strategy, StrategyConfig, Stream, Task
    from clbench.core.registry import register
    from clbench.spec.update import Adopt, Compress, Forget, Learn
    from clbench.strategies._training.gradient import GradientConfig, GradientStrategy
    from clbench.streams.card import load_stream
else:  # hidden from type checkers: for them a name that is not imported above is an error
    _MODULES = {
        "Adopt": "clbench.spec.update",
        "Batch": "clbench.contracts",
        "Compress": "clbench.spec.update",
        "Forget": "clbench.spec.update",
        "ForgetRequest": "clbench.contracts",
        "GradientConfig": "clbench.strategies._training.gradient",
        "GradientStrategy": "clbench.strategies._training.gradient",
        "Learn": "clbench.spec.update",
        "Learner": "clbench.contracts",
        "Strategy": "clbench.contracts",
        "StrategyConfig": "clbench.contracts",
        "Stream": "clbench.contracts",
        "Task": "clbench.contracts",
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
    "Adopt",
    "Batch",
    "Compress",
    "Forget",
    "ForgetRequest",
    "GradientConfig",
    "GradientStrategy",
    "Learn",
    "Learner",
    "Strategy",
    "StrategyConfig",
    "Stream",
    "Task",
    "load_stream",
    "register",
]

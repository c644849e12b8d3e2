"""The contracts between the parts of clbench: batch, learner, strategy; with task and stream, which they speak of."""

from clbench.contracts.batch import Batch, joined
from clbench.contracts.learner import Learner, LinearLayer, Precision, Predictions, Predictor, Samples, TokenScores
from clbench.contracts.stack import PromptPlan, Sharing, Stack
from clbench.contracts.strategy import (
    Adopts,
    Budget,
    Compresses,
    Context,
    ForgetRequest,
    Forgets,
    Learns,
    Strategy,
    StrategyConfig,
)
from clbench.spec.stream import EvalProtocol, Stream
from clbench.spec.task import Kind, Split, Task, TextLimits

__all__ = [
    "Adopts",
    "Batch",
    "Budget",
    "Compresses",
    "Context",
    "EvalProtocol",
    "ForgetRequest",
    "Forgets",
    "Kind",
    "Learner",
    "Learns",
    "LinearLayer",
    "Precision",
    "Predictions",
    "Predictor",
    "PromptPlan",
    "Samples",
    "Sharing",
    "Split",
    "Stack",
    "Strategy",
    "StrategyConfig",
    "Stream",
    "Task",
    "TextLimits",
    "TokenScores",
    "joined",
]

"""The contracts between the parts of clbench: batch, learner, its capabilities, strategy; with task and stream."""

from clbench.contracts.batch import Batch, joined
from clbench.contracts.capabilities import (
    ContinuesFromPrefix,
    Ensembles,
    LanguageModel,
    ScoresClasses,
    ScoresTokens,
    ScoresUnlearntClasses,
    Stacked,
    TakesPrompts,
    require,
)
from clbench.contracts.class_scores import ClassScores
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
from clbench.spec.task import Split, Task, TextLimits

__all__ = [
    "Adopts",
    "Batch",
    "Budget",
    "ClassScores",
    "Compresses",
    "Context",
    "ContinuesFromPrefix",
    "Ensembles",
    "EvalProtocol",
    "ForgetRequest",
    "Forgets",
    "LanguageModel",
    "Learner",
    "Learns",
    "LinearLayer",
    "Precision",
    "Predictions",
    "Predictor",
    "PromptPlan",
    "Samples",
    "ScoresClasses",
    "ScoresTokens",
    "ScoresUnlearntClasses",
    "Sharing",
    "Split",
    "Stack",
    "Stacked",
    "Strategy",
    "StrategyConfig",
    "Stream",
    "TakesPrompts",
    "Task",
    "TextLimits",
    "TokenScores",
    "joined",
    "require",
]

"""What only some families of learners can do, one protocol each; a strategy lists those that it needs.

A family implements the methods of a protocol, and nothing else says that it can. `require` gives a learner as what it
is needed as, or refuses it in one line.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar, runtime_checkable
from typing import Protocol as Interface

from torch import Tensor, nn

from clbench.contracts.batch import Batch
from clbench.contracts.learner import Learner, Predictor, TokenScores
from clbench.contracts.stack import PromptPlan, Stack
from clbench.core.errors import ConfigError
from clbench.spec.stream import EvalProtocol
from clbench.spec.task import Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@runtime_checkable
class Stacked(Interface):
    """A learner that is one stack of blocks; one with two towers, or an encoder and a decoder, is not."""

    def stack(self) -> Stack:
        """The blocks, for methods that choose parameters by depth."""


@runtime_checkable
class ContinuesFromPrefix(Stacked, Interface):
    """A stack of blocks whose loss and predictions can go on from the output of a block."""

    def prefix(self, batch: Batch, blocks: int) -> Batch:
        """Output of the first `blocks` blocks, as named tensors; beside the batch, it makes `loss` go on from there.

        It depends on each sample alone: on the CPU, its bits do not depend on the other samples of the batch.
        """


@runtime_checkable
class TakesPrompts(Interface):
    """A learner that reads soft prompts."""

    def insert_prompts(self, plan: PromptPlan) -> None:
        """Give the model soft prompts; called once, when a strategy is built. `add_task` creates those of new tasks.

        Raises:
            ConfigError: For a block that does not exist.
        """

    def prompts(self, task: Task) -> dict[str, nn.Parameter]:
        """The soft prompts of a task, by name; empty if it has none."""


@runtime_checkable
class ScoresClasses(Interface):
    """A learner that scores the classes of a task."""

    def logits(self, batch: Batch, tasks: Sequence[Task]) -> Tensor:
        """Scores of all classes of `tasks`, in that order, `(n, classes)` with gradient.

        Raises:
            ConfigError: For a task without classes.
        """

    def loss_from_logits(self, logits: Tensor, label: Tensor, tasks: Sequence[Task]) -> Tensor:
        """`loss` of samples of several tasks, a scalar: each sample competes among the classes of its own task only.

        Args:
            logits: Scores of all classes of `tasks`, in that order, `(n, classes)`.
            label: True classes `(n,)` int64, counted through all tasks.
            tasks: The tasks that the samples belong to.
        """


@runtime_checkable
class ScoresUnlearntClasses(ScoresClasses, Interface):
    """A learner that scores the classes of any task by their names, learnt or not: version 0 can be asked, too."""

    def unlearnt_logits(self, batch: Batch, tasks: Sequence[Task]) -> Tensor:
        """`logits` for tasks that the learner may not have been given (`add_task`), `(n, classes)`."""


@runtime_checkable
class ScoresTokens(Interface):
    """A learner that scores every token that its loss averages over; a classified sample counts as one token."""

    def token_logits(self, batch: Batch, task: Task, answers_only: bool = False) -> TokenScores:
        """Scores of every token of a batch, whose mean cross-entropy is a task loss.

        Args:
            batch: The batch, as for `loss`.
            task: The task that the samples belong to.
            answers_only: Whether to leave out the tokens of inputs, in families that also learn these.

        Raises:
            ConfigError: For a task without such scores.
        """


@runtime_checkable
class Ensembles(Interface):
    """A learner that predicts together with another one of its family."""

    def ensemble(self, other: Learner, tasks: Sequence[Task], protocols: Sequence[EvalProtocol]) -> Predictor:
        """Predictions by the mean of the probabilities of two learners.

        Args:
            other: The second learner.
            tasks: All tasks that may be tested.
            protocols: The protocols that every prediction is wanted under.

        Raises:
            ConfigError: For a learner of another family.
        """


@runtime_checkable
class LanguageModel(Interface):
    """A language model of transformers, which external evaluation programs can run (`--probe`)."""

    def language_model(self) -> "tuple[nn.Module, PreTrainedTokenizerBase]":
        """The model and its tokenizer.

        Raises:
            ConfigError: For a model without a tokenizer.
        """


WORDS: dict[type, str] = {
    Stacked: "one stack of blocks",
    ContinuesFromPrefix: "a start from the output of a block",
    TakesPrompts: "soft prompts",
    ScoresClasses: "scores of classes",
    ScoresUnlearntClasses: "scores of classes before they are learnt",
    ScoresTokens: "scores of tokens",
    Ensembles: "mean predictions of two models",
    LanguageModel: "a language model with a tokenizer",
}
"""What a learner has that implements a protocol, for messages."""

T = TypeVar("T")


def in_words(capabilities: Sequence[type]) -> str:
    """Capabilities for messages, each with the name of its protocol: `soft prompts (TakesPrompts)`."""
    named = [f"{WORDS[one]} ({one.__name__})" if one in WORDS else one.__name__ for one in capabilities]
    return " and ".join(named)


def lacking(learner: type, capabilities: Sequence[type]) -> tuple[type, ...]:
    """Those of the capabilities that a class of learners does not have."""
    return tuple(one for one in capabilities if not issubclass(learner, one))


def require(learner: Learner, capability: type[T], by: str = "this strategy") -> T:
    """The learner, as one that has a capability.

    Args:
        learner: The learner.
        capability: A protocol of this module.
        by: Who needs it, for the message.

    Raises:
        ConfigError: When the learner does not have it.
    """
    if not isinstance(learner, capability):
        raise ConfigError(lack_of(learner.name, [capability], by))
    return learner


def lack_of(learner: str, capabilities: Sequence[type], by: str) -> str:
    """The line that refuses a learner.

    Args:
        learner: Its name.
        capabilities: What it does not have.
        by: Who needs that.
    """
    return f"learner {learner} lacks what {by} needs: {in_words(capabilities)}"

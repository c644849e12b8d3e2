"""Multiple choice in a sample log: which choice the harness took, from the likelihoods it wrote.

`process_results` in lm-evaluation-harness (`api/task.py`) takes the largest log-likelihood for `acc`, divides it by the
length of the choice for `acc_norm` (characters) and `acc_bytes` (bytes in UTF-8), and takes off that of the choice
without the question for `acc_mutual_info`. The length is that of the choice alone. A log has the choice with the
delimiter before it (`target_delimiter`, one blank unless the task says otherwise), so that rows have to tell the two
apart.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import final

import numpy as np
import numpy.typing as npt

from clbench.core.errors import DataError

GREEDY = (True, False, "True", "False")
LENGTHS: dict[str, Callable[[str], int]] = {
    "acc_norm": len,
    "acc_bytes": lambda choice: len(choice.encode("utf-8", "surrogatepass")),
}
"""What the harness divides the log-likelihood of a choice by."""
LIKELIEST = frozenset({"acc", "acc_mutual_info", *LENGTHS})
"""Metrics that are 1 where the likeliest choice is the target and 0 elsewhere."""
MUTUAL = "acc_mutual_info"


@final
@dataclass(frozen=True)
class Choices:
    """The choices of one question.

    Args:
        texts: As they were requested: the delimiter, then the choice.
        likelihoods: Their log-likelihoods after the question.
        alone: Those without the question, for mutual information.
        bare: The choices without the delimiter, where the log has them so.
        in_prompts: Whether the choices stand in the prompts, each before the same text.
    """

    texts: Sequence[str]
    likelihoods: Sequence[float]
    alone: Sequence[float] | None = None
    bare: Sequence[str] | None = None
    in_prompts: bool = False

    @property
    def names(self) -> list[str]:
        """Number and text of each choice."""
        return [f"{index}: {text.lstrip()}" for index, text in enumerate(self.texts)]

    def share(self, index: int) -> float | None:
        """The share of one choice in the likelihood of all; None where likelihoods are not finite."""
        most = max(self.likelihoods)
        if not math.isfinite(most) or any(map(math.isnan, self.likelihoods)):
            return None
        weights = [math.exp(likelihood - most) for likelihood in self.likelihoods]
        return weights[index] / math.fsum(weights)

    def likeliest(self, metric: str, doc: object, where: str) -> dict[str, int]:
        """The likeliest choice as a metric compares them, by the delimiter that this takes for granted.

        Args:
            metric: Its name; one that is not known compares log-likelihoods as they are.
            doc: The document, which may have the choices without the delimiter.
            where: The place, for messages.

        Raises:
            DataError: When the row does not have what the metric compares.
        """
        values = np.array(self.likelihoods)
        if metric == MUTUAL:
            if self.alone is None:
                raise DataError(f"{where}: {MUTUAL} needs each choice also without the question, which is not there")
            with np.errstate(invalid="ignore"):
                return {"": int(np.argmax(values - np.array(self.alone)))}
        if metric not in LENGTHS:
            return {"": int(np.argmax(values))}
        if self.in_prompts:
            raise DataError(f"{where}: {metric} divides by lengths of choices, which this log has within prompts only")
        found = {delimiter: self._by_length(values, metric, len(delimiter)) for delimiter in self.delimiters()}
        if len(set(found.values())) == 1:
            return found
        known = self.bare or sorted(set(_strings(doc)))
        fits = [d for d in found if all(text[len(d) :] in known for text in self.texts)]
        return {fits[0]: found[fits[0]]} if len(fits) == 1 else found

    def _by_length(self, values: npt.NDArray[np.float64], metric: str, start: int) -> int:
        lengths = np.array([float(LENGTHS[metric](text[start:])) for text in self.texts])
        with np.errstate(divide="ignore", invalid="ignore"):  # as the harness: an empty choice is infinitely unlikely
            return int(np.argmax(values / lengths))

    def delimiters(self) -> list[str]:
        """What may be the delimiter: nothing, or what all choices begin with up to a white space."""
        shared = takewhile(lambda characters: len(set(characters)) == 1, zip(*self.texts, strict=False))
        ends = [end for end, (character, *_) in enumerate(shared, 1) if character.isspace()]
        return ["", *(self.texts[0][:end] for end in ends)]


def read_choices(answers: Sequence[object], requests: Sequence[Sequence[object]], mutual: bool, where: str) -> Choices:
    """The choices of a row.

    Args:
        answers: Log-likelihood of each request, and whether it was the greedy answer.
        requests: Prompt and continuation of each.
        mutual: Whether the harness also asked for each choice without the question.
        where: The place, for messages.

    Raises:
        DataError: When the answers are no log-likelihoods, or the requests are not those of the harness.
    """
    if len(answers) != len(requests):
        raise DataError(f"{where}: wanted an answer a request, got {len(answers)} for {len(requests)}")
    likelihoods = [_likelihood(answer, where) for answer in answers]
    prompts, texts = [str(request[0]) for request in requests], [str(request[1]) for request in requests]
    if not mutual:
        in_prompts = len(set(texts)) == 1 < len(set(prompts))
        return Choices(texts, likelihoods, in_prompts=in_prompts)
    half = len(texts) // 2
    orders = [(slice(half), slice(half, None)), (slice(0, None, 2), slice(1, None, 2))]
    fits = [order for order in orders if len(texts) == 2 * half and _pairs(prompts, texts, *order)]
    if not fits or (len(fits) > 1 and half > 1 and texts[orders[0][0]] != texts[orders[1][0]]):
        raise DataError(f"{where}: {MUTUAL} wants each choice with and without the question, got other requests")
    asked, alone = fits[0]
    if asked == orders[0][0] and texts[asked] != texts[alone]:
        wrong = "lm-evaluation-harness 0.4.5 to 0.4.8 took likelihoods of the wrong requests for all its accuracies"
        raise DataError(f"{where}: cannot be compared: with {MUTUAL}, {wrong}")
    return Choices(texts[asked], likelihoods[asked], likelihoods[alone], texts[alone] if fits[0] == orders[1] else None)


def _pairs(prompts: Sequence[str], texts: Sequence[str], asked: slice, alone: slice) -> bool:
    """Whether one part of the requests is the other one without the question; some releases left the delimiter out."""
    whole = zip(texts[asked], texts[alone], strict=True)
    return not any(prompts[alone]) and all(text.endswith(bare) for text, bare in whole)


def _likelihood(answer: object, where: str) -> float:
    match answer:
        case [int() | float() | str() as likelihood, greedy] if greedy in GREEDY:
            try:
                return float(likelihood)
            except (OverflowError, ValueError):
                pass
    raise DataError(f"{where}: wanted a log-likelihood and whether it is greedy, got {str(answer)[:60]!r}")


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _strings(item)

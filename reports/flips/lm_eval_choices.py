"""Multiple choice in a sample log: which choice the harness predicted, from the log-likelihoods in the log.

`process_results` in lm-evaluation-harness (`api/task.py`) predicts the choice with the largest

- log-likelihood for `acc`;
- log-likelihood divided by the length of the choice for `acc_norm` (characters) and `acc_bytes` (bytes in UTF-8);
- log-likelihood minus that of the choice without the question for `acc_mutual_info`.

The length is that of the choice without the delimiter before it (`target_delimiter`, a blank by default). A log has the
choice with the delimiter, so the delimiter has to be found out from the rows.
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
"""How logs write whether a continuation is the greedy answer."""
LENGTHS: dict[str, Callable[[str], int]] = {
    "acc_norm": len,
    "acc_bytes": lambda choice: len(choice.encode("utf-8", "surrogatepass")),
}
"""Length of a choice, by which the harness divides its log-likelihood."""
LIKELIEST_METRICS = frozenset({"acc", "acc_mutual_info", *LENGTHS})
"""Metrics that are 1 if the likeliest choice is the target, else 0."""
MUTUAL_INFO = "acc_mutual_info"


@final
@dataclass(frozen=True)
class Choices:
    """The choices of one question.

    Args:
        continuations: The texts that were scored, one for each choice: delimiter and choice.
        log_likelihoods: Log-likelihood of each continuation after the question.
        unconditional: Log-likelihood of each choice without the question; None without `acc_mutual_info`.
        without_delimiter: The choices without the delimiter; None if the log does not have them.
        in_prompts: Whether the choices are parts of the prompts and all continuations are equal.
    """

    continuations: Sequence[str]
    log_likelihoods: Sequence[float]
    unconditional: Sequence[float] | None = None
    without_delimiter: Sequence[str] | None = None
    in_prompts: bool = False

    @property
    def names(self) -> list[str]:
        """Number and text of each choice, as `0: text`."""
        return [f"{index}: {text.lstrip()}" for index, text in enumerate(self.continuations)]

    def probability(self, index: int) -> float | None:
        """Likelihood of one choice over the sum of all, in [0, 1]; None if log-likelihoods are not finite."""
        most = max(self.log_likelihoods)
        if not math.isfinite(most) or any(map(math.isnan, self.log_likelihoods)):
            return None
        weights = [math.exp(likelihood - most) for likelihood in self.log_likelihoods]
        return weights[index] / math.fsum(weights)

    def likeliest(self, metric: str, doc: object, where: str) -> dict[str, int]:
        """The choice that a metric predicts, for each delimiter that the row allows.

        Args:
            metric: Name of the metric; unknown ones are taken to compare log-likelihoods.
            doc: The document, which may have the choices without the delimiter.
            where: File and line, for error messages.

        Returns:
            Number of the predicted choice by delimiter; the only key is empty if the metric does not use lengths.

        Raises:
            DataError: If the row lacks what the metric compares.
        """
        values = np.array(self.log_likelihoods)
        if metric == MUTUAL_INFO:
            if self.unconditional is None:
                missing = "the log-likelihood of each choice without the question"
                raise DataError(f"{where}: {MUTUAL_INFO} needs {missing}, which this log does not have")
            with np.errstate(invalid="ignore"):
                return {"": int(np.argmax(values - np.array(self.unconditional)))}
        if metric not in LENGTHS:
            return {"": int(np.argmax(values))}
        if self.in_prompts:
            raise DataError(f"{where}: {metric} needs lengths of choices, which this log has as parts of prompts only")
        found = {delimiter: self._by_length(values, metric, len(delimiter)) for delimiter in self.delimiters()}
        if len(set(found.values())) == 1:
            return found
        known = self.without_delimiter or sorted(set(_strings(doc)))
        fits = [d for d in found if all(text[len(d) :] in known for text in self.continuations)]
        return {fits[0]: found[fits[0]]} if len(fits) == 1 else found

    def _by_length(self, values: npt.NDArray[np.float64], metric: str, start: int) -> int:
        lengths = np.array([float(LENGTHS[metric](text[start:])) for text in self.continuations])
        with np.errstate(divide="ignore", invalid="ignore"):  # as in the harness: an empty choice gets -inf
            return int(np.argmax(values / lengths))

    def delimiters(self) -> list[str]:
        """Possible delimiters: the empty text, and each common beginning of all choices that ends in white space."""
        shared = takewhile(lambda characters: len(set(characters)) == 1, zip(*self.continuations, strict=False))
        ends = [end for end, (character, *_) in enumerate(shared, 1) if character.isspace()]
        return ["", *(self.continuations[0][:end] for end in ends)]


def read_choices(answers: Sequence[object], requests: Sequence[Sequence[object]], mutual: bool, where: str) -> Choices:
    """The choices of a row.

    Args:
        answers: For each request: log-likelihood of the continuation, and whether it is the greedy answer.
        requests: For each request: prompt and continuation.
        mutual: Whether there are also requests for each choice without the question (`acc_mutual_info`).
        where: File and line, for error messages.

    Raises:
        DataError: If the answers are not log-likelihoods, or the requests are not in an order that the harness uses.
    """
    if len(answers) != len(requests):
        raise DataError(f"{where}: wanted an answer for each request, got {len(answers)} for {len(requests)}")
    likelihoods = [_likelihood(answer, where) for answer in answers]
    prompts, texts = [str(request[0]) for request in requests], [str(request[1]) for request in requests]
    if not mutual:
        in_prompts = len(set(texts)) == 1 < len(set(prompts))
        return Choices(texts, likelihoods, in_prompts=in_prompts)
    half = len(texts) // 2
    orders = [(slice(half), slice(half, None)), (slice(0, None, 2), slice(1, None, 2))]
    fits = [order for order in orders if len(texts) == 2 * half and _pairs(prompts, texts, *order)]
    if not fits or (len(fits) > 1 and half > 1 and texts[orders[0][0]] != texts[orders[1][0]]):
        raise DataError(f"{where}: {MUTUAL_INFO} needs each choice with and without the question, got other requests")
    asked, alone = fits[0]
    if asked == orders[0][0] and texts[asked] != texts[alone]:
        wrong = "lm-evaluation-harness 0.4.5 to 0.4.8 computed all accuracies from the wrong requests"
        raise DataError(f"{where}: cannot be compared: with {MUTUAL_INFO}, {wrong}")
    return Choices(texts[asked], likelihoods[asked], likelihoods[alone], texts[alone] if fits[0] == orders[1] else None)


def _pairs(prompts: Sequence[str], texts: Sequence[str], asked: slice, alone: slice) -> bool:
    """Whether the requests `alone` are those in `asked` without the question; some releases omit the delimiter."""
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

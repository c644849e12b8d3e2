"""Questions that name possible answers, in the form of published prompts, which the cards of the text streams have."""

from collections.abc import Sequence

import numpy as np

FORM = "Option: {options}\n{text}"
"""As the key `prompt` of the cards."""
MOST = 8
"""Most answers that a question names."""


def with_choices(
    texts: Sequence[str], answers: Sequence[str], kinds: Sequence[Sequence[str]], rng: np.random.Generator
) -> list[str]:
    """The texts with the right answer among others of its kind, in random order.

    Args:
        texts: The questions.
        answers: Their right answers.
        kinds: For each text, answers of which the others are drawn; the right one may be among them.
        rng: Draws how many others a question names, which, and their order.
    """
    found = []
    for text, answer, kind in zip(texts, answers, kinds, strict=True):
        others = [word for word in dict.fromkeys(kind) if word != answer]
        count = min(len(others), int(rng.integers(1, MOST)))
        chosen = [others[place] for place in rng.permutation(len(others))[:count]]
        chosen.insert(int(rng.integers(count + 1)), answer)
        found.append(FORM.format(options=", ".join(chosen), text=text))
    return found

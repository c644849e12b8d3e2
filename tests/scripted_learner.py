"""The learner of `scripted_images`, registered."""

from tests.scripted_images import ToldImages

from clbench.core.registry import LEARNERS


@LEARNERS.register("scripted-learner")
def scripted_learner(argument: str, seed: int) -> ToldImages:
    """The learner, the same for every seed."""
    return ToldImages()

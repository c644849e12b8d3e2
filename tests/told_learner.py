"""The learner of `told_pictures`, registered."""

from tests.told_pictures import ToldPictures

from clbench.core.registry import LEARNERS


@LEARNERS.register("told-learner")
def told_learner(argument: str, seed: int) -> ToldPictures:
    """The learner, the same for every seed."""
    return ToldPictures()

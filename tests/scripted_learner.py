"""The learner of `scripted_images`, registered."""

from tests.scripted_images import ScriptedImages

from clbench.core.registry import LEARNERS


@LEARNERS.register("scripted-learner")
def scripted_learner(argument: str, seed: int) -> ScriptedImages:
    """The learner, the same for every seed."""
    return ScriptedImages()

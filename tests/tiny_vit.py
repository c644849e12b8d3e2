"""A learner for tests by the path of its file: nothing may import it, or it would be registered twice."""

from tests.tiny_backbones import learner_of

from clbench.core.registry import LEARNERS
from clbench.learners._vit.vit_learner import VitLearner


@LEARNERS.register("tiny-vit")
def tiny_vit(argument: str, seed: int) -> VitLearner:
    """A tiny vision transformer with random weights, `tiny-vit:dinov3` for the other kind."""
    return learner_of(argument, seed)

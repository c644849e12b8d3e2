"""PEFT's tuners: train one on each task and merge it into the weights after the task."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, ClassVar, final

from pydantic import Field
from torch import nn

from clbench.contracts import Context, Task
from clbench.core.errors import ConfigError, did_you_mean
from clbench.core.registry import STRATEGIES
from clbench.strategies._adapters.peft_tuners import why_not, why_not_with
from clbench.strategies._training.gradient import GradientStrategy
from clbench.strategies._training.layers import AdapterConfig, chosen_layers

REFUSALS = (AttributeError, ImportError, LookupError, NotImplementedError, TypeError, ValueError)
"""Exceptions of PEFT for settings or layers that do not suit a tuner."""


class PeftStrategyConfig(AdapterConfig):
    """Settings of `Peft`; optimizer and schedule are ours, not those of a tuner's authors."""

    lr: float = Field(2e-3, gt=0, description="Peak learning rate of AdamW.")
    method: str = Field("osf", description="PEFT's name of the tuner, in lower case (osf, loha, oft, vera, ...).")
    settings: dict[str, bool | int | float | str | None] = Field(
        {}, description="Settings of the tuner's PEFT configuration; PEFT's defaults for all others."
    )


@STRATEGIES.register("peft", config=PeftStrategyConfig, argument="method")
@final
class Peft(GradientStrategy[PeftStrategyConfig]):
    """A tuner of the library PEFT on the chosen layers; its trainable parameters are trained and then merged.

    `peft:loha` is short for `method` loha.

    Only reviewed tuners run (`FIT`). A tuner that needs calls in the loop, data before training or a loss of its own
    would otherwise run without them under its name. Tuners of later releases of PEFT are refused until their review.

    This compares methods as PEFT implements them, without corrections. `osf`, for example, projects gradients only, so
    under AdamW its updates leak into the directions that it should keep (docs/osft.md), and all parameters that it does
    not decompose are frozen.

    Tuners that add prompts or cannot be merged are refused, because the next task must start from a model of the same
    architecture.
    """

    trains_weights: ClassVar[bool] = False

    def __init__(self, config: PeftStrategyConfig, context: Context) -> None:
        super().__init__(config, context)
        self._tuner_class, self._peft_config = tuner_of(config)

    def begin_task(self, task: Task) -> None:
        """Wrap the chosen layers in a new tuner."""
        self._wrap()

    def trainable_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters that the tuner made trainable."""
        yield from self._trained.items()

    def end_task(self, task: Task) -> None:
        """Merge the tuner into the weights and unwrap the layers."""
        try:
            self._tuner.merge_and_unload(progressbar=False)  # `unload` alone would discard the task
        except (*REFUSALS, RuntimeError) as error:
            raise self._refusal(error) from None
        del self._tuner, self._trained
        vars(self.learner.module).pop("peft_config", None)

    def footprint(self) -> dict[str, int]:
        """Number of trained values and of adapted layers."""
        self._wrap()
        return {**super().footprint(), "adapters": len(self._tuner.targeted_module_names)}

    def _wrap(self) -> None:
        names = [layer.name for layer in chosen_layers(self.learner, self.config)]
        self._peft_config.target_modules = names
        self._linear_layers = self.learner.linear_layers()
        self.learner.module.requires_grad_(True)
        try:
            self._tuner = self._tuner_class(self.learner.module, self._peft_config, "default")
        except REFUSALS as error:
            raise self._refusal(error) from None
        self._trained = {name: p for name, p in self.learner.module.named_parameters() if p.requires_grad}
        if not self._trained:
            raise ConfigError(f"strategy peft: {self.config.method}: with these settings no parameter is trainable")

    def _refusal(self, error: Exception) -> ConfigError:
        return ConfigError(f"strategy peft: {self.config.method}: {' '.join(str(error).split())}")


def tuner_of(config: PeftStrategyConfig) -> tuple[Any, Any]:
    """PEFT's model class and configuration of a method.

    Raises:
        ConfigError: When the method or a setting is unknown or refused.
    """
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING

    methods = {kind.value.lower(): kind for kind in PEFT_TYPE_TO_TUNER_MAPPING}
    if config.method not in methods:
        raise ConfigError(f"strategy peft: unknown method {config.method!r}: {did_you_mean(config.method, methods)}")
    if reason := why_not(config.method):
        raise ConfigError(f"strategy peft: method {config.method!r} {reason}")
    kind = methods[config.method]
    config_class, tuner = PEFT_TYPE_TO_CONFIG_MAPPING[kind], PEFT_TYPE_TO_TUNER_MAPPING[kind]
    known = {item.name for item in fields(config_class)} - {"target_modules", "peft_type"}
    for name, value in config.settings.items():
        if name not in known:
            raise ConfigError(f"strategy peft: {config.method} has no setting {name!r}: {did_you_mean(name, known)}")
        if reason := why_not_with(config.method, name, value):
            raise ConfigError(f"strategy peft: {config.method}: {name}={value} {reason}")
    settings: dict[str, Any] = dict(config.settings)
    try:
        return tuner, config_class(**settings)
    except REFUSALS as error:
        raise ConfigError(f"strategy peft: settings of {config.method}: {' '.join(str(error).split())}") from None

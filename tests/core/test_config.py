"""Settings: one line says what is wrong."""

import pytest
from pydantic import Field

from clbench.core.config import Config, parse_overrides, validate
from clbench.core.errors import ConfigError


class Inner(Config):
    """A nested model."""

    steps: int = Field(1, ge=1)


class Outer(Config):
    """A model to be wrong about."""

    rank: int = Field(4, ge=1)
    lr: float = Field(0.1, gt=0)
    inner: Inner = Inner(steps=1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rank": 0}, "strategy x: rank must be greater than or equal to 1, got 0"),
        ({"rnk": 1}, "strategy x: unknown setting 'rnk': did you mean 'rank'?"),
        ({"lr": "much"}, "strategy x: lr must be a valid number, unable to parse string as a number, got 'much'"),
        ({"inner": {"step": 2}}, "strategy x: unknown setting 'inner.step': did you mean 'steps'?"),
    ],
)
def test_bad_settings_are_told_in_one_line(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate(Outer, values, "strategy x")
    assert str(caught.value) == message


def test_overrides_are_read_as_yaml() -> None:
    items = ["strategy.lr=1e-4", "a.rank=8", "split=validation", "x.flag=true", "x.roles=[q, v]"]
    assert parse_overrides(items) == {
        "strategy.lr": 1e-4,
        "a.rank": 8,
        "split": "validation",
        "x.flag": True,
        "x.roles": ["q", "v"],
    }


@pytest.mark.parametrize("item", ["lr", "=3", "x=[1"])
def test_bad_overrides_are_refused(item: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        parse_overrides([item])

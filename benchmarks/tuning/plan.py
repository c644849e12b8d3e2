"""The plan of a search: everything that can be checked before it starts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from clbench.benchmarks.engine.suite import Suite, SuiteChanges, load_suite, read_suite
from clbench.benchmarks.tuning.assignments import Grids, parse_grids
from clbench.benchmarks.tuning.criterion import LAST, Criterion, criterion_of
from clbench.benchmarks.tuning.grid import Variant, trials_of, variants_of
from clbench.benchmarks.tuning.trials import Trials
from clbench.core.errors import ConfigError

SUITE_WIDE = ("budget", "precision", "skip_broken")
"""Settings of the suite that `--set` may change, with one value, for all trials."""


@dataclass(frozen=True)
class Request:
    """What the user wants.

    Attributes:
        suite: Name or file of the suite whose strategies are tuned.
        grids: `key=value,value` items.
        strategies: Strategies that replace those of the suite; None keeps them.
        stream: Name of the stream; None for the suite's only one.
        learner: Specification of the learner; None for that of the suite or else of the stream.
        seeds: Seeds of the trials.
        trials: Number of trials of each strategy; None for the size of the shared grid.
        criterion: Name of a metric, as `criterion_of` reads it.
        name: Name of the result's file, without `.yaml`; None for a name of suite, stream and learner.
        root: Folder of the data sets.
    """

    suite: str
    grids: Sequence[str]
    strategies: Sequence[str] | None = None
    stream: str | None = None
    learner: str | None = None
    seeds: Sequence[int] = (100,)
    trials: int | None = None
    criterion: str = LAST
    name: str | None = None
    root: str | None = None


@dataclass(frozen=True)
class Plan:
    """A checked search; nothing has run yet.

    Attributes:
        suite: The suite that is tuned, on validation data with the search's seeds.
        name: Name of the result's file.
        folder: Name of the folder of all trials; searches of the same suite, stream and learner share them.
        variants: Strategies with their grids.
        untuned: Strategies that have none of the settings.
        trials: Most trials of each variant.
        criterion: The number that decides.
    """

    suite: Suite
    name: str
    folder: str
    variants: Sequence[Variant]
    untuned: Sequence[str]
    trials: int
    criterion: Criterion

    def cells(self, out: Path, fresh: bool = False) -> Trials:
        """The cells to run under an output folder."""
        return Trials(self.variants, self.trials, self.criterion, out / self.folder, fresh)


def plan_search(request: Request) -> Plan:
    """Check everything that can be checked before the search starts.

    Raises:
        ConfigError: For grids that apply to nothing, values out of range, a reported seed, the test part, more than one
            stream or learner, fewer than one trial.
        RegistryError: For unknown names.
    """
    name, reported = read_suite(request.suite)
    overrides, grids = _split(parse_grids(request.grids))
    used = sorted(set(request.seeds) & set(reported.seeds))
    if used:
        raise ConfigError(f"--seed {used[0]}: suite {name} reports this seed; a search must use another one")
    changes = SuiteChanges(
        _only("stream", request.stream, reported.streams, name),
        _only("learner", request.learner, reported.learners, name),
        request.strategies,
        request.seeds,
        {**overrides, "split": "validation", "tuned": []},  # an earlier result must not decide where this one starts
        request.root,
    )
    suite = load_suite(request.suite, changes)
    folder = _file_name(name, *suite.cells[0].names[:2])
    if request.name is not None and request.name != _file_name(request.name):
        raise ConfigError(f"--name {request.name!r}: wanted letters, digits and any of `_.=-`")
    stream = suite.cells[0].load_stream()
    criterion = criterion_of(request.criterion, stream)
    cells = [replace(cell, last_only=criterion.reads_last_version_only(stream)) for cell in suite.cells]
    variants, untuned = variants_of(cells, grids)
    trials = trials_of(grids, variants, request.trials)
    return Plan(suite, request.name or folder, folder, variants, untuned, trials, criterion)


def _split(grids: Grids) -> tuple[dict[str, object], Grids]:
    """What belongs to the suite, with one value each, and what is searched.

    Raises:
        ConfigError: For another part than validation, several values of a suite's setting, nothing to search.
    """
    overrides: dict[str, object] = {}
    searched: dict[str, tuple[object, ...]] = {}
    for key, values in grids.items():
        if key == "split":
            if values != ("validation",):
                raise ConfigError(f"--set split={values[0]}: settings are chosen on the validation part only")
        elif key.partition(".")[0] not in SUITE_WIDE:
            searched[key] = values
        elif len(values) > 1:
            raise ConfigError(f"--set {key}: is the same for all trials, wanted one value, got {len(values)}")
        else:
            overrides[key] = values[0]
    if not searched:
        raise ConfigError("nothing to search: wanted a grid, for example --set lr=0.0003,0.001")
    return overrides, searched


def _only(what: str, chosen: str | None, listed: Sequence[str], suite: str) -> Sequence[str]:
    """The one that is chosen, else the only one listed, or none."""
    if chosen is None and len(listed) > 1:
        raise ConfigError(f"suite {suite} has {len(listed)} {what}s: choose one by --{what} ({', '.join(listed)})")
    return [chosen] if chosen else listed


def _file_name(*parts: str) -> str:
    return "--".join(re.sub(r"[^A-Za-z0-9_.=-]+", "_", part) for part in parts)

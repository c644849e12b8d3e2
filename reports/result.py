"""The result of a cell: scores, metrics, flips and costs, computed once and read by everyone who shows them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeAlias, final

from pydantic import BeforeValidator, Field, PlainSerializer

from clbench.core.config import Config, validate
from clbench.core.errors import ConfigError, DataError
from clbench.reports.matrix import ScoreMatrix
from clbench.reports.paths import adopt_chain, learn_chain
from clbench.spec.update import KINDS, Update, parse_update, update_as_json

FILE = "result.json"
"""Name of the file in a cell's folder and of the artifact in MLflow."""
Values = dict[str, float | None]


def _update(item: object) -> object:
    return item if isinstance(item, tuple(KINDS.values())) else parse_update(item, f"{FILE}: result: updates")


StoredUpdate: TypeAlias = Annotated[Update, BeforeValidator(_update), PlainSerializer(update_as_json)]
"""An update, in JSON as a card writes it."""


@final
class ChallengeReport(Config):
    """Challenge metrics of the image tasks of one version; empty for a stream without such tasks."""

    tasks: dict[str, Values] = Field({}, description="By task, then metric; None where a metric is not defined.")
    kinds: dict[str, Values] = Field({}, description="By kind, then metric: the unweighted mean over its tasks.")
    undefined: dict[str, str] = Field({}, description="Reasons, by `<task>/<metric>` and `<kind>/<metric>`.")

    def numbers(self) -> dict[str, float]:
        """The defined metrics, by `challenge/<task or kind>/<metric>`."""
        groups = [*self.tasks.items(), *self.kinds.items()]
        return {
            f"challenge/{name}/{metric}": x for name, group in groups for metric, x in group.items() if x is not None
        }


@final
class VersionResult(Config):
    """What one version of the model reached under one protocol.

    `metrics` are those of the path from version 0 to this version: where the tasks are learnt one after another, those
    of the stream cut after this version.
    """

    scores: tuple[float | None, ...] = Field(description="Row of R, a score for each task; None where not measured.")
    path_scores: tuple[tuple[float | None, ...], ...] = Field(
        (), description="Rows of R on the path, over the test rows that this version retains; empty if these are R's."
    )
    metrics: Values = Field({}, description="Every registered metric, None where undefined; empty for version 0.")
    undefined: dict[str, str] = Field({}, description="Why a metric is undefined, by its name.")
    flips: dict[str, float] = Field({}, description="Flips against the parent, by the names of stream_numbers.")
    update: dict[str, float] = Field(
        {}, description="What the update cost, by the names of update_costs; where not all updates learn, or all adopt."
    )
    challenge: ChallengeReport = Field(ChallengeReport(), description="Challenge metrics of tasks of images.")


@final
class ProtocolResult(Config):
    """All versions under one protocol."""

    versions: tuple[VersionResult, ...] = Field(min_length=2, description="Version 0 first.")
    kinds: dict[str, float] = Field({}, description="Mean score of the last version by kind of task, if several.")

    @property
    def last(self) -> VersionResult:
        """The result of the last version, which is that of the stream."""
        return self.versions[-1]


@final
class CellResult(Config):
    """All numbers of a finished cell."""

    layout: Literal[2] = Field(2, alias="schema", description="Of this object; raised when its meaning changes.")
    code: str = Field(description="Hash of the code that computed the numbers; see `result_code`.")
    tasks: dict[str, str] = Field(min_length=1, description="Kind of each task, in the order of the stream.")
    updates: tuple[StoredUpdate, ...] = Field(min_length=1, description="What made versions 1, 2, ...")
    protocols: dict[str, ProtocolResult] = Field(min_length=1, description="The stream's headline protocol first.")
    costs: dict[str, float] = Field({}, description="Seconds, passes and memory over all versions, by `cost/<name>`.")
    audits: dict[str, dict[int, dict[str, float]]] = Field(
        {}, description="What is left of forgotten samples: numbers by label of the update, then by version."
    )

    @property
    def last_version(self) -> int:
        """Number of the last version."""
        return len(self.updates)

    def at(self, version: int) -> dict[str, VersionResult]:
        """The results of one version by protocol."""
        return {protocol: found.versions[version] for protocol, found in self.protocols.items()}

    def matrix(self, protocol: str) -> ScoreMatrix:
        """The accuracy matrix R under one protocol, NaN where not measured.

        Raises:
            DataError: When the rows do not fit the tasks.
        """
        rows = {number: _row(version.scores) for number, version in enumerate(self.protocols[protocol].versions)}
        return ScoreMatrix.from_rows(tuple(self.tasks), rows, self.updates)

    def matrix_for(self, protocol: str, version: int) -> ScoreMatrix:
        """R from which the metrics of a version are computed: its path over the test rows that the version retains.

        It differs from `matrix` only where a class was forgotten on request.

        Args:
            protocol: Name of the protocol.
            version: Number of the version.

        Raises:
            DataError: When the rows do not fit the tasks.
        """
        matrix, rows = self.matrix(protocol), self.protocols[protocol].versions[version].path_scores
        return matrix.with_rows(matrix.path(version), list(map(_row, rows))) if rows else matrix

    @property
    def matrices(self) -> dict[str, ScoreMatrix]:
        """R under every protocol."""
        return {protocol: self.matrix(protocol) for protocol in self.protocols}

    def challenge_numbers(self, version: int) -> dict[str, float]:
        """Challenge metrics of a version; all protocols but the first have `<protocol>/` before their names."""
        found: dict[str, float] = {}
        for index, (protocol, result) in enumerate(self.at(version).items()):
            prefix = f"{protocol}/" if index else ""
            found |= {prefix + name: x for name, x in result.challenge.numbers().items()}
        return found

    def as_json(self) -> dict[str, object]:
        """The object that `result.json` has under `result`."""
        return self.model_dump(mode="json", by_alias=True)


def parse_result(values: Mapping[str, object]) -> CellResult:
    """Read the content of a `result.json`, also of the layout without `updates`.

    Raises:
        DataError: When it has no result, or one of another layout.
    """
    found = values.get("result")
    if not isinstance(found, dict):
        raise DataError(f"{FILE}: result must be an object, got {found!r:.60}")
    try:
        result = validate(CellResult, _current(found), f"{FILE}: result")
    except ConfigError as error:
        raise DataError(str(error)) from None
    for protocol, of in result.protocols.items():
        for version in range(len(of.versions)):
            result.matrix_for(protocol, version)
    return result


def _row(scores: Sequence[float | None]) -> list[float]:
    return [float("nan") if score is None else score for score in scores]


def _current(found: Mapping[str, object]) -> Mapping[str, object]:
    """A result in the present layout; layout 1 had `releases`, empty for streams that learn their tasks in order."""
    tasks, releases = found.get("tasks"), found.get("releases", [])
    if found.get("schema") != 1 or not isinstance(tasks, Mapping) or not isinstance(releases, list):
        return found
    names = releases or list(tasks)
    if not all(isinstance(name, str) and name for name in names):
        return found
    updates = adopt_chain(names) if releases else learn_chain(names)
    kept = {key: value for key, value in found.items() if key != "releases"}
    return {**kept, "schema": 2, "updates": updates}

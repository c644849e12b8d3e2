"""What a cell leaves on disk, and how it goes on after a kill.

    <cell>/cell.json                    what was run, resolved
    <cell>/versions/0003/               appears whole when version 3 is learnt, tested and saved
        ledger.parquet record.json weights.safetensors strategy/{tree.json,tensors.safetensors}
    <cell>/result.json                  appears last: finished, or failed with the error
    <cell>/ledger.parquet matrix.json   all versions together
    <cell>/challenge.json                challenge metrics of tasks of images, version by version, where there are any
    <cell>/probes.json                  what `--probe` has measured, by version
    <cell>/tracking.json                which run in which tracking store has what
    <cell>/fresh-failed.json            why `--fresh` did not replace this result

Only the newest version keeps its weights.
"""

import contextlib
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

from clbench.benchmarks.engine.cell import Cell
from clbench.contracts import Learner, Strategy, StrategyConfig
from clbench.core.checkpoints import load_tensors, load_tree, save_tensors, save_tree
from clbench.core.errors import CheckpointError, DataError
from clbench.core.storage import read_json, write_json, written_whole
from clbench.spec.ledger import read_ledger, row_scores, write_ledger


@dataclass(frozen=True)
class Record:
    """What is known of one version besides its predictions.

    Attributes:
        version: From 0.
        digest: Hash of the weights.
        numbers: Seconds, memory and the strategy's diagnostics, by name.
        device: Kind of the device that computed it (`cpu`, `cuda`), and so its precision.
        tested: Whether its ledger has rows.
    """

    version: int
    digest: str
    numbers: dict[str, float] = field(default_factory=dict)
    device: str = "cpu"
    tested: bool = True


class CellFolder:
    """The folder of one cell."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, cell: Cell) -> None:
        """Check what is there already, write down what is run, sweep up what a kill has left half written.

        Raises:
            CheckpointError: When an earlier version is missing or damaged, told before hours of work rather than after.
        """
        with _fresh_mends():
            self._verify_versions(self.last_version)
        for rest in (self.path / "versions").glob(".*"):
            shutil.rmtree(rest, ignore_errors=True)
        write_json(self.path / "cell.json", {"title": cell.title, **cell.resolved})

    @property
    def last_version(self) -> int | None:
        """The newest version that is there whole."""
        found = [int(path.name) for path in (self.path / "versions").glob("[0-9]*") if path.name.isdecimal()]
        return max(found, default=None)

    def save_version(
        self, record: Record, rows: pa.Table, learner: Learner, strategy: Strategy[StrategyConfig]
    ) -> None:
        """Keep a version: when this returns, a kill loses nothing of it."""
        with written_whole(self._version(record.version)) as aside:
            write_ledger(rows, aside / "ledger.parquet")
            write_json(aside / "record.json", asdict(record))
            if record.version:
                save_tensors(aside / "weights.safetensors", learner.state_dict())
                save_tree(aside / "strategy", strategy.state_dict())
        for old in range(record.version):
            (self._version(old) / "weights.safetensors").unlink(missing_ok=True)
            shutil.rmtree(self._version(old) / "strategy", ignore_errors=True)

    def load_version(self, version: int, learner: Learner, strategy: Strategy[StrategyConfig]) -> None:
        """Put learner and strategy into the state in which they were saved.

        Raises:
            CheckpointError: When a file is missing, damaged or does not fit.
        """
        if version == 0:
            return
        folder = self._version(version)
        tree = load_tree(folder / "strategy")
        try:
            strategy.load_state_dict(tree)  # first: it may add what the weights belong to
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            raise CheckpointError(f"{folder / 'strategy'}: the state does not fit the strategy: {reason}") from error
        weights = load_tensors(folder / "weights.safetensors")
        try:
            learner.load_state_dict(weights)
        except RuntimeError as error:
            raise CheckpointError(
                f"{folder}: the weights do not fit the learner: {str(error).splitlines()[0]}"
            ) from None

    def record(self, version: int) -> Record:
        """The record of one version.

        Raises:
            CheckpointError: When it is missing or damaged.
        """
        values = read_json(path := self._version(version) / "record.json")
        try:
            numbers = {str(key): float(value) for key, value in cast(dict[str, float], values["numbers"]).items()}
            tested = bool(values.get("tested", True))
            record = Record(
                int(cast(int, values["version"])), str(values["digest"]), numbers, str(values["device"]), tested
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            raise CheckpointError(f"{path}: not the record of a version") from None
        if record.version != version:
            raise CheckpointError(f"{path}: wanted the record of version {version}, got that of {record.version}")
        return record

    def rows(self, version: int) -> pa.Table:
        """The ledger of one version, empty where its record says that it was not tested.

        Raises:
            DataError: When it is missing, damaged, that of another version, or empty though the version was tested.
        """
        table = read_ledger(path := self._version(version) / "ledger.parquet")
        if not len(table) and not self.record(version).tested:
            return table
        ends = pc.min_max(table["version"]).as_py()
        if not len(table) or ends != {"min": version, "max": version}:
            got = f"versions {ends['min']} to {ends['max']}" if len(table) else "no rows"
            raise DataError(f"{path}: wanted the rows of version {version}, got {got}")
        return table

    def probes(self) -> dict[int, dict[str, dict[str, float]]]:
        """Numbers by version and by what was asked; empty where nothing was.

        Raises:
            CheckpointError: When the file is damaged.
        """
        path = self.path / "probes.json"
        try:
            found = cast(dict[str, dict[str, dict[str, float]]], read_json(path) if path.is_file() else {})
            return {int(version): {asked: dict(row) for asked, row in rows.items()} for version, rows in found.items()}
        except (AttributeError, TypeError, ValueError):
            raise CheckpointError(f"{path}: not what probes have measured; remove it") from None

    def unprobed(self, asked: Collection[str]) -> dict[int, list[str]]:
        """What was not asked yet of version 0 and of the newest one."""
        known = self.probes()
        missing = {
            version: [question for question in asked if question not in known.get(version, {})]
            for version in (0, self.last_version or 0)
        }
        return {version: questions for version, questions in missing.items() if questions}

    def save_probe(self, version: int, asked: str, numbers: Mapping[str, float]) -> None:
        """Keep what was measured of a version."""
        known = self.probes()
        known.setdefault(version, {})[asked] = dict(numbers)
        write_json(self.path / "probes.json", {str(number): rows for number, rows in known.items()})

    def finish(self, matrix: Mapping[str, object], challenge: Mapping[str, object] | None = None) -> None:
        """Join the ledgers and mark the cell as done.

        Args:
            matrix: What `matrix.json` says.
            challenge: What `challenge.json` says; None for no such file.

        Raises:
            DataError: When a ledger is damaged or has a row without a score, or the matrix lacks a task learnt before.
        """
        self._require_all_learnt(matrix)
        last = self.last_version
        assert last is not None
        rows = pa.concat_tables([self.rows(version) for version in range(last + 1)])
        _require_scores(rows, self.path)
        write_ledger(rows, self.path / "ledger.parquet")
        write_json(self.path / "matrix.json", matrix)
        if challenge is not None:
            write_json(self.path / "challenge.json", challenge)
        write_json(self.path / "result.json", {"status": "finished", "versions": last + 1})

    def verify(self) -> None:
        """Read all that a finished cell must have, besides the weights.

        Raises:
            CheckpointError: When a file is missing or damaged.
        """
        with _fresh_mends():
            versions = read_json(path := self.path / "result.json").get("versions")
            if not isinstance(versions, int) or versions < 1:
                raise CheckpointError(f"{path}: versions must be at least 1, got {versions!r}")
            self._verify_versions(versions - 1)
            read_ledger(self.path / "ledger.parquet")
            read_json(self.path / "matrix.json")

    def fail(self, error: str, trace: str) -> None:
        """Mark the cell as failed; what its versions hold stays, and the next run goes on from there."""
        write_json(self.path / "result.json", {"status": "failed", "error": error, "traceback": trace})

    @property
    def finished(self) -> bool:
        """Whether all versions are done; a damaged mark does not count, and costs no more than to be made again."""
        try:
            return read_json(self.path / "result.json").get("status") == "finished"
        except CheckpointError:
            return False

    @property
    def failure(self) -> Path:
        """The file that has the traceback of a failure."""
        return self.path / ("fresh-failed.json" if self.finished else "result.json")

    def _verify_versions(self, last: int | None) -> None:
        for version in range(0 if last is None else last + 1):
            self.record(version)
            self.rows(version)

    def _require_all_learnt(self, matrix: Mapping[str, object]) -> None:
        """Only tasks that are still to come may be without a score: some learners cannot be tested on them."""
        tasks = cast(list[str], matrix["tasks"])
        for protocol, rows in cast(dict[str, list[list[float | None]]], matrix["protocols"]).items():
            for version, row in enumerate(rows):
                known = row if "releases" in matrix and version else row[:version]
                if None in known and not self._left_out(version):
                    where = f"version {version}, task {tasks[known.index(None)]!r}, protocol {protocol!r}"
                    raise DataError(f"{self.path}: {where}: wanted a score, got none")

    def _left_out(self, version: int) -> bool:
        """Whether a version was not to be tested."""
        return (self._version(version) / "record.json").is_file() and not self.record(version).tested

    def _version(self, version: int) -> Path:
        return self.path / "versions" / f"{version:04d}"


@contextlib.contextmanager
def _fresh_mends() -> Iterator[None]:
    """Say the way out of a damage."""
    try:
        yield
    except (CheckpointError, DataError) as error:
        raise CheckpointError(f"{error}; --fresh computes the cell again") from None


def _require_scores(rows: pa.Table, folder: Path) -> None:
    missing = rows.filter(pc.is_null(row_scores(rows), nan_is_null=True))
    if len(missing):
        first = missing.slice(0, 1).to_pylist()[0]
        where = f"version {first['version']}, task {first['task']!r}, sample {first['sample_id']!r}"
        raise DataError(f"{folder}: {where}: wanted a score, got none (and {len(missing) - 1} more)")

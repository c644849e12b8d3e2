"""The folder of a cell: what a run leaves on disk, and from what it resumes after a kill.

    <cell>/cell.json                    what was run, resolved
    <cell>/versions/0003/               appears whole when version 3 is learnt, tested and saved
        ledger.parquet record.json
    <cell>/ledger.parquet               all versions together
    <cell>/forget.json                  the tasks and classes that versions were made to forget, where there are such
    <cell>/audit.json                   what is left of forgotten samples, by update and version
    <cell>/result.json                  appears last: finished with the result, or failed with the error
    <cell>/probes.json                  what `--probe` has measured, by version
    <cell>/tracking.json                which run in which tracking store has what
    <cell>/fresh-failed.json            why `--fresh` did not replace this result

Weights and states of strategies are in the store of versions (`version_store.py`), under the keys in the records.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.environment import describe
from clbench.benchmarks.engine.probe_results import ProbeResults
from clbench.contracts import Stream
from clbench.core.errors import CheckpointError, DataError
from clbench.core.storage import has_digest, read_digest, read_json, write_json, written_whole
from clbench.reports.compute_result import StreamOutline, compute_result, compute_versions, score_matrices
from clbench.reports.matrix import ScoreMatrix
from clbench.reports.result import FILE, CellResult, VersionResult, parse_result
from clbench.reports.result_code import code_digest
from clbench.spec.ledger import read_ledger, row_scores, write_ledger
from clbench.spec.update import Forget

AUDIT = "audit.json"
DIGITS = 20
"""Most digits of a version's number. Keys of a store have 24 and may be all digits, should it be the same folder."""


@dataclass(frozen=True)
class Record:
    """What is stored of one version besides its predictions.

    Attributes:
        version: Number of the version, from 0.
        digest: Hash of the weights.
        numbers: Seconds, memory and the strategy's diagnostics, by name.
        device: Kind of the device that computed it, which decides its precision: see `device_kind`.
        tested: Whether its ledger has rows.
        key: Its name in the store of versions, which has its weights; empty in folders of clbench 0.1.
        test: Name of its test in the store; empty where it was not tested.
        ledger: SHA-256 of the file of its ledger; empty in folders of clbench 0.1.
    """

    version: int
    digest: str
    numbers: dict[str, float] = field(default_factory=dict)
    device: str = "cpu"
    tested: bool = True
    key: str = ""
    test: str = ""
    ledger: str = ""


class CellFolder:
    """The folder of one cell."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._result: CellResult | None = None

    def begin(self, cell: Cell) -> None:
        """Check the versions that are there, write settings and environment, remove what a kill has left half written.

        Raises:
            CheckpointError: When an earlier version is missing or damaged.
        """
        with _fresh_mends():
            self._verify_versions(self.last_version)
        for rest in (self.path / "versions").glob(".*"):
            shutil.rmtree(rest, ignore_errors=True)
        write_json(self.path / "environment.json", describe())
        write_json(self.path / "cell.json", {"title": cell.title, **cell.resolved})

    @property
    def last_version(self) -> int | None:
        """The newest version that is complete on disk; None without any."""
        names = (path.name for path in (self.path / "versions").glob("[0-9]*"))
        found = [int(name) for name in names if name.isdecimal() and len(name) <= DIGITS]
        return max(found, default=None)

    def save_version(self, record: Record, rows: pa.Table) -> None:
        """Save a version; once this returns, a kill of the process loses nothing of it.

        Args:
            record: Its record, in which the hash of the ledger is filled in.
            rows: Its ledger rows.
        """
        with written_whole(self._version(record.version)) as aside:
            write_ledger(rows, path := aside / "ledger.parquet")
            write_json(aside / "record.json", asdict(replace(record, ledger=read_digest(path))))

    def record(self, version: int) -> Record:
        """The record of one version.

        Raises:
            CheckpointError: When it is missing or damaged.
        """
        values = read_json(path := self._version(version) / "record.json")
        try:
            numbers = {str(key): float(value) for key, value in cast(dict[str, float], values["numbers"]).items()}
            tested = bool(values.get("tested", True))
            number = int(cast(int, values["version"]))
            names = [str(values.get(name, "")) for name in ("key", "test", "ledger")]
            record = Record(number, str(values["digest"]), numbers, str(values["device"]), tested, *names)
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

    def all_rows(self) -> pa.Table:
        """The ledgers of all versions that are there, as one table.

        Raises:
            DataError: When one is missing or damaged.
        """
        return pa.concat_tables([self.rows(version) for version in self._versions()])

    @property
    def probes(self) -> ProbeResults:
        """What `--probe` has measured."""
        return ProbeResults(self.path)

    def version_results(self, stream: Stream, versions: Iterable[int]) -> dict[str, dict[int, VersionResult]]:
        """Results of some versions by protocol, without flips, while later versions may still be missing.

        Raises:
            DataError: When a ledger is missing or damaged.
        """
        return compute_versions(_outline_of(stream), self.all_rows(), versions)

    def save_audit(self, found: Mapping[str, Mapping[int, Mapping[str, float]]]) -> None:
        """Save what is left of forgotten samples: numbers by label of an update, then by version."""
        write_json(self.path / AUDIT, {label: {str(v): dict(x) for v, x in of.items()} for label, of in found.items()})

    def finish(self, stream: Stream) -> None:
        """Join the ledgers, compute the result and mark the cell as finished.

        Raises:
            DataError: When a ledger is damaged or has a row without a score, or R lacks a task learnt before.
        """
        rows, outline = self.all_rows(), _outline_of(stream)
        _require_scores(rows, self.path)
        self._require_all_learnt(stream, score_matrices(outline, rows))
        write_ledger(rows, self.path / "ledger.parquet")
        if forgotten := _forgotten_of(stream):
            write_json(self.path / "forget.json", {"versions": forgotten})
        self._write_result(compute_result(outline, rows, self._numbers()))

    def result(self, stream: Stream) -> CellResult:
        """The result of the finished cell: the stored one, or a new one where the code that computes it has changed.

        A new one is computed from the ledger, without training, and stored. So is that of a folder of clbench 0.1,
        which has none.

        Raises:
            DataError: When the ledger is damaged.
            CheckpointError: When a record is damaged.
        """
        if self._result is not None and self._result.code == code_digest():
            return self._result
        with contextlib.suppress(DataError):
            self._result = parse_result(read_json(self.path / FILE))
            if self._result.code == code_digest():
                return self._result
        result = compute_result(_outline_of(stream), read_ledger(self.path / "ledger.parquet"), self._numbers())
        self._write_result(result)
        return result

    def verify(self) -> None:
        """Check all files of a finished cell except the weights; ledgers that have not their hash are read.

        Raises:
            CheckpointError: When a file is missing or damaged, or a ledger has changed since it was written.
        """
        with _fresh_mends():
            values = read_json(path := self.path / FILE)
            versions = values.get("versions")
            if not isinstance(versions, int) or versions < 1:
                raise CheckpointError(f"{path}: versions must be at least 1, got {versions!r}")
            self._verify_versions(versions - 1)
            whole = self.path / "ledger.parquet"
            _verify_ledger(whole, values.get("ledger"), partial(read_ledger, whole))

    def fail(self, error: str, trace: str) -> None:
        """Mark the cell as failed; its versions stay, and the next run resumes from them."""
        write_json(self.path / FILE, {"status": "failed", "error": error, "traceback": trace})

    @property
    def finished(self) -> bool:
        """Whether all versions are done; a damaged `result.json` counts as not finished and is made again."""
        try:
            return read_json(self.path / FILE).get("status") == "finished"
        except CheckpointError:
            return False

    @property
    def failure(self) -> Path:
        """The file that has the traceback of a failure."""
        return self.path / ("fresh-failed.json" if self.finished else FILE)

    def _verify_versions(self, last: int | None) -> None:
        for version in range(0 if last is None else last + 1):
            digest = self.record(version).ledger
            _verify_ledger(self._version(version) / "ledger.parquet", digest, partial(self.rows, version))

    def _require_all_learnt(self, stream: Stream, matrices: Mapping[str, ScoreMatrix]) -> None:
        """Only tasks that are still to come may be without a score: some learners cannot be tested on them."""
        column = {task.name: number for number, task in enumerate(stream.tasks)}
        for protocol, matrix in matrices.items():
            for version, row in enumerate(matrix.scores):
                wanted = [
                    task.name for task in stream.seen(version) if task.name not in matrix.forgotten_tasks(version)
                ]
                missing = [name for name in wanted if np.isnan(row[column[name]])]
                if missing and self.record(version).tested:
                    where = f"version {version}, task {missing[0]!r}, protocol {protocol!r}"
                    raise DataError(f"{self.path}: {where}: wanted a score, got none")

    def _numbers(self) -> list[dict[str, float]]:
        """The numbers of all records and of the audit (`audit/<label>/<name>`), version 0 first.

        Raises:
            CheckpointError: When a record or the audit is damaged.
        """
        numbers = [dict(self.record(version).numbers) for version in self._versions()]
        path = self.path / AUDIT
        if path.is_file():
            try:
                for label, of in cast(dict[str, dict[str, dict[str, float]]], read_json(path)).items():
                    for version, found in of.items():
                        numbers[int(version)] |= {f"audit/{label}/{name}": float(x) for name, x in found.items()}
            except (AttributeError, IndexError, TypeError, ValueError):
                raise CheckpointError(f"{path}: not an audit of versions") from None
        return numbers

    def _versions(self) -> range:
        """The versions that are there."""
        last = self.last_version
        return range(0 if last is None else last + 1)

    def _write_result(self, result: CellResult) -> None:
        versions = self.last_version
        assert versions is not None
        self._result = None  # read again when it is asked for
        ledger = read_digest(self.path / "ledger.parquet")
        found = {"status": "finished", "versions": versions + 1, "ledger": ledger, "result": result.as_json()}
        write_json(self.path / FILE, found)

    def _version(self, version: int) -> Path:
        return self.path / "versions" / f"{version:04d}"


@contextlib.contextmanager
def _fresh_mends() -> Iterator[None]:
    """Add to the message of a damage that `--fresh` computes the cell again."""
    try:
        yield
    except (CheckpointError, DataError) as error:
        raise CheckpointError(f"{error}; --fresh computes the cell again") from None


def _verify_ledger(path: Path, digest: object, read: Callable[[], object]) -> None:
    """Check a ledger by its hash, which takes a tenth of the time of reading it; reading says best what is damaged.

    Args:
        path: The ledger.
        digest: Its hash; nothing in folders of clbench 0.1.
        read: Reads it and raises an error where it is damaged.

    Raises:
        CheckpointError: When it has another hash.
    """
    if has_digest(path, digest):
        return
    read()
    if digest:
        raise CheckpointError(f"{path}: has changed since it was written")


def _require_scores(rows: pa.Table, folder: Path) -> None:
    missing = rows.filter(pc.is_null(row_scores(rows), nan_is_null=True))
    if len(missing):
        first = missing.slice(0, 1).to_pylist()[0]
        where = f"version {first['version']}, task {first['task']!r}, sample {first['sample_id']!r}"
        raise DataError(f"{folder}: {where}: wanted a score, got none (and {len(missing) - 1} more)")


def _outline_of(stream: Stream) -> StreamOutline:
    return StreamOutline({task.name: task.kind for task in stream.tasks}, stream.protocols, stream.updates)


def _forgotten_of(stream: Stream) -> dict[str, list[dict[str, str | None]]]:
    """By number of a version: the tasks and classes that it, or a version before it on its path, was made to forget.

    Shares and single samples are forgotten of the training data alone, so no test row belongs to them.
    """
    found: dict[str, list[dict[str, str | None]]] = {}
    for version in range(1, stream.last_version + 1):
        made = [stream.updates[number - 1] for number in stream.path(version)[1:]]
        marks = [
            {"task": update.task, "category": update.category}
            for update in made
            if isinstance(update, Forget) and update.task is not None and update.share is None
        ]
        if marks:
            found[str(version)] = marks
    return found

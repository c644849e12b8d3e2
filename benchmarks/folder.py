"""What a cell leaves on disk, and how it goes on after a kill.

    <cell>/cell.json                    what was run, resolved
    <cell>/versions/0003/               appears whole when version 3 is learnt, tested and saved
        ledger.parquet record.json weights.safetensors strategy/{tree.json,tensors.safetensors}
    <cell>/result.json                  appears last: finished, or failed with the error
    <cell>/ledger.parquet matrix.json   all versions together
    <cell>/tracking.json                which run in which tracking store has what

Only the newest version keeps its weights.
"""

import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import pyarrow as pa

from clbench.benchmarks.cell import Cell
from clbench.checkpoints import load_tensors, load_tree, save_tensors, save_tree
from clbench.contracts import Learner, Strategy, StrategyConfig
from clbench.errors import CheckpointError
from clbench.ledger import read_ledger, write_ledger
from clbench.storage import read_json, write_json, written_whole


@dataclass(frozen=True)
class Record:
    """What is known of one version besides its predictions.

    Attributes:
        version: From 0.
        digest: Hash of the weights.
        numbers: Seconds, memory and the strategy's diagnostics, by name.
    """

    version: int
    digest: str
    numbers: dict[str, float] = field(default_factory=dict)


class CellFolder:
    """The folder of one cell."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, cell: Cell) -> None:
        """Write down what is run, and sweep up what a kill has left half written."""
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
        strategy.load_state_dict(load_tree(folder / "strategy"))  # first: it may add what the weights belong to
        try:
            learner.load_state_dict(load_tensors(folder / "weights.safetensors"))
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
            return Record(int(cast(int, values["version"])), str(values["digest"]), numbers)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise CheckpointError(f"{path}: not the record of a version") from None

    def rows(self, version: int) -> pa.Table:
        """The ledger of one version."""
        return read_ledger(self._version(version) / "ledger.parquet")

    def finish(self, matrix: dict[str, object]) -> None:
        """Join the ledgers and mark the cell as done."""
        last = self.last_version
        assert last is not None
        write_ledger(
            pa.concat_tables([self.rows(version) for version in range(last + 1)]), self.path / "ledger.parquet"
        )
        write_json(self.path / "matrix.json", matrix)
        write_json(self.path / "result.json", {"status": "finished", "versions": last + 1})

    def fail(self, error: str, trace: str) -> None:
        """Mark the cell as failed; what its versions hold stays, and the next run goes on from there."""
        write_json(self.path / "result.json", {"status": "failed", "error": error, "traceback": trace})

    @property
    def finished(self) -> bool:
        """Whether all versions are done."""
        path = self.path / "result.json"
        return path.is_file() and read_json(path).get("status") == "finished"

    def _version(self, version: int) -> Path:
        return self.path / "versions" / f"{version:04d}"

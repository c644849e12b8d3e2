"""The store of versions: what made a version, its weights and state, and its tests, under keys that cells share.

    <out>/versions/<key>/version.json      what made it, the hash of its weights, numbers; the folder appears whole
    <out>/versions/<key>/weights.safetensors, strategy/<kind>/
    <out>/intermediates/<key>/                     what several strategies compute alike on the way to a version
    <out>/tests/<key>/                     ledger rows of one version on the tasks of a stream, with their costs;
                                           outputs for samples that were forgotten
    <out>/versions/.locks/<key>            held by the process that computes the version

Two processes that want the same version do not compute it twice: the second one waits and finds it. Weights may be
dropped (see `VersionStore.drop_weights`); then the version is computed again, from the nearest version before it whose
weights are there, if somebody needs them.
"""

import contextlib
import fcntl
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import pyarrow as pa
from torch import Tensor

from clbench.benchmarks.clock import Price
from clbench.benchmarks.engine.retention import Keep
from clbench.benchmarks.engine.version_keys import VersionKey
from clbench.core.checkpoints import load_tensors, load_tree, save_tensors, save_tree
from clbench.core.errors import CheckpointError, ClbenchError, DataError
from clbench.core.forward_passes import Passes
from clbench.core.storage import has_digest, read_digest, read_json, write_json, written_whole
from clbench.spec.ledger import read_ledger, write_ledger

VERSIONS, TESTS, INTERMEDIATES, LOCKS = "versions", "tests", "intermediates", ".locks"
WEIGHTS, STATES, MADE = "weights.safetensors", "strategy", "version.json"
LEDGER, TEST = "ledger.parquet", "test.json"
TREE, INTERMEDIATE = "tree", "intermediate.json"
State = Mapping[str, object]


@dataclass(frozen=True)
class StoredVersion:
    """What is known of a version in the store.

    Attributes:
        weights: Hash of all weights that decide its predictions.
        numbers: The strategy's diagnostics, by name.
        price: What computing it took.
        way: What else decides how it predicts, as JSON; see `Keys.test`.
        intermediates: Keys of the intermediates that it was made from.
    """

    weights: str
    numbers: Mapping[str, float]
    price: Price
    way: object = None
    intermediates: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoredTest:
    """Ledger rows of a version, and what they took.

    Attributes:
        rows: The rows, under any version's number.
        probes: Numbers on what the version can do besides its tasks.
        price: What testing took.
    """

    rows: pa.Table
    probes: Mapping[str, float]
    price: Price


@dataclass(frozen=True)
class StoredIntermediate:
    """A result that several strategies need on the way to a version, such as the weights fine-tuned on a task.

    Attributes:
        tree: Nested dictionaries and lists of tensors and plain values.
        price: What computing it took.
    """

    tree: Mapping[str, object]
    price: Price


@dataclass
class VersionStore:
    """The versions and tests under one output folder.

    Args:
        out: The output folder.
        fresh: Whether what earlier runs have left is computed again, once, instead of taken.
        keep: Versions that keep their weights; see `retention.droppable`.
    """

    out: Path
    fresh: bool = False
    keep: Keep = "branches"
    _renewed: set[Path] = field(default_factory=set)

    @contextlib.contextmanager
    def computing(self, key: VersionKey) -> Iterator[None]:
        """Be the only process that computes a version; wait for another one that does.

        Raises:
            ClbenchError: When the folder is not writable.
        """
        with self._lock(key.digest, fcntl.LOCK_EX):
            yield

    def find(self, key: VersionKey) -> StoredVersion | None:
        """What is known of a version, None where the store does not have it.

        Raises:
            CheckpointError: When its record is damaged.
        """
        if not self._is_there(path := self._folder(key) / MADE):
            return None
        with _computed_again(path.parent):
            values = read_json(path)
            try:
                numbers = cast(dict[str, float], values["numbers"])
                known = {name: float(x) for name, x in numbers.items()}
                intermediates = tuple(str(key) for key in cast(list[object], values.get("intermediates", [])))
                return StoredVersion(str(values["weights"]), known, _price_of(values), values["way"], intermediates)
            except (AttributeError, KeyError, TypeError, ValueError):
                raise CheckpointError(f"{path}: not the record of a version") from None

    def save(
        self, key: VersionKey, version: StoredVersion, weights: Mapping[str, Tensor], states: Mapping[str, State]
    ) -> None:
        """Save a version, whole or not at all.

        Args:
            key: Its key.
            version: What is known of it.
            weights: The learner's weights.
            states: State of each strategy, by the first kind of update that it is for.

        Raises:
            ClbenchError: When the disk is full or not writable.
        """
        folder = self._folder(key)
        with written_whole(folder) as aside:
            save_tensors(aside / WEIGHTS, weights)
            for kind, state in states.items():
                save_tree(aside / STATES / kind, state)
            files = sorted(path for path in aside.rglob("*") if path.is_file())
            write_json(
                aside / MADE,
                {
                    "made_of": key.made_of,
                    "weights": version.weights,
                    "numbers": dict(version.numbers),
                    "price": _as_json(version.price),
                    "way": version.way,
                    "intermediates": list(version.intermediates),
                    "files": {str(path.relative_to(aside)): read_digest(path) for path in files},
                },
            )
        self._renewed.add(folder / MADE)

    def has_weights(self, key: VersionKey) -> bool:
        """Whether the weights of a version are there."""
        return self._is_there(self._folder(key) / MADE) and (self._folder(key) / WEIGHTS).is_file()

    def load(self, key: VersionKey) -> tuple[dict[str, Tensor], dict[str, dict[str, object]]] | None:
        """Weights and states of a version; None where its weights were dropped.

        Raises:
            CheckpointError: When a file is damaged, or another one than was saved.
        """
        folder = self._folder(key)
        with self._lock(key.digest, fcntl.LOCK_SH) if self.has_weights(key) else contextlib.nullcontext():
            if not self.has_weights(key):
                return None
            with _computed_again(folder):
                states = {path.name: load_tree(path) for path in sorted((folder / STATES).glob("*"))}
                weights = load_tensors(folder / WEIGHTS)
                _require_same_files(folder)
            return weights, states

    def drop_weights(self, digest: str) -> bool:
        """Delete the weights and states of a version, unless a process uses them now.

        Its record, its tests and what states have besides tensors (the allocation of a compression) stay.

        Args:
            digest: Digest of the version's key.

        Returns:
            Whether they were there and are gone.
        """
        folder = self.out / VERSIONS / digest
        if not (folder / WEIGHTS).is_file():
            return False
        with self.unless_used(digest) as free:
            if free:
                for path in (folder / WEIGHTS, *(folder / STATES).glob("*/*.safetensors")):
                    path.unlink(missing_ok=True)
            return free

    @contextlib.contextmanager
    def unless_used(self, name: str) -> Iterator[bool]:
        """Hold a version (its digest), a test (`test-<key>`) or an intermediate (`intermediate-<key>`) if nobody does.

        Gives whether that is so.
        """
        try:
            with self._lock(name, fcntl.LOCK_EX | fcntl.LOCK_NB):
                yield True
        except BlockingIOError:
            yield False

    @contextlib.contextmanager
    def testing(self, key: str) -> Iterator[None]:
        """Be the only process that computes a test; wait for another one that does."""
        with self._lock(f"test-{key}", fcntl.LOCK_EX):
            yield

    def find_test(self, key: str) -> StoredTest | None:
        """The test of that key, None where the store does not have it.

        Raises:
            CheckpointError: When its record or its rows are damaged.
        """
        folder = self.out / TESTS / key
        if not self._is_there(path := folder / TEST):
            return None
        with _computed_again(folder):
            values = read_json(path)
            rows = read_ledger(folder / LEDGER)
            try:
                probes = {name: float(x) for name, x in cast(dict[str, float], values["probes"]).items()}
                found = StoredTest(rows, probes, _price_of(values))
            except (AttributeError, KeyError, TypeError, ValueError):
                raise CheckpointError(f"{path}: not the record of a test") from None
            _require_same_files(folder, TEST)
        return found

    def save_test(self, key: str, test: StoredTest) -> None:
        """Save a test, whole or not at all.

        Raises:
            ClbenchError: When the disk is full or not writable.
        """
        folder = self.out / TESTS / key
        with written_whole(folder) as aside:
            write_ledger(test.rows, aside / LEDGER)
            files = {LEDGER: read_digest(aside / LEDGER)}
            write_json(aside / TEST, {"probes": dict(test.probes), "price": _as_json(test.price), "files": files})
        self._renewed.add(folder / TEST)

    @contextlib.contextmanager
    def computing_intermediate(self, key: VersionKey) -> Iterator[None]:
        """Be the only process that computes an intermediate result; wait for another one that does."""
        with self._lock(f"intermediate-{key.digest}", fcntl.LOCK_EX):
            yield

    def find_intermediate(self, key: VersionKey) -> StoredIntermediate | None:
        """The intermediate of that key, None where the store does not have it.

        Raises:
            CheckpointError: When a file of it is damaged.
        """
        folder = self.out / INTERMEDIATES / key.digest
        if not self._is_there(path := folder / INTERMEDIATE):
            return None
        with _computed_again(folder):
            _require_same_files(folder, INTERMEDIATE)
            try:
                price = _price_of(read_json(path))
            except (AttributeError, KeyError, TypeError, ValueError):
                raise CheckpointError(f"{path}: not the record of an intermediate result") from None
            return StoredIntermediate(load_tree(folder / TREE), price)

    def save_intermediate(self, key: VersionKey, intermediate: StoredIntermediate) -> None:
        """Save an intermediate result, whole or not at all.

        Raises:
            ClbenchError: When the disk is full or not writable.
        """
        folder = self.out / INTERMEDIATES / key.digest
        with written_whole(folder) as aside:
            save_tree(aside / TREE, intermediate.tree)
            files = {str(path.relative_to(aside)): read_digest(path) for path in sorted((aside / TREE).iterdir())}
            write_json(
                aside / INTERMEDIATE, {"made_of": key.made_of, "price": _as_json(intermediate.price), "files": files}
            )
        self._renewed.add(folder / INTERMEDIATE)

    def find_outputs(self, test: str, name: str) -> dict[str, Tensor] | None:
        """Outputs of a version beside its test, None where they are not there.

        Args:
            test: Key of the test.
            name: What they are outputs for.

        Raises:
            CheckpointError: When the file is damaged.
        """
        path = self.out / TESTS / test / f"{name}.safetensors"
        return load_tensors(path) if self._is_there(path) else None

    def save_outputs(self, test: str, name: str, outputs: Mapping[str, Tensor]) -> None:
        """Save outputs of a version beside its test, whole or not at all.

        Args:
            test: Key of the test.
            name: What they are outputs for.
            outputs: Tensors by name.
        """
        path = self.out / TESTS / test / f"{name}.safetensors"
        save_tensors(path, outputs)
        self._renewed.add(path)

    def _folder(self, key: VersionKey) -> Path:
        return self.out / VERSIONS / key.digest

    def _is_there(self, path: Path) -> bool:
        return path.is_file() and (not self.fresh or path in self._renewed)

    @contextlib.contextmanager
    def _lock(self, name: str, how: int) -> Iterator[None]:
        """Hold the lock of that name; it goes with the process, however that ends."""
        locks = self.out / VERSIONS / LOCKS
        try:
            locks.mkdir(parents=True, exist_ok=True)
            handle = (locks / name).open("w")
        except OSError as error:
            raise ClbenchError(f"{locks}: cannot be written: {error.strerror}") from None
        with handle:
            fcntl.flock(handle, how)
            yield


@contextlib.contextmanager
def _computed_again(folder: Path) -> Iterator[None]:
    """Say of damage how it is mended."""
    try:
        yield
    except (CheckpointError, DataError) as error:
        raise CheckpointError(f"{error}; remove the folder {folder.name}, and it is computed again") from None


def _require_same_files(folder: Path, record: str = MADE) -> None:
    """Refuse files that are others than those that were saved, also where they can still be read.

    Raises:
        CheckpointError: For the first such file.
    """
    files = read_json(folder / record).get("files")
    if not isinstance(files, dict):
        raise CheckpointError(f"{folder / record}: files must be hashes by name, got {files!r:.40}")
    for name, digest in files.items():
        if not has_digest(folder / name, digest):
            raise CheckpointError(f"{folder / name}: missing, or changed since it was saved")


def _as_json(price: Price) -> dict[str, object]:
    return asdict(price)


def _price_of(values: Mapping[str, object]) -> Price:
    price = cast(dict[str, object], values["price"])
    splits = cast(dict[str, float], price["splits"])
    passes = cast(dict[str, int], price["passes"])
    return Price(
        float(cast(float, price["seconds"])),
        {str(split): float(x) for split, x in splits.items()},
        Passes(int(passes["with_gradient"]), int(passes["without_gradient"])),
    )

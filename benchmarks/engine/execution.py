"""Runs one cell: its versions one after another, each tested and saved before the next begins."""

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import torch
from torch import Tensor

from clbench.benchmarks.clock import Price
from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.cell_folder import CellFolder, Record
from clbench.benchmarks.engine.fit import require_one_vocabulary
from clbench.benchmarks.engine.forgotten import ForgottenSamples, without
from clbench.benchmarks.engine.frozen_features import FrozenFeatureCache
from clbench.benchmarks.engine.intermediates import found_or_made
from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.engine.live_version import LiveVersion, Services
from clbench.benchmarks.engine.process_memory import give_back, peak_mib, restart_peak
from clbench.benchmarks.engine.retention import Keep, droppable
from clbench.benchmarks.engine.samples import SampleStore
from clbench.benchmarks.engine.shared_results import SharedResults
from clbench.benchmarks.engine.version_keys import Keys, own_way
from clbench.benchmarks.engine.version_store import StoredTest, StoredVersion, VersionStore
from clbench.benchmarks.engine.weight_drift import Drift
from clbench.benchmarks.evaluation.evaluator import Evaluator
from clbench.benchmarks.evaluation.forget_audit import audit_numbers
from clbench.benchmarks.evaluation.harness_probe import HarnessProbe
from clbench.contracts import ForgetRequest, LanguageModel, Samples, ScoresClasses, Split, Stream, Task, require
from clbench.core.devices import device_kind
from clbench.core.errors import CheckpointError, ConfigError, TrainingError
from clbench.kinds import kind_of
from clbench.spec.ledger import SCHEMA, with_version
from clbench.spec.update import Compress, Forget, Learn

Progress = Callable[[str, int, int], None]
"""Called with (what is done now, steps done, steps in all) of one version."""


@dataclass(frozen=True)
class Workplace:
    """What the cells of a run share.

    Attributes:
        samples: Encoded samples.
        versions: The store of versions.
        device: Device of the learners.
        shared: Results that earlier cells of the run have computed.
    """

    samples: SampleStore
    versions: VersionStore
    device: torch.device
    shared: SharedResults


def workplace_in(out: Path, device: torch.device, fresh: bool = False, keep: Keep = "branches") -> Workplace:
    """What cells of one run share.

    Args:
        out: Output folder: versions and encoded samples that do not fit into memory lie there.
        device: Device of the learners.
        fresh: Whether versions that earlier runs have left are computed again.
        keep: Versions that keep their weights.
    """
    return Workplace(SampleStore(device, out / "cache"), VersionStore(out, fresh, keep), device, SharedResults())


class CellRun:
    """One cell on its way through the updates of its stream.

    Args:
        cell: The cell.
        folder: Folder of the cell; versions that are there already are not computed again.
        workplace: What it shares with other cells.
        progress: Called at every step.
        probe: Tasks of lm-evaluation-harness on which version 0 and the last version are measured.

    Raises:
        ConfigError: Among others for a learner that cannot be probed.
    """

    def __init__(
        self,
        cell: Cell,
        folder: CellFolder,
        workplace: Workplace,
        progress: Progress,
        probe: HarnessProbe | None = None,
    ) -> None:
        if cell.threads:
            torch.set_num_threads(cell.threads)
        restart_peak()  # else the cell would seem to hold what cells before it have held
        self._cell = cell
        self._folder = folder
        self._store = workplace.versions
        self._shared = workplace.shared
        self._device = workplace.device
        self._progress = progress
        self._probe = probe
        self._numbers: dict[str, float] = {}
        self._intermediates: list[str] = []
        """Keys of the intermediates that the version in the making has asked for."""
        self.stream: Stream = cell.load_stream()
        self.taken = 0
        """Number of versions, version 0 left out, that were in the store and did not have to be computed."""
        self._clock = self._shared.clock
        self._clock.new_cell()
        self._making: int | None = None
        """Number of the version that is being made, if one is."""
        self._forgotten = ForgottenSamples(cell)
        self._audited = {} if cell.last_only else self._forgotten.audited()
        """By label of an update of kind `forget`: the versions that are looked at, all of which are tested."""
        self._reduced: dict[tuple[str, frozenset[str]], Samples] = {}
        self._forgotten.check()
        training = partial(progress, "train")
        record = self._numbers.__setitem__
        services = Services(self._for_strategies, self._request, training, record, self._once, self._stored)
        self._live = LiveVersion(cell, self._device, services)
        if probe:
            require(self._live.learner, LanguageModel, "--probe").language_model()
        if self._audited and any(kind_of(task.kind).has_class(task) for task in self.stream.tasks):
            require(self._live.learner, ScoresClasses, "the audit of forgetting")
        others = [release for release in self.stream.releases if release != cell.learner]
        require_one_vocabulary(
            others, self._live.learner, lambda name: build_learner(name, cell.seed, torch.device("cpu"))
        )
        decoding, encoding = partial(progress, "decode"), json.dumps(cell.encoding)
        kept = (cell.names[0], self._live.learner, encoding, cell.skip_broken, decoding, self._clock)
        self._encoded = workplace.samples.of(*kept)
        self._begin()
        self._live.start()
        self._evaluator = Evaluator(self.stream, cell.split, self._samples, self._clock)
        skipped = self._is_skipped(self.stream.last_version - 1)
        self._keys = Keys(cell, device_kind(self._device), self._live.main.digest(), skipped)

    def run(self, after_version: Callable[[int], None]) -> None:
        """Compute the versions that are missing, then mark the cell as finished.

        Args:
            after_version: Called with each version once it is safe on disk.
        """
        self._folder.begin(self._cell)
        done = self._folder.last_version
        if done is not None:
            self._check_resume(done)
        for version in range(0 if done is None else done + 1, self.stream.last_version + 1):
            self._compute(version)
            after_version(version)
        if self._audited:
            self._folder.save_audit({label: self._audit(label, of) for label, of in self._audited.items()})
        self._folder.finish(self.stream)

    def probe(self) -> None:
        """Measure what `--probe` asks for and is not known yet, of version 0 and the last one; both must be there."""
        if self._probe is None:
            return
        for version, missing in self._folder.probes.missing(self._probe.asked, self.stream.last_version).items():
            self._move_to(version)
            for number, asked in enumerate(missing):
                self._progress("probe", number, len(missing))
                found = self._probe.measure(self._probe.asked[asked], self._live.learner)
                self._folder.probes.save(version, asked, found)

    def _begin(self) -> None:
        """Prepare what belongs to the learner in memory, which is at version 0."""
        # Of a release the drift would be that of the base alone, without what is trained for the tasks.
        self._drift = None if self.stream.releases else Drift(self._live.learner)
        self._prefixes = FrozenFeatureCache(
            self._encoded, self._live.learner, self._frozen_blocks, self._folder.path, self._clock
        )

    def _samples(self, task: Task, split: Split) -> Samples:
        """The samples of a split; for training, without those that the version in the making must not be trained on.

        Updates that may change any weight get no outputs of blocks that the strategy of tasks has frozen.
        """
        making = self.stream.updates[self._making - 1] if self._making else None
        plain = self.stream.releases or isinstance(making, Compress | Forget)
        found = self._encoded(task, split) if plain else self._prefixes(task, split)
        if split != "train" or self._making is None:
            return found
        ids = self._forgotten.left_out(self._making).get(task.name)
        if not ids:
            return found
        if (task.name, ids) not in self._reduced:
            self._reduced[task.name, ids] = without(found, ids)
        return self._reduced[task.name, ids]

    def _for_strategies(self, task: Task, split: Split) -> Samples:
        """The samples of a split, for strategies: test data are out of their reach.

        Raises:
            ConfigError: When a strategy asks for test data.
        """
        if split == "test":
            raise ConfigError(f"task {task.name!r}: a strategy asked for test data (wanted train or validation)")
        return self._samples(task, split)

    def _request(self, update: Forget) -> ForgetRequest:
        tasks = self._forgotten.of(update)
        return self._forgotten.request(
            update, {task.name: self._samples(task, "train") for task in self.stream.tasks if task.name in tasks}
        )

    def _once(self, key: Hashable, make: Callable[[], Mapping[str, object]]) -> Mapping[str, object]:
        """What a strategy computes for itself and others alike: see `Context.once`."""
        cell, update = self._cell, None
        if self._making:
            made, left_out = self.stream.updates[self._making - 1], self._forgotten.left_out(self._making)
            update = made.model_dump_json(exclude={"name", "parent"}), frozenset(left_out.items())
        return self._shared.once((*cell.tested, cell.budget.model_dump_json(), cell.seed, update, key), make, _bytes_of)

    def _stored(self, key: str, make: Callable[[], Mapping[str, object]]) -> Mapping[str, object]:
        """What a strategy computes for itself and others alike, kept on disk: see `Context.stored`."""
        assert self._making
        intermediate = self._keys.intermediate(self.stream.updates[self._making - 1], key)
        self._intermediates.append(intermediate.digest)
        get = partial(found_or_made, self._store, self._clock, intermediate, make)
        return self._shared.once(intermediate.digest, get, _bytes_of)

    def _frozen_blocks(self, task: Task, split: Split) -> int:
        """Number of leading blocks whose output is equal in all versions and for every use of a split's samples."""
        if split == "train" and self._live.main.augments:
            return 0
        return self._live.main.frozen_blocks(task)

    def _check_resume(self, version: int) -> None:
        if version > (last := self.stream.last_version):
            raise CheckpointError(f"{self._folder.path}: holds version {version}, the last of the stream is {last}")
        begun, here = self._folder.record(0).device, device_kind(self._device)
        if begun != here:  # which computes other bits
            raise CheckpointError(
                f"{self._folder.path}: was begun on {begun}, this is {here}; go on there, or use --fresh"
            )
        if self._folder.record(0).digest != self._live.learner.digest():
            raise CheckpointError(
                f"{self._folder.path}: was begun with other weights of {self._cell.learner}; use --fresh"
            )

    # The version in memory

    def _move_to(self, version: int) -> None:
        """Have a version in memory: from the store, or computed again from the nearest one before it that is there."""
        if self._live.number == version:
            return
        if self._live.number:
            self._live.restart()
            self._begin()
        if not version:
            return
        key = self._keys.versions[version]
        found = self._store.load(key)
        if found is not None:
            try:
                self._live.load(version, *found)
            except CheckpointError as error:
                where = f"{self._folder.path}: version {version}"
                raise CheckpointError(f"{where}: {error}; --fresh computes the cell again") from None
        elif self._is_from_scratch(version):
            self._skip_before(version)
            self._update(version)
        else:
            self._move_to(self.stream.parents[version - 1])
            self._update(version)
        self._settle()

    def _is_from_scratch(self, version: int) -> bool:
        """Whether a version does not depend on the versions before it, all of which learn tasks."""
        made = [self.stream.updates[number - 1] for number in self.stream.path(version)[1:]]
        return self._live.main.retrains_from_scratch and all(isinstance(update, Learn) for update in made)

    def _skip_before(self, version: int) -> None:
        """Count the updates before a version without making them; version 0 must be in memory."""
        for earlier in self.stream.path(version)[1:-1]:
            self._live.skip(earlier)

    def _settle(self) -> None:
        """Compare caches with the weights that are in memory now, and measure distances from them."""
        self._prefixes.weights_have_changed()
        if self._drift:
            self._drift.measure()

    def _update(self, version: int) -> None:
        """Make a version from its parent in memory.

        Raises:
            TrainingError: When it is not finite.
        """
        self._making = version
        self._intermediates.clear()
        self._live.update(version)
        self._making = None
        if found := self._live.not_finite():
            raise TrainingError(f"version {version}: training has left what is no model: {found}")
        self._prefixes.weights_have_changed()

    # One version of the cell

    def _compute(self, version: int) -> None:
        self._numbers.clear()
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        clock = self._clock
        started, decoding, taken_over = clock.now(), clock.decoding, clock.taken_over
        made = self._made(version)
        trained = clock.now()
        test = self._keys.test(made.weights, made.way)
        rows, probes = self._tested(version, test)
        numbers = {
            **made.numbers,
            **{f"probe/{name}": value for name, value in probes.items()},
            "seconds/train": trained - started,
            "seconds/eval": clock.now() - trained,
            "seconds/decode": clock.decoding - decoding,
            "seconds/taken_over": clock.taken_over - taken_over,
            "passes/with_gradient": float(made.price.passes.with_gradient),
            "passes/without_gradient": float(made.price.passes.without_gradient),
            **_peak_mb(self._device),
        }
        key = self._keys.versions[version].digest
        with clock.uncounted():
            for label, versions in self._audited.items():
                if version in versions:
                    self._audit_outputs(version, label, test)
        tested = len(rows) > 0
        record = Record(version, made.weights, numbers, device_kind(self._device), tested, key, test if tested else "")
        self._folder.save_version(record, rows)
        self._drop_weights(version)
        give_back()  # glibc keeps about five times the weights of a version otherwise, of every version

    def _made(self, version: int) -> StoredVersion:
        """A version, made now or taken from the store."""
        if version == 0 or self._is_skipped(version):
            return self._present(self._keys.first_weights, Price())
        key = self._keys.versions[version]
        with self._store.computing(key):
            found = self._store.find(key)
            if found is not None:
                self.taken += 1
                self._clock.take_over(found.price)
                return found
            with self._clock.uncounted():
                if self._is_skipped(version - 1):
                    self._skip_before(version)
                else:
                    self._move_to(self.stream.parents[version - 1])
            self._numbers.clear()
            with self._clock.pricing() as price:
                self._update(version)
                weights = self._live.main.digest()  # waits for the device, so that the time before it is of training
            with self._clock.uncounted():
                made = self._present(weights, price.of_all_processes())
                self._store.save(key, made, self._live.learner.state_dict(), self._live.states())
        return made

    def _present(self, weights: str, price: Price) -> StoredVersion:
        """What is known of the version in memory, which was just made."""
        main = self._live.main
        numbers = dict(self._numbers) | (self._drift.measure() if self._drift else {})
        # The output of frozen blocks is computed another way than that of others, which round-off shows.
        ways = [[self._live.learner.can_test(task), main.frozen_blocks(task)] for task in self.stream.tasks]
        return StoredVersion(weights, numbers, price, [ways, own_way(main)], tuple(self._intermediates))

    def _is_skipped(self, version: int) -> bool:
        """Whether a version is not made, because only the last one is tested and does not depend on it."""
        scratch = self._cell.last_only and self._live.main.retrains_from_scratch
        return scratch and version < self.stream.last_version and self.stream.is_chain_of_tasks

    def _tested(self, version: int, key: str) -> tuple[pa.Table, Mapping[str, float]]:
        """Ledger rows and probes of a version; taken from another test of equal weights where there is one."""
        if self._cell.last_only and version < self.stream.last_version:
            return SCHEMA.empty_table(), {}

        def test() -> StoredTest:
            with self._store.testing(key):
                found = self._store.find_test(key)
                if found is not None:
                    self._clock.take_over(found.price)
                    return found
                with self._clock.uncounted():
                    self._move_to(version)
                with self._clock.pricing() as price:
                    self._progress("test", 0, 1)
                    rows = self._evaluator.evaluate(self._live.learner, version, self._live.main.predictor)
                    probes = self._live.learner.general_ability()
                made = StoredTest(rows, probes, price)
                with self._clock.uncounted():
                    self._store.save_test(key, made)
                return made

        found = self._shared.once(key, test, lambda made: made.rows.nbytes)
        return with_version(found.rows, version), found.probes

    # What is left of forgotten samples

    def _audit(self, label: str, versions: Sequence[int]) -> dict[int, dict[str, float]]:
        """Numbers on what is left of forgotten samples, by version; the last one of `versions` has forgotten them."""
        tests = {version: self._folder.record(version).test for version in versions}
        outputs = {version: self._audit_outputs(version, label, tests[version]) for version in versions}
        reference = outputs[versions[1]] if len(versions) > 2 else None
        return {version: audit_numbers(found, reference) for version, found in outputs.items()}

    def _audit_outputs(self, version: int, label: str, test: str) -> dict[str, Tensor]:
        """Outputs of a version for what `label` has forgotten, from the store or computed now."""
        update = next(known for known in self.stream.updates if known.label == label)
        name = f"forget-{self._forgotten.digest(update)}-{self._cell.seed}"
        found = self._store.find_outputs(test, name)
        if found is None:
            self._move_to(version)
            found = self._forgotten.audit(label, self._encoded).outputs(self._live.learner)
            self._store.save_outputs(test, name, found)
        return found

    def _drop_weights(self, version: int) -> None:
        """Drop the weights that are not needed any more: see the module `retention`."""
        for number in droppable(self.stream.parents, version, self._store.keep):
            self._store.drop_weights(self._keys.versions[number].digest)


def _bytes_of(tree: object) -> int:
    """Bytes of all tensors of a tree."""
    if isinstance(tree, torch.Tensor):
        return tree.nbytes
    return sum(map(_bytes_of, tree.values())) if isinstance(tree, Mapping) else 0


def _peak_mb(device: torch.device) -> dict[str, float]:
    """Peak memory in MiB: of this version on the device where there is one, else of the process during this cell."""
    if device.type == "cuda":
        return {"memory/peak_mb": torch.cuda.max_memory_allocated(device) / 2**20}
    return {"memory/process_peak_mb": peak_mib()}

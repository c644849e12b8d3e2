"""Runs one cell: its versions one after another, each tested and saved before the next begins."""

import json
import resource
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import cast

import pyarrow as pa
import torch

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.cell_folder import CellFolder, Record
from clbench.benchmarks.engine.frozen_features import FrozenFeatureCache
from clbench.benchmarks.engine.releases import require_one_vocabulary
from clbench.benchmarks.engine.samples import SampleStore
from clbench.benchmarks.engine.shared_results import SharedResults
from clbench.benchmarks.engine.weight_drift import Drift
from clbench.benchmarks.evaluation.evaluator import Evaluator
from clbench.benchmarks.evaluation.harness_probe import HarnessProbe
from clbench.contracts import (
    Budget,
    Context,
    Learner,
    Precision,
    Samples,
    Split,
    Strategy,
    StrategyConfig,
    Stream,
    Task,
)
from clbench.core.checkpoints import tensors_of
from clbench.core.config import validate
from clbench.core.errors import CheckpointError, TrainingError
from clbench.core.finite import not_finite, unsound_weights
from clbench.core.registry import LEARNERS, STRATEGIES
from clbench.core.seeding import derive, seed_globally
from clbench.spec.ledger import SCHEMA, with_version

Progress = Callable[[str, int, int], None]
"""Called with (what is done now, steps done, steps in all) of one version."""


def build_learner(specification: str, seed: int, device: torch.device, precision: Precision = "auto") -> Learner:
    """The learner `name` or `name:argument` at version 0.

    Args:
        specification: Registered name, with an argument of the learner after a colon if it takes one.
        seed: Seed of randomly initialised weights.
        device: Device of the weights.
        precision: Precision of the computation.

    Raises:
        CheckpointError: When some of its weights are not finite.
    """
    name, _, argument = specification.partition(":")
    learner = cast(Learner, LEARNERS.get(name).value(argument, seed=seed))
    learner.module.to(device)
    learner.precision = precision
    if found := unsound_weights(learner.module):
        raise CheckpointError(f"learner {specification}: {found}")
    return learner


class CellRun:
    """One cell on its way through the tasks.

    Args:
        cell: The cell.
        folder: Folder of the cell; versions that are there already are not computed again.
        store: Encoded samples.
        device: Device of the learner.
        progress: Called at every step.
        shared: Results that earlier cells of the run have computed.
        probe: Tasks of lm-evaluation-harness on which version 0 and the last version are measured.

    Raises:
        ConfigError: Among others for a learner that cannot be probed.
    """

    def __init__(
        self,
        cell: Cell,
        folder: CellFolder,
        store: SampleStore,
        device: torch.device,
        progress: Progress,
        shared: SharedResults | None = None,
        probe: HarnessProbe | None = None,
    ) -> None:
        self._cell = cell
        self._shared = shared or SharedResults()
        self._folder = folder
        self._device = device
        self._progress = progress
        self._numbers: dict[str, float] = {}
        self.stream: Stream = cell.load_stream()
        self._learner = build_learner(cell.learner, cell.seed, device, cell.precision)
        self._probe = probe
        if probe:
            self._learner.language_model()
        require_one_vocabulary(
            self.stream.releases, self._learner, lambda name: build_learner(name, cell.seed, torch.device("cpu"))
        )
        # Of a release the drift would be that of the base alone, without what is trained for the tasks.
        self._drift = None if self.stream.releases else Drift(self._learner)
        self._clock = self._shared.clock
        self._clock.new_cell()
        decoding, encoding = partial(progress, "decode"), json.dumps(cell.encoding)
        samples = store.of(cell.names[0], self._learner, encoding, cell.skip_broken, decoding, self._clock)
        self._prefixes = FrozenFeatureCache(samples, self._learner, self._frozen_blocks, folder.path, self._clock)
        given = samples if self.stream.releases else self._prefixes
        self._evaluator = Evaluator(self.stream, cell.split, given, self._clock)
        self._strategy = self._build_strategy(given)

    def run(self, after_version: Callable[[int], None]) -> None:
        """Compute the versions that are missing, then mark the cell as finished.

        Args:
            after_version: Called with each version once it is safe on disk.
        """
        self._folder.begin(self._cell)
        done = self._folder.last_version
        if done is not None:
            self._resume(done)
        for version in range(0 if done is None else done + 1, self.stream.last_version + 1):
            self._compute(version)
            after_version(version)
        self._folder.finish(self.stream)

    def probe(self) -> None:
        """Measure what `--probe` asks for and is not known yet, of version 0 and the last one; both must be there."""
        if self._probe is None:
            return
        for version, missing in self._folder.probes.missing(self._probe.asked, self.stream.last_version).items():
            learner = self._version(version)
            for number, asked in enumerate(missing):
                self._progress("probe", number, len(missing))
                self._folder.probes.save(version, asked, self._probe.measure(self._probe.asked[asked], learner))

    def _version(self, version: int) -> Learner:
        """The learner as it was at version 0 or is at the last one."""
        if version == 0:
            return build_learner(self._cell.learner, self._cell.seed, self._device, self._cell.precision)
        if self._strategy.version != version:
            self._resume(version)
        return self._learner

    def _build_strategy(self, samples: Callable[[Task, Split], Samples]) -> Strategy[StrategyConfig]:
        cell = self._cell
        context = Context(
            learner=self._learner,
            budget=cell.budget,
            seed=cell.seed,
            samples=samples,
            new_learner=lambda: build_learner(cell.learner, cell.seed, self._device, cell.precision),
            progress=lambda step, total: self._progress("train", step, total),
            record=self._numbers.__setitem__,
            once=self._once,
        )
        seed_globally(derive(cell.seed, "strategy"))  # for constructors that draw from the global state
        strategy = cast(Strategy[StrategyConfig], STRATEGIES.get(cell.strategy).value(cell.config, context))
        for task in self.stream.tasks:
            strategy.check(task)
        return strategy

    def _once(self, key: Hashable, make: Callable[[], Mapping[str, object]]) -> Mapping[str, object]:
        """What a strategy computes for itself and others alike: see `Context.once`."""
        cell = self._cell
        return self._shared.once((*cell.tested, cell.budget.model_dump_json(), cell.seed, key), make, _bytes_of)

    def _tested(self, version: int, digest: str) -> tuple[pa.Table, dict[str, float]]:
        """Ledger rows and probes of the present version, taken from another cell if that had equal weights."""
        if self._cell.last_only and version < self.stream.last_version:
            return SCHEMA.empty_table(), {}

        def test() -> tuple[pa.Table, dict[str, float]]:
            self._progress("test", 0, 1)
            return self._evaluator.evaluate(
                self._learner, version, self._strategy.predictor
            ), self._learner.general_ability()

        # The output of frozen blocks is computed another way than that of others, which round-off shows.
        ways = tuple((self._learner.can_test(t), self._strategy.frozen_blocks(t)) for t in self.stream.tasks)
        key = (*self._cell.tested, digest, type(self._strategy).predictor, ways)
        rows, probes = self._shared.once(key, test, lambda found: found[0].nbytes)
        return with_version(rows, version), probes

    def _frozen_blocks(self, task: Task, split: Split) -> int:
        """Number of leading blocks whose output is equal in all versions and for every use of a split's samples."""
        if split == "train" and self._strategy.augments:
            return 0
        return self._strategy.frozen_blocks(task)

    def _resume(self, version: int) -> None:
        if version > (last := self.stream.last_version):
            raise CheckpointError(f"{self._folder.path}: holds version {version}, the last of the stream is {last}")
        if (begun := self._folder.record(0).device) != self._device.type:  # which computes in another precision
            raise CheckpointError(f"{self._folder.path}: was begun on {begun}; use --device {begun}, or --fresh")
        if self._folder.record(0).digest != self._learner.digest():
            raise CheckpointError(
                f"{self._folder.path}: was begun with other weights of {self._cell.learner}; use --fresh"
            )
        self._strategy.version = version
        if self.stream.releases:
            self._strategy.learner = self._learner = self._release(version)
        else:
            self._strategy.seen = list(self.stream.tasks[:version])
        for task in self.stream.tasks if version and self.stream.releases else self._strategy.seen:
            self._learner.add_task(task)
        self._folder.load_version(version, self._learner, self._strategy)
        if found := self._not_finite():
            raise CheckpointError(f"{self._folder.path}: version {version}: {found}; --fresh computes the cell again")
        self._prefixes.weights_have_changed()
        if self._drift:
            self._drift.measure()  # so that the next one is measured from here

    def _release(self, version: int) -> Learner:
        """The release that a version is made of; the first one is there already, as version 0."""
        if version <= 1:
            return self._learner
        cell = self._cell
        return build_learner(self.stream.releases[version - 1], cell.seed, self._device, cell.precision)

    def _update(self, version: int) -> None:
        if self.stream.releases:
            self._strategy.update_release(release := self._release(version), self.stream.tasks)
            self._learner = release
        elif self._cell.last_only and self._strategy.retrains_from_scratch and version < self.stream.last_version:
            self._strategy.skip(self.stream.tasks[version - 1])
        else:
            self._strategy.update(self.stream.tasks[version - 1])

    def _not_finite(self) -> str | None:
        """What of the present version, the strategy's state included, has values that are not finite."""
        return unsound_weights(self._learner.module) or not_finite(tensors_of(self._strategy.state_dict()))

    def _compute(self, version: int) -> None:
        self._numbers.clear()
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        clock = self._clock
        started, decoding, taken_over = clock.now(), clock.decoding, clock.taken_over
        if version:
            self._update(version)
            if found := self._not_finite():
                raise TrainingError(f"version {version}: training has left what is no model: {found}")
            self._prefixes.weights_have_changed()
        digest = self._strategy.digest()  # waits for the device, so that the time before it is the time of training
        trained = clock.now()
        self._numbers |= self._drift.measure() if self._drift else {}
        measured = clock.now()
        rows, probes = self._tested(version, digest)
        self._numbers |= {f"probe/{name}": value for name, value in probes.items()}
        self._numbers |= {
            "seconds/train": trained - started,
            "seconds/eval": clock.now() - measured,
            "seconds/decode": clock.decoding - decoding,
            "seconds/taken_over": clock.taken_over - taken_over,
            **_peak_mb(self._device),
        }
        record = Record(version, digest, dict(self._numbers), self._device.type, tested=len(rows) > 0)
        self._folder.save_version(record, rows, self._learner, self._strategy)


def _bytes_of(tree: object) -> int:
    """Bytes of all tensors of a tree."""
    if isinstance(tree, torch.Tensor):
        return tree.nbytes
    return sum(map(_bytes_of, tree.values())) if isinstance(tree, Mapping) else 0


def _peak_mb(device: torch.device) -> dict[str, float]:
    """Peak memory in MiB: of this version on the device where there is one, else of the process so far."""
    if device.type == "cuda":
        return {"memory/peak_mb": torch.cuda.max_memory_allocated(device) / 2**20}
    return {"memory/process_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10}


def footprint(strategy: str, learner: str, settings: Mapping[str, object] | None = None) -> dict[str, object]:
    """What a strategy trains on a learner: parameters and, for low-rank ones, adapters.

    Args:
        strategy: Registered name.
        learner: Specification of the learner.
        settings: Settings of the strategy that differ from the defaults.

    Raises:
        ConfigError: For settings that do not fit.
    """
    entry = STRATEGIES.get(strategy)
    assert entry.config is not None
    built = build_learner(learner, 0, torch.device("cpu"))
    total = sum(p.numel() for p in built.module.parameters())

    def unavailable(*wanted: object) -> Samples:
        raise AssertionError(f"counting parameters needs no data, got {wanted}")

    context = Context(
        built, Budget(), 0, unavailable, lambda: built, lambda step, steps: None, lambda name, value: None
    )
    config = validate(entry.config, settings or {}, f"strategy {strategy}")
    found = cast(Strategy[StrategyConfig], entry.value(config, context)).footprint()
    trainable = found.pop("trainable_parameters", 0)
    return {"trainable_parameters": trainable, "total_parameters": total, "trainable_share": trainable / total, **found}

"""Kills two runs that share a store of versions, again and again: `python tests/kill_drill.py 100`.

Two suites on made-up data have most of their versions in common: chains of fine-tuning, replay and EWC, from which
levels of compression branch off, with two seeds. Two processes run them at the same time into one folder. One or both
are killed with SIGKILL at random moments and started again. When both have finished, the next round begins in a new
folder. Each round is compared with a run that nobody killed. Exit status 1 when anything differs or is damaged.
"""

import argparse
import io
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import yaml
from datasets import ClassLabel, Dataset, Features, Value, disable_progress_bars
from datasets import Image as ImageFeature
from PIL import Image

from clbench.benchmarks.engine.store_contents import contents
from clbench.benchmarks.engine.version_keys import VersionKey
from clbench.benchmarks.engine.version_store import MADE, TESTS, VERSIONS, VersionStore
from clbench.core.errors import ClbenchError
from clbench.spec.ledger import read_ledger

LEARNER = Path(__file__).parent / "tiny_clip.py"
TASKS = [{"name": name, "kind": "classification", "metric": "accuracy"} for name in ("one", "two", "three")]
SIZES = {"train": 24, "validation": 9, "test": 15}
STREAMS: dict[str, list[dict[str, object]]] = {
    "levels": [
        {"learn": "one"},
        {"learn": "two"},
        {"compress": {"bits": 8}},
        {"compress": {"bits": 4}, "parent": "two"},
        {"learn": "three", "parent": "two"},
    ],
    "chain": [
        {"learn": "one"},
        {"learn": "two"},
        {"learn": "three"},
        {"compress": {"bits": 4}, "parent": "two"},
        {"compress": {"bits": 2}, "parent": "three"},
    ],
}
LEARNS = {
    "finetune": ("finetune", "Finetune", "clbench.strategies._training.gradient", "GradientConfig"),
    "replay": ("replay", "Replay", "clbench.strategies.replay", "ReplayConfig"),
    "ewc": ("ewc", "Ewc", "clbench.strategies.ewc", "EwcConfig"),
}
TELLS = '''"""Writes a line when an update begins and one when it has ended."""
import os

def tell(log, mark, strategy, update):
    with open(log, "a") as file:
        file.write(f"{os.getpid()} {mark} {strategy.context.seed} {type(strategy).__name__} {update}\\n")
'''
LEARN = '''"""A strategy that tells what it learns."""
import sys
sys.path.insert(0, {folder!r})
from tells import tell
from clbench import register
from clbench.strategies.{base} import {name}
from {module} import {config}

@register("told_{base}", config={config})
class Told{name}({name}):
    """Tells what it learns."""

    def learn(self, task):
        tell({log!r}, "begin", self, task.name)
        super().learn(task)
        tell({log!r}, "end", self, task.name)
'''
COMPRESS = '''"""A strategy that compresses and tells it."""
import sys
sys.path.insert(0, {folder!r})
import torch
from tells import tell
from clbench import Strategy, StrategyConfig, register

@register("told_scale", config=StrategyConfig)
class Scale(Strategy[StrategyConfig]):
    """Multiplies all weights of linear layers by a factor of the bits, and adds noise."""

    def check_budget(self, update):
        assert update.bits

    @torch.no_grad()
    def compress(self, update):
        tell({log!r}, "begin", self, update.bits)
        noise = torch.rand((), generator=self.generator)
        for layer in self.learner.linear_layers():
            weight = self.learner.module.get_submodule(layer.name).weight
            weight.mul_(1 - 0.01 * (32 - update.bits) - 1e-3 * noise)
        tell({log!r}, "end", self, update.bits)
'''


def write_data(folder: Path) -> None:
    """Three tasks of three classes, each a fixed pattern under noise."""
    rng = np.random.default_rng(0)
    disable_progress_bars()
    for task in TASKS:
        classes = [f"{task['name']} {index}" for index in range(3)]
        columns = {"sample_id": Value("string"), "image": ImageFeature(), "label": ClassLabel(names=classes)}
        patterns = rng.integers(0, 256, (3, 16, 16, 3))
        (folder / task["name"]).mkdir(parents=True)
        for split, size in SIZES.items():
            rows = []
            for index in range(size):
                values = patterns[index % 3] + rng.normal(0, 20, (16, 16, 3))
                Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(buffer := io.BytesIO(), "png")
                image = {"bytes": buffer.getvalue(), "path": None}
                rows.append({"sample_id": f"{task['name']}/{split}/{index}", "image": image, "label": index % 3})
            path = folder / task["name"] / f"{split}.parquet"
            Dataset.from_list(rows, features=Features(columns)).to_parquet(path)


def write_suites(folder: Path) -> list[Path]:
    """Data, cards, strategies and suites; the paths of the suites."""
    write_data(folder / "data")
    log = str(folder / "log")
    (folder / "tells.py").write_text(TELLS)
    (folder / "told_scale.py").write_text(COMPRESS.format(folder=str(folder), log=log))
    entries = []
    for base, name, module, config in LEARNS.values():
        (path := folder / f"told_{base}.py").write_text(
            LEARN.format(folder=str(folder), log=log, base=base, name=name, module=module, config=config)
        )
        entries.append({"learn": str(path), "compress": str(folder / "told_scale.py")})
    card = {
        "description": "Patterns under noise.",
        "learner": str(LEARNER),
        "protocols": ["task-id", "union"],
        "order_reason": "none",
    }
    base_card: dict[str, object] = {**card, "name": "patterns", "loader": "image-parquet", "data": "data"}
    base_card["tasks"] = [{**task, "templates": ["a {}"]} for task in TASKS]
    (folder / "patterns.yaml").write_text(yaml.safe_dump(base_card))
    suites = []
    for name, updates in STREAMS.items():
        stream = {**card, "name": f"patterns-{name}", "loader": "based-on", "based_on": str(folder / "patterns.yaml")}
        (folder / f"{name}_card.yaml").write_text(yaml.safe_dump({**stream, "tasks": TASKS, "updates": updates}))
        values = {"streams": [str(folder / f"{name}_card.yaml")], "strategies": entries, "seeds": [0, 1]}
        values["budget"] = {"steps": 8, "batch_size": 8}
        suites.append(folder / f"{name}.yaml")
        suites[-1].write_text(yaml.safe_dump(values))
    return suites


@dataclass
class Worker:
    """A process that runs one suite.

    Attributes:
        suite: Path of the suite.
        out: The output folder.
        process: The process, once it was started.
        finished: Whether it has ended by itself.
    """

    suite: Path
    out: Path
    process: subprocess.Popen[str] | None = None
    finished: bool = False
    started: float = 0.0

    def start(self) -> None:
        """Start it, in a process group of its own."""
        uri = f"sqlite:///{self.out / self.suite.stem}.db"
        command = [sys.executable, "-m", "clbench", "run", str(self.suite), "--out", str(self.out)]
        self.started = time.time()
        self.process = subprocess.Popen(
            [*command, "--tracking-uri", uri],
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def works(self) -> bool:
        """Whether it has come past its imports and holds its suite's folder."""
        lock = self.out / self.suite.stem / ".lock"
        return lock.is_file() and lock.stat().st_mtime >= self.started

    def has_ended(self) -> bool:
        """Whether it has ended by itself.

        Raises:
            SystemExit: When it has failed.
        """
        if not self.finished and self.process is not None and self.process.poll() is not None:
            _, errors = self.process.communicate()
            if self.process.returncode:
                sys.exit(f"{self.suite.stem} ended with status {self.process.returncode}: {errors}")
            self.finished = True
        return self.finished

    def kill(self) -> int:
        """Kill its process group, if it runs; returns the id of the process."""
        assert self.process is not None
        number = self.process.pid
        if self.process.poll() is None:
            os.killpg(number, signal.SIGKILL)
            self.process.communicate()
            self.process = None
        return number


@dataclass
class Tally:
    """What happened.

    Attributes:
        kills: Number of process groups that were killed.
        phases: Kills by what could be seen on the disk.
        there: Number of versions in the store at each kill.
        left: Moments of kills that left something half written.
        ledgers: Ledgers that were compared, of cells, versions and tests.
        equal: How many of them are equal to the bit.
        differences: What differs or is damaged, one line each.
    """

    kills: int = 0
    phases: Counter[str] = field(default_factory=Counter)
    there: list[int] = field(default_factory=list)
    left: int = 0
    ledgers: int = 0
    equal: int = 0
    differences: list[str] = field(default_factory=list)


def phase_of(worker: Worker, process: int, log: Path, versions: int) -> str:
    """What a killed process was doing, as far as can be seen.

    Args:
        worker: What was killed.
        process: Id of its process.
        log: File of the lines that strategies write.
        versions: Number of versions of the suites together.
    """
    if not worker.works:
        return "while it was starting"
    own = [line.split() for line in _lines(log)]
    marks = [mark for number, mark, *_ in own if number == str(process)]
    if marks and marks[-1] == "begin":
        return "in the middle of an update"
    there = len(_versions(worker.out))
    if not there:
        return "before the first version was in the store"
    if there == versions:
        return "when all versions were in the store"
    return "between updates: testing, saving, logging or waiting"


def run_round(workers: list[Worker], log: Path, kills: int, versions: int, span: float, tally: Tally) -> None:
    """Run the suites until both have finished, and kill on the way.

    Args:
        workers: The processes.
        log: File of the lines that strategies write.
        kills: Number of kills after which nobody is killed any more.
        versions: Number of versions of the suites together.
        span: Seconds of a run without kills.
        tally: Is kept up to date.
    """
    while not all(worker.has_ended() for worker in workers):
        for worker in workers:
            if worker.process is None:
                worker.start()
        if tally.kills >= kills:
            time.sleep(0.1)
            continue
        before = _half_written(workers[0].out)
        wait_for_a_moment(workers, span)
        victims = [worker for worker in workers if not worker.has_ended()]
        if len(victims) == 2 and random.random() < 0.6:
            victims = [random.choice(victims)]
        for worker in victims[: kills - tally.kills]:
            if worker.has_ended():
                continue
            process = worker.kill()
            tally.phases[phase_of(worker, process, log, versions)] += 1
            tally.there.append(len(_versions(worker.out)))
            tally.kills += 1
        tally.left += len(_half_written(workers[0].out) - before) > 0


def wait_for_a_moment(workers: list[Worker], span: float) -> None:
    """Wait until somebody is to be killed.

    Args:
        workers: The processes.
        span: Seconds of a run without kills.
    """
    if random.random() < 0.9:  # the other kills may come during imports
        while not all(worker.works or worker.has_ended() for worker in workers):
            time.sleep(0.02)
    time.sleep(random.random() * span / 3)  # several kills in a round, and its end, which takes seconds, can be reached
    if random.random() < 0.3:  # writing takes milliseconds, so random moments seldom meet it
        rooms = [workers[0].out / name for name in (VERSIONS, TESTS)]
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and not any(worker.has_ended() for worker in workers):
            if any(True for room in rooms for _ in room.glob(".*.part")):
                return


def compare(out: Path, unkilled: Path, tally: Tally) -> None:
    """Compare all ledgers, and versions in the store, with those of a run without kills."""
    wanted, got = _ledgers(unkilled), _ledgers(out)
    for name in sorted(wanted | got):
        if name not in wanted or name not in got:
            tally.differences.append(f"{name}: only in one of the two runs")
            continue
        tally.ledgers += 1
        if wanted[name].equals(got[name]):
            tally.equal += 1
        else:
            tally.differences.append(f"{name}: other rows")
    store, reference = VersionStore(out), VersionStore(unkilled)
    for name in sorted(_versions(out) | _versions(unkilled)):
        key = VersionKey(name, {})
        try:
            mine, other = store.find(key), reference.find(key)
            found, their = store.load(key), reference.load(key)
        except ClbenchError as error:
            tally.differences.append(str(error))
            continue
        if mine is None or other is None or mine.weights != other.weights:
            tally.differences.append(f"version {name}: missing, or other weights")
        elif found and their and not all(found[0][part].equal(their[0][part]) for part in found[0].keys() | their[0]):
            tally.differences.append(f"version {name}: other tensors")


def clean_and_check(out: Path, tally: Tally) -> None:
    """Clean the store by the command; afterwards nothing may be half written, and nothing of a cell missing."""
    command = [sys.executable, "-m", "clbench", "versions", "--out", str(out), "--clean", "unused"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        tally.differences.append(f"clbench versions: {done.stderr.strip()}")
    tally.differences += [f"{path}: half written" for path in sorted(_half_written(out))]
    tally.differences += [f"{item.kind} {item.key}: no cell has it" for item in contents(out) if not item.cells]


def _ledgers(out: Path) -> dict[str, pa.Table]:
    """All ledgers by their places: those of cells, of their versions, and of tests in the store."""
    found = {}
    for path in (*out.glob("*/*/ledger.parquet"), *out.glob("*/*/versions/*/ledger.parquet")):
        rows = read_ledger(path)
        of_store = path.relative_to(out).parts[0] == TESTS  # under the number that the version had where it was tested
        found[str(path.relative_to(out))] = rows.drop_columns("version") if of_store else rows
    return found


def _versions(out: Path) -> set[str]:
    return {path.parent.name for path in out.glob(f"{VERSIONS}/[0-9a-f]*/{MADE}")}


def _half_written(out: Path) -> set[Path]:
    return {path for mark in ("part", "old") for path in out.rglob(f".*.{mark}")}


def _lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.is_file() else []


def _computed(log: Path) -> int:
    return sum(line.split()[1] == "begin" for line in _lines(log))


def drill(kills: int, folder: Path) -> bool:
    """Run all rounds and print what happened; returns whether everything is equal and whole."""
    suites, log, tally = write_suites(folder), folder / "log", Tally()
    unkilled = folder / "unkilled"
    began = time.monotonic()
    run_round([Worker(suite, unkilled) for suite in suites], log, 0, 0, 0, tally)
    span = time.monotonic() - began
    versions, alone, ledgers = len(_versions(unkilled)), _computed(log), len(_ledgers(unkilled))
    print(f"without kills: {versions} versions, {alone} updates computed, {ledgers} ledgers, {span:.0f} s")
    rounds = 0
    while tally.kills < kills:
        rounds += 1
        out = folder / f"round{rounds}"
        workers = [Worker(suite, out) for suite in suites]
        try:
            run_round(workers, log, kills, versions, span, tally)
        finally:
            for worker in workers:
                if worker.process is not None:
                    worker.kill()
        told = len(tally.differences)
        compare(out, unkilled, tally)
        clean_and_check(out, tally)
        print(f"round {rounds}: {tally.kills} kills so far, {len(tally.differences)} differences", flush=True)
        for line in tally.differences[told:]:
            print(f"DIFFERENT: {line}", flush=True)
    print(f"kills: {tally.kills}, in {rounds} rounds")
    for phase, count in sorted(tally.phases.items(), key=lambda item: -item[1]):
        print(f"  {phase}: {count}")
    print(f"  versions in the store: {min(tally.there)} to {max(tally.there)}, median {median(tally.there):g}")
    print(f"  moments of kills that left something half written: {tally.left}")
    print(f"updates computed: {_computed(log) - alone} in the rounds, {rounds * alone} without kills")
    print(f"ledgers: {tally.ledgers} compared, {tally.equal} equal to the bit")
    return not tally.differences


def main() -> int:
    """Parse the arguments and run the drill."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kills", type=int, nargs="?", default=100, help="process groups to kill (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (default: %(default)s)")
    options = parser.parse_args()
    random.seed(options.seed)
    with tempfile.TemporaryDirectory(prefix="kill-drill-") as folder:
        return int(not drill(options.kills, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())

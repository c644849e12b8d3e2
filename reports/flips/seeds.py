"""Flips of a suite of updates over its seeds: `python -m clbench.reports.flips.seeds RUNS/updates [PROTOCOL]`.

Prints in Markdown:

- accuracy and flips of each strategy from the second last to the last version: mean and standard error over seeds, with
  Student's t interval of NFR;
- paired differences from `continue-update` over the same seeds;
- the noise floor: NFR between the seeds of `naive-update`.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from clbench.core.errors import ClbenchError, DataError
from clbench.core.storage import read_json
from clbench.reports.flips.chain import Chain, flips_between
from clbench.reports.flips.contingency import ContingencyTable
from clbench.reports.flips.flip_metrics import all_metrics, nfr
from clbench.reports.flips.statistics import noise_floor
from clbench.reports.statistics.intervals import MeanInterval, mean_interval
from clbench.spec.ledger import read_ledger

SHOWN = {
    "accuracy": "accuracy",
    "nfr": "NFR",
    "pfr": "PFR",
    "nfr_mc": "NFR_mc",
    "relative_nfr": "relative NFR",
    "btc": "BTC",
}
DIFFERENCES = ("accuracy", "nfr", "relative_nfr")
CONTROL, PLAIN = "continue-update", "naive-update"
"""The strategies that differences and the noise floor refer to."""

Tables = Mapping[str, Mapping[int, ContingencyTable]]
"""Contingency tables by strategy and seed."""


def metrics_of(table: ContingencyTable) -> dict[str, float | None]:
    """All flip metrics of a table, and the accuracy of the new model as `accuracy`; None where undefined."""
    right, _, won, *_ = table.counts
    return {**all_metrics(table), "accuracy": (right + won) / sum(table.counts)}


def read_suite(folder: Path, protocol: str) -> tuple[Tables, list[pa.Table]]:
    """Read the ledgers of all finished cells of a suite.

    Returns:
        The table of the last step of each cell, and the last version's rows of each seed of `naive-update`.

    Raises:
        DataError: If there are no cells, or a ledger is damaged or lacks the protocol.
    """
    tables: dict[str, dict[int, ContingencyTable]] = {}
    plain: dict[int, pa.Table] = {}
    for path in sorted(folder.glob("*/ledger.parquet")):
        *_, strategy, seed = str(read_json(path.parent / "cell.json")["title"]).split(" / ")
        number, ledger = int(seed.removeprefix("seed ")), read_ledger(path)
        chain = Chain.from_ledger(ledger, protocol)
        tables.setdefault(strategy, {})[number] = flips_between(chain, chain.versions[-2], chain.versions[-1])
        if strategy == PLAIN:
            plain[number] = ledger.filter(pc.equal(ledger["version"], chain.versions[-1]))
    if not tables:
        raise DataError(f"{folder}: no finished cells (wanted the folder of a suite)")
    return tables, [plain[seed] for seed in sorted(plain)]


def between_seeds(last: list[pa.Table], protocol: str) -> float | None:
    """Noise floor of NFR between models that differ in the seed only (see `noise_floor`); None with a single seed."""

    def flips(old: int, new: int) -> ContingencyTable:
        pair = [rows.set_column(0, "version", pa.array([n] * len(rows), pa.int32())) for n, rows in enumerate(last)]
        return flips_between(Chain.from_ledger(pa.concat_tables([pair[old], pair[new]]), protocol), old, new)

    return noise_floor(flips, len(last), nfr)


def summary(tables: Mapping[int, ContingencyTable], key: str) -> MeanInterval:
    """A metric over seeds, in percent; seeds without it are left out."""
    return mean_interval([100 * value for table in tables.values() if (value := metrics_of(table)[key]) is not None])


def difference(one: Mapping[int, ContingencyTable], other: Mapping[int, ContingencyTable], key: str) -> MeanInterval:
    """Paired difference of a metric between two strategies, over the seeds that both have, in percentage points.

    Args:
        one: Tables of one strategy by seed.
        other: Tables of the other strategy, which is subtracted, by seed.
        key: Name of the metric.
    """
    pairs = [(metrics_of(one[seed])[key], metrics_of(other[seed])[key]) for seed in one if seed in other]
    return mean_interval([100 * (a - b) for a, b in pairs if a is not None and b is not None])


def _with_error(found: MeanInterval) -> str:
    return f"{found.mean:.1f}" + ("" if found.standard_error is None else f" ± {found.standard_error:.1f}")


def _interval(found: MeanInterval, sign: str = "") -> str:
    return "" if found.interval is None else f"[{found.interval.low:{sign}.1f}, {found.interval.high:{sign}.1f}]"


def main(folder: str, protocol: str = "open") -> None:
    """Print both tables and the noise floor."""
    tables, plain = read_suite(Path(folder), protocol)
    order = sorted(tables, key=lambda name: -summary(tables[name], "accuracy").mean)
    lines = [f"| strategy | {' | '.join(SHOWN.values())} | NFR, 95 % |", "|---" * (len(SHOWN) + 2) + "|"]
    for name in order:
        cells = [_with_error(summary(tables[name], key)) for key in SHOWN]
        lines.append(f"| {name} | {' | '.join(cells)} | {_interval(summary(tables[name], 'nfr'))} |")
    if CONTROL in tables:
        lines += [
            "",
            f"| minus {CONTROL} | {' | '.join(SHOWN[key] for key in DIFFERENCES)} |",
            "|---" * (len(DIFFERENCES) + 1) + "|",
        ]
        for name in (name for name in order if name != CONTROL):
            found = [difference(tables[name], tables[CONTROL], key) for key in DIFFERENCES]
            lines.append(f"| {name} | " + " | ".join(f"{one.mean:+.1f} {_interval(one, '+')}" for one in found) + " |")
    floor = between_seeds(plain, protocol) if plain else None
    lines += ["", f"noise floor, NFR between seeds of {PLAIN}: {'n/a' if floor is None else f'{100 * floor:.1f} %'}"]
    print("\n".join(lines))  # noqa: T201


if __name__ == "__main__":
    try:
        main(*sys.argv[1:3])
    except (ClbenchError, TypeError) as error:
        sys.exit(f"error: {error}")

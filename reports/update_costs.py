"""What one update cost: the scores and single answers of a version against its parent, on the tasks learnt before."""

from collections.abc import Mapping
from statistics import fmean

from clbench.core.errors import MetricError
from clbench.reports.flips.chain import Chain, flips_between, graded_changes_between
from clbench.reports.flips.graded import graded_flips
from clbench.reports.matrix import ScoreMatrix

RECORDED = ("bits", "bytes", "sparsity")
"""Numbers of a version's record that are shown with its costs, if a strategy recorded them.

Their names in the record may have a prefix (`compress/bits`)."""


def update_costs(matrix: ScoreMatrix, version: int, chain: Chain, recorded: Mapping[str, float]) -> dict[str, float]:
    """The costs of one update, over the tasks learnt on its path before it; over all tasks if the path learns none.

    - `update/score_before`, `update/score_after`: mean score of the parent and of the version over these tasks;
    - `update/n`: number of samples of these tasks that both were tested on;
    - `update/lost`, `update/gained`: number of answers that were right and are wrong now, and the reverse;
    - `update/nfr`, `update/pfr`: these numbers divided by `update/n`;
    - `update/bits`, `update/bytes`, `update/sparsity`: as the strategy recorded them.

    If no answer is right or wrong, the samples with a lower score count as lost, and those with a higher one as gained.

    Args:
        matrix: R, from which the metrics of the version are computed.
        version: Number of the version that the update made.
        chain: Answers of all versions of the stream, without samples that this version was asked to forget.
        recorded: The record of the version: numbers by name.

    Returns:
        Numbers by name; undefined numbers are left out.
    """
    try:
        path = matrix.along(version)
    except MetricError:  # all tasks were forgotten on request
        return {}
    learnt = path.learnt_at()
    tasks = [task for task, at in learnt.items() if at < path.last] if learnt else list(path.tasks)
    found = {
        f"update/{name}": value
        for name in RECORDED
        for key, value in recorded.items()
        if key.rpartition("/")[2] == name
    }
    if not tasks:
        return found
    columns = [path.tasks.index(task) + 1 for task in tasks]
    for name, row in (("before", path.last - 1), ("after", path.last)):
        try:
            found[f"update/score_{name}"] = fmean(path.measured(row, columns).tolist())
        except MetricError:
            continue
    return found | _flips(path, chain, [task for task in tasks if task in chain.tasks])


def _flips(path: ScoreMatrix, chain: Chain, tasks: list[str]) -> dict[str, float]:
    old, new = path.numbers[-2:]
    if not tasks or not {old, new} <= set(chain.versions):
        return {}
    table = flips_between(chain, old, new, tasks)
    n, lost, gained = table.n, table.negative_flips, table.positive_flips
    if not n:
        graded = graded_flips(graded_changes_between(chain, old, new, tasks))
        n, lost, gained = graded.n, graded.losses, graded.gains
    if not n:
        return {}
    counts = {"update/n": float(n), "update/lost": float(lost), "update/gained": float(gained)}
    return counts | {"update/nfr": lost / n, "update/pfr": gained / n}

"""The card of an export in Markdown: what was run, what came out, how to verify it."""

from collections.abc import Mapping, Sequence
from typing import cast

from clbench import __version__
from clbench.reports.finished_cells import FinishedCell
from clbench.reports.headings import NO_NUMBER
from clbench.reports.leaderboard.text import markdown
from clbench.reports.sharing.checksums import SUMS
from clbench.reports.statistics.intervals import mean_interval

NUMBERS = {
    "average_accuracy": "Last, % ↑",
    "forgetting.chaudhry": "Forgetting (Chaudhry), points ↓",
    "flips/first_to_last/nfr": "NFR since a task was learnt, % ↓",
    "flips/all/nfr": "NFR of the last update, % ↓",
}
"""Numbers of the last version that the card shows, and their headings."""


def result_card(
    name: str,
    cells: Sequence[FinishedCell],
    left_out: Sequence[str],
    environments: Sequence[Mapping[str, object]],
) -> str:
    """The card in Markdown; names cannot act as markup.

    Args:
        name: Name of the suite.
        cells: The cells that the export has.
        left_out: Names of cells that are not finished, with the reason.
        environments: Environments of the cells, each once; empty if none was recorded.
    """
    lines = [f"# {markdown(name)}", "", f"Results of clbench {__version__}: {_count(len(cells), 'cell')}."]
    lines += ["Every prediction is in here, so every number can be computed again:", ""]
    lines += ["```", "clbench verify .", f"sha256sum -c {SUMS}", "```"]
    groups: dict[tuple[str, str], list[FinishedCell]] = {}
    for cell in cells:
        for protocol in cell.result.protocols:
            groups.setdefault((cell.setting, protocol), []).append(cell)
    for (_, protocol), group in groups.items():
        lines += ["", *_table(group, protocol)]
    lines += ["", "Means over seeds with Student's 95 % interval of the mean, on these test samples."]
    if left_out:
        lines += ["", "## Not in here", "", *(f"- {markdown(line)}" for line in left_out)]
    lines += ["", "## Environment", "", *(_environment(environments) or ["Not recorded."])]
    lines += [
        "",
        "## Files",
        "",
        "A folder for each cell (stream, learner, strategy, seed):",
        "",
        "- `cell.json`: all settings; the folder's name ends with their hash.",
        "- `ledger.parquet`: every prediction of every version on every test sample.",
        "- `result.json`: scores, metrics, flips, costs.",
        "- `versions/*/record.json`: seconds, memory and diagnostics of each version.",
        "- `environment.json`: packages and hardware, if they were recorded.",
        "- `forget.json`, `audit.json`: what was forgotten on request, and what is left of it.",
        "",
        "Texts of test samples may be in the ledgers; the licences of the data are those of the streams.",
    ]
    return "\n".join(lines) + "\n"


def _table(cells: Sequence[FinishedCell], protocol: str) -> list[str]:
    first = cells[0]
    methods: dict[str, list[FinishedCell]] = {}
    for cell in cells:
        methods.setdefault(cell.method, []).append(cell)
    names = [name for name in NUMBERS if any(_number(cell, protocol, name) is not None for cell in cells)]
    title = " / ".join(map(markdown, (first.stream, first.learner, first.split, protocol)))
    lines = [f"## {title}", "", f"| Method | Seeds | {' | '.join(NUMBERS[name] for name in names)} |"]
    lines.append("|---|---|" + "---|" * len(names))
    for method, of_seeds in methods.items():
        seeds = ", ".join(str(cell.seed) for cell in sorted(of_seeds, key=lambda cell: cell.seed))
        shown = [_mean([_number(cell, protocol, name) for cell in of_seeds]) for name in names]
        lines.append(f"| {markdown(method)} | {seeds} | {' | '.join(shown)} |")
    return lines


def _number(cell: FinishedCell, protocol: str, name: str) -> float | None:
    found = cell.result.protocols[protocol].last
    return found.metrics.get(name, found.flips.get(name))


def _mean(values: Sequence[float | None]) -> str:
    defined = [100 * value for value in values if value is not None]
    if not defined:
        return NO_NUMBER
    found = mean_interval(defined)
    interval = "" if found.interval is None else f" [{found.interval.low:.1f}, {found.interval.high:.1f}]"
    return f"{found.mean:.1f}{interval}"


def _environment(environments: Sequence[Mapping[str, object]]) -> list[str]:
    lines = []
    for environment in environments:
        hardware = cast(Mapping[str, object], environment.get("hardware") or {})
        packages = cast(Mapping[str, object], environment.get("packages") or {})
        git = cast(Mapping[str, object], environment.get("git") or {})
        parts = [
            f"Python {environment.get('python')}",
            str(hardware.get("gpu") or f"{hardware.get('processor')}, {hardware.get('threads')} threads"),
            *(f"{name} {version}" for name, version in packages.items() if version),
            *([f"revision {git['revision']}"] if "revision" in git else []),
        ]
        lines.append(f"- {markdown('; '.join(parts))}")
    return lines


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"

"""The rows that the command line prints at the end of a suite."""

from collections.abc import Sequence

from clbench.benchmarks.engine.runner import Outcome


def summarise(outcomes: Sequence[Outcome]) -> list[dict[str, object]]:
    """One row a cell: status, and for finished ones every metric (fractions) under every protocol.

    A metric that is not defined is None, and the row says why under `undefined`.
    """
    rows = []
    for outcome in outcomes:
        cell = outcome.cell
        row: dict[str, object] = {
            "stream": cell.names[0],
            "learner": cell.names[1],
            "strategy": cell.label,
            "seed": cell.seed,
            "status": outcome.status,
            "folder": str(outcome.folder.path),
            **({"taken": outcome.taken, "versions": cell.load_stream().last_version} if outcome.taken else {}),
        }
        if outcome.status == "failed":
            row["error"] = outcome.error
        else:
            row |= _numbers(outcome)
            if probes := _probes(outcome):
                row["probes"] = probes
        rows.append(row)
    return rows


def _probes(outcome: Outcome) -> dict[str, dict[int, float]]:
    """What lm-evaluation-harness measured, by name and version."""
    result: dict[str, dict[int, float]] = {}
    for version, answers in outcome.folder.probes.all().items():
        for numbers in answers.values():
            for name, value in numbers.items():
                result.setdefault(name, {})[version] = value
    return result


def _numbers(outcome: Outcome) -> dict[str, object]:
    """The numbers of the last version; `<protocol>.` stands before those of all protocols but the first."""
    found = outcome.folder.result(outcome.cell.load_stream())
    headline = next(iter(found.protocols.values()))
    result: dict[str, object] = {f"kind/{kind}": mean for kind, mean in headline.kinds.items()}
    undefined: dict[str, str] = {}
    for index, (protocol, of) in enumerate(found.protocols.items()):
        prefix = f"{protocol}." if index else ""
        flips = {} if found.matrix(protocol).rows_are == "version" else of.last.flips
        result |= {prefix + name: value for name, value in {**of.last.metrics, **flips}.items()}
        undefined |= {prefix + name: reason for name, reason in of.last.undefined.items()}
    return result | ({"undefined": undefined} if undefined else {})

"""Official metrics of a cell's tasks of images, from the ledgers of its versions."""

from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.contracts import Stream
from clbench.reports.image_metrics._compute_images import ChallengeReport, challenge_report


def challenge_reports(stream: Stream, folder: CellFolder, version: int) -> dict[str, ChallengeReport]:
    """The official metrics of one version by protocol; empty reports where no task has any."""
    rows = folder.rows(version)
    return {protocol: challenge_report(rows, version, protocol) for protocol in stream.protocols}


def challenge_numbers(stream: Stream, folder: CellFolder, version: int) -> dict[str, float]:
    """What is defined, by `challenge/<task or kind>/<metric>`; behind `<protocol>/` for all protocols but the first."""
    found: dict[str, float] = {}
    for protocol, report in challenge_reports(stream, folder, version).items():
        prefix = "" if protocol == stream.protocols[0] else f"{protocol}/"
        found |= {prefix + name: value for name, value in report.numbers().items()}
    return found


def challenge_json(stream: Stream, folder: CellFolder) -> dict[str, object] | None:
    """The official metrics of all versions, a list a protocol, as JSON; None where no task has any."""
    versions = [challenge_reports(stream, folder, version) for version in range(stream.last_version + 1)]
    if not any(report.tasks for reports in versions for report in reports.values()):
        return None
    protocols = {name: [reports[name].as_json() for reports in versions] for name in stream.protocols}
    return {"schema": 1, "protocols": protocols}

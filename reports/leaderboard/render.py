"""From an MLflow store to a folder with the leaderboard as a page, Markdown, CSV and JSON."""

from datetime import UTC, datetime
from pathlib import Path

from clbench.core.storage import written_whole
from clbench.reports.leaderboard.board import Board, make_board
from clbench.reports.leaderboard.board_page import to_html
from clbench.reports.leaderboard.collect import collect
from clbench.reports.leaderboard.tables import to_csv, to_json, to_markdown


def write_leaderboard(tracking_uri: str, experiment: str, out: Path) -> Path:
    """Write `index.html`, `leaderboard.md`, `leaderboard.csv` and `leaderboard.json` into a folder.

    Args:
        tracking_uri: As MLflow takes it: `sqlite:///runs.db`, `https://...`.
        experiment: Name of the experiment.
        out: The folder, made where it is missing. Each file appears whole or not at all.

    Returns:
        The path of `index.html`.

    Raises:
        TrackingError: When the store does not answer, or holds no clbench runs.
        ClbenchError: When the disk is full or not writable.
    """
    return write_board(make_board(collect(tracking_uri, experiment), experiment, datetime.now(UTC)), out)


def write_board(board: Board, out: Path) -> Path:
    """Write the four files; all are made before the first one is written, so a defect leaves the old ones alone."""
    texts = {
        "leaderboard.json": to_json(board),
        "leaderboard.csv": to_csv(board),
        "leaderboard.md": to_markdown(board),
        "index.html": to_html(board),
    }
    for name, text in texts.items():
        with written_whole(out / name) as aside:
            aside.write_text(text, encoding="utf-8", newline="")
    return out / "index.html"

"""The image of a matrix: it appears whole, for any matrix and any title."""

from pathlib import Path

import numpy as np
import pytest
from tests.reports.graphs import GRAPH
from tests.reports.matrices import THREE, matrix

from clbench.core.errors import ClbenchError
from clbench.reports.figures import matrix_figure
from clbench.reports.matrix import ScoreMatrix
from clbench.reports.matrix_labels import cell_state, version_label
from clbench.spec.update import Adopt


def test_a_png_of_some_size_appears(tmp_path: Path) -> None:
    matrix_figure(THREE, "finetune", tmp_path / "new" / "r.png")
    data = (tmp_path / "new" / "r.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert int.from_bytes(data[16:20], "big") > 400
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["r.png"]


def test_the_same_matrix_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        matrix_figure(THREE, "finetune", tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


@pytest.mark.parametrize("odd", [matrix([None], [0.5]), matrix([None, -1.0], [2.0, None], [None, None])])
def test_gaps_and_scores_outside_the_scale_are_drawn(tmp_path: Path, odd: ScoreMatrix) -> None:
    matrix_figure(odd, "100 $ \\frac{ _x", tmp_path / "r.png")
    assert (tmp_path / "r.png").stat().st_size > 1000


def test_a_graph_is_drawn_with_its_branches(tmp_path: Path) -> None:
    matrix_figure(GRAPH, "graph", tmp_path / "r.png")
    assert (tmp_path / "r.png").stat().st_size > 1000
    assert [version_label(GRAPH, version) for version in (0, 4, 5, 6)] == [
        "0 pre-trained",
        "4 4 bits",
        "5 2 bits (from 3)",
        "6 c (from 4)",
    ]
    states = [[cell_state(GRAPH, version, task)[0] for task in (1, 2, 3)] for version in range(7)]
    assert ["".join(row) for row in states] == ["fff", "flf", "fpf", "lpf", "ppf", "ppf", "ppl"]
    releases = ScoreMatrix(("a", "b"), np.zeros((2, 2)), (Adopt(release="v1"),))
    assert {cell_state(releases, version, task) for version in (0, 1) for task in (1, 2)} == {"past"}


def test_a_disk_that_refuses_is_told(tmp_path: Path) -> None:
    (tmp_path / "r.png").mkdir()
    with pytest.raises(ClbenchError, match="cannot be written"):
        matrix_figure(THREE, "finetune", tmp_path / "r.png")
    assert [path.name for path in tmp_path.iterdir()] == ["r.png"]


def test_no_global_state_of_matplotlib_is_used(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from clbench.reports.matrix import ScoreMatrix\n"
        "from clbench.reports.figures import matrix_figure\n"
        "assert 'matplotlib' not in sys.modules\n"
        "matrix_figure(ScoreMatrix.from_rows(['a'], {1: [0.5]}), 't', Path(sys.argv[1]))\n"
        "assert 'matplotlib.pyplot' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "r.png")], check=True)

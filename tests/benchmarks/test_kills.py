"""Two processes that share a store of versions are killed at random moments, and change no bit."""

import subprocess
import sys
from pathlib import Path

import pytest

DRILL = Path(__file__).parents[1] / "kill_drill.py"


@pytest.mark.slow
def test_kills_of_processes_that_share_versions_change_no_bit() -> None:
    done = subprocess.run([sys.executable, str(DRILL), "4"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kills: 4, in" in done.stdout

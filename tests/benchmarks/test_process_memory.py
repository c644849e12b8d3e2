"""The peak of a process, and that of a part of its life."""

import sys

import numpy as np
import pytest

from clbench.benchmarks.engine.process_memory import peak_mib, restart_peak


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can forget a peak")
def test_a_peak_is_forgotten() -> None:
    restart_peak()
    before = peak_mib()
    held = np.ones(100 * 2**20 // 8)  # 100 MiB
    assert 90 < peak_mib() - before < 130
    del held
    restart_peak()
    assert peak_mib() - before < 50

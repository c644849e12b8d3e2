"""Memory of this process: its peak since a moment, and giving back what was freed."""

import contextlib
import ctypes
import re
import resource
import sys
from pathlib import Path

OWN = Path("/proc/self")
MIB = 2**20


def give_back() -> None:
    """Return freed memory to the system, which glibc keeps otherwise; other systems have no such call."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def restart_peak() -> None:
    """Forget the peak so far, after freed memory was given back; only Linux can."""
    give_back()
    with contextlib.suppress(OSError):
        (OWN / "clear_refs").write_text("5", encoding="ascii")


def peak_mib() -> float:
    """Most MiB that the process held since `restart_peak`; since its start where the system does not tell."""
    with contextlib.suppress(OSError):
        if found := re.search(r"VmHWM:\s+(\d+) kB", (OWN / "status").read_text(encoding="ascii")):
            return int(found.group(1)) / 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, KiB elsewhere
    return most / MIB if sys.platform == "darwin" else most / 1024

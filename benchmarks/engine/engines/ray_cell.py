"""A cell as a task of Ray: a function of texts that yields texts, which Ray finds by its name on every node."""

import json
import subprocess
from collections.abc import Iterator

from clbench.benchmarks.engine.engines.protocol import COMMAND, ENDS


def run_cell(request: str, cwd: str) -> Iterator[str]:
    """Run the worker's command for one cell.

    Args:
        request: What the worker is asked, as JSON.
        cwd: The folder in which the command of the suite was given.

    Yields:
        Its events as JSON; at last `died`, with its status, which counts if no other event has ended the cell.
    """
    process = subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", cwd=cwd
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        print(request, file=process.stdin, flush=True)
        for line in process.stdout:
            yield line
            if json.loads(line)["event"] in ENDS:
                return
        yield json.dumps({"event": "died", "status": process.wait()})
    finally:
        process.terminate()
        process.wait()

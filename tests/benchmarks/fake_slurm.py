"""Stands in for sbatch, squeue and scancel, by the name under which it is called; jobs are processes of this machine.

Its state is the folder `$FAKE_SLURM`: a file for each job with the state that squeue shall tell.
"""

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(os.environ["FAKE_SLURM"])
RUN = """
sh "$1"; status=$?
case $status in 0) state="COMPLETED 0";; 137) state="FAILED 9";; *) state="FAILED $((status * 256))";; esac
grep -q RUNNING "$2" && echo "$state" > "$2"
"""


def sbatch(options: dict[str, str], script: str) -> None:
    first, last = map(int, options["array"].partition("%")[0].split("-"))
    array = 1 + len(list(FOLDER.glob("*.array")))
    (FOLDER / f"{array}.array").write_text("\n".join(sys.argv))
    for task in range(first, last + 1):
        state = FOLDER / f"{array}_{task}"
        state.write_text("RUNNING 0")
        with (
            Path(options["output"].replace("%a", str(task))).open("ab") as output,
            Path(options["error"].replace("%a", str(task))).open("ab") as errors,
        ):
            subprocess.Popen(
                ["sh", "-c", RUN, "sh", script, str(state)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env={**os.environ, "SLURM_ARRAY_TASK_ID": str(task)},
                cwd=options["chdir"],
                start_new_session=True,
            )
    print(array)


def squeue(options: dict[str, str], _: str) -> None:
    if (FOLDER / "away").exists():
        sys.exit("slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
    for path in sorted(FOLDER.glob("*_*")):
        state, status, *reason = path.read_text().split()
        array, task = path.name.split("_")
        if "Format" in options:
            print(f"{array:20}{task:20}{state:20}{status:12}{(reason or ['None'])[0]:80}")
        elif state in ("PENDING", "RUNNING"):
            print(path.name)


def scancel(_: dict[str, str], __: str) -> None:
    for path in FOLDER.glob("*_*"):
        if path.read_text().startswith(("PENDING", "RUNNING")):
            path.write_text("CANCELLED 15")


if __name__ == "__main__":
    given = dict(argument[2:].partition("=")[::2] for argument in sys.argv[1:] if argument.startswith("--"))
    {"sbatch": sbatch, "squeue": squeue, "scancel": scancel}[Path(sys.argv[0]).name](given, sys.argv[-1])

"""The command line: its flags, its answers, its errors."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import typer.main
import yaml
from tests.command import Command, Done

from clbench.cli.main import app

PARAMETERS = {
    "run": "suite:str --streams:str? --learners:str? --strategies:str? --seeds:str? --root:str? --set:list[str]? "
    "--out:Path --device:str --tracking-uri:str? --probe:str? --fresh:bool --keep:str --workers:str --engine:str "
    "--processes:int? --shard:bool --dry-run:bool --json:bool",
    "tune": "suite:str --set:list[str]? --trials:int? --criterion:str --strategies:str? --stream:str? --learner:str? "
    "--seed:str --root:str? --out:Path --name:str? --device:str --tracking-uri:str? --fresh:bool --json:bool",
    "list": "kind:str? --json:bool",
    "show": "kind:str? name:str? --learner:str? --bibtex:bool --croissant:bool --json:bool",
    "compare": "old:str new:list[str] --protocol/--filter:str? --metric:str? --dead-band:float "
    "--lower-is-better:bool --margin:float? --max-nfr:float? --policy:Path? --junit:Path? "
    "--markdown:Path? --html:Path? --records:Path? --json:bool --out:Path --tracking-uri:str? "
    "--samples:str? --root:str?",
    "versions": "--out:Path --clean:str? --json:bool",
    "metrics": "matrix:Path --json:bool",
    "power": "runs:list[pathlib.Path] --protocol:str? --points:float --pairs:str? --root:str? --json:bool",
    "budget": "runs:list[pathlib.Path] --reference:str --points:float --protocol:str? --plot:Path? --json:bool",
    "export": "suite:str --to:Path? --out:Path",
    "verify": "folder:Path --json:bool",
    "report": "--out:Path --tracking-uri:str? --from:list[pathlib.Path]?",
    "doctor": "--out:Path --json:bool",
    "data check": "stream:str --root:Path --images:bool --json:bool",
    "data prepare": "stream:str --root:Path",
}
"""Commands with their arguments and options; `?` marks a type that can be None. A change here is a decision."""


def in_a_process(*arguments: str) -> Done:
    """The command line in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "clbench", *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)


def test_commands_and_their_parameters_are_these_and_no_others() -> None:
    assert parameters_of(app) == PARAMETERS


def parameters_of(group: typer.Typer, prefix: str = "") -> dict[str, str]:
    """Names and types of the parameters of each command, and of those in a group of commands."""
    found: dict[str, str] = {}
    commands: Any = typer.main.get_command(group)
    for info in group.registered_commands:
        assert info.name is not None
        assert info.callback is not None
        types = get_type_hints(info.callback)
        parameters = commands.commands[info.name].params
        found[prefix + info.name] = " ".join(f"{'/'.join(p.opts)}:{type_name(types[p.name])}" for p in parameters)
    for item in group.registered_groups:
        assert item.typer_instance is not None
        found |= parameters_of(item.typer_instance, f"{item.name} ")
    return found


def type_name(annotation: Any) -> str:
    """`str` for str, `str?` for Optional[str]."""
    members = get_args(annotation)
    if type(None) in members:
        return f"{type_name(members[0])}?"
    return str(annotation) if members else str(annotation.__name__)


def test_each_command_says_in_one_short_sentence_what_it_does(
    clbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for arguments in ([], ["data"], *(name.split() for name in PARAMETERS)):
        done = clbench(*arguments, "--help")
        assert (done.returncode, done.stderr) == (0, "")
        assert "..." not in done.stdout.partition("Commands:")[2], "cut in the list of commands"
        assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize("arguments", [["list", "picture-metrics"], ["show", "picture-metric", "seg.dice"]])
def test_an_unknown_kind_is_one_line_with_the_nearest_name(clbench: Command, arguments: list[str]) -> None:
    done = clbench(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    known = arguments[1].replace("picture", "image")
    assert done.stderr == f"error: unknown kind {arguments[1]!r}: did you mean {known!r}?\n"


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
sys.argv = ["clbench", "list", "strategies"]
from clbench.cli.main import app
try:
    app()
except SystemExit:
    pass
heavy = ("torch", "mlflow", "avalanche", "datasets", "numpy")
print([name for name in heavy if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "finetune" in done.stdout


PARTS = ["optimizers", "selectors", "memories", "penalties", "edits"]


@pytest.mark.parametrize("kind", ["strategies", "streams", "learners", "suites", "metrics", "image-metrics", *PARTS])
def test_everything_can_be_listed_and_shown(clbench: Command, kind: str) -> None:
    rows = json.loads(clbench("list", kind, "--json").stdout)
    assert rows
    assert all(row["name"] and row["description"] for row in rows)
    one = f"{kind[:-3]}y" if kind.endswith("ies") else kind[:-1]
    name = rows[-1]["name"]
    shown = clbench("show", one, name, "--json")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["name"] == name


def test_what_to_cite_and_what_data_hold_are_printed(clbench: Command) -> None:
    one = clbench("show", "strategy", "peft:lora", "--bibtex")
    assert one.stdout.startswith("@misc{mangrulkar2022peft,\n")
    of_kind, everything = (clbench("show", *kind, "--bibtex").stdout for kind in (["stream"], []))
    assert one.stdout.strip() in everything
    assert one.stdout.strip() not in of_kind
    assert json.loads(clbench("show", "stream", "clip-mini", "--croissant").stdout)["@type"] == "sc:Dataset"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "wanted a kind and a name (`clbench list` has them), or --bibtex for what to cite"),
        (["strategy"], "wanted a kind and a name (`clbench list` has them), or --bibtex for what to cite"),
        (["suite", "quick", "--bibtex"], "suite quick: no reference is recorded"),
        (["strategy", "lora", "--croissant"], "--croissant is for streams, got strategy lora"),
    ],
)
def test_what_cannot_be_shown_is_one_line(clbench: Command, arguments: list[str], error: str) -> None:
    done = clbench("show", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {error}\n")


def test_parts_say_in_which_slot_and_strategies_they_fit(clbench: Command) -> None:
    shown = {name: json.loads(clbench("show", "penalty", name, "--json").stdout) for name in ("ewc", "lwf")}
    assert [item["slot"] for item in shown.values()] == ["penalty", "penalty"]
    assert [item["fits"] for item in shown.values()] == ["strategies that train weights", "weights and adapters"]
    assert shown["ewc"]["config"]["properties"]["decay"]["default"] == 1
    assert json.loads(clbench("show", "selector", "random", "--json").stdout)["slot"] == "select"


def test_a_strategy_is_shown_with_settings_and_counts(clbench: Command, tiny: Any) -> None:
    shown = json.loads(clbench("show", "strategy", "lora", "--learner", tiny.learner, "--json").stdout)
    assert shown["source"] == "clbench.strategies.lora"
    assert shown["config"]["properties"]["rank"]["default"] == 16
    assert shown["adapters"] == 24
    assert shown["trainable_parameters"] == 2 * 2 * 16 * (4 * (32 + 32) + 2 * (32 + 128))
    assert shown["total_parameters"] > shown["trainable_parameters"] > 0


def test_a_tuner_of_peft_is_shown_as_it_is_named_in_suites(clbench: Command, tiny: Any) -> None:
    shown = {
        name: json.loads(clbench("show", "strategy", name, "--learner", tiny.learner, "--json").stdout)
        for name in ("peft", "peft:osf", "peft:lora")
    }
    assert shown["peft"] == shown["peft:osf"]
    assert shown["peft:lora"]["trainable_parameters"] < shown["peft:osf"]["trainable_parameters"]
    refused = clbench("show", "strategy", "lora:osf")
    assert refused.returncode == 2
    assert "strategy lora takes no argument" in refused.stderr


def test_metrics_of_a_matrix(clbench: Command, tmp_path: Path) -> None:
    """T = 2, worked by hand: R = [[.1, .2], [.9, .3], [.6, .8]]."""
    path = tmp_path / "R.csv"
    path.write_text("version,a,b\n0,0.1,0.2\n1,0.9,0.3\n2,0.6,0.8\n")
    found = json.loads(clbench("metrics", str(path), "--json").stdout)
    assert found["average_accuracy"] == pytest.approx(0.7)
    assert found["forgetting"] == pytest.approx({"chaudhry": 0.3, "avalanche": 0.3, "mammoth": 0.3})
    assert found["bwt"] == pytest.approx({"gem": -0.3, "continuum": -0.3, "fusion_bench": -0.15})
    assert found["fwt"] == pytest.approx({"gem": 0.1, "continuum": 0.3})
    assert found["mtil"] == pytest.approx({"transfer": 0.3, "average": 0.65, "last": 0.7})
    assert found["trace"] == pytest.approx({"op": 0.7, "bwt": -0.3})
    assert found["undefined"] == {}


def test_what_is_not_defined_is_null_with_a_reason(clbench: Command, tmp_path: Path) -> None:
    path = tmp_path / "R.csv"
    path.write_text("version,a,b\n1,0.9,\n2,0.6,0.8\n")
    found = json.loads(clbench("metrics", str(path), "--json").stdout)
    assert found["fwt"] == {"gem": None, "continuum": None}
    assert found["mtil"]["last"] == pytest.approx(0.7)
    assert found["undefined"].keys() >= {"fwt.gem", "fwt.continuum", "mtil.transfer"}


def test_zeros_where_nothing_was_measured_are_a_note(clbench: Command, tmp_path: Path) -> None:
    path = tmp_path / "R.csv"
    path.write_text("version,a,b,c\n1,0.9,0.0,0.0\n2,0.6,0.8,0.0\n3,0.5,0.7,0.9\n")
    done = clbench("metrics", path)
    assert (done.returncode, len(done.stderr.splitlines())) == (0, 1)
    assert "above the diagonal (tasks still to come) are 0, which looks like not measured: leave a cell" in done.stderr
    done = clbench("metrics", path, "--json")
    assert done.stderr == ""
    (note,) = json.loads(done.stdout)["notes"]
    assert "looks like not measured" in note


def test_doctor_says_first_what_is_missing_and_lists_no_cards(
    clbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clbench.benchmarks.engine.environment.PACKAGES", ("torch", "no-such-package"))
    lines = clbench("doctor", "--out", tmp_path).stdout.splitlines()
    assert lines[2].split() == ["missing", "no-such-package"]
    assert lines[3].split() == ["wrong", "nothing"]
    assert "clip_mini.yaml" not in "".join(lines)
    access = os.access
    monkeypatch.setattr("os.access", lambda path, mode, **more: mode != os.W_OK and access(path, mode, **more))
    assert "is not writable" in clbench("doctor", "--out", tmp_path).stdout.splitlines()[3]
    found = json.loads(clbench("doctor", "--json").stdout)
    assert list(found)[:2] == ["missing", "wrong"]


def test_doctor_says_whether_file_locks_work(clbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(clbench("doctor", "--out", tmp_path / "runs", "--json").stdout)["wrong"] == []
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr("fcntl.flock", lambda *_: None)  # as on a file system without them
    (wrong,) = json.loads(clbench("doctor", "--out", tmp_path / "runs", "--json").stdout)["wrong"]
    assert wrong.startswith(f"{tmp_path}: file locks do not work (a second process gets a lock that is held)")


def test_documentation_is_shown_without_the_indentation_of_its_source(clbench: Command) -> None:
    line = "\nOnly A and B are trained."
    assert line in clbench("show", "strategy", "lora").stdout
    assert line in json.loads(clbench("show", "strategy", "lora", "--json").stdout)["documentation"]


def test_doctor_answers(clbench: Command) -> None:
    found = json.loads(clbench("doctor", "--json").stdout)
    assert found["packages"]["torch"]
    assert found["device"] in ("cpu", "cuda")
    assert found["missing"] == []
    assert found["paths"]["tracking"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "quik"], "unknown suite 'quik': did you mean 'quick'?"),
        (["run", "absent.yaml"], "suite file absent.yaml: No such file"),
        (["run", "quick", "--strategies", "finetun"], "did you mean 'finetune'?"),
        (["run", "quick", "--set", "lora.rank=0"], "strategy lora: rank must be greater than or equal to 1, got 0"),
        (["run", "quick", "--set", "lora.rnk=1"], "unknown setting 'rnk': did you mean 'rank'?"),
        (["run", "quick", "--seeds", "a"], "--seeds must be integers"),
        (["run", "smoke", "--keep", "none"], "--keep must be last, branches, all, got 'none'"),
        (["run", "smoke", "--device", "tpu"], "--device must be auto, cpu or cuda"),
        (["run", "smoke", "--tracking-uri", "http://127.0.0.1:9"], "tracking store http://127.0.0.1:9"),
        (["show", "strategy", "lorra"], "did you mean 'lora'?"),
        (["metrics", "absent.csv"], "absent.csv"),
        (["report", "--out", "nowhere"], "nowhere"),
        (["report", "--from", "absent"], "absent: no such folder"),
        (["report", "--from", ".", "--tracking-uri", "sqlite:///x.db"], "wanted one of them, got both"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    clbench: Command, arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = clbench(*arguments)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


BROKEN = '''"""Strategies that cannot be built."""
from clbench.contracts import Strategy, StrategyConfig
from clbench.core.registry import STRATEGIES

@STRATEGIES.register("broken", config=StrategyConfig)
class Broken(Strategy[StrategyConfig]):
    """Fails at once."""
    def __init__(self, config, context):
        raise KeyError("on\\npurpose")
    def learn(self, task):
        pass
'''


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (BROKEN, "its parameters cannot be counted on"),
        (BROKEN.replace("broken", "bare").replace(", config=StrategyConfig", ""), "registered without a config"),
    ],
)
def test_a_strategy_that_cannot_be_built_is_one_line(
    clbench: Command, tiny: Any, tmp_path: Path, source: str, message: str
) -> None:
    path = tmp_path / ("bare.py" if "bare" in source else "broken.py")
    path.write_text(source)
    assert clbench("show", "strategy", str(path)).returncode == 0
    done = clbench("show", "strategy", str(path), "--learner", tiny.learner)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert message in done.stderr


def test_what_is_sound_is_shown_when_something_is_damaged(
    clbench: Command, write_suite: Callable[..., str], tmp_path: Path
) -> None:
    path = write_suite("zero-shot", "finetune")
    assert clbench("run", path, "--out", str(tmp_path)).returncode == 0
    ledger = next(tmp_path.glob("suite/*--finetune--*/versions/0002/ledger.parquet"))
    ledger.write_bytes(ledger.read_bytes()[:100])
    done = clbench("run", path, "--out", str(tmp_path), "--json")
    assert done.returncode == 2
    cells = json.loads(done.stdout)["cells"]
    assert [cell["status"] for cell in cells] == ["kept", "failed"]
    assert "mtil.last" in cells[0]
    assert f"{ledger}: damaged or not Parquet" in cells[1]["error"]
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["problem", "failed"]
    from mlflow import MlflowClient

    runs = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}").search_runs(["1"])
    assert {run.data.tags["clbench.kind"]: run.info.status for run in runs} == {"suite": "FAILED", "cell": "FINISHED"}


def test_a_leaderboard_that_cannot_be_made_hides_no_result(
    clbench: Command, write_suite: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_suite("zero-shot")
    (tmp_path / "leaderboard").write_text("a file is in the way")
    done = clbench("run", path, "--out", str(tmp_path))
    assert done.returncode == 2
    assert "zero-shot (0)" in done.stdout
    assert done.stdout.splitlines()[-2:] == [
        f"MLflow:      mlflow ui --backend-store-uri sqlite:///{tmp_path / 'mlflow.db'}",
        "runs:        http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning&orderByKey=attributes.run_name&orderByAsc=true",
    ]
    assert done.stderr.splitlines()[-1].startswith("error: no leaderboard: ")


README = Path(__file__).parents[2] / "README.md"
THIRD_PARTY = README.read_text("utf-8").partition("## Add a strategy\n")[2].split("```")[1].removeprefix("python\n")
"""The strategy of the README's section, as it stands there."""


def test_a_third_party_strategy_runs_by_path(clbench: Command, write_suite: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "l2_anchor.py").write_text(THIRD_PARTY)
    path = write_suite("zero-shot")
    done = clbench(
        "run",
        path,
        "--strategies",
        str(tmp_path / "l2_anchor.py"),
        "--set",
        "l2-anchor.strength=0.5",
        "--out",
        str(tmp_path),
        "--json",
    )
    assert done.returncode == 0, done.stderr
    (cell,) = json.loads(done.stdout)["cells"]
    assert (cell["strategy"], cell["status"]) == ("l2-anchor strength=0.5", "finished")
    assert len(THIRD_PARTY.splitlines()) <= 32


PARTS_MD = Path(__file__).parents[2] / "docs" / "parts.md"
THIRD_PARTY_PART = (
    PARTS_MD.read_text("utf-8").partition("## A part in 20 lines\n")[2].split("```")[1].removeprefix("python\n")
)
"""The selector of the document on parts, as it stands there."""


def test_a_third_party_part_runs_by_path(clbench: Command, write_suite: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "bitfit.py"
    file.write_text(THIRD_PARTY_PART)
    path = write_suite({"name": "finetune", "select": str(file)})
    done = clbench("run", path, "--set", "finetune.select.reselect=first", "--out", str(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    (cell,) = json.loads(done.stdout)["cells"]
    assert (cell["strategy"], cell["status"]) == ("finetune select=bitfit(reselect=first)", "finished")
    assert json.loads(clbench("show", "selector", str(file), "--json").stdout)["slot"] == "select"
    assert len(THIRD_PARTY_PART.splitlines()) <= 20


def test_the_suite_of_the_document_on_parts_runs(
    clbench: Command, write_suite: Callable[..., str], tmp_path: Path
) -> None:
    text = PARTS_MD.read_text("utf-8").partition("```yaml\n")[2].partition("```")[0]
    done = clbench("run", write_suite(*yaml.safe_load(text)["strategies"]), "--out", str(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    cells = json.loads(done.stdout)["cells"]
    assert [cell["status"] for cell in cells] == ["finished"] * 3
    assert all(f"{slot}=" in cell["strategy"] for cell in cells[1:] for slot in ("memory", "penalty", "edit"))


def test_a_third_party_strategy_runs_by_entry_point(
    write_suite: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site"
    package.mkdir()
    (package / "l2_anchor.py").write_text(THIRD_PARTY)
    metadata = package / "somebody-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: somebody\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[clbench.strategies]\nl2-anchor = l2_anchor\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH")))))
    listed = json.loads(in_a_process("list", "strategies", "--json").stdout)
    assert {"l2_anchor (entry point)"} == {row["source"] for row in listed if row["name"] == "l2-anchor"}
    done = in_a_process("run", write_suite("l2-anchor"), "--out", str(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["cells"][0]["status"] == "finished"


def test_the_smoke_suite_through_the_command_line(tmp_path: Path) -> None:
    done = in_a_process("run", "smoke", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    page = tmp_path / "leaderboard" / "index.html"
    written = page.stat().st_mtime_ns
    again = in_a_process("run", "smoke", "--out", str(tmp_path), "--json")
    cells = json.loads(again.stdout, parse_constant=pytest.fail)["cells"]
    assert [cell["status"] for cell in cells] == ["kept"] * 3
    assert page.stat().st_mtime_ns == written  # nothing was logged, so it is still true
    for cell in cells:
        assert cell.get("undefined", {}).keys() == {name for name, value in cell.items() if value is None}
    report = in_a_process("report", "--out", str(tmp_path))
    assert report.stdout.strip() == f"leaderboard: {page}"
    assert page.stat().st_mtime_ns == written
    other = in_a_process("report", "--from", str(tmp_path), "--out", str(tmp_path / "other"))
    assert other.stdout.strip() == f"leaderboard: {tmp_path / 'other' / 'leaderboard' / 'index.html'}"
    tables = [sorted((tmp_path / at / "leaderboard" / "streams").glob("*.p1.csv")) for at in (".", "other")]
    assert tables[0][0].read_bytes() == tables[1][0].read_bytes()  # from MLflow and from folders

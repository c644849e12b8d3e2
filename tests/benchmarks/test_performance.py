"""The performance scripts run, say what they do, and compute medians and ratios turn by turn."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tests.conftest import Tiny
from tests.text_tasks import rows_of

from clbench.benchmarks.performance import __main__ as entry
from clbench.benchmarks.performance import adapters, decomposition, frozen_prefix, loop, osft_step
from clbench.benchmarks.performance._measuring import DeviceClock, StepTimer, take_turns
from clbench.benchmarks.performance._report import Comparison

TESTS = Path(__file__).parents[1]
SCRIPTS = entry.descriptions()


def run(name: str, *options: str, file: Path) -> dict[str, Any]:
    assert entry.main([name, "--turns", "1", "--json", str(file), *options]) == 0
    found: dict[str, Any] = json.loads(file.read_text())
    assert found["script"] == name
    return found


def ways(found: dict[str, Any]) -> list[list[str]]:
    for comparison in found["comparisons"]:
        assert comparison["ways"][comparison["reference"]]["ratio"] == 1
        assert all(way["median"] > 0 for way in comparison["ways"].values())
    return [list(comparison["ways"]) for comparison in found["comparisons"]]


def test_ratios_are_taken_within_a_turn() -> None:
    found = Comparison("work", "s", "a", {"a": [1.0, 2.0, 10.0], "b": [2.0, 2.0, 30.0]})
    assert found.median("b") == 2
    assert found.ratio("b") == 2  # of 2, 1 and 3


def test_ways_take_turns_after_a_warm_up(capsys: pytest.CaptureFixture[str]) -> None:
    calls: list[str] = []

    def way(name: str) -> float:
        calls.append(name)
        return float(len(calls))

    found = take_turns({"a": lambda: way("a"), "b": lambda: way("b")}, 2, "work")
    assert calls == ["a", "b"] * 3
    assert found == {"a": [3.0, 5.0], "b": [4.0, 6.0]}
    out, err = capsys.readouterr()
    assert not out
    assert err.splitlines()[-1] == "work, turn 2 of 2, b: 6"


def test_steps_are_the_times_between_their_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1.0, 2.0, 4.0, 8.0])
    monkeypatch.setattr("time.process_time", lambda: next(times))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    timer = StepTimer(DeviceClock(torch.device("cpu")))
    for _ in range(4):
        timer.end_step()
    assert timer.seconds() == [1, 2, 4]
    assert timer.seconds(first=2) == [4]


def test_the_entry_lists_the_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main([]) == 0
    out = capsys.readouterr().out
    assert all(name in out and text in out for name, text in SCRIPTS.items())


def test_an_unknown_script_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["overheat"]) == 2
    assert capsys.readouterr().err == "unknown script 'overheat': did you mean 'overhead'?\n"


def test_a_wrong_learner_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["decoding", str(TESTS / "tiny_clip.py")]) == 2
    assert "wanted a language model" in capsys.readouterr().err


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        entry.main([name, "--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    assert "--turns" in out
    assert "--json" in out
    assert SCRIPTS[name].endswith(".")


def test_overhead(tiny: Tiny, tmp_path: Path) -> None:
    found = run(
        "overhead", "--stream", tiny.stream, "--learner", tiny.learner, "--steps", "2", file=tmp_path / "found.json"
    )
    assert ways(found) == [["bare", "clbench", "avalanche"]] * 2
    assert {"processor", "threads", "GPU", "torch", "clock"} <= set(found["machine"])


def test_adapters(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(adapters, "peak_mib", lambda name, learner, rank: 1.0)  # a process each, which takes seconds
    found = run("adapters", "--learner", str(TESTS / "tiny_clip.py"), "--rank", "2", file=tmp_path / "found.json")
    assert ways(found)[0] == ["lora", "codyra"]
    assert found["figures"]["adapters"] > 0


def test_the_peak_of_a_process(capsys: pytest.CaptureFixture[str]) -> None:
    adapters.print_peak("lora", str(TESTS / "tiny_clip.py"), "2")
    assert float(capsys.readouterr().out) >= 0


def test_decoding(tmp_path: Path) -> None:
    tasks = [{"name": "one", "kind": "classification", "metric": "exact_match"}]
    card = {
        "name": "words",
        "description": "Made-up texts.",
        "loader": "text-parquet",
        "data": "data",
        "learner": str(TESTS / "tiny_t5.py"),
        "limits": {"input_tokens": 32, "answer_tokens": 8},
        "protocols": ["open"],
        "order_reason": "none",
        "tasks": tasks,
    }
    (tmp_path / "words.yaml").write_text(yaml.safe_dump(card))
    (tmp_path / "data" / "one").mkdir(parents=True)
    for split in ("train", "validation", "test"):
        rows_of("one", split).to_parquet(tmp_path / "data" / "one" / f"{split}.parquet")
    found = run(
        "decoding", str(TESTS / "tiny_t5.py"), "--stream", str(tmp_path / "words.yaml"), file=tmp_path / "found.json"
    )
    assert ways(found) == [["generate alone", "evaluator"]]
    assert found["figures"]["samples"] == 15


@pytest.mark.slow
def test_muscle_step(tmp_path: Path) -> None:
    found = run("muscle_step", "--learner", "mini-llama:v1", "--steps", "2", file=tmp_path / "found.json")
    assert ways(found) == [["task loss", "live teachers", "stored teachers"]]


def test_masks(tiny: Tiny, tmp_path: Path) -> None:
    found = run(
        "masks", "--stream", tiny.stream, "--learner", tiny.learner, "--steps", "3", file=tmp_path / "found.json"
    )
    assert ways(found) == [["no selector", "all", "random, 10 %", "id3, 1 %"]]


def test_opcm_step(tiny: Tiny, tmp_path: Path) -> None:
    found = run("opcm_step", "--learner", tiny.learner, "--blocks", "1", file=tmp_path / "found.json")
    assert ways(found) == [["decompositions", "opcm"]]
    assert found["settings"]["matrices"] == 2 * 6


@pytest.mark.slow
def test_loop(tiny: Tiny, tmp_path: Path) -> None:
    settings = ("--stream", tiny.stream, "--learner", tiny.learner, "--steps", "2")
    found = run("loop", "--before", str(TESTS.parent), *settings, file=tmp_path / "found.json")
    assert ways(found) == [["the other checkout", "this one"]]


def test_the_interval_of_a_median_by_hand() -> None:
    """Of 6 values the extremes miss the median with a probability of 2 / 64, of 21 the sixth ones with 2.7 %."""
    assert loop.interval([6.0, 1.0, 5.0, 2.0, 4.0, 3.0]) == (1.0, 6.0)
    assert loop.interval([float(n) for n in range(1, 22)]) == (6.0, 16.0)


def test_frozen_prefix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(frozen_prefix, "TESTED", 2 * frozen_prefix.BATCH)
    monkeypatch.setattr(frozen_prefix, "VERSIONS", 2)
    found = run("frozen_prefix", str(TESTS / "tiny_vit.py"), file=tmp_path / "found.json")
    assert ways(found)[1] == ["finetune", "telly"]


@pytest.mark.slow
def test_osft_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(osft_step, "VOCABULARY", 300)
    monkeypatch.setattr(osft_step, "TOKENS", 8)
    found = run("osft_step", "--width", "32", "--layers", "1", file=tmp_path / "found.json")
    assert osft_step.PEFT in ways(found)[0]
    assert len(found["figures"]) == len(osft_step.WAYS) - 1


def test_decomposition() -> None:
    clock = DeviceClock(torch.device("cpu"))
    small, total = decomposition.compare({(16, 8): 3}, None, clock)
    assert total.measured["svd"] == [sum(small.measured["svd"])]
    small, total = decomposition.compare({(16, 8): 3}, 1, clock)
    assert total.median("osft") == pytest.approx(3 * small.median("osft"))
    parser = ArgumentParser()
    decomposition.add_arguments(parser)
    assert parser.parse_args(["--all"]).all


def test_comparison(tmp_path: Path) -> None:
    found = run("comparison", "--rows", "2000", file=tmp_path / "found.json")
    assert ways(found) == [["pyarrow", "clbench"]] * 3


def test_compression_levels(tiny: Tiny, tmp_path: Path) -> None:
    found = run("compression_levels", "--stream", tiny.stream, "--learner", tiny.learner, file=tmp_path / "found.json")
    assert ways(found) == [["ten evaluations", "ten levels"]]
    assert found["figures"] == {"updates of learning for a second strategy": 0}


@pytest.mark.slow
def test_finished_suite(tiny: Tiny, tmp_path: Path) -> None:
    options = ("--cells", "2", "--stream", tiny.stream, "--learner", tiny.learner)
    found = run("finished_suite", *options, file=tmp_path / "found.json")
    assert ways(found) == [["bare reading", "look-up"], ["imports alone", "clbench run"]]


def test_growth_of_rows(tmp_path: Path) -> None:
    options = ["--tasks", "", "--workers", "", "--rows", "20,40", "--plot", str(tmp_path / "plot.png")]
    found = run("growth", *options, file=tmp_path / "found.json")
    assert {item["work"] for item in found["comparisons"]} == {"rows: compare, s", "rows: compare, peak MiB"}
    assert set(found["figures"]) == {"growth of rows: compare, s, power", "growth of rows: compare, peak MiB, power"}
    assert (tmp_path / "plot.png").stat().st_size > 1000

"""What is left of forgotten samples: the groups that are looked at, and numbers worked out by hand."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.evaluation import forget_audit
from clbench.benchmarks.evaluation.forget_audit import ForgetAudit, audit_numbers, same_mix
from clbench.contracts import Samples, Split, Task
from clbench.streams.card import load_stream

CPU = torch.device("cpu")
SURE, UNSURE = [1.0, 0.0], [0.5, 0.5]


def outputs(**groups: tuple[list[list[float]], list[int]]) -> dict[str, Tensor]:
    """Outputs of one task by group: probabilities and labels."""
    found = {f"{group}/t/probabilities": torch.tensor(given) for group, (given, _) in groups.items()}
    return found | {f"{group}/t/label": torch.tensor(labels) for group, (_, labels) in groups.items()}


def test_the_mix_of_classes_is_that_of_the_forgotten_samples() -> None:
    """Of 6 and 3 forgotten samples, 4 and 1 others: the scarcer class allows a third of each, 2 and 1."""
    labels = torch.tensor([0, 2, 0, 1, 0, 2, 0])
    chosen = same_mix(torch.tensor([0] * 6 + [1] * 3), labels, torch.Generator().manual_seed(0))
    assert labels[chosen].sort().values.tolist() == [0, 0, 1]
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    assert len(same_mix(torch.tensor([0, 3]), labels, torch.Generator())) == 0  # no sample of class 3


def test_numbers_by_hand() -> None:
    """The retrained model is unsure of forgotten samples as of held-out ones; the other one knows them."""
    knows = outputs(
        retained=([SURE, SURE], [0, 0]), forgotten=([SURE, SURE], [0, 1]), held_out=([UNSURE, UNSURE], [0, 1])
    )
    clean = outputs(
        retained=([SURE, SURE], [0, 1]), forgotten=([UNSURE, UNSURE], [0, 0]), held_out=([UNSURE, UNSURE], [0, 1])
    )
    found = audit_numbers(knows, clean)
    assert found["accuracy_retained"] == 1
    assert found["accuracy_forgotten"] == 0.5
    assert found["accuracy_held_out"] == 0.5
    assert found["gap"] == pytest.approx((0.5 + 0.5 + 0) / 3)
    assert found["mia_auc"] == 1  # every forgotten sample is surer than every held-out one
    assert found["mia_auc_difference"] == 0.5  # the retrained model gives ties
    mean = [0.75, 0.25]
    entropy = -sum(x * math.log(x) for x in mean)
    assert found["js_forgotten"] == pytest.approx(entropy - math.log(2) / 2)
    assert found["js_held_out"] == 0
    same = audit_numbers(clean, clean)
    assert (same["gap"], same["mia_auc_difference"], same["js_forgotten"]) == (0, 0, 0)
    assert "gap" not in audit_numbers(knows)


def test_numbers_of_empty_groups_are_left_out() -> None:
    found = audit_numbers(outputs(forgotten=([SURE, UNSURE], [0, 0])))
    assert found == {"accuracy_forgotten": 1.0}
    assert audit_numbers({}) == {}


def audit_of(tiny: Any, forgotten: dict[str, frozenset[str]], seed: int = 0) -> tuple[ForgetAudit, Any]:
    """The audit of the tiny stream's first two tasks, and the learner."""
    learner = build_learner(tiny.learner, 0, CPU)

    def samples(task: Task, split: Split) -> Samples:
        return learner.encode(task.load(split), task)

    return ForgetAudit(load_stream(tiny.stream).tasks[:2], forgotten, samples, seed), learner


def test_groups_of_a_forgotten_class(tiny: Any) -> None:
    """8 of 24 training samples of `one`; its test split has 5 of that class; all other training samples are kept."""
    gone = [f"one/train/{index}" for index in range(0, 24, 3)]
    audit, learner = audit_of(tiny, {"one": frozenset(gone)})
    found = audit.outputs(learner)
    sizes = {name.removesuffix("/label"): len(labels) for name, labels in found.items() if name.endswith("/label")}
    assert sizes == {"forgotten/one": 8, "held_out/one": 5, "retained/one": 16, "retained/two": 24}
    assert set(found["forgotten/one/label"].tolist()) == set(found["held_out/one/label"].tolist()) == {0}
    assert set(found["retained/one/label"].tolist()) == {1, 2}
    task = audit.tasks[0]
    rows = audit.samples(task, "train")
    positions = torch.tensor([rows.ids.to_pylist().index(name) for name in gone])
    with torch.no_grad():
        wanted = learner.logits(rows.batch(positions), [task]).softmax(dim=-1)
    torch.testing.assert_close(found["forgotten/one/probabilities"], wanted)


def test_a_forgotten_task_keeps_nothing_and_others_have_their_share(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget_audit, "MOST_RETAINED", 20)
    gone = {"one": frozenset(f"one/train/{index}" for index in range(24))}
    drawn = []
    for seed in (0, 0, 1):
        audit, learner = audit_of(tiny, gone, seed)
        found = audit.outputs(learner)
        assert {name.rpartition("/")[0] for name in found} == {"forgotten/one", "held_out/one", "retained/two"}
        assert len(found["held_out/one/label"]) == 15
        assert len(found["retained/two/label"]) == 10  # 20 for two tasks
        drawn.append(found["retained/two/probabilities"])
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])

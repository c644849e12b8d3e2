"""The vision transformer's backbone, prompts and bookkeeping."""

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import save_file
from tests.tiny_backbones import backbone, learner_of
from tests.tiny_images import write_stream
from torch import Tensor

from clbench.contracts import PromptPlan, Stream
from clbench.core.errors import CheckpointError, ConfigError
from clbench.learners._vit.trunk import Trunk
from clbench.learners._vit.vit_learner import VitLearner
from clbench.learners.vit import vit
from clbench.streams.card import load_stream

KINDS = ("plain", "dinov3", "qkvb")


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Stream:
    """One task of each kind, and a scalar one."""
    return load_stream(write_stream(tmp_path_factory.mktemp("images"), "tiny-vit"))


def images(n: int = 3) -> Tensor:
    return torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def plan(**changes: Any) -> PromptPlan:
    values: dict[str, Any] = {"count": 3, "first_block": 0, "deep": False, "sharing": "kind", "init": "normal"}
    return PromptPlan(**{**values, "excluded": frozenset(), **changes})


@pytest.mark.parametrize("kind", KINDS)
def test_split_projections_give_what_timm_gives(kind: str) -> None:
    x = images()
    original: Any = backbone(kind).eval()
    wanted = original.forward_features(x)
    model: Any = backbone(kind).eval()
    trunk = Trunk(model)
    tokens = trunk.run(trunk.embed(x), 0, trunk.depth)
    assert torch.allclose(model.norm(tokens), wanted, atol=2e-6)
    assert not any(name.endswith("qkv.weight") for name, _ in model.named_parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_every_block_offers_its_six_projections(kind: str) -> None:
    layers = VitLearner("x", backbone(kind), learner_of("", 0).image_format, 0).linear_layers()
    roles = [layer.role for layer in layers if layer.block == 2]
    assert sorted(roles) == ["down", "k", "out", "q", "up", "v"]
    assert len(layers) == 4 * 6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first_block", [0, 2])
@pytest.mark.parametrize("deep", [False, True])
def test_prompts_that_nobody_attends_to_change_nothing(
    kind: str, first_block: int, deep: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their keys are masked out in every attention, so patches must come out as without them: positions are right."""
    trunk = Trunk(backbone(kind).eval())
    x = trunk.embed(images())
    wanted = trunk.run(x, 0, trunk.depth)
    prompts = torch.randn(trunk.depth - first_block if deep else 1, 5, trunk.width)
    first = trunk.prefix_tokens
    original = torch.nn.functional.scaled_dot_product_attention

    def blind(q: Tensor, k: Tensor, v: Tensor, **options: Any) -> Tensor:
        inside = k.shape[-2] - x.shape[1]
        mask = torch.ones(k.shape[-2], dtype=torch.bool)
        mask[first : first + inside] = False
        return original(q, k, v, attn_mask=mask.expand(q.shape[-2], -1))

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", blind)
    found = trunk.run(x, 0, trunk.depth, prompts, first_block)
    monkeypatch.undo()
    assert torch.allclose(found, wanted, atol=2e-6)
    assert not torch.allclose(trunk.run(x, 0, trunk.depth, prompts, first_block), wanted, atol=1e-4)


def test_deep_prompts_are_replaced_in_every_block() -> None:
    trunk = Trunk(backbone("dinov3").eval())
    x = trunk.embed(images())
    prompts = torch.randn(4, 2, trunk.width)
    by_hand = x
    for block in range(4):
        by_hand = trunk.run(by_hand, block, block + 1, prompts[block : block + 1], block)
    assert torch.allclose(trunk.run(x, 0, 4, prompts), by_hand, atol=1e-6)


def test_shallow_prompts_go_through_the_blocks_as_tokens() -> None:
    """Behind a block with them in, they are what the block made of them: unlike deep ones with equal values."""
    trunk = Trunk(backbone("plain").eval())
    x = trunk.embed(images())
    prompts = torch.randn(1, 2, trunk.width)
    assert not torch.allclose(trunk.run(x, 0, 4, prompts), trunk.run(x, 0, 4, prompts.expand(4, -1, -1)), atol=1e-4)


@pytest.mark.parametrize("kind", ["plain", "dinov3"])
def test_a_prefix_is_a_function_of_each_image_alone(kind: str) -> None:
    learner = learner_of(kind, 0)
    batch = {"image": (images(9) * 255).byte()}
    whole = learner.prefix(batch, 2)["prefix.2"]
    some = learner.prefix({"image": batch["image"][[7, 2, 4]]}, 2)["prefix.2"]
    assert torch.equal(whole[[7, 2, 4]], some)


def test_features_go_on_from_a_prefix(stream: Stream) -> None:
    learner = learner_of("dinov3", 0)
    learner.insert_prompts(plan(first_block=3))
    task = stream.tasks[0]
    learner.add_task(task)
    batch = {"image": (images(5) * 255).byte()}
    for blocks in (1, 3):
        found = learner.features({**batch, **learner.prefix(batch, blocks)}, task)
        wanted = learner.features(batch, task)
        assert torch.allclose(found.patches, wanted.patches, atol=2e-6)
    whole = learner.prefix(batch, 4)
    tiny = learner_of("dinov3", 0)
    assert torch.allclose(tiny.features({**batch, **whole}, task).whole, tiny.features(batch, task).whole, atol=2e-6)


def test_heads_come_by_their_tasks_name_and_disturb_nobody(stream: Stream) -> None:
    one, two = learner_of("", 3), learner_of("", 3)
    before = {name: p.clone() for name, p in one.state_dict().items()}
    for task in stream.tasks:
        assert not one.can_test(task)
        one.add_task(task)
        assert one.can_test(task)
    for task in reversed(stream.tasks):
        two.add_task(task)
    after = one.state_dict()
    assert all(torch.equal(after[name], p) for name, p in before.items())
    assert all(torch.equal(two.state_dict()[name], p) for name, p in after.items())
    assert set(after) - set(before) == {name for task in stream.tasks for name in one.head(task)}
    other = learner_of("", 4)
    other.add_task(stream.tasks[0])
    weights = one.head(stream.tasks[0]).items()
    assert not all(torch.equal(other.head(stream.tasks[0])[name], p) for name, p in weights)


def test_add_task_draws_nothing_from_the_global_state(stream: Stream) -> None:
    learner = learner_of("", 0)
    learner.insert_prompts(plan())
    torch.manual_seed(0)
    wanted = torch.rand(3)
    torch.manual_seed(0)
    learner.add_task(stream.tasks[0])
    assert torch.equal(torch.rand(3), wanted)


def test_a_state_without_heads_and_prompts_puts_them_back(stream: Stream) -> None:
    learner = learner_of("", 0)
    bare = {name: p.clone() for name, p in learner.state_dict().items()}
    learner.insert_prompts(plan(sharing="both"))
    task, other = stream.tasks[:2]
    learner.add_task(task)
    learner.add_task(other)
    first = {name: p.clone() for name, p in learner.state_dict().items()}
    with torch.no_grad():
        for p in learner.module.parameters():
            p.add_(1.0)
    learner.load_state_dict(bare)
    assert all(torch.equal(p, first[name]) for name, p in learner.state_dict().items())
    with pytest.raises(RuntimeError):
        learner.load_state_dict({name: p for name, p in first.items() if name != "backbone.cls_token"})
    with pytest.raises(RuntimeError):
        learner_of("", 0).load_state_dict(first)


def test_a_task_without_head_is_one_line(stream: Stream) -> None:
    learner = learner_of("", 0)
    with pytest.raises(ConfigError, match="has no head for task 'disc', which has not come yet"):
        learner.loss({"image": images()}, stream.tasks[0])


def test_prompts_are_those_of_the_kind_and_of_the_task(stream: Stream) -> None:
    disc, tone, _, ends, size = stream.tasks
    for sharing, together in (("all", True), ("kind", True), ("task", False), ("both", False)):
        learner = learner_of("", 0)
        learner.insert_prompts(plan(sharing=sharing, excluded=frozenset({"detection"})))
        for task in stream.tasks:
            learner.add_task(task)
        assert (set(learner.prompts(ends)) == set(learner.prompts(size))) == together
        assert bool(set(learner.prompts(disc)) & set(learner.prompts(tone))) == (sharing == "all")
        assert learner.prompts(stream.tasks[2]) == {}


def test_the_sum_of_banks(stream: Stream) -> None:
    learner = learner_of("", 0)
    learner.insert_prompts(plan(sharing="both"))
    learner.add_task(task := stream.tasks[0])
    banks = learner.module.prompts
    assert banks is not None
    total = sum(p for p in learner.prompts(task).values())
    assert torch.equal(banks.of(task), total)  # type: ignore[arg-type]


@pytest.mark.parametrize(("init", "bound"), [("normal", 0.04), ("uniform", (6 / (3 * 64 + 24)) ** 0.5)])
def test_first_values_of_prompts(init: str, bound: float, stream: Stream) -> None:
    learner = learner_of("", 0)
    learner.insert_prompts(plan(init=init, count=400))
    learner.add_task(task := stream.tasks[0])
    (tokens,) = learner.prompts(task).values()
    assert float(tokens.detach().abs().max()) <= bound
    deviation = 0.0176 if init == "normal" else bound / 3**0.5  # of a normal of 0.02 that is cut at two deviations
    assert float(tokens.detach().std()) == pytest.approx(deviation, rel=0.03)


def test_blocks_of_parameters() -> None:
    block_of = learner_of("dinov3", 0).stack().block_of
    assert {name for name, block in block_of.items() if block == -1} == {
        "backbone.cls_token",
        "backbone.reg_token",
        "backbone.patch_embed.proj.weight",
        "backbone.patch_embed.proj.bias",
    }
    assert {name for name, block in block_of.items() if block == 4} == {"backbone.norm.weight", "backbone.norm.bias"}


def test_encoded_rows_are_fractions_and_keep_their_truth(stream: Stream) -> None:
    learner = learner_of("", 0)
    for task in stream.tasks:
        found = learner.encode(task.load("test"), task)
        assert found.tensors["image"].shape == (7, 3, 32, 32)
        assert found.tensors["image"].dtype == torch.uint8
        assert found.truth["size"].to_pylist()[0] == [32, 40]
    disc, tone, box, ends, size = (learner.encode(task.load("test"), task) for task in stream.tasks)
    assert set(disc.tensors["mask"].unique().tolist()) == {0, 1}
    assert tone.tensors["label"].tolist() == [0, 1, 0, 1, 0, 1, 0]
    scale = torch.tensor([40.0, 32.0])
    boxes = torch.tensor(box.truth["boxes"].to_pylist())
    assert torch.allclose(box.tensors["boxes"] * scale.repeat(2), boxes)
    assert torch.allclose(ends.tensors["points"] * scale, torch.tensor(ends.truth["points"].to_pylist()))
    assert size.tensors["value"].tolist() == size.truth["value"].to_pylist()
    mirrored = [bool(samples.tensors["mirror"].all()) for samples in (disc, tone, box, ends, size)]
    assert mirrored == [True, False, True, False, False]


def test_answers_have_the_shapes_of_the_contract(stream: Stream) -> None:
    learner = learner_of("", 0)
    for task in stream.tasks:
        learner.add_task(task)
    predict = learner.predictor(stream.tasks, ["task-id"])
    with torch.no_grad():
        found = [
            predict(learner.encode(task.load("test"), task).batch(slice(0, 4)), task)["task-id"]
            for task in stream.tasks
        ]
    disc, tone, box, ends, size = (cast(Tensor, answer.prediction) for answer in found)
    assert (disc.shape, disc.dtype) == ((4, 32, 32), torch.uint8)
    assert found[1].probabilities is not None
    assert torch.allclose(found[1].probabilities.sum(dim=1), torch.ones(4))
    assert box.shape == (4, 1, 5)
    assert ends.shape == (4, 2, 2)
    assert size.shape == (4,)
    assert tone.shape == (4,)
    with pytest.raises(ConfigError, match="under the protocol task-id only, got task-id, union"):
        learner.predictor(stream.tasks, ["task-id", "union"])


def test_timm_models_by_name_and_file(tmp_path: Path) -> None:
    one = cast(VitLearner, vit("vit_tiny_patch16_224@64", 0))
    assert one.trunk.grid == (4, 4)
    import timm

    original: Any = timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=3)
    save_file(original.state_dict(), tmp_path / "w.safetensors")
    loaded: Any = vit(f"vit_tiny_patch16_224@64/{tmp_path / 'w.safetensors'}", 0)
    x = torch.rand(2, 3, 64, 64)
    tokens = loaded.trunk.run(loaded.trunk.embed(x), 0, 12)
    assert torch.allclose(loaded.module.backbone.norm(tokens), original.eval().forward_features(x), atol=1e-5)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("vit_tiny_patch16", "unknown model 'vit_tiny_patch16': did you mean"),
        ("zzz", r"unknown model 'zzz': none of 1,\d{3} is near, the nearest: .{,200}$"),
        ("resnet18", "plain"),
        ("vit_tiny_patch16_224@6x", "the size must be a whole number of pixels, got '6x'"),
    ],
)
def test_bad_names_are_one_line(argument: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        vit(argument, 0)


def test_missing_and_foreign_files_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        vit(f"vit_tiny_patch16_224/{tmp_path / 'none.safetensors'}", 0)
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="made for another architecture"):
        vit(f"vit_tiny_patch16_224@32/{tmp_path / 'x.safetensors'}", 0)


def test_logits_are_for_classes_only(stream: Stream) -> None:
    learner = learner_of("", 0)
    disc, tone = stream.tasks[:2]
    learner.add_task(disc)
    learner.add_task(tone)
    assert learner.logits({"image": images()}, [tone]).shape == (3, 2)
    with pytest.raises(ConfigError, match="needs scores of classes, and there are none in segmentation"):
        learner.logits({"image": images()}, [disc])

"""The CLIP learner against open_clip's own computation."""

import copy
import io
import logging
from pathlib import Path
from typing import Any, cast

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from datasets import Dataset
from PIL import Image
from safetensors.torch import save_file

from clbench.benchmarks.engine.learners import build_learner
from clbench.contracts import ScoresClasses, Task, require
from clbench.core.errors import CheckpointError, ConfigError, DataError
from clbench.learners._clip.clip_learner import ClipLearner, check_prompts, filled
from clbench.learners._clip.decoding import decode_images
from clbench.learners._clip.split_attention import fuse_names
from clbench.learners._shared.image_format import ImageFormat
from clbench.learners._shared.weights import load_into
from clbench.streams.card import load_stream

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 16, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


def small() -> Any:
    """An open_clip model with its own tokenizer's vocabulary."""
    torch.manual_seed(3)
    return open_clip.CLIP(**SMALL).eval()


def test_logits_are_those_of_open_clip_to_round_off(tiny: Any) -> None:
    """Splitting attention and cutting the padding change nothing but the order of additions."""
    original = small()
    learner = ClipLearner(
        "x",
        copy.deepcopy(original),
        open_clip.get_tokenizer("ViT-B-32"),
        ImageFormat(16, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)),
    )
    task = load_stream(tiny.stream).tasks[0]
    batch = learner.encode(task.load("test"), task).batch(slice(0, 7))
    prompts = open_clip.get_tokenizer("ViT-B-32")([task.templates[0].format(name) for name in task.classes])
    images = (batch["image"].float() / 255 - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) / torch.tensor(
        [0.2, 0.3, 0.4]
    ).view(3, 1, 1)
    with torch.no_grad():
        wanted = original.get_logits(images, prompts)[0]
        got = learner.logits(batch, [task])
    torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-5)
    wanted_loss = F.cross_entropy(wanted, batch["label"])
    torch.testing.assert_close(learner.loss(batch, task).detach(), wanted_loss, atol=1e-4, rtol=1e-5)


def test_predictions_under_both_protocols(tiny: Any) -> None:
    stream = load_stream(tiny.stream)
    learner = build_learner(tiny.learner, 0, CPU)
    task = stream.tasks[1]
    batch = learner.encode(task.load("test"), task).batch(slice(None))
    with torch.no_grad():
        found = learner.predictor(stream.tasks, ("task-id", "union"))(batch, task)
        own = require(learner, ScoresClasses).logits(batch, [task])
        everything = require(learner, ScoresClasses).logits(batch, stream.tasks)
    known, union = found["task-id"], found["union"]
    assert known.names == task.classes
    assert torch.equal(known.prediction, own.argmax(1))  # type: ignore[arg-type]
    assert torch.equal(union.prediction, everything.argmax(1))  # type: ignore[arg-type]
    assert union.target is not None
    assert [union.names[int(i)] for i in union.target] == [f"two: {task.classes[i]}" for i in batch["label"]]
    torch.testing.assert_close(known.confidence, own.softmax(1).amax(1))
    assert torch.equal(known.correct, own.argmax(1) == batch["label"])  # type: ignore[arg-type]


def test_an_ensemble_of_prompts_is_the_mean_of_unit_features(tiny: Any) -> None:
    learner = build_learner(tiny.learner, 0, CPU)
    classes, templates = ("cat", "dog"), ("a {}", "the {} here")
    task = Task("t", "classification", "accuracy", lambda split: Dataset.from_list([]), str, classes, templates)
    batch = {
        "image": torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8),
        "label": torch.zeros(4, dtype=torch.int64),
    }
    with torch.no_grad():
        assert isinstance(learner, ClipLearner)
        image = learner.image_features(batch)
        parts = [
            [F.normalize(learner.encode_text(learner.tokenise((t.format(c),))), dim=-1)[0] for t in task.templates]
            for c in task.classes
        ]
        text = torch.stack([F.normalize(torch.stack(part).mean(0), dim=0) for part in parts])
        wanted = (cast(Any, learner.module).logit_scale.exp() * image @ text.T).argmax(1)
        got = learner.predictor([task], ["task-id"])(batch, task)["task-id"].prediction
    assert torch.equal(got, wanted)  # type: ignore[arg-type]


def test_the_logit_scale_is_not_trained(tiny: Any) -> None:
    learner = build_learner(tiny.learner, 0, CPU)
    assert "logit_scale" not in learner.trainable()
    assert len(learner.trainable()) == len(list(learner.module.parameters())) - 1


def test_layers_are_described(tiny: Any) -> None:
    layers = build_learner(tiny.learner, 0, CPU).linear_layers()
    assert len(layers) == 2 * 2 * 6  # towers, blocks, projections
    assert {layer.role for layer in layers} == {"q", "k", "v", "out", "up", "down"}
    assert {(layer.tower, layer.block) for layer in layers} == {
        (tower, block) for tower in ("vision", "text") for block in (0, 1)
    }


def test_equal_weights_have_equal_digests(tiny: Any) -> None:
    one, two = (build_learner(tiny.learner, 0, CPU) for _ in range(2))
    assert one.digest() == two.digest()
    with torch.no_grad():
        next(iter(two.trainable().values())).view(-1)[0] += 1e-6
    assert one.digest() != two.digest()
    assert build_learner(tiny.learner, 1, CPU).digest() != one.digest()


def test_a_local_checkpoint_keeps_open_clips_names(tmp_path: Path) -> None:
    original = small()
    learner = ClipLearner(
        "x",
        copy.deepcopy(original),
        lambda texts: torch.zeros(len(texts), 77, dtype=torch.int64),
        ImageFormat(16, (0.5,) * 3, (0.5,) * 3),
    )
    save_file(fuse_names(learner.state_dict()), tmp_path / "w.safetensors")
    other = open_clip.CLIP(**SMALL)
    load_into(other, tmp_path / "w.safetensors")
    assert all(
        torch.equal(a, b) for a, b in zip(other.state_dict().values(), original.state_dict().values(), strict=True)
    )


def test_weights_of_another_architecture_are_refused_in_one_line(tmp_path: Path) -> None:
    state = small().state_dict()
    save_file({**state, "visual.proj": torch.zeros(2, 2)}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match=r"visual.proj must be \(32, 16\), got \(2, 2\)"):
        load_into(small(), tmp_path / "w.safetensors")
    del state["visual.proj"]
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match=r"visual.proj is missing"):
        load_into(small(), tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("open_clip:ViT-B-17", ConfigError, r"unknown architecture 'ViT-B-17': did you mean 'ViT-B-16'\?"),
        ("open_clip:ViT-B-32/opennai", ConfigError, r"did you mean 'openai'\?"),
        ("open_clip:zzz", ConfigError, r"unknown architecture 'zzz': none of 1\d\d is near, the nearest: .{,200}$"),
        ("open_clip:ViT-B-32/absent.safetensors", CheckpointError, "absent.safetensors: no such file"),
        ("mini-clip:x", ConfigError, "takes no argument"),
    ],
)
def test_bad_learners_are_one_line(name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build_learner(name, 0, CPU)


def test_missing_weights_without_network_are_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match="the weights are not in the cache and cannot be fetched"):
        build_learner("open_clip:ViT-B-32/laion2b_s34b_b79k", 0, CPU)


def rows(*images: bytes) -> Dataset:
    """Rows with encoded images."""
    from datasets import Features, Value
    from datasets import Image as ImageFeature

    features = Features({"sample_id": Value("string"), "image": ImageFeature()})
    items = [{"sample_id": f"s{index}", "image": {"bytes": data, "path": None}} for index, data in enumerate(images)]
    return Dataset.from_list(items, features=features)


def png(values: "np.ndarray[Any, Any]") -> bytes:
    """A PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "png")
    return buffer.getvalue()


def test_images_are_decoded_as_open_clip_does() -> None:
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, PILToTensor, Resize

    image = np.random.default_rng(0).integers(0, 256, (37, 61, 3), dtype=np.uint8)
    theirs = Compose([Resize(16, InterpolationMode.BICUBIC), CenterCrop(16), PILToTensor()])(Image.fromarray(image))
    ours = decode_images(rows(png(image)), 16)[0]
    assert (ours.int() - theirs.int()).abs().max() == 0


def test_a_image_that_does_not_decode_is_named() -> None:
    good = png(np.zeros((16, 16, 3), dtype=np.uint8))
    with pytest.raises(DataError, match="sample 's1': the image does not decode"):
        decode_images(rows(good, good[:30]), 16)


def test_labels_outside_the_classes_are_refused(tiny: Any) -> None:
    task = load_stream(tiny.stream).tasks[0]
    few = Task("t", "classification", "accuracy", task.load, str, task.classes[:2])
    with pytest.raises(DataError, match="labels must be 0 to 1, got 0 to 2"):
        build_learner(tiny.learner, 0, CPU).encode(task.load("test"), few)


def test_only_the_empty_braces_of_a_template_are_filled() -> None:
    assert filled("a {} in {style}, {0} {", "cat {x}") == "a cat {x} in {style}, {0} {"


def test_random_weights_are_built_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    from clbench.learners.open_clip import _without_noise

    with _without_noise():
        open_clip.create_model("RN50")
        logging.getLogger().warning("of somebody else")
    assert [record.message for record in caplog.records] == ["of somebody else"]
    assert not logging.getLogger().filters


def test_prompts_are_checked() -> None:
    with pytest.raises(ConfigError, match="needs class names"):
        check_prompts(Task("t", "classification", "accuracy", lambda split: rows(), str))
    with pytest.raises(ConfigError, match=r"has no \{\}"):
        check_prompts(Task("t", "classification", "accuracy", lambda split: rows(), str, ("a",), ("photo",)))


@pytest.mark.parametrize(("tag", "quick"), [("openai", True), ("metaclip_400m", True), ("laion2b_s34b_b88k", False)])
def test_weights_get_the_activation_that_they_were_trained_with(
    tag: str, quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights are not at hand: what is built in their place shows the activation that was asked for."""
    build = open_clip.create_model

    def without_weights(name: str, pretrained: str, force_quick_gelu: bool) -> Any:
        assert (name, pretrained) == ("ViT-B-16", tag)
        return build("ViT-S-32-alt", force_quick_gelu=force_quick_gelu)

    monkeypatch.setattr(open_clip, "create_model", without_weights)
    module = build_learner(f"open_clip:ViT-B-16/{tag}", 0, CPU).module
    kinds = {type(part).__name__ for name, part in module.named_modules() if name.endswith(".gelu")}
    assert kinds == {"QuickGELU" if quick else "GELU"}


@pytest.mark.parametrize("shape", [(375, 500), (334, 500), (427, 640), (500, 333), (224, 301), (100, 99), (224, 224)])
def test_images_are_cut_as_torchvision_cuts_them(shape: tuple[int, int]) -> None:
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    found = decode_images(rows(png(image)), 224)[0].permute(1, 2, 0).numpy()
    cut = Compose([Resize(224, InterpolationMode.BICUBIC), CenterCrop(224)])
    np.testing.assert_array_equal(found, np.asarray(cut(Image.fromarray(image))))

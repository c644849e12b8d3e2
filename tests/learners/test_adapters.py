"""An adapter of PEFT as a learner: merged into its base, or one line that says what to do."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.engine.suite import load_suite
from clbench.core.errors import CheckpointError

CPU = torch.device("cpu")
MODELS = Path(__file__).parents[2] / "src" / "clbench" / "learners"
BASES = {"llama": MODELS / "mini_llama" / "v1", "t5": MODELS / "mini_t5"}
TARGETS = {"llama": ["q_proj", "v_proj"], "t5": ["q", "v", "wo"]}
WEIGHTS = "adapter_model.safetensors"


def save_adapter(family: str, folder: Path, **settings: Any) -> tuple[Path, Any]:
    """The folder of an adapter with random weights beside that of its base, and PEFT's own model of both."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, T5ForConditionalGeneration

    base = folder / "base"
    shutil.copytree(BASES[family], base, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    config = {"r": 4, "target_modules": TARGETS[family], "init_lora_weights": False, **settings}
    loader: Any = AutoModelForCausalLM if family == "llama" else T5ForConditionalGeneration
    torch.manual_seed(0)
    model = get_peft_model(loader.from_pretrained(base, dtype=torch.float32), LoraConfig(**config)).eval()
    model.save_pretrained(str(folder / "adapter"))
    return folder / "adapter", model


def change(adapter: Path, **values: object) -> None:
    """Other settings in an adapter's configuration."""
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return save_adapter("llama", tmp_path)[0]


@pytest.mark.parametrize("settings", [{}, {"use_dora": True}, {"use_rslora": True, "rank_pattern": {"v_proj": 2}}])
@pytest.mark.parametrize("family", ["llama", "t5"])
def test_the_merged_learner_says_what_pefts_model_says(family: str, settings: dict[str, Any], tmp_path: Path) -> None:
    folder, theirs = save_adapter(family, tmp_path, **settings)
    learner = build_learner(f"{family}:{folder}", 0, CPU)
    plain = build_learner(f"{family}:{tmp_path / 'base'}", 0, CPU)
    ids = torch.arange(24).view(2, 12) + 5
    asked = {"input_ids": ids, **({"decoder_input_ids": ids} if family == "t5" else {})}
    with torch.no_grad():
        mine, wanted, before = (model(**asked).logits for model in (learner.module, theirs, plain.module))
    torch.testing.assert_close(mine, wanted, atol=1e-3, rtol=1e-3)
    assert (mine - before).abs().max() > 0.1
    assert list(learner.state_dict()) == list(plain.state_dict())
    assert learner.linear_layers() == plain.linear_layers()
    assert all(p.requires_grad for p in learner.module.parameters())


def test_a_cell_is_another_one_with_another_adapter_or_another_base(
    adapter: Path, write_suite: Callable[..., str]
) -> None:
    def digest() -> str:
        return load_suite(write_suite("zero-shot", learners=[f"llama:{adapter}"])).cells[0].digest

    found = [digest()]
    for path in (adapter.parent / "base" / "model.safetensors", adapter / WEIGHTS):
        save_file({name: tensor + 1 for name, tensor in load_file(path).items()}, path, {"format": "pt"})
        found.append(digest())
    assert len(set(found)) == 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"peft_type": "LOHA"}, "wanted a LoRA adapter, got 'LOHA': merge it into its base"),
        ({"base_model_name_or_path": "meta/llama"}, "whose base is no folder here: correct .*'meta/llama'"),
        ({"base_model_name_or_path": None}, "whose base is no folder here: correct .*None"),
        ({"init_lora_weights": "pissa"}, "with init_lora_weights 'pissa' the base was changed, too: merge it"),
        ({"use_qalora": True}, "an adapter with use_qalora cannot be merged"),
        ({"of_the_future": 3}, "has the setting of_the_future, which the installed PEFT does not know"),
        ({"target_modules": ["k_proj"]}, "made for another model than .*base: base_model.model"),
        ({"r": 5}, "cannot be merged into .*base: .*size mismatch"),
        ({"target_modules": ["absent"]}, "cannot be merged into .*base: Target modules"),
    ],
)
def test_what_cannot_be_merged_is_one_line(values: dict[str, object], message: str, adapter: Path) -> None:
    change(adapter, **values)
    with pytest.raises(CheckpointError, match=message) as caught:
        build_learner(f"llama:{adapter}", 0, CPU)
    assert str(caught.value).startswith("learner llama:")
    assert "\n" not in str(caught.value)


def test_an_adapter_that_lacks_a_layer_or_has_one_too_many_is_for_another_model(adapter: Path) -> None:
    state = load_file(adapter / WEIGHTS)
    first = min(state)
    save_file({name: tensor for name, tensor in state.items() if name != first}, adapter / WEIGHTS)
    with pytest.raises(CheckpointError, match=r"made for another model than .*lora_A\.default"):
        build_learner(f"llama:{adapter}", 0, CPU)
    save_file({**state, first.replace("layers.0", "layers.9"): state[first].clone()}, adapter / WEIGHTS)
    with pytest.raises(CheckpointError, match=r"made for another model than .*layers\.9"):
        build_learner(f"llama:{adapter}", 0, CPU)


def test_pickles_are_not_read(adapter: Path) -> None:
    (adapter / WEIGHTS).rename(adapter / "adapter_model.bin")
    with pytest.raises(CheckpointError, match=r"wanted adapter_model\.safetensors \(other formats can run code\)"):
        build_learner(f"llama:{adapter}", 0, CPU)


def test_a_folder_with_a_model_and_an_adapter_is_neither(adapter: Path) -> None:
    shutil.copy(adapter.parent / "base" / "model.safetensors", adapter)
    with pytest.raises(CheckpointError, match="holds a model and an adapter"):
        build_learner(f"llama:{adapter}", 0, CPU)


def test_an_adapter_on_an_adapter_is_refused(adapter: Path) -> None:
    second = adapter.parent / "second"
    shutil.copytree(adapter, second)
    change(second, base_model_name_or_path=str(adapter))
    with pytest.raises(CheckpointError, match="is an adapter itself: merge it"):
        build_learner(f"llama:{second}", 0, CPU)


def test_a_head_that_would_no_longer_be_its_embedding_is_refused(tmp_path: Path) -> None:
    folder, _ = save_adapter("llama", tmp_path, modules_to_save=["lm_head"])
    with pytest.raises(CheckpointError, match="cannot be merged"):
        build_learner(f"llama:{folder}", 0, CPU)


def test_the_adapters_own_tokenizer_is_used_where_it_has_one(adapter: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (adapter.parent / "base" / name).rename(adapter / name)
    build_learner(f"llama:{adapter}", 0, CPU)


def test_a_model_that_was_saved_with_an_adapter_in_it_is_told(adapter: Path) -> None:
    path = adapter.parent / "base" / "model.safetensors"
    name = "model.layers.0.self_attn.q_proj.lora_A.weight"
    save_file({**load_file(path), name: torch.ones(4, 128)}, path, {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"base: holds an adapter \(model\.layers\.0.*lora_A"):
        build_learner(f"llama:{path.parent}", 0, CPU)


@pytest.mark.parametrize("name", ["open_clip:ViT-B-32", "vit:vit_tiny_patch16_224"])
def test_an_adapter_given_as_the_weights_of_an_image_model_is_told(name: str, adapter: Path) -> None:
    with pytest.raises(CheckpointError, match=r"adapter_model\.safetensors: holds an adapter \(base_model.*merge it"):
        build_learner(f"{name}/{adapter / WEIGHTS}", 0, CPU)

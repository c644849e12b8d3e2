"""clip-mini and mini-clip as they are shipped: parts apart, sizes, names, tokens."""

import hashlib
import io
import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image

STREAM = Path(str(files("clbench.streams"))) / "clip_domains"
MODEL = Path(str(files("clbench.learners"))) / "mini_clip"
CARD = yaml.safe_load((STREAM / "clip_mini.yaml").read_text(encoding="utf-8"))
DOMAINS: list[str] = [task["name"] for task in CARD["tasks"]]
PARTS = ("train", "validation", "test")
MEBIBYTE = 2**20


@cache
def read(domain: str, part: str) -> tuple[list[str], list[NDArray[np.uint8]], list[int], list[str]]:
    """Sample ids, images, labels and class names of one part."""
    table = pq.read_table(STREAM / CARD["data"] / domain / f"{part}.parquet")
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    images = []
    for row in table["image"].to_pylist():
        with Image.open(io.BytesIO(row["bytes"])) as image:
            assert image.mode == "RGB"
            images.append(np.asarray(image))
    return table["sample_id"].to_pylist(), images, table["label"].to_pylist(), features["label"]["names"]


def hashes(domain: str, part: str) -> Iterator[str]:
    """SHA-256 of the pixels of each image."""
    return (hashlib.sha256(image.tobytes()).hexdigest() for image in read(domain, part)[1])


def test_no_image_is_in_two_places() -> None:
    found = [pixels for domain in DOMAINS for part in PARTS for pixels in hashes(domain, part)]
    assert len(set(found)) == len(found)


def test_no_image_was_in_the_pre_training_corpus() -> None:
    corpus = set((MODEL / "corpus_hashes.txt").read_text(encoding="ascii").split())
    assert len(corpus) > 3000
    assert not corpus & {pixels[:12] for domain in DOMAINS for part in PARTS for pixels in hashes(domain, part)}


def test_sample_ids_are_unique_in_the_stream() -> None:
    ids = [sample for domain in DOMAINS for part in PARTS for sample in read(domain, part)[0]]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("domain", DOMAINS)
def test_images_are_32_by_32(domain: str) -> None:
    assert {image.shape for part in PARTS for image in read(domain, part)[1]} == {(32, 32, 3)}


@pytest.mark.parametrize("domain", DOMAINS)
def test_there_is_enough_of_each_part(domain: str) -> None:
    train, validation, test = (len(read(domain, part)[0]) for part in PARTS)
    assert train >= 350
    assert validation >= 100
    assert 200 <= test <= 800
    assert len(read(domain, "test")[3]) >= 10


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_class_can_be_learnt_and_is_tested(domain: str) -> None:
    names = read(domain, "train")[3]
    assert len(set(names)) == len(names)
    for part in PARTS:
        assert read(domain, part)[3] == names
    for part in ("train", "test"):
        assert set(read(domain, part)[2]) == set(range(len(names)))


@pytest.mark.parametrize("domain", [name for name in DOMAINS if name != "digits"])
def test_parts_are_drawn_by_different_hands(domain: str) -> None:
    train, validation, test = ({sample.partition("/")[0] for sample in read(domain, part)[0]} for part in PARTS)
    assert not train & validation
    assert not train & test
    assert not validation & test


def test_data_and_weights_are_small() -> None:
    assert sum(path.stat().st_size for path in (STREAM / CARD["data"]).rglob("*.parquet")) <= 8 * MEBIBYTE
    assert (MODEL / "model.safetensors").stat().st_size <= 6 * MEBIBYTE


def test_the_tokenizer_ends_with_the_highest_id_whatever_the_text() -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    text = json.loads((MODEL / "config.json").read_text(encoding="utf-8"))["text_cfg"]
    end = tokenizer.token_to_id("<end>")
    assert end == tokenizer.get_vocab_size() - 1 == text["vocab_size"] - 1
    for row in tokenizer.encode_batch(["", "a drawing of the animal owl", "ÆØÅ \u0107 汉字 \N{OWL}", "long " * 100]):
        ids = row.ids
        assert len(ids) == text["context_length"]
        assert ids.count(end) == 1
        assert set(ids[ids.index(end) + 1 :]) <= {0}


def test_no_prompt_of_the_card_is_cut() -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    context = json.loads((MODEL / "config.json").read_text(encoding="utf-8"))["text_cfg"]["context_length"]
    for task in CARD["tasks"]:
        for name in read(task["name"], "test")[3]:
            for template in task["templates"]:
                assert len(tokenizer.encode(template.format(name)).ids) <= context


def test_the_weights_fit_the_config() -> None:
    import open_clip
    from safetensors.torch import load_file

    model = open_clip.CLIP(**json.loads((MODEL / "config.json").read_text(encoding="utf-8")))
    weights = load_file(MODEL / "model.safetensors")
    assert weights.keys() == model.state_dict().keys()
    assert all(weights[name].shape == value.shape for name, value in model.state_dict().items())

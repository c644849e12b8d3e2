"""Whatever is wrong below a root is one clear line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.streams.conftest import torchvision_root

from clbench.core.errors import DataError
from clbench.spec.task import Split
from clbench.streams.card import load_stream
from clbench.streams.clip_domains.image_sets.known_image_sets import open_set, part_of

Damage = Callable[[Path], object]


def text(path: str, content: str) -> Damage:
    return lambda root: (root / path).write_text(content, encoding="utf-8")


def data(path: str, content: bytes) -> Damage:
    return lambda root: (root / path).write_bytes(content)


def remove(*paths: str) -> Damage:
    def damage(root: Path) -> None:
        for path in paths:
            shutil.rmtree(root / path) if (root / path).is_dir() else (root / path).unlink()

    return damage


def move(old: str, new: str) -> Damage:
    def damage(root: Path) -> None:
        (root / new).parent.mkdir(parents=True, exist_ok=True)
        (root / old).rename(root / new)

    return damage


def split_file(path: str, change: Callable[[dict[str, Any]], object]) -> Damage:
    def damage(root: Path) -> None:
        values = json.loads((root / path).read_text(encoding="utf-8"))
        change(values)
        (root / path).write_text(json.dumps(values), encoding="utf-8")

    return damage


def mat(path: str, **values: Any) -> Damage:
    def damage(root: Path) -> None:
        from scipy.io import savemat

        savemat(root / path, values)

    return damage


def tifs(root: Path) -> None:
    for path in sorted((root / "eurosat/2750").rglob("*.jpg")):
        path.rename(path.with_suffix(".tif"))


def pickled(root: Path) -> None:
    shutil.rmtree(root / "cifar-100-binary")
    (root / "cifar-100-python").mkdir()
    (root / "cifar-100-python/meta").write_bytes(b"cos\nsystem\n(S'false'\ntR.")


DTD = "dtd/split_zhou_DescribableTextures.json"
COOP: list[tuple[str, Damage, str]] = [
    ("dtd", remove("dtd"), "Describable Textures (DTD, partition 1) is missing (wanted a folder dtd or DTD)"),
    ("dtd", remove("dtd/images"), "the images of Describable Textures (DTD, partition 1) are missing (wanted images"),
    ("dtd", remove(DTD), "split_zhou_DescribableTextures.json is missing"),
    ("dtd", text(DTD, "{"), "split_zhou_DescribableTextures.json: damaged: "),
    ("dtd", text(DTD, "[]"), "wanted an object with train, val and test, got list"),
    ("dtd", text(DTD, "{}"), "'train' must be a list of [path, label, class name], got NoneType"),
    ("dtd", split_file(DTD, lambda v: v["val"].append([1, 2])), "val[4] must be [path, label, class name], got [1, 2]"),
    (
        "dtd",
        split_file(DTD, lambda v: v["test"].append(["a.jpg", True, "b"])),
        "test[6] must be [path, label, class name]",
    ),
    (
        "dtd",
        split_file(DTD, lambda v: v["train"].append(["../x.jpg", 0, "banded"])),
        "lists '../x.jpg', which is no path below the folder",
    ),
    (
        "dtd",
        split_file(DTD, lambda v: v["train"].append(["a/x.jpg", 0, "bandy"])),
        "label 0 is called both 'banded' and 'bandy'",
    ),
    (
        "dtd",
        split_file(DTD, lambda v: v["train"].append(["a/x.jpg", 9, "bandy"])),
        "labels must be 0 to 2, got 9 and no 2",
    ),
    ("dtd", split_file(DTD, lambda v: v["train"].append(v["train"][0])), "'banded/banded_0000.jpg' is listed 2 times"),
    ("dtd", split_file(DTD, lambda v: v.update(train=[])), "lists no images"),
    (
        "food101",
        split_file("food-101/split_zhou_Food101.json", lambda v: v["train"].append(["a/b.jpg", 2, "apple pie"])),
        "2 classes are named 'apple pie'",
    ),
    (
        "dtd",
        remove("dtd/images/banded/banded_0000.jpg", "dtd/images/polka-dotted/polka-dotted_0000.jpg"),
        "2 of 10 listed images are missing, the first is 'banded/banded_0000.jpg'",
    ),
    ("aircraft", remove("fgvc_aircraft/variants.txt"), "variants.txt is missing"),
    ("aircraft", text("fgvc_aircraft/images_variant_train.txt", "1 Concorde\n"), "class 'Concorde' is not among the 3"),
    ("aircraft", data("fgvc_aircraft/variants.txt", b"a\xff"), "variants.txt: wanted UTF-8 text, got byte 0xff"),
    ("mnist", data("mnist/MNIST/raw/train-images-idx3-ubyte.gz", b"nonsense"), "damaged"),
    ("mnist", remove("mnist/MNIST/raw/train-labels-idx1-ubyte.gz"), "train-labels-idx1-ubyte.gz is missing"),
    ("eurosat", tifs, "these are the 13-band .tif images of EuroSATallBands.zip (EuroSAT_MS.zip), not the RGB ones"),
]
OWN: list[tuple[str, Damage, str]] = [
    ("cifar100", pickled, "the python version, a pickle that could run code and so is never read"),
    ("cifar100", data("cifar-100-binary/train.bin", b"x" * 5000), "wanted records of 3074 bytes, got 5000 bytes"),
    ("cifar100", text("cifar-100-binary/fine_label_names.txt", "apple\nbaby\n"), "labels must be 0 to 1, got 2"),
    (
        "mnist",
        data("MNIST/raw/train-labels-idx1-ubyte", bytes((0, 0, 8, 1, 0, 0, 0, 1, 3))),
        "50 images, but 1 labels",
    ),
    ("mnist", data("MNIST/raw/train-images-idx3-ubyte", b"\0\0\x08\x03"), "not an idx file of 3 dimensions (4 bytes)"),
    ("food101", text("food-101/meta/train.json", "[1]"), "wanted lists of images by class"),
    ("food101", text("food-101/meta/train.json", "{"), "train.json: damaged"),
    ("food101", remove("food-101/meta"), "meta/train.json is missing"),
    (
        "oxford_pets",
        text("oxford-iiit-pet/annotations/trainval.txt", "Abyssinian_1 one 1 1\n"),
        "wanted lines of an image",
    ),
    (
        "oxford_pets",
        text("oxford-iiit-pet/annotations/trainval.txt", "Abyssinian_1 5 1 1\n"),
        "must be numbered from 1",
    ),
    ("stanford_cars", data("stanford_cars/devkit/cars_meta.mat", b"MATLAB"), "damaged or not a MATLAB file"),
    ("stanford_cars", mat("stanford_cars/devkit/cars_meta.mat", other=1), "the variable 'class_names' is missing"),
    (
        "stanford_cars",
        mat("stanford_cars/devkit/cars_train_annos.mat", annotations=1),
        "lack the fields class and fname",
    ),
    (
        "oxford_flowers",
        mat("flowers-102/imagelabels.mat", labels=np.array([[1, 103]])),
        "labels must be 1 to 102, got 1 to 103",
    ),
    ("oxford_flowers", mat("flowers-102/setid.mat", trnid=np.array([[31]])), "trnid must be 1 to 30, got 31 to 31"),
    (
        "sun397",
        text("SUN397/ClassName.txt", "/a/abbey\n"),
        "class 'apartment_building/outdoor' is not among the 1 classes",
    ),
    ("dtd", text("dtd/dtd/labels/train1.txt", ""), "names no classes"),
]


@pytest.mark.parametrize(
    ("convention", "case"),
    [("coop", case) for case in COOP] + [("torchvision", case) for case in OWN],
)
def test_bad_data_are_one_clear_line(
    new_root: Callable[[str], Path],
    write_card: Callable[..., str],
    convention: str,
    case: tuple[str, Damage, str],
) -> None:
    name, damage, message = case
    root = new_root(convention)
    damage(root)
    with pytest.raises(DataError) as caught:
        load_stream(write_card(name, convention=convention), str(root)).tasks[0].load("train")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(root) in str(caught.value)


def test_missing_sets_are_named_together(new_root: Callable[[str], Path], write_card: Callable[..., str]) -> None:
    root = new_root("coop")
    remove("dtd", "eurosat")(root)
    wanted = r"2 of 3 data sets of 'some' are missing: dtd, eurosat \(`clbench data check CARD.yaml --root"
    with pytest.raises(DataError, match=wanted):
        load_stream(write_card("dtd", "eurosat", "mnist"), str(root))


@pytest.mark.parametrize(
    ("name", "convention", "has"),
    [("eurosat", "torchvision", "train, test"), ("oxford_pets", "torchvision", "train, test")],
)
def test_a_part_that_the_convention_lacks(
    roots: dict[str, Path], write_card: Callable[..., str], name: str, convention: str, has: str
) -> None:
    task = load_stream(write_card(name, convention=convention), str(roots[convention])).tasks[0]
    split: Split = "validation"
    for ask in (task.load, task.fingerprint):
        with pytest.raises(DataError) as caught:
            ask(split)
        assert str(caught.value) == (
            f"data set {name}: the convention 'torchvision' has no part 'validation' (it has {has})"
        )


def test_cifar_is_no_part_of_coops_convention(roots: dict[str, Path], write_card: Callable[..., str]) -> None:
    with pytest.raises(DataError, match=r"the convention 'coop' has no CIFAR-100"):
        load_stream(write_card("cifar100"), str(roots["coop"]))


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("eurosat/2750", "EuroSAT_RGB", "eurosat"),
        ("stanford_cars/cars_train", "stanford_cars/cars_train/cars_train", "stanford_cars"),
        ("MNIST/raw", "mnist/raw", "mnist"),
        ("oxford-iiit-pet", "oxford_pets", "oxford_pets"),
        ("flowers-102", "oxford_flowers", "oxford_flowers"),
        ("fgvc-aircraft-2013b/data", "fgvc_aircraft", "aircraft"),
        ("dtd/dtd", "DTD", "dtd"),
        ("SUN397", "sun397/SUN397", "sun397"),
        ("cifar-100-binary", "cifar100/cifar-100-binary", "cifar100"),
        ("caltech101", "caltech-101", "caltech101"),
    ],
)
def test_other_names_of_folders_serve_as_well(
    new_root: Callable[[str], Path], write_card: Callable[..., str], old: str, new: str, name: str
) -> None:
    root = new_root("torchvision")
    card = write_card(name, convention="torchvision")
    before = [(row["label"], row["image"].tobytes()) for row in load_stream(card, str(root)).tasks[0].load("train")]
    move(old, "aside")(root)
    move("aside", new)(root)
    after = load_stream(card, str(root)).tasks[0].load("train")
    assert [(row["label"], row["image"].tobytes()) for row in after] == before


@pytest.fixture(scope="module")
def one_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root that the property tests damage again and again."""
    return torchvision_root(tmp_path_factory.mktemp("fuzz"))


FILES = {
    "stanford_cars": "stanford_cars/devkit/cars_train_annos.mat",
    "oxford_flowers": "flowers-102/setid.mat",
    "mnist": "MNIST/raw/train-images-idx3-ubyte",
    "food101": "food-101/meta/train.json",
    "oxford_pets": "oxford-iiit-pet/annotations/trainval.txt",
    "aircraft": "fgvc-aircraft-2013b/data/images_variant_train.txt",
    "cifar100": "cifar-100-binary/train.bin",
}


@pytest.mark.parametrize("name", FILES)
@given(position=st.floats(0, 1), junk=st.binary(min_size=0, max_size=12), cut=st.booleans())
@settings(max_examples=40)
def test_whatever_bytes_a_file_has_there_is_no_traceback(
    one_root: Path, name: str, position: float, junk: bytes, cut: bool
) -> None:
    path = one_root / FILES[name]
    whole = path.read_bytes()
    start = int(position * len(whole))
    if path.suffix == ".mat":  # damage to the header itself can crash scipy's reader, so let it be
        start = max(start, 136)
    path.write_bytes(whole[:start] + junk + (b"" if cut else whole[start + len(junk) :]))
    message = ""
    try:
        found = open_set(one_root, name, "torchvision")
        part = part_of(found, name, "torchvision", "train")
        assert part.arrays is not None or part.sizes
    except DataError as error:
        message = str(error)
    finally:
        path.write_bytes(whole)
    assert "\n" not in message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["train", "val", "test", "x"]), inner),
    max_leaves=12,
)


@given(values=JSON)
@settings(max_examples=100)
def test_whatever_a_split_file_says_there_is_no_traceback(one_root: Path, values: object) -> None:
    path = one_root / "dtd/dtd/split_zhou_DescribableTextures.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        part_of(open_set(one_root, "dtd", "coop"), "dtd", "coop", "train")
    assert "\n" not in str(caught.value)

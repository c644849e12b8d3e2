"""Small made-up data sets in the true layouts and file formats of MTIL, X-TAIL and TA8."""

import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


@dataclass(frozen=True)
class Sizes:
    """Images a class: so many train, two validate, three test."""

    training: int = 5

    @property
    def each(self) -> int:
        """All of them."""
        return self.training + 5

    @property
    def parts(self) -> dict[str, slice]:
        """Which of a class's images are in which part of CoOp's split."""
        validated = self.training + 2
        return {
            "train": slice(0, self.training),
            "val": slice(self.training, validated),
            "test": slice(validated, None),
        }


GTSRB_COLUMNS = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"
Images = dict[str, list[str]]
"""Paths below the folder of images, by class."""


def write_jpg(path: Path) -> None:
    """An image, a JPEG unless its name says otherwise, whose pixels depend on its name alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(list(path.name.encode() + path.parent.name.encode()))
    image = Image.fromarray(rng.integers(0, 256, (9, 8, 3), dtype=np.uint8))
    image.save(path, "ppm" if path.suffix == ".ppm" else "jpeg")


def write_lines(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_split(n: Sizes, path: Path, images: Images) -> None:
    """CoOp's split file; labels in the order of the classes."""
    items = list(enumerate(images.items()))
    rows = {
        key: [[p, label, name] for label, (name, paths) in items for p in paths[part]] for key, part in n.parts.items()
    }
    path.write_text(json.dumps(rows), encoding="utf-8")


def write_all(folder: Path, images: Images) -> None:
    for path in (path for paths in images.values() for path in paths):
        write_jpg(folder / path)


def aircraft(n: Sizes, folder: Path) -> None:
    variants = ["F-16A/B", "707-320", "Boeing 717"]
    names = {variant: [f"{label:03d}{row:04d}" for row in range(n.each)] for label, variant in enumerate(variants)}
    write_all(folder / "images", {variant: [f"{name}.jpg" for name in names[variant]] for variant in variants})
    write_lines(folder / "variants.txt", variants)
    for key, part in n.parts.items():
        rows = [f"{name} {variant}" for variant in variants for name in names[variant][part]]
        write_lines(folder / f"images_variant_{key}.txt", rows)


def caltech101(n: Sizes, folder: Path) -> None:
    raw = ["BACKGROUND_Google", "Faces", "Faces_easy", "accordion", "car_side"]
    images = {name: [f"{name}/image_{row:04d}.jpg" for row in range(1, n.each + 1)] for name in raw}
    write_all(folder / "101_ObjectCategories", images)
    names = {"face": "Faces", "accordion": "accordion", "car_side": "car_side"}
    write_split(n, folder / "split_zhou_Caltech101.json", {name: images[key] for name, key in names.items()})


def cifar100(n: Sizes, folder: Path) -> None:
    folder.mkdir(parents=True)
    write_lines(folder / "fine_label_names.txt", ["apple", "aquarium_fish", "baby"])
    rng = np.random.default_rng(0)
    for name, each in {"train": n.training, "test": 3}.items():
        records = rng.integers(0, 256, (3 * each, 2 + 3072), dtype=np.uint8)
        records[:, 1] = np.arange(3 * each) % 3
        (folder / f"{name}.bin").write_bytes(records.tobytes())


def dtd(n: Sizes, folder: Path) -> None:
    images = {name: [f"{name}/{name}_{row:04d}.jpg" for row in range(n.each)] for name in ("banded", "polka-dotted")}
    write_all(folder / "images", images)
    for key, part in n.parts.items():
        write_lines(folder / "labels" / f"{key}1.txt", [path for paths in images.values() for path in paths[part]])
    write_split(n, folder / "split_zhou_DescribableTextures.json", images)


def eurosat(n: Sizes, folder: Path) -> None:
    raw = ["AnnualCrop", "River", "SeaLake"]
    images = {name: [f"{name}/{name}_{row}.jpg" for row in range(1, n.each + 1)] for name in raw}
    write_all(folder / "2750", images)
    names = ["Annual Crop Land", "River", "Sea or Lake"]
    split = {name: images[key] for name, key in zip(names, raw, strict=True)}
    write_split(n, folder / "split_zhou_EuroSAT.json", split)


def food101(n: Sizes, folder: Path) -> None:
    images = {name: [f"{name}/{row + 100}.jpg" for row in range(n.each)] for name in ("apple_pie", "waffles")}
    write_all(folder / "images", images)
    (folder / "meta").mkdir()
    for key, part in {"train": n.parts["train"], "test": n.parts["test"]}.items():
        rows = {name: [path.removesuffix(".jpg") for path in paths[part]] for name, paths in reversed(images.items())}
        (folder / "meta" / f"{key}.json").write_text(json.dumps(rows), encoding="utf-8")
    write_split(n, folder / "split_zhou_Food101.json", images)


def gtsrb(n: Sizes, folder: Path) -> None:
    numbers = {f"{label:05d}": label for label in range(3)}
    for name in numbers:
        rows = [f"{row // 3:05d}_{row % 3:05d}.ppm" for row in range(n.training + 2)]
        write_all(folder / "GTSRB" / "Training" / name, {name: rows})
        lines = [f"{row};8;9;1;1;7;8;{numbers[name]}" for row in rows]
        write_lines(folder / "GTSRB" / "Training" / name / f"GT-{name}.csv", [GTSRB_COLUMNS, *lines])
    tested = [(f"{row:05d}.ppm", row % 3) for row in range(9)]
    write_all(folder / "GTSRB" / "Final_Test" / "Images", {"": [name for name, _ in tested]})
    lines = [f"{name};8;9;1;1;7;8;{label}" for name, label in tested]
    write_lines(folder / "GT-final_test.csv", [GTSRB_COLUMNS, *lines])


def resisc45(n: Sizes, folder: Path) -> None:
    raw = ["railway", "railway_station", "sea_ice"]
    images = {name: [f"{name}_{row + 1:03d}.jpg" for row in range(n.each)] for name in raw}
    write_all(folder / "NWPU-RESISC45", {name: [f"{name}/{row}" for row in rows] for name, rows in images.items()})
    for key, part in n.parts.items():
        rows = [row for name in reversed(raw) for row in images[name][part]]
        write_lines(folder / f"resisc45-{key}.txt", rows)


def svhn(n: Sizes, folder: Path) -> None:
    from scipy.io import savemat

    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for key, count in {"train": 10 * n.training, "test": 30}.items():
        values = {
            "X": rng.integers(0, 256, (32, 32, 3, count), dtype=np.uint8),
            "y": (np.arange(count) % 10 + 1).astype(np.uint8)[:, None],
        }
        savemat(folder / f"{key}_32x32.mat", values, do_compression=True)


def mnist(n: Sizes, folder: Path, packed: bool) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for stem, count in {"train": 10 * n.training, "t10k": 30}.items():
        images, labels = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8), np.arange(count, dtype=np.uint8) % 10
        for name, values in {"images-idx3": images, "labels-idx1": labels}.items():
            header = bytes((0, 0, 8, values.ndim)) + np.asarray(values.shape, dtype=">i4").tobytes()
            data = header + values.tobytes()
            path = folder / f"{stem}-{name}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(data) if packed else data)


def oxford_flowers(n: Sizes, folder: Path) -> None:
    from scipy.io import savemat

    labels = np.arange(3 * n.each) % 3 + 1
    names = [f"image_{row + 1:05d}.jpg" for row in range(3 * n.each)]
    images = {
        name: [path for path, label in zip(names, labels, strict=True) if label == number]
        for number, name in enumerate(("pink primrose", "globe-flower", "canterbury bells"), 1)
    }
    write_all(folder / "jpg", images)
    savemat(folder / "imagelabels.mat", {"labels": labels.astype(np.uint8)[None]}, do_compression=True)
    ids = np.random.default_rng(0).permutation(3 * n.each) + 1
    savemat(
        folder / "setid.mat",
        {"trnid": ids[None, : 3 * n.training], "valid": ids[None, 3 * n.training : -9], "tstid": ids[None, -9:]},
        do_compression=True,
    )
    write_split(n, folder / "split_zhou_OxfordFlowers.json", images)


def oxford_pets(n: Sizes, folder: Path) -> None:
    raw = ["Abyssinian", "american_bulldog", "Bengal"]
    images = {name: [f"{name}_{row}.jpg" for row in range(n.each)] for name in raw}
    write_all(folder / "images", images)
    for key, part in {"trainval": slice(0, n.training + 2), "test": n.parts["test"]}.items():
        rows = [f"{p[:-4]} {label} 1 1" for label, name in enumerate(raw, 1) for p in images[name][part]]
        write_lines(folder / "annotations" / f"{key}.txt", rows)
    write_split(n, folder / "split_zhou_OxfordPets.json", {name.lower(): paths for name, paths in images.items()})


def stanford_cars(n: Sizes, folder: Path) -> None:
    from scipy.io import savemat

    classes = ["AM General Hummer SUV 2000", "Acura RL Sedan 2012", "smart fortwo Convertible 2012"]
    (folder / "devkit").mkdir(parents=True)
    savemat(
        folder / "devkit" / "cars_meta.mat", {"class_names": np.array(classes, dtype=object)[None]}, do_compression=True
    )
    files = {"train": folder / "devkit/cars_train_annos.mat", "test": folder / "cars_test_annos_withlabels.mat"}
    images: Images = {f"{name[-4:]} {name[:-5]}": [] for name in classes}
    fields = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")
    for key, each in {"train": n.training + 2, "test": 3}.items():
        rows = [(1, 1, 8, 9, row % 3 + 1, f"{row + 1:05d}.jpg") for row in range(3 * each)]
        savemat(
            files[key],
            {"annotations": np.array([rows], dtype=[(name, object) for name in fields])},
            do_compression=True,
        )
        for row in rows:
            write_jpg(folder / f"cars_{key}" / row[-1])
            images[list(images)[row[4] - 1]].append(f"cars_{key}/{row[-1]}")
    write_split(n, folder / "split_zhou_StanfordCars.json", images)


def sun397(n: Sizes, folder: Path, split: Path) -> None:
    raw = ["/a/abbey", "/a/apartment_building/outdoor", "/b/bakery/shop"]
    images = {name: [f"{name[1:]}/sun_a{row:03d}.jpg" for row in range(n.each)] for name in raw}
    write_all(folder, images)
    write_lines(folder / "ClassName.txt", raw)
    for key, part in {"Training": n.parts["train"], "Testing": n.parts["test"]}.items():
        rows = [f"/{path}" for name in reversed(raw) for path in images[name][part]]
        write_lines(folder / f"{key}_01.txt", rows)
    names = {" ".join(reversed(name.split("/")[2:])): paths for name, paths in images.items()}
    write_split(n, split / "split_zhou_SUN397.json", names)


def torchvision_root(root: Path, n: Sizes = Sizes()) -> Path:
    """All sets as torchvision's classes want them, and so MTIL's code and that of task arithmetic."""
    aircraft(n, root / "fgvc-aircraft-2013b" / "data")
    caltech101(n, root / "caltech101")
    cifar100(n, root / "cifar-100-binary")
    dtd(n, root / "dtd" / "dtd")
    eurosat(n, root / "eurosat")
    food101(n, root / "food-101")
    gtsrb(n, root / "gtsrb")
    mnist(n, root / "MNIST" / "raw", packed=False)
    oxford_flowers(n, root / "flowers-102")
    oxford_pets(n, root / "oxford-iiit-pet")
    resisc45(n, root / "resisc45")
    stanford_cars(n, root / "stanford_cars")
    sun397(n, root / "SUN397", root / "SUN397")
    svhn(n, root / "svhn")
    return root


def coop_root(root: Path, n: Sizes = Sizes()) -> Path:
    """All sets as CoOp's guide and the README of X-TAIL's code want them."""
    aircraft(n, root / "fgvc_aircraft")
    caltech101(n, root / "caltech-101")
    cifar100(n, root / "cifar100" / "cifar-100-binary")
    dtd(n, root / "dtd")
    eurosat(n, root / "eurosat")
    food101(n, root / "food-101")
    mnist(n, root / "mnist" / "MNIST" / "raw", packed=True)
    oxford_flowers(n, root / "oxford_flowers")
    oxford_pets(n, root / "oxford_pets")
    stanford_cars(n, root / "stanford_cars")
    sun397(n, root / "sun397" / "SUN397", root / "sun397")
    return root


MAKERS: dict[str, Callable[..., Path]] = {"torchvision": torchvision_root, "coop": coop_root}
LAYOUTS = {"task-arithmetic": "torchvision"}
"""Conventions whose data lie as another one's do."""


@pytest.fixture(scope="session")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A root in the layout of each convention; not to be changed."""
    found = {name: make(tmp_path_factory.mktemp(name)) for name, make in MAKERS.items()}
    return {**found, **{name: found[layout] for name, layout in LAYOUTS.items()}}


@pytest.fixture(scope="session")
def few_shot_roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same with images enough for 16 shots."""
    return {name: make(tmp_path_factory.mktemp(name), Sizes(16)) for name, make in MAKERS.items()}


@pytest.fixture
def new_root(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a root in the layout of a convention, to be changed by the test."""
    return lambda convention: MAKERS[LAYOUTS.get(convention, convention)](tmp_path / "root")


@pytest.fixture
def write_card(tmp_path: Path) -> Callable[..., str]:
    """Writes the card of a stream of some data sets and returns its path."""
    import yaml

    def write(*datasets: str, convention: str = "coop", name: str = "some", **settings: Any) -> str:
        source = {key: settings.pop(key) for key in ("short",) if key in settings}
        card = {
            "name": name,
            "description": "Made up.",
            "loader": "image-sets",
            "learner": "mini-clip",
            "protocols": ["task-id"],
            "order_reason": "none",
            "tasks": [
                {
                    "name": dataset,
                    "kind": "classification",
                    "metric": "accuracy",
                    "source": {"dataset": dataset, "convention": convention, **source},
                }
                for dataset in datasets
            ],
            **settings,
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(card), encoding="utf-8")
        return str(path)

    return write

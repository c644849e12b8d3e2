"""Small made-up ultrasound sets in the true layouts and file formats, and what is true of them."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Truths = dict[str, Any]
"""What is true of each sample, by task and name: a label, a value, boxes or a mask; under `<task> parts` the part of
each, where the data say it, and under `images` the images."""

HEIGHT, WIDTH = 20, 26


def image(*words: object) -> NDArray[np.uint8]:
    """A grey image that depends on the words alone."""
    rng = np.random.default_rng(list(repr(words).encode()))
    return rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)


def save(path: Path, values: NDArray[Any], mode: str | None = None, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(values, np.uint8))
    (image.convert(mode) if mode else image).save(path, **options)


def block(top: int, left: int, value: int = 1) -> NDArray[np.uint8]:
    """A mask with one block."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[top : top + 5, left : left + 6] = value
    return mask


def busi(folder: Path) -> Truths:
    """Several lesions, masks of four modes, numbers that sort otherwise than letters."""
    true: Truths = {"segmentation": {}, "classification": {}, "images": {}}
    for label, name in enumerate(("benign", "malignant", "normal")):
        for number in (1, 2, 10):
            stem, home = f"{name} ({number})", folder / "Dataset_BUSI_with_GT" / name
            true["images"][stem] = image(stem)
            save(home / f"{stem}.png", true["images"][stem], "RGBA" if number == 2 else None)
            mask = block(2, 3) if name != "normal" else block(2, 3, 0)
            save(home / f"{stem}_mask.png", mask * 255, {1: "L", 2: "RGBA", 10: "1"}[number])
            if name == "malignant" and number == 2:
                for extra, lesion in enumerate((block(8, 1), block(12, 15)), 1):
                    save(home / f"{stem}_mask_{extra}.png", lesion * 255, "RGB")
                    mask = mask | lesion
            true["segmentation"][stem] = mask
            true["classification"][stem] = label
    return true


def hc18(folder: Path) -> Truths:
    """Thin outlines, one of them cut off by the border, and a second image of one head."""
    true: Truths = {"segmentation": {}, "circumference": {}, "circumference-pixels": {}, "images": {}}
    home = folder / "HC18" / "training_set" / "training_set"
    lines = ["filename,pixel size(mm),head circumference (mm)"]
    heads = {
        "000_HC": (70, 50, 45, 30),
        "001_HC": (80, 60, 50, 40),
        "001_2HC": (75, 55, 48, 36),
        "002_HC": (20, 50, 50, 30),
    }
    for stem, (x, y, a, b) in heads.items():
        ys, xs = np.mgrid[:110, :150]
        true["segmentation"][stem] = ((xs - x) ** 2 / a**2 + (ys - y) ** 2 / b**2 <= 1).astype(np.uint8)
        outline = Image.new("L", (150, 110), 0)
        ImageDraw.Draw(outline).ellipse((x - a, y - b, x + a, y + b), outline=255, width=2)
        true["images"][stem] = np.asarray(outline) // 2
        save(home / f"{stem}.png", true["images"][stem])
        save(home / f"{stem}_Annotation.png", np.asarray(outline))
        pixels = math.pi * (3 * (a + b) - math.sqrt((3 * a + b) * (a + 3 * b)))
        lines.append(f"{stem}.png,0.25,{pixels / 4:.6f}")
        true["circumference"][stem] = pixels / 4
        true["circumference-pixels"][stem] = pixels
    (folder / "HC18" / "training_set_pixel_size_and_HC.csv").write_text("\n".join(lines), encoding="utf-8")
    return true


def camus(folder: Path) -> Truths:
    """NIfTI, (width, height) as it is stored, with the published split and sequences that are not read."""
    true: Truths = {task: {} for task in ("segmentation", "view", "quality", "segmentation parts", "images")}
    home = folder / "CAMUS_public" / "database_nifti"
    for number, split in enumerate(("train", "train", "validation", "test"), 1):
        patient = f"patient{number:04d}"
        (home / patient).mkdir(parents=True)
        for view_number, view in enumerate(("2CH", "4CH")):
            quality = ("Poor", "Medium", "Good")[(number + view_number) % 3]
            info = f"ED: 1\nES: 12\nNbFrame: 12\nSex: F\nAge: 56\nImageQuality: {quality}\nEF: 55.5\nFrameRate: 50\n"
            (home / patient / f"Info_{view}.cfg").write_text(info, encoding="utf-8")
            for instant in ("ED", "ES"):
                stem = f"{patient}_{view}_{instant}"
                mask = block(2, 3, 1) + block(8, 12, 2) + block(14, 3, 3)
                true["images"][stem], true["segmentation"][stem] = image(stem), mask
                nifti(home / patient / f"{stem}.nii.gz", image(stem).T)
                nifti(home / patient / f"{stem}_gt.nii.gz", mask.T)
                true["view"][stem] = view_number
                true["quality"][stem] = (number + view_number) % 3
                true["segmentation parts"][stem] = split
            nifti(home / patient / f"{patient}_{view}_half_sequence.nii.gz", np.zeros((WIDTH, HEIGHT, 3), np.uint8))
    split_folder = folder / "CAMUS_public" / "database_split"
    split_folder.mkdir()
    for name, patients in {"training": (1, 2), "validation": (3,), "testing": (4,)}.items():
        text = "".join(f"patient{number:04d}\n" for number in patients)
        (split_folder / f"subgroup_{name}.txt").write_text(text, encoding="utf-8")
    return true


def nifti(path: Path, values: NDArray[Any]) -> None:
    nibabel.save(nibabel.Nifti1Image(values, np.diag([0.3, 0.15, 1, 1])), path)


def fetal_planes(folder: Path) -> Truths:
    """A header with a trailing blank; planes with blanks and other capitals."""
    true: Truths = {"plane": {}, "brain-plane": {}, "images": {}, "patients": {}}
    planes = ("Fetal abdomen", "Fetal brain", "Fetal femur", "Fetal thorax", "Maternal cervix", "Other")
    brains = ("Trans-thalamic", "Trans-cerebellum", "Trans-ventricular", "Other")
    home = folder / "FETAL_PLANES_ZENODO"
    lines = ["Image_name;Patient_num;Plane;Brain_plane;Operator;US_Machine;Train "]
    for number in range(24):
        stem = f"Patient{number // 2:05d}_Plane{number % 6 + 1}_{number + 1}_of_24"
        plane, brain = number % 6, number % 4
        name = brains[brain] if plane == 1 else "Not A Brain"
        lines.append(f"{stem};{number // 2};{planes[plane]};{name};Op. 1;Voluson E6;{int(number < 16)}")
        true["images"][stem] = image(stem)
        save(home / "Images" / f"{stem}.png", image(stem))
        true["plane"][stem] = plane
        true["patients"][stem] = number // 2
        if plane == 1:
            true["brain-plane"][stem] = brain
    (home / "FETAL_PLANES_DB_data.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return true


def ddti(folder: Path) -> Truths:
    """The original: XML with outlines in JSON, one cut off, one empty, two nodules in one image, no score in one."""
    true: Truths = {"segmentation": {}, "classification": {}, "images": {}}
    home = folder / "DDTI"
    square = [{"x": 4, "y": 3}, {"x": 10, "y": 3}, {"x": 10, "y": 9}, {"x": 4, "y": 9}]
    other = [{"x": x + 10, "y": y + 8} for x, y in ((0, 0), (5, 0), (5, 5), (0, 5))]

    def region(points: list[dict[str, int]]) -> dict[str, Any]:
        return {"points": points, "annotation": {}, "regionType": "freehand"}

    one, two = np.zeros((HEIGHT, WIDTH), np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8)
    one[3:10, 4:11] = two[3:10, 4:11] = two[8:14, 10:16] = 1
    texts = {
        "1_1": json.dumps([region(square)]),
        "1_2": json.dumps([region(square), region(other)]),
        "2_1": json.dumps([region(square)])[:-20],
        "10_1": "",
        "11_1": json.dumps([region(square)]),
    }
    for case, tirads in {"1": "4a", "2": "3", "10": "5", "11": ""}.items():
        marks = [name for name in texts if name.startswith(f"{case}_")]
        inner = "".join(
            f"<mark><image>{name.partition('_')[2]}</image><svg>{texts[name]}</svg></mark>" for name in marks
        )
        home.mkdir(parents=True, exist_ok=True)
        text = f'<?xml version="1.0"?><case><number>{case}</number><age/><tirads>{tirads}</tirads>{inner}</case>'
        (home / f"{case}.xml").write_text(text, encoding="utf-8")
        for name in marks:
            true["images"][name] = None  # a JPEG is not what was written
            save(home / f"{name}.jpg", image(name))
            if tirads:
                true["classification"][name] = int(tirads != "3")
    true["segmentation"] = {"1_1": one, "1_2": two, "11_1": one}
    return true


def tn3k(folder: Path) -> Truths:
    """JPEG masks, labels without a header, a fold by places in the list sorted by number."""
    true: Truths = {task: {} for task in ("segmentation", "classification", "segmentation parts", "images")}
    home = folder / "tn3k"
    for part, names in {"trainval": ("2", "0", "10", "1", "11"), "test": ("0", "1")}.items():
        lines = []
        for name in names:
            key, mask = f"{part}/{int(name):04d}", np.kron(block(4, 6 + len(true["images"])), np.ones((8, 8)))
            save(home / f"{part}-image" / f"{int(name):04d}.jpg", np.kron(image(key), np.ones((8, 8))))
            save(home / f"{part}-mask" / f"{int(name):04d}.jpg", mask * 255, quality=75)
            lines.append(f"{int(name):04d}.jpg,{int(name) % 2}")
            true["images"][key] = None
            true["segmentation"][key] = mask
            true["classification"][key] = int(name) % 2
            true["segmentation parts"][key] = "test" if part == "test" else "train"
        (home / f"label4{part}.csv").write_text("\n".join(lines), encoding="utf-8")
    (home / "tn3k-trainval-fold0.json").write_text(json.dumps({"train": [0, 1, 3], "val": [2, 4]}), encoding="utf-8")
    true["segmentation parts"]["trainval/0002"] = true["segmentation parts"]["trainval/0011"] = "validation"
    return true


def tn5000(folder: Path) -> Truths:
    """PASCAL VOC."""
    true: Truths = {task: {} for task in ("detection", "classification", "detection parts", "images")}
    home = folder / "TN5000_forReview"
    for part, split in {"train": "train", "val": "validation", "test": "test"}.items():
        names = [f"{part[0]}{number:05d}" for number in range(3)]
        for number, name in enumerate(names):
            save(home / "JPEGImages" / f"{name}.jpg", image(name))
            box = (1 + number, 2, 9 + number, 12)
            inner = "".join(
                f"<{corner}>{value}</{corner}>"
                for corner, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
            )
            text = f"<annotation><object><name>{number % 2}</name><bndbox>{inner}</bndbox></object></annotation>"
            (home / "Annotations").mkdir(exist_ok=True)
            (home / "Annotations" / f"{name}.xml").write_text(text, encoding="utf-8")
            true["images"][name], true["detection"][name] = None, [list(map(float, box))]
            true["classification"][name] = number % 2
            true["detection parts"][name] = split
        (home / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
        (home / "ImageSets" / "Main" / f"{part}.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    return true


def breast_mnist(folder: Path) -> Truths:
    """Two sizes, of which the larger one is read."""
    true: Truths = {"classification": {}, "classification parts": {}, "images": {}}
    (folder / "BreastMNIST").mkdir(parents=True)
    for side, name in ((28, "breastmnist.npz"), (64, "breastmnist_64.npz")):
        arrays: dict[str, NDArray[np.uint8]] = {}
        for part, count in {"train": 5, "val": 2, "test": 3}.items():
            rng = np.random.default_rng(side + count)
            arrays[f"{part}_images"] = rng.integers(0, 256, (count, side, side), dtype=np.uint8)
            arrays[f"{part}_labels"] = (np.arange(count, dtype=np.uint8) % 2)[:, None]
            for number in range(count):
                key = f"{part}/{number:04d}"
                true["images"][key] = arrays[f"{part}_images"][number]
                true["classification"][key] = number % 2
                true["classification parts"][key] = "validation" if part == "val" else part
        np.savez_compressed(folder / "BreastMNIST" / name, **arrays)  # type: ignore[arg-type]
    return true


def bus_bra(folder: Path) -> Truths:
    """Several images a case, masks of 0 and 255, boxes as x, y, width, height."""
    true: Truths = {task: {} for task in ("segmentation", "classification", "detection", "images", "patients")}
    home = folder / "BUSBRA"
    lines = ["ID,Case,Histology,Pathology,BIRADS,Device,Width,Height,Side,BBOX"]
    for number in range(12):
        name, mask = f"{number // 2 + 1:04d}-{'lr'[number % 2]}", block(3, number)
        save(home / "Images" / f"bus_{name}.png", image(name))
        save(home / "Masks" / f"mask_{name}.png", mask * 255)
        kind = ("benign", "malignant")[number // 2 % 2]
        lines.append(f'bus_{name},{number // 2 + 1},x,{kind},4,GE,26,20,left,"[{number}, 3, 6, 5]"')
        key = f"bus_{name}"
        true["images"][key], true["segmentation"][key] = image(name), mask
        true["classification"][key] = number // 2 % 2
        true["detection"][key] = [[number, 3, number + 6, 8]]
        true["patients"][key] = number // 2 + 1
    (home / "bus_data.csv").write_text("\n".join(lines), encoding="utf-8")
    return true


def psfhs(folder: Path) -> Truths:
    """MetaImage, three equal slices, compressed; labels 0, 1, 2."""
    true: Truths = {"segmentation": {}, "images": {}}
    for part in ("image_mha", "label_mha"):
        (folder / "PSFHS" / part).mkdir(parents=True)
    for number in range(1, 13):
        stem, mask = f"{number:05d}", block(2, number, 1) + block(10, 8, 2)
        slices = SimpleITK.GetImageFromArray(np.stack([image(stem)] * 3))
        SimpleITK.WriteImage(slices, str(folder / "PSFHS" / "image_mha" / f"{stem}.mha"), True)
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(mask), str(folder / "PSFHS" / "label_mha" / f"{stem}.mha"))
        true["images"][stem], true["segmentation"][stem] = image(stem), mask
    return true


WRITERS: dict[str, Callable[[Path], Truths]] = {
    "breast-mnist": breast_mnist,
    "bus-bra": bus_bra,
    "busi": busi,
    "camus": camus,
    "ddti": ddti,
    "fetal-planes": fetal_planes,
    "hc18": hc18,
    "psfhs": psfhs,
    "tn3k": tn3k,
    "tn5000": tn5000,
}

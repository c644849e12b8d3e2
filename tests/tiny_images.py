"""A made-up stream of images of all kinds, in the layout of FMC_UIA: a bright disc on noise, 40 x 32 pixels."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

WIDTH, HEIGHT = 40, 32
SIZES = {"train": 16, "validation": 4, "test": 7}
TASKS: list[dict[str, Any]] = [
    {"name": "disc", "kind": "segmentation", "metric": "dice", "source": {"classes": ["background", "disc"]}},
    {"name": "tone", "kind": "classification", "metric": "accuracy", "source": {"classes": ["dark", "bright"]}},
    {"name": "shade", "kind": "classification", "metric": "accuracy", "source": {"classes": ["dark", "bright"]}},
    {"name": "box", "kind": "detection", "metric": "iou", "source": {"boxes": 1}},
    {"name": "ends", "kind": "regression", "metric": "point_accuracy", "source": {"points": 2}},
    {
        "name": "size",
        "kind": "regression",
        "metric": "value_accuracy",
        "source": {"value_range": [3, 12], "unit": "px"},
    },
]


def write_stream(folder: Path, learner: str, names: tuple[str, ...] = ("disc", "tone", "box", "ends", "size")) -> str:
    """Writes data and card, returns the card's path."""
    tasks = [task for task in TASKS if task["name"] in names]
    for number, task in enumerate(tasks):
        _write_task(folder / "data", task["name"], np.random.default_rng(number))
    card = {
        "name": "tiny-images",
        "description": "Discs on noise.",
        "loader": "fmc-uia",
        "data": "data",
        "learner": learner,
        "protocols": ["task-id"],
        "order_reason": "none",
        "tasks": [{**task, "source": {"task_id": task["name"], **task["source"]}} for task in tasks],
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    return str(folder / "tiny.yaml")


def _write_task(root: Path, name: str, rng: np.random.Generator) -> None:
    (root / "images").mkdir(parents=True, exist_ok=True)
    (root / "csv_files").mkdir(exist_ok=True)
    rows = []
    for split, size in SIZES.items():
        for index in range(size):
            stem = f"{name}_{split}_{index}"
            radius, bright = int(rng.integers(4, 11)), index % 2
            x, y = rng.integers(radius, [WIDTH - radius, HEIGHT - radius])
            down, across = np.mgrid[:HEIGHT, :WIDTH]
            inside = (across - x) ** 2 + (down - y) ** 2 <= radius**2
            image = rng.normal(40 + 60 * bright, 10, (HEIGHT, WIDTH)) + 100 * inside
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(root / "images" / f"{stem}.png")
            row = {"image_path": f"../images/{stem}.png", "task_id": name, "split": split, "patient": stem}
            if name == "disc":
                Image.fromarray(inside.astype(np.uint8)).save(root / "images" / f"{stem}_mask.png")
            rows.append(row | TRUTHS[name](stem, int(x), int(y), radius, bright))
    with (root / "csv_files" / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


TRUTHS: dict[str, Callable[[str, int, int, int, int], dict[str, object]]] = {
    "disc": lambda stem, x, y, r, bright: {
        "task_name": "segmentation",
        "num_classes": 2,
        "mask_path": f"../images/{stem}_mask.png",
    },
    "tone": lambda stem, x, y, r, bright: {"task_name": "classification", "num_classes": 2, "mask": bright},
    "shade": lambda stem, x, y, r, bright: {"task_name": "classification", "num_classes": 2, "mask": 1 - bright},
    "box": lambda stem, x, y, r, bright: {
        "task_name": "detection",
        "num_classes": 1,
        "x_min": x - r,
        "y_min": y - r,
        "x_max": x + r,
        "y_max": y + r,
    },
    "ends": lambda stem, x, y, r, bright: {
        "task_name": "Regression",
        "num_classes": 2,
        "point_1_xy": f"[{x - r}, {y}]",
        "point_2_xy": f"[{x + r}, {y}]",
    },
    "size": lambda stem, x, y, r, bright: {"task_name": "Regression", "num_classes": 1, "value": r},
}

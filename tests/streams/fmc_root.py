"""A small made-up data set in the layout of FMC_UIA: four kinds, official columns, names as people give them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

HEADERS = {
    "Seg-Two": "image_path,mask_path,task_id,task_name,num_classes",
    "Cls-Three": "image_path,mask,task_id,task_name,num_classes",
    "Det-One": "image_path,task_id,task_name,num_classes,x_min,y_min,x_max,y_max",
    "Reg-Two": "image_path,task_id,task_name,num_classes,point_1_xy,point_2_xy",
}

TASKS: list[dict[str, Any]] = [
    {
        "name": "heart",
        "kind": "segmentation",
        "metric": "dice",
        "source": {"task_id": "cardiac_multi", "classes": ["background", "wall", "cavity"]},
    },
    {
        "name": "breast",
        "kind": "classification",
        "metric": "accuracy",
        "source": {"task_id": "breast_3cls", "classes": ["a", "b", "c"]},
    },
    {"name": "fibroid", "kind": "detection", "metric": "iou", "source": {"task_id": "fibroid_det"}},
    {"name": "cervix", "kind": "regression", "metric": "point_accuracy", "source": {"task_id": "FUGC", "points": 2}},
]
CARD: dict[str, Any] = {
    "name": "made-up",
    "description": "Four tasks.",
    "loader": "fmc-uia",
    "learner": "vit:none",
    "protocols": ["task-id"],
    "order_reason": "None.",
    "tasks": TASKS,
}


@dataclass
class FmcRoot:
    """A root, and what was written into it.

    Attributes:
        folder: The root.
        images: `(height, width)` by path below the root; masks too.
        rows: Cells of each CSV file.
    """

    folder: Path
    images: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    rows: dict[str, list[str]] = field(default_factory=dict)

    @property
    def card(self) -> str:
        return str(self.folder / "card.yaml")

    def csv(self, name: str) -> Path:
        return self.folder / "csv_files" / f"{name}.csv"

    def image(self, path: str, values: NDArray[np.uint8]) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(file)
        self.images[path] = values

    def write(self, encoding: str = "utf-8") -> None:
        """The CSV files as the rows now are."""
        for name, lines in self.rows.items():
            self.csv(name).parent.mkdir(exist_ok=True)
            text = "\n".join([HEADERS[name], *lines]) + "\n"
            self.csv(name).write_bytes(text.encode(encoding))

    def write_card(self, tasks: list[dict[str, Any]]) -> None:
        (self.folder / "card.yaml").write_text(yaml.safe_dump({**CARD, "tasks": tasks}), encoding="utf-8")


def fmc_root(folder: Path, each: int = 30) -> FmcRoot:
    """`each` images a task, 12 wide and 10 high, every one different."""
    root, rng, heart = FmcRoot(folder), np.random.default_rng(0), "Segmentation/Three"
    for number in range(each):
        for task in ("Segmentation/Three", "Classification/Three", "Detection/One", "Regression"):
            name = f"{task}/data (1), new/{number:03d}.png"
            root.image(name, rng.integers(0, 256, (10, 12), dtype=np.uint8))
        mask = np.zeros((10, 12), np.uint8)
        mask[2 : 4 + number % 3, 3:8] = 1 + number % 2
        root.image(f"Segmentation/Three/masks/{number:03d}.png", mask)
    root.rows = {
        "Seg-Two": [
            f'"../{heart}/data (1), new/{n:03d}.png",../{heart}/masks/{n:03d}.png,cardiac_multi,segmentation,3'
            for n in range(each)
        ],
        "Cls-Three": [
            f'"../Classification/Three/data (1), new/{n:03d}.png",{n % 3},breast_3cls,classification,3'
            for n in range(each)
        ],
        "Det-One": [
            f'"../Detection/One/data (1), new/{n:03d}.png",fibroid_det,detection,1,{n % 4},1.5,{n % 4 + 6},9'
            for n in range(each)
        ],
        "Reg-Two": [
            f'"../Regression/data (1), new/{n:03d}.png",FUGC,Regression,2,"[{n % 12}, 2.5]","[3, {n % 10}]"'
            for n in range(each)
        ],
    }
    root.write()
    root.write_card(TASKS)
    return root

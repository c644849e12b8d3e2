"""A page of the stream's images with their truth.

`PYTHONPATH=tools python -m clbench_tools.ultrasound_mini.sheet --data DATA --out FILE`. The first image of a task
is bare; on the others masks are outlined, and boxes and points are drawn.
"""

import argparse
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from clbench_tools.ultrasound_mini.mini_tasks import TASKS
from clbench_tools.ultrasound_simulator.canvas import Labels

IMAGES, SCALE, MARGIN, CAPTION = 6, 2, 4, 14
OUTLINES = ((255, 200, 0), (0, 220, 255), (255, 90, 160))
"""Colours of the classes of a mask, without the background."""


def main() -> None:
    """Draw one row a task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the stream's data")
    parser.add_argument("--out", type=Path, required=True, help="the image to write")
    options = parser.parse_args()
    strips = [_strip(options.data / task.name / "test.parquet", task.name) for task in TASKS]
    page = Image.new("RGB", (max(strip.width for strip in strips), sum(strip.height for strip in strips)), "white")
    top = 0
    for strip in strips:
        page.paste(strip, (0, top))
        top += strip.height
    page.save(options.out, quality=80)


def _strip(file: Path, task: str) -> Image.Image:
    rows = pq.read_table(file).to_pylist()
    chosen = rows[1 :: len(rows) // IMAGES][:IMAGES]
    drawn = [_drawn(row, truth=index > 0) for index, row in enumerate(chosen)]
    cell = max(image.width for image in drawn) + MARGIN
    strip = Image.new("RGB", (cell * IMAGES, max(image.height for image in drawn) + CAPTION + MARGIN), "white")
    ImageDraw.Draw(strip).text((2, 1), task, fill="black")
    for index, (row, image) in enumerate(zip(chosen, drawn, strict=True)):
        strip.paste(image, (index * cell, CAPTION))
        words = f"class {row['label']}" if "label" in row else f"{row['value']} mm" if "value" in row else ""
        ImageDraw.Draw(strip).text((index * cell + cell - 70, 1), words, fill="black")
    return strip


def _drawn(row: Mapping[str, Any], truth: bool) -> Image.Image:
    with Image.open(io.BytesIO(row["image"]["bytes"])) as stored:
        size = (stored.width * SCALE, stored.height * SCALE)
        image = stored.resize(size, Image.Resampling.BICUBIC).convert("RGB")
    if not truth:
        return image
    if "mask" in row:
        with Image.open(io.BytesIO(row["mask"]["bytes"])) as mask:
            image = _outlined(image, np.asarray(mask.resize(size, Image.Resampling.NEAREST)))
    pen = ImageDraw.Draw(image)
    for box in row.get("boxes", ()):
        x_min, y_min, x_max, y_max = (SCALE * edge for edge in box)
        pen.rectangle((x_min, y_min, x_max - 1, y_max - 1), outline=(0, 255, 0))
    for point in row.get("points", ()):
        x, y = (SCALE * (value + 0.5) for value in point)
        pen.ellipse((x - 3, y - 3, x + 3, y + 3), outline=(255, 60, 60))
    return image


def _outlined(image: Image.Image, mask: Labels) -> Image.Image:
    pixels = np.array(image)
    for label, colour in enumerate(OUTLINES, 1):
        inside = mask == label
        core = inside.copy()
        for axis in (0, 1):
            core &= np.roll(inside, 1, axis) & np.roll(inside, -1, axis)
        pixels[inside & ~core] = colour
    return Image.fromarray(pixels)


if __name__ == "__main__":
    main()

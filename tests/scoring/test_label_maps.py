"""Label maps: against OpenCV's numbers, MONAI, SimpleITK, pycocotools, and what must hold for any map."""

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pycocotools.mask
import pytest
import SimpleITK
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.meandice import compute_dice
from tests.image_tasks import ellipse, image_task, mask_row, scorer_of

from clbench.core.errors import ConfigError, DataError
from clbench.scoring.images.label_maps import Outline, hausdorff, hd95, resized
from clbench.scoring.images.run_length import labels_of, text_of

Map = npt.NDArray[np.uint8]
SIZES = st.tuples(st.integers(1, 14), st.integers(1, 14))
MAPS = SIZES.flatmap(lambda size: hnp.arrays(np.uint8, size, elements=st.integers(0, 3)))
PAIRS = SIZES.flatmap(lambda size: st.tuples(*2 * [hnp.arrays(np.uint8, size, elements=st.integers(0, 2))]))


def score(prediction: Map, truth: Map, classes: int = 2) -> Any:
    scorer = scorer_of(image_task("dice", classes=tuple("abcdef"[:classes])))
    return scorer.score(scorer.truth(mask_row(truth)), prediction)


def of_itk(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float:
    """As the official evaluator of FMC_UIA has it."""
    images = [SimpleITK.GetImageFromArray((mask * 255).astype(np.uint8)) for mask in (first, second)]
    itk: Any = SimpleITK  # its types are incomplete
    found = itk.HausdorffDistanceImageFilter()
    found.Execute(*images)
    return float(found.GetHausdorffDistance())


# What cv2 5.0.0 gives for np.arange(have) of one row by cv2.resize(..., (want, 1), interpolation=cv2.INTER_NEAREST).
OPENCV = {
    (3, 7): [0, 0, 0, 1, 1, 2, 2],
    (7, 3): [0, 2, 4],
    (5, 5): [0, 1, 2, 3, 4],
    (1, 4): [0, 0, 0, 0],
    (4, 1): [0],
}


@pytest.mark.parametrize(("sizes", "wanted"), OPENCV.items())
def test_nearest_is_that_of_opencv(sizes: tuple[int, int], wanted: list[int]) -> None:
    row = np.arange(sizes[0], dtype=np.uint8)
    assert resized(row[np.newaxis], (2, sizes[1])).tolist() == [wanted, wanted]
    assert resized(row[:, np.newaxis], (sizes[1], 2)).T.tolist() == [wanted, wanted]


def test_nearest_rounds_as_opencv_does() -> None:
    """OpenCV 5.0.0 for 56 labels at 50 pixels: entry 25 is 27, not floor(25 * 56 / 50) = 28."""
    found = resized(np.arange(56, dtype=np.uint8)[np.newaxis], (1, 50))[0].astype(int)
    exact = np.arange(50) * 56 // 50
    assert np.flatnonzero(found != exact).tolist() == [25]


@given(MAPS, SIZES)
@settings(max_examples=60)
def test_nearest_is_that_of_torch(labels: Map, size: tuple[int, int]) -> None:
    assume(all(have * i % want for have, want in zip(labels.shape, size, strict=True) for i in range(1, want)))
    there = F.interpolate(torch.from_numpy(labels)[None, None].float(), size=size, mode="nearest")[0, 0]
    assert np.array_equal(resized(labels, size), there.numpy().astype(np.uint8))


def test_hand_made_maps() -> None:
    truth = np.zeros((6, 8), np.uint8)
    truth[1:3, 1:4] = 1
    prediction = np.zeros_like(truth)
    prediction[1:3, 2:6] = 1
    found = score(prediction, truth)
    assert found.measures == {"dice/b": 2 * 4 / (8 + 6), "hausdorff/b": 2.0, "hd95/b": pytest.approx(2.0)}
    assert found.score == found.measures["dice/b"]
    assert labels_of(found.target).tolist() == truth.tolist()
    assert labels_of(found.prediction).tolist() == prediction.tolist()


@pytest.mark.parametrize("missing", ["both", "prediction", "truth"])
def test_empty_maps(missing: str) -> None:
    """The official rule: Dice 1 and distance 0 where both are empty, else 0 and the diagonal."""
    empty, full = np.zeros((30, 40), np.uint8), np.zeros((30, 40), np.uint8)
    full[4:9, 5:9] = 1
    found = score(full if missing == "truth" else empty, full if missing == "prediction" else empty)
    wanted = (1.0, 0.0) if missing == "both" else (0.0, 50.0)
    assert (found.score, found.measures["hausdorff/b"]) == wanted
    assert found.measures["hd95/b"] == wanted[1]


def test_a_prediction_is_scored_at_the_size_of_the_original() -> None:
    truth = ellipse((120, 200), (50, 90), (30, 60)).astype(np.uint8)
    small = truth[::2, ::4]
    found, whole = score(small, truth), score(resized(small, truth.shape), truth)
    assert found.measures == whole.measures
    assert labels_of(found.prediction).shape == (60, 50)
    assert 0.9 < found.score < 1
    assert found.measures["hausdorff/b"] > 1  # in pixels of the original


def test_classes_count_alike() -> None:
    truth = np.zeros((10, 10), np.uint8)
    truth[:5] = 1
    truth[9, 9] = 2
    found = score(np.where(truth == 1, 1, 0).astype(np.uint8), truth, classes=4)
    assert [found.measures[f"dice/{name}"] for name in "bcd"] == [1.0, 0.0, 1.0]
    assert [found.measures[f"hausdorff/{name}"] for name in "bcd"] == [0.0, pytest.approx(np.sqrt(200)), 0.0]
    assert found.score == pytest.approx(2 / 3)
    assert "dice/a" not in found.measures


def maps(seed: int) -> tuple[Map, Map]:
    """Two label maps of three classes that overlap here and there."""
    rng = np.random.default_rng(seed)
    size = (int(rng.integers(50, 90)), int(rng.integers(50, 90)))
    pair = np.zeros((2, *size), np.uint8)
    for labels in pair:
        for label, middle in ((1, 20), (2, 35)):
            labels[ellipse(size, tuple(rng.uniform(middle - 4, middle + 4, 2)), tuple(rng.uniform(4, 14, 2)))] = label
    if seed % 2:  # single pixels and holes, where edges and regions differ most
        pair[rng.random(pair.shape) < 0.02] = 2
        pair[rng.random(pair.shape) < 0.05] = 0
    return pair[0], pair[1]


@pytest.mark.parametrize("seed", range(12))
def test_measures_are_those_of_monai_and_simpleitk(seed: int) -> None:
    prediction, truth = maps(seed)
    found = score(prediction, truth, classes=3).measures
    said, right = (
        torch.stack([torch.from_numpy(labels == c) for c in range(3)])[None] for labels in (prediction, truth)
    )
    overlap = compute_dice(said, right, include_background=False)[0].tolist()
    distance = compute_hausdorff_distance(said, right, percentile=95)[0].tolist()
    for label, name in ((1, "b"), (2, "c")):
        assert found[f"dice/{name}"] == pytest.approx(overlap[label - 1], abs=1e-6)
        assert found[f"hd95/{name}"] == pytest.approx(distance[label - 1], abs=1e-4)
        assert found[f"hausdorff/{name}"] == pytest.approx(of_itk(prediction == label, truth == label), abs=1e-4)


def test_a_disc_in_a_ring_is_farther_away_inside_than_at_its_edge() -> None:
    """Where the full distance and that of the edges part: the centre of the disc is the farthest from the ring."""
    disc = ellipse((101, 101), (50, 50), (40, 40))
    ring = disc & ~ellipse((101, 101), (50, 50), (38, 38))
    outlines = (Outline.of(disc), Outline.of(ring))
    assert hausdorff((disc, ring), outlines) == pytest.approx(of_itk(disc, ring)) == pytest.approx(38.2, abs=0.3)
    assert hd95(outlines) < 2


@pytest.mark.parametrize("seed", range(4))
def test_the_farthest_point_is_found_among_many(seed: int) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.random((200, 170)) < 0.5
    spot = ellipse(noise.shape, tuple(rng.uniform(40, 130, 2)), (20, 9))
    assert np.count_nonzero(noise & ~spot) > 4 * 16**2  # so blocks are discarded
    assert hausdorff((noise, spot), (Outline.of(noise), Outline.of(spot))) == pytest.approx(of_itk(noise, spot))


@given(PAIRS)
@settings(max_examples=40)
def test_what_must_hold_for_any_two_maps(pair: tuple[Map, Map]) -> None:
    first, second = pair
    found, back = score(first, second, classes=3), score(second, first, classes=3)
    assert found.measures == pytest.approx(back.measures)
    assert 0 <= found.score <= 1
    diagonal = np.hypot(*first.shape)
    assert all(0 <= value <= diagonal for name, value in found.measures.items() if not name.startswith("dice"))
    swapped = np.choose(first, [0, 2, 1]).astype(np.uint8), np.choose(second, [0, 2, 1]).astype(np.uint8)
    other = score(*swapped, classes=3)
    assert other.score == pytest.approx(found.score)
    assert [other.measures[f"hd95/{name}"] for name in "cb"] == [found.measures[f"hd95/{name}"] for name in "bc"]
    perfect = score(first, first, classes=3)
    assert perfect.score == 1
    assert all(value == 0 for name, value in perfect.measures.items() if not name.startswith("dice"))


@given(MAPS)
@settings(max_examples=40)
def test_a_map_comes_back_from_its_text(labels: Map) -> None:
    text = text_of(labels)
    assert np.array_equal(labels_of(text), labels)
    value = json.loads(text)
    for label, code in value["counts"].items():
        mask = pycocotools.mask.decode({"size": value["size"], "counts": code.encode()})
        assert np.array_equal(mask, labels == int(label))
        assert pycocotools.mask.encode(np.asfortranarray(labels == int(label)))["counts"].decode() == code


def test_long_runs_come_back() -> None:
    labels = np.zeros((700, 900), np.uint8)
    labels[13, 17] = labels[600:, 850:] = 3
    assert np.array_equal(labels_of(text_of(labels)), labels)
    assert len(text_of(ellipse((600, 800), (300, 400), (150, 200)).astype(np.uint8))) < 1000


@pytest.mark.parametrize("text", ["", "[]", '{"size":[2,2]}', '{"size":[2,2],"counts":{"1":"9"}}', '{"size":3}'])
def test_what_is_no_map_is_told(text: str) -> None:
    with pytest.raises(DataError, match="label map"):
        labels_of(text)


def test_bad_truth_is_one_line() -> None:
    scorer = scorer_of(image_task("dice"))
    row = mask_row(np.zeros((4, 5)))
    with pytest.raises(
        DataError, match=r"^sample 'task/one': wanted a mask \(5, 4\) of 8 bits in one channel, got \(4"
    ):
        scorer.truth({**row, "size": [5, 4]})
    with pytest.raises(DataError, match=r"^sample 'task/one': mask has class 2, the task knows 2$"):
        scorer.truth(mask_row(np.full((4, 5), 2)))
    with pytest.raises(ConfigError, match=r"^task 'task': segmentation wants classes, the background first"):
        scorer_of(image_task("dice", classes=("only",)))

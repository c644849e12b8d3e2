"""Scan conversion: images, masks, boxes and points go through the same geometry."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from clbench_tools.ultrasound_simulator.canvas import Canvas
from clbench_tools.ultrasound_simulator.grid import Grid
from clbench_tools.ultrasound_simulator.pose import Pose
from clbench_tools.ultrasound_simulator.pretraining import pretraining_frames
from clbench_tools.ultrasound_simulator.probe import CONVEX, LINEAR, PHASED, Probe
from clbench_tools.ultrasound_simulator.scan import Converter, box_of
from clbench_tools.ultrasound_simulator.shapes import Blob
from clbench_tools.ultrasound_simulator.tissue import LIVER

PROBES = pytest.mark.parametrize("probe", [CONVEX, LINEAR, PHASED], ids=["convex", "linear", "phased"])


@PROBES
def test_points_land_where_the_image_shows_them(probe: Probe) -> None:
    grid = Grid(probe, 512, 256)
    converter = Converter(grid, 160, 2)
    for x, z in ((0.0, 0.5), (-0.2, 0.3), (0.25, 0.7)):
        place = (x * probe.depth, z * probe.depth)
        canvas = Canvas(grid, LIVER)
        canvas.fill(Blob(place, (3, 3) if probe.depth > 60 else (1, 1)).radius(canvas.x, canvas.z) < 1, LIVER, label=1)
        (point,) = converter.points(np.array([place]))
        for shown in (converter.mask(canvas.labels), converter.image(canvas.labels.astype(np.float32))):
            row, column = ndimage.center_of_mass(shown)
            assert (column, row) == pytest.approx(tuple(point), abs=0.6)


@PROBES
def test_a_mask_has_the_area_of_its_shape(probe: Probe) -> None:
    grid = Grid(probe, 512, 256)
    converter = Converter(grid, 160)
    axes = (0.15 * probe.depth, 0.1 * probe.depth)
    canvas = Canvas(grid, LIVER)
    canvas.fill(Blob((0, 0.5 * probe.depth), axes, 0.4).radius(canvas.x, canvas.z) < 1, LIVER, label=1)
    area = converter.mask(canvas.labels).sum() * converter.pixel**2
    assert area == pytest.approx(np.pi * axes[0] * axes[1], rel=0.03)


@PROBES
def test_the_field_has_the_shape_of_the_probe(probe: Probe) -> None:
    converter = Converter(Grid(probe, 256, 128), 128)
    shown = converter.mask(np.ones((256, 128), np.uint8))
    area = shown.sum() * converter.pixel**2
    if probe.radius is None:
        assert area == pytest.approx(probe.field * probe.depth, rel=0.02)
    else:
        ring = (probe.radius + probe.depth) ** 2 - probe.radius**2
        assert area == pytest.approx(np.radians(probe.field) / 2 * ring, rel=0.02)
        assert not shown[-1, 0]
    assert np.array_equal(shown, shown[:, ::-1])


def test_bilinear_conversion_agrees_with_scipy() -> None:
    grid = Grid(CONVEX, 128, 64)
    converter = Converter(grid, 64)
    grey = np.random.default_rng(0).random((128, 64), dtype=np.float32)
    left, top = -converter.width * converter.pixel / 2, converter.box[1]
    x = left + (np.arange(converter.width) + 0.5)[None, :] * converter.pixel
    z = top + (np.arange(64) + 0.5)[:, None] * converter.pixel
    row = (np.hypot(x, z + 49.6) - 49.6) / grid.axial_step - 0.5
    column = np.arctan2(x, z + 49.6) / grid.lateral_step + 31.5
    expected = ndimage.map_coordinates(grey, [row, column], order=1, mode="nearest")
    inside = (row >= -0.5) & (row <= 127.5) & (column >= -0.5) & (column <= 63.5)
    assert np.allclose(converter.image(grey), expected * inside, atol=1e-3)


def test_finer_conversion_is_averaged_down() -> None:
    grid = Grid(LINEAR, 256, 128)
    grey = np.random.default_rng(0).random((256, 128), dtype=np.float32)
    fine = Converter(grid, 128).image(grey)[:, :120]
    coarse = Converter(grid, 64, 2).image(grey)
    assert np.allclose(coarse[:, :60].mean(), fine.mean(), atol=5e-3)
    assert coarse.std() < fine.std()


@settings(max_examples=40)
@given(
    st.tuples(st.floats(-30, 30), st.floats(-30, 30)),
    st.floats(-3, 3),
    st.tuples(st.floats(-50, 50), st.floats(10, 90)),
    st.booleans(),
)
def test_poses_go_there_and_back(
    middle: tuple[float, float], turn: float, point: tuple[float, float], mirrored: bool
) -> None:
    pose, (across, down) = Pose(middle, turn, (5.0, 40.0), mirrored), point
    ((there, depth),) = pose.to_plane(np.array([[across, down]]))
    back = pose.to_body(np.array([there], np.float32), np.array([depth], np.float32))
    assert (float(back[0][0]), float(back[1][0])) == pytest.approx((across, down), abs=1e-3)


def test_boxes_hold_all_pixels_and_no_more() -> None:
    mask = np.zeros((6, 9), np.bool_)
    mask[2:4, 5:8] = True
    assert box_of(mask) == (5, 2, 8, 4)
    with pytest.raises(ValueError, match="empty mask"):
        box_of(np.zeros((4, 4), np.bool_))


def test_frames_for_pre_training_are_seeded_and_differ() -> None:
    first, second = pretraining_frames(0, 2, 48)
    assert first.shape == (48, 48)
    assert first.dtype == np.uint8
    assert not np.array_equal(first, second)
    assert np.array_equal(first, next(pretraining_frames(0, 1, 48)))
    assert not np.array_equal(first, next(pretraining_frames(1, 1, 48)))

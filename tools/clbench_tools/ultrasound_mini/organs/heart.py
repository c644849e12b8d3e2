"""The heart from the apex, four chambers, by a phased array: 1 left ventricle, 2 its muscle, 3 left atrium."""

import numpy as np

from clbench_tools.ultrasound_mini.scene import Random, Scene, moved, scanner
from clbench_tools.ultrasound_simulator.canvas import Canvas
from clbench_tools.ultrasound_simulator.grid import Grid
from clbench_tools.ultrasound_simulator.parts import everywhere
from clbench_tools.ultrasound_simulator.pose import Pose
from clbench_tools.ultrasound_simulator.shapes import Blob, segment, waves
from clbench_tools.ultrasound_simulator.tissue import AIR, BLOOD, CONNECTIVE, HEART, LIVER

CLASSES = ("background", "left ventricle", "myocardium", "left atrium")


def heart(grid: Grid, patient: Random, view: Random) -> Scene:
    """Both ventricles and atria between lungs; filled or emptied, with valves open or closed."""
    long, wide = patient.uniform(38, 48), patient.uniform(19, 26)
    wall, apex = patient.uniform(7, 12), patient.uniform(22, 30)
    turn = float(patient.normal(-0.1, 0.12) + view.normal(0, 0.06))
    pose = Pose(moved(view, 5, 3, middle=8), turn, (0, 75))
    canvas = Canvas(grid, LIVER.but(echo=patient.uniform(-14, -8)), pose)
    canvas.vary(everywhere(canvas), (12, 12), 3.0, patient)
    squeeze = view.uniform(0.72, 1.0)
    base = apex + wall + 2 * long * (0.9 + 0.1 * squeeze) * 0.82
    _right_side(canvas, wide, base, patient)
    middle = (0.0, apex + wall + long)
    outer = Blob(middle, (wide + wall, long + wall), 0, waves(patient, 0.02, range(2, 5)))
    inner = Blob(middle, (wide * squeeze, long * (0.95 + 0.05 * squeeze)), 0, waves(patient, 0.05, range(3, 9)))
    atrium = Blob(
        (1.0, base + patient.uniform(15, 19)), (wide * 0.95 / squeeze**0.4, 18), 0, waves(patient, 0.04, range(2, 5))
    )
    radius = atrium.radius(canvas.x, canvas.z)
    canvas.fill((radius < 1.13) & (canvas.z > base - 4), HEART.but(echo=-4))
    above = canvas.z < base
    muscle = (outer.radius(canvas.x, canvas.z) < 1) & above
    canvas.fill(muscle, HEART.but(echo=patient.uniform(-3, 2)), label=2)
    canvas.vary(muscle, (5, 3), 1.5, patient)
    slant = np.clip(np.abs(outer.own(canvas.x, canvas.z)[0]) / np.float32(wide + wall), 0, 1)
    canvas.echo[muscle] -= (view.uniform(3, 9) * slant**3)[muscle]  # walls along the beam throw little back
    cavity = (inner.radius(canvas.x, canvas.z) < 1) & above
    canvas.fill(cavity, BLOOD.but(echo=-28), label=1)
    canvas.fill((radius < 1) & ~above, BLOOD.but(echo=-28), label=3)
    _valve(canvas, wide * squeeze, base, open_by=view.uniform(0, 0.9) if squeeze > 0.88 else 0.0)
    _lungs(canvas, wide + wall, base, patient)
    settings = scanner(view, 0.42, haze=view.uniform(-22, -10), haze_depth=25.0)
    return Scene(canvas, settings)


def _right_side(canvas: Canvas, wide: float, base: float, patient: Random) -> None:
    place = -(wide + patient.uniform(21, 26))
    for blob in (Blob((place, base - 28), (17, 33), -0.22), Blob((place + 3, base + 17), (19, 17))):
        radius = blob.radius(canvas.x, canvas.z)
        canvas.fill(radius < 1.15, HEART.but(echo=-5))
        canvas.fill((radius < 1) & (np.abs(canvas.z - base) > 1.2), BLOOD.but(echo=-28))


def _valve(canvas: Canvas, wide: float, base: float, open_by: float) -> None:
    """Two leaflets from the ring: shut across the base, or hanging into the ventricle."""
    for side in (-1, 1):
        tip = (side * wide * (0.05 + 0.45 * open_by), base - 3 - 16 * open_by)
        leaflet = segment(canvas.x, canvas.z, (side * wide * 0.8, base), tip)
        canvas.echo[leaflet < 1.3] = 4
        canvas.attenuation[leaflet < 1.3] = 0.8


def _lungs(canvas: Canvas, wide: float, base: float, patient: Random) -> None:
    """Air beside the heart: a bright edge and darkness behind."""
    edge = wide + patient.uniform(5, 12)
    for place in (edge + 42, -edge - 62):
        lung = Blob((place, base - 20), (40, 75), 0, waves(patient, 0.05, range(2, 6)))
        radius = lung.radius(canvas.x, canvas.z)
        canvas.fill(radius < 1, AIR.but(echo=-20, attenuation=3, impedance=1.2))
        canvas.fill((radius >= 1) & (radius < 1.03), CONNECTIVE.but(echo=6))

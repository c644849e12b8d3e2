"""A lobe of the thyroid between windpipe and carotid artery, by a linear probe; label 1 is its nodule."""

from clbench_tools.ultrasound_mini.scene import Random, Scene, moved, scanner
from clbench_tools.ultrasound_simulator.canvas import Canvas
from clbench_tools.ultrasound_simulator.grid import Grid
from clbench_tools.ultrasound_simulator.parts import everywhere, organ, striped, surface
from clbench_tools.ultrasound_simulator.pose import Pose
from clbench_tools.ultrasound_simulator.shapes import Blob, waves, wavy
from clbench_tools.ultrasound_simulator.tissue import AIR, BLOOD, BONE, CONNECTIVE, FLUID, GLAND, MUSCLE


def thyroid(grid: Grid, patient: Random, view: Random) -> Scene:
    """Surface, strap muscle, lobe, windpipe on one side, carotid and vein on the other, muscle and bone behind."""
    pose = Pose(moved(view, 2, 0.8), float(view.normal(0, 0.06)), (0, 15), view.random() < 0.5)
    canvas = Canvas(grid, GLAND.but(echo=0, attenuation=0.7), pose)
    canvas.vary(everywhere(canvas), (6, 2), 2.0, patient)
    striped(canvas, canvas.z > wavy(canvas.x, 25, 0.8, 30, patient), 1.2, patient)
    canvas.fill(canvas.z > wavy(canvas.x, patient.uniform(31, 34), 1.0, 25, patient), BONE)
    depth = patient.uniform(14.5, 17)
    lobe = Blob(
        (-1.0, depth),
        (patient.uniform(12, 14), patient.uniform(6.5, 8.5)),
        patient.normal(0.05, 0.06),
        waves(patient, 0.04, range(2, 5)),
    )
    strap = Blob((0.0, depth - 9.5), (24, 3.4), 0.03, waves(patient, 0.05, range(2, 5)))
    striped(canvas, organ(canvas, strap, MUSCLE, wall=0.35), 0.9, patient)
    inside = organ(canvas, lobe, GLAND.but(echo=patient.uniform(2, 5), attenuation=0.65), wall=0.35)
    canvas.vary(inside, (2, 2), 0.8, patient)
    _neighbours(canvas, depth, patient)
    _nodule(canvas, lobe, patient)
    surface(canvas, 1.4, patient.uniform(2, 3.5), 0, patient)
    return Scene(canvas, scanner(view, 0.68))


def _neighbours(canvas: Canvas, depth: float, patient: Random) -> None:
    carotid = Blob((17.0 + patient.normal(0, 0.8), depth + patient.uniform(0, 4)), (patient.uniform(2.6, 3.6),) * 2)
    organ(canvas, carotid, BLOOD, wall=0.6)
    vein = Blob(
        (carotid.centre[0] + 2, carotid.centre[1] - 7), (3.2, patient.uniform(1.0, 2.2)), patient.normal(0, 0.2)
    )
    organ(canvas, vein, BLOOD, wall=0.25)
    windpipe = Blob((-21.0 + patient.normal(0, 0.8), depth + 1.5), (8.0, 8.5))
    radius = windpipe.radius(canvas.x, canvas.z)
    canvas.fill(radius < 1, MUSCLE.but(echo=-12))
    canvas.fill(radius < 0.82, AIR.but(echo=12))


def _nodule(canvas: Canvas, lobe: Blob, patient: Random) -> None:
    size = patient.uniform(2.3, 5.2)
    middle = lobe.body(patient.uniform(-0.55, 0.55), patient.uniform(-0.25, 0.25))
    tall = patient.uniform(0.7, 1.15)
    blob = Blob(
        middle, (size, size * tall), patient.normal(0, 0.3), waves(patient, patient.uniform(0.02, 0.09), range(2, 8))
    )
    kind = patient.choice(["dark", "rim", "mixed", "bright"], p=[0.45, 0.25, 0.2, 0.1])
    echo = {"dark": -9.0, "rim": -1.0, "mixed": -7.0, "bright": 9.0}[kind] + patient.normal(0, 1.5)
    inside = organ(canvas, blob, GLAND.but(echo=echo, attenuation=patient.uniform(0.4, 1.1)), label=1)
    canvas.vary(inside, (1.5, 1.5), 1.2, patient)
    if kind == "rim":
        canvas.fill(inside & (blob.radius(canvas.x, canvas.z) > 1 - 0.8 / size), MUSCLE.but(echo=-14))
    if kind == "mixed":
        organ(canvas, Blob(blob.body(0.1, -0.1), (0.55 * size, 0.5 * size), 0, waves(patient, 0.1, range(2, 6))), FLUID)
    if patient.random() < 0.3:
        canvas.fill(
            Blob(blob.body(*patient.uniform(-0.4, 0.4, 2)), (0.8, 0.5)).radius(canvas.x, canvas.z) < 1,
            BONE.but(echo=15),
        )
    canvas.fill(blob.shell(canvas.x, canvas.z, 0.3), CONNECTIVE.but(echo=4))

"""An ellipse through points, by direct least squares."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clbench.core.errors import DataError


@dataclass(frozen=True)
class Ellipse:
    """An ellipse in pixels.

    Attributes:
        x: Column of the centre.
        y: Row of the centre.
        a: First half axis.
        b: Second half axis.
        angle: Angle of `a` to the x axis, in radians.
    """

    x: float
    y: float
    a: float
    b: float
    angle: float

    @property
    def circumference(self) -> float:
        """Ramanujan's first approximation, as in HC18: pi (3 (a + b) - sqrt((3 a + b) (a + 3 b)))."""
        a, b = self.a, self.b
        return math.pi * (3 * (a + b) - math.sqrt((3 * a + b) * (a + 3 * b)))

    def filled(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """1 at the pixels inside, 0 elsewhere, in an array `(height, width)`."""
        y, x = np.ogrid[: shape[0], : shape[1]]
        x, y = x - self.x, y - self.y
        along = x * math.cos(self.angle) + y * math.sin(self.angle)
        across = y * math.cos(self.angle) - x * math.sin(self.angle)
        return ((along / self.a) ** 2 + (across / self.b) ** 2 <= 1).astype(np.uint8)


def fitted(marks: NDArray[np.bool_]) -> Ellipse:
    """The ellipse nearest to the marked pixels.

    Least squares of the algebraic distance under 4 A C - B^2 = 1, in the numerically stable form of Halir and Flusser
    (1998, after Fitzgibbon, Pilu, Fisher 1996).

    Args:
        marks: `(height, width)`.

    Raises:
        DataError: When no ellipse is near them.
    """
    y, x = (values.astype(np.float64) for values in np.nonzero(marks))
    centre_x, centre_y, scale = x.mean(), y.mean(), max(float(np.ptp(x)), float(np.ptp(y)), 1.0) / 2
    u, v = (x - centre_x) / scale, (y - centre_y) / scale
    found = _conic(u, v)
    if found is None:
        raise DataError("the outline is no ellipse")
    return Ellipse(
        found.x * scale + centre_x, found.y * scale + centre_y, found.a * scale, found.b * scale, found.angle
    )


def _conic(u: NDArray[np.float64], v: NDArray[np.float64]) -> Ellipse | None:
    """The best conic A u^2 + B u v + C v^2 + D u + E v + F that is an ellipse; None where there is none."""
    quadratic = np.stack([u * u, u * v, v * v], axis=1)
    linear = np.stack([u, v, np.ones_like(u)], axis=1)
    s1, s2, s3 = quadratic.T @ quadratic, quadratic.T @ linear, linear.T @ linear
    try:
        t = -np.linalg.solve(s3, s2.T)
    except np.linalg.LinAlgError:
        return None
    reduced = s1 + s2 @ t
    reduced = np.stack([reduced[2] / 2, -reduced[1], reduced[0] / 2])
    _, vectors = np.linalg.eig(reduced)
    vectors = vectors.real
    good = np.flatnonzero(4 * vectors[0] * vectors[2] - vectors[1] ** 2 > 0)
    if not len(good):
        return None
    first = vectors[:, good[0]]
    return _axes(first, t @ first)


def _axes(quadratic: NDArray[np.float64], linear: NDArray[np.float64]) -> Ellipse | None:
    """The ellipse of a conic with the coefficients A, B, C and D, E, F; None where it is another conic."""
    (a, b, c), (d, e, f) = quadratic, linear
    centre = np.linalg.solve(np.array([[2 * a, b], [b, 2 * c]]), np.array([-d, -e]))
    level = f + (d * centre[0] + e * centre[1]) / 2
    values, vectors = np.linalg.eigh(np.array([[a, b / 2], [b / 2, c]]))
    squares = -level / values
    if not (squares > 0).all():
        return None
    half = np.sqrt(squares)
    angle = math.atan2(vectors[1, 0], vectors[0, 0])
    return Ellipse(float(centre[0]), float(centre[1]), float(half[0]), float(half[1]), angle)

"""Vector images to 32 x 32 RGB on white."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clbench_tools.clip_mini.packages import ICON_SETS, member_json, npm

SIDE = 32
OVERSAMPLING = 4
"""Icons are drawn larger and reduced by averaging: thin strokes stay visible and edges look the same in all sets."""

Pixels = NDArray[np.uint8]


def svg_image(body: str, left: float, top: float, width: float, height: float) -> Pixels:
    """Render the body of an SVG, fitted into the square, `(32, 32, 3)` uint8."""
    import resvg_py  # only builds need it

    side = SIDE * OVERSAMPLING
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{side}" height="{side}" viewBox="{left} {top} {width} {height}">{body}</svg>'
    )
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=side, height=side))
    drawn = Image.open(io.BytesIO(png)).convert("RGBA")
    page = Image.new("RGBA", drawn.size, "white")
    page.alpha_composite(drawn)
    return np.asarray(page.convert("RGB").reduce(OVERSAMPLING))


class IconSet:
    """One icon set of the Iconify family, rendered by name.

    Args:
        name: As in `ICON_SETS`.
        cache: Folder of fetched packages.
    """

    def __init__(self, name: str, cache: Path) -> None:
        """Read the drawings."""
        self.name = name
        self._data: dict[str, Any] = member_json(npm(f"@iconify-json/{name}@{ICON_SETS[name]}", cache), "icons.json")
        self._icons: dict[str, Any] = self._data["icons"]
        self._aliases: dict[str, Any] = self._data.get("aliases", {})

    def icons(self) -> list[str]:
        """Names that have a drawing of their own, sorted."""
        return sorted(self._icons)

    def __contains__(self, icon: str) -> bool:
        """Whether there is a drawing of that name."""
        return icon in self._icons or icon in self._aliases

    def render(self, icon: str) -> Pixels:
        """The image of an icon, `(32, 32, 3)` uint8."""
        drawing = self._icons[icon if icon in self._icons else self._aliases[icon]["parent"]]
        box = [drawing.get(key, self._data.get(key, default)) for key, default in _BOX.items()]
        return svg_image(drawing["body"], *box)


_BOX = {"left": 0, "top": 0, "width": 16, "height": 16}

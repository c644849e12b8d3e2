"""Capital letters drawn from the outlines of typefaces."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clbench_tools.clip_mini.icons import Pixels, svg_image
from clbench_tools.clip_mini.packages import TYPEFACE_VERSION, member, npm

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MARGIN = 0.12
"""Empty border as a share of the letter's larger side."""


def letter_images(typeface: str, cache: Path) -> dict[str, Pixels]:
    """All capital letters of a typeface, each scaled to fill the image, black on white."""
    from fontTools.ttLib import TTFont  # only builds need it

    archive = npm(f"@fontsource/{typeface}@{TYPEFACE_VERSION}", cache)
    font = TTFont(io.BytesIO(member(archive, f"files/{typeface}-latin-400-normal.woff")))
    glyphs, names = font.getGlyphSet(), font.getBestCmap()
    return {letter: _draw(glyphs, names[ord(letter)]) for letter in LETTERS}


def _draw(glyphs: Mapping[str, Any], name: str) -> Pixels:
    from fontTools.pens.boundsPen import BoundsPen
    from fontTools.pens.svgPathPen import SVGPathPen

    bounds, path = BoundsPen(glyphs), SVGPathPen(glyphs)
    glyphs[name].draw(bounds)
    glyphs[name].draw(path)
    left, low, right, high = bounds.bounds
    side = max(right - left, high - low) * (1 + 2 * MARGIN)
    middle_x, middle_y = (left + right) / 2, (low + high) / 2
    body = f'<g transform="scale(1,-1)"><path d="{path.getCommands()}"/></g>'  # y grows upwards in typefaces
    return svg_image(body, middle_x - side / 2, -middle_y - side / 2, side, side)

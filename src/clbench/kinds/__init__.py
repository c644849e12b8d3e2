"""Kinds of tasks, one file each: what rows hold, how answers are checked and scored, and what tables call them."""

from clbench.kinds._image_kind import Asked, ImageKind, decode_rows, image_kind, png
from clbench.kinds._task_kind import TASK_KINDS, TaskKind, kind_of

__all__ = ["TASK_KINDS", "Asked", "ImageKind", "TaskKind", "decode_rows", "image_kind", "kind_of", "png"]

"""Number of top blocks: the rule of all strategies that choose blocks by depth."""

import math

ROUND_OFF = 1e-9
"""0.58 of 50 blocks are 28.999999999999996 in binary, and meant to be 29."""


def top_blocks(share: float, blocks: int) -> int:
    """Number of blocks in the top `share`, rounded down; at least one unless the share is 0.

    The released TAP-SLF takes int(0.3 * 12) = 3 of 12.
    """
    return max(1, math.floor(share * blocks + ROUND_OFF)) if share else 0

"""A hash of the code that makes a result from a ledger: an edited metric means that results are computed again."""

import hashlib
from functools import cache
from pathlib import Path

from clbench.core.registry import IMAGE_METRICS, METRICS, Listing
from clbench.core.sources import source_digest


def code_digest() -> str:
    """Hash of all registered metrics, third parties' included, and of the code that counts flips and takes means.

    A metric that is added, removed or edited changes it; comments and docstrings do not.

    Returns:
        16 hexadecimal digits.

    Raises:
        RegistryError: When two metrics have one name, or the file of one is not Python.
    """
    return _digest(tuple(METRICS.listings()), tuple(IMAGE_METRICS.listings()))


@cache
def _digest(metrics: tuple[Listing, ...], image_metrics: tuple[Listing, ...]) -> str:
    """The hash for these components; a process reads their files once, as it imports them once."""
    digest = hashlib.sha256()
    for registry, listings in ((METRICS, metrics), (IMAGE_METRICS, image_metrics)):
        for listing in listings:
            digest.update(f"{listing.name}\0{registry.digest(listing.name)}\0".encode())
    digest.update(source_digest(Path(__file__).with_name("compute_result.py"), "clbench").encode())
    return digest.hexdigest()[:16]

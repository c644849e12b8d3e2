"""The pre-training corpus of mini-clip: emoji in two drawing styles, without flags, letters and digits."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clbench_tools.clip_mini.domains import CORPUS_STYLES
from clbench_tools.clip_mini.icons import IconSet, Pixels
from clbench_tools.clip_mini.names import GROUPS, all_emoji

LEFT_OUT = re.compile(
    r"flag|keycap|skin-tone|tone[1-5]|regional-indicator|(^|-)[a-z0-9]-button|blood-type|input-latin|input-numbers|"
    r"(^|-)[a-z0-9](-|$)|\d|letter|digit|hundred-points|united-nations|o-clock|oclock|thirty|^(ab|abc|cl|ng|ok|sos|up|vs)-"
)
"""Flags, digits and letters stay unknown to the model; skin tones repeat a drawing, clock faces differ by a stroke."""


@dataclass(frozen=True)
class Corpus:
    """Images `(n, 32, 32, 3)` uint8 with the name, domain word and source of each."""

    images: Pixels
    names: list[str]
    domains: list[str]
    sources: list[str]


def build_corpus(cache: Path) -> Corpus:
    """Every icon of the corpus styles that `LEFT_OUT` does not match."""
    emoji = {e.icon: e for e in all_emoji(cache)}
    domain_of = {group: domain for domain, group in GROUPS.items()}
    images, names, domains, sources = [], [], [], []
    for style in CORPUS_STYLES:
        icons = IconSet(style, cache)
        for icon in icons.icons():
            if LEFT_OUT.search(icon):
                continue
            known = emoji.get(icon)
            images.append(icons.render(icon))
            names.append(known.name if known else icon.replace("-", " "))
            domains.append(domain_of.get(known.group, "") if known else "")
            sources.append(f"{style}/{icon}")
    return Corpus(np.stack(images), names, domains, sources)


def save_corpus(corpus: Corpus, path: Path) -> None:
    """Write the corpus for `pretrain.py`."""
    np.savez_compressed(path, images=corpus.images, names=corpus.names, domains=corpus.domains, sources=corpus.sources)

"""The domains: which classes, and which source draws each part."""

from dataclasses import dataclass
from pathlib import Path

from clbench_tools.clip_mini.digits import digit_images
from clbench_tools.clip_mini.glyphs import LETTERS, letter_images
from clbench_tools.clip_mini.icons import IconSet, Pixels
from clbench_tools.clip_mini.names import (
    COUNTRIES,
    GROUPS,
    NOT_CLASSES,
    Emoji,
    all_emoji,
    country_codes,
    slug,
)
from clbench_tools.clip_mini.packages import TYPEFACES

EMOJI_STYLES = {
    "train": ["fluent-emoji-flat", "fluent-emoji", "fluent-emoji-high-contrast", "emojione-v1"],
    "validation": ["noto-v1", "streamline-emojis"],
    "test": ["twemoji", "emojione", "fxemoji"],
}
"""Disjoint, and disjoint from the styles of the pre-training corpus (`CORPUS_STYLES`)."""

FLAG_STYLES = {
    "train": ["flag-1x1", "flag-4x3", "flagpack", "openmoji"],
    "validation": ["emojione"],
    "test": ["twemoji", "circle-flags"],
}

CORPUS_STYLES = ("openmoji", "noto")
"""Drawing styles of the pre-training corpus; OpenMoji's flags are no part of it."""

FX_FACES = ("cat", "cow", "dog", "horse", "monkey", "mouse", "pig", "rabbit", "tiger")

MOST_CLASSES = 100
"""The names of all classes of a task are encoded in each training step."""


@dataclass(frozen=True)
class Sample:
    """One image of a domain."""

    sample_id: str
    image: Pixels
    label: int


@dataclass
class Domain:
    """Class names and the samples of each part."""

    classes: list[str]
    parts: dict[str, list[Sample]]


def emoji_domain(name: str, cache: Path) -> Domain:
    """Emoji of one group; the newest fill up where fewer than `MOST_CLASSES` are drawn by the older styles."""
    sets = {style: IconSet(style, cache) for styles in EMOJI_STYLES.values() for style in styles}
    everywhere = [sets["twemoji"], sets["fluent-emoji-flat"], *(IconSet(style, cache) for style in CORPUS_STYLES)]
    found = [e for e in _group(name, cache) if all(icon_name(icons, e) for icons in everywhere)]
    old = [e for e in found if icon_name(sets["noto-v1"], e) and icon_name(sets["emojione"], e)]
    new = [e for e in found if e not in old]
    kept = {*_spread(old, MOST_CLASSES), *_spread(new, MOST_CLASSES - len(old))}
    classes = [e for e in found if e in kept]
    parts = {
        part: [
            Sample(f"{style}/{e.icon}", sets[style].render(icon), label)
            for style in styles
            for label, e in enumerate(classes)
            if (icon := icon_name(sets[style], e))
        ]
        for part, styles in EMOJI_STYLES.items()
    }
    return Domain([e.name for e in classes], parts)


def icon_name(icons: IconSet, emoji: Emoji) -> str | None:
    """What an icon set calls an emoji, or None when it has no drawing."""
    name = emoji.icon
    if icons.name == "fxemoji":  # writes words together, and calls some faces by the animal's name
        name = name.replace("-", "")
        if name in FX_FACES:
            return None
    if icons.name == "streamline-emojis" and name == "turkey":  # there it is the flag
        return None
    return name if name in icons else None


def _spread(emoji: list[Emoji], wanted: int) -> list[Emoji]:
    """At most `wanted` of them, evenly through their order, so that every kind stays."""
    count = min(len(emoji), max(wanted, 0))
    return [emoji[i * len(emoji) // count] for i in range(count)]


def _group(name: str, cache: Path) -> list[Emoji]:
    emoji = [e for e in all_emoji(cache) if e.group == GROUPS[name]]
    if name == "animals":  # plants follow the animals, from the bouquet on
        emoji = emoji[: [e.name for e in emoji].index("bouquet")]
    return [e for e in emoji if not NOT_CLASSES.search(e.name)]


def flag_domain(cache: Path) -> Domain:
    """Flags of countries: the same design in all styles, cut and coloured differently."""
    codes = country_codes(cache)
    parts = {}
    for part, styles in FLAG_STYLES.items():
        samples = []
        for style in styles:
            icons = IconSet(style.removesuffix("-1x1").removesuffix("-4x3"), cache)
            for label, country in enumerate(COUNTRIES):
                image = icons.render(_flag_icon(style, country, codes[country]))
                samples.append(Sample(f"{style}/flag-{slug(country)}", image, label))
        parts[part] = samples
    return Domain(list(COUNTRIES), parts)


def _flag_icon(style: str, country: str, code: str) -> str:
    if style in ("flag-1x1", "flag-4x3"):
        return f"{code}-{style[-3:]}"
    if style in ("flagpack", "circle-flags"):
        return code
    return f"flag-for-{slug(country)}" if style == "emojione" else f"flag-{slug(country)}"


def letter_domain(cache: Path) -> Domain:
    """Capital letters; typefaces are disjoint between the parts."""
    parts = {
        part: [
            Sample(f"{typeface}/capital-{letter.lower()}", image, label)
            for typeface in typefaces
            for label, (letter, image) in enumerate(letter_images(typeface, cache).items())
        ]
        for part, typefaces in TYPEFACES.items()
    }
    return Domain(list(LETTERS), parts)


def digit_domain(cache: Path) -> Domain:
    """Handwritten digits, ink on white; the source does not name the writers."""
    taken = {"train": range(60), "validation": range(60, 80), "test": range(80, 130)}
    images = digit_images(cache)
    parts = {
        part: [
            Sample(f"mnist-5k/row-{images[label][i][0]:04d}", images[label][i][1], label)
            for i in rows
            for label in range(10)
        ]
        for part, rows in taken.items()
    }
    return Domain([str(digit) for digit in range(10)], parts)


def all_domains(cache: Path) -> dict[str, Domain]:
    """Every domain of the stream by name."""
    plain = {"digits": digit_domain(cache), "flags": flag_domain(cache), "letters": letter_domain(cache)}
    return plain | {name: emoji_domain(name, cache) for name in GROUPS}

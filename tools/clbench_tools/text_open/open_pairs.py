"""Pairs for the pre-training: a prompted text of a class that no task has, and a word for the class."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from clbench_tools.text_open.bible import BOOKS
from clbench_tools.text_open.open_kinds import below, domains, says, without_label
from clbench_tools.text_open.open_tasks import TASKS
from clbench_tools.text_open.webster import Definition
from clbench_tools.text_rows.passages import Document
from clbench_tools.text_rows.wordnet import Gloss

ANSWERS = {answer for task in TASKS.values() for answer in task.answers}
PRESIDENT = "president: "
SECTIONS = {
    "Energy": "energy",
    "Transportation": "transport",
    "Military": "army",
    "Military and Security": "army",
    "Transnational Issues": "borders",
}
FIELDS = {
    "anatomy": "Anat.,Physiol.",
    "minerals": "Min.,Crystallog.",
    "army": "Mil.,Fort.,Gun.",
    "geometry": "Geom.",
    "astronomy": "Astron.",
    "grammar": "Gram.",
    "church": "Eccl.,R. C. Ch.,Theol.,Eccl. Hist.",
    "mining": "Mining,Metal.",
    "machines": "Mech.,Mach.,Engin.",
    "heraldry": "Her.",
    "printing": "Print.",
    "geology": "Geol.,Paleon.",
    "logic": "Logic,Metaph.,Philos.",
    "trade": "Com.",
    "cooking": "Cookery",
    "art": "Fine Arts,Paint.,Sculp.",
    "antiquity": "Rom. Antiq.,Gr. Antiq.,Antiq.,Jewish Antiq.",
    "verse": "Pros.,Rhet.",
    "light": "Opt.,Optics,Photog.",
    "farming": "Agric.,Hort.",
    "horses": "Far.,Man.",
    "wood": "Carp.,Joinery",
}
"""Words, and the fields of Webster that they stand for (`,` between two)."""
SUBJECTS = {
    "cooking": "cooking",
    "language": "linguistics,grammar,phonetics,phonology,syntax",
    "astronomy": "astronomy,cosmology",
    "geology": "geology,mineralogy",
    "psychology": "psychology,psychiatry,psychoanalysis",
    "art": "art,painting,sculpture",
    "philosophy": "philosophy,logic",
    "trade": "commerce,economics,finance,commercial enterprise",
    "photography": "photography,film",
    "games": "card game,chess,game",
    "theater": "performing arts,dramaturgy,theater",
    "flight": "air travel,airplane,aircraft",
    "heraldry": "heraldry",
    "printing": "printing",
    "weather": "meteorology",
    "farming": "farming,animal husbandry,agriculture",
    "crime": "crime",
    "terror": "terrorism",
    "politics": "politics,government",
    "verse": "poetry,literature,prosody",
    "anatomy": "anatomy",
    "botany": "botany",
    "craft": "handicraft,needlework,sewing",
    "antiquity": "antiquity,Middle Ages",
}
"""Words, and the subjects of WordNet that they stand for."""
LIVING = {
    "animal": {
        "bird": "bird",
        "fish": "fish",
        "mammal": "mammal",
        "insect": "insect",
        "reptile": "reptile,amphibian",
        "mollusk": "mollusk",
        "spider": "arachnid",
        "crab": "crustacean",
        "worm": "worm",
    },
    "plant": {
        "tree": "tree",
        "shrub": "shrub",
        "herb": "herb",
        "grass": "grass",
        "fern": "fern",
        "vine": "vine",
        "fungus": "fungus",
    },
}
PEOPLE = {
    "writer": "writer",
    "musician": "musician,composer",
    "artist": "artist",
    "scientist": "scientist,mathematician",
    "ruler": "ruler,sovereign,head of state,politician,statesman",
    "priest": "clergyman,saint,theologian,spiritual leader",
    "soldier": "serviceman,military officer,warrior",
    "athlete": "athlete",
    "worker": "worker",
    "criminal": "criminal,wrongdoer",
    "doctor": "medical practitioner",
    "teacher": "educator",
    "relative": "relative",
    "actor": "performer",
}
THINGS = {
    "clothing": "clothing,garment,footwear",
    "vehicle": "vehicle",
    "weapon": "weapon",
    "furniture": "furniture",
    "tool": "tool",
    "machine": "machine",
    "drug": "drug",
    "fabric": "fabric",
    "container": "container",
    "instrument": "musical instrument",
    "house": "building",
    "picture": "picture,graphic art",
    "electronics": "electronic equipment,circuit",
}
"""Words, and the words of WordNet whose kinds they stand for."""


@dataclass(frozen=True)
class Pair:
    """A prompted text and its answer.

    Attributes:
        key: Of the sense or document.
        prompt: Pairs of one prompt have the same options.
        text: Without the prompt.
        answer: No task has it.
        source: As in the corpus.
    """

    key: str
    prompt: str
    text: str
    answer: str
    source: str


def passage_pairs(cut: Iterable[tuple[str, Document]]) -> list[Pair]:
    """Passages with their author, president, part of the Bible or section of a profile."""
    found = []
    for text, document in cut:
        source = document.key.split("/", 1)[0]
        if source == "sotu":
            prompt, answer = PRESIDENT, document.group
        elif source == "bible":
            prompt, answer = TASKS["bible"].prompt, document.group if document.group in BOOKS else ""
        elif source == "factbook":
            prompt, answer = TASKS["factbook"].prompt, SECTIONS.get(document.group, "")
        else:
            prompt, answer = TASKS["author"].prompt, document.group
        found.append(Pair(document.key, prompt, text, answer, source))
    return [pair for pair in found if _fits(pair)]


def definition_pairs(senses: list[Gloss], old: Iterable[Definition]) -> list[Pair]:
    """Definitions with what their words are a kind of, or the subject or field that they belong to."""
    fields = _turned(FIELDS)
    found = [
        Pair(item.key, TASKS["field"].prompt, item.text, fields[item.field], "webster")
        for item in old
        if item.field in fields
    ]
    by_key = {sense.key: sense for sense in senses}
    for prompt, words in _kinds(senses):
        for key, word in words.items():
            found.append(Pair(key, prompt, without_label(by_key[key].definition), word, "wordnet"))
    return [pair for pair in found if _fits(pair)]


def _kinds(senses: list[Gloss]) -> list[tuple[str, dict[str, str]]]:
    """Prompts, and the word for each sense that has one word."""
    subjects = _turned(SUBJECTS)
    of = {key: {subjects.get(word, "") for word in words} for key, words in domains(senses).items()}
    living = below(senses, LIVING["animal"], "animal") | below(senses, LIVING["plant"], "plant")
    nouns = {sense.key: sense.category for sense in senses if sense.word_class == "noun" and sense.category != "top"}
    nouns = {key: word for key, word in nouns.items() if word not in TASKS["nouns"].words}
    return [
        (TASKS["topic"].prompt, _single(of)),
        (TASKS["nouns"].prompt, nouns),
        ("kind of action: ", {sense.key: sense.category for sense in senses if sense.word_class == "verb"}),
        ("kind of living thing: ", _single(living)),
        ("kind of person: ", _single(below(senses, PEOPLE, "person"))),
        ("kind of object: ", _single(below(senses, THINGS, "artifact"))),
    ]


def _single(words: Mapping[str, set[str]]) -> dict[str, str]:
    return {key: next(iter(found)) for key, found in words.items() if len(found) == 1}


def _turned(words: Mapping[str, str]) -> dict[str, str]:
    return {part: word for word, parts in words.items() for part in parts.split(",")}


def _fits(pair: Pair) -> bool:
    return (
        bool(pair.answer)
        and pair.answer not in ANSWERS
        and len(pair.text.split()) >= 3
        and not says(pair.text, pair.answer)
    )

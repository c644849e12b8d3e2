"""Texts without what gives the label away."""

import html
import re

GROUPS = """
    alt.atheism comp.graphics comp.os.ms-windows.misc comp.os.ms-windows comp.sys.ibm.pc.hardware comp.sys.ibm.pc
    comp.sys.mac.hardware comp.sys.mac comp.windows.x misc.forsale rec.autos rec.motorcycles rec.sport.baseball
    rec.sport.hockey rec.sport sci.crypt sci.electronics sci.med sci.space soc.religion.christian talk.politics.guns
    talk.politics.mideast talk.politics.misc talk.religion.misc
"""
GROUP_NAMES = re.compile(r"\b(?:" + "|".join(re.sub(r"[.-]", " ", name) for name in GROUPS.split()) + r")\b")
ATTRIBUTION = re.compile(r"\bin (?:article|message) (?:\w+ ){1,16}?(?:writes|wrote|says|said)\b")
WRITES = re.compile(r"\b(?:\w+ ){1,3}(?:writes|wrote)\b")
ADDRESS = re.compile(r"\b(?:\w+ ){1,3}(?:edu|com|gov|mil|org|net|bitnet|uucp|ac uk|co uk)\b")
REPLY = re.compile(r"^(?:(?:re|fwd|was|subject|from)\b ?)+")
SPACE = re.compile(r"\s+")
LINKS = re.compile(r"https?:\S*|www\.\S+|\S+\.com/\S*|[.]?@\w+:?|#\w+|\bRT\b")
SIGNED = re.compile(r"\W*[-\u2013\u2014] ?(?:H|Hillary|Trump|Donald)\b\W*$|\bDJT\b")


def newsgroup(text: str) -> str:
    """A post (lower case and words only, as its source has it) without addresses, attributions and group names."""
    for pattern in (ATTRIBUTION, ADDRESS, WRITES, GROUP_NAMES):
        text = pattern.sub(" ", text)
    return REPLY.sub("", SPACE.sub(" ", text).strip())


def newswire(text: str) -> str:
    """A report without the agency's mark at its end."""
    return re.sub(r"\s*\breuters?\W*$", "", SPACE.sub(" ", text)).strip()


def tweet(text: str) -> str:
    """A tweet without links, handles, tags and signature."""
    text = SIGNED.sub(" ", LINKS.sub(" ", html.unescape(text)))
    return SPACE.sub(" ", text).strip(" \"'\u201c\u201d:-.\u2014") if text else ""

"""The data of a shipped stream as Croissant 1.0, MLCommons' JSON-LD for data sets (Akhtar et al. 2024)."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import clbench
from clbench.core.cards import STREAM_CARDS, CardFile
from clbench.core.errors import ConfigError
from clbench.core.references import references
from clbench.core.storage import file_digest
from clbench.core.strict_json import parse_json
from clbench.spec.task import SPLITS
from clbench.streams.card import StreamCard, read_card

Json = dict[str, Any]

OF_CROISSANT = """
    citeAs column equivalentProperty extract field fileObject fileProperty fileSet format includes isLiveDataset
    jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate separator source
    subField transform
"""
CONTEXT: Json = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "conformsTo": "dct:conformsTo",
    **{name: f"cr:{name}" for name in OF_CROISSANT.split()},
}
"""The context that the specification prescribes."""

TYPES = {"string": "sc:Text", "int64": "sc:Integer", "float64": "sc:Float"}


def croissant_of(name: str) -> Json:
    """The description of a stream's data: every file with its SHA-256, and a set of records for each part of a task.

    Addresses of files are relative to the folder of the data.

    Args:
        name: Name of a stream, or path of its card.

    Raises:
        ConfigError: When the data do not ship with clbench, or are no Parquet files.
        RegistryError: For an unknown stream.
    """
    file = STREAM_CARDS.get(name)
    card = read_card(file.values, file.path)
    owner = _owner_of_data(file, card)
    data = read_card(owner.values, owner.path)
    folder = owner.path.parent / str(data.data)
    files, sets = [], []
    for task in card.tasks:
        for split in SPLITS:
            path = folder / task.name / f"{split}.parquet"
            if not path.is_file():
                raise ConfigError(f"stream {file.name}: no file {path}, and only Parquet files can be described")
            files.append(_file(task.name, split, path))
            sets.append(_records(task.name, split, pq.read_schema(path)))
        sets += _classes(task.name, pq.read_schema(path))
    cited = [item.text for item in references() if item.belongs_to("stream", file.name)]
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": file.name,
        "description": card.description,
        "version": clbench.__version__,
        "creator": {"@type": "sc:Organization", "name": "The clbench maintainers"},
        "license": [f"{item.licence} ({item.source})" for item in data.licences],
        "citeAs": "\n\n".join(cited),
        "isLiveDataset": False,
        "distribution": files,
        "recordSet": sets,
    }


def _owner_of_data(file: CardFile, card: StreamCard) -> CardFile:
    """The card that has the data: the stream's own, or that of the stream whose tasks it takes.

    Raises:
        ConfigError: When the user brings the data.
    """
    if card.data is not None:
        return file
    if card.based_on is not None:
        other = STREAM_CARDS.get(card.based_on)
        return _owner_of_data(other, read_card(other.values, other.path))
    raise ConfigError(f"stream {file.name}: its data do not ship with clbench, and only data that ship are described")


def _file(task: str, split: str, path: Path) -> Json:
    return {
        "@type": "cr:FileObject",
        "@id": f"{task}/{split}.parquet",
        "name": f"{task}/{split}.parquet",
        "contentUrl": f"{task}/{split}.parquet",
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": "application/x-parquet",
        "sha256": file_digest(path),
    }


def _records(task: str, split: str, schema: pa.Schema) -> Json:
    labels = _features(schema).get("label", {})
    fields = []
    for column in schema:
        field: Json = {
            "@type": "cr:Field",
            "@id": f"{task}/{split}/{column.name}",
            "name": column.name,
            "source": {"fileObject": {"@id": f"{task}/{split}.parquet"}, "extract": {"column": column.name}},
        }
        inner = column.type
        while pa.types.is_list(inner):  # points and boxes: a list of lists of numbers
            field["repeated"], inner = True, inner.value_type
        if pa.types.is_struct(inner):  # an image, as `datasets` stores it
            field |= {"dataType": "sc:ImageObject"}
            field["source"] |= {"transform": {"jsonPath": "bytes"}}
        else:
            field |= {"dataType": TYPES["float64" if inner == pa.float64() else str(inner)]}
        if column.name == "label" and labels.get("names"):
            field["references"] = {"field": {"@id": f"{task}/classes/label"}}
        fields.append(field)
    return {"@type": "cr:RecordSet", "@id": f"{task}/{split}", "name": f"{task}/{split}", "field": fields}


def _classes(task: str, schema: pa.Schema) -> Iterator[Json]:
    """The names of a task's classes by label, if it has classes."""
    names = _features(schema).get("label", {}).get("names")
    if names:
        types = {"label": "sc:Integer", "name": "sc:Text"}
        yield {
            "@type": "cr:RecordSet",
            "@id": f"{task}/classes",
            "name": f"{task}/classes",
            "dataType": "sc:Enumeration",
            "key": {"@id": f"{task}/classes/label"},
            "field": [
                {"@type": "cr:Field", "@id": f"{task}/classes/{name}", "name": name, "dataType": kind}
                for name, kind in types.items()
            ],
            "data": [
                {f"{task}/classes/label": label, f"{task}/classes/name": name} for label, name in enumerate(names)
            ],
        }


def _features(schema: pa.Schema) -> Mapping[str, Any]:
    """What `datasets` says of the columns."""
    found: Json = parse_json((schema.metadata or {}).get(b"huggingface", b"{}"))
    features: Json = found.get("info", {}).get("features", {})
    return features

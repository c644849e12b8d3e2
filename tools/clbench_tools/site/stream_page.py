"""The page of a stream, computed from its card."""

from clbench.core.cards import CardFile
from clbench.streams.card import StreamCard, read_card
from clbench_tools.site.docstrings import plain, table
from clbench_tools.site.pieces import as_yaml, path_in_tree, to_cite


def stream_page(file: CardFile) -> str:
    """What a card says: tasks, updates, order, data, licences and sources, with a link to where the data come from."""
    card = read_card(file.values, file.path)
    facts = [("learner", card.learner), ("protocols", ", ".join(card.protocols)), ("data", _data(card))]
    rows = [(task.name, task.kind, task.metric, task.description) for task in card.tasks]
    text = [f"# {file.name}", "", plain(card.description), "", table(("", ""), facts)]
    text += ["**Order of the tasks.** " + plain(card.order_reason.strip()), "", _files(file, card), ""]
    text += ["## Tasks", "", table(("task", "kind", "score of a sample", "what it shows"), rows)]
    if card.updates:
        text += ["## Updates", "", *(f"{n}. {plain(as_yaml(update))}" for n, update in enumerate(card.updates, 1)), ""]
    if card.licences:
        licences = [(item.source, item.version, item.licence) for item in card.licences]
        text += ["## Licences", "", table(("source", "version", "licence"), licences)]
    if card.citations:
        text += ["## Sources", "", *(f"- {plain(item)}" for item in card.citations), ""]
    return "\n".join([*text, to_cite("stream", file.name, "##")])


def _data(card: StreamCard) -> str:
    if card.data is not None:
        return "ship with clbench"
    return f"those of {card.based_on}" if card.based_on else "yours: `--root DIR`"


def _files(file: CardFile, card: StreamCard) -> str:
    path = path_in_tree(file.path)
    shown = f"Card: [{plain(path)}](/{path})"
    sources = file.path.parent / (card.data or "") / "SOURCES.md"
    return (
        f"{shown}. [Where the data come from](/{path_in_tree(sources)})." if card.data and sources.is_file() else shown
    )

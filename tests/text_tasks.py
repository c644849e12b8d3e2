"""Tasks of made-up texts for tests: each label has words of its own."""

from datasets import ClassLabel, Dataset, Features, Value

from clbench.contracts import Split, Task, TextLimits

LABELS = {"one": ("red", "blue"), "two": ("wet", "dry", "icy"), "three": ("up", "down")}
SIZES: dict[Split, int] = {"train": 24, "validation": 9, "test": 15}


def rows_of(name: str, split: Split) -> Dataset:
    """Texts of several lengths; the label's word is in the middle of them."""
    labels = LABELS[name]
    rows = [
        {
            "sample_id": f"{name}/{split}/{number}",
            "text": f"{name}: {'so ' * (number % 4)}{labels[number % len(labels)]} it is",
            "answer": labels[number % len(labels)],
            "label": number % len(labels),
        }
        for number in range(SIZES[split])
    ]
    texts = {name: Value("string") for name in ("sample_id", "text", "answer")}
    features = Features({**texts, "label": ClassLabel(names=list(labels))})
    return Dataset.from_list(rows, features=features)


def text_task(name: str) -> Task:
    """One of the tasks, without files."""
    limits = TextLimits(input_tokens=32, answer_tokens=8)
    return Task(
        name,
        "classification",
        "exact_match",
        lambda split: rows_of(name, split),
        lambda split: f"{name} {split}",
        LABELS[name],
        limits=limits,
    )

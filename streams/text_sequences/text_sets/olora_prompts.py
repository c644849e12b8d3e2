"""Prompts, equal to those of O-LoRA's code in every character."""

from clbench.streams.text_sequences.text_sets.text_set_facts import Collection


def prompt(collection: Collection, dataset: str, text: str) -> str:
    """The whole input of the model.

    If the collection has an instruction for the set, the input is `Task:`, `Dataset:`, the instruction with its
    options, the text and `Answer:`. An empty instruction (COPA, whose texts contain the question) has no options. If
    there is no instruction (TRACE), the input is the text alone.

    Args:
        collection: Facts of the set's collection.
        dataset: Name of the set.
        text: Input of a row, without the prompt around it.
    """
    instruction = collection.instruction(dataset)
    if instruction is None:
        return text
    facts = collection.sets[dataset]
    options = f"{instruction}Option: {', '.join(facts.labels)} \n" if instruction else ""
    return f"Task:{facts.group}\nDataset:{dataset}\n{options}{text}\nAnswer:"

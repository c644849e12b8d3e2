"""Prompts as O-LoRA's code writes them, character for character."""

from clbench.streams.text_sequences.text_sets.text_set_facts import Collection


def prompt(collection: Collection, dataset: str, text: str) -> str:
    """What the model reads.

    Where the collection has an instruction for the set: `Task:`, `Dataset:`, the instruction with its options, the text
    and `Answer:`; with an empty instruction (COPA, whose texts ask for themselves) no options either. Otherwise the
    text as it is (TRACE).
    """
    instruction = collection.instruction(dataset)
    if instruction is None:
        return text
    facts = collection.sets[dataset]
    options = f"{instruction}Option: {', '.join(facts.labels)} \n" if instruction else ""
    return f"Task:{facts.group}\nDataset:{dataset}\n{options}{text}\nAnswer:"

"""Language models: losses, label scores and decoding against transformers' own and one sample at a time."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from datasets import Dataset

from clbench.benchmarks.engine.learners import build_learner
from clbench.contracts import Batch, Task, TextLimits
from clbench.core.errors import BrokenSamplesError, CheckpointError, ConfigError
from clbench.learners._text.loading import ByteTokens
from clbench.learners._text.text_learner import TextLearner
from clbench.learners._text.tokens import TextTokens

CPU = torch.device("cpu")
LEARNERS = [str(Path(__file__).parents[1] / f"tiny_{name}.py") for name in ("t5", "llama")]
LABELS = ("cat", "a dog", "salamander")
TEXTS = ("what purrs?", "what barks, and at whom does it bark at night?", "it swims", "four words are here")
END = 1


@pytest.fixture(params=LEARNERS, ids=["t5", "llama"])
def learner(request: pytest.FixtureRequest) -> TextLearner:
    found = build_learner(request.param, 0, CPU)
    assert isinstance(found, TextLearner)
    return found


def task_of(rows: list[dict[str, Any]], classes: tuple[str, ...] = LABELS, limit: int = 16) -> Task:
    data = Dataset.from_list(rows)
    limits = TextLimits(input_tokens=64, answer_tokens=limit)
    kind = "classification" if classes else "generation"
    return Task("animals", kind, "exact_match", lambda split: data, str, classes, limits=limits)


def rows_of(labels: tuple[int, ...] = (0, 1, 2, 1)) -> list[dict[str, Any]]:
    pairs = zip(TEXTS, labels, strict=True)
    return [{"sample_id": text, "text": text, "answer": LABELS[k], "label": k} for text, k in pairs]


def encoded(learner: TextLearner, task: Task) -> Batch:
    return learner.encode(task.load("train"), task).batch(slice(None))


def negative_log_likelihoods(learner: TextLearner, text: str, answer: str) -> torch.Tensor:
    """Of each token of one answer to one text, by a plain forward pass of transformers' model without any padding."""
    tokens = ByteTokens()
    written = torch.tensor(tokens([answer])["input_ids"])
    if learner.name == "tiny-t5":
        read = torch.tensor(tokens([text])["input_ids"])
        told = torch.cat([torch.zeros(1, 1, dtype=torch.int64), written[:, :-1]], dim=1)
        logits = learner.module(input_ids=read, decoder_input_ids=told).logits[0]
    else:
        read = torch.tensor(tokens([text], add_special_tokens=False)["input_ids"])
        logits = learner.module(input_ids=torch.cat([read, written], dim=1)).logits[0, read.shape[1] - 1 : -1]
    return F.cross_entropy(logits, written[0], reduction="none")


def test_the_loss_is_the_mean_over_the_answers_tokens(learner: TextLearner) -> None:
    task = task_of(rows_of())
    losses = [negative_log_likelihoods(learner, row["text"], row["answer"]) for row in rows_of()]
    torch.testing.assert_close(learner.loss(encoded(learner, task), task), torch.cat(losses).mean())


def test_the_loss_is_transformers_own() -> None:
    learner = build_learner(LEARNERS[0], 0, CPU)
    assert isinstance(learner, TextLearner)
    learner.module.config.decoder_start_token_id = 0  # type: ignore[union-attr]
    batch = encoded(learner, task_of(rows_of()))
    at = torch.arange(batch["answer"].shape[1])
    labels = batch["answer"].long().masked_fill(at >= batch["answer.width"].unsqueeze(1), -100)
    mask = torch.arange(batch["input"].shape[1]) < batch["input.width"].unsqueeze(1)
    wanted = learner.module(input_ids=batch["input"].long(), attention_mask=mask.long(), labels=labels).loss
    torch.testing.assert_close(learner.loss(batch, task_of(rows_of())), wanted)


def test_class_scores_are_the_labels_log_likelihoods(learner: TextLearner) -> None:
    task = task_of(rows_of())
    found = learner.logits(encoded(learner, task), [task])
    with torch.no_grad():
        wanted = [[-float(negative_log_likelihoods(learner, text, label).sum()) for label in LABELS] for text in TEXTS]
    torch.testing.assert_close(found, torch.tensor(wanted), atol=1e-4, rtol=1e-5)


def test_the_loss_from_class_scores_is_the_loss_and_so_is_its_gradient(learner: TextLearner) -> None:
    task, other = task_of(rows_of()), task_of(rows_of(), ("bird", "fish"))
    batch = encoded(learner, task)
    weights = list(learner.trainable().values())
    direct = learner.loss(batch, task)
    wanted = torch.autograd.grad(direct, weights)
    through = learner.loss_from_logits(learner.logits(batch, [other, task]), batch["label"] + 2, [other, task])
    torch.testing.assert_close(through, direct)
    for found, expected in zip(torch.autograd.grad(through, weights), wanted, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_decoding_is_greedy_whatever_else_is_in_the_batch(learner: TextLearner) -> None:
    batch = encoded(learner, task_of(rows_of()))
    together = learner.tokens.texts(learner.generate(batch, 6))
    for text, found in zip(TEXTS, together, strict=True):
        written: list[int] = []
        while len(written) < 6 and END not in written:
            written.append(next_token(learner, text, written))
        assert found == learner.tokens.texts(torch.tensor([written]))[0]


def next_token(learner: TextLearner, text: str, written: list[int]) -> int:
    tokens = ByteTokens()
    if learner.name == "tiny-t5":
        read = torch.tensor(tokens([text])["input_ids"])
        logits = learner.module(input_ids=read, decoder_input_ids=torch.tensor([[0, *written]])).logits
    else:
        before = tokens([text], add_special_tokens=False)["input_ids"][0]
        logits = learner.module(input_ids=torch.tensor([[*before, *written]])).logits
    return int(logits[0, -1].argmax())


def test_predictions_under_all_protocols(learner: TextLearner) -> None:
    task, other = task_of(rows_of()), task_of(rows_of(), ("bird", "fish"))
    object.__setattr__(other, "name", "others")
    batch = encoded(learner, task)
    with torch.no_grad():
        found = learner.predictor([other, task], ("open", "task-id", "union"))(batch, task)
        scores = learner.logits(batch, [other, task])
    assert torch.equal(found["task-id"].prediction, scores[:, 2:].argmax(1))  # type: ignore[arg-type]
    assert torch.equal(found["union"].prediction, scores.argmax(1))  # type: ignore[arg-type]
    assert list(found["union"].names) == ["others: bird", "others: fish", *(f"animals: {name}" for name in LABELS)]
    assert isinstance(found["open"].prediction, list)


def test_transformers_has_nothing_to_remark(learner: TextLearner, caplog: pytest.LogCaptureFixture) -> None:
    """Names that the installed release has given up are told once a process, so what was told already is forgotten."""
    remarks = logging.getLogger("transformers")
    logging.Logger.warning_once.cache_clear()  # type: ignore[attr-defined]  # transformers adds it
    remarks.addHandler(caplog.handler)
    try:
        task = task_of(rows_of())
        learner.predictor([task], ["open", "task-id"])(encoded(learner, task), task)
    finally:
        remarks.removeHandler(caplog.handler)
    assert not caplog.records


def test_real_tokens_are_those_whose_outputs_the_loss_depends_on(learner: TextLearner) -> None:
    """What the layers say elsewhere changes nothing: its gradient is exactly zero there."""
    task = task_of(rows_of())
    batch = encoded(learner, task)
    seen: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Any:
        def hook(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            output.retain_grad()
            seen[name] = output

        return hook

    layers = learner.linear_layers()
    hooks = [learner.module.get_submodule(layer.name).register_forward_hook(keep(layer.name)) for layer in layers]
    learner.loss(batch, task).backward()
    for hook in hooks:
        hook.remove()
    for layer in layers:
        mask = learner.real_tokens(batch, layer)
        gradient = seen[layer.name].grad
        assert mask is not None
        assert gradient is not None
        assert mask.shape == gradient.shape[:2], layer
        assert not gradient[~mask].any(), layer


def test_layers_are_told_by_role(learner: TextLearner) -> None:
    roles = {(layer.tower, layer.role, layer.block) for layer in learner.linear_layers()}
    if learner.name == "tiny-t5":
        own = {(tower, role, 0) for tower in ("encoder", "decoder") for role in ("q", "k", "v", "out", "up", "down")}
        assert own | {("decoder", f"cross_{role}", 1) for role in ("q", "k", "v", "out")} <= roles
        assert len(learner.linear_layers()) == 6 + 2 * 10
    else:
        assert roles == {("decoder", r, b) for r in ("q", "k", "v", "out", "gate", "up", "down") for b in (0, 1)}


def test_weights_go_out_and_in_and_shared_ones_once(learner: TextLearner) -> None:
    state = {name: tensor.clone() for name, tensor in learner.state_dict().items()}
    assert len({tensor.data_ptr() for tensor in learner.state_dict().values()}) == len(state)
    before = learner.digest()
    with torch.no_grad():
        for p in learner.trainable().values():
            p.add_(1)
    assert learner.digest() != before
    learner.load_state_dict(state)
    assert learner.digest() == before


def test_long_inputs_are_cut_and_keep_their_marks() -> None:
    encoder, decoder = (TextTokens(ByteTokens(), "x", ends_inputs=ends) for ends in (True, False))
    assert encoder.inputs(["abcdef"], 4) == [[100, 101, 102, END]]
    assert decoder.inputs(["abcdef"], 4) == [[100, 101, 102, 103]]
    assert encoder.inputs(["abcdef"], 4, "front") == [[103, 104, 105, END]]
    assert decoder.inputs(["abcdef"], 4, "front") == [[102, 103, 104, 105]]
    assert encoder.inputs(["ab"], 4) == [[100, 101, END]]
    assert decoder.inputs(["ab"], 4) == [[100, 101]]
    assert encoder.answers(["abcdef"], 4) == [[100, 101, 102, END]]


def test_a_label_longer_than_answers_may_be_is_refused(learner: TextLearner) -> None:
    with pytest.raises(ConfigError, match=r"task 'animals': limits.answer_tokens must be at least 11, got 8"):
        encoded(learner, task_of(rows_of(), limit=8))


def test_a_stream_without_limits_is_refused(learner: TextLearner) -> None:
    task = Task("t", "classification", "exact_match", lambda split: Dataset.from_list(rows_of()), str, LABELS)
    with pytest.raises(ConfigError, match="needs a stream of texts"):
        encoded(learner, task)


@pytest.mark.parametrize(("column", "what"), [("text", "text"), ("answer", "answer")])
def test_empty_texts_are_broken_samples(learner: TextLearner, column: str, what: str) -> None:
    rows = rows_of()
    rows[2][column] = " "
    with pytest.raises(BrokenSamplesError, match=f"'it swims' has an empty {what}") as caught:
        encoded(learner, task_of(rows))
    assert list(caught.value.positions) == [2]


def test_free_answers_have_no_class_scores(learner: TextLearner) -> None:
    task = task_of([{name: row[name] for name in ("sample_id", "text", "answer")} for row in rows_of()], ())
    batch = encoded(learner, task)
    assert "label" not in batch
    with pytest.raises(ConfigError, match="needs classes"):
        learner.logits(batch, [task])


def test_a_tokenizer_without_an_end_mark_is_refused() -> None:
    class Endless(ByteTokens):
        eos_token_id = None  # type: ignore[assignment]

    with pytest.raises(CheckpointError, match="no end mark"):
        TextTokens(Endless(), "x", ends_inputs=True)


def test_a_model_goes_through_a_folder(tmp_path: Path, learner: TextLearner) -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = {"</s>": END, "<unk>": 0, "what": 5}
    wrapper: Any = PreTrainedTokenizerFast
    tokenizer = wrapper(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<unk>")), eos_token="</s>", unk_token="<unk>"
    )
    tokenizer.save_pretrained(tmp_path)
    learner.module.save_pretrained(tmp_path)  # type: ignore[operator]
    name = "t5" if learner.name == "tiny-t5" else "llama"
    again = build_learner(f"{name}:{tmp_path}", 0, CPU)
    task = task_of(rows_of())
    torch.testing.assert_close(again.loss(encoded(learner, task), task), learner.loss(encoded(learner, task), task))
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        build_learner(f"{name}:{tmp_path}", 0, CPU)


def test_a_decoder_that_is_not_built_like_llama_is_refused(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    wrapper: Any = PreTrainedTokenizerFast
    words = Tokenizer(models.WordLevel({"</s>": 0, "what": 1}, unk_token="</s>"))
    wrapper(tokenizer_object=words, eos_token="</s>", unk_token="</s>").save_pretrained(tmp_path)
    model: Any = GPT2LMHeadModel(GPT2Config(vocab_size=8, n_embd=8, n_layer=1, n_head=2, n_positions=16))
    model.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="GPT2LMHeadModel is not built like LLaMA: wanted linear layers in"):
        build_learner(f"llama:{tmp_path}", 0, CPU)


def test_tokens_without_an_embedding_are_told(learner: TextLearner) -> None:
    far = type(learner)("far", learner.module, TextTokens(ByteTokens(offset=200), "far", ends_inputs=False))
    with pytest.raises(ConfigError, match=r"learner far: its tokenizer gave token 3\d\d, its embedding ends at \d+"):
        encoded(far, task_of(rows_of()))


def test_what_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"learner t5:.*cannot be loaded"):
        build_learner(f"t5:{tmp_path / 'none'}", 0, CPU)
    with pytest.raises(ConfigError, match="learner llama: wanted a hub name"):
        build_learner("llama", 0, CPU)
    with pytest.raises(ConfigError, match="unknown shape 't5-larg'"):
        build_learner("t5:random:t5-larg", 0, CPU)


def test_perplexity_is_that_of_the_passages_tokens(tmp_path: Path, learner: TextLearner) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    passages = ["one two three four five six seven eight nine ten eleven", "six words are here and more"]
    pq.write_table(pa.table({"text": passages}), tmp_path / "plain.parquet")
    assert learner.general_ability() == {}
    learner.held_out = tmp_path / "plain.parquet"
    asked: dict[str, list[Any]] = {
        "tiny-t5": [
            ("one two three four five <extra_id_0> eight nine ten eleven", "<extra_id_0> six seven"),
            ("six words are here and <extra_id_0>", "<extra_id_0> more"),
        ],
        "tiny-llama": [tuple(passage.split(" ", 1)) for passage in passages],
    }
    losses = [negative_log_likelihoods(learner, *pair) for pair in asked[learner.name]]
    wanted = float(torch.cat(losses).mean().detach().exp())
    assert learner.general_ability()["perplexity"] == pytest.approx(wanted, rel=1e-5)

"""Strategies of updates on language models and CLIP: identities between them, adapters, teachers, refusals."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.strategies.update_streams import CLIP, CPU, LLAMA, QUICK, TESTS, context_of, updated
from tests.text_tasks import text_task

from clbench.benchmarks.engine.learners import build_learner
from clbench.contracts import (
    Context,
    Ensembles,
    ForgetRequest,
    Predictions,
    ScoresTokens,
    Strategy,
    StrategyConfig,
    Task,
    require,
)
from clbench.contracts.updating import adopt_release, compress, forget, learn_task
from clbench.core.errors import ConfigError
from clbench.learners._text.loading import ByteTokens
from clbench.learners._text.tokens import TextTokens
from clbench.spec.update import Compress, Forget
from clbench.strategies._adapters.initial_factors import drawn_factors
from clbench.strategies._adapters.low_rank import Arithmetic, LowRankAdapter
from clbench.strategies._training.gradient import GradientConfig
from clbench.strategies._updates.adapted import Adapted, mean_cross_entropy
from clbench.strategies._updates.updates import UpdateConfig
from clbench.strategies.ascent import Ascent, AscentConfig
from clbench.strategies.finetune import Finetune
from clbench.strategies.muscle import Muscle, MuscleConfig
from clbench.strategies.naive_update import NaiveUpdate
from clbench.strategies.pct import Pct, PctConfig
from clbench.strategies.quantize import Quantize, QuantizeConfig
from clbench.streams.card import load_stream

TEXTS = [text_task("one"), text_task("two")]
LLAMAS = [f"{LLAMA}:a", f"{LLAMA}:b"]
T5S = [f"{TESTS / 'tiny_t5.py'}:a", f"{TESTS / 'tiny_t5.py'}:b"]
CLIPS = [f"{CLIP}:a", f"{CLIP}:b"]


@pytest.fixture(params=["llama", "t5", "clip"])
def family(request: pytest.FixtureRequest, tiny: Any) -> tuple[list[Task], list[str]]:
    """Tasks, and two releases that can learn them."""
    if request.param == "clip":
        return list(load_stream(tiny.stream).tasks[:2]), CLIPS
    return TEXTS, T5S if request.param == "t5" else LLAMAS


def samples_of(strategy: Strategy[StrategyConfig], task: Task) -> Any:
    return strategy.context.samples(task, "test").batch(slice(None))


def answers(strategy: Strategy[StrategyConfig], tasks: Sequence[Task], protocol: Any = "task-id") -> list[Predictions]:
    """Predictions of all test samples, task by task."""
    strategy.learner.module.eval()
    with torch.no_grad():
        predict = strategy.predictor(tasks, [protocol])
        return [predict(samples_of(strategy, task), task)[protocol] for task in tasks]


def test_continued_by_no_steps_it_is_the_naive_update(family: tuple[list[Task], list[str]]) -> None:
    naive = updated("naive-update", *family).digest()
    for name in ("continue-update", "muscle", "pct"):
        assert updated(name, *family, further_steps=0).digest() == naive
        assert updated(name, *family).digest() != naive


def test_a_second_stage_without_a_rate_leaves_what_it_starts_from() -> None:
    """At a rate of next to nothing the result is the adapter of the first stage, or the old model's."""

    def factors(strategy: Any) -> list[torch.Tensor]:
        return [p.detach() for _, p in strategy.adapters["one"].parameters()]

    tasks, rate = TEXTS[:1], 1e-30
    starts = {"new": updated("naive-update", tasks, LLAMAS), "old": updated("naive-update", tasks, LLAMAS[:1])}
    for name in ("continue-update", "muscle", "pct"):
        for start, wanted in starts.items():
            found = updated(name, tasks, LLAMAS, further_lr=rate, start=start)
            assert all(map(torch.equal, factors(found), factors(wanted)))


def test_the_rate_of_the_second_stage_is_that_of_the_first_if_not_set() -> None:
    wanted = updated("continue-update", TEXTS[:1], LLAMAS).digest()
    assert updated("continue-update", TEXTS[:1], LLAMAS, further_lr=QUICK["lr"]).digest() == wanted
    assert updated("continue-update", TEXTS[:1], LLAMAS, further_lr=QUICK["lr"] / 2).digest() != wanted


def test_without_distillation_muscle_and_pct_are_the_continued_update(family: tuple[list[Task], list[str]]) -> None:
    wanted = updated("continue-update", *family).digest()
    assert updated("muscle", *family, distilled=0.0).digest() == wanted
    assert updated("pct", *family, strength=0.0).digest() == wanted
    assert updated("muscle", *family, distilled=0.5).digest() != wanted


def test_interpolated_all_the_way_it_is_the_new_or_the_old_model(family: tuple[list[Task], list[str]]) -> None:
    tasks, releases = family
    assert updated("bcwi", *family, share=0.0).digest() == updated("naive-update", *family).digest()
    assert updated("bcwi", *family, share=1.0).digest() == updated("naive-update", tasks, releases[:1]).digest()


def test_half_way_every_adapted_weight_is_the_mean_of_old_and_new() -> None:
    old, new = updated("naive-update", TEXTS, LLAMAS[:1]), updated("naive-update", TEXTS, LLAMAS)
    mean = updated("bcwi", TEXTS, LLAMAS, share=0.25)
    for layer in mean.learner.linear_layers():
        weights = [whole_weight(strategy, layer.name, "two") for strategy in (old, new, mean)]
        torch.testing.assert_close(weights[2], 0.25 * weights[0] + 0.75 * weights[1])


def whole_weight(strategy: Any, layer: str, task: str) -> torch.Tensor:
    """W + scale B A."""
    adapter: LowRankAdapter = strategy.adapters[task]
    a, b = adapter.factors[layer].a, adapter.factors[layer].b
    weight: torch.Tensor = strategy.learner.module.get_submodule(layer).weight
    return weight.detach() + adapter.arithmetic.scale * b.detach() @ a.detach()


def test_interpolation_needs_one_architecture() -> None:
    first, other = build_learner(LLAMAS[0], 0, CPU), build_learner(LLAMAS[1], 0, CPU)
    other.module.register_parameter("one_more", torch.nn.Parameter(torch.zeros(1)))
    strategy: Any = updated("bcwi", TEXTS[:1], LLAMAS[:1])
    with pytest.raises(ConfigError, match="bcwi: tiny-llama and tiny-llama are not of one architecture"):
        adopt_release(strategy, other, TEXTS[:1])
    assert first.digest() != other.digest()


@pytest.mark.parametrize("protocol", ["task-id", "open"])
@pytest.mark.parametrize("releases", [LLAMAS, T5S], ids=["llama", "t5"])
def test_the_ensemble_of_a_text_model_with_itself_is_the_model(releases: list[str], protocol: Any) -> None:
    plain: Any = updated("naive-update", TEXTS, releases, steps=30)
    alone = answers(plain, TEXTS, protocol)
    ensemble: Any = updated("ensemble", TEXTS, releases, steps=30)
    ensemble.partner = Adapted(build_learner(releases[1], 0, CPU), plain.adapters)
    ensemble.partner.learner.module.eval()
    for one, two in zip(alone, answers(ensemble, TEXTS, protocol), strict=True):
        if protocol == "open":
            assert one.prediction == two.prediction
            assert any(one.prediction)
        else:
            torch.testing.assert_close(one.prediction, two.prediction)
            torch.testing.assert_close(one.confidence, two.confidence)


def test_the_ensemble_of_a_clip_with_itself_is_the_model(tiny: Any) -> None:
    tasks = load_stream(tiny.stream).tasks[:2]
    learner, twin = build_learner(CLIP, 0, CPU), build_learner(CLIP, 0, CPU)
    batch = learner.encode(tasks[1].load("test"), tasks[1]).batch(slice(None))
    with torch.no_grad():
        one = learner.predictor(tasks, ["task-id", "union"])(batch, tasks[1])
        two = require(learner, Ensembles).ensemble(twin, tasks, ["task-id", "union"])(batch, tasks[1])
    for protocol in ("task-id", "union"):
        assert torch.equal(torch.as_tensor(one[protocol].prediction), torch.as_tensor(two[protocol].prediction))
        torch.testing.assert_close(one[protocol].confidence, two[protocol].confidence)


def test_the_ensemble_means_the_probabilities_of_both_models(family: tuple[list[Task], list[str]]) -> None:
    tasks, releases = family
    old: Any = updated("naive-update", tasks, releases[:1])
    new: Any = updated("naive-update", tasks, releases)
    ensemble = updated("ensemble", tasks, releases)
    task = tasks[1]
    chances = []
    with torch.no_grad():
        for model in (old, new):
            with model.adapters[task.name].on(model.learner.module):
                chances.append(model.learner.logits(samples_of(model, task), [task]).softmax(dim=-1))
    confidence, prediction = (sum(chances) / 2).max(dim=-1)
    found = answers(ensemble, tasks)[1]
    assert torch.equal(torch.as_tensor(found.prediction), prediction)
    torch.testing.assert_close(found.confidence, confidence, atol=1e-5, rtol=1e-4)


def test_muscle_starts_from_the_new_adapter_and_without_gradient_where_that_is_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first: list[tuple[float, float]] = []
    original = Muscle.second_stage_loss

    def watched(self: Any, batch: Any, task: Task) -> torch.Tensor:
        loss = original(self, batch, task)
        if len(first) < 1:
            units = self.student_scores(batch, task)
            wrong = (units.logits.argmax(dim=-1) != units.target).float().mean()
            first.append((float(loss.detach()), float(wrong)))
        return loss

    monkeypatch.setattr(Muscle, "second_stage_loss", watched)
    updated("muscle", TEXTS[:1], LLAMAS, steps=60, answers_only=True)
    loss, wrong = first[0]
    assert wrong == 0  # the answers of this task are learnt by then
    assert loss == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("mask", ["student-wrong", "old-right", "old-only", "token-likelihood", "sequence-likelihood"])
def test_stored_teachers_say_what_live_ones_say(mask: str) -> None:
    live: Any = updated("muscle", TEXTS[1:], LLAMAS, mask=mask)
    stored: Any = updated("muscle", TEXTS[1:], LLAMAS, mask=mask, teachers="stored")
    everything: Any = updated("muscle", TEXTS[1:], LLAMAS, mask=mask, teachers="stored", top_k=260)
    few: Any = updated("muscle", TEXTS[1:], LLAMAS, mask=mask, teachers="stored", top_k=3)
    for name, wanted in live.adapters["two"].parameters():
        for other, tolerance in ((stored, 1e-4), (everything, 1e-4)):
            torch.testing.assert_close(
                dict(other.adapters["two"].parameters())[name], wanted, atol=tolerance, rtol=1e-3
            )
    assert few.digest() != live.digest()


def test_stored_teachers_are_refused_where_samples_look_different_each_time(tiny: Any) -> None:
    tasks = load_stream(tiny.stream).tasks[:1]
    with pytest.raises(ConfigError, match="stored: samples must always look the same, tiny-clip:b augments them"):
        updated("muscle", tasks, CLIPS, teachers="stored")


def test_stored_teachers_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clbench.strategies._distillation.teacher_outputs.DISK_SHARE", 0.0)
    with pytest.raises(ConfigError, match=r"stored teachers: would take 0.0 GiB, .* free in .*: use a smaller top_k"):
        updated("muscle", TEXTS[:1], LLAMAS, teachers="stored")


@pytest.mark.parametrize("distance", ["kl", "logits"])
def test_pct_is_cross_entropy_and_a_weighted_distance(distance: Any) -> None:
    old, new = build_learner(LLAMAS[0], 0, CPU), build_learner(LLAMAS[1], 0, CPU)
    config = PctConfig(**QUICK, strength=0.5, base=2.0, focus=3.0, distance=distance, temperature=4.0)
    strategy = Pct(config, context_of(new))
    task = TEXTS[0]
    batch = strategy.context.samples(task, "train").batch(slice(5))
    strategy.in_training = strategy.new_adapter()
    strategy.old = Adapted(old, {task.name: LowRankAdapter({}, Arithmetic())})
    found = float(strategy.second_stage_loss(batch, task).detach())
    with torch.no_grad():
        student, teacher = (
            require(new, ScoresTokens).token_logits(batch, task),
            require(old, ScoresTokens).token_logits(batch, task),
        )
    q, p = ((part.logits.double() / 4).log_softmax(dim=1) for part in (student, teacher))
    apart = {
        "kl": 16 * F.kl_div(q, p, reduction="none", log_target=True).sum(dim=1),
        "logits": 0.5 * (student.logits.double() - teacher.logits.double()).square().sum(dim=1),
    }[distance]
    weight = 2 + 3 * (teacher.logits.argmax(dim=1) == teacher.target)
    expected = float(mean_cross_entropy(student)) + 0.5 * float((weight * apart).mean())
    assert found == pytest.approx(expected, rel=1e-4)


def test_at_temperature_100_the_divergence_is_the_centred_logit_distance_by_column() -> None:
    from clbench.strategies._distillation.teacher_outputs import SoftTargets, divergence

    torch.manual_seed(0)
    one, two = torch.randn(2, 4, 30, dtype=torch.float64).float()
    apart = 100**2 * divergence(one, SoftTargets(two), 100)
    gap = one - two
    torch.testing.assert_close(
        apart, 0.5 * (gap - gap.mean(dim=1, keepdim=True)).square().mean(dim=1), rtol=0.05, atol=0.02
    )


def test_the_base_stays_as_released_and_adapters_make_the_difference() -> None:
    strategy: Any = updated("muscle", TEXTS, LLAMAS, steps=60, answers_only=True)
    assert strategy.learner.digest() == build_learner(LLAMAS[1], 0, CPU).digest()
    layers = [layer.name for layer in strategy.learner.linear_layers()]
    assert [list(strategy.adapters[task.name].factors) for task in TEXTS] == [layers, layers]
    right = [float(found.correct.float().mean()) for found in answers(strategy, TEXTS) if found.correct is not None]
    assert min(right) > 0.8
    swapped = dict(zip(["one", "two"], [strategy.adapters["two"], strategy.adapters["one"]], strict=True))
    strategy.adapters = swapped
    worse = [float(found.correct.float().mean()) for found in answers(strategy, TEXTS) if found.correct is not None]
    assert sum(worse) < sum(right)


def test_a_task_gets_the_same_adapter_wherever_the_others_are_trained_longer() -> None:
    short: Any = updated("naive-update", TEXTS, LLAMAS)
    again: Any = updated("naive-update", [TEXTS[0], text_task("three")], LLAMAS)
    state = [dict(strategy.adapters["one"].parameters()) for strategy in (short, again)]
    assert all(torch.equal(state[0][name], state[1][name]) for name in state[0])


def test_an_adapter_is_the_low_rank_product_it_says_and_leaves_nothing_behind() -> None:
    torch.manual_seed(0)
    module: Any = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    factors = drawn_factors(module, ["0", "2"], 2, torch.Generator().manual_seed(1))
    adapter = LowRankAdapter(factors, Arithmetic(scale=0.5))
    x = torch.randn(5, 3)
    before = module(x)
    with adapter.on(module):
        assert torch.equal(module(x), before)  # B is zero
    for _, p in adapter.parameters():
        torch.nn.init.normal_(p)
    with adapter.on(module):
        found = module(x)
    hidden = x @ (module[0].weight + 0.5 * factors["0"].b @ factors["0"].a).T + module[0].bias
    wanted = hidden.relu() @ (module[2].weight + 0.5 * factors["2"].b @ factors["2"].a).T
    torch.testing.assert_close(found, wanted + module[2].bias)
    assert torch.equal(module(x), before)


def test_dropout_is_for_training_only() -> None:
    strategy: Any = updated("naive-update", TEXTS[:1], LLAMAS[:1], dropout=0.5)
    first, second = (answers(strategy, TEXTS[:1])[0].confidence for _ in range(2))
    assert torch.equal(torch.as_tensor(first), torch.as_tensor(second))
    assert strategy.digest() != updated("naive-update", TEXTS[:1], LLAMAS[:1]).digest()


def test_steps_are_counted_with_the_second_stage() -> None:
    counts = {}
    for name in ("naive-update", "muscle"):
        strategy = updated(name, TEXTS[:1], LLAMAS[:1], **({"further_steps": 7} if name == "muscle" else {}))
        counts[name] = [strategy.number_of_steps(TEXTS[0])]
        strategy.version = 2
        counts[name].append(strategy.number_of_steps(TEXTS[0]))
    assert counts == {"naive-update": [4, 4], "muscle": [4, 11]}


def test_losses_of_both_stages_are_recorded_by_task() -> None:
    numbers: dict[str, float] = {}
    first, second = (build_learner(name, 0, CPU) for name in LLAMAS)
    strategy = Muscle(MuscleConfig(**QUICK), context_of(first, record=numbers.__setitem__))
    adopt_release(strategy, first, TEXTS[:1])
    assert set(numbers) == {"train/loss_first/one", "train/loss_last/one", "memory/trained_share"}
    adopt_release(strategy, second, TEXTS[:1])
    assert set(numbers) >= {"further/loss_first/one", "further/loss_last/one"}


def test_releases_with_other_tokenizers_are_refused_in_one_line() -> None:
    first, other = (build_learner(name, 0, CPU) for name in LLAMAS)
    other.tokens = TextTokens(ByteTokens(offset=4), "tiny-llama", ends_inputs=False)  # type: ignore[attr-defined]
    strategy = NaiveUpdate(UpdateConfig(**QUICK), context_of(first))
    adopt_release(strategy, first, TEXTS[:1])
    with pytest.raises(ConfigError, match=r"^releases must have one vocabulary \(tokenizer\): tiny-llama has .* x 260"):
        adopt_release(strategy, other, TEXTS[:1])


def test_updates_of_a_kind_that_a_strategy_does_not_handle_are_refused_and_change_nothing(
    new_context: Callable[..., Context], tiny: Any
) -> None:
    task = load_stream(tiny.stream).tasks[0]
    request = ForgetRequest(Forget(task="one"), (task,), {"one": torch.arange(2)})
    for strategy, handled in (
        (NaiveUpdate(UpdateConfig(), new_context()), "adopt"),
        (Finetune(GradientConfig(), new_context()), "learn"),
        (Quantize(QuantizeConfig(), new_context()), "compress"),
        (Ascent(AscentConfig(), new_context()), "forget"),
    ):
        learner, digest = strategy.learner, strategy.learner.digest()
        for kind, update in (
            ("learn", partial(learn_task, strategy, task)),
            ("adopt", partial(adopt_release, strategy, new_context().learner, [task])),
            ("compress", partial(compress, strategy, Compress(bits=4))),
            ("forget", partial(forget, strategy, request)),
        ):
            if kind != handled:
                message = (
                    rf"^strategy {type(strategy).__name__} is for updates of kind {handled}, got one of kind {kind}$"
                )
                with pytest.raises(ConfigError, match=message):
                    update()
        assert (strategy.version, strategy.seen) == (0, [])
        assert strategy.learner is learner
        assert learner.digest() == digest

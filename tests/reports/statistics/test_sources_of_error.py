"""Errors of seeds, of test samples and of both: by hand, in closed form, by simulation of whole experiments."""

from collections.abc import Hashable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from clbench.core.errors import MetricError
from clbench.reports.statistics.measured import Measured, sources_of_error
from clbench.reports.statistics.paired_difference import paired_difference
from clbench.reports.statistics.sample_draws import Numbers, SampleDraws

MANY = 20_000


def measured(answers: Numbers, draws: SampleDraws) -> Measured:
    """The mean over tasks of the mean over their samples, for answers of shape `(seeds, samples)`."""
    tasks = range(int(draws.task.max()) + 1)
    values = np.mean([answers[:, draws.task == task].mean(axis=1) for task in tasks], axis=0)
    drawn = draws.task_means(answers).mean(axis=2)
    seeds: dict[Hashable, float] = {seed: float(value) for seed, value in enumerate(values)}
    return Measured(seeds, {seed: drawn[:, seed] for seed in range(len(values))}, draws.degrees_of_freedom)


def test_two_seeds_and_four_samples_by_hand() -> None:
    answers = np.array([[1.0, 0, 1, 0], [1, 1, 1, 0]])
    found = sources_of_error(measured(answers, SampleDraws.draw("aaaa", resamples=MANY)))
    assert found.seeds is not None
    assert found.samples is not None
    assert found.both is not None
    assert found.mean == 0.625
    assert found.seeds.standard_error == pytest.approx(0.125)  # 0.25 / 2
    # variances of the two means: (1 / 3) / 4 and (1 / 4) / 4; their covariance (1 / 6) / 4
    assert found.samples.standard_error == pytest.approx(((1 / 12 + 1 / 16 + 2 / 24) / 4) ** 0.5, rel=0.02)
    assert found.both.standard_error == pytest.approx((1 / 64 + 1 / 24) ** 0.5, rel=0.02)


@pytest.mark.parametrize("size", [1, 3])
def test_clusters_have_the_error_of_their_means(size: int) -> None:
    rng = np.random.default_rng(size)
    clusters = np.repeat(np.arange(20), size)
    answers = np.repeat(rng.random(20), size)[np.newaxis]
    found = sources_of_error(measured(answers, SampleDraws.draw(["a"] * len(clusters), clusters.tolist(), MANY)))
    assert found.samples is not None
    assert found.samples.standard_error == pytest.approx(answers[0, ::size].std(ddof=1) / 20**0.5, rel=0.02)
    assert found.samples.degrees_of_freedom == 19
    assert (found.seeds, found.both, found.interval, found.p_value) == (None, None, None, None)


def test_tasks_are_strata_unless_a_patient_is_in_two_of_them() -> None:
    answers = np.array([[0.0, 0, 1, 1]])
    apart = SampleDraws.draw("aabb", "pqrs")
    assert np.all(apart.task_means(answers).mean(axis=2) == 0.5)  # two of each task in every draw
    shared = SampleDraws.draw("aabb", "pqpq", resamples=MANY)
    assert shared.degrees_of_freedom == 1
    assert np.all(shared.task_means(answers)[:, 0] == [0, 1])
    mixed = np.array([[0.0, 1, 1, 0]])
    assert np.all(shared.task_means(mixed)[:, 0].sum(axis=1) == 1)  # patient p is right in b alone, q in a alone


def test_a_single_cluster_is_always_drawn() -> None:
    draws = SampleDraws.draw("ab", resamples=7)
    assert draws.degrees_of_freedom == 0
    assert np.all(draws.weights == 1)
    assert sources_of_error(measured(np.array([[1.0, 0], [0, 0]]), draws)).samples is None


def test_what_was_not_measured_is_left_out() -> None:
    draws = SampleDraws.draw("aab")
    found = draws.task_means(np.array([[1.0, np.nan, np.nan]]))
    assert np.isnan(found[:, 0, 1]).all()
    assert set(np.unique(found[:, 0, 0][~np.isnan(found[:, 0, 0])])) == {1.0}


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.integers(2, 5))
def test_both_sources_are_never_less_than_the_seeds(seed: int, seeds: int) -> None:
    answers = np.random.default_rng(seed).random((seeds, 12))
    found = sources_of_error(measured(answers, SampleDraws.draw("aaaabbbbcccc", resamples=100)))
    assert found.seeds is not None
    assert found.both is not None
    assert found.seeds.interval is not None
    assert found.both.interval is not None
    assert found.both.interval.high - found.both.interval.low >= found.seeds.interval.high - found.seeds.interval.low
    assert found.p_value is not None
    assert found.seeds.p_value is not None
    assert found.p_value >= found.seeds.p_value


@pytest.mark.parametrize(
    ("seeds", "clusters", "of_training"), [(3, 50, 0.1), (3, 50, 0.5), (5, 25, 0.1), (10, 50, 0.3)]
)
def test_95_percent_intervals_hold_the_truth_in_95_percent_of_experiments(
    seeds: int, clusters: int, of_training: float
) -> None:
    """Two samples a cluster; effects of seeds, clusters, seeds on clusters, and samples."""
    rng, held = np.random.default_rng(7), np.zeros(3)
    for run in range(1500):
        training, cluster = rng.normal(0, of_training, (seeds, 1)), rng.normal(0, 1, clusters)
        interaction, rest = rng.normal(0, 0.3, (seeds, clusters)), rng.normal(0, 0.5, (seeds, 2 * clusters))
        answers = training + np.repeat(cluster + interaction, 2, axis=1) + rest
        names = np.repeat(np.arange(clusters), 2).tolist()
        found = sources_of_error(measured(answers, SampleDraws.draw([0] * len(names), names, 200, run)))
        truths = (cluster.mean(), training.mean(), 0.0)
        for place, (truth, source) in enumerate(zip(truths, (found.seeds, found.samples, found.both), strict=True)):
            assert source is not None
            assert source.interval is not None
            held[place] += source.interval.low <= truth <= source.interval.high
    assert np.all((held / 1500 > 0.93) & (held / 1500 < 0.97)), held / 1500


def test_a_paired_difference_keeps_all_points_and_its_sign() -> None:
    one, other = Measured({0: 0.5, 1: 0.6, 2: 0.7, 9: 0.0}), Measured({0: 0.4, 1: 0.45, 2: 0.55, 8: 1.0})
    found = paired_difference(one, other)
    assert dict(found.points) == pytest.approx({0: 0.1, 1: 0.15, 2: 0.15})
    assert found.p_value == pytest.approx(stats.ttest_rel([0.5, 0.6, 0.7], [0.4, 0.45, 0.55]).pvalue)
    assert found.sign == 1
    assert paired_difference(other, one).sign == -1
    assert paired_difference(Measured({0: 0.5, 1: 0.6}), Measured({0: 0.4, 1: 0.6})).sign == 0


def test_one_common_seed_shows_no_sign() -> None:
    found = paired_difference(Measured({0: 1.0}), Measured({0: 0.0}))
    assert (found.sign, found.p_value, found.errors.interval) == (0, None, None)
    with pytest.raises(MetricError, match="a seed that both methods have"):
        paired_difference(Measured({0: 1.0}), Measured({1: 0.0}))


def test_pairing_takes_out_what_methods_share() -> None:
    """Both methods have the same difficult samples, so their difference has a tenth of the error."""
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 1, 200)
    draws = SampleDraws.draw([0] * 200)
    one, other = (measured(hard + rng.normal(shift, 0.1, (3, 200)), draws) for shift in (0.1, 0.0))
    apart, paired = sources_of_error(one), paired_difference(one, other)
    assert apart.both is not None
    assert paired.errors.both is not None
    assert apart.both.standard_error is not None
    assert paired.errors.both.standard_error is not None
    assert paired.errors.both.standard_error < apart.both.standard_error / 5
    assert paired.sign == 1


def test_bad_input() -> None:
    with pytest.raises(MetricError, match="wanted at least 1 seed"):
        Measured({})
    with pytest.raises(MetricError, match="for all seeds or for none"):
        Measured({0: 1.0, 1: 1.0}, {0: np.zeros(3)})
    with pytest.raises(MetricError, match="wanted samples with a cluster each"):
        SampleDraws.draw("aa", "p")

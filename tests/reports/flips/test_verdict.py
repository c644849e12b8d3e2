"""Power, score interval and verdicts: by hand, against scipy, and by simulation."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.multitest import multipletests

from clbench.core.errors import ConfigError
from clbench.reports.flips.contingency import ContingencyTable
from clbench.reports.flips.flip_metrics import accuracy_change, nfr
from clbench.reports.flips.paired_interval import paired_interval
from clbench.reports.flips.power import detectable_change, samples_to_detect, samples_to_equate
from clbench.reports.flips.statistics import bootstrap, mcnemar_exact, upper_bound
from clbench.reports.flips.verdict import check_margin, verdict, verdicts

SHARES = [(0.1, 0.05), (0.2, 0.2), (0.02, 0.03)]
"""True shares of lost and gained answers."""


def likeliest_lost(x: float, gained: int, lost: int, n: int) -> float:
    """Share of lost answers that maximises the likelihood if the change is x, found numerically."""

    def loss(q: float) -> float:
        shares = [max(share, 1e-300) for share in (q + x, q, 1 - 2 * q - x)]
        return -sum(
            count * math.log(share) for count, share in zip((gained, lost, n - gained - lost), shares, strict=True)
        )

    return float(optimize.minimize_scalar(loss, bounds=(max(0.0, -x), (1 - x) / 2), options={"xatol": 1e-12}).x)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 200), st.sampled_from([0.9, 0.95]))
def test_the_ends_of_the_interval_are_refused_just_so(gained: int, lost: int, same: int, level: float) -> None:
    n = gained + lost + same
    found = paired_interval(gained, lost, n, level)
    z = stats.norm.ppf((1 + level) / 2)
    for end, sign in ((found.low, 1), (found.high, -1)):
        q = likeliest_lost(end, gained, lost, n)
        score = (gained - lost - n * end) / math.sqrt(n * (2 * q + end - end**2))
        assert score == pytest.approx(sign * z, rel=1e-4)


def test_the_interval_by_hand() -> None:
    z2 = 1.959964**2
    none = paired_interval(0, 0, 10, 0.95)  # x n = z sqrt(n x (1 - x)), so x = z^2 / (n + z^2)
    assert (none.low, none.high) == pytest.approx((-z2 / (10 + z2), z2 / (10 + z2)), rel=1e-6)
    assert paired_interval(5, 0, 5, 0.95).high == 1


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 100))
def test_the_interval_turns_with_the_models(gained: int, lost: int, same: int) -> None:
    assume(gained + lost + same)
    n = gained + lost + same
    there, back = paired_interval(gained, lost, n, 0.9), paired_interval(lost, gained, n, 0.9)
    assert (there.low, there.high) == (-back.high, -back.low)
    assert -1 <= there.low <= (gained - lost) / n <= there.high <= 1


@pytest.mark.parametrize("n", [60, 300])
@pytest.mark.parametrize(("lost", "gained"), SHARES)
def test_score_intervals_hold_the_change_as_often_as_they_say(lost: float, gained: float, n: int) -> None:
    """With three discordant pairs to be expected (n = 60, the last shares) they are too wide, not too narrow."""
    draws = np.random.default_rng(1).multinomial(n, [lost, gained, 1 - lost - gained], size=2000)
    intervals = [paired_interval(g, ls, n, 0.95) for ls, g, _ in draws.tolist()]
    covered = np.mean([found.low <= gained - lost <= found.high for found in intervals])
    assert 0.93 <= covered <= (0.97 if n * (lost + gained) > 5 else 0.99)


@pytest.mark.parametrize(("lost", "gained"), SHARES[:2])
def test_bootstrap_intervals_hold_the_truth_as_often_as_they_say(lost: float, gained: float) -> None:
    shares = [0.9 - lost - gained, lost, gained, 0.06, 0.04]
    draws = np.random.default_rng(2).multinomial(400, shares, size=700).tolist()
    truth = {"nfr": lost, "accuracy_change": gained - lost}
    held = dict.fromkeys(truth, 0)
    for seed, draw in enumerate(draws):
        metrics = {"nfr": nfr, "accuracy_change": accuracy_change}
        for name, found in bootstrap(ContingencyTable(*draw), metrics, resamples=400, seed=seed).items():
            assert found is not None
            held[name] += found.low <= truth[name] <= found.high
    assert all(0.93 <= count / len(draws) <= 0.97 for count in held.values()), held


def test_upper_bounds_of_nfr_hold_it_at_least_as_often_as_they_say() -> None:
    lost = np.random.default_rng(10).binomial(150, 0.04, size=1000).tolist()
    bounds = {events: upper_bound(events, 150) or 0.0 for events in set(lost)}
    assert 0.95 <= np.mean([bounds[events] >= 0.04 for events in lost]) <= 0.99


def exact_power(discordance: float, change: float, n: int) -> float:
    """Probability that McNemar's test with z^2 = (c - b)^2 / (b + c) finds a change, summed over all counts."""
    p, found = (discordance + change) / (2 * discordance), 0.0
    for m in range(1, n + 1):
        gained = np.arange(m + 1)
        seen = (2 * gained - m) ** 2 > 1.959964**2 * m
        found += stats.binom.pmf(m, n, discordance) * stats.binom.pmf(gained, m, p)[seen].sum()
    return found


@pytest.mark.parametrize(("discordance", "n"), [(0.3, 100), (0.1, 400), (0.5, 200)])
def test_the_detectable_change_is_found_four_times_in_five(discordance: float, n: int) -> None:
    change = detectable_change(discordance, n)
    assert change is not None
    assert exact_power(discordance, change, n) == pytest.approx(0.8, abs=0.025)


def test_power_by_hand() -> None:
    # Connor 1987 with shares 0.2 and 0.1: (1.959964 sqrt(0.3) + 0.841621 sqrt(0.3 - 0.01))^2 / 0.01 = 233.02
    assert samples_to_detect(0.1, 0.3) == samples_to_detect(-0.1, 0.3) == 234
    assert samples_to_detect(0.0, 0.3) is None
    # without a change: (1.644854 + 1.281552)^2 x 0.1 / 0.02^2 = 2140.96
    assert samples_to_equate(0.0, 0.1, 0.02) == 2141
    assert samples_to_equate(0.03, 0.1, 0.02) is None
    assert detectable_change(1 / 50, 50) is None  # one discordant pair


@given(st.floats(0.01, 1), st.integers(5, 10**7), st.integers(1, 20))
def test_the_detectable_change_needs_these_samples(discordance: float, n: int, tests: int) -> None:
    change = detectable_change(discordance, n, tests)
    if change is None:
        needed = samples_to_detect(discordance, discordance, tests)
        assert needed is not None
        assert needed >= n
    else:
        needed = samples_to_detect(change, discordance, tests)
        assert needed is not None
        assert n <= needed <= n + 1


@given(st.floats(0.02, 1), st.floats(0, 0.9), st.floats(0.01, 0.5))
def test_samples_for_equivalence_are_those_of_the_t_tests_with_a_normal_distribution(
    discordance: float, part: float, margin: float
) -> None:
    change = part * min(discordance, margin)
    n = samples_to_equate(change, discordance, margin)
    assert n is not None

    def within(n: int) -> float:
        error = math.sqrt((discordance - change**2) / n)
        reach = margin - stats.norm.ppf(0.95) * error
        return float(stats.norm.cdf(reach, change, error) - stats.norm.cdf(-reach, change, error))

    assert within(n) >= 0.8 - 1e-9
    assert n == 1 or within(n - 1) < 0.8 + 1e-9


def table(lost: int, gained: int, n: int) -> ContingencyTable:
    return ContingencyTable(n - lost - gained, lost, gained)


@pytest.mark.parametrize(
    ("counts", "margin", "outcome"),
    [
        (table(0, 6, 20), None, "better"),  # p = 2 / 64
        (table(6, 0, 20), None, "worse"),
        (table(0, 5, 20), None, "inconclusive"),  # p = 2 / 32
        (table(5, 5, 2000), None, "inconclusive"),  # without a margin nothing is equivalent
        (table(5, 5, 2000), 0.01, "equivalent"),  # 1.645 sqrt(10) / 2000 = 0.0026
        (table(5, 5, 2000), 0.001, "inconclusive"),
        (table(10, 40, 10_000), 0.01, "equivalent"),  # a sure change that does not matter
        (table(10, 40, 10_000), 0.003, "better"),
    ],
)
def test_verdicts_by_hand(counts: ContingencyTable, margin: float | None, outcome: str) -> None:
    found = verdict(counts, margin)
    assert found.outcome == outcome
    assert (found.more is None) == (outcome != "inconclusive" or (found.change == 0 and margin is None))


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 500), st.sampled_from([None, 0.01, 0.05]))
def test_only_without_a_verdict_are_samples_wanted(lost: int, gained: int, same: int, margin: float | None) -> None:
    assume(lost + gained + same)
    counts = table(lost, gained, lost + gained + same)
    there, back = verdict(counts, margin), verdict(table(gained, lost, counts.n), margin)
    turned = {"better": "worse", "worse": "better"}
    assert turned.get(there.outcome, there.outcome) == back.outcome
    assert there.more == back.more
    assert there.more is None or (there.more > 0 and there.outcome == "inconclusive")


@pytest.mark.parametrize("lost", [0.04, 0.06])
def test_models_that_differ_by_the_margin_are_seldom_called_equivalent(lost: float) -> None:
    """The two one-sided tests err in at most one of 20 cases; a half percent more is the approximation's."""
    draws = np.random.default_rng(3).multinomial(800, [lost, lost + 0.03, 0.97 - 2 * lost], size=4000).tolist()
    errors = sum(verdict(table(ls, g, 800), 0.03).outcome == "equivalent" for ls, g, _ in draws)
    assert errors / 4000 <= 0.06


@pytest.mark.parametrize(("lost", "gained", "margin"), [(60, 75, None), (40, 42, 0.015)])
def test_with_the_samples_that_are_wanted_four_of_five_have_a_verdict(
    lost: int, gained: int, margin: float | None
) -> None:
    n = 1000
    first = verdict(table(lost, gained, n), margin)
    assert first.outcome == "inconclusive"
    assert first.more is not None
    more = n + first.more
    shares = [lost / n, gained / n, 1 - (lost + gained) / n]
    draws = np.random.default_rng(4).multinomial(more, shares, size=1000).tolist()
    decided = sum(verdict(table(ls, g, more), margin).outcome != "inconclusive" for ls, g, _ in draws)
    assert 0.75 <= decided / 1000 <= 0.87


def test_several_tests_are_corrected_for() -> None:
    tables = {"a": table(1, 12, 100), "b": table(3, 9, 100), "none": ContingencyTable(), "c": table(4, 5, 100)}
    found = verdicts(tables)
    raw = [mcnemar_exact(1, 12), mcnemar_exact(3, 9), mcnemar_exact(4, 5)]
    assert [each.p for each in found.values()] == pytest.approx(list(multipletests(raw, method="holm")[1]))
    assert [*found] == ["a", "b", "c"]
    assert found["a"].detectable == detectable_change(0.13, 100, 3)


@pytest.mark.parametrize("margin", [0.0, 1.0, -0.1, math.nan])
def test_a_margin_is_a_share(margin: float) -> None:
    with pytest.raises(ConfigError, match="--margin must be a share above 0 and below 1, got"):
        check_margin(margin)

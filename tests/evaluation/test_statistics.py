"""Intervals and tests against SciPy's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from advcore.evaluation.statistics import binomial, mcnemar, mcnemar_two_sided, wilson

COUNTS = st.integers(0, 2000)


@settings(deadline=None, max_examples=50)
@given(COUNTS, COUNTS)
def test_mcnemar_is_a_binomial_test(first, second):
    total = first + second
    expected = stats.binomtest(first, total, alternative="greater").pvalue if total else 1.0
    assert mcnemar(first, second) == pytest.approx(expected, rel=1e-9, abs=1e-200)
    both = stats.binomtest(first, total).pvalue if total else 1.0
    assert mcnemar_two_sided(first, second) == pytest.approx(both, rel=1e-9, abs=1e-200)


@settings(deadline=None, max_examples=50)
@given(COUNTS, COUNTS, st.sampled_from([0.01, 0.3, 0.9]))
def test_binomial_is_scipys(successes, more, share):
    expected = stats.binomtest(successes, successes + more, share, alternative="greater").pvalue if successes else 1.0
    assert binomial(successes, successes + more, share) == pytest.approx(expected, rel=1e-6, abs=1e-200)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 5000), st.floats(0, 1))
def test_wilson_interval(trials, share):
    successes = int(share * trials)
    interval = stats.binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose(wilson(successes, trials), (interval.low, interval.high), atol=1e-9)


def test_no_trials_say_nothing():
    assert wilson(0, 0) == (0.0, 1.0)

"""AutoAttack: members in turn on the survivors, one ledger, one budget, one result."""

from types import SimpleNamespace

import numpy as np
import pytest

from advcore.attacks import apgd, autoattack, expectation

QUICK = {"steps": 6, "target_classes": 2, "queries": 20}


@pytest.fixture
def bumpy(linear):
    """Many local maxima, and gradients that are those of the bumps."""
    setup = linear.problem(classes=5, count=40, kind=linear.Combined)
    w, b = setup.model.w, setup.model.b

    def logits(x):
        setup.model._count(x)
        return np.sin(4 * ((x.reshape(len(x), 1, -1) * w).sum(axis=-1) + b))

    def value_and_vjp(x, cotangent):
        scores = (x.reshape(len(x), 1, -1) * w).sum(axis=-1) + b
        values = logits(x)
        setup.model.backwards += len(x)
        weights = cotangent(values) * 4 * np.cos(4 * scores)
        return values, (weights[:, :, np.newaxis] * w).sum(axis=1).reshape(x.shape)

    model = SimpleNamespace(logits=logits, value_and_vjp=value_and_vjp, randomised=False)
    return SimpleNamespace(model=model, x=setup.x, y=logits(setup.x).argmax(axis=1), counted=setup.model)


def test_breaks_at_least_what_its_first_member_does_and_says_who_did(bumpy):
    arguments = {"eps": 0.01, "bounds": (-1.0, 1.0)}
    first = apgd(bumpy.model, bumpy.x, bumpy.y, steps=6, **arguments)
    result = autoattack(bumpy.model, bumpy.x, bumpy.y, **QUICK, **arguments)
    np.testing.assert_array_equal(first.success, result.broken_by == "apgd_ce")
    np.testing.assert_array_equal(result.examples[first.success], first.examples[first.success])
    np.testing.assert_array_equal(result.broken_by != "", result.success)
    assert len(set(result.broken_by)) > 2
    assert result.losses == ("cross_entropy", "dlr_targeted")
    wrong = bumpy.model.logits(result.examples).argmax(axis=1) != bumpy.y
    np.testing.assert_array_equal(wrong, result.success)
    np.testing.assert_array_equal(result.status, np.where(wrong, "success", "failed"))
    assert (result.distances["linf"] <= 0.01).all()
    np.testing.assert_allclose(result.distances["linf"], np.abs(result.examples - bumpy.x).max(axis=(1, 2)))


def test_every_evaluation_of_all_members_is_booked(bumpy):
    bumpy.counted.forwards = bumpy.counted.backwards = 0
    result = autoattack(bumpy.model, bumpy.x, bumpy.y, eps=0.01, bounds=(-1.0, 1.0), **QUICK)
    assert bumpy.counted.forwards == result.queries.sum() + result.verification.sum()
    assert bumpy.counted.backwards == result.gradients.sum()
    failed = ~result.success
    # three checks of the input and the runs of APGD, two of APGD-T, two of FAB-T, and Square's 20
    assert (result.queries[failed] == 3 + 3 * 7 + 2 * 6 * 2 + 20).all()
    assert (result.gradients[failed] == 5 * 6).all()
    found = result.queries_to_success
    np.testing.assert_array_equal(found > 0, result.success)
    assert (found <= result.queries).all()


@pytest.mark.parametrize("limit", [1, 2, 12, 40])
def test_a_budget_holds_for_all_members_together(bumpy, limit):
    result = autoattack(bumpy.model, bumpy.x, bumpy.y, eps=0.01, bounds=(-1.0, 1.0), max_queries=limit, **QUICK)
    assert result.queries.max() == limit
    assert result.stopped == "max_queries"
    each = np.arange(1, 41)
    result = autoattack(bumpy.model, bumpy.x, bumpy.y, eps=0.01, bounds=(-1.0, 1.0), max_evaluations=each, **QUICK)
    assert (result.queries + result.gradients <= each).all()


def test_a_callback_sees_sums_and_ends_it(bumpy):
    seen = []

    def callback(progress):
        seen.append(progress)
        return progress.queries > 400

    result = autoattack(bumpy.model, bumpy.x, bumpy.y, eps=0.01, bounds=(-1.0, 1.0), callback=callback, **QUICK)
    queries = [progress.queries for progress in seen]
    assert queries == sorted(queries)
    assert result.stopped == "callback"
    assert result.queries.sum() == queries[-1]
    assert all(progress.total == 40 for progress in seen)
    assert "unfinished" in result.status


def test_neighbours_and_batches_change_nothing(bumpy):
    arguments = {"eps": 0.01, "bounds": (-1.0, 1.0), **QUICK}
    whole = autoattack(bumpy.model, bumpy.x, bumpy.y, **arguments)
    part = np.arange(40)[::-3]
    some = autoattack(bumpy.model, bumpy.x[part], bumpy.y[part], sample_ids=part, batch_size=3, **arguments)
    np.testing.assert_array_equal(some.examples, whole.examples[part])
    np.testing.assert_array_equal(some.queries, whole.queries[part])
    np.testing.assert_array_equal(some.broken_by, whole.broken_by[part])


def test_targets_and_misclassified_inputs(linear):
    setup = linear.problem(classes=4, count=12)
    y = setup.y.copy()
    y[0] = (y[0] + 1) % 4
    plain = autoattack(setup.model, setup.x, y, eps=0.05, bounds=setup.bounds, **QUICK)
    assert (plain.status[0], plain.broken_by[0], plain.queries[0]) == ("misclassified", "", 1)
    targets = (setup.y + 1) % 4
    aimed = autoattack(setup.model, setup.x, setup.y, targets=targets, eps=0.3, bounds=setup.bounds, **QUICK)
    assert aimed.success.any()
    np.testing.assert_array_equal(
        setup.model.logits(aimed.examples).argmax(axis=1)[aimed.success], targets[aimed.success]
    )


def test_masked_gradients_stay_masked_when_square_finds_nothing_either(linear):
    setup = linear.problem(kind=linear.Masked)
    result = autoattack(setup.model, setup.x, setup.y, eps=1e-3, bounds=setup.bounds, **QUICK)
    assert (result.status[~result.success] == "masked").all()
    broken = autoattack(setup.model, setup.x, setup.y, eps=0.5, bounds=setup.bounds, **(QUICK | {"queries": 300}))
    assert (broken.broken_by == "square").any()


def test_rand_averages_gradients_and_judges_by_fresh_passes(linear):
    setup = linear.problem(classes=3, count=6)
    rng = np.random.default_rng(0)

    class Noisy(linear.Linear):
        randomised = True

        def logits(self, x):
            return super().logits(x) + rng.normal(0, 0.3, (len(x), 3))

    model = Noisy(setup.w, setup.b)
    eps = float(linear.nearest(setup, "linf").min(axis=1).max()) * 1.5
    result = autoattack(model, setup.x, setup.y, eps=eps, version="rand", steps=5, bounds=setup.bounds)
    assert result.success.mean() > 0.8
    assert result.votes is not None
    assert set(result.broken_by) <= {"", "apgd_ce", "apgd_dlr"}
    assert isinstance(expectation(model), object)


def test_no_samples(linear):
    setup = linear.problem(count=2)
    result = autoattack(setup.model, setup.x[:0], setup.y[:0], eps=0.1, bounds=setup.bounds)
    assert result.examples.shape == (0, 4, 5)
    assert result.broken_by.shape == (0,)


@pytest.mark.parametrize("calls", [3, 9, 16])
def test_an_error_carries_what_all_members_have_found(bumpy, calls):
    arguments = {"eps": 0.01, "bounds": (-1.0, 1.0)}
    whole = autoattack(bumpy.model, bumpy.x, bumpy.y, **QUICK, **arguments)
    left = iter(range(calls))

    def value_and_vjp(x, cotangent):
        if next(left, None) is None:
            raise ConnectionError("the line is dead")
        return bumpy.model.value_and_vjp(x, cotangent)

    model = SimpleNamespace(logits=bumpy.model.logits, value_and_vjp=value_and_vjp, randomised=False)
    with pytest.raises(ConnectionError) as caught:
        autoattack(model, bumpy.x, bumpy.y, **QUICK, **arguments)
    result = caught.value.result
    assert len(result.examples) == len(bumpy.x)
    done = result.status == "success"
    np.testing.assert_array_equal(result.broken_by[done], whole.broken_by[done])
    np.testing.assert_array_equal(result.examples[done], whole.examples[done])
    if calls > 6:  # the first member has ended
        assert done.any()
        assert any("numbers the samples it was given" in note for note in caught.value.__notes__)


class Noisy:
    """A linear model with noise on its answers."""

    randomised = True

    def __init__(self, w):
        self.w, self.rng = w, np.random.default_rng(1)

    def logits(self, x):
        return x @ self.w + 0.5 * self.rng.normal(size=(len(x), self.w.shape[1]))

    def vjp(self, x, cotangent):
        return cotangent @ self.w.T


def test_votes_are_about_the_example_that_is_returned():
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=(12, 4)), rng.uniform(0.2, 0.8, (60, 12))
    y = (x @ w).argmax(axis=1)
    result = autoattack(Noisy(w), x, y, eps=0.08, steps=3, queries=20, target_classes=2)
    fresh = Noisy(w)
    shares = np.mean([fresh.logits(result.examples).argmax(axis=1) != y for _ in range(1000)], axis=0)
    np.testing.assert_allclose(result.votes, shares, atol=0.2)  # four standard deviations of 100 votes

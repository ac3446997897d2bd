"""Who pays for what, and what is left when something stops an attack half-way."""

import time
from itertools import cycle

import numpy as np
import pytest

from advcore import nn
from advcore.attacks import apgd, autoattack, backward_pass, expectation, fgsm, joint, pgd, uniform_noise, zoo
from advcore.attacks._arguments import check
from advcore.attacks._ensemble import Member, in_turn
from advcore.attacks._ledger import Ledger
from advcore.attacks._protocol import run
from advcore.attacks.model import wrap

TINY = 1e-6  # a budget within which nothing succeeds


def noisy(linear, setup, kind="Linear", level=0.05):
    """The setup's model with noise on its answers; it counts what it is asked for."""
    rng = np.random.default_rng(0)

    class Noisy(getattr(linear, kind)):
        randomised = True

        def logits(self, x):
            return super().logits(x) + level * rng.standard_normal((len(x), len(self.w)))

    return Noisy(setup.w, setup.b)


class Silent:
    """A detector that never alarms."""

    def decision_function(self, x):
        return np.full(len(x), -1.0)

    def score_gradient(self, x):
        return self.decision_function(x), np.zeros_like(x)


# Limits


@pytest.mark.parametrize("limits", [[10, 10**6], [10**6, 10], [39, 10**6]])
def test_who_cannot_pay_stops_nobody_else(linear, limits):
    setup = linear.problem(classes=3, count=2)
    model = expectation(setup.model, draws=20)
    arguments = {"eps": TINY, "steps": 4, "bounds": setup.bounds, "max_queries": np.array(limits)}
    alone, together = (apgd(model, setup.x, setup.y, batch_size=size, **arguments) for size in (1, 2))
    rich, poor = np.argmax(limits), np.argmin(limits)
    for result in (alone, together):
        assert result.gradients[rich] == 4 * 20
        assert result.status[rich] == "failed"
        assert (result.queries <= limits).all()
        assert result.gradients[poor] == 0
    for name in ("examples", "status", "queries", "gradients", "verification"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(together, name))
    if min(limits) < 20:  # not even the check of the input
        assert together.status[poor] == "unfinished"
        assert together.queries[poor] == 0
        assert alone.stopped == together.stopped == "max_queries"


def test_nobody_can_pay(linear):
    setup = linear.problem(count=3)
    result = fgsm(expectation(setup.model, draws=5), setup.x, setup.y, eps=0.1, bounds=setup.bounds, max_evaluations=4)
    assert (result.status == "unfinished").all()
    assert result.stopped == "max_evaluations"
    assert setup.model.forwards == 0


def test_a_batch_that_was_stopped_says_nothing_of_the_next(linear):
    setup = linear.problem(count=3)

    def careless(problem):
        for _ in range(3):
            problem.logits(problem.x, np.arange(len(problem.x)))

    limits = np.array([9, 2, 9])
    given = check(
        "zoo", setup.model, setup.x, setup.y, {"bounds": setup.bounds, "batch_size": 1, "max_queries": limits}
    )
    result = run(careless, given)
    assert result.status.tolist() == ["failed", "unfinished", "failed"]
    assert result.stopped == "max_queries"


@pytest.mark.parametrize("left", [15, 35])
def test_the_second_member_asks_those_who_can_pay_for_an_averaged_gradient(linear, left):
    setup = linear.problem(classes=3, count=2)
    arguments = {"eps": TINY, "version": "rand", "steps": 2, "bounds": setup.bounds}
    whole = autoattack(setup.model, setup.x, setup.y, **arguments)
    one_member = int(whole.queries[0]) // 2
    limits = np.array([one_member + left, 10**6])
    result = autoattack(setup.model, setup.x, setup.y, max_queries=limits, **arguments)
    assert result.queries.tolist() == [one_member, 2 * one_member]
    assert result.status.tolist() == ["unfinished", "failed"]
    assert result.stopped == "max_queries"


def test_two_hits_of_one_sample_and_a_query_left(linear):
    """With a grid every hit is asked about once more: the first one is, and is not lost with the others."""
    x = np.full((2, 3, 3), 0.5)

    def moved(rows):
        return np.stack([np.full(len(rows), 0.1), np.abs(rows - 0.5).max(axis=(1, 2))], axis=1)

    result = uniform_noise(
        moved,
        x,
        np.zeros(2, np.int64),
        eps=0.25,
        draws=3,
        quantize=4,
        output="logits",
        randomised=False,
        max_queries=np.array([5, 6]),  # the check, three draws, and so many hits
    )
    assert result.success.all()
    assert result.queries.tolist() == [5, 6]
    assert result.queries_to_success.tolist() == [5, 6]
    assert result.stopped is None


# Wrappers

WRAPPERS = {
    "joint": lambda model, other: joint(expectation(model, draws=20), Silent()),
    "forward": lambda model, other: backward_pass(expectation(model, draws=20), forward=np.copy),
    "stand_in": lambda model, other: backward_pass(expectation(model, draws=20), stand_in=other),
    "averaged stand_in": lambda model, other: backward_pass(model, stand_in=expectation(other, draws=3)),
    "mean of means": lambda model, other: expectation(joint(expectation(model, draws=2), Silent()), draws=3),
}


@pytest.mark.parametrize("kind", ["Linear", "Combined"])
@pytest.mark.parametrize("name", sorted(WRAPPERS))
def test_wrappers_book_what_their_models_see(linear, name, kind):
    setup = linear.problem(classes=3, count=5, kind=getattr(linear, kind))
    model, other = noisy(linear, setup, kind), getattr(linear, kind)(setup.w, setup.b)
    arguments = {"eps": 0.05, "steps": 4, "bounds": setup.bounds}
    result = pgd(WRAPPERS[name](model, other), setup.x, setup.y, **arguments)
    assert model.forwards + other.forwards == result.queries.sum() + result.verification.sum()
    assert model.backwards + other.backwards == result.gradients.sum() > 0
    assert result.gradient_error is None if name == "stand_in" else np.isfinite(result.gradient_error).any()
    # Two hundred passes of the model itself: for the inputs, and for the examples.
    np.testing.assert_array_equal(result.verification, np.where(result.status == "misclassified", 100, 200))
    limited = pgd(WRAPPERS[name](model, other), setup.x, setup.y, max_evaluations=100, **arguments)
    assert (limited.queries + limited.gradients <= 100).all()


def test_joint_averages_both_parts_of_the_gradient(linear):
    setups = [linear.problem(classes=3, count=4, kind=linear.Combined, seed=seed) for seed in (0, 1)]

    class Slope(Silent):
        def score_gradient(self, x):
            return self.decision_function(x), np.ones_like(x)

    class Turns:
        randomised = True
        turns = cycle(setup.model for setup in setups)

        def logits(self, x):
            return next(self.turns).logits(x)

        def value_and_vjp(self, x, cotangent):
            return next(self.turns).value_and_vjp(x, cotangent)

    def gradient(model):
        return joint(model, Slope()).logits_and_gradients(setups[0].x, lambda z: np.asarray(z)[:, np.newaxis], 1)[1]

    got = gradient(expectation(Turns(), draws=2))
    np.testing.assert_allclose(got, np.mean([gradient(setup.model) for setup in setups], axis=0), rtol=1e-12)


def test_options_do_not_stick_to_the_callers_wrapper(linear):
    setup = linear.problem(classes=3, count=3)
    model = expectation(noisy(linear, setup), draws=2)
    arguments = {"eps": 0.1, "bounds": setup.bounds}
    assert fgsm(model, setup.x, setup.y, randomised=False, **arguments).votes is None
    assert model.randomised
    assert fgsm(model, setup.x, setup.y, **arguments).votes is not None

    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3), seed=0)
    x = np.random.default_rng(0).random((2, 1, 4, 4)).astype(np.float32)
    access = wrap(network)
    y = network.predict(x)
    assert zoo(access, x, y, steps=1).simulated
    assert not zoo(access, x, y, steps=1, simulate=False).simulated


# Ends


def stop_after(ticks):
    seen = []
    return lambda progress: seen.append(progress) or len(seen) == ticks


def test_probes_that_were_never_asked_are_not_paid_for(linear):
    setup = linear.problem(classes=3, count=4)
    result = zoo(
        setup.model, setup.x, setup.y, coordinates=10, batch_size=4, bounds=setup.bounds, callback=stop_after(3)
    )
    assert result.stopped == "callback"
    assert result.queries.sum() == 3 * 4  # of the inputs, and two batches of the 80 probes
    assert setup.model.forwards == result.queries.sum() + result.verification.sum()


def test_gradients_that_were_never_asked_for_are_not_paid_for(linear):
    setup = linear.problem(classes=3, count=6)
    options = {"bounds": setup.bounds, "batch_size": 2, "callback": stop_after(4)}
    given = check("pgd", setup.model, setup.x, setup.y, options)
    result = run(lambda it: it.gradient(it.x, np.arange(len(it.x)), "margin"), given, together=6)
    assert result.stopped == "callback"
    assert setup.model.forwards == result.queries.sum() + result.verification.sum()
    assert setup.model.backwards == result.gradients.sum() == 2


def test_gradients_behind_a_failed_forward_pass_are_not_paid_for(linear):
    setup = linear.problem(classes=3, count=4)
    left = iter(range(5))

    class Failing:
        randomised = False

        def logits(self, x):
            if next(left, None) is None:
                raise ConnectionError("the line is dead")
            return setup.model.logits(x)

        def vjp(self, x, cotangent):
            return setup.model.vjp(x, cotangent)

    with pytest.raises(ConnectionError) as caught:
        pgd(Failing(), setup.x, setup.y, eps=1e-6, steps=40, bounds=setup.bounds)
    assert setup.model.backwards == caught.value.result.gradients.sum() > 0


def test_ctrl_c_while_verifying_keeps_the_batches_before(linear, monkeypatch):
    setup = linear.problem(classes=3, count=6)
    plain, calls = Ledger.verify, []

    def verify(self, x, owners):
        calls.append(owners)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return plain(self, x, owners)

    monkeypatch.setattr(Ledger, "verify", verify)
    arguments = {"eps": 2.0, "bounds": setup.bounds, "batch_size": 2}
    result = pgd(setup.model, setup.x, setup.y, **arguments)
    assert result.stopped == "interrupted"
    assert result.status.tolist() == ["success"] * 2 + ["unfinished"] * 4
    np.testing.assert_array_equal(result.success, [True] * 2 + [False] * 4)
    assert (result.queries[:4] > 0).all()
    assert (result.queries[4:] == 0).all()
    np.testing.assert_array_equal(result.distances["linf"], np.abs(result.examples - setup.x).max(axis=(1, 2)))
    assert (result.distances["linf"][2:4] > 0).all()


def test_survivors_of_an_ensemble_are_unfinished_when_the_time_is_over_between_members(linear):
    setup = linear.problem(count=4)
    given = check("pgd", setup.model, setup.x, setup.y, {"bounds": setup.bounds, "max_seconds": 0.2})

    def slow(x, y, **options):
        result = fgsm(setup.model, x, y, eps=TINY, **(options | {"max_seconds": None}))
        assert (result.status == "failed").all()
        time.sleep(0.21)
        return result

    result = in_turn([Member("slow", slow), Member("never", slow)], given, {"bounds": setup.bounds})
    assert result.stopped == "max_seconds"
    assert (result.status == "unfinished").all()
    assert (result.gradients == 1).all()
    last = in_turn([Member("slow", slow)], given, {"bounds": setup.bounds})
    assert (last.status == "failed").all()


def test_survivors_are_unfinished_when_a_member_is_stopped(linear):
    setup = linear.problem(count=4)
    quick = {"steps": 3, "target_classes": 1, "queries": 5, "batch_size": 2}
    result = autoattack(setup.model, setup.x, setup.y, eps=TINY, bounds=setup.bounds, callback=stop_after(6), **quick)
    assert result.stopped == "callback"
    assert (result.queries > 0).all()  # the second batch had begun
    assert (result.status == "unfinished").all()

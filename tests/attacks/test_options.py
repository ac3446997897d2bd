"""What every attack takes beside its own arguments: masks, grids, budgets, callbacks, traces, and what stops it."""

import numpy as np
import pytest

from advcore.attacks import Progress, fgsm, pgd, zoo

ATTACKS = {
    "fgsm": lambda model, x, y, **more: fgsm(model, x, y, eps=0.4, **more),
    "pgd": lambda model, x, y, **more: pgd(model, x, y, eps=0.4, steps=7, restarts=2, **more),
    "pgd_l2": lambda model, x, y, **more: pgd(model, x, y, eps=1.0, norm="l2", steps=7, **more),
    "zoo": lambda model, x, y, **more: zoo(model, x, y, steps=30, coordinates=6, search_steps=3, initial_c=1.0, **more),
}


@pytest.fixture(params=sorted(ATTACKS))
def name(request):
    return request.param


def test_a_mask_keeps_what_it_covers(linear, name):
    setup = linear.problem(classes=3, count=20)
    mask = np.random.default_rng(0).random((4, 5)) < 0.5
    result = ATTACKS[name](setup.model, setup.x, setup.y, mask=mask, bounds=setup.bounds)
    changed = result.examples != setup.x
    assert changed.any()
    assert not changed[:, ~mask].any()
    own = np.zeros(setup.x.shape, np.bool_)
    own[::2] = mask
    result = ATTACKS[name](setup.model, setup.x, setup.y, mask=own, bounds=setup.bounds)
    assert not (result.examples != setup.x)[~own].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_examples_lie_on_the_grid_and_are_judged_there(linear, name, dtype):
    setup = linear.problem(classes=3, count=20, dtype=dtype)
    x = (np.rint(np.clip(setup.x, 0, 1) * 16) / 16).astype(dtype)
    y = setup.model.logits(x).argmax(axis=1)
    result = ATTACKS[name](setup.model, x, y, quantize=16)
    np.testing.assert_array_equal(result.examples, (np.rint(result.examples * 16) / 16).astype(dtype))
    np.testing.assert_array_equal(result.success, setup.model.logits(result.examples).argmax(axis=1) != y)
    assert result.success.any()
    limits = {"fgsm": ("linf", 0.4), "pgd": ("linf", 0.4), "pgd_l2": ("l2", 1.0)}
    if name in limits:
        norm, eps = limits[name]
        assert (result.distances[norm] <= eps * (1 + 2e-6)).all()


def test_inputs_off_the_grid_are_refused(linear):
    setup = linear.problem(count=3)
    with pytest.raises(ValueError, match=r"x must lie on the grid of quantize=255 steps .* sample 0"):
        fgsm(setup.model, np.clip(setup.x, 0, 1), setup.y, eps=0.1, quantize=255)


@pytest.mark.parametrize("limit", [1, 2, 3, 10, 40])
def test_no_sample_spends_more_than_it_may(linear, name, limit):
    setup = linear.problem(classes=3, count=10)
    for option, spent in (
        ("max_queries", lambda r: r.queries),
        ("max_evaluations", lambda r: r.queries + r.gradients),
    ):
        result = ATTACKS[name](setup.model, setup.x, setup.y, bounds=setup.bounds, **{option: limit})
        assert (spent(result) <= limit).all()
        assert (result.queries >= 1).all()


def test_a_budget_does_not_make_samples_neighbours(linear, name):
    setup = linear.problem(classes=3, count=8, dtype=np.float32)
    arguments = {"bounds": setup.bounds, "max_evaluations": 11}
    want = ATTACKS[name](setup.model, setup.x, setup.y, **arguments)
    for i in range(8):
        one = slice(i, i + 1)
        got = ATTACKS[name](setup.model, setup.x[one], setup.y[one], sample_ids=np.array([i]), **arguments)
        np.testing.assert_array_equal(got.examples, want.examples[one])


def test_the_callback_sees_the_progress_and_stops(linear, name):
    setup = linear.problem(classes=3, count=6)
    seen = []
    ATTACKS[name](setup.model, setup.x, setup.y, bounds=setup.bounds, callback=seen.append, batch_size=3)
    assert all(isinstance(state, Progress) for state in seen)
    queries = [state.queries for state in seen]
    assert queries == sorted(queries)
    assert seen[-1].total == 6

    result = ATTACKS[name](setup.model, setup.x, setup.y, bounds=setup.bounds, callback=lambda _: True, batch_size=3)
    assert result.stopped == "callback"
    assert (result.status == "unfinished").all()
    np.testing.assert_array_equal(result.examples, setup.x)
    assert result.queries.max() <= 1


def test_what_was_found_before_the_end_is_kept(linear):
    setup = linear.problem(classes=3, count=12)
    calls = []

    def stop(state):
        calls.append(state)
        return state.succeeded >= 3

    result = pgd(setup.model, setup.x, setup.y, eps=0.5, steps=40, bounds=setup.bounds, callback=stop, batch_size=4)
    assert result.stopped == "callback"
    assert result.success.sum() >= 3
    assert (result.status == "unfinished").any()
    wrong = setup.model.logits(result.examples).argmax(axis=1) != setup.y
    np.testing.assert_array_equal(result.success, wrong & (result.status != "unfinished"))
    assert "unfinished" in result.summary()


def test_time_and_ctrl_c_end_it_too(linear):
    setup = linear.problem(classes=3, count=6)
    result = pgd(setup.model, setup.x, setup.y, eps=0.1, bounds=setup.bounds, max_seconds=1e-9)
    assert result.stopped == "max_seconds"

    plain, calls = setup.model.vjp, []

    def vjp(x, cotangent):
        calls.append(len(x))
        if len(calls) == 6:
            raise KeyboardInterrupt
        return plain(x, cotangent)

    setup.model.vjp = vjp
    result = pgd(setup.model, setup.x, setup.y, eps=0.5, steps=30, early_stop=False, bounds=setup.bounds)
    assert result.stopped == "interrupted"
    assert result.success.any()
    np.testing.assert_array_equal(result.success, setup.model.logits(result.examples).argmax(axis=1) != setup.y)


def test_an_error_keeps_what_was_found(linear):
    setup = linear.problem(classes=3, count=6)
    plain, calls = setup.model.logits, []

    def logits(x):
        calls.append(len(x))
        if len(calls) == 12:
            raise RuntimeError("the service is down")
        return plain(x)

    setup.model.logits = logits
    with pytest.raises(RuntimeError, match="the service is down") as caught:
        pgd(setup.model, setup.x, setup.y, eps=0.5, steps=5, bounds=setup.bounds, batch_size=2)
    result = caught.value.result
    assert result.success[:2].any()
    assert (result.status[2:] == "unfinished").any()
    assert any("result" in note for note in caught.value.__notes__)


def test_traces_hold_the_loss_at_every_iterate(linear):
    setup = linear.problem(classes=3, count=5)
    result = pgd(
        setup.model,
        setup.x,
        setup.y,
        eps=0.3,
        steps=9,
        early_stop=False,
        loss="margin",
        trace=True,
        bounds=setup.bounds,
    )
    assert [len(trace) for trace in result.traces] == [9] * 5
    assert all(trace[-1] > trace[0] for trace in result.traces)
    assert pgd(setup.model, setup.x, setup.y, eps=0.3, bounds=setup.bounds).traces is None


def test_evaluations_at_the_first_success(linear):
    setup = linear.problem(classes=3, count=20, kind=linear.Combined)
    result = pgd(setup.model, setup.x, setup.y, eps=0.5, steps=10, early_stop=False, bounds=setup.bounds)
    found = result.status == "success"
    assert found.any()
    assert (result.queries_to_success[found] > 1).all()
    assert (result.queries_to_success[found] < result.queries[found]).any()
    assert (result.queries_to_success[~result.success] == -1).all()
    stopped = pgd(setup.model, setup.x, setup.y, eps=0.5, steps=10, bounds=setup.bounds)
    np.testing.assert_array_equal(stopped.queries[found], result.queries_to_success[found])


def test_a_masked_loss_is_retried_with_the_margin(linear):
    setup = linear.problem(classes=3, count=10)
    setup.model.w *= 100  # every margin is beyond the hinge
    setup.model.b *= 100
    arguments = {"eps": 0.5, "steps": 20, "bounds": setup.bounds}
    hinge = pgd(setup.model, setup.x, setup.y, loss="hinge", random_start=False, **arguments)
    margin = pgd(setup.model, setup.x, setup.y, loss="margin", random_start=False, **arguments)
    assert margin.success.any()
    np.testing.assert_array_equal(hinge.success, margin.success)
    blind = linear.problem(classes=3, count=10, kind=linear.Masked)
    result = fgsm(blind.model, blind.x, blind.y, eps=0.01, bounds=blind.bounds)
    assert (result.status == "masked").all()
    assert result.robust_accuracy == 1.0
    assert "10 masked" in result.summary()


def test_a_progress_bar_is_shown(linear, capsys):
    setup = linear.problem(count=3)
    pgd(setup.model, setup.x, setup.y, eps=0.1, steps=2, bounds=setup.bounds, progress=True)
    assert "pgd" in capsys.readouterr().out


def test_queries_are_drawn(linear):
    setup = linear.problem(count=6)
    axes = pgd(setup.model, setup.x, setup.y, eps=0.5, bounds=setup.bounds).plot_queries()
    assert axes.get_xlabel() == "queries a sample"


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"mask": np.ones((4, 5))}, TypeError, "mask must be an array of bool, got an array of float64"),
        ({"mask": np.ones((2, 5), bool)}, ValueError, r"mask must broadcast to \(3, 4, 5\), got \(2, 5\)"),
        ({"quantize": 0}, ValueError, "quantize must be at least 1"),
        ({"max_seconds": 0.0}, ValueError, "max_seconds must be greater than 0"),
        ({"max_queries": 0}, ValueError, "max_queries must be at least 1"),
        ({"max_evaluations": 1.5}, TypeError, "max_evaluations must be an integer"),
        ({"callback": 3}, TypeError, "callback must be callable, got a int"),
        ({"trace": 1}, TypeError, "trace must be True or False"),
        ({"progress": None}, TypeError, "progress must be True or False"),
        ({"randomised": 1}, TypeError, "randomised must be True or False"),
        ({"epsilon": 1}, TypeError, "got an unexpected keyword argument 'epsilon'"),
    ],
)
def test_wrong_options(linear, name, wrong, error, message):
    setup = linear.problem(count=3)
    with pytest.raises(error, match=message):
        ATTACKS[name](setup.model, setup.x, setup.y, **({"bounds": setup.bounds} | wrong))


def test_a_pair_of_functions_is_a_model(linear):
    setup = linear.problem(classes=3, count=6)
    want = pgd(setup.model, setup.x, setup.y, eps=0.3, bounds=setup.bounds)
    got = pgd((setup.model.logits, setup.model.vjp), setup.x, setup.y, eps=0.3, bounds=setup.bounds)
    np.testing.assert_array_equal(got.examples, want.examples)

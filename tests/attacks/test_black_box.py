"""Attacks on scores and labels: what they reach where the answer is known, and what they ask for."""

from types import SimpleNamespace

import numpy as np
import pytest

from advcore import _random
from advcore.attacks import (
    boundary,
    gaussian_noise,
    hop_skip_jump,
    nes,
    simba,
    spsa,
    square,
    uniform_noise,
)
from advcore.attacks._draws import pieces
from advcore.attacks.simba import _Waves

ATTACKS = {
    "boundary": lambda *a, **k: boundary(*a, **({"steps": 300} | k)),
    "gaussian_noise": lambda *a, **k: gaussian_noise(*a, **({"eps": 0.4, "draws": 300} | k)),
    "hop_skip_jump": lambda *a, **k: hop_skip_jump(*a, **({"steps": 5, "evaluations": 20} | k)),
    "hop_skip_jump_linf": lambda *a, **k: hop_skip_jump(*a, **({"norm": "linf", "steps": 5, "evaluations": 20} | k)),
    "nes": lambda *a, **k: nes(*a, **({"eps": 0.1, "steps": 10, "pairs": 7} | k)),
    "simba": lambda *a, **k: simba(*a, **({"step_size": 0.1} | k)),
    "simba_dct": lambda *a, **k: simba(*a, **({"step_size": 0.1, "basis": "dct"} | k)),
    "spsa": lambda *a, **k: spsa(*a, **({"eps": 0.4, "norm": "l2", "steps": 10, "pairs": 7} | k)),
    "uniform_noise": lambda *a, **k: uniform_noise(*a, **({"eps": 0.1, "draws": 300} | k)),
}
LABELS_ALONE = ("boundary", "gaussian_noise", "hop_skip_jump", "hop_skip_jump_linf", "uniform_noise")


@pytest.fixture(params=sorted(ATTACKS))
def name(request):
    return request.param


def softmax(logits):
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("norm", "dtype", "more"),
    [
        ("l2", np.float32, {"steps": 25, "evaluations": 40}),
        ("linf", np.float64, {"steps": 40, "evaluations": 60, "memory": 0.9}),
    ],
)
def test_hop_skip_jump_finds_the_nearest_point_of_a_linear_boundary(linear, norm, dtype, more):
    setup = linear.problem(count=100, dtype=dtype)
    best = linear.nearest(setup, norm).min(axis=1)
    result = hop_skip_jump(setup.model, setup.x, setup.y, norm=norm, bounds=setup.bounds, **more)
    assert result.success.all()
    ratio = result.distances[norm] / best
    assert (ratio >= 1 - 1e-5).all()
    assert ratio.max() <= 1.02


def test_boundary_finds_the_nearest_point_of_a_linear_boundary(linear):
    setup = linear.problem(count=100)
    best = linear.nearest(setup, "l2").min(axis=1)
    result = boundary(setup.model, setup.x, setup.y, steps=1000, bounds=setup.bounds)
    ratio = result.distances["l2"] / best
    assert (ratio >= 1 - 1e-9).all()
    assert ratio.max() <= 1.02


@pytest.mark.parametrize("attack", [hop_skip_jump, boundary])
def test_a_target_is_reached_from_a_starting_point_that_has_it(linear, attack):
    setup = linear.problem(classes=4, count=8)
    targets = (setup.y + 1) % 4
    starts = np.stack([setup.w[t].reshape(4, 5) * 5 for t in targets])
    assert (setup.model.logits(starts).argmax(axis=1) == targets).all()
    result = attack(
        setup.model, setup.x, setup.y, targets=targets, starting_points=starts, max_queries=400, bounds=(-20.0, 20.0)
    )
    assert result.success.all()
    assert (setup.model.logits(result.examples).argmax(axis=1) == targets).all()
    assert (result.distances["l2"] < np.linalg.norm((starts - setup.x).reshape(8, -1), axis=1) / 2).all()


@pytest.mark.parametrize("attack", [hop_skip_jump, boundary])
def test_no_starting_point_no_success(linear, attack):
    setup = linear.problem(count=3)
    setup.model.b[0] += 1e6  # class 0 whatever the input
    result = attack(setup.model, setup.x, np.zeros(3, int), bounds=setup.bounds)
    assert (result.status == "failed").all()
    np.testing.assert_array_equal(result.examples, setup.x)


@pytest.mark.parametrize("attack", LABELS_ALONE)
def test_labels_are_all_that_is_used(linear, attack):
    setup = linear.problem(classes=3, count=6)
    want = ATTACKS[attack](setup.model, setup.x, setup.y, bounds=setup.bounds)
    labels = linear.problem(classes=3, count=6).model

    def label(x):
        return labels.logits(x).argmax(axis=1)

    got = ATTACKS[attack](label, setup.x, setup.y, bounds=setup.bounds, output="label", randomised=False)
    np.testing.assert_array_equal(got.success, want.success)
    np.testing.assert_array_equal(got.queries, want.queries)
    if "noise" not in attack:  # of several draws that succeed, labels do not tell the best
        np.testing.assert_array_equal(got.examples, want.examples)


@pytest.mark.parametrize("attack", ["nes", "simba", "spsa"])
def test_top_class_and_confidence_are_enough(linear, attack):
    setup = linear.problem(classes=2, count=10)  # of two classes, the confidence tells both scores

    def top1(x):
        shares = softmax(setup.model.logits(x))
        return shares.argmax(axis=1), shares.max(axis=1)

    more = {"bounds": setup.bounds, "loss": "cross_entropy"} if attack != "simba" else {"bounds": setup.bounds}
    want = ATTACKS[attack](setup.model, setup.x, setup.y, **more)
    got = ATTACKS[attack](top1, setup.x, setup.y, **more, output="top1", randomised=False)
    np.testing.assert_array_equal(got.success, want.success)
    assert got.success.any()
    if attack == "simba":  # the others' probes look past the boundary, where the confidence is another class's
        np.testing.assert_allclose(got.examples, want.examples, atol=1e-9)


@pytest.mark.parametrize("output", ["logits", "label"])
@pytest.mark.parametrize("limit", [1, 2, 37, 150])
def test_a_counting_callable_sees_the_ledgers_number_sample_by_sample(linear, name, output, limit):
    if output == "label" and name not in LABELS_ALONE:  # needs more
        return
    setup = linear.problem(classes=3, count=7)
    setup.x[:, 0, 0] = np.arange(7)  # who asks: an entry that may not change
    setup.y = setup.model.logits(setup.x).argmax(axis=1)
    mask = np.ones((4, 5), bool)
    mask[0, 0] = False
    seen = np.zeros(7, int)

    def ask(x):
        np.add.at(seen, x[:, 0, 0].astype(int), 1)
        logits = setup.model.logits(x)
        return logits if output == "logits" else logits.argmax(axis=1)

    result = ATTACKS[name](
        ask, setup.x, setup.y, output=output, mask=mask, randomised=False, max_queries=limit, bounds=setup.bounds
    )
    np.testing.assert_array_equal(seen, result.queries + result.verification)
    assert (result.queries <= limit).all()
    np.testing.assert_array_equal(result.verification, 1)
    np.testing.assert_array_equal(result.examples[:, 0, 0], setup.x[:, 0, 0])
    assert (result.queries_to_success <= result.queries).all()


def test_pieces_are_full_and_give_every_sample_its_draws():
    counts = np.array([3, 0, 5, 1])
    for rows in (1, 2, 4, 100):
        found = list(pieces(counts, rows))
        sizes = [sum(len(who) for _, who in piece) for piece in found]
        assert all(size == rows for size in sizes[:-1])
        pairs = [(draw, int(i)) for piece in found for draw, who in piece for i in who]
        assert sorted(pairs) == sorted((draw, i) for i, count in enumerate(counts) for draw in range(count))


@pytest.mark.parametrize(("attack", "kind", "width"), [(nes, "normal", "sigma"), (spsa, "sign", "delta")])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_step_is_the_one_that_the_formula_gives(linear, attack, kind, width, norm):
    setup = linear.problem(classes=3, count=4)
    pairs, size, h, eps = 3, 20, 0.05, 0.01
    result = attack(
        setup.model, setup.x, setup.y, eps=eps, norm=norm, steps=1, step_size=eps, pairs=pairs, loss="margin",
        bounds=setup.bounds, **{width: h},
    )  # fmt: skip

    def margin(x):
        logits = setup.model.logits(x)
        others = np.where(np.arange(3) == setup.y[:, None], -np.inf, logits).max(axis=1)
        return others - logits[np.arange(4), setup.y]

    total = np.zeros((4, 4, 5))
    for pair in range(pairs):
        u = getattr(_random, kind)(0, np.arange(4), pair, size).reshape(4, 4, 5)
        slope = (margin(setup.x + h * u) - margin(setup.x - h * u)) / (2 * h * pairs)
        total += slope[:, None, None] * u
    step = np.sign(total) if norm == "linf" else total / np.linalg.norm(total.reshape(4, -1), axis=1)[:, None, None]
    expected = setup.x + eps * step
    better = (margin(expected) > margin(setup.x))[:, None, None]
    np.testing.assert_allclose(result.examples, np.where(better, expected, result.examples), atol=1e-12)
    assert better.sum() >= 3
    np.testing.assert_array_equal(result.queries, 1 + 2 * pairs + 1)


def test_nes_follows_the_gradient_with_many_pairs(linear):
    setup = linear.problem(count=12)
    best = linear.nearest(setup, "l2").min(axis=1)
    for i in range(3):
        one = slice(i, i + 1)
        eps = 1.05 * float(best[i])
        result = nes(
            setup.model, setup.x[one], setup.y[one], eps=eps, norm="l2", steps=20, pairs=100, bounds=setup.bounds
        )
        assert result.success[0]


def test_simba_takes_the_pixel_steps_that_raise_the_odds(linear):
    setup = linear.problem(classes=2, count=10)
    result = simba(setup.model, setup.x, setup.y, step_size=0.1, undo=False, bounds=setup.bounds)
    assert result.success.all()
    w = (setup.w[1] - setup.w[0]).reshape(4, 5)
    sides = np.where(setup.y == 0, 1, -1)[:, None, None]
    for sample, difference in enumerate(result.examples - setup.x):
        steps = np.rint(difference / 0.1)
        np.testing.assert_allclose(difference, 0.1 * steps, atol=1e-12)
        assert (steps * np.sign(w) * sides[sample] >= 0).all()


def test_simba_takes_back_what_success_does_not_need(linear):
    setup = linear.problem(classes=2, count=30)
    arguments = {"step_size": 0.1, "bounds": setup.bounds}
    plain = simba(setup.model, setup.x, setup.y, undo=False, **arguments)
    short = simba(setup.model, setup.x, setup.y, **arguments)
    np.testing.assert_array_equal(short.success, plain.success)
    assert (short.distances["l2"] <= plain.distances["l2"] + 1e-12).all()
    assert (short.distances["l2"] < plain.distances["l2"] - 0.01).any()
    np.testing.assert_array_equal(short.queries_to_success, plain.queries_to_success)


def test_simba_does_not_ask_about_steps_that_the_box_undoes():
    asked = []

    def scores(x):
        asked.extend(x.copy())
        return np.stack([np.zeros(len(x)), x.sum(axis=(1, 2)) - 100], axis=1)

    x = np.zeros((1, 2, 3))
    result = simba(scores, x, np.zeros(1, int), steps=6, step_size=0.5, output="logits", randomised=False)
    assert result.queries[0] == 1 + 6  # up helps at once, and down never moves
    assert (np.diff([a.sum() for a in asked[1:7]]) > 0).all()


@pytest.mark.parametrize("lowest", [None, 2])
def test_waves_are_orthonormal_and_come_low_frequencies_first(lowest):
    basis = _Waves((2, 5, 6), lowest)
    assert basis.count == 2 * (4 if lowest else 30)
    vectors = np.zeros((basis.count, 2, 5, 6))
    basis.add(vectors, np.arange(basis.count), np.ones(basis.count))
    flat = vectors.reshape(basis.count, -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(basis.count), atol=1e-12)
    order = basis.arranged(_random.choice(0, np.arange(3), 0, basis.count, basis.count))
    assert (np.sort(order, axis=1) == np.arange(basis.count)).all()
    assert (np.diff(basis.shell[order], axis=1) >= 0).all()
    assert not (order[0] == order[1]).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("attack", [gaussian_noise, uniform_noise])
def test_noise_keeps_the_best_of_its_draws(linear, attack, norm):
    setup = linear.problem(classes=3, count=5)
    eps = 0.3 * float(linear.nearest(setup, norm).min())
    seen = []

    def scores(x):
        logits = setup.model.logits(x)
        seen.append((x.copy(), logits))
        return logits

    result = attack(
        scores, setup.x[:1], setup.y[:1], eps=eps, norm=norm, draws=100, bounds=setup.bounds, output="logits",
        randomised=False,
    )  # fmt: skip
    assert result.queries[0] == 101
    assert (result.status == "failed").all()
    tried = np.concatenate([x for x, _ in seen[1:-1]])
    logits = np.concatenate([z for _, z in seen[1:-1]])
    margin = np.delete(logits, setup.y[0], axis=1).max(axis=1) - logits[:, setup.y[0]]
    np.testing.assert_array_equal(result.examples[0], tried[margin.argmax()])
    order = 2 if norm == "l2" else np.inf
    lengths = np.linalg.norm((tried - setup.x[0]).reshape(100, -1), order, axis=1)
    np.testing.assert_allclose(lengths, eps, rtol=1e-9)


def test_a_remote_model_gets_full_batches(linear):
    shares = {}
    for attack in ("hop_skip_jump", "boundary", "nes", "simba", "square", "uniform_noise"):
        setup = linear.problem(classes=3, count=128 if attack == "square" else 64)
        calls = []

        def ask(x, calls=calls, model=setup.model):
            calls.append(len(x))
            return model.logits(x)

        more = {}
        if attack == "hop_skip_jump":
            more = {"evaluations": 50, "steps": 2}
        if attack == "boundary":
            more = {"steps": 20}
        if attack == "simba":
            more = {"steps": 20}
        if attack == "square":
            more = {"eps": 0.2, "steps": 20}
        if attack in ("nes", "uniform_noise"):
            more = {"eps": 1e-3, "steps": 2} if attack == "nes" else {"eps": 1e-3, "draws": 320}
        {**ATTACKS, "square": square}[attack](
            ask, setup.x, setup.y, output="logits", batch_size=32, bounds=setup.bounds, randomised=False, **more
        )
        assert max(calls) == 32
        shares[attack] = sum(calls) / (32 * len(calls))
        assert 32 in calls[:2]
    thin = shares.pop("simba")  # one question at a time about those that are left
    assert thin > 0.25
    assert min(shares.values()) > 0.7, shares


def test_curves_of_several_results_share_one_axes(linear):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    setup = linear.problem(classes=3, count=8)
    results = [
        ATTACKS[name](setup.model, setup.x, setup.y, bounds=setup.bounds, max_queries=40)
        for name in ("simba", "boundary")
    ]
    axes = results[0].plot_queries(label="SimBA")
    assert results[1].plot_queries(axes, label="boundary") is axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["SimBA", "boundary"]
    for line, result in zip(axes.lines, results, strict=True):
        x, y = line.get_data()
        at = np.sort(result.queries_to_success[result.success])
        np.testing.assert_array_equal(x, [0, *at, result.queries.max()])
        np.testing.assert_allclose(y, [0, *np.arange(1, len(at) + 1) / 8, result.success.mean()])
    pyplot.close("all")
    nothing = SimpleNamespace(**vars(results[0]))
    nothing.success = np.zeros(8, bool)
    assert type(results[0]).plot_queries(nothing).lines[0].get_ydata().max() == 0
    pyplot.close("all")

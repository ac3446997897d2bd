"""Models that work in place, reuse their buffers, give equal logits or no gradient at some sample."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from advcore import attacks

RNG = np.random.default_rng(0)
WEIGHT = RNG.standard_normal((3, 16)).astype(np.float32)
X = RNG.uniform(0.3, 0.7, (20, 16)).astype(np.float32)


class Plain:
    randomised = False

    def logits(self, x):
        return (x - 0.5) @ WEIGHT.T

    def vjp(self, x, cotangent):
        return cotangent @ WEIGHT


class InPlace(Plain):
    def logits(self, x):
        x -= 0.5
        return x @ WEIGHT.T

    def vjp(self, x, cotangent):
        x -= 0.5
        assert np.abs(x).max() <= 0.5 + 1e-6  # not twice
        return cotangent @ WEIGHT


class OneBuffer(Plain):
    def __init__(self):
        self.scores, self.slopes = {}, {}

    def logits(self, x):
        buffer = self.scores.setdefault(len(x), np.empty((len(x), 3), np.float32))
        buffer[...] = super().logits(x)
        return buffer

    def vjp(self, x, cotangent):
        buffer = self.slopes.setdefault(x.shape, np.empty_like(x))
        buffer[...] = super().vjp(x, cotangent)
        return buffer


Y = Plain().logits(X).argmax(axis=1)
SEVERAL_GRADIENTS = [
    (attacks.fab, {"norm": "l2", "steps": 5}),
    (attacks.jsma, {"theta": 0.2}),
    (attacks.deepfool, {}),
    (attacks.carlini_wagner, {"steps": 20, "search_steps": 2}),
    (attacks.pgd, {"eps": 0.1, "steps": 5}),
]


@pytest.mark.parametrize("model", [InPlace, OneBuffer])
@pytest.mark.parametrize(("attack", "options"), SEVERAL_GRADIENTS)
def test_working_in_place_or_in_one_buffer_changes_nothing(model, attack, options):
    want, got = attack(Plain(), X, Y, **options), attack(model(), X, Y, **options)
    np.testing.assert_array_equal(got.examples, want.examples)
    np.testing.assert_array_equal(got.queries, want.queries)


def test_an_average_takes_a_buffer_that_is_used_again():
    class Noisy(OneBuffer):
        def __init__(self):
            super().__init__()
            self.draw = np.random.default_rng(1)

        def logits(self, x):
            buffer = super().logits(x)
            buffer += self.draw.standard_normal(buffer.shape)
            return buffer

    class Copied(Noisy):
        def logits(self, x):
            return super().logits(x).copy()

    one, other = (attacks.expectation(model(), draws=5).logits(X) for model in (Noisy, Copied))
    np.testing.assert_array_equal(one, other)


class Blind(Plain):
    """Without a gradient where the first feature is 0.3."""

    def vjp(self, x, cotangent):
        slope = super().vjp(x, cotangent)
        slope[x[:, 0] == np.float32(0.3)] = 0
        return slope


@pytest.mark.parametrize("attack", [attacks.ddn, attacks.fmn, attacks.deepfool, attacks.fab])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_sample_without_gradients_leaves_the_others_alone(attack, dtype):
    x = X.astype(dtype)
    x[3, 0] = np.float32(0.3)
    y = Plain().logits(x).argmax(axis=1)
    norm = {} if attack is attacks.ddn else {"norm": "l2"}
    result = attack(Blind(), x, y, **norm)
    assert result.status[3] == "masked"
    assert (np.delete(result.status, 3) == "success").all()


MINIMUM_NORM = [
    (attacks.deepfool, {"norm": "l2"}),
    (attacks.deepfool, {"norm": "linf"}),
    (attacks.fab, {"norm": "l2"}),
    (attacks.fab, {"norm": "linf", "eps": 0.5}),
    (attacks.fab, {"norm": "l1"}),
    (attacks.carlini_wagner, {"norm": "l2", "steps": 100, "search_steps": 4}),
    (attacks.carlini_wagner, {"norm": "linf", "steps": 50}),
    (attacks.fmn, {"norm": "l2"}),
    (attacks.fmn, {"norm": "linf"}),
    (attacks.ddn, {}),
]


@pytest.mark.parametrize(("attack", "options"), MINIMUM_NORM)
def test_equal_logits_are_a_boundary_to_step_over(attack, options):
    x = np.full((1, 16), 0.5, np.float32)
    assert (Plain().logits(x) == 0).all()
    result = attack(Plain(), x, np.zeros(1, np.int64), **options)
    assert result.success.all()
    assert result.distances["l2"][0] < 0.02


class Coarse(Plain):
    """Logits in steps of a half, with the gradient of those before."""

    def logits(self, x):
        return np.round(2 * 3 * super().logits(x)) / 2

    def vjp(self, x, cotangent):
        return 3 * super().vjp(x, cotangent)


@pytest.mark.parametrize(("attack", "options"), [case for case in MINIMUM_NORM if "eps" not in case[1]])
def test_logits_in_steps_do_not_hold_anybody_up(attack, options):
    y = Coarse().logits(X).argmax(axis=1)
    assert attack(Coarse(), X, y, **options).success.mean() >= 0.9


@pytest.mark.parametrize("name", ["pgd", "apgd", "bim", "fab", "deepfool", "ddn", "fmn", "carlini_wagner"])
@pytest.mark.parametrize("limit", ["max_queries", "max_evaluations"])
def test_a_budget_that_does_not_pay_for_a_gradient_leaves_samples_unfinished(name, limit):
    eps = {"eps": 1e-6} if name in ("pgd", "apgd", "bim") else {}
    short = getattr(attacks, name)(Plain(), X, Y, **eps, **{limit: 2})
    assert (short.status == "unfinished").all()
    assert short.stopped == limit
    assert "20 unfinished" in short.summary()


def test_to_spend_all_queries_is_how_a_search_by_scores_ends():
    result = attacks.square(Plain(), X, Y, eps=1e-6, max_queries=20)
    assert (result.status == "failed").all()
    assert result.stopped is None


def test_more_restarts_of_targeted_apgd_begin_with_what_fewer_do():
    options = {"eps": 0.06, "norm": "l2", "loss": "dlr", "steps": 3, "target_classes": 2}
    weight = RNG.standard_normal((5, 16)).astype(np.float32)

    class Five(Plain):
        def logits(self, x):
            return np.tanh((x - 0.5) @ weight.T * 8)

        def vjp(self, x, cotangent):
            return (cotangent * (1 - self.logits(x) ** 2) * 8) @ weight

    y = Five().logits(X).argmax(axis=1)
    runs = [attacks.apgd(Five(), X, y, restarts=restarts, **options).success for restarts in (1, 2, 3, 4)]
    for fewer, more in pairwise(runs):
        assert (more >= fewer).all()


def test_torch_modules_that_work_in_place_in_bfloat16_or_in_inference_mode():
    torch.manual_seed(0)
    layers = [torch.nn.ReLU(inplace=True), torch.nn.Linear(16, 3)]
    module, same = torch.nn.Sequential(*layers), torch.nn.Sequential(torch.nn.ReLU(), layers[1])
    y = same(torch.from_numpy(X)).argmax(1).numpy()
    want, got = (attacks.pgd(m, X, y, eps=0.05) for m in (same, module))
    np.testing.assert_array_equal(got.examples, want.examples)
    with torch.inference_mode():
        np.testing.assert_array_equal(attacks.pgd(module, X, y, eps=0.05).examples, want.examples)
    half = torch.nn.Linear(16, 3).to(torch.bfloat16)
    y = half(torch.from_numpy(X).bfloat16()).argmax(1).numpy()
    assert attacks.pgd(half, X, y, eps=0.3).success.any()


def test_a_torch_module_that_returns_no_tensor_is_refused():
    class Pair(torch.nn.Module):
        def forward(self, x):
            return x, x

    with pytest.raises(TypeError, match="must return a tensor of logits, got a tuple"):
        attacks.pgd(Pair(), X, Y, eps=0.1)


def test_an_ensemble_says_which_of_all_samples_a_member_could_not_read():
    class Failing(Plain):
        calls = 0

        def logits(self, x):
            self.calls += 1
            z = super().logits(x)
            if self.calls > 130:  # APGD with cross-entropy is through
                z[np.abs(x - X[16]).max(axis=1) < 0.04] = np.nan
            return z

    y = Y.copy()
    y[:15] = (y[:15] + 1) % 3  # misclassified: the survivors are numbered anew
    with pytest.raises(ValueError, match="NaN or infinity for sample 1") as caught:
        attacks.autoattack(Failing(), X, y, eps=0.001, batch_size=64)
    assert "apgd_t was given the survivors alone: its sample 1 is sample 16." in caught.value.__notes__
    assert (caught.value.result.status[:15] == "misclassified").all()


def test_traces_of_fab_have_an_entry_for_every_step_out_of_reach():
    result = attacks.fab(Plain(), X, Y, eps=1e-6, steps=7, trace=True)
    assert {len(trace) for trace in result.traces} == {7}

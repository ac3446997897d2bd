"""What users may get wrong: the message names the argument, what was expected and what came."""

import numpy as np
import pytest

from advcore.attacks import (
    apgd,
    autoattack,
    bim,
    boundary,
    carlini_wagner,
    ddn,
    deepfool,
    fab,
    fgm,
    fgsm,
    fmn,
    gaussian_noise,
    hop_skip_jump,
    jsma,
    nes,
    pgd,
    simba,
    spsa,
    square,
    uniform_noise,
    zoo,
)

X = np.full((3, 2, 2), 0.5)
Y = np.array([0, 1, 0])


class Model:
    def logits(self, x):
        return np.stack([x.sum(axis=(1, 2)), 2 - x.sum(axis=(1, 2))], axis=1)

    def vjp(self, x, cotangent):
        return np.broadcast_to((cotangent[:, 0] - cotangent[:, 1])[:, None, None], x.shape)


def changed(index, value):
    x = X.copy()
    x[index] = value
    return x


ATTACKS = {
    "carlini_wagner": lambda **k: carlini_wagner(k.pop("model"), k.pop("x"), k.pop("y"), **({"steps": 2} | k)),
    "ddn": lambda **k: ddn(k.pop("model"), k.pop("x"), k.pop("y"), **k),
    "deepfool": lambda **k: deepfool(k.pop("model"), k.pop("x"), k.pop("y"), **k),
    "apgd": lambda **k: apgd(k.pop("model"), k.pop("x"), k.pop("y"), **({"eps": 0.1, "steps": 3} | k)),
    "bim": lambda **k: bim(k.pop("model"), k.pop("x"), k.pop("y"), **({"eps": 0.1, "steps": 3} | k)),
    "autoattack": lambda **k: autoattack(
        k.pop("model"), k.pop("x"), k.pop("y"), **({"eps": 0.1, "steps": 3, "queries": 5} | k)
    ),
    "fab": lambda **k: fab(k.pop("model"), k.pop("x"), k.pop("y"), **({"steps": 3} | k)),
    "square": lambda **k: square(k.pop("model"), k.pop("x"), k.pop("y"), **({"eps": 0.1, "steps": 5} | k)),
    "fgm": lambda **k: fgm(k.pop("model"), k.pop("x"), k.pop("y"), **({"eps": 0.1} | k)),
    "fgsm": lambda **k: fgsm(k.pop("model"), k.pop("x"), k.pop("y"), **({"eps": 0.1} | k)),
    "fmn": lambda **k: fmn(k.pop("model"), k.pop("x"), k.pop("y"), **k),
    "jsma": lambda **k: jsma(k.pop("model"), k.pop("x"), k.pop("y"), **k),
    "pgd": lambda **k: pgd(k.pop("model"), k.pop("x"), k.pop("y"), **({"eps": 0.1} | k)),
    "zoo": lambda **k: zoo(k.pop("model"), k.pop("x"), k.pop("y"), **({"steps": 2} | k)),
    "boundary": lambda **k: boundary(k.pop("model"), k.pop("x"), k.pop("y"), **({"steps": 2} | k)),
    "gaussian_noise": lambda **k: gaussian_noise(
        k.pop("model"), k.pop("x"), k.pop("y"), **({"eps": 0.1, "draws": 2} | k)
    ),
    "hop_skip_jump": lambda **k: hop_skip_jump(k.pop("model"), k.pop("x"), k.pop("y"), **({"steps": 1} | k)),
    "nes": lambda **k: nes(k.pop("model"), k.pop("x"), k.pop("y"), **({"eps": 0.1, "steps": 1, "pairs": 2} | k)),
    "simba": lambda **k: simba(k.pop("model"), k.pop("x"), k.pop("y"), **({"steps": 2} | k)),
    "spsa": lambda **k: spsa(k.pop("model"), k.pop("x"), k.pop("y"), **({"eps": 0.1, "steps": 1, "pairs": 2} | k)),
    "uniform_noise": lambda **k: uniform_noise(
        k.pop("model"), k.pop("x"), k.pop("y"), **({"eps": 0.1, "draws": 2} | k)
    ),
}
SHARED = [
    ({"x": X.astype(int)}, TypeError, "x must be of type float32 or float64, got int64"),
    ({"x": X.astype(np.float16)}, TypeError, "x must be of type float32 or float64, got float16"),
    ({"x": X.tolist()}, TypeError, "x must be a NumPy array"),
    ({"x": X[:, 0, 0]}, ValueError, "x must have at least 2 axes"),
    ({"x": changed(1, np.nan)}, ValueError, "x must be finite, got NaN or infinity in sample 1"),
    ({"x": changed(2, np.inf)}, ValueError, "x must be finite, got NaN or infinity in sample 2"),
    ({"x": changed(2, 1.5)}, ValueError, r"x must be inside its bounds \[0, 1\], got 1.5 in sample 2"),
    ({"x": changed(0, -0.1)}, ValueError, r"x must be inside its bounds \[0, 1\], got -0.1 in sample 0"),
    ({"y": Y[:2]}, ValueError, r"y must have shape \(3,\), got \(2,\)"),
    ({"y": Y.astype(float)}, TypeError, "y must be an array of integers, got an array of float64"),
    ({"y": np.array([0, -1, 0])}, ValueError, r"y must be in .* got -1 at index 1"),
    ({"y": np.array([0, 1, 2])}, ValueError, r"y must be in \[0, 1\] for this model, got 2 at index 2"),
    ({"targets": np.array([1, 0, 7])}, ValueError, r"targets must be in \[0, 1\] for this model, got 7 at index 2"),
    ({"targets": np.array([1, 1, 1])}, ValueError, "targets must differ from y, got the label itself for sample 1"),
    ({"targets": np.array([1, 0])}, ValueError, r"targets must have shape \(3,\)"),
    ({"bounds": (1.0, 0.0)}, ValueError, r"bounds must be a pair \(low, high\) with low below high, got \(1, 0\)"),
    ({"bounds": (0.0, np.nan)}, ValueError, r"bounds\[1\] must be finite"),
    ({"bounds": 1.0}, TypeError, r"bounds must be a pair \(low, high\), got float 1.0"),
    ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
    ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
    ({"seed": 0.5}, TypeError, "seed must be an integer"),
    ({"sample_ids": np.array([0, 1])}, ValueError, r"sample_ids must have shape \(3,\)"),
    ({"sample_ids": np.array([0, 1, -2])}, ValueError, "sample_ids must be in .* got -2 at index 2"),
    ({"model": Model}, TypeError, "model must be an instance, got the class Model"),
    ({"model": 3}, TypeError, r"model must have logits\(x\), or be a torch module or a callable, got a int"),
]
OWN = [
    ("fgsm", {"eps": -0.1}, ValueError, "eps must be at least 0, got -0.1"),
    ("fgsm", {"eps": np.nan}, ValueError, "eps must be finite"),
    ("fgsm", {"loss": "huber"}, ValueError, "loss must be 'cross_entropy', 'margin', 'dlr', 'hinge' or .* got 'huber'"),
    ("pgd", {"eps": -1}, ValueError, "eps must be at least 0, got -1"),
    ("pgd", {"eps": "0.3"}, TypeError, "eps must be a number, got str"),
    ("pgd", {"norm": "l0"}, ValueError, "norm must be 'linf', 'l2' or 'l1', got 'l0'"),
    ("pgd", {"momentum": -0.1}, ValueError, "momentum must be at least 0, got -0.1"),
    ("pgd", {"quantile": 1.0}, ValueError, "quantile must be less than 1, got 1"),
    ("apgd", {"eps": -0.1}, ValueError, "eps must be at least 0, got -0.1"),
    ("apgd", {"norm": "l0"}, ValueError, "norm must be 'linf', 'l2' or 'l1', got 'l0'"),
    ("apgd", {"steps": 0}, ValueError, "steps must be at least 1, got 0"),
    ("apgd", {"restarts": 0}, ValueError, "restarts must be at least 1, got 0"),
    ("apgd", {"target_classes": -1}, ValueError, "target_classes must be at least 0, got -1"),
    ("autoattack", {"eps": -0.1}, ValueError, "eps must be at least 0, got -0.1"),
    ("autoattack", {"version": "plus"}, ValueError, "version must be 'standard' or 'rand', got 'plus'"),
    ("autoattack", {"queries": 1}, ValueError, "queries must be at least 2, got 1"),
    ("fab", {"eps": -1}, ValueError, "eps must be at least 0, got -1"),
    ("fab", {"steps": 0}, ValueError, "steps must be at least 1, got 0"),
    ("fab", {"alpha_max": 1.5}, ValueError, "alpha_max must be at most 1, got 1.5"),
    ("fab", {"eta": 0.9}, ValueError, "eta must be at least 1, got 0.9"),
    ("fab", {"beta": 1.0}, ValueError, "beta must be less than 1, got 1"),
    ("square", {"norm": "l1"}, ValueError, "norm must be 'linf' or 'l2', got 'l1'"),
    ("square", {"steps": 0}, ValueError, "steps must be at least 1, got 0"),
    ("square", {"p_init": 0.0}, ValueError, "p_init must be greater than 0"),
    ("square", {"max_queries": np.array([5, 5])}, ValueError, r"max_queries must have shape \(3,\), got \(2,\)"),
    ("fgm", {"eps": -0.1}, ValueError, "eps must be at least 0, got -0.1"),
    ("bim", {"steps": 0}, ValueError, "steps must be at least 1, got 0"),
    ("bim", {"variant": "best"}, ValueError, "variant must be 'first_success' or 'last_step', got 'best'"),
    ("pgd", {"steps": 0}, ValueError, "steps must be at least 1, got 0"),
    ("pgd", {"steps": True}, TypeError, "steps must be an integer"),
    ("pgd", {"step_size": 0.0}, ValueError, "step_size must be greater than 0, got 0"),
    ("pgd", {"restarts": 0}, ValueError, "restarts must be at least 1, got 0"),
    ("pgd", {"restarts": 2, "random_start": False}, ValueError, "restarts must be 1 without a random start"),
    ("pgd", {"random_start": 1}, TypeError, "random_start must be True or False"),
    ("carlini_wagner", {"norm": "l1"}, ValueError, "norm must be 'l2', 'l0' or 'linf', got 'l1'"),
    ("carlini_wagner", {"steps": 0}, ValueError, "steps must be at least 1, got 0"),
    ("carlini_wagner", {"learning_rate": 0}, ValueError, "learning_rate must be greater than 0"),
    ("carlini_wagner", {"initial_c": -1.0}, ValueError, "initial_c must be greater than 0"),
    ("carlini_wagner", {"search_steps": 0}, ValueError, "search_steps must be at least 1"),
    ("carlini_wagner", {"kappa": -1.0}, ValueError, "kappa must be at least 0"),
    ("carlini_wagner", {"abort_early": 1}, TypeError, "abort_early must be True or False"),
    ("ddn", {"steps": 0}, ValueError, "steps must be at least 1, got 0"),
    ("ddn", {"gamma": 1.0}, ValueError, "gamma must be less than 1"),
    ("ddn", {"initial_norm": 0}, ValueError, "initial_norm must be greater than 0"),
    ("fmn", {"norm": "l3"}, ValueError, "norm must be 'l2', 'linf', 'l1' or 'l0', got 'l3'"),
    ("fmn", {"steps": 0}, ValueError, "steps must be at least 1, got 0"),
    ("fmn", {"gamma": 0.0}, ValueError, "gamma must be greater than 0"),
    ("fmn", {"step_size": -1.0}, ValueError, "step_size must be greater than 0"),
    ("jsma", {"theta": 0}, ValueError, "theta must not be 0, got 0"),
    ("jsma", {"theta": "1"}, TypeError, "theta must be a number"),
    ("jsma", {"gamma": 0.0}, ValueError, "gamma must be greater than 0"),
    ("jsma", {"gamma": 1.5}, ValueError, "gamma must be at most 1"),
    ("deepfool", {"norm": "l1"}, ValueError, "norm must be 'l2' or 'linf', got 'l1'"),
    ("deepfool", {"steps": 0}, ValueError, "steps must be at least 1, got 0"),
    ("deepfool", {"overshoot": -0.1}, ValueError, "overshoot must be at least 0"),
    ("deepfool", {"classes": 1}, ValueError, "classes must be at least 2"),
    ("zoo", {"steps": 0}, ValueError, "steps must be at least 1, got 0"),
    ("zoo", {"coordinates": 0}, ValueError, "coordinates must be at least 1, got 0"),
    ("zoo", {"learning_rate": 0}, ValueError, "learning_rate must be greater than 0"),
    ("zoo", {"h": 0.0}, ValueError, "h must be greater than 0"),
    ("zoo", {"c": 0.0}, ValueError, "c must be greater than 0"),
    ("zoo", {"initial_c": -1.0}, ValueError, "initial_c must be greater than 0"),
    ("zoo", {"search_steps": 0}, ValueError, "search_steps must be at least 1"),
    ("zoo", {"kappa": -1.0}, ValueError, "kappa must be at least 0"),
    ("boundary", {"steps": 0}, ValueError, "steps must be at least 1, got 0"),
    ("boundary", {"spherical_step": 1.0}, ValueError, "spherical_step must be less than 1, got 1"),
    ("boundary", {"source_step": 0.0}, ValueError, "source_step must be greater than 0, got 0"),
    (
        "boundary",
        {"starting_points": X[:2]},
        ValueError,
        r"starting_points must have shape \(3, 2, 2\), got \(2, 2, 2\)",
    ),
    ("boundary", {"starting_points": changed(1, np.nan)}, ValueError, "starting_points must be finite, .* sample 1"),
    ("gaussian_noise", {"draws": 0}, ValueError, "draws must be at least 1, got 0"),
    ("gaussian_noise", {"eps": -1.0}, ValueError, "eps must be at least 0, got -1"),
    ("gaussian_noise", {"norm": "l1"}, ValueError, "norm must be 'linf' or 'l2', got 'l1'"),
    ("hop_skip_jump", {"norm": "l1"}, ValueError, "norm must be 'l2' or 'linf', got 'l1'"),
    ("hop_skip_jump", {"steps": 0}, ValueError, "steps must be at least 1, got 0"),
    ("hop_skip_jump", {"evaluations": 0}, ValueError, "evaluations must be at least 1, got 0"),
    ("hop_skip_jump", {"largest_evaluations": 0}, ValueError, "largest_evaluations must be at least 1, got 0"),
    ("hop_skip_jump", {"memory": 1.0}, ValueError, "memory must be less than 1, got 1"),
    ("hop_skip_jump", {"starting_points": X.astype("f")}, TypeError, "starting_points must be of type float64"),
    ("nes", {"pairs": 0}, ValueError, "pairs must be at least 1, got 0"),
    ("nes", {"sigma": 0.0}, ValueError, "sigma must be greater than 0, got 0"),
    ("nes", {"momentum": 1.0}, ValueError, "momentum must be less than 1, got 1"),
    ("nes", {"loss": "dlr"}, ValueError, "loss must be 'margin' or 'cross_entropy', got 'dlr'"),
    ("simba", {"step_size": 0.0}, ValueError, "step_size must be greater than 0, got 0"),
    ("simba", {"basis": "wavelet"}, ValueError, "basis must be 'pixel' or 'dct', got 'wavelet'"),
    ("simba", {"frequencies": 0}, ValueError, "frequencies must be at least 1, got 0"),
    ("simba", {"undo": 1}, TypeError, "undo must be True or False"),
    (
        "simba",
        {"basis": "dct", "x": X[:, 0]},
        ValueError,
        r"x must have shape \(N, \.\.\., H, W\) for basis=.dct., got",
    ),
    (
        "simba",
        {"model": Model().logits, "output": "label"},
        ValueError,
        "for this attack, which needs top1; got 'label'",
    ),
    ("spsa", {"delta": 0.0}, ValueError, "delta must be greater than 0, got 0"),
    ("uniform_noise", {"draws": 0}, ValueError, "draws must be at least 1, got 0"),
    ("zoo", {"output": "logits"}, None, ""),
    ("zoo", {"output": "probabilities"}, ValueError, 'output must be None or "logits" for a model that gives logits'),
    ("zoo", {"model": Model().logits}, ValueError, "output must say what the callable returns"),
    ("zoo", {"model": Model().logits, "output": "label"}, ValueError, 'output must be "logits" or "probabilities"'),
    ("zoo", {"model": Model().logits, "output": "odds"}, ValueError, "output must be 'logits'"),
    ("zoo", {"model": Model().logits, "output": "probabilities"}, ValueError, r"probabilities in \[0, 1\].*got 2"),
]


@pytest.mark.parametrize("attack", sorted(ATTACKS))
@pytest.mark.parametrize(("wrong", "error", "message"), SHARED)
def test_shared_arguments(attack, wrong, error, message):
    with pytest.raises(error, match=message):
        ATTACKS[attack](**({"model": Model(), "x": X, "y": Y} | wrong))


@pytest.mark.parametrize(("attack", "wrong", "error", "message"), OWN)
def test_own_arguments(attack, wrong, error, message):
    arguments = {"model": Model(), "x": X, "y": Y} | wrong
    if error is None:
        ATTACKS[attack](**arguments)
        return
    with pytest.raises(error, match=message):
        ATTACKS[attack](**arguments)


@pytest.mark.parametrize("attack", ["apgd", "autoattack", "bim", "fab", "fgm", "fgsm", "pgd"])
def test_a_model_without_gradients_names_the_attacks_that_would_do(attack):
    class BlackBox:
        logits = Model.logits

    with pytest.raises(TypeError, match=rf"{attack} needs a model with vjp\(x, cotangent\), .* use .*zoo"):
        ATTACKS[attack](model=BlackBox(), x=X, y=Y)


def test_a_model_may_return_lists_and_must_return_rectangular_ones():
    class Lists(Model):
        def logits(self, x):
            return super().logits(x).tolist()

    class Ragged(Model):
        def logits(self, x):
            return [[1.0], [1.0, 2.0]] * (len(x) // 2)

    class Complex(Model):
        def vjp(self, x, cotangent):
            return super().vjp(x, cotangent) * 1j

    for attack in ("fgsm", "pgd"):
        plain = ATTACKS[attack](model=Model(), x=X, y=Y)
        np.testing.assert_allclose(ATTACKS[attack](model=Lists(), x=X, y=Y).examples, plain.examples)
        with pytest.raises(ValueError, match="what the model returns must be an array"):
            ATTACKS[attack](model=Ragged(), x=X, y=Y)
        with pytest.raises(
            TypeError, match="the model's gradient must be an array of floating-point numbers, got complex"
        ):
            ATTACKS[attack](model=Complex(), x=X, y=Y)


def answer(change):
    class Wrong(Model):
        def logits(self, x):
            return change(super().logits(x))

    return Wrong()


def second_is_nan(logits):
    logits[1:2] = np.nan
    return logits


@pytest.mark.parametrize("attack", sorted(ATTACKS))
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda z: z[:, 0], ValueError, r"the model must return an array of shape \(3, .*got \(3,\)"),
        (lambda z: z[:-1], ValueError, r"the model must return an array of shape \(3, .*got \(2, 2\)"),
        (lambda z: z[:, :1], ValueError, r"at least 2 classes.*got \(3, 1\)"),
        (second_is_nan, ValueError, "the model must return finite numbers, got NaN or infinity for sample 1"),
        (
            lambda z: z.astype(int),
            TypeError,
            "what the model returns must be an array of floating-point numbers, got int64",
        ),
        (lambda z: None, TypeError, "what the model returns must be an array of floating-point numbers, got object"),
    ],
)
def test_what_the_model_returns(attack, change, error, message):
    with pytest.raises(error, match=message):
        ATTACKS[attack](model=answer(change), x=X, y=Y)


def test_a_gradient_of_the_wrong_shape():
    model = Model()
    model.vjp = lambda x, cotangent: np.zeros(len(x))
    with pytest.raises(ValueError, match=r"gradient must have the input's shape \(\d, 2, 2\), got \(\d,\)"):
        pgd(model, X, Y, eps=0.1)


def test_the_number_of_classes_must_not_change():
    model = Model()
    calls = []
    model.logits = lambda x: np.zeros((len(x), 2 + len(calls))) + (calls.append(1) is None)
    with pytest.raises(ValueError, match=r"the model must return an array of shape \(., 2\)"):
        pgd(model, X, np.zeros(3, int), eps=0.1)

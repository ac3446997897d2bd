"""Models of another floating-point type than the inputs, and budgets that this type cannot hold."""

import numpy as np
import pytest

from advcore import attacks
from advcore.attacks import available

GRADIENT = sorted(row["name"] for row in available() if row["access"] == "gradient")
TAKES_EPS = {"apgd", "autoattack", "bim", "fgm", "fgsm", "pgd"}
WITH_EPS = sorted(TAKES_EPS | {"gaussian_noise", "nes", "spsa", "square", "uniform_noise"})


def pair(model, answer, gradient):
    return (
        lambda x: model.logits(x).astype(answer),
        lambda x, cotangent: model.vjp(x, cotangent).astype(gradient),
    )


@pytest.mark.parametrize("name", GRADIENT)
@pytest.mark.parametrize(
    ("own", "answer", "gradient"),
    [("f4", "f8", "f8"), ("f8", "f4", "f4"), ("f4", "f4", "f8"), ("f8", "f8", "f4"), ("f4", "f8", "f4")],
)
def test_a_model_of_another_type_is_attacked_as_any_other(linear, name, own, answer, gradient):
    setup = linear.problem(count=4, dtype=own)
    more = {"eps": 0.3} if name in TAKES_EPS else {}
    if name == "autoattack":
        more |= {"steps": 5, "queries": 10}
    given = (setup.x, setup.y)
    expected = getattr(attacks, name)(pair(setup.model, own, own), *given, bounds=setup.bounds, **more)
    result = getattr(attacks, name)(pair(setup.model, answer, gradient), *given, bounds=setup.bounds, **more)
    assert result.examples.dtype == own
    np.testing.assert_array_equal(result.success, expected.success)


@pytest.mark.parametrize("name", WITH_EPS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("eps", [1e6, 1e39, 1e300])
def test_a_budget_beyond_the_type_is_the_whole_box(linear, name, dtype, eps):
    setup = linear.problem(count=4, dtype=dtype)
    setup.w[:, 3] = 0.0  # nothing leads anywhere there
    setup.y = setup.model.logits(setup.x).argmax(axis=1)
    more = {"steps": 5, "queries": 10} if name == "autoattack" else {}
    result = getattr(attacks, name)(setup.model, setup.x, setup.y, eps=eps, bounds=(-1.0, 1.0), **more)
    assert np.isfinite(result.examples).all()
    assert (np.abs(result.examples) <= 1).all()
    if name in TAKES_EPS:
        assert result.success.all()


@pytest.mark.parametrize("bounds", [(-1e39, 1e39), (0.0, 1e300), (-3e38, 3e38)])
def test_a_box_beyond_the_type_is_refused(linear, bounds):
    setup = linear.problem(count=2, dtype=np.float32)
    with pytest.raises(ValueError, match=r"bounds must be no farther apart than 3.4e\+38, which float32 can hold"):
        attacks.pgd(setup.model, setup.x, setup.y, eps=0.1, bounds=bounds)

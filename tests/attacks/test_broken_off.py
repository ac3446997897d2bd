"""What a model has answered when a request of several calls breaks off: none of it is lost."""

import numpy as np
import pytest

from advcore.attacks import gaussian_noise, square

SIDE, SAMPLES = 6, 24
RNG = np.random.default_rng(0)
WEIGHT = RNG.standard_normal((3, SIDE * SIDE))
X = np.round(255 * RNG.uniform(0.2, 0.8, (SAMPLES, 1, SIDE, SIDE))) / 255


def scores(x):
    return (x.reshape(len(x), 1, -1) * WEIGHT).sum(axis=-1)


Y = scores(X).argmax(axis=1)
NEAR = int(np.argmin(np.ptp(np.sort(scores(X))[:, 1:], axis=1)))  # of the smallest margin: half of all noise moves it


def test_the_check_of_the_inputs_keeps_whom_the_model_calls_wrong():
    calls = []

    def ask(batch):
        calls.append(len(batch))
        if len(calls) == 3:
            raise ConnectionError("lost")
        return scores(batch)

    labels = np.where(np.arange(SAMPLES) % 2, Y, (Y + 1) % 3)
    with pytest.raises(ConnectionError) as caught:
        square(ask, X, labels, eps=0.1, output="logits", randomised=False, batch_size=8)
    found = caught.value.result
    assert (found.status[:16:2] == "misclassified").all()
    assert (found.status[1::2] == "unfinished").all()
    assert (found.status[16:] == "unfinished").all()
    np.testing.assert_array_equal(found.success, found.status == "misclassified")
    assert (found.queries_to_success[:16:2] == 1).all()


def test_an_interrupt_while_it_is_found_out_whether_the_model_is_random_keeps_them_too():
    calls = []

    def ask(batch):
        calls.append(len(batch))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return scores(batch)

    found = square(ask, X, np.where(np.arange(SAMPLES) % 2, Y, (Y + 1) % 3), eps=0.1, output="logits")
    assert found.stopped == "interrupted"
    assert (found.status[::2] == "misclassified").all()
    assert (found.status[1::2] == "unfinished").all()


@pytest.mark.parametrize(("options", "last"), [({"quantize": 255}, 34), ({"randomised": True}, 12)])
def test_on_a_grid_and_of_a_randomised_model_what_was_found_is_kept(options, last):
    calls = []  # about perturbed inputs

    def ask(batch):
        calls.extend([len(batch)] * (not np.array_equal(batch[0], X[NEAR])))
        if len(calls) == last:
            raise ConnectionError("lost")
        return scores(batch)

    given = {"randomised": False, **options}
    with pytest.raises(ConnectionError) as caught:
        gaussian_noise(ask, X[NEAR:][:1], Y[NEAR:][:1], eps=3.0, output="logits", batch_size=2, **given)
    found = caught.value.result
    assert scores(found.examples).argmax(axis=1) != Y[NEAR]
    assert 0 < found.distances["l2"][0] <= 3.0 * (1 + 1e-12)
    assert found.status[0] == "unfinished"
    if "quantize" in options:
        np.testing.assert_array_equal(found.examples, np.round(255 * found.examples) / 255)


def test_noise_search_fills_the_batches_of_a_model_with_a_small_limit():
    sizes = []

    def ask(batch):
        sizes.append(len(batch))
        return scores(batch)

    result = gaussian_noise(ask, X, Y, eps=0.5, draws=200, output="logits", randomised=False, batch_size=16)
    total = result.queries.sum() + result.verification.sum()
    assert sum(sizes) == total
    assert len(sizes) <= 1.05 * total / 16 + 2


def test_noise_search_gives_the_same_examples_for_any_batch_size():
    small, large = (
        gaussian_noise(scores, X, Y, eps=1.0, draws=150, output="logits", randomised=False, batch_size=size)
        for size in (7, 512)
    )
    np.testing.assert_array_equal(small.examples, large.examples)
    np.testing.assert_array_equal(small.queries, large.queries)
    assert 0 < small.success.mean() < 1

"""Plain callables that misbehave: said plainly, with the sample, and nothing that was found is lost."""

import numpy as np
import pytest

from advcore.attacks import boundary, gaussian_noise, hop_skip_jump, nes, retrying, simba
from advcore.attacks._callback import Callback

SAMPLES = 6


def setup():
    rng = np.random.default_rng(0)
    w = rng.standard_normal((3, 20))
    x = rng.uniform(0.2, 0.8, (SAMPLES, 4, 5))

    def scores(x):
        return (x.reshape(len(x), 1, 20) * w).sum(axis=-1)

    return scores, x, scores(x).argmax(axis=1)


def after(calls, scores, do):
    """A callable that works for so many calls."""
    made = []

    def ask(x):
        made.append(len(x))
        return scores(x) if len(made) <= calls else do(scores(x))

    ask.calls = lambda: len(made)
    return ask


def raises(scores):
    raise ConnectionError("the line is dead")


def one_nan(scores):
    scores[len(scores) // 2] = np.nan
    return scores


BROKEN = [
    (raises, ConnectionError, "the line is dead"),
    (one_nan, ValueError, r"finite numbers, got NaN or infinity for sample \d"),
    (lambda scores: scores[:, 0], ValueError, r"the model must return an array of shape \(\d+, 3\)"),
    (lambda scores: scores[:-1], ValueError, r"the model must return an array of shape \(\d+, 3\)"),
    (lambda scores: None, TypeError, "what the model returns must be an array"),
]


@pytest.mark.parametrize("attack", [boundary, hop_skip_jump, simba])
@pytest.mark.parametrize(("do", "error", "message"), BROKEN)
def test_errors_name_the_samples_and_keep_the_work(attack, do, error, message):
    scores, x, y = setup()
    counted = after(0, scores, lambda scores: scores)
    whole = attack(counted, x, y, output="logits", randomised=False, batch_size=3, max_queries=60)
    with pytest.raises(error, match=message) as caught:
        attack(
            after(counted.calls() * 2 // 3, scores, do),
            x,
            y,
            output="logits",
            randomised=False,
            batch_size=3,
            max_queries=60,
        )
    notes = " ".join(caught.value.__notes__)
    assert "The model was asked about sample " in notes
    assert "are in this error's `result`" in notes
    kept = caught.value.result
    assert (kept.queries <= 60).all()
    assert 0 < kept.queries.sum() < whole.queries.sum()
    for sample in np.flatnonzero(kept.status == "success"):  # what was verified before
        np.testing.assert_array_equal(kept.examples[sample], whole.examples[sample])
    found = kept.queries_to_success > 0
    assert found.any()
    assert (scores(kept.examples[found]).argmax(axis=1) != y[found]).all()
    np.testing.assert_allclose(
        kept.distances["l2"], np.linalg.norm((kept.examples - x).reshape(SAMPLES, -1), axis=1), rtol=1e-12
    )


def test_many_samples_are_not_all_listed():
    scores, x, y = setup()
    with pytest.raises(ConnectionError) as caught:
        simba(after(0, scores, raises), np.repeat(x, 3, axis=0), np.repeat(y, 3), output="logits")
    assert caught.value.__notes__[0] == "The model was asked about sample 0, 1, 2, 3, 4, 5, 6, 7 and 10 more."


def test_the_ledger_counts_what_was_asked_before_an_error():
    scores, x, y = setup()
    asked = []

    def ask(rows):
        asked.append(len(rows))
        return scores(rows) if len(asked) < 40 else raises(rows)

    with pytest.raises(ConnectionError) as caught:
        nes(ask, x, y, eps=1e-3, pairs=10, output="logits", randomised=False, batch_size=2)
    assert caught.value.result.queries.sum() == sum(asked)


def test_a_model_that_answers_at_random_is_voted_on():
    scores, x, y = setup()
    rng = np.random.default_rng(1)

    def ask(rows):
        return scores(rows) + rng.normal(0, 0.05, (len(rows), 3))

    result = simba(ask, x, y, output="logits", max_queries=80)
    assert result.votes is not None
    assert ((result.votes > 0.5) | ~result.success).all()


def test_a_model_that_changes_its_mind_is_named():
    scores, x, y = setup()
    seen = set()

    def ask(rows):  # right about everything that it sees again
        logits = scores(rows)
        for i, row in enumerate(rows):
            if row.tobytes() in seen:
                same = np.abs(x.reshape(SAMPLES, -1) - row.reshape(1, -1)).sum(axis=1).argmin()
                logits[i, y[same]] += 1000.0
            seen.add(row.tobytes())
        return logits

    with pytest.warns(UserWarning, match=r"the model changed its answer for sample 0, 1, 2, 3, 4, 5: undecided"):
        result = simba(ask, x, y, output="logits", randomised=False)
    assert (result.status == "undecided").all()
    assert not result.success.any()


def test_retrying_asks_again_after_a_declared_error_and_waits_twice_as_long():
    scores, x, y = setup()
    waits, made = [], []

    def unsteady(rows):
        made.append(len(rows))
        if len(made) % 3 == 0:
            rows[:] = np.nan
            raise TimeoutError("slow")
        return scores(rows)

    remote = retrying(unsteady, attempts=3, wait=0.5, sleep=waits.append)
    got = hop_skip_jump(remote, x, y, output="logits", randomised=False, max_queries=100)
    want = hop_skip_jump(scores, x, y, output="logits", randomised=False, max_queries=100)
    np.testing.assert_array_equal(got.examples, want.examples)
    np.testing.assert_array_equal(got.queries, want.queries)  # a failed call is not a query
    assert remote.retries == len(waits) > 0
    assert set(waits) == {0.5}

    def dead(rows):
        raise TimeoutError("slow")

    with pytest.raises(TimeoutError, match="slow") as caught:
        simba(retrying(dead, attempts=4, wait=1.0, sleep=waits.append), x, y, output="logits")
    assert waits[-3:] == [1.0, 2.0, 4.0]
    assert "It was the last of 4 attempts." in caught.value.__notes__


def test_retrying_lets_other_errors_pass_and_takes_a_function_of_the_attempts():
    scores, x, y = setup()
    waits = []
    with pytest.raises(ConnectionError):
        simba(retrying(raises, sleep=waits.append), x, y, output="logits")
    assert waits == []
    patient = retrying(raises, errors=(OSError,), attempts=3, wait=lambda failed: failed * 10.0, sleep=waits.append)
    with pytest.raises(ConnectionError):
        simba(patient, x, y, output="logits")
    assert waits == [10.0, 20.0]
    assert retrying(scores).randomised is None


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"function": 3}, TypeError, "function must be callable, got a int"),
        ({"errors": (3,)}, TypeError, "errors must be exception types"),
        ({"attempts": 0}, ValueError, "attempts must be at least 1, got 0"),
        ({"wait": -1.0}, ValueError, "wait must be at least 0, got -1"),
    ],
)
def test_retrying_checks_its_arguments(arguments, error, message):
    given = {"function": len} | arguments
    with pytest.raises(error, match=message):
        retrying(given.pop("function"), **given)


@pytest.mark.parametrize("confidence", [0.99, 0.4, 0.1, 0.02])
def test_the_odds_of_a_top_class_are_those_of_its_confidence(confidence):
    access = Callback(lambda x: (np.array([2, 7]), np.array([confidence, 1.0])), "top1", named=3)
    logits = access.logits(np.zeros((2, 4)))
    assert logits.shape == (2, 100)
    assert (logits.argmax(axis=1) == [2, 7]).all()
    shares = np.exp(logits[0])
    np.testing.assert_allclose(shares.sum(), 1.0)
    np.testing.assert_allclose(shares[2], confidence)
    far = Callback(lambda x: np.array([2, 1000]), "label", named=3).logits(np.zeros((2, 4)))
    assert far.shape == (2, 4)
    assert (far.argmax(axis=1) == [2, 3]).all()


@pytest.mark.parametrize("stopped", [False, True])
def test_answers_before_the_end_are_kept_within_a_request_of_several_calls(stopped):
    scores, x, y = setup()
    calls, wrong = [], []

    def ask(batch):
        calls.append(len(batch))
        if not stopped and len(calls) == 4:
            raise ConnectionError("lost")
        labels = scores(batch).argmax(axis=1)
        wrong.extend(labels != y[0])
        return labels

    options = {"eps": 3.0, "output": "label", "randomised": False, "batch_size": 8}
    if stopped:
        found = gaussian_noise(ask, x[:1], y[:1], callback=lambda _: len(calls) == 3, **options)
        assert found.stopped == "callback"
        assert found.success.all()
    else:
        with pytest.raises(ConnectionError) as caught:
            gaussian_noise(ask, x[:1], y[:1], **options)
        found = caught.value.result
        assert (scores(found.examples).argmax(axis=1) != y[:1]).all()
    assert sum(wrong) > 0
    assert 0 < found.distances["l2"][0] <= 3.0 * (1 + 1e-12)
    assert found.queries_to_success[0] > 0

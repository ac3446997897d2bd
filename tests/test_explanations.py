"""The parts of the study of visual explanations: metrics, features, sentences, the explainer and its losses."""

import dataclasses
import importlib
import itertools
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

EXAMPLES = Path(__file__).parents[1] / "examples"
PARTS = ("features", "images", "metrics", "model", "sentences", "training")


@pytest.fixture(scope="module")
def parts():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        modules = {name: importlib.import_module(f"explanations.{name}") for name in PARTS}
        yield SimpleNamespace(**modules, study=importlib.import_module("visual_explanations"))


@pytest.fixture(scope="module")
def scenes(parts):
    return parts.images.draw_scenes(parts.images.species(2, 2), 3, noise=0.05, seed=1)


def words(text):
    return tuple(text.split())


@pytest.mark.parametrize(
    ("candidate", "reference", "expected"),
    [
        ("the cat sat on the mat", "the cat sat on the mat", 1 - 0.5 / 6**3),
        ("the cat was sat on the mat", "the cat sat on the mat", 60 / 61 * (1 - 0.5 * (2 / 6) ** 3)),
        ("on the mat sat the cat", "the cat sat on the mat", 1 - 0.5 * (3 / 6) ** 3),
        ("a a", "a b", 10 * 0.5 * 0.5 / (0.5 + 9 * 0.5) * 0.5),
        ("dog", "cat", 0.0),
        ("", "cat", 0.0),
    ],
)
def test_meteor_by_hand(parts, candidate, reference, expected):
    assert parts.metrics.meteor(words(candidate), [words("nothing like it"), words(reference)]) == pytest.approx(
        expected
    )


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=4), st.lists(st.sampled_from("abc"), min_size=1, max_size=4)
)
def test_meteor_finds_the_fewest_chunks_of_all_alignments(parts, candidate, reference):
    best = (0, 0)  # matches, -chunks
    for chosen in itertools.product([None, *range(len(reference))], repeat=len(candidate)):
        used = [place for place in chosen if place is not None]
        if len(set(used)) == len(used) and all(
            p is None or reference[p] == w for p, w in zip(chosen, candidate, strict=True)
        ):
            starts = sum(
                p is not None and (i == 0 or chosen[i - 1] is None or chosen[i - 1] + 1 != p)
                for i, p in enumerate(chosen)
            )
            best = max(best, (len(used), -starts))
    matches, chunks = best[0], -best[1]
    expected = 0.0
    if matches:
        p, r = matches / len(candidate), matches / len(reference)
        expected = 10 * p * r / (r + 9 * p) * (1 - 0.5 * (chunks / matches) ** 3)
    assert parts.metrics.meteor(tuple(candidate), [tuple(reference)]) == pytest.approx(expected)


def test_cider_by_hand(parts):
    cider = parts.metrics.Cider([[words("a b")], [words("a c"), words("c d e f g")]])
    # "a" is in both documents and weighs 0; all else weighs log 2; there are no 3- and 4-grams.
    assert cider.against_all(words("a b")) == pytest.approx([10 * (1 + 1) / 4, 0])
    clipped = 10 / 4 * (0.5 + math.sqrt(0.5)) * math.exp(-1 / 72)  # "b" twice counts once, "b b" is in no document
    assert cider.against_all(words("a b b")) == pytest.approx([clipped, 0])
    one = 10 / 4 * (1 + 1)
    two = 10 / 4 * (1 / math.sqrt(5)) * math.exp(-9 / 72)  # one word of five, over the mean of two references
    assert cider.against_all(words("a c")) == pytest.approx([0, (one + two) / 2])
    assert cider.against_all(()) == pytest.approx([0, 0])


def test_class_similarity_and_rank(parts):
    scores = np.array([[4.0, 2.0, 1.0], [3.0, 3.0, 3.0]])  # documents of the classes 0, 0, 1
    similarity = parts.metrics.class_similarity(scores, np.array([0, 0, 1]))
    assert similarity.tolist() == [[3, 1], [3, 3]]
    assert parts.metrics.class_rank(similarity, np.array([1, 1])).tolist() == [2, 2]
    assert parts.metrics.class_rank(similarity, np.array([0, 0])).tolist() == [1, 2]


def test_pooling_is_the_count_sketch_of_the_outer_product(parts):
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((2, 5, 2, 3)).astype(np.float32)
    pool = parts.features.CompactBilinearPooling(5, 7, seed=3)
    expected = np.zeros((2, 7))
    for a, b in itertools.product(range(5), repeat=2):
        place = (pool.places[0, a] + pool.places[1, b]) % 7
        expected[:, place] += pool.signs[0, a] * pool.signs[1, b] * (maps[:, a] * maps[:, b]).sum(axis=(1, 2))
    np.testing.assert_allclose(pool(maps), expected, atol=1e-5)
    assert pool(maps[:0]).shape == (0, 7)
    lengths = np.linalg.norm(parts.features.normalised(pool(maps)), axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-6)


def test_pooled_features_keep_squared_inner_products_on_average(parts):
    x, y = np.random.default_rng(1).standard_normal((2, 6)).astype(np.float32)
    both = np.stack([x, y])[:, :, np.newaxis, np.newaxis]
    products = []
    for seed in range(2000):
        first, second = parts.features.CompactBilinearPooling(6, 16, seed=seed)(both)
        products.append(first @ second)
    error = np.std(products) / math.sqrt(len(products))
    assert abs(np.mean(products) - float(x @ y) ** 2) < 4 * error


def test_sentences_are_true_and_fit(parts, scenes):
    references = parts.sentences.write_sentences(scenes, 40, seed=0)
    for seen, several in zip(scenes.seen, references, strict=True):
        for sentence in several:
            assert parts.sentences.claims(sentence).items() <= seen.items()
    flat = [sentence for several in references for sentence in several]
    assert parts.sentences.decode(parts.sentences.encode(flat)) == flat
    steps = parts.sentences.ending_last(parts.sentences.encode([("the", "circle"), ("a",) * parts.sentences.STEPS]))
    assert [parts.sentences.VOCABULARY[word] for word in steps[0, -3:].argmax(axis=1)] == ["the", "circle", "."]
    assert not steps[0, :-3].any()
    assert (steps[1].argmax(axis=1) == parts.sentences.INDEX["a"]).all()
    everything = parts.images.draw_scenes(parts.images.species(3, 4), 1, noise=0.0, seed=0)
    many = parts.sentences.write_sentences(everything, 100, seed=1)
    assert max(len(sentence) for several in many for sentence in several) < parts.sentences.STEPS


def test_one_seed_draws_the_same_images(parts, scenes):
    again = parts.images.draw_scenes(parts.images.species(2, 2), 3, noise=0.05, seed=1)
    assert again.seen == scenes.seen
    np.testing.assert_array_equal(again.x, scenes.x)
    assert scenes.x.shape == (48, 3, 24, 24)
    other = parts.images.draw_scenes(parts.images.species(2, 2), 3, noise=0.05, seed=2)
    assert (other.x != scenes.x).any(axis=(1, 2, 3)).all()


def conditions(parts, count, features, classes, seed=0):
    rng = np.random.default_rng(seed)
    label = rng.dirichlet(np.ones(classes), count).astype(np.float32)
    return parts.model.Condition(rng.standard_normal((count, features)).astype(np.float32), label)


@pytest.mark.parametrize(("use_image", "use_label"), [(True, True), (True, False), (False, True)])
def test_generation_agrees_with_the_network(parts, use_image, use_label):
    explainer = parts.model.Explainer(5, 3, 8, use_image=use_image, use_label=use_label, seed=0)
    for array in explainer.network.parameters().values():
        array *= 6  # clear choices
    about = conditions(parts, 20, 5, 3)
    numbers = explainer.generate(about)
    ends = np.cumsum(numbers == parts.sentences.END, axis=1) - (numbers == parts.sentences.END)
    chosen = explainer.network.forward(explainer.inputs(numbers, about))[0].argmax(axis=2)
    assert (chosen == numbers)[ends == 0].all()
    assert (numbers[ends > 0] == parts.sentences.END).all()
    other = conditions(parts, 20, 5, 3, seed=1)
    for used, mixed in (
        (use_image, about._replace(image=other.image)),
        (use_label, about._replace(label=np.eye(3, dtype=np.float32)[other.label.argmin(axis=1)])),
    ):
        assert (explainer.generate(mixed) != numbers).any() == used


def test_samples_follow_the_probabilities(parts):
    explainer = parts.model.Explainer(2, 2, 4, use_image=True, use_label=True, seed=1)
    one = conditions(parts, 1, 2, 2)
    many = one.take(np.zeros(20000, np.int64))
    first = explainer.generate(many, np.random.default_rng(0))[:, 0]
    logits = explainer.network.forward(explainer.inputs(np.zeros((1, parts.sentences.STEPS), np.int64), one))[0][0, 0]
    expected = np.exp(logits) / np.exp(logits).sum()
    found = np.bincount(first, minlength=len(expected)) / len(first)
    assert abs(found - expected).max() < 5 * math.sqrt(expected.max() / len(first))


def test_sentence_loss_and_its_gradient(parts):
    rng = np.random.default_rng(2)
    numbers = np.array([[3, 2, 0, 0], [1, 1, 2, 3]])  # one ends at its third word, one never
    logits, weights = rng.standard_normal((2, 4, 5)), np.array([1.0, -0.5])
    losses, gradient = parts.training.sentence_loss(logits, numbers, weights)
    logs = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
    by_hand = [-logs[0, range(3), numbers[0, :3]].sum(), -logs[1, range(4), numbers[1]].sum()]
    np.testing.assert_allclose(losses, by_hand, rtol=1e-12)
    for index in np.ndindex(logits.shape):
        sides = []
        for step in (1e-6, -1e-6):
            moved = logits.copy()
            moved[index] += step
            sides.append(float((parts.training.sentence_loss(moved, numbers, weights)[0] * weights).mean()))
        assert gradient[index] == pytest.approx((sides[0] - sides[1]) / 2e-6, abs=1e-7)


def test_the_discriminative_loss_raises_the_reward(parts, scenes):
    class Likes:  # a classifier that takes every sentence with a word for one of class 1
        def logits(self, x):
            liked = x[:, :, parts.sentences.INDEX["striped"]].any(axis=1)
            return np.stack([~liked, liked], axis=1) * np.float32(4)

    about = conditions(parts, 32, 3, 2)
    numbers = parts.sentences.encode([words("this is a circle on a plain background")] * 32)
    captions = parts.training.Captions(numbers, np.arange(32), np.ones(32, np.int64))
    explainer = parts.model.Explainer(3, 2, 8, use_image=True, use_label=True, seed=0)
    loss = parts.training.Discriminative(Likes(), 300.0)
    rewards = parts.training.train(
        explainer, captions, about, epochs=60, lr=0.02, batch_size=32, discriminative=loss, seed=0
    )
    assert np.mean(rewards[-10:]) > np.mean(rewards[:10]) + 0.2


def test_one_seed_gives_the_same_numbers(parts, monkeypatch, tmp_path):
    sizes = {"colours": 1, "train_images": 16, "test_images": 4, "epochs": 2, "fine_tuning_epochs": 1}
    monkeypatch.setattr(parts.study, "QUICK", dataclasses.replace(parts.study.QUICK, **sizes))
    first, second = (parts.study.main(["--quick", "--output", str(tmp_path), "--seed", "3"]) for _ in range(2))
    assert (first["tables"], first["findings"]) == (second["tables"], second["findings"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: p.images.species(0, 2), "shapes must be at least 1, got 0"),
        (lambda p: p.images.species(2, 9), "colours must be at most 4, got 9"),
        (lambda p: p.images.draw_scenes([], 0, noise=0.1, seed=0), "per_class must be at least 1, got 0"),
        (lambda p: p.images.draw_scenes([], 1, noise=-1.0, seed=0), "noise must be at least 0"),
        (lambda p: p.sentences.encode([("a",) * 19]), "a sentence must have at most 18 words, got 19"),
        (lambda p: p.features.CompactBilinearPooling(4, 0, seed=0), "dimension must be at least 1, got 0"),
        (lambda p: p.features.CompactBilinearPooling(4, 8, seed=0)(np.zeros((1, 3, 2, 2))), "maps must have shape"),
        (
            lambda p: p.model.Explainer(4, 2, 8, use_image=False, use_label=False, seed=0),
            "conditioned on the image or the class, got neither",
        ),
        (lambda p: p.model.Explainer(4, 2, 0, use_image=True, use_label=True, seed=0), "hidden must be at least 1"),
        (lambda p: p.training.train(*small(p), epochs=0, lr=0.01), "epochs must be at least 1, got 0"),
        (lambda p: p.training.train(*small(p), epochs=1, lr=0.0), "lr must be"),
        (
            lambda p: p.training.train(*small(p), epochs=1, lr=0.01, batch_size=64),
            "there must be at least 64 sentences",
        ),
        (
            lambda p: p.training.train(
                *small(p), epochs=1, lr=0.01, discriminative=p.training.Discriminative(None, 0.0)
            ),
            "weight must be",
        ),
    ],
)
def test_bad_settings_are_errors(parts, call, message):
    with pytest.raises(ValueError, match=message):
        call(parts)


def small(parts):
    """Return an explainer, four captions and their conditions."""
    numbers = parts.sentences.encode([("a", "circle")] * 4)
    captions = parts.training.Captions(numbers, np.arange(4), np.zeros(4, np.int64))
    explainer = parts.model.Explainer(3, 2, 4, use_image=True, use_label=True, seed=0)
    return explainer, captions, conditions(parts, 4, 3, 2)

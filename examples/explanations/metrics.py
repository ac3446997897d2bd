"""How near sentences come to references: METEOR of exact matches, and CIDEr-D."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from .sentences import Sentence


def meteor(candidate: Sentence, references: Sequence[Sentence]) -> float:
    """Return the best METEOR of a sentence over its references, in [0, 1].

    With m matched words, ``P = m / words of the candidate``, ``R = m / words of the reference``,
    ``F = 10 P R / (R + 9 P)`` and the fewest chunks of words that are together in both,
    ``METEOR = F (1 - 0.5 (chunks / m)^3)``.

    References
    ----------
    Banerjee, Lavie: METEOR: an automatic metric for MT evaluation with improved correlation with human judgments. 2005.

    Differs from the paper: words match when they are equal; stems and synonyms do not.
    """
    return max(_meteor(candidate, reference) for reference in references)


@lru_cache(maxsize=2**17)
def _meteor(candidate: Sentence, reference: Sentence) -> float:
    matches = sum((Counter(candidate) & Counter(reference)).values())
    if matches == 0:
        return 0.0
    precision, recall = matches / len(candidate), matches / len(reference)
    mean = 10 * precision * recall / (recall + 9 * precision)
    return mean * (1 - 0.5 * (_fewest_chunks(candidate, reference) / matches) ** 3)


def _fewest_chunks(candidate: Sentence, reference: Sentence) -> int:
    """Return the fewest chunks over all alignments with the most matches."""
    spare = Counter(candidate) - Counter(reference)  # so many of a word's occurrences find no partner
    places = defaultdict(list)
    for place, word in enumerate(reference):
        places[word].append(place)

    @cache
    def search(at: int, used: int, before: int, skipped: tuple[str, ...]) -> float:
        if at == len(candidate):
            return 0
        word = candidate[at]
        found = [
            search(at + 1, used | 1 << place, place, skipped) + (place != before + 1)
            for place in places[word]
            if not used >> place & 1
        ]
        if skipped.count(word) < spare[word]:
            found.append(search(at + 1, used, len(reference), tuple(sorted((*skipped, word)))))
        return min(found, default=np.inf)

    return int(search(0, 0, len(reference), ()))


class Cider:
    """CIDEr-D of sentences against documents, a document being the references of an image.

    With g_n the vector of a sentence's n-grams, each counted and times log(documents / documents that have it),
    ``CIDEr-D_n(c, S) = 10 / |S| sum over s in S of exp(-(len c - len s)^2 / 72) min(g_n(c), g_n(s)) . g_n(s) /
    (|g_n(c)| |g_n(s)|)``, and CIDEr-D the mean over n = 1 to 4.

    Parameters
    ----------
    documents : sequence of sequences of sentences

    References
    ----------
    Vedantam, Zitnick, Parikh: CIDEr: consensus-based image description evaluation. CVPR 2015, equations 1 to 5.

    Differs from the paper: counts instead of their shares of the sentence, as in the authors' code.
    """

    def __init__(self, documents: Sequence[Sequence[Sentence]]) -> None:
        sentences = [sentence for document in documents for sentence in document]
        self._document = np.repeat(np.arange(len(documents)), [len(document) for document in documents])
        self._count = np.bincount(self._document, minlength=len(documents))
        self._lengths = np.array([len(sentence) for sentence in sentences])
        having = Counter(
            gram for document in documents for gram in {g for sentence in document for g in _grams(sentence)}
        )
        self._weight = {gram: np.log(len(documents) / count) for gram, count in having.items()}
        self._unseen = np.log(len(documents))
        self._norms = np.zeros((4, len(sentences)))
        postings: dict[Sentence, list[tuple[int, float]]] = defaultdict(list)
        for row, sentence in enumerate(sentences):
            for gram, weight in self._vector(sentence).items():
                postings[gram].append((row, weight))
                self._norms[len(gram) - 1, row] += weight**2
        self._norms = np.sqrt(self._norms)
        self._postings = {
            gram: (np.array([row for row, _ in found]), np.array([weight for _, weight in found]))
            for gram, found in postings.items()
        }

    def against_all(self, candidate: Sentence) -> NDArray[np.float64]:
        """Return the CIDEr-D of a sentence against every document, (D,), in [0, 10]."""
        common, norms = np.zeros_like(self._norms), np.zeros(4)
        for gram, weight in self._vector(candidate).items():
            norms[len(gram) - 1] += weight**2
            if gram in self._postings:
                rows, weights = self._postings[gram]
                common[len(gram) - 1, rows] += np.minimum(weight, weights) * weights
        product = np.sqrt(norms)[:, np.newaxis] * self._norms
        cosine = np.divide(common, product, out=np.zeros_like(common), where=product > 0).mean(axis=0)
        scores = 10 * cosine * np.exp(-((len(candidate) - self._lengths) ** 2) / 72)
        return np.bincount(self._document, scores, minlength=len(self._count)) / self._count

    def _vector(self, sentence: Sentence) -> dict[Sentence, float]:
        return {gram: count * self._weight.get(gram, self._unseen) for gram, count in Counter(_grams(sentence)).items()}


def class_similarity(scores: NDArray[np.float64], label: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean over every class's documents, (N, K), of scores (N, D) against documents of classes (D,)."""
    members = np.eye(int(label.max()) + 1)[label]
    return scores @ members / members.sum(axis=0)


def class_rank(similarity: NDArray[np.float64], label: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the place, from 1 on, of each sentence's class (N,) among all by similarity (N, K); equals come before."""
    own = similarity[np.arange(len(label)), label]
    return (similarity >= own[:, np.newaxis]).sum(axis=1)


def _grams(sentence: Sentence) -> list[Sentence]:
    return [sentence[at : at + n] for n in range(1, 5) for at in range(len(sentence) - n + 1)]

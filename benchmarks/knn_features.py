"""Exact neighbours of real features: MNIST's pixels and the layers of Carlini and Wagner's network, and LID of batches.

Usage: python benchmarks/knn_features.py FOLDER [--quick] [--network FILE] [--threads 1] [--layers input 7 ...]

FOLDER has MNIST's four IDX files. Without --network one is trained for an epoch. Peers are timed on some of the queries
and their times scaled up; where they have less than all of the reference in reach of memory, nothing is scaled. Times
are the best of `--rounds`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

import advcore
from advcore import data, models, nn, ops

Array = NDArray[Any]
K = 20


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--quick", action="store_true", help="2,000 queries x 10,000 and few layers")
    parser.add_argument("--network", help="a file of Network.save")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--layers", nargs="*")
    parser.add_argument("--peer-queries", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    advcore.set_num_threads(options.threads)
    mnist = data.idx(options.folder)
    network = _network(options.network, mnist, options.quick)
    size = (2_000, 10_000) if options.quick else (10_000, 60_000)
    quick = ["input", "pool1", "relu6"] if "pool1" in network.layers else ["input", "4", "9", "11"]
    names = options.layers or (quick if options.quick else ["input", *network.layers])
    print(
        f"{size[0]} queries x {size[1]}, k {K}, {options.threads} threads; seconds, peers scaled up from some queries"
    )
    print("| layer | width | index | search | knn | faiss | scikit-learn | torch | ratio |")
    for name in names:
        queries = _features(network, mnist.x_test[: size[0]], name)
        reference = _features(network, mnist.x_train[: size[1]], name)
        print(_row(name, queries, reference, options), flush=True)
    _minibatches(network, mnist, options)


def _network(file: str | None, mnist: data.Dataset, quick: bool) -> nn.Network:
    if file:
        return nn.Network.load(file)
    network = models.carlini_mnist()
    images = 6_000 if quick else 60_000
    nn.fit(network, mnist.x_train[:images], mnist.y_train[:images], epochs=1)
    return network


def _features(network: nn.Network, images: Array, name: str) -> Array:
    """Return a layer's activations, (N, width)."""
    if name == "input":
        return images.reshape(len(images), -1)
    parts = (network.activations(images[i : i + 500], [name])[name] for i in range(0, len(images), 500))
    first = next(parts).reshape(min(500, len(images)), -1)
    result = np.empty((len(images), first.shape[1]), first.dtype)
    result[: len(first)] = first
    for i, part in enumerate(parts, 1):
        result[500 * i : 500 * i + len(part)] = part.reshape(len(part), -1)
    return result


def _row(name: str, queries: Array, reference: Array, options: argparse.Namespace) -> str:
    some = queries[:: max(1, len(queries) // options.peer_queries)]
    scale = len(queries) / len(some)
    making, searching, found = _index(queries, reference, options.rounds)
    once, again = _seconds(lambda: ops.knn(queries, reference, K), options.rounds)
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))
    peers = {}
    for peer, call in _peers(some, reference, options.threads):
        seconds, distances = _seconds(call, options.rounds)
        peers[peer] = seconds * scale
        np.testing.assert_allclose(found[0][:: max(1, len(queries) // options.peer_queries)], distances, rtol=1e-2)
    best = min(peers.values())
    numbers = [making, searching, once, *peers.values()]
    return f"| {name} | {queries.shape[1]} | " + " | ".join(f"{x:.2f}" for x in numbers) + f" | {best / once:.1f} |"


def _index(queries: Array, reference: Array, rounds: int) -> tuple[float, float, tuple[Array, Array]]:
    making, index = _seconds(lambda: ops.KnnIndex(reference), 1)
    searching, found = _seconds(lambda: index.search(queries, K), rounds)
    return making, searching, found


def _peers(queries: Array, reference: Array, threads: int) -> Iterator[tuple[str, Callable[[], Array]]]:
    import faiss
    import torch
    from sklearn.neighbors import NearestNeighbors
    from threadpoolctl import threadpool_limits

    faiss.omp_set_num_threads(threads)
    torch.set_num_threads(threads)
    flat = faiss.IndexFlatL2(reference.shape[1])
    flat.add(reference)
    yield "faiss", lambda: np.sqrt(np.maximum(flat.search(queries, K)[0], 0))
    flat.reset()
    brute = NearestNeighbors(n_neighbors=K, algorithm="brute").fit(reference)
    with threadpool_limits(threads):
        yield "scikit-learn", lambda: brute.kneighbors(queries)[0]
    q, r = torch.from_numpy(queries), torch.from_numpy(reference)
    yield "torch", lambda: torch.topk(torch.cdist(q, r), K, largest=False)[0].numpy()


def _minibatches(network: nn.Network, mnist: data.Dataset, options: argparse.Namespace) -> None:
    """Time LID over every layer, from images on: of 100 images among themselves, and with noisy versions of them."""
    clean = mnist.x_test[:100]
    rng = np.random.default_rng(0)
    noisy = [np.clip(clean + rng.normal(0, s, clean.shape), 0, 1).astype(np.float32) for s in (0.1, 0.3)]
    for versions in ([clean], [clean, *noisy]):
        _minibatch(network, versions, options)


def _minibatch(network: nn.Network, versions: list[Array], options: argparse.Namespace) -> None:
    import torch
    from scipy.spatial.distance import cdist

    torch.set_num_threads(options.threads)
    module = network.to_torch()
    names = list(network.layers)

    def published() -> Array:
        caught: list[list[Array]] = []

        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            caught[-1].append(output.flatten(1).numpy())

        handles = [dict(module.named_modules())[name].register_forward_hook(hook) for name in names]
        with torch.inference_mode():
            for images in versions:
                caught.append([images.reshape(100, -1)])
                module(torch.from_numpy(images))
        for handle in handles:
            handle.remove()
        return np.array([[_published_lid(q, r, cdist) for q, r in zip(c, caught[0], strict=True)] for c in caught])

    def ours() -> Array:
        caught = []
        for images in versions:
            layers = network.activations(images, names)
            caught.append([images.reshape(100, -1), *(layers[name].reshape(100, -1) for name in names)])
        own = np.arange(100)
        return np.array(
            [
                [ops.lid(q, r, K, exclude=own if c is caught[0] else None) for q, r in zip(c, caught[0], strict=True)]
                for c in caught
            ]
        )

    best_ours, best_theirs = [], []
    for _ in range(options.rounds):
        seconds, mine = _seconds(ours, 3)
        best_ours.append(seconds)
        seconds, theirs = _seconds(published, 1)
        best_theirs.append(seconds)
    np.testing.assert_allclose(mine[0], theirs[0], rtol=1e-3)  # of other versions they drop the nearest, too
    print(
        f"LID, {len(versions)} x 100 images, {1 + len(names)} layers: {1e3 * min(best_ours):.1f} ms, "
        f"published {1e3 * min(best_theirs):.0f} ms, ratio {min(best_theirs) / min(best_ours):.1f}"
    )


def _published_lid(queries: Array, reference: Array, cdist: Any) -> Array:
    """Return LID by the paper's procedure: all distances, each row sorted without its first, a mean of logarithms."""
    distances = np.apply_along_axis(np.sort, axis=1, arr=cdist(queries, reference))[:, 1 : K + 1]
    return np.apply_along_axis(lambda v: -K / np.sum(np.log(v / v[-1])), axis=1, arr=distances)


def _seconds(call: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    best = np.inf
    for _ in range(rounds):
        start = time.perf_counter()
        result = call()
        best = min(best, time.perf_counter() - start)
    return best, result


if __name__ == "__main__":
    main()

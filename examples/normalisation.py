"""Batch, group and layer normalisation against the batch size: where the small batches' statistics begin to cost.

Usage: python examples/normalisation.py FOLDER --output OUT, FOLDER with MNIST's four IDX files.
With --quick it takes scikit-learn's 8 x 8 digits and no folder, in seconds.
Writes OUT/normalisation.json, .md and .png.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from study import Report, arguments, load, percent

from advcore import nn

NORMS: dict[str, Callable[[int], nn.Layer]] = {
    "batch": nn.BatchNorm,
    "group": lambda maps: nn.GroupNorm(4, maps),
    "layer": lambda maps: nn.GroupNorm(1, maps),  # over (C, H, W), with a factor and an offset a map
}


def residual_network(
    shape: Sequence[int], classes: int, norm: Callable[[int], nn.Layer], maps: Sequence[int], seed: int
) -> nn.Network:
    """Build a residual network: a stem on 4 x 4 patches, then a block of two normalised 3x3 convolutions a stage."""
    patch = shape[-1] // 4
    layers: dict[str, nn.Layer] = {"stem": nn.Conv2d(shape[0], maps[0], patch, stride=patch, bias=False)}
    layers |= {"stem.norm": norm(maps[0]), "stem.relu": nn.ReLU()}
    wiring, before, inputs = {}, "stem.relu", maps[0]
    for stage, wide in enumerate(maps):
        name, stride = f"stage{stage}", 2 if stage else 1
        layers |= {
            f"{name}.conv1": nn.Conv2d(inputs, wide, 3, stride=stride, padding=1, bias=False),
            f"{name}.norm1": norm(wide),
            f"{name}.relu1": nn.ReLU(),
            f"{name}.conv2": nn.Conv2d(wide, wide, 3, padding=1, bias=False),
            f"{name}.norm2": norm(wide),
        }
        shortcut = before
        if stage:
            shortcut = f"{name}.shortcut"
            layers |= {shortcut: nn.Conv2d(inputs, wide, 1, stride=stride, bias=False)}
            wiring[shortcut] = (before,)
        layers |= {f"{name}.add": nn.Add(), f"{name}.relu": nn.ReLU()}
        wiring[f"{name}.add"] = (f"{name}.norm2", shortcut)
        before, inputs = f"{name}.relu", wide
    layers |= {"mean": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "logits": nn.Linear(inputs, classes)}
    return nn.Network(layers, wiring=wiring, seed=seed)


def use_statistics_of(network: nn.Network, x: Any) -> None:
    """Replace the running statistics by those of these samples, as one batch."""
    for layer in network.layers.values():
        if isinstance(layer, nn.BatchNorm):
            layer.momentum = 1.0
    network.forward(x, np.random.default_rng(0))


def main(given: list[str] | None = None) -> dict[str, Any]:
    """Run the study that the command line asks for and write what it found."""
    chosen = arguments(__doc__, given)
    digits, seed = load(chosen), chosen.seed
    samples, epochs, runs, maps = (400, 4, 1, (8, 16, 32)) if chosen.quick else (2000, 6, 2, (8, 16, 32))
    batches, rate = (2, 32) if chosen.quick else (2, 4, 8, 16, 32), 0.1
    x, y = digits.x_train[:samples], digits.y_train[:samples]
    report = Report(
        "normalisation",
        "Normalisation against batch size",
        {
            "data": digits.name,
            "training samples": samples,
            "network": f"residual on 4 x 4 patches, two 3x3 convolutions at each of {maps} maps, the last on 1 x 1",
            "groups": 4,
            "epochs": epochs,
            "runs": runs,
            "seed": seed,
            "optimizer": f"SGD, momentum 0.9, weight decay 1e-4, lr {rate} x batch size / 32, cosine schedule",
        },
        "Wu and He (2018) train ResNet-50 on ImageNet with 32 groups, on several GPUs with the batch size a GPU; here "
        "a small network, a subset of small images, 4 groups, and the batch size is that of the update too. Its last "
        "stage normalises a map over one value an image, theirs over 49: what a small batch costs is exaggerated.",
    )

    def train(name: str, batch: int, own: int) -> nn.Network:
        network = residual_network(digits.input_shape, digits.classes, NORMS[name], maps, own)
        optimizer = nn.SGD(rate * batch / 32, momentum=0.9, weight_decay=1e-4)
        nn.fit(network, x, y, epochs=epochs, batch_size=batch, optimizer=optimizer, schedule="cosine", seed=own)
        return network

    def error(network: nn.Network) -> float:
        return percent(1 - nn.accuracy(network, digits.x_test, digits.y_test))

    exact = "batch, statistics of all"
    curves: dict[str, list[list[float]]] = {name: [] for name in (*NORMS, exact)}
    for batch in batches:
        for name in NORMS:
            networks = report.timed(
                f"{name}, {batch}", lambda b=batch, n=name: [train(n, b, seed + run) for run in range(runs)]
            )
            curves[name].append([error(network) for network in networks])
            if name == "batch":
                for network in networks:
                    use_statistics_of(network, x)
                curves[exact].append([error(network) for network in networks])

    def by_size(statistic: Callable[[list[float]], Any]) -> list[dict[str, Any]]:
        def of(errors: list[list[float]]) -> dict[str, float]:
            return {str(size): round(float(statistic(runs)), 2) for size, runs in zip(batches, errors, strict=True)}

        return [{"normalisation": name} | of(errors) for name, errors in curves.items()]

    report.table("Test error by batch size, %: mean over the runs", by_size(np.mean))
    report.table("Its standard deviation over the runs, points", by_size(np.std))
    rows = by_size(np.mean)
    by_batch, by_group, by_layer, relieved = ({b: row[str(b)] for b in batches} for row in rows)
    better = [b for b in batches if by_batch[b] < by_group[b]]
    crossing = f"from {min(better)} on" if better else "nowhere"
    first, last = batches[0], batches[-1]
    report.finding(
        f"Batch normalisation is ahead of group normalisation {crossing}: at {first} its error is {by_batch[first]}% "
        f"against {by_group[first]}% (layer: {by_layer[first]}%), at {last} {by_batch[last]}% against "
        f"{by_group[last]}%. With the statistics of all training samples in place of the running ones it is "
        f"{relieved[first]}% at {first}: the rest of what small batches cost is the training's."
    )

    def draw(axes: Any) -> None:
        for name, errors in curves.items():
            mean, deviation = np.mean(errors, axis=1), np.std(errors, axis=1)
            style = {"marker": "o", "capsize": 3, "linestyle": ":" if name == exact else "-"}
            axes.errorbar(batches, mean, yerr=deviation, label=name, **style)
        axes.set(xlabel="batch size", ylabel="test error, %", xscale="log")
        axes.set_xticks(batches, list(map(str, batches)))
        axes.minorticks_off()
        axes.legend()

    return report.write(chosen.output, draw)


if __name__ == "__main__":
    main()

"""What ``advcore train`` does: a model of advcore.models, trained on DATA, plainly or on adversarial examples."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np

from advcore import data, models, nn
from advcore.defenses import adversarial_training
from advcore.evaluation import sources

PGD_STEPS = 7


def train(
    source: str, name: str, *, epochs: int, batch_size: int, learning_rate: float, eps: float | None, seed: int
) -> tuple[nn.Network, str]:
    """Return a trained network, and a sentence on how well it does.

    Raises
    ------
    OSError, ValueError
        If the data cannot be read, there is no such model, or it does not take images of that shape.
    """
    functions = dict(inspect.getmembers(models, inspect.isfunction))
    if name not in functions:
        raise ValueError(f"--model must be one of {', '.join(sorted(functions))}, got {name}")
    found = _dataset(source)
    x, y = found.x_train, found.y_train
    there = np.unique(y)
    if len(there) < 2:
        only = f" of class {there[0]}" if len(there) else ""
        raise ValueError(f"DATA must have images of at least two classes, got {len(x)} images{only}")
    try:
        network: nn.Network = functions[name](x.shape[1:], found.classes, seed=seed)
        network.output_shape(x.shape[1:])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} does not take images of shape {x.shape[1:]}: {error}") from error
    options: dict[str, Any] = {"batch_size": batch_size, "optimizer": nn.Adam(learning_rate), "seed": seed}
    if eps is None:
        nn.fit(network, x, y, epochs=epochs, progress=True, **options)
    else:
        adversarial_training(network, x, y, eps=eps, epochs=epochs, steps=PGD_STEPS, warmup=0.5, **options)
    test = (found.x_test, found.y_test) if len(found.x_test) else (x, y)
    which = "test" if len(found.x_test) else "training"
    return network, f"{name}: {nn.accuracy(network, *test):.1%} of {len(test[0])} {which} images right"


def _dataset(source: str) -> data.Dataset:
    path = Path(source)
    if source == "digits" and not path.exists():
        return data.digits()
    if path.suffix == ".npz" and path.exists():
        return data.npz(path)
    if path.is_dir() and any("idx3" in entry.name for entry in path.iterdir()):
        return data.idx(path)
    found = sources.samples(source)
    return data.Dataset(found.x, found.y, found.x[:0], found.y[:0], found.name, 1 + int(found.y.max(initial=0)))

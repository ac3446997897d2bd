"""Training: minibatches in a seeded order, the mean loss of a batch, one update a batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from advcore import _check
from advcore._check import Array
from advcore.nn._watch import by_the_network
from advcore.nn.losses import Loss, loss_function
from advcore.nn.network import Network
from advcore.nn.optimizers import Adam, Optimizer, clip_gradients
from advcore.nn.schedules import Schedule, schedule_function


@dataclass(frozen=True)
class Epoch:
    """What one epoch of training gave.

    Attributes
    ----------
    number : int
        From 1.
    loss, accuracy : float
        Means over the training samples as they were met, in training mode.
    validation_accuracy : float or None
        After the epoch, in evaluation mode; None without validation data.
    seconds : float
        Of training and validation.
    """

    number: int
    loss: float
    accuracy: float
    validation_accuracy: float | None
    seconds: float


@dataclass
class History:
    """The epochs of one training, in order."""

    epochs: list[Epoch] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Return the time of all epochs."""
        return sum(epoch.seconds for epoch in self.epochs)


def accuracy(network: Network, x: Array, y: object) -> float:
    """Return the share of the samples x (N, ...) that the network gives their labels y (N,); N >= 1."""
    x, labels = _samples(network, "x", x, "y", y)
    return float(np.mean(network.predict(x) == labels))


def fit(
    network: Network,
    x: Array,
    y: object,
    *,
    epochs: int,
    batch_size: int = 128,
    optimizer: Optimizer | None = None,
    loss: str | Loss = "cross_entropy",
    schedule: str | Schedule = "constant",
    clip_norm: float | None = None,
    seed: int = 0,
    validation: tuple[Array, object] | None = None,
    progress: bool = False,
    callback: Callable[[Epoch], object] | None = None,
) -> History:
    """Train a network in place.

    The same arguments give the same parameters, bit for bit, for any number of threads.

    Parameters
    ----------
    network : Network
    x : array of the network's type, (N, ...)
        Finite; N >= 1.
    y : int array, (N,)
        Labels in [0, K).
    epochs : int
        Passes over the samples, at least 1.
    batch_size : int
        Samples an update, at least 1; the last batch of an epoch takes what is left. A single sample that is left joins
        the batch before it where the network has layers that normalise by their batch.
    optimizer : Optimizer, optional
        Adam with its defaults unless given. It keeps its state: pass it again to go on.
    loss : str or callable
        A name in ``advcore.nn.losses.LOSSES``, or a function (logits, labels) -> (loss (N,), gradient (N, K)).
        The mean over the batch is minimised.
    schedule : str or callable
        "constant", "cosine" or a function of the share of all updates that are done, in [0, 1): the factor of the
        optimizer's learning rate.
    clip_norm : float, optional
        Positive: where the L2 norm of all parameters' gradients together is larger, they are scaled down to it.
    seed : int
        Of the order of the samples and of dropout.
    validation : pair (x, y), optional
        Classified after every epoch.
    progress : bool
        Show a progress bar on the terminal.
    callback : callable, optional
        Called with every Epoch when it is over.

    Returns
    -------
    History

    Raises
    ------
    TypeError
        If an argument is of another type.
    ValueError
        If a shape, label or option does not fit, or x is not finite: the first such sample is named.
    FloatingPointError
        If the loss becomes NaN or infinite.
    """
    network = _check.instance("network", network, Network)
    x, labels = _samples(network, "x", x, "y", y)
    checked = None if validation is None else _validation(network, validation)
    epochs = _check.integer("epochs", epochs, minimum=1)
    batch_size = _check.integer("batch_size", batch_size, minimum=1)
    seed = _check.integer("seed", seed, minimum=0)
    optimizer = Adam() if optimizer is None else _check.instance("optimizer", optimizer, Optimizer)
    function, factor = loss_function(loss), schedule_function(schedule)
    clip_norm = None if clip_norm is None else _check.real("clip_norm", clip_norm, above=0.0)
    progress = _check.flag("progress", progress)

    history = History()
    with by_the_network():
        parameters = network.parameters()
    updates_an_epoch = -(-len(x) // batch_size)
    if network.buffers() and len(x) % batch_size == 1 and updates_an_epoch > 1:
        updates_an_epoch -= 1  # a batch of one sample may have no variance
    updates = epochs * updates_an_epoch
    with _progress_bar(updates, progress) as advance:
        for number in range(1, epochs + 1):
            start = time.perf_counter()
            order = np.random.default_rng((seed, number)).permutation(len(x))
            total_loss, correct = 0.0, 0
            for step in range(updates_an_epoch):
                begin = step * batch_size
                batch = order[begin : begin + batch_size] if step + 1 < updates_an_epoch else order[begin:]
                logits, saved = network.forward(x[batch], np.random.default_rng((seed, number, step)))
                values, gradient = function(logits, labels[batch])
                batch_loss = float(values.sum(dtype=np.float64))
                if not np.isfinite(batch_loss):
                    raise FloatingPointError(
                        f"the loss became {batch_loss} in epoch {number}, batch {step}: try a smaller learning rate"
                    )
                gradient *= 1 / len(batch)
                _, gradients = network.backward(saved, gradient, need_input=False, need_parameters=True)
                if clip_norm is not None:
                    clip_gradients(gradients, clip_norm)
                done = (number - 1) * updates_an_epoch + step
                optimizer.step(parameters, gradients, _check.real("schedule", factor(done / updates), minimum=0.0))
                network.parameters_changed()
                total_loss += batch_loss
                correct += int(np.sum(logits.argmax(axis=1) == labels[batch]))
                advance(number, total_loss / (begin + len(batch)))
            validation_accuracy = None if checked is None else accuracy(network, *checked)
            epoch = Epoch(
                number, total_loss / len(x), correct / len(x), validation_accuracy, time.perf_counter() - start
            )
            history.epochs.append(epoch)
            if callback is not None:
                callback(epoch)
    return history


def _samples(network: Network, x_name: str, x: object, y_name: str, y: object) -> tuple[Array, NDArray[np.int64]]:
    """Return samples and labels that fit the network and each other."""
    samples = _check.array(x_name, x, dtype=network.dtype, min_ndim=2)
    if len(samples) == 0:
        raise ValueError(f"{x_name} must have at least 1 sample, got shape {samples.shape}")
    _check.finite(x_name, samples)
    output_shape = network.output_shape(samples.shape[1:])
    if len(output_shape) != 1:
        raise ValueError(f"the network must give one row of logits a sample, got {output_shape}")
    labels = _check.integers(y_name, y, shape=(len(samples),), minimum=0, maximum=output_shape[0] - 1)
    return samples, labels


def _validation(network: Network, validation: object) -> tuple[Array, NDArray[np.int64]]:
    if not isinstance(validation, (tuple, list)) or len(validation) != 2:
        raise TypeError(f"validation must be a pair (x, y), got {type(validation).__name__}")
    return _samples(network, "validation[0]", validation[0], "validation[1]", validation[1])


@contextmanager
def _progress_bar(steps: int, shown: bool) -> Iterator[Callable[[int, float], None]]:
    """Yield what is called after every step with the epoch's number and its loss so far."""
    if not shown:
        yield lambda number, loss: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task("training", total=steps)
        yield lambda number, loss: bar.update(task, advance=1, description=f"epoch {number}, loss {loss:.4f}")

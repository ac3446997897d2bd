"""Training: minibatches in a seeded order, the mean loss of a batch, one update a batch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advcore import _check
from advcore._check import Array
from advcore.nn._watch import by_the_network
from advcore.nn.batch import Batch
from advcore.nn.checkpoint import Checkpoint, Progress
from advcore.nn.history import Epoch, History
from advcore.nn.losses import BINARY, REGRESSION, Loss, loss_function
from advcore.nn.network import Network
from advcore.nn.optimizers import Adam, Optimizer, clip_gradients
from advcore.nn.schedules import Schedule, schedule_function

Perturb = Callable[[Network, Batch], Array | tuple[Array, Array | NDArray[np.int64]]]


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
    perturb: Perturb | None = None,
    seed: int = 0,
    validation: tuple[Array, object] | None = None,
    patience: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_steps: int | None = None,
    progress: bool = False,
    callback: Callable[[Epoch], object] | None = None,
) -> History:
    """Train a network in place.

    The same arguments give the same parameters, bit for bit, for any number of threads, in one go or in several with
    a checkpoint (within one version and instruction-set level).

    Parameters
    ----------
    network : Network
    x : array of the network's type, (N, ...)
        Finite; N >= 1.
    y : int array, (N,), or array of the network's type, (N, K)
        Labels in [0, K), or what else the loss takes: soft labels, numbers, signs.
    epochs : int
        Passes over the samples, at least 1.
    batch_size : int
        Samples an update, at least 1; the last batch of an epoch takes what is left. A single sample that is left joins
        the batch before it where the network has layers that normalise by their batch.
    optimizer : Optimizer, optional
        Adam with its defaults unless given. It keeps its state: pass it again to go on.
    loss : str or callable
        A name in ``advcore.nn.losses.LOSSES``, or a function (logits, target) -> (loss (N,), gradient (N, K)).
        The mean over the batch is minimised.
    schedule : str or callable
        "constant", "cosine", one of ``advcore.nn.schedules``, or a function of the share of all updates that are done,
        in [0, 1): the factor of the optimizer's learning rate.
    clip_norm : float, optional
        Positive: where the L2 norm of all parameters' gradients together is larger, they are scaled down to it.
    perturb : callable, optional
        A function (network, ``nn.Batch``) -> array like the batch's x, which is trained on in its place; or a pair
        (x, y) of any number of samples and their targets. The network is the one in training, to be asked for logits
        and input gradients (in evaluation mode). To repeat itself, and to go on from a checkpoint, the function must
        depend on nothing else.
    seed : int
        Of the order of the samples and of dropout.
    validation : pair (x, y), optional
        Samples and labels, classified after every epoch.
    patience : int, optional
        Stop after so many epochs, at least 1, without a higher validation accuracy, and end with the parameters of the
        best epoch (the first one among equals), stopped early or not. Needs validation.
    checkpoint : path, optional
        A file that takes the whole state after every epoch. Where it is there already the training goes on from it: the
        other arguments must be as they were, the network and the optimizer as they were at the start.
    checkpoint_steps : int, optional
        Write it after so many updates, too.
    progress : bool
        Show a progress bar on the terminal.
    callback : callable, optional
        Called with every Epoch when it is over, before the checkpoint is written.

    Returns
    -------
    History

    Raises
    ------
    TypeError
        If an argument is of another type.
    ValueError
        If a shape, label or option does not fit, x is not finite (the first such sample is named), or the checkpoint is
        broken or of another training.
    OSError
        If the checkpoint cannot be read or written.
    FloatingPointError
        If the loss becomes NaN or infinite.
    """
    network = _check.instance("network", network, Network)
    optimizer = Adam() if optimizer is None else _check.instance("optimizer", optimizer, Optimizer)
    numbers_only = loss in REGRESSION or loss in BINARY if isinstance(loss, str) else False
    x, targets = _samples(network, "x", x, "y", y, numbers=True, labels=not numbers_only)
    task = _Task(
        network=network,
        x=x,
        targets=targets,
        classes=not numbers_only,
        optimizer=optimizer,
        loss=loss_function(loss),
        factor=schedule_function(schedule),
        clip_norm=None if clip_norm is None else _check.real("clip_norm", clip_norm, above=0.0),
        perturb=perturb,
        epochs=_check.integer("epochs", epochs, minimum=1),
        batch_size=_check.integer("batch_size", batch_size, minimum=1),
        seed=_check.integer("seed", seed, minimum=0),
        validation=None if validation is None else _validation(network, validation),
        patience=None if patience is None else _check.integer("patience", patience, minimum=1),
    )
    if perturb is not None and not callable(perturb):
        raise TypeError(f"perturb must be a function, got {type(perturb).__name__}")
    if patience is not None and validation is None:
        raise ValueError("patience needs validation data, got None")
    if checkpoint_steps is not None:
        checkpoint_steps = _check.integer("checkpoint_steps", checkpoint_steps, minimum=1)
        if checkpoint is None:
            raise ValueError("checkpoint_steps needs a checkpoint, got None")
    shown = _check.flag("progress", progress)
    arguments = {
        **{"x": x, "y": targets, "epochs": task.epochs, "batch_size": task.batch_size, "loss": loss},
        **{"schedule": schedule, "clip_norm": task.clip_norm, "seed": task.seed},
        **{"validation": task.validation, "patience": task.patience},
        **({} if perturb is None else {"perturb": perturb}),
    }
    file = (
        None if checkpoint is None else Checkpoint(_check.path("checkpoint", checkpoint), network, optimizer, arguments)
    )
    return task.run(file, checkpoint_steps, shown, callback)


@dataclass(kw_only=True)
class _Task:
    """A training whose arguments have been checked."""

    network: Network
    x: Array
    targets: Array | NDArray[np.int64]
    classes: bool  # whether the targets are classes or weights of classes
    optimizer: Optimizer
    loss: Loss
    factor: Schedule
    clip_norm: float | None
    perturb: Perturb | None
    epochs: int
    batch_size: int
    seed: int
    validation: tuple[Array, NDArray[np.int64]] | None
    patience: int | None

    def run(
        self, file: Checkpoint | None, every: int | None, shown: bool, callback: Callable[[Epoch], object] | None
    ) -> History:
        """Train from the start, or from where the checkpoint is."""
        at = Progress() if file is None else file.load()
        with by_the_network():
            parameters = self.network.parameters()
        steps = self._updates_an_epoch()
        with _progress_bar(self.epochs * steps, len(at.history.epochs) * steps + at.step, shown) as advance:
            while len(at.history.epochs) < self.epochs and not self._out_of_patience(at.history):
                number, start = len(at.history.epochs) + 1, time.perf_counter() - at.seconds
                order = np.random.default_rng((self.seed, number)).permutation(len(self.x))
                while at.step < steps:
                    end = len(order) if at.step + 1 == steps else (at.step + 1) * self.batch_size
                    batch = order[at.step * self.batch_size : end]
                    share = ((number - 1) * steps + at.step) / (self.epochs * steps)
                    self._update(at, parameters, number, batch, share)
                    advance(number, at.loss / min(at.step * self.batch_size, len(order)))
                    if file is not None and every is not None and at.step % every == 0 and at.step < steps:
                        at.seconds = time.perf_counter() - start
                        file.save(at)
                validated = None if self.validation is None else accuracy(self.network, *self.validation)
                classed = len(order) - at.classless if self.classes else 0
                shares = at.loss / len(order), at.correct / classed if classed else None
                at.history.epochs.append(Epoch(number, *shares, validated, time.perf_counter() - start))
                at.step, at.loss, at.correct, at.classless, at.seconds = 0, 0.0, 0, 0, 0.0
                if self.patience is not None and at.history.best is at.history.epochs[-1]:
                    at.best = self.network.state_dict()
                if callback is not None:
                    callback(at.history.epochs[-1])
                if file is not None:
                    file.save(at)
        if at.best is not None:
            self.network.load_state_dict(at.best)
        return at.history

    def _updates_an_epoch(self) -> int:
        whole, left = divmod(len(self.x), self.batch_size)
        with by_the_network():  # a batch of one sample may have no variance: it joins the one before
            joined = left == 1 and whole > 0 and bool(self.network.buffers())
        return whole + (left > 0 and not joined)

    def _update(
        self,
        at: Progress,
        parameters: dict[str, Array],
        number: int,
        batch: NDArray[np.int64],
        share: float,
    ) -> None:
        """Make one update and count it."""
        x, targets = self.x[batch], self.targets[batch]
        if self.perturb is not None:
            x, targets = self._perturbed(self.perturb, Batch(x, targets, batch, number, share, self.seed))
        logits, saved = self.network.forward(x, np.random.default_rng((self.seed, number, at.step)))
        name, given = "loss(logits, targets)", self.loss(logits, targets)
        values, gradient = _check.pair(name, given)
        values = _check.array(f"{name}[0]", values, shape=logits.shape[:1])
        gradient = _check.array(f"{name}[1]", gradient, dtype=logits.dtype, shape=logits.shape)
        total = float(values.sum(dtype=np.float64))
        if not np.isfinite(total):
            raise FloatingPointError(
                f"the loss became {total} in epoch {number}, batch {at.step}: try a smaller learning rate"
            )
        _check.finite(f"{name}[1]", gradient)
        _, gradients = self.network.backward(saved, gradient * (1 / len(x)), need_input=False, need_parameters=True)
        if self.clip_norm is not None:
            clip_gradients(gradients, self.clip_norm)
        factor = _check.real("schedule", self.factor(share), minimum=0.0)
        self.optimizer.step(parameters, gradients, factor)
        self.network.parameters_changed()
        at.step += 1
        weight = len(batch) / len(x)  # 1 unless the batch was replaced by one of another size
        at.loss += total * weight
        labels = targets if targets.ndim == 1 else targets.argmax(axis=1)
        known = np.ones(len(x), np.bool_) if targets.ndim == 1 else (targets > 0).any(axis=1)
        at.correct += int(np.count_nonzero(known & (logits.argmax(axis=1) == labels))) * weight
        at.classless += int(np.count_nonzero(~known)) * len(batch) / len(x)  # exact where no row has a class

    def _perturbed(self, perturb: Perturb, batch: Batch) -> tuple[Array, Array | NDArray[np.int64]]:
        """Return what is trained on in a batch's place."""
        name, given = "perturb(network, batch)", perturb(self.network, batch)
        if not isinstance(given, tuple):
            x = _check.array(name, given, dtype=batch.x.dtype, shape=batch.x.shape)
            _check.finite(name, x)
            return x, batch.y
        x, y = _check.pair(name, given)
        x = _check.array(f"{name}[0]", x, dtype=batch.x.dtype, shape=(None, *batch.x.shape[1:]))
        return _samples(self.network, f"{name}[0]", x, f"{name}[1]", y, numbers=True, labels=self.classes)

    def _out_of_patience(self, history: History) -> bool:
        best = history.best
        return self.patience is not None and best is not None and len(history.epochs) - best.number >= self.patience


def _samples(
    network: Network, x_name: str, x: object, y_name: str, y: object, *, numbers: bool = False, labels: bool = True
) -> tuple[Array, Array | NDArray[np.int64]]:
    """Return samples and targets that fit the network and each other: labels, or an array like the logits."""
    samples = _check.array(x_name, x, dtype=network.dtype, min_ndim=2)
    if len(samples) == 0:
        raise ValueError(f"{x_name} must have at least 1 sample, got shape {samples.shape}")
    _check.finite(x_name, samples)
    output_shape = network.output_shape(samples.shape[1:])
    if len(output_shape) != 1:
        raise ValueError(f"the network must give one row of logits a sample, got {output_shape}")
    if not labels or (numbers and isinstance(y, np.ndarray) and y.dtype.kind == "f" and y.ndim == 2):
        targets = _check.array(y_name, y, dtype=network.dtype, shape=(len(samples), *output_shape))
        _check.finite(y_name, targets)
        return samples, targets
    return samples, _check.integers(y_name, y, shape=(len(samples),), minimum=0, maximum=output_shape[0] - 1)


def _validation(network: Network, validation: object) -> tuple[Array, NDArray[np.int64]]:
    if not isinstance(validation, (tuple, list)) or len(validation) != 2:
        raise TypeError(f"validation must be a pair (x, y), got {type(validation).__name__}")
    return _samples(network, "validation[0]", validation[0], "validation[1]", validation[1])


@contextmanager
def _progress_bar(steps: int, done: int, shown: bool) -> Iterator[Callable[[int, float], None]]:
    """Yield what is called after every step with the epoch's number and its loss so far."""
    if not shown:
        yield lambda number, loss: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task("training", total=steps, completed=done)
        yield lambda number, loss: bar.update(task, advance=1, description=f"epoch {number}, loss {loss:.4f}")

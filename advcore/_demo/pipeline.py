"""What ``advcore demo`` does: two classifiers are trained, attacked in three ways, and defended by a detector."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from advcore import models
from advcore._demo.settings import Settings
from advcore.attacks import AttackResult, fgsm, pgd, zoo
from advcore.data import Dataset
from advcore.detectors import LID
from advcore.evaluation import Adaptive, DetectorReport, evaluate_detector
from advcore.nn import Adam, Epoch, Network, accuracy, fit

Tell = Callable[[str, int], None]
"""Called with what is being done from now on ("" for the same as before) and the number of steps that are over."""

MODELS = {"CNN": models.small_cnn, "GRU": models.gru_classifier}
ZOO_STEPS_OF_PROGRESS = 10  # it takes about as long as so many of the other attacks


@dataclass(frozen=True)
class Trained:
    """A classifier and how it was made."""

    name: str
    network: Network
    last_epoch: Epoch
    accuracy: float
    seconds: float


@dataclass(frozen=True)
class Attacked:
    """One attack on one model at one budget; ``x`` and ``y`` are the images and labels that it was given."""

    model: Trained
    attack: str
    norm: str
    eps: float | None
    steps: int
    x: np.ndarray[Any, Any]
    y: np.ndarray[Any, Any]
    result: AttackResult
    detection: DetectorReport | None = None

    @property
    def broken(self) -> np.ndarray[Any, Any]:
        """The images, by index, that the model had right before the attack and has wrong after it."""
        return np.flatnonzero(self.result.status == "success")


@dataclass(frozen=True)
class Outcome:
    """Everything that the report shows."""

    settings: Settings
    data: Dataset
    models: list[Trained]
    attacked: list[Attacked]


def count_steps(data: Dataset, settings: Settings) -> int:
    """Return how many steps a run tells of."""
    return len(MODELS) * (settings.epochs(len(data.x_train)) + 2 * 2 * len(settings.eps) + ZOO_STEPS_OF_PROGRESS)


def run(data: Dataset, settings: Settings, tell: Tell = lambda text, done: None) -> Outcome:
    """Train, attack and detect; the same settings and data give the same outcome, but for times."""
    trained = [_train(name, data, settings, tell) for name in MODELS]
    attacked = [attacked for model in trained for attacked in _attack_all(model, data, settings, tell)]
    return Outcome(settings, data, trained, attacked)


def _train(name: str, data: Dataset, settings: Settings, tell: Tell) -> Trained:
    network = MODELS[name](data.input_shape, data.classes, seed=settings.seed)
    tell(f"{name}: training", 0)
    history = fit(
        network,
        data.x_train[: settings.train_images],
        data.y_train[: settings.train_images],
        epochs=settings.epochs(len(data.x_train)),
        batch_size=settings.batch_size,
        optimizer=Adam(settings.learning_rate),
        seed=settings.seed,
        callback=lambda epoch: tell(f"{name}: training, accuracy {epoch.accuracy:.1%}", 1),
    )
    correct = accuracy(network, data.x_test, data.y_test)
    return Trained(name, network, history.epochs[-1], correct, history.seconds)


def _attack_all(model: Trained, data: Dataset, settings: Settings, tell: Tell) -> Iterator[Attacked]:
    x, y = data.x_test[: settings.attacked_images], data.y_test[: settings.attacked_images]
    descend = partial(pgd, steps=settings.pgd_steps, restarts=settings.pgd_restarts)
    for name, attack, steps in (("fgsm", fgsm, 1), ("pgd", descend, settings.pgd_steps * settings.pgd_restarts)):
        for eps in settings.eps:
            tell(f"{model.name}: {name.upper()}, eps {eps:g}", 0)
            result = attack(model.network, x, y, eps=eps, seed=settings.seed)
            attacked = Attacked(model, name, "linf", eps, steps, x, y, result)
            tell(f"{model.name}: LID against {name.upper()}, eps {eps:g}", 1)
            yield replace(attacked, detection=_detect(model, data, attacked, settings))
            tell("", 1)
    tell(f"{model.name}: ZOO", 0)
    x, y = x[: settings.zoo_images], y[: settings.zoo_images]
    result = zoo(
        model.network,
        x,
        y,
        c=settings.zoo_c,
        steps=settings.zoo_steps,
        coordinates=settings.zoo_coordinates,
        stop_at_first_success=True,
        seed=settings.seed,
    )
    tell("", ZOO_STEPS_OF_PROGRESS)
    yield Attacked(model, "zoo", "l2", None, settings.zoo_steps, x, y, result)


def _detect(model: Trained, data: Dataset, attacked: Attacked, settings: Settings) -> DetectorReport | None:
    """Judge the detector on half of the broken images; None where they are too few to say anything."""
    if len(attacked.broken) < settings.lid_images_at_least:
        return None
    detector = LID(model.network, data.x_train[: settings.lid_reference_images], k=settings.lid_k)
    examples = attacked.result.examples
    budget = Adaptive(eps=attacked.eps, images=settings.lid_adaptive_images, steps=settings.lid_adaptive_steps)
    return evaluate_detector(
        detector, model.network, attacked.x, attacked.y, examples, seed=settings.seed, adaptive=budget
    )

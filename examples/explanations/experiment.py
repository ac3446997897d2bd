"""One run of the study: its settings, its data, the classifiers and the five models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from study import Report

from advcore import nn, ops

from . import features, images, metrics, sentences
from .model import Condition, Explainer
from .training import Captions, Discriminative, reward, sentence_classifier, train


@dataclass(frozen=True)
class Settings:
    """Of a run: the data, the networks and their trainings."""

    shapes: int = 3
    colours: int = 3
    train_images: int = 40  # a class
    test_images: int = 8
    references: int = 4  # an image
    noise: float = 0.05
    channels: int = 12
    sketch: int = 256  # entries of the pooled features
    hidden: int = 64
    classifier_epochs: int = 12
    sentence_classifier_epochs: int = 10
    epochs: int = 15
    fine_tuning_epochs: int = 6
    batch_size: int = 64
    lr: float = 1e-2
    fine_tuning_lr: float = 3e-3
    discriminative_weight: float = 2.5
    other_weights: tuple[float, ...] = (1.0, 5.0, 10.0)  # for the explanation model


QUICK = Settings(
    **{"shapes": 2, "colours": 2, "train_images": 24, "channels": 8, "sketch": 64, "hidden": 32, "batch_size": 32},
    **{"sentence_classifier_epochs": 8, "epochs": 7, "lr": 3e-2, "fine_tuning_epochs": 4, "fine_tuning_lr": 5e-3},
    **{"discriminative_weight": 6.0, "other_weights": ()},
)


@dataclass(frozen=True)
class Model:
    """What a model is conditioned on, and the one whose parameters its training with both losses starts from."""

    use_image: bool
    use_label: bool
    start: str | None = None


MODELS = {
    "definition": Model(False, True),
    "description": Model(True, False),
    "explanation-label": Model(True, True),
    "explanation-discriminative": Model(True, False, "description"),
    "explanation": Model(True, True, "explanation-label"),
}


class Experiment:
    """The data, the classifiers, and the models once they are trained."""

    def __init__(self, settings: Settings, report: Report, seed: int) -> None:
        self.settings, self.report, self.seed = settings, report, seed
        self.classes = images.species(settings.shapes, settings.colours)
        sets = (4 * seed, settings.train_images), (4 * seed + 1, settings.test_images)
        self.scenes, self.test = (
            images.draw_scenes(self.classes, count, noise=settings.noise, seed=own) for own, count in sets
        )
        self.references = sentences.write_sentences(self.test, settings.references, seed=4 * seed + 2)
        written = sentences.write_sentences(self.scenes, settings.references, seed=4 * seed + 3)
        rows = np.repeat(np.arange(len(written)), settings.references)
        numbers = sentences.encode([sentence for several in written for sentence in several])
        self.captions = Captions(numbers, rows, self.scenes.y[rows])
        self.classifier = report.timed("image classifier", self._image_classifier)
        self.pooling = features.CompactBilinearPooling(2 * settings.channels, settings.sketch, seed=seed)
        self.condition, self.test_condition = self._condition(self.scenes), self._condition(self.test)
        options = {"epochs": settings.sentence_classifier_epochs, "batch_size": settings.batch_size, "seed": seed}
        self.sentence_classifier = report.timed(
            "sentence classifier",
            sentence_classifier,
            *(self.captions, len(self.classes), settings.hidden),
            **options,
        )
        self.explainers: dict[str, Explainer] = {}
        for name, model in MODELS.items():
            self.explainers[name] = report.timed(name, self.train, model, settings.discriminative_weight)
        self.cider = metrics.Cider(self.references)
        self.right = self.test_condition.label.argmax(axis=1) == self.test.y

    def _image_classifier(self) -> nn.Network:
        network = features.image_classifier(len(self.classes), self.settings.channels, images.SIDE, seed=self.seed)
        options = {"batch_size": 32, "optimizer": nn.Adam(3e-3), "schedule": "cosine", "seed": self.seed}
        nn.fit(network, self.scenes.x, self.scenes.y, epochs=self.settings.classifier_epochs, **options)
        return network

    def _condition(self, scenes: images.Scenes) -> Condition:
        pooled = self.pooling(self.classifier.activations(scenes.x, ["features"])["features"])
        return Condition(features.normalised(pooled), ops.softmax(self.classifier.logits(scenes.x)))

    def train(self, model: Model, weight: float) -> Explainer:
        """Return a model, trained with the relevance loss or from its start with both, so weighted."""
        chosen = self.settings
        conditions = {"use_image": model.use_image, "use_label": model.use_label, "seed": self.seed}
        explainer = Explainer(chosen.sketch, len(self.classes), chosen.hidden, **conditions)
        options: dict[str, Any] = {"epochs": chosen.epochs, "lr": chosen.lr}
        if model.start is not None:
            explainer.network.load_state_dict(self.explainers[model.start].network.state_dict())
            options |= {"epochs": chosen.fine_tuning_epochs, "lr": chosen.fine_tuning_lr}
            options["discriminative"] = Discriminative(self.sentence_classifier, weight)
        train(explainer, self.captions, self.condition, batch_size=chosen.batch_size, seed=self.seed, **options)
        return explainer

    def write(self, name: str, condition: Condition | None = None) -> list[sentences.Sentence]:
        """Return a model's likeliest sentence for every test image."""
        return sentences.decode(self.explainers[name].generate(condition or self.test_condition))

    def scores(self, said: list[sentences.Sentence]) -> dict[str, float]:
        """Return METEOR and CIDEr for the image; for the class similarity, rank and reward where it is predicted."""
        y, every = self.test.y, np.arange(len(self.test.y))
        cider = np.stack([self.cider.against_all(sentence) for sentence in said])
        similarity = metrics.class_similarity(cider, y)
        pairs = zip(said, self.references, strict=True)
        return {
            "METEOR": 100 * float(np.mean([metrics.meteor(sentence, references) for sentence, references in pairs])),
            "CIDEr": 100 * float(cider[every, every].mean()),
            "class similarity": 100 * float(similarity[every, y][self.right].mean()),
            "class rank": float(metrics.class_rank(similarity, y)[self.right].mean()),
            "reward": float(reward(self.sentence_classifier, sentences.encode(said), y)[self.right].mean()),
            "words": float(np.mean([len(sentence) for sentence in said])),
        }

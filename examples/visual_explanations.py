"""Sentences that justify a class: explanations against four baselines, and what a wrong class does to the words.

Usage: python examples/visual_explanations.py --output OUT; with --quick fewer images and short trainings, in seconds.
Writes OUT/visual_explanations.json, .md and .png.
"""

from __future__ import annotations

import textwrap
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from explanations import features, images, metrics, sentences
from explanations.model import Condition, Explainer
from explanations.training import Captions, Discriminative, reward, sentence_classifier, train
from study import Report, arguments, percent

from advcore import nn, ops


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


QUICK = Settings(
    **{"shapes": 2, "colours": 2, "train_images": 24, "channels": 8, "sketch": 64, "hidden": 32, "batch_size": 32},
    **{"sentence_classifier_epochs": 8, "epochs": 7, "lr": 3e-2, "fine_tuning_epochs": 4, "fine_tuning_lr": 5e-3},
    discriminative_weight=6.0,
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


class Study:
    """The data, the classifiers, and the models once they are trained."""

    def __init__(self, settings: Settings, report: Report, seed: int) -> None:
        self.settings, self.report, self.seed = settings, report, seed
        self.classes = images.species(settings.shapes, settings.colours)
        sets = (2 * seed, settings.train_images), (2 * seed + 1, settings.test_images)
        self.scenes, self.test = (
            images.draw_scenes(self.classes, count, noise=settings.noise, seed=own) for own, count in sets
        )
        self.references = sentences.write_sentences(self.test, settings.references, seed=2 * seed + 1)
        written = sentences.write_sentences(self.scenes, settings.references, seed=2 * seed)
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
            self.explainers[name] = report.timed(name, self._train, model)
        self.right = self.test_condition.label.argmax(axis=1) == self.test.y

    def _image_classifier(self) -> nn.Network:
        network = features.image_classifier(len(self.classes), self.settings.channels, images.SIDE, seed=self.seed)
        options = {"batch_size": 32, "optimizer": nn.Adam(3e-3), "schedule": "cosine", "seed": self.seed}
        nn.fit(network, self.scenes.x, self.scenes.y, epochs=self.settings.classifier_epochs, **options)
        return network

    def _condition(self, scenes: images.Scenes) -> Condition:
        pooled = self.pooling(self.classifier.activations(scenes.x, ["features"])["features"])
        return Condition(features.normalised(pooled), ops.softmax(self.classifier.logits(scenes.x)))

    def _train(self, model: Model) -> Explainer:
        chosen = self.settings
        conditions = {"use_image": model.use_image, "use_label": model.use_label, "seed": self.seed}
        explainer = Explainer(chosen.sketch, len(self.classes), chosen.hidden, **conditions)
        options: dict[str, Any] = {"epochs": chosen.epochs, "lr": chosen.lr}
        if model.start is not None:
            explainer.network.load_state_dict(self.explainers[model.start].network.state_dict())
            options |= {"epochs": chosen.fine_tuning_epochs, "lr": chosen.fine_tuning_lr}
            options["discriminative"] = Discriminative(self.sentence_classifier, chosen.discriminative_weight)
        train(explainer, self.captions, self.condition, batch_size=chosen.batch_size, seed=self.seed, **options)
        return explainer

    def write(self, name: str, condition: Condition | None = None) -> list[sentences.Sentence]:
        """Return a model's likeliest sentence for every test image."""
        return sentences.decode(self.explainers[name].generate(condition or self.test_condition))


def main(given: list[str] | None = None) -> dict[str, Any]:
    """Run the study that the command line asks for and write what it found."""
    chosen = arguments(__doc__, given, needs_data=False)
    settings = QUICK if chosen.quick else Settings()
    report = Report(
        "visual_explanations",
        "Visual explanations",
        asdict(settings) | {"seed": chosen.seed, "optimizer": "Adam, cosine schedule"},
        "Hendricks et al. explain 200 kinds of birds (CUB, photographs with 5 sentences each, written by people) with "
        "features of a network trained on ImageNet and 1,000 units a layer; here images and sentences are generated "
        "and all is small. The condition is the classifier's distribution over the classes, in their code a vector for "
        "the predicted class made of the description model's states. The mean reward of a batch is subtracted from "
        "each, which their code leaves to an option; the weight was chosen on another seed's data. METEOR matches equal words alone, CIDEr is CIDEr-D, and no bird "
        "experts rank the sentences.",
    )
    study = Study(settings, report, chosen.seed)
    written = {name: study.write(name) for name in MODELS}
    classifier_table(study)
    score_table(study, written)
    words_table(study, written)
    wrong, conditions = wrong_classes(study)
    wrong_class_table(study, written, wrong, conditions)

    def draw(axes: Any) -> None:
        told = {name: study.write(name, conditions) for name in ("explanation-label", "explanation")}
        shown = np.flatnonzero(study.right)
        for axis, row in zip(axes, shown[np.linspace(0, len(shown) - 1, len(axes)).astype(int)], strict=True):
            axis.imshow(study.test.x[row].transpose(1, 2, 0))
            axis.set(xticks=[], yticks=[], anchor="N")
            axis.set_title(_named(study.classes[study.test.y[row]]), fontsize=8)
            lines = [f"{name}: {' '.join(said[row])}" for name, said in written.items()]
            lines += [f"told it is a {_named(study.classes[wrong[row]])}:"]
            lines += [f"{name}: {' '.join(said[row])}" for name, said in told.items()]
            text = "\n".join(textwrap.fill(line, 46, subsequent_indent="    ") for line in lines)
            axis.text(0, -0.03, text, fontsize=6.5, va="top", transform=axis.transAxes)

    return report.write(chosen.output, draw, axes=4, size=(3.0, 5.6))


def classifier_table(study: Study) -> None:
    """Show how well images and sentences tell the classes apart."""
    test = [sentence for several in study.references for sentence in several]
    labels = np.repeat(study.test.y, study.settings.references)
    said = study.sentence_classifier.predict(sentences.ending_last(sentences.encode(test)))
    row = {
        "classes": len(study.classes),
        "images": percent(study.right.mean()),
        "sentences": percent(np.mean(said == labels)),
    }
    study.report.table("Test accuracy of the classifiers, %", [row])


def score_table(study: Study, written: dict[str, list[sentences.Sentence]]) -> None:
    """METEOR and CIDEr for the image; similarity and rank for the class, over images that are classified right."""
    cider, y = metrics.Cider(study.references), study.test.y
    every, rows = np.arange(len(y)), []
    for name, said in written.items():
        scores = np.stack([cider.against_all(sentence) for sentence in said])
        similarity = metrics.class_similarity(scores, y)
        pairs = zip(said, study.references, strict=True)
        row: dict[str, Any] = {
            "model": name,
            "METEOR": 100 * float(np.mean([metrics.meteor(sentence, references) for sentence, references in pairs])),
            "CIDEr": 100 * float(scores[every, every].mean()),
            "class similarity": 100 * float(similarity[every, y][study.right].mean()),
            "class rank": float(metrics.class_rank(similarity, y)[study.right].mean()),
            "reward": float(reward(study.sentence_classifier, sentences.encode(said), y)[study.right].mean()),
            "words": float(np.mean([len(sentence) for sentence in said])),
        }
        rows.append(row)
    title = f"Sentences about the test images: scores times 100, rank from 1 (best) to {len(study.classes)}"
    study.report.table(title, rows)
    by_name = {row["model"]: row for row in rows}
    label, explanation, description = (by_name[name] for name in ("explanation-label", "explanation", "description"))
    study.report.finding(
        f"The description is the least specific of the class: its rank is {description['class rank']:.2f}, the "
        f"explanation's {explanation['class rank']:.2f}."
    )
    study.report.finding(
        f"From explanation-label to explanation the discriminative loss takes the rank from {label['class rank']:.2f} "
        f"to {explanation['class rank']:.2f}, p(class | sentence) from {label['reward']:.2f} to "
        f"{explanation['reward']:.2f}, METEOR from {label['METEOR']:.1f} to {explanation['METEOR']:.1f} and CIDEr from "
        f"{label['CIDEr']:.1f} to {explanation['CIDEr']:.1f}: sentences of {explanation['words']:.1f} words instead of "
        f"{label['words']:.1f} say more of what tells the class, and more than people wrote."
    )


def words_table(study: Study, written: dict[str, list[sentences.Sentence]]) -> None:
    """How often sentences speak of an attribute, and how often that is true of the image."""
    rows = []
    for name, said in written.items():
        row: dict[str, Any] = {"model": name}
        for attribute in images.ATTRIBUTES:
            found, true = _said(said, study.test.seen, attribute)
            row |= {f"{attribute}: said": percent(found), f"{attribute}: true": None if true is None else percent(true)}
        rows.append(row)
    study.report.table("Attributes in the sentences, %, and how often what is said is true of the image", rows)
    blind, sighted = (row["background: true"] for row in rows[:2])
    study.report.finding(
        f"The definition does not see the image: of the backgrounds that it names {blind}% are right, as by guessing "
        f"one of {len(images.BACKGROUNDS)}; of the description's {sighted}%."
    )


def wrong_classes(study: Study) -> tuple[np.ndarray, Condition]:
    """Return another class for every test image, and the conditions that name it for certain."""
    rng, count = np.random.default_rng(study.seed), len(study.classes)
    wrong = (study.test.y + rng.integers(1, count, len(study.test.y))) % count
    return wrong, Condition(study.test_condition.image, np.eye(count, dtype=np.float32)[wrong])


def wrong_class_table(
    study: Study, written: dict[str, list[sentences.Sentence]], wrong: np.ndarray, conditions: Condition
) -> None:
    """Whom the words follow where image and class disagree."""
    told = [study.classes[label] for label in wrong]
    disagree = {
        name: [t[name] != s[name] for t, s in zip(told, study.test.seen, strict=True)] for name in images.OF_CLASS
    }
    rows = []
    for name in ("definition", "explanation-label", "explanation"):
        said = study.write(name, conditions)
        changed = [before != after for before, after in zip(written[name], said, strict=True)]
        row: dict[str, Any] = {"model": name, "sentences changed": percent(np.mean(changed))}
        for attribute, rows_of in disagree.items():
            among = np.flatnonzero(rows_of)
            of_class, of_image = (
                _said([said[i] for i in among], [truth[i] for i in among], attribute)[1]
                for truth in (told, study.test.seen)
            )
            row |= {f"{attribute}: of the class": _share(of_class), f"{attribute}: of the image": _share(of_image)}
        for attribute in images.OF_IMAGE:
            row[f"{attribute}: of the image"] = _share(_said(said, study.test.seen, attribute)[1])
        rows.append(row)
    study.report.table("A wrong class for certain: whose value the words give where the two disagree, %", rows)
    explanation = rows[-1]
    follow = ", ".join(f"{explanation[f'{name}: of the class']}% of the {name}s" for name in images.OF_CLASS)
    study.report.finding(
        f"Told a wrong class the explanation changes {explanation['sentences changed']}% of its sentences. Where class "
        f"and image disagree its words follow the class: {follow}. What no class decides stays with the image: "
        f"{explanation['background: of the image']}% of the backgrounds are right. Such a sentence justifies whatever "
        "class it is given; it is no evidence that the class is right."
    )


def _said(
    written: list[sentences.Sentence], truth: list[images.Attributes], attribute: str
) -> tuple[float, float | None]:
    """Return the share of sentences that speak of an attribute, and of these the share that give it its value."""
    values = [
        (sentences.claims(sentence).get(attribute), true[attribute])
        for sentence, true in zip(written, truth, strict=True)
    ]
    right = [value == true for value, true in values if value is not None]
    return len(right) / max(len(values), 1), float(np.mean(right)) if right else None


def _share(share: float | None) -> float | None:
    return None if share is None else percent(share)


def _named(attributes: images.Attributes) -> str:
    return f"{attributes['size']} {attributes['colour']} {attributes['shape']}, dot {attributes['position']}"


if __name__ == "__main__":
    main()

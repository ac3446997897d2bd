"""What the report shows of a run: how good sentences are, what they say, and whom they follow."""

from __future__ import annotations

from typing import Any

import numpy as np
from study import percent

from . import images, sentences
from .experiment import MODELS, Experiment
from .model import Condition


def classifier_table(experiment: Experiment) -> None:
    """Show how well images and sentences tell the classes apart."""
    test = [sentence for several in experiment.references for sentence in several]
    labels = np.repeat(experiment.test.y, experiment.settings.references)
    said = experiment.sentence_classifier.predict(sentences.ending_last(sentences.encode(test)))
    row = {
        "classes": len(experiment.classes),
        "images": percent(experiment.right.mean()),
        "sentences": percent(np.mean(said == labels)),
    }
    experiment.report.table("Test accuracy of the classifiers, %", [row])


def score_table(experiment: Experiment, written: dict[str, list[sentences.Sentence]]) -> None:
    """How near sentences come to what people wrote about the image, and about its class."""
    rows: list[dict[str, Any]] = [{"model": name, **experiment.scores(said)} for name, said in written.items()]
    title = f"Sentences about the test images: scores times 100, rank from 1 (best) to {len(experiment.classes)}"
    experiment.report.table(title, rows)
    by_name = {row["model"]: row for row in rows}
    label, explanation, description = (by_name[name] for name in ("explanation-label", "explanation", "description"))
    experiment.report.finding(
        f"The class's mean rank is {description['class rank']:.2f} by descriptions and {explanation['class rank']:.2f} "
        "by explanations: a description of the image need not tell its class."
    )
    experiment.report.finding(_first(rows))
    experiment.report.finding(
        f"From explanation-label to explanation the discriminative loss takes the rank from {label['class rank']:.2f} "
        f"to {explanation['class rank']:.2f}, p(class | sentence) from {label['reward']:.2f} to "
        f"{explanation['reward']:.2f}, METEOR from {label['METEOR']:.1f} to {explanation['METEOR']:.1f} and CIDEr from "
        f"{label['CIDEr']:.1f} to {explanation['CIDEr']:.1f}."
    )


def _first(rows: list[dict[str, Any]]) -> str:
    best = {name: max(rows, key=lambda row: row[name]) for name in ("METEOR", "CIDEr", "class similarity")}
    best["class rank"] = min(rows, key=lambda row: row["class rank"])
    named = ", ".join(f"by {name} {row['model']}" for name, row in best.items())
    return f"First are {named}; in the source it is explanation by all four."


def weight_table(experiment: Experiment) -> None:
    """What more of the discriminative loss does to the explanation model."""
    rows: list[dict[str, Any]] = []
    for weight in experiment.settings.other_weights:
        explainer = experiment.train(MODELS["explanation"], weight)
        said = sentences.decode(explainer.generate(experiment.test_condition))
        rows.append({"weight": weight, **experiment.scores(said)})
    if rows:
        experiment.report.table("Other weights of the discriminative loss, explanation model", rows)


def words_table(experiment: Experiment, written: dict[str, list[sentences.Sentence]]) -> None:
    """How often sentences speak of an attribute, and how often that is true of the image."""
    rows = []
    for name, said in written.items():
        row: dict[str, Any] = {"model": name}
        for attribute in images.ATTRIBUTES:
            found, true = _said(said, experiment.test.seen, attribute)
            row |= {f"{attribute}: said": percent(found), f"{attribute}: true": None if true is None else percent(true)}
        rows.append(row)
    experiment.report.table("Attributes in the sentences, %, and how often what is said is true of the image", rows)
    blind, sighted = (row["background: true"] for row in rows[:2])
    experiment.report.finding(
        f"The definition does not see the image: of the backgrounds that it names {blind}% are right, as by guessing "
        f"one of {len(images.BACKGROUNDS)}; of the description's {sighted}%."
    )
    people = [sentence for several in experiment.references for sentence in several]
    several = {"people": people, **{name: written[name] for name in ("explanation-label", "explanation")}}
    counts = {
        name: np.mean([len(sentences.claims(sentence).keys() & images.OF_CLASS) for sentence in said])
        for name, said in several.items()
    }
    experiment.report.finding(
        f"Of the {len(images.OF_CLASS)} attributes of a class a reference says {counts['people']:.2f}, explanation-"
        f"label {counts['explanation-label']:.2f}, explanation {counts['explanation']:.2f}: the discriminative loss "
        "asks for what tells the class, CIDEr for what people write."
    )


def wrong_classes(experiment: Experiment) -> tuple[np.ndarray, Condition]:
    """Return another class for every test image, and the conditions that name it for certain."""
    rng, count = np.random.default_rng(experiment.seed), len(experiment.classes)
    wrong = (experiment.test.y + rng.integers(1, count, len(experiment.test.y))) % count
    return wrong, Condition(experiment.test_condition.image, np.eye(count, dtype=np.float32)[wrong])


def wrong_class_table(
    experiment: Experiment, written: dict[str, list[sentences.Sentence]], wrong: np.ndarray, conditions: Condition
) -> None:
    """Whom the words follow where image and class disagree."""
    told = [experiment.classes[label] for label in wrong]
    disagree = {
        name: [t[name] != s[name] for t, s in zip(told, experiment.test.seen, strict=True)] for name in images.OF_CLASS
    }
    rows = []
    for name in ("definition", "explanation-label", "explanation"):
        said = experiment.write(name, conditions)
        changed = [before != after for before, after in zip(written[name], said, strict=True)]
        row: dict[str, Any] = {"model": name, "sentences changed": percent(np.mean(changed))}
        for attribute, rows_of in disagree.items():
            among = np.flatnonzero(rows_of)
            of_class, of_image = (
                _said([said[i] for i in among], [truth[i] for i in among], attribute)[1]
                for truth in (told, experiment.test.seen)
            )
            row |= {f"{attribute}: of the class": _share(of_class), f"{attribute}: of the image": _share(of_image)}
        for attribute in images.OF_IMAGE:
            row[f"{attribute}: of the image"] = _share(_said(said, experiment.test.seen, attribute)[1])
        rows.append(row)
    experiment.report.table("A wrong class for certain: whose value the words give where the two disagree, %", rows)
    explanation = rows[-1]
    follow = ", ".join(f"{explanation[f'{name}: of the class']}% of the {name}s" for name in images.OF_CLASS)
    experiment.report.finding(
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

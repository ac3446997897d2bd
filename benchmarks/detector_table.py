"""Detectors on MNIST beside the table of Ma et al. (2018, arXiv 1801.02613), and what attacks that know them leave.

Usage: python benchmarks/detector_table.py FOLDER [--images 2000] [--keep FOLDER] [--output FILE.json]
       python benchmarks/detector_table.py --quick

FOLDER has MNIST's four IDX files; --keep takes the network and the examples, so that a second run need not make them
again. --quick runs everything on scikit-learn's digits in seconds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import MinMaxScaler

from advcore import attacks, data, models, nn
from advcore.detectors import LID, BayesianUncertainty, Combination, Detector, KernelDensity
from advcore.evaluation import Adaptive, DetectorReport, evaluate_detector

HELD_OUT = 0.2

# AUC in per cent on MNIST as remembered from the paper's table, not confirmed against it: [M].
PUBLISHED = {
    "KD": {"FGM": 78.12, "BIM-a": 98.14, "BIM-b": 98.61, "JSMA": 68.77, "C&W": 95.15},
    "BU": {"FGM": 32.37, "BIM-a": 91.55, "BIM-b": 25.46, "JSMA": 88.74, "C&W": 71.30},
    "LID": {"FGM": 96.89, "BIM-a": 99.60, "BIM-b": 99.83, "JSMA": 92.24, "C&W": 99.24},
}


@dataclass(frozen=True)
class Setting:
    """Sizes of a run; eps and bandwidth as in the paper."""

    images: int
    reference: int = 1000
    k: int = 20
    eps: float = 0.4
    bim_steps: int = 50
    cw_steps: int = 200
    cw_search: int = 5
    bandwidth: float = 3.7926
    passes: int = 50
    adaptive: Adaptive = field(default_factory=lambda: Adaptive(eps=0.3))


QUICK = Setting(
    images=200, reference=300, eps=0.3, bim_steps=10, cw_steps=20, cw_search=2, passes=10,
    adaptive=Adaptive(eps=0.2, images=16, steps=20),
)  # fmt: skip


def main() -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", help="MNIST's IDX files")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--keep", type=Path, help="folder for the network and the examples")
    parser.add_argument("--output", type=Path, help="file for the numbers, JSON")
    parser.add_argument("--quick", action="store_true", help="scikit-learn's digits")
    given = parser.parse_args()
    if (given.folder is None) != given.quick:
        parser.error("either FOLDER or --quick")
    dataset = data.digits() if given.quick else data.idx(given.folder)
    setting = QUICK if given.quick else Setting(given.images)
    print(as_markdown(numbers := study(dataset, setting, given.keep)))
    if given.output:
        given.output.write_text(json.dumps(numbers, indent=1))


def study(dataset: data.Dataset, setting: Setting, keep: Path | None = None) -> dict[str, Any]:
    """Train, attack, detect; return the numbers."""
    start = time.perf_counter()
    network = kept_network(dataset, keep)
    x, y = dataset.x_test[: setting.images], dataset.y_test[: setting.images]
    examples = kept_examples(network, x, y, setting, keep)
    right = network.predict(x) == y
    numbers: dict[str, Any] = {
        "accuracy": nn.accuracy(network, dataset.x_test, dataset.y_test),
        "images": len(x),
        "fooled": {name: int((right & (network.predict(wrong) != y)).sum()) for name, wrong in examples.items()},
        "detectors": {},
    }
    tell(start, f"attacks are done: {numbers['fooled']}")
    reference = dataset.x_train[: setting.reference]
    lid = LID(network, reference, k=setting.k)
    density = KernelDensity(network, dataset.x_train, dataset.y_train, bandwidth=setting.bandwidth)
    uncertainty = BayesianUncertainty(network, passes=setting.passes)
    detectors = {"LID": lid, "KD": density, "BU": uncertainty, "KD+BU": Combination([density, uncertainty])}
    for name, detector in detectors.items():
        report = judged(detector, network, x, y, examples, setting.adaptive)
        numbers["detectors"][name] = in_numbers(report)
        tell(start, f"{name}\n{report}")
    published = LID(network, x, k=setting.k, published=True)
    for key, before in (("published_without_leak", False), ("leak", True)):
        numbers[key] = {name: as_published(published, x, y, wrong, before) for name, wrong in examples.items()}
    numbers["minutes"] = (time.perf_counter() - start) / 60
    return numbers


def kept_network(dataset: data.Dataset, keep: Path | None) -> nn.Network:
    """Train Carlini's network, or a small one for small images; or take the one that was kept."""
    file = keep and keep / "network"
    if file and file.exists():
        return nn.Network.load(file)
    small = min(dataset.input_shape[1:]) < 16
    network = models.mlp(dataset.input_shape, dataset.classes, hidden=(64, 64), dropout=0.3) if small else None
    network = network or models.carlini_mnist(seed=0)
    nn.fit(network, dataset.x_train, dataset.y_train, epochs=10 if small else 2, schedule="cosine", seed=0)
    if file:
        keep.mkdir(parents=True, exist_ok=True)
        network.save(file)
    return network


def kept_examples(
    network: nn.Network, x: np.ndarray, y: np.ndarray, setting: Setting, keep: Path | None
) -> dict[str, np.ndarray]:
    """Attack, or take the examples that were kept; JSMA and C&W have random targets, as in the paper."""
    others = np.random.default_rng(0).integers(1, network.logits(x[:1]).shape[1], len(y))
    targets = (y + others) % network.logits(x[:1]).shape[1]
    steps: dict[str, Any] = {"eps": setting.eps, "steps": setting.bim_steps, "step_size": 0.01}
    if setting.bim_steps * 0.01 < setting.eps:
        steps["step_size"] = setting.eps / setting.bim_steps
    runs: dict[str, Callable[[], attacks.AttackResult]] = {
        "FGM": lambda: attacks.fgsm(network, x, y, eps=setting.eps),
        "BIM-a": lambda: attacks.bim(network, x, y, variant="first_success", **steps),
        "BIM-b": lambda: attacks.bim(network, x, y, variant="last_step", **steps),
        "JSMA": lambda: attacks.jsma(network, x, y, theta=1.0, gamma=0.1, targets=targets),
        "C&W": lambda: attacks.carlini_wagner(
            network,
            x,
            y,
            steps=setting.cw_steps,
            search_steps=setting.cw_search,
            initial_c=0.1,
            learning_rate=0.05,
            targets=targets,
        ),
    }
    found = {}
    for name, run in runs.items():
        file = keep and keep / f"{name}-{len(x)}.npy"
        found[name] = np.load(file) if file and file.exists() else run().examples
        if file:
            np.save(file, found[name])
    return found


def judged(
    detector: Detector,
    network: nn.Network,
    x: np.ndarray,
    y: np.ndarray,
    examples: dict[str, np.ndarray],
    adaptive: Adaptive,
) -> DetectorReport:
    """Evaluate a detector with the paper's share of held-out images."""
    return evaluate_detector(detector, network, x, y, examples, held_out=HELD_OUT, adaptive=adaptive)


def as_published(detector: LID, x: np.ndarray, y: np.ndarray, wrong: np.ndarray, leak: bool) -> float:
    """Return the AUC by the procedure of the published code, which scales by all images before the split: the leak."""
    predict = detector.network.predict
    (places,) = np.nonzero((predict(x) == y) & (predict(wrong) != y))
    detector.prepare()
    noise = np.random.default_rng(0).standard_normal(x.shape).astype(x.dtype)
    size = np.linalg.norm((wrong - x).reshape(len(x), -1), axis=1) / np.sqrt(x[0].size)
    noisy = np.clip(x + noise * size.reshape(-1, *[1] * (x.ndim - 1)), 0, 1).astype(x.dtype)
    versions = np.stack([detector.features(images[places], exclude=places) for images in (x, noisy, wrong)])
    versions = np.nan_to_num(versions, posinf=versions[np.isfinite(versions)].max())
    labels = np.repeat([0, 0, 1], len(places)).reshape(3, -1)
    cut, wide = round(len(places) * (1 - HELD_OUT)), versions.shape[2]
    train, test = versions[:, :cut].reshape(-1, wide), versions[:, cut:].reshape(-1, wide)
    scaler = MinMaxScaler().fit(versions.reshape(-1, wide) if leak else train)
    model = GridSearchCV(LogisticRegression(max_iter=2000), {"C": np.logspace(-4, 4, 10)}, cv=3)
    model.fit(scaler.transform(train), labels[:, :cut].ravel())
    return float(roc_auc_score(labels[:, cut:].ravel(), model.decision_function(scaler.transform(test))))


def in_numbers(report: DetectorReport) -> dict[str, Any]:
    """Return a report's rows, and the adaptive attack apart."""
    return {"rows": report.rows(), "adaptive": report.rows()[-1]}


def as_markdown(numbers: dict[str, Any]) -> str:
    """Return the tables of the study."""
    names = list(numbers["fooled"])

    def cells(values: Callable[[str], str]) -> str:
        return " | ".join(values(name) for name in names)

    lines = [
        f"AUC in per cent, {numbers['images']} test images (accuracy {numbers['accuracy']:.2%}), a fifth held out.",
        "",
        f"| detector | {' | '.join(names)} |",
        f"| --- |{' --- |' * len(names)}",
        f"| images that the attack fools | {cells(lambda name: str(numbers['fooled'][name]))} |",
    ]
    for detector, found in numbers["detectors"].items():
        own = {row["tested_on"]: row for row in found["rows"] if row["trained_on"] == row["tested_on"]}
        lines.append(f"| {detector} | {cells(lambda name, own=own: with_interval(own[name]))} |")
        if detector in PUBLISHED:
            lines.append(f"| {detector}, published [M] | {cells(lambda n, d=detector: str(PUBLISHED[d].get(n, '')))} |")
    for label, key in (("no leak", "published_without_leak"), ("the leak", "leak")):
        values = numbers[key]
        lines.append(f"| LID as published, {label} | {cells(lambda name, v=values: f'{100 * v[name]:.1f}')} |")
    lines += [
        "",
        "Model and detector attacked together, the detector fitted on all five attacks:",
        "",
        "| detector | budget and method | misclassified and below the 5% threshold | detected at 5% | AUC left |",
        "| --- | --- | --- | --- | --- |",
    ]
    for detector, found in numbers["detectors"].items():
        row = found["adaptive"]
        left = "none was wrong" if row["auc"] is None else f"{row['auc']:.3f}"
        missed = f"{row['undetected_at_0.05']:.1%} of {row['images']}"
        lines.append(f"| {detector} | {row['note']} | {missed} | {row['detected_at_0.05'] or 0:.1%} | {left} |")
    lines += ["", f"{numbers['minutes']:.1f} minutes."]
    return "\n".join(lines)


def with_interval(row: dict[str, Any]) -> str:
    """Write an area and its interval in per cent."""
    return "{:.1f} ({:.1f}–{:.1f})".format(*(100 * row[key] for key in ("auc", "auc_low", "auc_high")))


def tell(start: float, text: str) -> None:
    """Say what is done."""
    print(f"[{time.perf_counter() - start:.0f} s] {text}", flush=True)


if __name__ == "__main__":
    main()

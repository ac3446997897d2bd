"""Does recurrent batch normalisation help? LSTM and BatchNormLSTM read MNIST's pixels one by one, in a permuted order.

Usage: python examples/permuted_pixels.py FOLDER --output OUT, FOLDER with MNIST's four IDX files; about 45 minutes on
one core. With --quick it reads scikit-learn's 8 x 8 digits and no folder, in seconds. Writes OUT/permuted_pixels.json
and figures. Runs that the file already holds under the same settings are kept: an interrupted study goes on.

One permutation of the pixels is drawn, every 4th pixel of it is read: 196 steps of one number. Both networks begin
from the same published weights (Cooijmans et al. 2017): the candidate's recurrent weights are the identity, all others
orthogonal, the forget gate's bias is 1; RMSProp, the gradient clipped to norm 1.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import permuted_pixels_figures as figures

import advcore
from advcore import data, nn, ops

MODELS = ("LSTM", "BatchNormLSTM")


@dataclass(frozen=True)
class Settings:
    """What a run depends on beside its model and seed; the order of the pixels is drawn from seed 0 in all."""

    keep_every: int = 4
    training_samples: int = 10_000
    test_samples: int = 5_000
    hidden: int = 64
    epochs: int = 4
    batch_size: int = 50
    lr: float = 1e-3
    decay: float = 0.9
    clip_norm: float = 1.0
    h0_noise: float = 0.1  # BatchNormLSTM's alone, as published


QUICK = Settings(keep_every=1, training_samples=1000, test_samples=360, hidden=24, epochs=6, batch_size=50, lr=4e-3)


class Pixels:
    """Images as sequences (N, T, 1) of pixels in one permuted order."""

    def __init__(self, folder: str | None, settings: Settings) -> None:
        digits = data.digits() if folder is None else data.idx(folder)
        self.order = np.random.default_rng(0).permutation(int(np.prod(digits.input_shape)))
        self.kept = self.order[:: settings.keep_every]
        self.left_out = np.setdiff1d(self.order, self.kept)
        np.random.default_rng(1).shuffle(self.left_out)
        train, test = slice(settings.training_samples), slice(settings.test_samples)
        self.x_train, self.y_train = self.read(digits.x_train[train], self.kept), digits.y_train[train]
        self.images, self.y_test = digits.x_test[test], digits.y_test[test]
        self.x_test = self.read(self.images, self.kept)

    @staticmethod
    def read(images: Any, pixels: Any) -> Any:
        """Return the pixels of every image as steps."""
        return images.reshape(len(images), -1)[:, pixels, np.newaxis]


def orthogonal(rng: np.random.Generator, rows: int, cols: int) -> Any:
    """Return a matrix with orthonormal rows or columns, whichever are fewer."""
    q, r = np.linalg.qr(rng.standard_normal((max(rows, cols), min(rows, cols))))
    q *= np.sign(np.diag(r))
    return q if rows >= cols else q.T


def build(model: str, settings: Settings, seed: int, *, gamma: float = 0.1) -> nn.Network:
    """Build a network with the published initial weights, the same for both models."""
    hidden = settings.hidden
    if model == "LSTM":
        layer: nn.Layer = nn.LSTM(1, hidden, output="last")
    else:
        layer = nn.BatchNormLSTM(1, hidden, output="last", gamma=gamma, h0_noise=settings.h0_noise)
    network = nn.Sequential(layer, nn.Linear(hidden, 10), seed=seed)
    rng = np.random.default_rng(seed)
    i, f, o = np.split(orthogonal(rng, 3 * hidden, hidden), 3)
    bias = np.zeros(4 * hidden)
    bias[hidden : 2 * hidden] = 1
    published = {
        "weight_hh": np.concatenate([i, f, np.eye(hidden), o]),
        "weight_ih": orthogonal(rng, 4 * hidden, 1),
        "bias_ih": bias,
        "bias_hh": np.zeros_like(bias),
    }
    for name, parameter in layer.parameters.items():
        key = name.removesuffix("_l0")
        if key in published:
            parameter[...] = published[key]
    network.layers["1"].parameters["weight"][...] = orthogonal(rng, 10, hidden)
    network.layers["1"].parameters["bias"][...] = 0
    return network


def train(model: str, pixels: Pixels, settings: Settings, seed: int) -> dict[str, Any]:
    """Train once and return the curves, and the accuracy on longer sequences."""
    network = build(model, settings, seed)
    history = nn.fit(
        network,
        pixels.x_train,
        pixels.y_train,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        optimizer=nn.RMSProp(settings.lr, alpha=settings.decay),
        clip_norm=settings.clip_norm,
        seed=seed,
        validation=(pixels.x_test, pixels.y_test),
        callback=lambda epoch: print(model, f"seed {seed}", epoch, flush=True),
    )
    return {
        "training_loss": [epoch.loss for epoch in history.epochs],
        "test_accuracy": [epoch.validation_accuracy for epoch in history.epochs],
        "seconds": history.seconds,
        "threads": advcore.get_num_threads(),
        "longer": longer(network, pixels),
    }


def longer(network: nn.Network, pixels: Pixels) -> dict[str, Any]:
    """Test on sequences longer than those trained on: black pixels, or pixels never read in training, come after."""
    trained = len(pixels.kept)
    found: dict[str, Any] = {"extra_steps": [round(trained * share) for share in (0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5)]}
    others = pixels.read(pixels.images, pixels.left_out)
    for kind, more in {"black": np.zeros_like(pixels.x_test), "other pixels": others}.items():
        if more.shape[1] > 0:
            found[kind] = [
                nn.accuracy(network, np.concatenate([pixels.x_test, more[:, :steps]], axis=1), pixels.y_test)
                for steps in found["extra_steps"]
            ]
    return found


def gradient_norms(pixels: Pixels, settings: Settings, gamma: float, seed: int) -> dict[str, list[float]]:
    """Return the mean over samples of ``|d loss / d h_t|`` at the steps t of an untrained network, in training mode.

    The network is run from h_t on: its gradient for the first state is the one looked for, with c_t held.
    """
    network = build("BatchNormLSTM", settings, seed, gamma=gamma)
    layer, linear = network.layers["0"], network.layers["1"].parameters
    params = list(layer.parameters.values())
    x, labels = pixels.x_train[: settings.batch_size], pixels.y_train[: settings.batch_size]
    h = np.random.default_rng(seed).normal(0, settings.h0_noise, (len(x), settings.hidden)).astype(x.dtype)
    c = np.zeros_like(h)
    steps, norms = list(range(0, x.shape[1], max(1, x.shape[1] // 28))), []
    for t, after in zip(steps, [*steps[1:], x.shape[1]], strict=True):
        output, _, tape = ops.batch_norm_lstm(x[:, t:], (h, c), params, batch_first=True, return_tape=True)
        logits = ops.linear(output[:, -1], linear["weight"], linear["bias"])
        grad_logits = ops.softmax(logits)
        grad_logits[np.arange(len(x)), labels] -= 1
        grad_output = np.zeros_like(output)
        grad_output[:, -1] = ops.linear_input_grad(grad_logits, linear["weight"])
        _, (grad_h, _), _ = ops.batch_norm_lstm_grad(tape, grad_output)
        norms.append(float(np.linalg.norm(grad_h, axis=1).mean()))
        _, (h, c) = ops.batch_norm_lstm(x[:, t:after], (h, c), params, batch_first=True)
    return {"steps": steps, "norms": norms}


def study(folder: str | None, settings: Settings, output: Path, models: list[str], seeds: list[int]) -> dict[str, Any]:
    """Run what the results in the folder lack, write them after every run, and draw the figures."""
    pixels = Pixels(folder, settings)
    path = output / "permuted_pixels.json"
    results: dict[str, Any] = {"settings": asdict(settings), "steps": len(pixels.kept), "runs": {}}
    if path.exists():
        earlier = json.loads(path.read_text())
        if any(earlier[key] != results[key] for key in ("settings", "steps")):
            raise SystemExit(f"{path} holds a study with other settings: choose another folder")
        results = earlier
    output.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        for model in models:
            if f"{model}, seed {seed}" not in results["runs"]:
                results["runs"][f"{model}, seed {seed}"] = train(model, pixels, settings, seed)
                path.write_text(json.dumps(results, indent=1) + "\n")
    if "BatchNormLSTM" in models:
        results["gradient_norms"] = {
            str(gamma): gradient_norms(pixels, settings, gamma, seeds[0]) for gamma in (0.1, 0.3, 1.0)
        }
        path.write_text(json.dumps(results, indent=1) + "\n")
        figures.draw(results, output)
    return results


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run the study that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", help="with MNIST's four IDX files")
    parser.add_argument("--output", type=Path, required=True, help="folder for the results")
    parser.add_argument("--quick", action="store_true", help="scikit-learn's digits and few units, in seconds")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    chosen = parser.parse_args(arguments)
    if (chosen.folder is None) != chosen.quick:
        parser.error("give the folder with MNIST's files, or --quick")
    settings = QUICK if chosen.quick else Settings()
    return study(chosen.folder, settings, chosen.output, chosen.models, chosen.seeds)


if __name__ == "__main__":
    main()

"""Three networks whose gradients are known by hand: a bound as a regulariser, two steps of tanh, four linear pieces.

Usage: python examples/by_hand.py --output OUT (--quick does the same: it takes seconds).
Writes OUT/by_hand.json, .md and .png.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
from study import Report, arguments

from advcore import nn, ops


def laplacian(seed: int) -> list[dict[str, Any]]:
    """Fit sums of Laplacian bumps to noisy data, with the bound on their gradient, d ||w||_1, as a penalty."""
    rng = np.random.default_rng(seed)
    x, held_out = rng.uniform(-2, 2, (100, 2)), rng.uniform(-2, 2, (2000, 2))

    def truth(x: Any) -> Any:
        return np.sin(2 * x[:, 0]) * np.cos(x[:, 1])

    y = truth(x) + 0.6 * rng.standard_normal(len(x))
    centres = x
    basis = np.stack([nn.laplacian_rbf_network(x, centres[j : j + 1], np.ones(1))[0] for j in range(100)], axis=1)
    rate = 1 / np.linalg.norm(basis.T @ basis / len(x), 2)
    rows = []
    for penalty in (0.0, 0.0003, 0.001, 0.003, 0.01):
        w = np.zeros(100)
        for _ in range(2000):  # proximal gradient descent on mean squares + penalty d ||w||_1
            w -= rate * (basis.T @ (basis @ w - y) / len(x))
            w = np.sign(w) * np.maximum(np.abs(w) - rate * penalty * 2, 0)
        value, gradient = nn.laplacian_rbf_network(held_out, centres, w)
        bound = np.abs(w).sum()
        rows.append(
            {
                "penalty": penalty,
                "largest ||dy/dx||_1": float(np.abs(gradient).sum(axis=1).max()),
                "bound d ||w||_1": float(2 * bound),
                "largest ||dy/dx||_inf": float(np.abs(gradient).max()),
                "bound ||w||_1": float(bound),
                "training error": float(np.mean((basis @ w - y) ** 2)),
                "error on the truth": float(np.mean((value - truth(held_out)) ** 2)),
                "bumps in use": int(np.count_nonzero(w)),
            }
        )
    return rows


def two_steps() -> list[dict[str, Any]]:
    """dE/dW of h1 = tanh(x1 W + h0), h2 = tanh(x2 W + h1), E = (h2 - t)^2, in several ways."""
    x1, x2, weight, h0, t = 0.5, -0.3, 0.8, 0.1, 0.25
    h1 = np.tanh(x1 * weight + h0)
    h2 = np.tanh(x2 * weight + h1)
    found = {"by hand": 2 * (h2 - t) * (1 - h2**2) * (x2 + (1 - h1**2) * x1)}

    x = np.array([[[x1]], [[x2]]])
    one, zero = np.ones((1, 1)), np.zeros(1)
    params = [np.array([[weight]]), one, zero, zero]  # a recurrent weight of 1
    output, _, tape = ops.rnn_tanh(x, np.array([[[h0]]]), params, return_tape=True)
    _, gradient = nn.losses.squared(output[-1], np.array([[t]]))
    _, _, (grad_weight, *_) = ops.rnn_tanh_grad(tape, np.concatenate([np.zeros((1, 1, 1)), gradient[np.newaxis]]))
    found["by the kernels of rnn_tanh"] = float(grad_weight[0, 0])

    def error(w: float) -> float:
        return float((np.tanh(x2 * w + np.tanh(x1 * w + h0)) - t) ** 2)

    found["by differences"] = (error(weight + 1e-6) - error(weight - 1e-6)) / 2e-6
    if find_spec("torch") is not None:
        import torch

        leaf = torch.tensor(weight, dtype=torch.float64, requires_grad=True)
        ((torch.tanh(x2 * leaf + torch.tanh(x1 * leaf + h0)) - t) ** 2).backward()
        found["by autograd"] = float(leaf.grad)
    return [{"dE/dW": name, "value": f"{value:.12f}"} for name, value in found.items()]


def pieces() -> nn.Network:
    """Y = max(0, x1 + x2) + max(0, x1 - x2)."""
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1), dtype=np.float64)
    state = {"0.weight": np.array([[1.0, 1], [1, -1]]), "0.bias": np.zeros(2)}
    network.load_state_dict(state | {"2.weight": np.ones((1, 2)), "2.bias": np.zeros(1)})
    return network


# Where each piece holds, as (x1, x2) of a point inside; what y is there; its gradient.
PIECES = (
    ("x1 >= |x2|", (1.0, 0.2), "2 x1", (2.0, 0.0)),
    ("x2 >= |x1|", (0.2, 1.0), "x1 + x2", (1.0, 1.0)),
    ("-x2 >= |x1|", (0.2, -1.0), "x1 - x2", (1.0, -1.0)),
    ("x1 <= -|x2|", (-1.0, 0.2), "0", (0.0, 0.0)),
)


def main(given: list[str] | None = None) -> dict[str, Any]:
    """Run the study and write what it found."""
    chosen = arguments(__doc__, given, needs_data=False)
    report = Report(
        "by_hand",
        "Gradients by hand",
        {"seed": chosen.seed, "points": 100, "bumps": 100, "dimensions": 2},
        "The source states the bound and asks for the gradient and the drawing; the fit with a penalty is ours.",
    )
    rows = report.timed("fits", laplacian, chosen.seed)
    report.table("Laplacian bumps: the gradient and its bound on 2000 points", rows)
    best = min(rows, key=lambda row: row["error on the truth"])
    report.finding(
        f"The bound holds everywhere; as a penalty of {best['penalty']} it brings the steepest slope from "
        f"{rows[0]['largest ||dy/dx||_1']:.2f} to {best['largest ||dy/dx||_1']:.2f} and the error from "
        f"{rows[0]['error on the truth']:.3f} to {best['error on the truth']:.3f}."
    )
    report.table("Two steps of tanh", two_steps())
    network = pieces()
    report.table(
        "y = max(0, x1 + x2) + max(0, x1 - x2): a point in each piece",
        [
            {
                "where": where,
                "point": str(point),
                "y": y,
                "network": float(network.logits(np.array([point]))[0, 0]),
                "gradient": str(tuple(network.vjp(np.array([point]), np.ones((1, 1)))[0].tolist())),
                "by hand": str(gradient),
            }
            for where, point, y, gradient in PIECES
        ],
    )

    def draw(axes: Any) -> None:
        line = np.linspace(-2, 2, 201)
        grid = np.stack(np.meshgrid(line, line), axis=-1)
        y = network.logits(grid.reshape(-1, 2)).reshape(grid.shape[:2])
        shaded = axes[0].contourf(line, line, y, levels=16, cmap="Blues")
        axes[0].contour(line, line, y, levels=[1.0], colors="red")
        axes[0].plot(line, line, "k:", line, -line, "k:", linewidth=0.8)
        for _, (x1, x2), text, _ in PIECES:
            axes[0].text(1.3 * x1, 1.3 * x2, text, ha="center")
        axes[0].set(xlabel="x1", ylabel="x2", title="four pieces, and y = 1 in red", aspect="equal")
        axes[0].figure.colorbar(shaded, ax=axes[0], shrink=0.8)
        at = [max(row["penalty"], 1e-4) for row in rows]
        for name in ("largest ||dy/dx||_1", "bound d ||w||_1"):
            axes[1].plot(at, [row[name] for row in rows], marker="o", label=name)
        axes[1].set(xscale="log", yscale="log", xlabel="penalty (first: 0)", title="Laplacian bumps")
        axes[1].legend()

    return report.write(chosen.output, draw, axes=2)


if __name__ == "__main__":
    main()

"""Networks in PyTorch: ``Network.to_torch`` gives the module, with the same weights in torch's own layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from advcore._bench.peers import networks
from advcore._bench.peers.participant import Call
from advcore._cases import Case
from advcore._check import Array

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


def prepare(case: Case, inputs: dict[str, Any], *, channels_last: bool = False, wide: bool = False) -> Call:
    """Return the call to be timed, or with ``wide`` the yardstick in float64."""
    import torch

    layout = torch.channels_last if channels_last else torch.contiguous_format
    number = torch.float64 if wide else torch.float32
    module = inputs["network"].to_torch().to(number, memory_format=layout)
    x, y = torch.from_numpy(inputs["x"]).to(number), torch.from_numpy(inputs["y"])
    if x.ndim == 4:
        x = x.contiguous(memory_format=layout)
    if case.op == "training_step":
        return _training_step(case, module, x, y)
    module.requires_grad_(False)
    if case.op == "pgd":
        return Call(_pgd(module, x, y, **case.options), lambda result: [networks.climbed(case, result.numpy())])
    if case.op == "loss_gradient":
        return Call(lambda: _loss_gradient(module, x, y))

    def logits() -> Any:
        with torch.inference_mode():
            return module(x)

    return Call(logits)


def _loss_gradient(module: Module, x: Tensor, y: Tensor) -> Tensor:
    import torch

    x = x.detach().requires_grad_()
    loss = torch.nn.functional.cross_entropy(module(x), y, reduction="sum")
    return torch.autograd.grad(loss, x)[0]


def _training_step(case: Case, module: Module, x: Tensor, y: Tensor) -> Call:
    import torch

    module.train()
    options = dict(case.options)
    kind: Any = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[options.pop("optimizer")]
    optimizer = kind(module.parameters(), **options, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        torch.autograd.backward(torch.nn.functional.cross_entropy(module(x), y))
        optimizer.step()

    def arrays(_: Any) -> list[Array]:
        return networks.changes(case, {name: p.detach().numpy() for name, p in module.named_parameters()})

    return Call(step, arrays)


def _pgd(module: Module, x: Tensor, y: Tensor, *, eps: float, steps: int, step_size: float) -> Callable[[], Tensor]:
    """Climb by signs of gradients: the yardstick of attacks, which is not timed."""

    def run() -> Tensor:
        at = x
        for _ in range(steps):
            at = at + step_size * _loss_gradient(module, at, y).sign()
            at = (x + (at - x).clamp(-eps, eps)).clamp(0, 1)
        return at

    return run

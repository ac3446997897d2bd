"""A model as an evaluation takes it to its workers: by itself in this process, as bytes or by name elsewhere."""

from __future__ import annotations

import hashlib
import importlib
import io
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from advcore._check import Array
from advcore.evaluation import identity
from advcore.nn import Network, serialization
from advcore.nn.affine import Normalize

Numbers = float | Sequence[float] | None
_OPEN: dict[tuple[object, ...], Any] = {}  # of this process, so that each task does not read its model anew
_MOST_OPEN = 8


@dataclass(frozen=True)
class Handle:
    """What makes a model, anywhere.

    Attributes
    ----------
    kind : "object", "safetensors", "onnx", "pt2" or "factory"
    content : bytes, or the model itself ("object"), or "package.module:factory"
    mean, std, layout
        How the model takes its input: ``(x - mean) / std``, NCHW or NHWC.
    shape : tuple of int
        Of a sample, (C, H, W) or other.
    source : model, optional
        The same in the framework it came from; of "onnx" and "pt2" it is made when it is asked for.
    """

    kind: str
    content: Any = field(repr=False)
    shape: tuple[int, ...] = ()
    mean: Numbers = None
    std: Numbers = None
    layout: str = "NCHW"
    source: Any = None

    @property
    def travels(self) -> bool:
        """Whether another process can open it."""
        return self.kind != "object"

    @cached_property
    def digest(self) -> str:
        """A hash of the parameters, or of what else makes the model; of a factory, of what it gave here."""
        made = identity.parts(self.open()) if self.kind == "factory" else []
        return identity.digest(self._key, *made)

    @cached_property
    def _key(self) -> str:
        """What tells a handle from others in one process, where a factory's name is enough."""
        parts = [repr((self.kind, self.mean, self.std, self.layout)).encode()]
        if isinstance(self.content, bytes):
            parts.append(self.content)
        elif isinstance(self.content, str):
            parts.append(self.content.encode())
        else:
            parts.extend(identity.parts(self.content))
        return hashlib.sha256(b"\0".join(parts)).hexdigest()

    def open(self) -> Any:
        """Return the model that attacks are run on."""
        if self.kind == "object":
            return self.content
        return self._kept("model", self._make)

    def open_source(self) -> Any:
        """Return the model in its own framework, a callable from images to logits; None where there is none."""
        if self.kind in ("onnx", "pt2"):
            return self._kept("source", self._make_source)
        return self.source

    def _kept(self, what: str, make: Any) -> Any:
        key = (what, self._key, self.shape)
        if key not in _OPEN:
            while len(_OPEN) >= _MOST_OPEN:
                _OPEN.pop(next(iter(_OPEN)))
            _OPEN[key] = make()
        return _OPEN[key]

    def _make(self) -> Any:
        if self.kind == "safetensors":
            network = serialization.from_bytes(self.content)
            return normalised(network, self.mean, self.std)
        if self.kind == "onnx":
            from advcore.nn.onnx_import import from_onnx

            return from_onnx(self.content, mean=self.mean, std=self.std, layout=self.layout)
        if self.kind == "pt2":
            from advcore.nn.torch_import import from_torch

            own = self.shape if self.layout == "NCHW" else (*self.shape[1:], self.shape[0])
            return from_torch(exported(self.content), own, mean=self.mean, std=self.std, layout=self.layout)
        return made_by(self.content, self.shape, self.mean, self.std, self.layout)

    def _make_source(self) -> Any:
        if self.kind == "pt2":
            return Source(exported(self.content), self.mean, self.std, self.layout)
        try:
            import onnxruntime
        except ImportError:
            return None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(self.content, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return Source(lambda x: session.run(None, {name: x})[0], self.mean, self.std, self.layout)


def of(model: Any, source: Any = None) -> Handle:
    """Return the handle of a model that a user has: networks travel, other objects stay in this process."""
    if isinstance(model, Handle):
        return model
    if isinstance(model, Network):
        try:
            handle = Handle("safetensors", serialization.to_bytes(model), source=source)
        except ValueError:  # a layer of the user's own
            return Handle("object", model, source=source)
        handle._kept("model", lambda: model)  # the same bits, without a copy
        return handle
    return Handle("object", model, source=source)


def exported(content: bytes) -> Any:
    """Return the module of a torch.export program."""
    import torch

    log = logging.getLogger("torch.export")
    log.disabled = True  # it shows a traceback of what it then raises
    try:
        module = torch.export.load(io.BytesIO(content)).module()
    finally:
        log.disabled = False
    for part in module.modules():  # an exported program has one mode, and refuses eval()
        part.training = False
    return module


def made_by(name: str, shape: tuple[int, ...], mean: Numbers, std: Numbers, layout: str) -> Any:
    """Return what ``package.module:factory`` makes, with its preparation in front."""
    module_name, _, attribute = name.partition(":")
    if not attribute:
        raise ValueError(f"a factory must be written package.module:factory, got {name!r}")
    try:
        factory = getattr(importlib.import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        if error.name and module_name.startswith(error.name):
            raise ValueError(f"{name}: there is no module {error.name} on the path") from None
        raise
    except AttributeError:
        raise ValueError(f"{name}: the module has no {attribute}") from None
    model = factory()
    if mean is None and std is None and layout == "NCHW":
        return model
    if isinstance(model, Network) and layout == "NCHW":
        return normalised(model, mean, std)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        from advcore.nn.torch_import import from_torch

        own = shape if layout == "NCHW" else (*shape[1:], shape[0])
        return from_torch(model, own, mean=mean, std=std, layout=layout)
    if callable(model) and not hasattr(model, "logits"):
        return Source(model, mean, std, layout)
    raise ValueError(
        f"{name}: mean, std and layout are for networks, torch modules and callables; it gave another model"
    )


def normalised(network: Network, mean: Numbers, std: Numbers) -> Network:
    """Return a network that takes (x - mean) / std first."""
    if mean is None and std is None:
        return network
    first = "preparation"
    while first in network.layers:
        first += "_"
    wiring = {name: [first if s == "input" else s for s in sources] for name, sources in network.wiring.items()}
    front = Normalize(0.0 if mean is None else mean, 1.0 if std is None else std)
    layers = {first: front, **network.layers}
    return Network(layers, wiring={first: ["input"], **wiring}, dtype=network.dtype)


class Source:
    """A function of prepared images: what the model is in its own framework."""

    def __init__(self, function: Any, mean: Numbers, std: Numbers, layout: str) -> None:
        self.function, self.mean, self.std, self.layout = function, mean, std, layout

    def __call__(self, x: Array) -> Array:
        """Return the logits of images (N, C, H, W) in their box."""
        if self.mean is not None or self.std is not None:
            extents = (-1, *[1] * (x.ndim - 2))
            mean = np.asarray(0.0 if self.mean is None else self.mean, x.dtype)
            std = np.asarray(1.0 if self.std is None else self.std, x.dtype)
            x = (x - (mean.reshape(extents) if mean.ndim else mean)) / (std.reshape(extents) if std.ndim else std)
        if self.layout == "NHWC":
            x = np.ascontiguousarray(np.moveaxis(x, 1, -1))
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(self.function, torch.nn.Module):
            with torch.no_grad():
                return np.asarray(self.function(torch.from_numpy(np.ascontiguousarray(x))))
        return np.asarray(self.function(x))

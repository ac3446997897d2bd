"""advcore: how robust is a classifier? Attacks, detectors and an honest evaluation on fast CPU kernels."""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if find_spec("advcore._core") is None:  # the current folder comes first on the path of `python -c` and `python -m`
    raise ImportError(
        f"advcore was imported from its source tree, {__path__[0]}, where its kernels are not built: "
        "run Python from another folder, or install with pip install --editable ."
    )

from advcore import attacks, data, models, nn, ops
from advcore._config import get_num_threads, set_num_threads, show_config
from advcore._version import __version__
from advcore.nn.onnx_import import from_onnx

if TYPE_CHECKING:
    from advcore import adapters, defenses, detectors, evaluation, reference
    from advcore.evaluation import evaluate
    from advcore.nn.torch_import import from_torch

__all__ = [
    "__version__",
    "adapters",
    "attacks",
    "data",
    "defenses",
    "detectors",
    "evaluate",
    "evaluation",
    "from_onnx",
    "from_torch",
    "get_num_threads",
    "models",
    "nn",
    "ops",
    "reference",
    "set_num_threads",
    "show_config",
]


def __getattr__(name: str) -> Any:
    """Import what needs scikit-learn or PyTorch when it is first used."""
    if name in ("adapters", "defenses", "detectors", "evaluation", "reference"):
        return import_module(f"advcore.{name}")
    if name == "evaluate":
        return import_module("advcore.evaluation").evaluate
    if name == "from_torch":
        return import_module("advcore.nn.torch_import").from_torch
    raise AttributeError(f"module 'advcore' has no attribute {name!r}")

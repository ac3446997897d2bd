"""Detectors in files: one safetensors file with arrays, and everything else as JSON in its metadata.

A file is data and nothing else: classes come from the list below, and their arguments pass the checks of ``prepare``.
What follows from the reference images and the network, such as activations, is computed anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from advcore import _check, _files, _safetensors
from advcore._check import Array
from advcore.defenses import BitDepth, MedianFilter, NonLocalMeans
from advcore.detectors._base import ARRAYS, Detector
from advcore.detectors._state import first_change, state
from advcore.detectors.bayesian_uncertainty import BayesianUncertainty
from advcore.detectors.combination import Combination
from advcore.detectors.feature_classifier import FeatureClassifier
from advcore.detectors.feature_squeezing import FeatureSqueezing
from advcore.detectors.kernel_density import KernelDensity
from advcore.detectors.lid import LID
from advcore.detectors.mahalanobis import Mahalanobis
from advcore.detectors.max_softmax import MaxSoftmax
from advcore.detectors.rbf_rejection import RBFRejection
from advcore.nn import Network

FORMAT = 1
KEY = "advcore.detector"

CLASSES: dict[str, type[Detector]] = {
    detector.__name__: detector
    for detector in (
        *(BayesianUncertainty, Combination, FeatureSqueezing, KernelDensity),
        *(LID, Mahalanobis, MaxSoftmax, RBFRejection),
    )
}
SQUEEZERS: dict[str, type] = {kind.__name__: kind for kind in (BitDepth, MedianFilter, NonLocalMeans)}
LARGEST_NESTING = 4  # of combinations


def fingerprint(network: Network) -> str:
    """Return a checksum of a network's layers, wiring, parameters and buffers."""
    checksum = hashlib.sha256()
    for name, layer in network.layers.items():
        checksum.update(repr((name, type(layer).__name__, layer.config(), network.wiring[name])).encode())
    for name, array in network.state_dict().items():
        checksum.update(repr((name, array.dtype.name, array.shape)).encode())
        checksum.update(np.ascontiguousarray(array).tobytes())
    return checksum.hexdigest()


def save(detector: Detector, path: object) -> None:
    """Write a detector to a file; see Detector.save."""
    file = _check.path("path", path)
    check_is_fitted(detector, "threshold_")
    network = _check.instance("network", detector.network, Network)
    changed = first_change(detector._fitted, state(detector))
    if changed is not None:
        raise ValueError(f"{changed} must be what fit saw, got what has changed since")
    arrays: dict[str, Array] = {"threshold": np.array([detector.threshold_])}
    if detector.supervised:
        arrays["ceilings"] = detector.ceilings_
        arrays["weights"] = detector.classifier_.weights_
        arrays["offset"] = np.array([detector.classifier_.offset_])
    content = {"format": FORMAT, "network": fingerprint(network), "detector": _described(detector, "", arrays)}
    _files.write(file, _safetensors.to_bytes(arrays, {KEY: json.dumps(content, allow_nan=False)}))


def load(path: object, network: Any) -> Detector:
    """Read a detector from a file; see Detector.load."""
    file = _check.path("path", path)
    _check.instance("network", network, Network)
    try:
        return _detector(*_safetensors.read(file), network)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file} holds no detector that can be loaded: {error}") from None


def _described(detector: Detector, prefix: str, arrays: dict[str, Array]) -> dict[str, Any]:
    """Return a detector's class and arguments; its arrays are added to the others under the prefix."""
    name = type(detector).__name__
    if CLASSES.get(name) is not type(detector):
        raise TypeError(f"detector must be of a class of advcore.detectors to be saved, got {type(detector)}")
    options: dict[str, Any] = {}
    for key, value in detector.get_params(deep=False).items():
        if key in ARRAYS:
            arrays[prefix + key] = np.asarray(value, np.float64 if key == "labels" else value.dtype)
        elif key == "detectors":
            options[key] = [_described(one, f"{prefix}{number}.", arrays) for number, one in enumerate(value)]
        elif key == "squeezers" and value is not None:
            options[key] = [_squeezer(number, one) for number, one in enumerate(value)]
        elif key != "network":
            options[key] = value.item() if isinstance(value, np.generic) else value
    return {"class": name, "options": options}


def _squeezer(number: int, squeezer: Any) -> dict[str, Any]:
    name = type(squeezer).__name__
    if SQUEEZERS.get(name) is not type(squeezer):
        raise TypeError(f"squeezers[{number}] must be of a class of advcore.defenses to be saved, got {name}")
    options = {key: value.item() if isinstance(value, np.generic) else value for key, value in vars(squeezer).items()}
    return {"class": name, "options": options}


def _detector(arrays: dict[str, Array], metadata: Mapping[str, str], network: Network) -> Detector:
    if KEY not in metadata:
        raise ValueError(f"its metadata has no {KEY!r}")
    content = _safetensors.parse_json(metadata[KEY], "the description")
    if content.get("format") != FORMAT:
        raise ValueError(f"its format must be {FORMAT}, got {content.get('format')!r}")
    own = fingerprint(network)
    if content.get("network") != own:
        raise ValueError(f"it is for another network, {str(content.get('network'))[:12]}, not for {own[:12]}")
    detector = _made(content.get("detector"), "", arrays, network, 0).prepare()

    def take(name: str, shape: tuple[int | None, ...]) -> Array:
        if name not in arrays:
            raise ValueError(f"it has no tensor {name!r}")
        array = _check.array(name, arrays.pop(name), dtype=np.dtype(np.float64), shape=shape)
        _check.finite(name, array)
        return array

    if detector.supervised:
        width = (detector._width(),)
        detector.ceilings_ = take("ceilings", width)
        detector.classifier_ = FeatureClassifier()
        detector.classifier_.weights_ = take("weights", width)
        detector.classifier_.offset_ = float(take("offset", (1,))[0])
    detector.threshold_ = float(take("threshold", (1,))[0])
    detector._fitted = detector._prepared
    if arrays:
        raise ValueError(f"it has tensors of no use: {', '.join(sorted(arrays)[:5])}")
    return detector


def _made(description: Any, prefix: str, arrays: dict[str, Array], network: Network, depth: int) -> Detector:
    """Return the detector that was described, with its arrays taken from the others, unprepared."""
    name, options = _class_and_options(description, CLASSES)
    kind = CLASSES[name]
    known = kind._get_param_names()
    for key in ARRAYS:
        if key in known:
            if prefix + key not in arrays:
                raise ValueError(f"it has no tensor {prefix + key!r}")
            value = arrays.pop(prefix + key)
            if key == "labels":
                _check.finite("labels", value)
                value = value.astype(np.int64)
            options[key] = value
    unknown = set(options) - set(known) | set(options) & {"network"}
    if unknown:
        raise ValueError(f"a {name} has no argument {min(unknown)!r}")
    if kind is Combination:
        members = options.get("detectors")
        if not isinstance(members, list) or depth >= LARGEST_NESTING:
            raise ValueError(f"detectors must be a list, not nested more than {LARGEST_NESTING} times")
        options["detectors"] = [
            _made(one, f"{prefix}{number}.", arrays, network, depth + 1) for number, one in enumerate(members)
        ]
    else:
        options["network"] = network
    if isinstance(options.get("squeezers"), list):
        options["squeezers"] = [_made_squeezer(one) for one in options["squeezers"]]
    return kind(**options)


def _made_squeezer(description: Any) -> Any:
    name, options = _class_and_options(description, SQUEEZERS)
    return SQUEEZERS[name](**options)


def _class_and_options(description: Any, classes: Mapping[str, type]) -> tuple[str, dict[str, Any]]:
    if not isinstance(description, dict) or not isinstance(description.get("options"), dict):
        raise ValueError("a description must be an object with class and options")
    name = description.get("class")
    if not isinstance(name, str) or name not in classes:
        raise ValueError(f"the class must be one of {', '.join(classes)}, got {name!r}")
    return name, dict(description["options"])

"""Detectors in files: for their own network only, and safe whoever made them."""

import json

import numpy as np
import pytest

from advcore import _safetensors, detectors, nn
from advcore.detectors import Detector
from advcore.detectors._saving import KEY, fingerprint


@pytest.fixture
def file(setting, tmp_path):
    """A saved detector, and what is in its file."""
    path = tmp_path / "detector"
    setting.fitted("LID of some layers").save(path)
    arrays, metadata = _safetensors.read(path)
    return path, arrays, json.loads(metadata[KEY])


def test_a_detector_of_another_network_is_refused(setting, file):
    path, _, _ = file
    other = nn.Network(setting.network.layers, wiring=setting.network.wiring, dtype=np.float64)
    assert fingerprint(other) == fingerprint(setting.network)  # the same layers with the same parameters
    Detector.load(path, other)
    layers = list(setting.network.layers.values())
    changed = nn.Sequential(*layers[:-1], nn.Linear(7, 4), dtype=np.float64)
    with pytest.raises(ValueError, match="holds no detector that can be loaded: it is for another network"):
        Detector.load(path, changed)
    with pytest.raises(TypeError, match="network must be of type Network"):
        Detector.load(path, None)


def test_one_changed_weight_makes_another_network(setting):
    before = fingerprint(setting.network)
    weight = setting.network.parameters()["10.weight"]
    kept = weight[0, 0]
    weight[0, 0] += 1e-9
    try:
        assert fingerprint(setting.network) != before
    finally:
        weight[0, 0] = kept
    assert fingerprint(setting.network) == before


def with_detector(content, **changes):
    return content | {"detector": content["detector"] | changes}


def with_options(content, **changes):
    return with_detector(content, options=content["detector"]["options"] | changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, c: (a, c | {"format": 2}), "its format must be 1, got 2"),
        (lambda a, c: (a, c | {"network": 3}), "it is for another network, 3"),
        (lambda a, c: (a, c | {"detector": []}), "must be an object with class and options"),
        (lambda a, c: (a, with_detector(c, **{"class": "Exec"})), "the class must be one of .* got 'Exec'"),
        (lambda a, c: (a, with_detector(c, **{"class": "Detector"})), "the class must be one of"),
        (lambda a, c: (a, with_detector(c, **{"class": ["LID"]})), "the class must be one of"),
        (lambda a, c: (a, with_detector(c, **{"class": "MaxSoftmax"})), "a MaxSoftmax has no argument"),
        (lambda a, c: (a, with_options(c, network=3)), "a LID has no argument 'network'"),
        (lambda a, c: (a, with_options(c, seed=3)), "a LID has no argument 'seed'"),
        (lambda a, c: (a, with_options(c, k=10**9)), "k must be at most the number of reference images, 60"),
        (lambda a, c: (a, with_options(c, k="6")), "k must be an integer"),
        (lambda a, c: (a, with_options(c, layers=["nowhere"])), "layers must be 'input'"),
        (lambda a, c: (a, with_options(c, layers=["2"])), r"ceilings must have shape \(1,\), got \(4,\)"),
        (lambda a, c: ({k: v for k, v in a.items() if k != "reference"}, c), "it has no tensor 'reference'"),
        (lambda a, c: ({k: v for k, v in a.items() if k != "weights"}, c), "it has no tensor 'weights'"),
        (lambda a, c: (a | {"weights": a["weights"][:2]}, c), r"weights must have shape \(4,\)"),
        (lambda a, c: (a | {"weights": a["weights"] * np.nan}, c), "weights must be finite"),
        (lambda a, c: (a | {"threshold": np.array([np.inf])}, c), "threshold must be finite"),
        (lambda a, c: (a | {"reference": a["reference"] * np.inf}, c), "reference must be finite"),
        (lambda a, c: (a | {"reference": a["reference"][:, :, :3]}, c), "x does not fit layer"),
        (lambda a, c: (a | {"more": np.zeros(3)}, c), "it has tensors of no use: more"),
    ],
)
def test_broken_files_are_told(setting, file, change, message):
    path, arrays, content = file
    arrays, content = change(arrays, content)
    path.write_bytes(_safetensors.to_bytes(arrays, {KEY: json.dumps(content)}))
    with pytest.raises(ValueError, match=message) as caught:
        Detector.load(path, setting.network)
    assert str(path) in str(caught.value)


def test_what_is_no_detector(setting, tmp_path):
    setting.network.save(tmp_path / "network")
    with pytest.raises(ValueError, match=f"its metadata has no '{KEY}'"):
        Detector.load(tmp_path / "network", setting.network)
    with pytest.raises(FileNotFoundError):
        Detector.load(tmp_path / "nothing", setting.network)


def test_combinations_are_not_nested_without_end(setting, file):
    path, _, content = file
    inner = {"class": "MaxSoftmax", "options": {}}
    for _ in range(9):
        inner = {"class": "Combination", "options": {"detectors": [inner]}}
    path.write_bytes(_safetensors.to_bytes({}, {KEY: json.dumps(content | {"detector": inner})}))
    with pytest.raises(ValueError, match="not nested more than 4 times"):
        Detector.load(path, setting.network)


def test_what_cannot_be_saved(setting, tmp_path):
    class Mine(detectors.MaxSoftmax):
        pass

    with pytest.raises(TypeError, match=r"detector must be of a class of advcore\.detectors"):
        Mine(setting.network).fit(setting.x).save(tmp_path / "detector")
    squeezing = detectors.FeatureSqueezing(setting.network, [lambda x: x]).fit(setting.x)
    with pytest.raises(TypeError, match=r"squeezers\[0\] must be of a class of advcore\.defenses"):
        squeezing.save(tmp_path / "detector")
    assert not (tmp_path / "detector").exists()


def test_a_reference_that_changed_after_fit_is_not_saved(setting, tmp_path):
    reference = setting.reference.copy()
    detector = detectors.LID(setting.network, reference, k=6).fit(setting.x, setting.y)
    reference[0] += 0.25
    with pytest.raises(ValueError, match="reference must be what fit saw"):
        detector.save(tmp_path / "detector.safetensors")


def test_combinations_of_nothing_are_refused(setting, file):
    path, _, content = file
    nothing = {"class": "Combination", "options": {"detectors": []}}
    outer = {"class": "Combination", "options": {"detectors": [nothing]}}
    for described in (nothing, outer):
        path.write_bytes(_safetensors.to_bytes({}, {KEY: json.dumps(content | {"detector": described})}))
        with pytest.raises(ValueError, match="detectors must have at least one detector"):
            Detector.load(path, setting.network)

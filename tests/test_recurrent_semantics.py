"""What recurrent layers promise: every option against PyTorch, ONNX's own operators, and long and short sequences."""

import itertools

import numpy as np
import pytest
import torch

import advcore
from advcore import ops, reference
from advcore._cases import compare

GATES = {"rnn_tanh": 1, "gru": 3, "lstm": 4}
KINDS = [("rnn_tanh", {}), ("gru", {"reset": "after"}), ("gru", {"reset": "before"}), ("lstm", {})]
each_kind = pytest.mark.parametrize(
    ("op", "options"), KINDS, ids=["rnn_tanh", "gru_after", "gru_before", "lstm"]
)  # fmt: skip


def draw_params(rng, op, inputs, hidden, *, layers=1, directions=1, biases=True):
    width, params = GATES[op] * hidden, []
    for layer in range(layers):
        for _ in range(directions):
            below = directions * hidden if layer else inputs
            shapes = [(width, below), (width, hidden), *([(width,), (width,)] if biases else [])]
            params += [rng.standard_normal(shape) / hidden**0.5 for shape in shapes]
    return params


def draw_state(rng, op, shape):
    h, c = rng.standard_normal((2, *shape))
    return (h, c) if op == "lstm" else h


def flat(value):
    if isinstance(value, (tuple, list)):
        return [array for part in value for array in flat(part)]
    return [] if value is None else [np.asarray(value)]


def tensors(value):
    if isinstance(value, (tuple, list)):
        return tuple(map(tensors, value))
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def both_ways(module, op, x, hx, params, grads, **options):
    """Output, last states, and the gradients of input, first states (where given) and parameters."""
    output, h_n, tape = getattr(module, op)(x, hx, params, return_tape=True, **options)
    return flat((output, h_n, *getattr(module, f"{op}_grad")(tape, *grads)))


def agrees_with_the_reference(rng, kind, sizes, layers=1, bidirectional=False, batch_first=False, **given):
    (op, options), (samples, steps, inputs, hidden) = kind, sizes
    directions = 1 + bidirectional
    params = draw_params(
        rng, op, inputs, hidden, layers=layers, directions=directions, biases=given.get("biases", True)
    )  # fmt: skip
    lead = (samples, steps) if batch_first else (steps, samples)
    state = (layers * directions, samples, hidden)
    hx = draw_state(rng, op, state)
    if not given.get("hx", True):
        hx = (0 * hx[0], 0 * hx[1]) if op == "lstm" else 0 * hx
    x, grad_output = rng.standard_normal((*lead, inputs)), rng.standard_normal((*lead, directions * hidden))
    grads = (grad_output, draw_state(rng, op, state))
    more = options | {"num_layers": layers, "bidirectional": bidirectional, "batch_first": batch_first}
    if given.get("padded", False):
        more["lengths"] = rng.integers(1, steps, samples, endpoint=True)
    got = both_ways(ops, op, x, hx if given.get("hx", True) else None, params, grads, **more)
    want = both_ways(reference, op, tensors(x), tensors(hx), tensors(params), tensors(grads), **more)
    assert compare(got, [np.asarray(array) for array in want]) <= 1e-7


@each_kind
@pytest.mark.parametrize("layers", [1, 2])
def test_all_options_crossed_agree_to_1e_7_in_float64(op, options, layers):
    rng = np.random.default_rng(0)
    for bidirectional, batch_first, padded, hx, biases in itertools.product((False, True), repeat=5):
        agrees_with_the_reference(
            rng, (op, options), (5, 4, 3, 9), layers, bidirectional, batch_first, padded=padded, hx=hx, biases=biases
        )


@each_kind
@pytest.mark.parametrize("hidden", [1, 7, 33])
@pytest.mark.parametrize("steps", [1, 3, 1000])
def test_sequences_of_any_length_and_states_of_any_size(op, options, hidden, steps):
    agrees_with_the_reference(np.random.default_rng(hidden), (op, options), (3, steps, 5, hidden))


@each_kind
@pytest.mark.parametrize("inputs", [0, 1, 300])
def test_inputs_of_any_size(op, options, inputs):
    agrees_with_the_reference(np.random.default_rng(0), (op, options), (11, 9, inputs, 6), bidirectional=True)


@each_kind
def test_a_padded_sequence_gives_the_bits_of_the_unpadded_one(op, options):
    rng = np.random.default_rng(0)
    steps, hidden, lengths = 9, 21, np.array([4, 9, 1, 6])
    params = draw_params(rng, op, 5, hidden, directions=2)
    x, grad_output = rng.standard_normal((steps, 4, 5)), rng.standard_normal((steps, 4, 2 * hidden))
    hx, grad_h_n = (draw_state(rng, op, (2, 4, hidden)) for _ in range(2))

    def run(sample, last, **more):
        def one(state):
            return tuple(part[:, sample] for part in state) if op == "lstm" else state[:, sample]

        grads = (grad_output[:last, sample], one(grad_h_n))
        *results, _ = flat_results(op, x[:last, sample], one(hx), params, grads, bidirectional=True, **options, **more)
        return flat(results)

    padded = run(slice(None), steps, lengths=lengths)
    for sample, length in enumerate(lengths):
        for alone, together in zip(run(slice(sample, sample + 1), length), padded, strict=True):
            along_steps = len(together) == steps
            np.testing.assert_array_equal(alone[:, 0], (together[:length] if along_steps else together)[:, sample])


def flat_results(op, x, hx, params, grads, **options):
    output, h_n, tape = getattr(ops, op)(x, hx, params, return_tape=True, **options)
    return output, h_n, *getattr(ops, f"{op}_grad")(tape, *grads)


@each_kind
@pytest.mark.parametrize("samples", [1, 3, 90, 200])
@pytest.mark.parametrize("steps", [1, 2, 100])
def test_a_batch_and_threads_change_no_bit_whatever_path_they_take(op, options, samples, steps):
    rng = np.random.default_rng(0)
    params = [array.astype(np.float32) for array in draw_params(rng, op, 300, 70)]
    x = rng.standard_normal((steps, samples, 300)).astype(np.float32)
    before, results = advcore.get_num_threads(), []
    for threads in (1, 2, 3):
        advcore.set_num_threads(threads)
        results.append(flat(getattr(ops, op)(x, None, params, **options)))
        results[-1].append(getattr(ops, op)(x, None, params, return_tape=True, **options)[0])
    results.append(flat(getattr(ops, op)(x[:, -1:], None, params, **options)))
    advcore.set_num_threads(before)
    *whole, alone = results
    for other in whole[1:]:
        for one, two in zip(whole[0], other, strict=True):
            np.testing.assert_array_equal(one, two)
    for one, two in zip(alone, whole[0], strict=False):
        np.testing.assert_array_equal(one[:, 0], two[:, -1])


def onnx_gates(array, op, hidden):
    """Turn the rows of our gates into ONNX's order: z r h, and i o f c."""
    order = {"rnn_tanh": [0], "gru": [1, 0, 2], "lstm": [0, 3, 1, 2]}[op]
    return np.concatenate([array[gate * hidden : (gate + 1) * hidden] for gate in order])


@each_kind
@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_layers_are_onnxs_operators(op, options, biases, seed):
    pytest.importorskip("onnx")
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    rng = np.random.default_rng(seed)
    steps, samples, inputs, hidden = rng.integers(1, 8, 4)
    params = [array.astype(np.float32) for array in draw_params(rng, op, inputs, hidden, biases=biases)]
    x = rng.standard_normal((steps, samples, inputs)).astype(np.float32)
    hx = tuple(array.astype(np.float32) for array in flat(draw_state(rng, op, (1, samples, hidden))))

    w, r, *b = (onnx_gates(array, op, hidden)[np.newaxis] for array in params)
    feeds = {"X": x, "W": w, "R": r, "B": np.concatenate(b, axis=1) if b else None, "initial_h": hx[0]}
    if op == "lstm":
        feeds["initial_c"] = hx[1]
    names = ["X", "W", "R", "B" if biases else "", "", *list(feeds)[4:]]
    feeds = {name: value for name, value in feeds.items() if value is not None}
    attributes = {"linear_before_reset": int(options["reset"] == "after")} if op == "gru" else {}
    outputs = ["Y", "Y_h", "Y_c"][: 1 + len(hx)]
    node = helper.make_node(op.split("_")[0].upper(), names, outputs, hidden_size=int(hidden), **attributes)
    graph = helper.make_graph(
        [node],
        op,
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape) for name, value in feeds.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)])
    want = ReferenceEvaluator(model).run(None, feeds)

    output, h_n = getattr(ops, op)(x, hx if op == "lstm" else hx[0], params, **options)
    got = [output[:, np.newaxis], *flat(h_n)]
    assert compare(got, want) <= 1e-5

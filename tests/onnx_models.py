"""Small ONNX models for tests."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def tensor(name, shape, seed=0):
    return numpy_helper.from_array(np.random.default_rng(seed).standard_normal(shape).astype(np.float32), name)


def model(nodes, tensors=(), shape=("N", 3, 8, 8), output="y", opset=21, **graph):
    start = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    end = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    proto = helper.make_graph(list(nodes), "g", [start], [end], list(tensors), **graph)
    return helper.make_model(proto, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)

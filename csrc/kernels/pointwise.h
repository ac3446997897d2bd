// Activations and their gradients, element by element.
#pragma once

#include <stdint.h>

namespace advcore {

enum class Pointwise : int32_t {
    relu,
    sigmoid,
    tanh,
    gelu,
    gelu_tanh,
    relu_grad,
    sigmoid_grad,
    tanh_grad,
    gelu_grad,
    gelu_tanh_grad,
    add,
    add_relu,
    multiply
};

constexpr int64_t pointwise_chunk = 4096;

// out[i] = op(x[i]), or op(x[i], grad[i]) where op is a gradient or takes two operands. An item is a chunk of
// `pointwise_chunk` elements.
template <class T>
struct PointwiseArgs {
    Pointwise op;
    const T* grad;  // or the second operand; null where there is one alone
    const T* x;
    T* out;
    int64_t size;
};

}  // namespace advcore

// Matrix product and the three directions of the linear layer: all are one kernel with other strides.
#pragma once

#include "../kernels/activation.h"
#include "../kernels/matmul.h"

namespace advcore {

struct LinearShape {
    int64_t samples, inputs, outputs;
};

// Cuts the product into tiles and runs it.
template <class T>
void matmul(MatmulArgs<T> args);

// out[n, o] = activation(sum_i input[n, i] weight[o, i] + bias[o])
template <class T>
void linear(const LinearShape& s, const T* input, const T* weight, const T* bias, T* out, Activation activation);

// grad_input[n, i] = sum_o grad_output[n, o] weight[o, i]
template <class T>
void linear_input_grad(const LinearShape& s, const T* grad_output, const T* weight, T* grad_input);

// grad_weight[o, i] = sum_n grad_output[n, o] input[n, i]
template <class T>
void linear_weight_grad(const LinearShape& s, const T* grad_output, const T* input, T* grad_weight);

}  // namespace advcore

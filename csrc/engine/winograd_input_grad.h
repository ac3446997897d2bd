// The gradient of a 3 x 3 Winograd convolution for its input by the transposed transforms: for layers whose outputs
// have fewer tiles than their inputs (kernels/winograd_input_grad.h), of at most 64 tiles a plane.
#pragma once

#include "conv2d.h"

namespace advcore {

// `s` is the layer's; weight[groups * rows, channels, 3, 3].
template <class T>
void winograd_input_grad(const ConvShape& s, const T* weight, const T* grad_output, T* grad_input);

// The same with weights transformed ahead, to winograd_input_grad_packed_size(s) elements.
template <class T>
int64_t winograd_input_grad_packed_size(const ConvShape& s);
template <class T>
void winograd_input_grad_pack(const ConvShape& s, const T* weight, T* packed);
template <class T>
void winograd_input_grad_packed(const ConvShape& s, const T* packed, const T* grad_output, T* grad_input);

}  // namespace advcore

// Values of a network whose channels lie side by side at each position (kernels/channels_last.h).
#pragma once

#include "../kernels/channels_last.h"
#include "conv2d.h"
#include "pooling.h"

namespace advcore {

// to[n, col, row] = from[n, row, col]
template <class T>
void rearrange(const T* from, T* to, int64_t samples, int64_t rows, int64_t cols);

// Pooling by windows side by side: no padding, no dilation, strides of the windows' size.
bool is_side_by_side(const PoolAxis& axis);
template <class T>
void max_pool_last(const SideBySide& windows, const T* input, T* out, T* place);
template <class T>
void max_pool_last_grad(const SideBySide& windows, const T* place, const T* grad_output, T* grad_input);

// Whether a layer of Winograd's algorithm is computed so in a network: full registers, and frequencies of the weights
// that stay in a cache.
bool gains_channels_last(int64_t groups, int64_t rows, int64_t channels);

// The convolution `s` and its gradient for the input by the transposed transforms, with weights transformed ahead, to
// winograd_last_size(s) elements: `weight` is that of the convolution.
int64_t winograd_last_size(const ConvShape& s);
template <class T>
void winograd_last_pack(const ConvShape& s, const T* weight, bool transposed, T* packed);
template <class T>
void winograd_last(const ConvShape& s, const T* input, const T* packed, const T* bias, T* out, Activation activation);
template <class T>
void winograd_last_grad(const ConvShape& s, const T* packed, const T* grad_output, T* grad_input);

}  // namespace advcore

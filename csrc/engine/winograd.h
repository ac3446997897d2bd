// Winograd convolution of 3 x 3 or 5 x 5 taps with stride 1, forward and (with the taps turned around) for the input's
// gradient.
#pragma once

#include "conv2d.h"

namespace advcore {

// Elements of the weights as winograd_pack leaves them.
template <class T>
int64_t winograd_packed_size(const ConvShape& s);

// weight[groups * rows, channels, taps, taps], or flipped: weight[groups * channels, rows, taps, taps] with its taps
// turned around.
template <class T>
void winograd(const ConvShape& s, const T* input, const T* weight, bool flipped, const T* bias, T* out,
              Activation activation);

template <class T>
void winograd_pack(const ConvShape& s, const T* weight, T* packed);

template <class T>
void winograd_packed(const ConvShape& s, const T* input, const T* packed, const T* bias, T* out, Activation activation);

template <class T>
void winograd_weight_grad(const ConvShape& s, const T* input, const T* grad_output, T* grad_weight);

template <class T>
int64_t winograd_weight_grad_segments(int64_t samples, int64_t tiles, int64_t groups, int64_t rows, int64_t channels);

}  // namespace advcore

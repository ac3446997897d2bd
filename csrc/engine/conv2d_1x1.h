// Convolution with 1 x 1 taps on small planes, whose weights are the right factor (kernels/conv2d_1x1.h).
#pragma once

#include "../kernels/conv2d_1x1.h"
#include "conv2d.h"

namespace advcore {

// Whether a layer is convolved so. No result depends on it.
bool has_small_planes(const ConvShape& s);

template <class T>
int64_t conv2d_1x1_packed_size(const ConvShape& s);

template <class T>
void conv2d_1x1_pack(const ConvShape& s, const Weights1x1<T>& weights, T* packed);

// With the weights packed, or as they are where `packed` is null.
template <class T>
void conv2d_1x1(const ConvShape& s, const T* input, const T* packed, const Weights1x1<T>& weights, const T* bias,
                T* out, Activation activation);

}  // namespace advcore

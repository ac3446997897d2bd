// Convolution whose weights are the right factor (kernels/conv2d_broadcast.h).
#pragma once

#include "../kernels/conv2d_broadcast.h"
#include "conv2d.h"

namespace advcore {

// Whether a layer is convolved so. No result depends on it.
bool broadcasts_positions(const ConvShape& s);

// Whether it can be where the channels of the output are to lie side by side at each position.
bool broadcasts_to_channels_last(const ConvShape& s);

template <class T>
int64_t conv2d_broadcast_packed_size(const ConvShape& s);

template <class T>
void conv2d_broadcast_pack(const ConvShape& s, const WeightMatrix<T>& weights, T* packed);

// With the weights packed, or as they are where `packed` is null.
template <class T>
void conv2d_broadcast(const ConvShape& s, const T* input, const T* packed, const WeightMatrix<T>& weights,
                      const T* bias, T* out, Activation activation, bool channels_last = false);

}  // namespace advcore

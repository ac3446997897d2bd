// Layers whose planes are of few of Winograd's tiles: kernels/winograd_few.h.
#pragma once

#include "winograd_shape.h"

namespace advcore {

// Decided by the shape of a layer alone: the terms of a sum are added in other blocks.
template <class T>
bool has_few_tiles(const ConvShape& shape);

// Whether its packed weights are their frequencies, or the weights as they are.
template <class T>
bool keeps_frequencies(const ConvShape& shape);
template <class T>
int64_t few_tiles_packed_size(const ConvShape& shape);
template <class T>
void winograd_few_pack(const ConvShape& shape, const WinogradWeights<T>& weights, T* packed);

// `transformed`: of winograd_few_pack with frequencies, or null.
template <class T>
void winograd_few(const WinogradShape& shape, const T* input, const WinogradWeights<T>& weights, const T* transformed,
                  const T* bias, T* out, Activation activation);

}  // namespace advcore

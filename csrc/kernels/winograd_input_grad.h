// The gradient of F(4 x 4, 3 x 3) for its input by the transposed transforms: it has the tiles of the outputs, where
// the convolution of the gradient with the taps turned around has those of the inputs, which on small planes without
// padding are up to nine for four.
#pragma once

#include "winograd.h"

namespace advcore {

// Of an item: two samples of 6 x 6 tiles, which fill five registers of AVX-512.
constexpr int64_t input_grad_tiles = 80;
// Input channels of an item.
template <class T>
constexpr int64_t input_grad_channels = 512 / static_cast<int64_t>(sizeof(T));

// grad_input[n, g * channels + channel] of the convolution `shape`; an item is some channels of a group and all tiles
// of `samples_per_item` samples, channels fastest.
template <class T>
struct WinogradInputGradArgs {
    WinogradShape shape;
    const T* transformed;  // [groups, frequency] left factors of channels x rows, as WinogradPackArgs leaves them
    const T* grad_output;
    T* grad_input;
    int64_t samples_per_item, sample_items, channel_items;
};

}  // namespace advcore

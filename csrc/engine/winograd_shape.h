// What the kernels of Winograd's algorithm are told of a layer.
#pragma once

#include "../kernels/winograd.h"
#include "conv2d.h"

namespace advcore {

inline WinogradShape tiles_of(const ConvShape& c) {
    WinogradShape s{};
    s.taps = static_cast<int>(c.vertical.taps);
    s.samples = c.samples, s.groups = c.groups, s.channels = c.channels, s.rows = c.rows;
    s.height = c.vertical.input, s.width = c.horizontal.input;
    s.out_height = c.vertical.output, s.out_width = c.horizontal.output;
    s.padding_y = c.vertical.padding, s.padding_x = c.horizontal.padding;
    s.tiles_y = ceil_div(s.out_height, tile_outputs(s.taps));
    s.tiles_x = ceil_div(s.out_width, tile_outputs(s.taps));
    return s;
}

// weight[groups * rows, channels, taps, taps], or flipped: weight[groups * channels, rows, taps, taps] with its taps
// turned around.
template <class T>
WinogradWeights<T> weights_of(const T* weight, int64_t taps, int64_t rows, int64_t channels, bool flipped) {
    const int64_t filter = taps * taps;
    const int64_t row = flipped ? filter : filter * channels, channel = flipped ? filter * rows : filter;
    return {weight, static_cast<int>(taps), filter * rows * channels, row, channel, flipped};
}

// Left factors of rows x channels at each frequency of every group.
int64_t frequencies_size(int64_t groups, int64_t rows, int64_t channels);
template <class T>
void transform_all(const WinogradWeights<T>& weights, int64_t groups, int64_t rows, int64_t channels, T* transformed);

}  // namespace advcore

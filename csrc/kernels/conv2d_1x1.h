// Convolution with 1 x 1 taps and stride 1 on small planes: the product with the roles turned around. The positions of
// a plane of 7 x 7 are no whole number of registers, but channels are: weights become the right panels, and positions
// are broadcast.
#pragma once

#include <stdint.h>

#include "activation.h"
#include "tile.h"

namespace advcore {

// weight[group, row, channel] by its strides: of a layer, or with rows and channels exchanged.
template <class T>
struct Weights1x1 {
    const T* data;
    int64_t group_stride, row_stride, channel_stride;
};

// Rows with what fills their last register on any level.
template <class T>
[[gnu::always_inline]] constexpr int64_t padded_1x1(int64_t rows) {
    constexpr int64_t widest = 64 / static_cast<int64_t>(sizeof(T));
    return (rows + widest - 1) / widest * widest;
}

// packed[group, block of channels] = right panels of the weights, padded_1x1(rows) * channels elements a group. An item
// is a share of the rows of a block of channels of one group.
template <class T>
struct Conv2d1x1PackArgs {
    Weights1x1<T> weights;
    T* packed;
    int64_t groups, rows, channels;
    int64_t blocks, row_tiles, rows_per_tile;
};

// The most positions of an item: their sums and a block of their left panels stay in the second-level cache.
template <class T>
constexpr int64_t most_positions_1x1 = 512 / static_cast<int64_t>(sizeof(T));

// out[n, g * rows + row, i] = activation(the sum over the channels of weight[g, row, c] input[n, g * channels + c, i],
// and bias[g * rows + row])
//
// An item is some positions of a sample and some rows of a group.
template <class T>
struct Conv2d1x1Args {
    int64_t samples, groups, channels, rows, positions;
    const T* input;
    const T* packed;  // of Conv2d1x1PackArgs, or null: each item packs the weights that it needs
    Weights1x1<T> weights;
    const T* bias;
    T* out;
    int64_t row_tiles, rows_per_tile, position_tiles, positions_per_tile;  // rows in whole panels of every level
    Activation activation;
    [[gnu::always_inline]] int64_t items() const { return samples * position_tiles * groups * row_tiles; }
};

}  // namespace advcore

// Convolution as a product with the roles turned around: weights are the right panels, and positions are broadcast. The
// output's channels fill whole registers where the positions of a plane of 7 x 7 do not, and an input that is read
// element by element may lie in any steps.
#pragma once

#include <stdint.h>

#include "conv2d.h"

namespace advcore {

// weight[group, row, term] by its strides, a term being a (channel, vertical tap, horizontal tap).
template <class T>
struct WeightMatrix {
    const T* data;
    int64_t group_stride, row_stride, term_stride;
};

// Rows with what fills their last register on any level.
template <class T>
[[gnu::always_inline]] constexpr int64_t whole_registers(int64_t rows) {
    constexpr int64_t widest = 64 / static_cast<int64_t>(sizeof(T));
    return (rows + widest - 1) / widest * widest;
}

// packed[group, block of terms] = right panels of the weights, whole_registers(rows) * depth elements a group. An item
// is a share of the rows of a block of terms of one group.
template <class T>
struct Conv2dBroadcastPackArgs {
    WeightMatrix<T> weights;
    T* packed;
    int64_t groups, rows, depth;
    int64_t blocks, row_tiles, rows_per_tile;
};

// The most positions of an item: their sums and a block of what they see stay in the second-level cache.
template <class T>
constexpr int64_t most_broadcast_positions = 512 / static_cast<int64_t>(sizeof(T));

// out[n, g * rows + row, y, x] = activation(weight[g, row, :] . patches[:, (n, y, x)] + bias[g * rows + row])
//
// An item is some rows of positions of a sample and some rows of a group.
template <class T>
struct Conv2dBroadcastArgs {
    PatchMatrix patches;
    int64_t rows;
    bool in_place;  // taps of single elements, side by side: the patches are the input
    const T* input;
    const T* packed;  // of Conv2dBroadcastPackArgs, or null: each item packs the weights that it needs
    WeightMatrix<T> weights;
    const T* bias;
    T* out;
    int64_t row_tiles, rows_per_tile;  // in whole panels of every level
    int64_t height_tiles, height_per_tile;
    Activation activation;
    bool channels_last;  // out[n, y, x, row] of one group, whole registers of rows
    [[gnu::always_inline]] int64_t items() const { return patches.samples * height_tiles * patches.groups * row_tiles; }
};

}  // namespace advcore

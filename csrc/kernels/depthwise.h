// Convolution of groups of one channel: nothing is shared between planes, so that a product would multiply single rows.
#pragma once

#include <stdint.h>

#include "conv2d.h"

namespace advcore {

constexpr int64_t most_depthwise_taps = 64;                  // of both axes together
constexpr int64_t most_depthwise_slab = int64_t{256} << 10;  // elements; ops/_conv_algorithm.py keeps slabs below
constexpr int64_t depthwise_slab_bytes = int64_t{16} << 10;  // of a tile that stays in the first-level cache

// out[n, g * rows + r] = activation(the convolution of plane (n, g) with weight[g * rows + r] + bias)
//
// Before it is convolved a plane's elements are moved `spread` apart, with zeros between them: 1 but for the gradient
// of a strided convolution. An item is a plane of the input: the rows of the result are cut into tiles.
template <class T>
struct DepthwiseArgs {
    PatchMatrix patches;  // of one channel a group
    int64_t spread_y, spread_x, height_per_tile;
    const T* input;
    const T* weight;  // [groups * rows, taps]
    const T* bias;
    T* out;
    int64_t rows;
    Activation activation;
};

// weight_grad[g * rows + r, taps] = the sum over samples and positions. An item is one output channel. The tiles are
// part of the result: they depend on the shape alone.
template <class T>
struct DepthwiseWeightGradArgs {
    PatchMatrix patches;
    int64_t height_per_tile;
    const T* input;
    const T* grad_output;
    T* out;
    int64_t rows;
};

}  // namespace advcore

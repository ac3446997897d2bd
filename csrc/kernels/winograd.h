// Convolution with 3 x 3 or 5 x 5 taps, stride 1 and no dilation by Winograd's F(4 x 4, 3 x 3) and F(2 x 2, 5 x 5),
// Lavin and Gray 2016 (arXiv 1509.09308), with the points 0, 1, -1, 2, -2 and infinity: 36 instead of 144 or 100
// multiplications for every tile.
//
// A tile is 4 x 4 or 2 x 2 outputs and the 6 x 6 inputs that they see. Inputs and weights are transformed to 36
// frequencies; at each of them the sum over the channels is one matrix product; its results are transformed back to
// outputs.
#pragma once

#include <stdint.h>

#include "activation.h"
#include "tile.h"

namespace advcore {

constexpr int tile_in = 6, frequencies = tile_in * tile_in;
[[gnu::always_inline]] constexpr int tile_outputs(int taps) { return tile_in + 1 - taps; }  // along an axis

constexpr int64_t plane_gap = 16;  // elements between two frequencies, so that they fall into different cache sets

// What an item may hold of tiles, and of output channels whose weights it transforms itself or finds transformed.
template <class T>
constexpr int64_t winograd_tiles = 256 / static_cast<int64_t>(sizeof(T));
template <class T>
constexpr int64_t winograd_rows = 384 / static_cast<int64_t>(sizeof(T));
template <class T>
constexpr int64_t winograd_ready_rows = 2048 / static_cast<int64_t>(sizeof(T));
// Of a weight gradient's block: rows and channels, and the terms that are added up in registers.
template <class T>
constexpr int64_t winograd_grad_side = 448 / static_cast<int64_t>(sizeof(T));
constexpr int64_t winograd_grad_depth = 128;

// A group's convolution is of `channels` planes to `rows` planes.
struct WinogradShape {
    int taps;  // along an axis: 3 or 5
    int64_t samples, groups, channels, rows;
    int64_t height, width, out_height, out_width;
    int64_t padding_y, padding_x;  // before the first element
    int64_t tiles_y, tiles_x;      // of one sample
};

// weight[group, row, channel, taps, taps] by the strides of its first three axes; the taps lie together, `flipped`
// turns them around.
template <class T>
struct WinogradWeights {
    const T* weight;
    int taps;  // along an axis
    int64_t group_stride, row_stride, channel_stride;
    bool flipped;
};

// transformed[group, frequency] = left factors of rows x channels, with the gap after each. An item is a share of the
// rows of a block of the depth of one group, rows fastest.
template <class T>
struct WinogradPackArgs {
    WinogradWeights<T> weights;
    T* transformed;
    int64_t groups, rows, channels;
    int64_t blocks, row_items;
};

// out[n, g * rows + row] = activation(the convolution of input[n, g * channels...] + bias[g * rows + row])
//
// The tiles of all samples are counted through. An item is `tiles_per_item` of them for some rows of one group, rows
// fastest.
template <class T>
struct WinogradArgs {
    WinogradShape shape;
    WinogradWeights<T> weights;
    const T* transformed;  // of WinogradPackArgs, or null: each item transforms the weights that it needs
    const T* input;
    const T* bias;
    T* out;
    int64_t tiles_per_item, tile_items, row_items;
    Activation activation;
};

// part[g, row, channel, :, :] = the sum over the segment's samples and (y, x) of grad_output[n, g, row, y, x] times the
// patches of input[n, g, channel], by F(3 x 3, 4 x 4) or F(5 x 5, 2 x 2) with the same points: a tile of gradients is
// the filter.
//
// An item is a part's rows x channels block of one group and one segment.
template <class T>
struct WinogradWeightGradArgs {
    WinogradShape shape;
    const T* input;
    const T* grad_output;
    T* parts;  // [segments, groups, rows, channels, taps, taps]
    int64_t segments, samples_per_segment, row_items, channel_items;
};

}  // namespace advcore

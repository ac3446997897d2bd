// Winograd's convolution (winograd.h) where channels lie side by side (channels_last.h): windows are transformed for a
// register of channels at a time, tiles are broadcast in the products, and output channels lie across the registers.
// Sums are those of winograd.h and winograd_few.h, bit for bit.
#pragma once

#include "channels_last.h"
#include "winograd.h"

namespace advcore {

// What the transformed windows and the sums of an item may take: they stay in the second-level cache.
template <class T>
constexpr int64_t most_of_winograd_last = (int64_t{640} << 10) / static_cast<int64_t>(sizeof(T));
constexpr int64_t most_last_tiles = 64;  // of an item

// transformed[frequency, block of terms] = right factors, panel by panel, rows * channels + plane_gap elements a
// frequency; blocks of `depth` channels. An item is `rows_together` rows.
template <class T>
struct WinogradLastPackArgs {
    static constexpr int64_t rows_together = 128 / static_cast<int64_t>(sizeof(T));  // whole panels on every level
    WinogradWeights<T> weights;
    T* transformed;
    int64_t rows, channels, depth;
};

// out[n, y, x, row] = activation(the convolution of input[n, :, :, channels...] + bias[row]), of one group. The tiles
// of all samples are counted through; an item is `tiles_per_item` of them.
template <class T>
struct WinogradLastArgs {
    WinogradShape shape;
    const T* transformed;  // of WinogradLastPackArgs
    const T* input;
    const T* bias;
    T* out;
    int64_t depth, tiles_per_item;
    Activation activation;
};

// grad_input[n, y, x, channel] of the convolution `shape` by the transposed transforms (winograd_input_grad.h). An item
// is the tiles of `samples_per_item` samples, at most `most_last_tiles`.
template <class T>
struct WinogradLastGradArgs {
    WinogradShape shape;
    const T* transformed;  // of WinogradLastPackArgs with channels as rows
    const T* grad_output;
    T* grad_input;
    int64_t depth, samples_per_item;
};

}  // namespace advcore

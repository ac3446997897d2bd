// Winograd's convolution (winograd.h) of planes of few tiles, with the roles of its products turned around: four tiles
// would leave a register of tiles mostly empty, so they are broadcast, and output channels lie across the registers.
// Transformed weights are four times the weights. Few tiles do not repay reading so much from memory: where they are
// large they are made anew, block by block, in the caches.
#pragma once

#include "winograd.h"

namespace advcore {

// Rows and channels of a block of weights: with its frequencies, in the second-level cache.
template <class T>
constexpr int64_t few_rows_at_once = 128 / static_cast<int64_t>(sizeof(T));
template <class T>
constexpr int64_t few_channels_at_once = 512 / static_cast<int64_t>(sizeof(T));
template <class T>
constexpr int64_t few_plane = few_rows_at_once<T> * few_channels_at_once<T> + plane_gap;  // of a frequency of a block
template <class T>
constexpr int64_t few_block = frequencies * few_plane<T>;

// What an item's transformed inputs may take of the scratch memory.
template <class T>
constexpr int64_t few_inputs = (int64_t{5} << 20) / static_cast<int64_t>(sizeof(T));

// transformed[group, block of rows, block of channels] = right factors, few_block elements each. An item is a block.
template <class T>
struct WinogradFewPackArgs {
    WinogradWeights<T> weights;
    T* transformed;
    int64_t groups, rows, channels;
    [[gnu::always_inline]] int64_t row_blocks() const { return (rows + few_rows_at_once<T> - 1) / few_rows_at_once<T>; }
    [[gnu::always_inline]] int64_t channel_blocks() const {
        return (channels + few_channels_at_once<T> - 1) / few_channels_at_once<T>;
    }
    [[gnu::always_inline]] int64_t items() const { return groups * row_blocks() * channel_blocks(); }
};

// As WinogradArgs. An item is `tiles_per_item` tiles for a share of the blocks of rows of one group, rows fastest.
template <class T>
struct WinogradFewArgs {
    WinogradFewPackArgs<T> weights;
    const T* transformed;  // of WinogradFewPackArgs, or null: each item transforms the weights that it needs
    WinogradShape shape;
    const T* input;
    const T* bias;
    T* out;
    int64_t tiles_per_item, tile_items, row_items;
    Activation activation;
};

}  // namespace advcore

// Two-dimensional convolution as a product with the patch matrix, which is never stored whole.
#pragma once

#include <stdint.h>

#include "activation.h"
#include "tile.h"

namespace advcore {

// One axis of a patch matrix: position o and tap t look at source position o * step + first + t * tap_step.
struct PatchAxis {
    int64_t source;     // extent of the source
    int64_t positions;  // how many o
    int64_t taps;       // how many t
    int64_t step, first, tap_step;
    const int64_t* tap_offset = nullptr;  // where given: of tap t, for `first + t * tap_step`; every tap lies inside
};

// A row of a group's patch matrix is a (channel, vertical tap, horizontal tap), a column a (sample, y, x), the last
// fastest in both. An entry is an element of the source[samples, groups * channels, height, width], or zero where the
// tap lies outside.
struct PatchMatrix {
    int64_t samples, groups, channels;
    PatchAxis vertical, horizontal;

    // Always inlined: the linker must not choose among the levels' versions of a function outside their namespaces.
    [[gnu::always_inline]] int64_t positions() const { return vertical.positions * horizontal.positions; }
    [[gnu::always_inline]] int64_t taps() const { return vertical.taps * horizontal.taps; }
    [[gnu::always_inline]] int64_t rows() const { return channels * taps(); }
    [[gnu::always_inline]] int64_t plane() const { return vertical.source * horizontal.source; }
    [[gnu::always_inline]] int64_t sample_size() const { return groups * channels * plane(); }
};

// packed = left factors in the order in which the product reads them. Each group's matrix[rows, depth] is cut into
// parts of `part_rows`, packed one after another. An item is a block of the depth of one part: `parts` of them in each
// group, `blocks` in each part.
template <class T>
struct Conv2dPackArgs {
    const T* matrix;
    T* packed;
    int64_t group_stride, row_stride, depth_stride;
    int64_t groups, rows, depth;
    int64_t part_rows, parts, blocks;
};

// out[n, g * rows + row, y, x] = activation(packed[g, row, :] . patches[:, (n, y, x)] + bias[g * rows + row])
//
// Columns are cut into tiles within each sample, or within the whole batch at once when a sample has few of them:
// `spans` of `span_columns`, each of `column_tiles`. An item is one tile of one group: its rows, its columns.
template <class T>
struct Conv2dArgs {
    PatchMatrix patches;
    const T* input;
    const T* packed;
    const T* bias;
    T* out;  // [samples, groups * rows, positions]
    int64_t rows;
    int64_t spans, span_columns, column_tiles, columns_per_tile, row_tiles;
    Activation activation;
    [[gnu::always_inline]] int64_t items() const { return patches.groups * spans * column_tiles * row_tiles; }
};

constexpr int64_t most_phased_taps = 64;  // of an axis
constexpr int64_t slab_bytes = int64_t{3} << 20;
constexpr int64_t slab_gap = 16;  // elements between a slab's slots: what a register may store too much

// The same from a slab of the input (slab.h). Output rows are cut into tiles of `height_per_tile`, or several samples
// are taken together. An item is one tile of one group.
template <class T>
struct Conv2dDirectArgs {
    PatchMatrix patches;
    const T* input;
    const T* packed;
    const T* bias;
    T* out;  // [samples, groups * rows, positions]
    int64_t rows;
    bool by_row;  // each row of positions by itself, else all rows of a tile with what lies between them in the slab
    int64_t samples_per_tile, sample_tiles, height_per_tile, height_tiles, row_tiles;
    Activation activation;
    [[gnu::always_inline]] int64_t items() const { return patches.groups * sample_tiles * height_tiles * row_tiles; }
};

// grad_input = the sum over all patches of packed[g, row, :] . grad_output[n, g, :, (y, x)], each added to the element
// from which that entry of the patch matrix comes.
//
// An item owns the elements of some channels of some samples. It adds up one tile of columns after the other, which
// makes the tiles part of the result: they depend on the shape of a sample alone. A tile is all of some samples, some
// rows of one, or a part of a row; of the taps it takes rows_per_part at a time: those of whole channels, or else whole
// rows or equal parts of a row.
template <class T>
struct Conv2dInputGradArgs {
    PatchMatrix patches;   // of grad_input
    PatchMatrix gradient;  // grad_output's own, with one tap: its columns are those of `patches`
    const T* grad_output;
    const T* packed;  // in parts of rows_per_part
    T* grad_input;
    int64_t samples_per_item, sample_items, channels_per_item, channel_items, rows_per_part;
    int64_t samples_per_tile, height_per_tile, width_per_tile;
    [[gnu::always_inline]] int64_t items() const { return sample_items * patches.groups * channel_items; }
};

// Where the weight gradient reads the input: as it lies (taps of single elements), from a slab, or from copied patches.
enum class TapSource { input, slab, patches };

// The output rows of one sample that a block of the weight gradient's terms may touch.
[[gnu::always_inline]] inline int64_t weight_grad_slab_height(const PatchMatrix& m) {
    const int64_t most = (block_depth - 2) / m.horizontal.positions + 2;
    return most < m.vertical.positions ? most : m.vertical.positions;
}

// The most taps of an item, and the most sums.
constexpr int64_t weight_grad_taps = 512;
template <class T>
constexpr int64_t weight_grad_sums = (int64_t{256} << 10) / static_cast<int64_t>(sizeof(T));

// part[g, row, :] = the sum over (n, y, x) of grad_output[n, g * rows + row, y, x] patches[:, (n, y, x)]
//
// The batch is cut into segments with a part each. An item is some taps of some output channels of one group's part in
// one segment.
template <class T>
struct Conv2dWeightGradArgs {
    PatchMatrix patches;
    const T* input;
    const T* grad_output;  // [samples, groups * rows, positions]
    T* parts;              // [segments, groups, rows, patches.rows()]
    TapSource source;
    int64_t rows, segments, samples_per_segment, tap_tiles, taps_per_tile, row_tiles, rows_per_tile;
    [[gnu::always_inline]] int64_t items() const { return segments * patches.groups * tap_tiles * row_tiles; }
};

// total[i] = parts[0, i] + parts[1, i] + ..., in that order, in blocks of 256. An item is one element.
template <class T>
struct SumPartsArgs {
    const T* parts;
    T* total;
    int64_t count, size;
};

}  // namespace advcore

#include "conv2d_1x1.h"

#include "kernel_list.h"
#include "narrow_product.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// Columns [col, col + used) of the right factor for `terms` channels from `channel` on, as a panel.
template <class T>
void pack_panel(const Weights1x1<T>& w, int64_t group, int64_t col, int64_t used, int64_t channel, int64_t terms,
                T* panel) {
    pack_strip(w.data + group * w.group_stride + col * w.row_stride + channel * w.channel_stride, w.row_stride,
               w.channel_stride, used, panel_width<T>(used), terms, panel);
}

// The rows of an output whose sums are made side by side.
template <class T>
constexpr int64_t rows_at_once = 512 / static_cast<int64_t>(sizeof(T));

// The left factor of some positions, block of channels by block: the one from channel k on is at k * positions.
template <class T>
void pack_positions(const RowPanels& panels, const T* input, int64_t plane, int64_t channels, T* packed) {
    for (int64_t k = 0; k < channels; k += block_depth) {
        const int64_t terms = smaller(block_depth, channels - k);
        for (int64_t panel = 0; panel < panels.count; ++panel) {
            const int64_t at = panels.begin(panel), count = panels.begin(panel + 1) - at;
            pack_strip(input + k * plane + at, 1, plane, count, count, terms, packed + k * panels.rows + at * terms);
        }
    }
}

// sums[position, row] (+)= one block of channels, for a panel of `pair.cols` rows at `pair.b`. Where there is `next`,
// memory brings the next panel meanwhile.
template <class T>
void multiply_positions(const RowPanels& panels, PanelPair<T> pair, const T* left, T* sums, const T* next) {
    constexpr int64_t line = 64 / static_cast<int64_t>(sizeof(T));
    const int64_t size = next ? panel_width<T>(pair.cols) * pair.depth : 0;
    for (int64_t panel = 0; panel < panels.count; ++panel) {
        const int64_t at = panels.begin(panel);
        pair.a = left + at * pair.depth, pair.c = sums + at * pair.c_stride;
        multiply_panels<T>(static_cast<int>(panels.begin(panel + 1) - at), pair);
        for (int64_t i = panel * size / panels.count; i < (panel + 1) * size / panels.count; i += line)
            prefetch(next, i);
    }
}

}  // namespace

template <class T>
void conv2d_1x1_pack(const Conv2d1x1PackArgs<T>& args, int64_t begin, int64_t end, void*) {
    const int64_t padded = padded_1x1<T>(args.rows);
    for (int64_t item = begin; item < end; ++item) {
        const int64_t first = item % args.row_tiles * args.rows_per_tile, rest = item / args.row_tiles;
        const int64_t k = rest % args.blocks * block_depth, group = rest / args.blocks;
        const int64_t terms = smaller(block_depth, args.channels - k);
        T* const to = args.packed + group * padded * args.channels + k * padded;
        const int64_t last = smaller(args.rows, first + args.rows_per_tile);
        for (int64_t col = first; col < last; col += panel_cols<T>)
            pack_panel(args.weights, group, col, smaller(panel_cols<T>, last - col), k, terms, to + col * terms);
    }
}

template <class T>
void conv2d_1x1(const Conv2d1x1Args<T>& args, int64_t begin, int64_t end, void* scratch) {
    const int64_t plane = args.positions, padded = padded_1x1<T>(args.rows);
    T* const own_right = static_cast<T*>(scratch);
    T* const sums = own_right + block_depth * panel_cols<T>;
    T* const left = sums + (most_positions_1x1<T> + lanes<T>)*rows_at_once<T>;
    for (int64_t item = begin; item < end; ++item) {
        const int64_t position = item % args.position_tiles * args.positions_per_tile;
        const int64_t rest = item / args.position_tiles, sample = rest % args.samples;
        const int64_t row_tile = rest / args.samples % args.row_tiles, group = rest / args.samples / args.row_tiles;
        const int64_t last = smaller((row_tile + 1) * args.rows_per_tile, args.rows);
        const RowPanels panels(smaller(args.positions_per_tile, plane - position));
        const T* const packed = args.packed ? args.packed + group * padded * args.channels : nullptr;
        pack_positions(panels, args.input + (sample * args.groups + group) * args.channels * plane + position, plane,
                       args.channels, left);
        PanelPair<T> pair{};
        pair.activation = args.activation;
        for (int64_t row = row_tile * args.rows_per_tile; row < last; row += rows_at_once<T>) {
            const int64_t rows = smaller(rows_at_once<T>, last - row), out_row = group * args.rows + row;
            pair.c_stride = padded_rows<T>(rows);
            for (int64_t k = 0; k < args.channels; k += block_depth) {
                pair.depth = smaller(block_depth, args.channels - k);
                pair.accumulate = k > 0, pair.last = k + pair.depth == args.channels;
                for (int64_t col = 0; col < rows; col += panel_cols<T>) {
                    pair.cols = static_cast<int>(smaller(panel_cols<T>, rows - col));
                    pair.col_bias = args.bias ? args.bias + out_row + col : nullptr;
                    pair.b = packed ? packed + k * padded + (row + col) * pair.depth : own_right;
                    if (!packed) pack_panel(args.weights, group, row + col, pair.cols, k, pair.depth, own_right);
                    multiply_positions(panels, pair, left + k * panels.rows, sums + col,
                                       packed ? pair.b + panel_width<T>(pair.cols) * pair.depth : nullptr);
                }
            }
            turn(sums, rows, panels.rows, args.out + (sample * args.groups * args.rows + out_row) * plane + position,
                 plane, false);
        }
    }
}

ADVCORE_INSTANTIATE(conv2d_1x1_pack, Conv2d1x1PackArgs)
ADVCORE_INSTANTIATE(conv2d_1x1, Conv2d1x1Args)

}  // namespace advcore::ADVCORE_LEVEL

#include "conv2d.h"

#include "kernel_list.h"
#include "patches.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// Copies a tile's rows [row, row + rows) and columns [col, col + cols) to their samples.
template <class T>
void deal_out(const Conv2dArgs<T>& args, int64_t row, int64_t rows, int64_t col, int64_t cols, const T* tile) {
    const int64_t positions = args.patches.positions();
    for (int64_t done = 0; done < cols;) {
        const int64_t sample = (col + done) / positions, position = (col + done) % positions;
        const int64_t count = smaller(positions - position, cols - done);
        T* to = args.out + (sample * args.patches.groups * args.rows + row) * positions + position;
        const T* from = tile + done;
        for (int64_t r = 0; r < rows; ++r, to += positions, from += args.columns_per_tile)
            for (int64_t i = 0; i < count; ++i) to[i] = from[i];
        done += count;
    }
}

}  // namespace

template <class T>
void conv2d(const Conv2dArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    const PatchMatrix& m = args.patches;
    const RowPanels panels(args.rows);
    const bool in_place = args.span_columns == m.positions();  // no tile holds more than one sample
    const bool single = m.taps() == 1 && m.vertical.step == 1 && m.horizontal.step == 1 &&
                        m.vertical.positions == m.vertical.source && m.horizontal.positions == m.horizontal.source &&
                        m.vertical.first == 0 && m.horizontal.first == 0;
    T* const tile = static_cast<T*>(scratch) + product_scratch<T>;
    for (int64_t item = begin; item < end; ++item) {
        const int64_t row_tile = item % args.row_tiles, rest = item / args.row_tiles;
        const int64_t column_tile = rest % args.column_tiles, span = rest / args.column_tiles % args.spans;
        const int64_t group = rest / args.column_tiles / args.spans;
        const int64_t first = row_tile * panels.count / args.row_tiles;
        const int64_t last = (row_tile + 1) * panels.count / args.row_tiles;
        const int64_t row = panels.begin(first), rows = panels.begin(last) - row;
        const int64_t in_span = column_tile * args.columns_per_tile;
        const int64_t col = span * args.span_columns + in_span;
        const int64_t cols = smaller(args.columns_per_tile, args.span_columns - in_span);
        const int64_t out_row = group * args.rows + row;

        const PackedLeft<T> left{args.packed + group * args.rows * m.rows(), args.rows};
        Finish<T> finish;
        finish.row_bias = args.bias ? args.bias + out_row : nullptr;
        finish.activation = args.activation;
        T* const c = in_place ? args.out + (span * m.groups * args.rows + out_row) * m.positions() + in_span : tile;
        const int64_t c_stride = in_place ? m.positions() : args.columns_per_tile;
        const auto multiply = [&](const auto& right) {
            product<T>(panels, first, last, cols, m.rows(), left, right, c, c_stride, false, finish,
                       static_cast<T*>(scratch));
        };
        if (single && in_place)  // the planes are the rows of the patch matrix
            multiply(RightMatrix<T>{args.input + (span * m.groups + group) * m.channels * m.plane() + in_span,
                                    m.plane(), 1});
        else
            multiply(RightPatches<T>{m, args.input, group, col});
        if (!in_place) deal_out(args, out_row, rows, col, cols, tile);
    }
}

ADVCORE_INSTANTIATE(conv2d, Conv2dArgs)

}  // namespace advcore::ADVCORE_LEVEL

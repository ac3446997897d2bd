#include "conv2d.h"
#include "kernel_list.h"
#include "patches.h"
#include "sorted_columns.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// The left factor: a row for every output channel of the group, the depth counts (sample, y, x).
template <class T>
struct LeftGradient {
    const T* grad_output;
    int64_t sample_size, positions, first;
    const T* operator()(int64_t row, int64_t rows, int64_t k, int64_t depth, T* panel) const {
        for (int64_t done = 0; done < depth;) {
            const int64_t sample = (first + k + done) / positions, position = (first + k + done) % positions;
            const int64_t count = smaller(positions - position, depth - done);
            pack_transposed(grad_output + sample * sample_size + row * positions + position, positions, rows, rows,
                            count, panel + done * rows);
            done += count;
        }
        return panel;
    }
};

// The right factor: the transposed patch matrix, from its row `first_row` and column `first_col` on.
template <class T>
struct TransposedPatches {
    const PatchMatrix& matrix;
    const T* source;
    int64_t group, first_row, first_col;
    T *buffer, *sorted;  // of sorted_columns_size<T>
    static constexpr int64_t pitch =
        block_depth + lanes<T>;  // no power of two: its rows fall into different cache sets

    void operator()(int64_t cols, int64_t k, int64_t depth, T* block) const {
        with_sorted_columns(matrix, source, group, first_col + k, depth, first_row, cols, sorted,
                            [&](const PatchMatrix& m, const T* from, int64_t g, int64_t begin, int64_t row) {
                                copy_patches(m, from, g, begin, depth, row, cols, buffer, pitch);
                            });
        each_panel<T>(cols, depth, block, [&](int64_t col, int64_t used, int64_t width, T* panel) {
            pack_transposed(buffer + col * pitch, pitch, used, width, depth, panel);
        });
    }
};

}  // namespace

template <class T>
void conv2d_weight_grad(const Conv2dWeightGradArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    const PatchMatrix& m = args.patches;
    const RowPanels panels(args.rows);
    const int64_t depth = m.rows(), positions = m.positions();
    T* const buffer = static_cast<T*>(scratch) + product_scratch<T>;
    for (int64_t item = begin; item < end; ++item) {
        const int64_t row_tile = item % args.row_tiles, rest = item / args.row_tiles;
        const int64_t col = rest % args.column_tiles * args.columns_per_tile;
        const int64_t group = rest / args.column_tiles % m.groups, segment = rest / args.column_tiles / m.groups;
        const int64_t first = row_tile * panels.count / args.row_tiles;
        const int64_t last = (row_tile + 1) * panels.count / args.row_tiles;
        const int64_t sample = segment * args.samples_per_segment;
        const int64_t samples = smaller(args.samples_per_segment, m.samples - sample);

        const LeftGradient<T> left{args.grad_output + group * args.rows * positions, m.groups * args.rows * positions,
                                   positions, sample * positions};
        const TransposedPatches<T> right{
            m, args.input, group, col, sample * positions, buffer, buffer + tile_cols<T> * TransposedPatches<T>::pitch};
        T* const part = args.parts + ((segment * m.groups + group) * args.rows + panels.begin(first)) * depth + col;
        product<T>(panels, first, last, smaller(args.columns_per_tile, depth - col), samples * positions, left, right,
                   part, depth, false, Finish<T>{}, static_cast<T*>(scratch));
    }
}

template <class T>
void sum_parts(const SumPartsArgs<T>& args, int64_t begin, int64_t end, void*) {
    constexpr int L = lanes<T>;
    for (int64_t i = begin; i < end; i += L) {
        const int count = static_cast<int>(smaller(L, end - i));
        Vec<T> total{};
        for (int64_t first = 0; first < args.count; first += 256) {
            Vec<T> block = load_part(args.parts + first * args.size + i, count);
            for (int64_t part = first + 1; part < smaller(args.count, first + 256); ++part)
                block += load_part(args.parts + part * args.size + i, count);
            total = first == 0 ? block : total + block;
        }
        store_part(args.total + i, total, count);
    }
}

ADVCORE_INSTANTIATE(conv2d_weight_grad, Conv2dWeightGradArgs)
ADVCORE_INSTANTIATE(sum_parts, SumPartsArgs)

}  // namespace advcore::ADVCORE_LEVEL

// The weight gradient as a product of taps with output channels: its terms are positions, which the left factor reads
// where they lie in a slab of the input, so that only the gradient is brought into panels.
#include "conv2d.h"
#include "kernel_list.h"
#include "patches.h"
#include "slab.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// The right factor: a column for every output channel of the group, the depth counts (sample, y, x).
template <class T>
struct RightGradient {
    const T* grad_output;
    int64_t sample_size, positions;

    // Calls visit(where a row's terms lie, how many follow one another, how many came before).
    template <class Visit>
    ADVCORE_INLINE void each_sample(int64_t first, int64_t depth, const Visit& visit) const {
        for (int64_t done = 0; done < depth;) {
            const int64_t sample = (first + done) / positions, position = (first + done) % positions;
            const int64_t count = smaller(positions - position, depth - done);
            visit(grad_output + sample * sample_size + position, count, done);
            done += count;
        }
    }
    void pack(int64_t cols, int64_t first, int64_t depth, T* block) const {
        each_panel<T>(cols, depth, block, [&](int64_t col, int64_t used, int64_t width, T* panel) {
            each_sample(first, depth, [&](const T* from, int64_t count, int64_t done) {
                pack_transposed(from + col * positions, positions, used, width, count, panel + done * width);
            });
        });
    }
    // Asks for columns [col, last) of a block to come.
    void fetch(int64_t col, int64_t last, int64_t first, int64_t depth) const {
        each_sample(first, depth, [&](const T* from, int64_t count, int64_t) {
            for (int64_t c = col; c < last; ++c)
                for (int64_t i = 0; i < count; i += 64 / static_cast<int64_t>(sizeof(T)))
                    prefetch(from + i, c * positions);
        });
    }
};

// The left factor in one block of terms: rows [row, row + rows) of the patch matrix at positions first, first + 1, ...
template <class T>
struct LeftTaps {
    const T* data;
    int64_t row_offset[weight_grad_taps], term_offset[block_depth];

    // Single elements lie in the input as the product wants them.
    void read_input(const PatchMatrix& m, const T* input, int64_t group, int64_t row, int64_t rows, int64_t first,
                    int64_t depth) {
        data = input + (group * m.channels + row) * m.plane();
        for (int64_t i = 0; i < rows; ++i) row_offset[i] = i * m.plane();
        for (int64_t k = 0; k < depth; ++k)
            term_offset[k] = (first + k) / m.positions() * m.sample_size() + (first + k) % m.positions();
    }

    // A slab holds as many rows of every sample in the block as the sample with the most needs.
    void read_slab(const PatchMatrix& m, const Phases& vertical, const Phases& horizontal, const T* input,
                   int64_t group, int64_t row, int64_t rows, int64_t first, int64_t depth, T* slab) {
        const int64_t taps = m.taps(), positions = m.positions(), width = m.horizontal.positions;
        const int64_t channel = row / taps, channels = (row + rows - 1) / taps - channel + 1;
        const SlabLayout layout(vertical, horizontal, m, weight_grad_slab_height(m));
        const int64_t size = channels * layout.plane;
        data = slab;
        layout.find_offsets(row, rows, channel, m.vertical.taps, m.horizontal.taps, row_offset);
        for (int64_t k = 0; k < depth; slab += size) {
            const int64_t sample = (first + k) / positions, position = (first + k) % positions, y = position / width;
            const int64_t count = smaller(positions - position, depth - k);
            layout.fill(m, input + sample * m.sample_size() + group * m.channels * m.plane(), channel, channels, y,
                        slab);
            int64_t at = slab - data + position % width;
            for (int64_t i = 0, x = position % width; i < count; ++i, ++at) {
                term_offset[k + i] = at;
                if (++x == width) x = 0, at += layout.pitch - width;
            }
            k += count;
        }
    }

    // Where no slab is small enough.
    void read_patches(const PatchMatrix& m, const T* input, int64_t group, int64_t row, int64_t rows, int64_t first,
                      int64_t depth, T* buffer) {
        constexpr int64_t pitch = block_depth + lanes<T>;  // no power of two: its rows fall into different cache sets
        copy_patches(m, input, group, first, depth, row, rows, buffer, pitch);
        data = buffer;
        for (int64_t i = 0; i < rows; ++i) row_offset[i] = i * pitch;
        for (int64_t k = 0; k < depth; ++k) term_offset[k] = k;
    }
};

// to[col * to_stride + row] = from[row * cols + col]
template <class T>
void transpose_all(const T* from, int64_t rows, int64_t cols, T* to, int64_t to_stride) {
    constexpr int L = lanes<T>;
    for (int64_t row = 0; row < rows; row += L) {
        const int64_t used = smaller(L, rows - row);
        int64_t col = 0;
        if (used == L) col = transpose_rows<T, L>(from + row * cols, cols, to_stride, cols, 0, to + row);
        for (; col < cols; ++col)
            for (int64_t i = row; i < row + used; ++i) to[col * to_stride + i] = from[i * cols + col];
    }
}

}  // namespace

template <class T>
void conv2d_weight_grad(const Conv2dWeightGradArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    const PatchMatrix& m = args.patches;
    const Phases vertical(args.source == TapSource::slab ? m.vertical : PatchAxis{});
    const Phases horizontal(args.source == TapSource::slab ? m.horizontal : PatchAxis{});
    const int64_t depth = m.rows(), positions = m.positions();
    LeftTaps<T> left;
    T* const block = static_cast<T*>(scratch);
    T* const sum = block + block_depth * tile_cols<T>;
    T* const buffer = sum + weight_grad_sums<T>;
    for (int64_t item = begin; item < end; ++item) {
        const int64_t row = item % args.row_tiles * args.rows_per_tile, rest = item / args.row_tiles;
        const int64_t tap = rest % args.tap_tiles * args.taps_per_tile;
        const int64_t group = rest / args.tap_tiles % m.groups, segment = rest / args.tap_tiles / m.groups;
        const int64_t cols = smaller(args.rows_per_tile, args.rows - row);
        const int64_t first = segment * args.samples_per_segment * positions;
        const int64_t last = smaller(first + args.samples_per_segment * positions, m.samples * positions);

        const RowPanels panels(smaller(args.taps_per_tile, depth - tap));
        const RightGradient<T> right{args.grad_output + (group * args.rows + row) * positions,
                                     m.groups * args.rows * positions, positions};
        PanelPair<T> pair{};
        pair.c_stride = cols;
        pair.a_term_offset = left.term_offset;
        for (int64_t k = first; k < last; k += block_depth) {
            pair.depth = smaller(block_depth, last - k);
            pair.accumulate = k > first;
            right.pack(cols, k, pair.depth, block);
            if (args.source == TapSource::input)
                left.read_input(m, args.input, group, tap, panels.rows, k, pair.depth);
            else if (args.source == TapSource::slab)
                left.read_slab(m, vertical, horizontal, args.input, group, tap, panels.rows, k, pair.depth, buffer);
            else
                left.read_patches(m, args.input, group, tap, panels.rows, k, pair.depth, buffer);
            pair.a = left.data;
            const int64_t next = k + block_depth, next_depth = smaller(block_depth, last - next);
            for (int64_t panel = 0; panel < panels.count; ++panel) {  // whose rows stay in the first-level cache
                const int64_t row_of_panel = panels.begin(panel);
                pair.a_row_offset = left.row_offset + row_of_panel;
                for (int64_t col = 0; col < cols; col += panel_cols<T>) {
                    pair.b = block + col * pair.depth;
                    pair.cols = static_cast<int>(smaller(panel_cols<T>, cols - col));
                    pair.c = sum + row_of_panel * cols + col;
                    multiply_panels<T>(static_cast<int>(panels.begin(panel + 1) - row_of_panel), pair);
                }
                right.fetch(panel * cols / panels.count, (panel + 1) * cols / panels.count, next, next_depth);
            }
        }
        T* const part = args.parts + ((segment * m.groups + group) * args.rows + row) * depth + tap;
        transpose_all(sum, panels.rows, cols, part, depth);
    }
}

template <class T>
void sum_parts(const SumPartsArgs<T>& args, int64_t begin, int64_t end, void*) {
    constexpr int L = lanes<T>;
    for (int64_t i = begin; i < end; i += L) {
        const int count = static_cast<int>(smaller(L, end - i));
        Vec<T> total = load_part(args.parts + i, count);
        for (int64_t part = 1; part < args.count; ++part) total += load_part(args.parts + part * args.size + i, count);
        store_part(args.total + i, total, count);
    }
}

ADVCORE_INSTANTIATE(conv2d_weight_grad, Conv2dWeightGradArgs)
ADVCORE_INSTANTIATE(sum_parts, SumPartsArgs)

}  // namespace advcore::ADVCORE_LEVEL

// Convolution without a patch matrix: the product's right panels are read straight from a slab of the input.
#include "conv2d.h"
#include "cover.h"
#include "kernel_list.h"
#include "product.h"
#include "slab.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// What the columns of one tile are: spans of positions that follow one another both in the slab and in the result.
template <class T>
struct Spans {
    int64_t count, length;
    int64_t slab_stride, slab_group, group;  // span i begins at (i / group) * slab_group + (i % group) * slab_stride
    T* to;
    int64_t to_stride, to_group, row_stride;
};

// Multiplies all panels of all spans with one block of terms. Columns follow one another in the innermost loop: few
// rows of the result are written at a time, each from its beginning to its end.
template <class T>
void multiply_spans(const RowPanels& panels, int64_t first, int64_t last, const Spans<T> spans, PanelPair<T> pair,
                    const T* packed, const T* slab, const T* row_bias) {
    for (int64_t panel = first; panel < last; ++panel) {
        const int64_t row = panels.begin(panel) - panels.begin(first);
        const int rows = static_cast<int>(panels.begin(panel + 1) - panels.begin(panel));
        pair.a = packed + panels.begin(panel) * pair.depth;
        pair.row_bias = row_bias ? row_bias + row : nullptr;
        for (int64_t i = 0; i < spans.count; ++i) {
            const int64_t in_group = i % spans.group, group = i / spans.group;
            const T* const from = slab + group * spans.slab_group + in_group * spans.slab_stride;
            T* const to = spans.to + group * spans.to_group + in_group * spans.to_stride + row * spans.row_stride;
            for (int64_t col = 0; col < spans.length; col += pair.cols) {
                const int64_t rest = spans.length - col;
                pair.b = from + col;
                pair.c = to + col;
                pair.cols = static_cast<int>(panel_width_of<T>(rows, rest));
                multiply_panels<T>(rows, pair);
            }
        }
    }
}

// The same with so few rows that each element of the slab is used once a tap: few terms at a time for all columns, so
// that what the taps of a channel share stays in the first-level cache. Sums wait for the next ones in `sums`, which
// has room for waiting_sums(panels.rows, spans).
template <class T>
int64_t waiting_sums(int64_t rows, const Spans<T>& spans) {
    return rows * spans.count * (spans.length + panel_cols<T>);
}
template <class T>
void multiply_few_rows(const RowPanels& panels, const Spans<T> spans, PanelPair<T> pair, const T* packed, const T* slab,
                       const T* row_bias, T* sums) {
    constexpr int64_t most_terms = 64;
    const int64_t terms = pair.depth, span_sums = panels.rows * (spans.length + panel_cols<T>);
    const int64_t* const offset = pair.b_offset;
    const bool accumulate = pair.accumulate, is_last_block = pair.last;
    const int rows = static_cast<int>(panels.rows);
    pair.row_bias = row_bias;
    pair.begun_stride = spans.length + panel_cols<T>;
    for (int64_t k = 0; k < terms; k += most_terms) {
        const bool is_last = k + most_terms >= terms;
        pair.depth = smaller(most_terms, terms - k);
        pair.a = packed + k * panels.rows;
        pair.b_offset = offset + k;
        pair.c_stride = is_last ? spans.row_stride : pair.begun_stride;
        pair.accumulate = is_last && accumulate;
        pair.last = is_last && is_last_block;
        for (int64_t i = 0; i < spans.count; ++i) {
            const int64_t in_group = i % spans.group, group = i / spans.group;
            const T* const from = slab + group * spans.slab_group + in_group * spans.slab_stride;
            T* const waiting = sums + i * span_sums;
            T* const to = is_last ? spans.to + group * spans.to_group + in_group * spans.to_stride : waiting;
            for (int64_t col = 0; col < spans.length; col += pair.cols) {
                pair.b = from + col;
                pair.c = to + col;
                pair.begun = k > 0 ? waiting + col : nullptr;
                pair.cols = static_cast<int>(panel_width_of<T>(rows, spans.length - col));
                multiply_panels<T>(rows, pair);
            }
        }
    }
}

constexpr int64_t fewest_rows = 96;  // that repay a copy of the right panels
template <class T>
constexpr int64_t copied_panels = tile_cols<T> / panel_cols<T>;  // stay in the second-level cache

// The same with the right panels copied from the slab first, as many as stay near: what every row panel reads then lies
// in its order, and aligned.
template <class T>
void multiply_copied_spans(const RowPanels& panels, int64_t first, int64_t last, const Spans<T> spans,
                           PanelPair<T> pair, const T* packed, const T* slab, const T* row_bias, T* copies) {
    struct Columns {
        const T* panel;
        T* to;
        int count;
    };
    Columns columns[copied_panels<T>];
    const int64_t* const offset = pair.b_offset;
    pair.b_offset = nullptr;
    for (int64_t i = 0, col = 0; i < spans.count;) {
        int64_t count = 0;
        for (T* copy = copies; count < copied_panels<T> && i < spans.count; ++count) {
            const int64_t in_group = i % spans.group, group = i / spans.group;
            const T* const from = slab + group * spans.slab_group + in_group * spans.slab_stride + col;
            const int64_t cols = smaller(panel_cols<T>, spans.length - col), width = panel_width<T>(cols);
            columns[count] = {copy, spans.to + group * spans.to_group + in_group * spans.to_stride + col,
                              static_cast<int>(cols)};
            for (int64_t k = 0; k < pair.depth; ++k, copy += width)
                for (int64_t at = 0; at < width; at += lanes<T>) store(copy + at, load(from + offset[k] + at));
            col += cols;
            if (col == spans.length) ++i, col = 0;
        }
        for (int64_t panel = first; panel < last; ++panel) {
            const int64_t row = panels.begin(panel) - panels.begin(first);
            const int rows = static_cast<int>(panels.begin(panel + 1) - panels.begin(panel));
            pair.a = packed + panels.begin(panel) * pair.depth;
            pair.row_bias = row_bias ? row_bias + row : nullptr;
            for (int64_t c = 0; c < count; ++c) {
                pair.b = columns[c].panel, pair.c = columns[c].to + row * spans.row_stride;
                pair.cols = columns[c].count;
                multiply_panels<T>(rows, pair);
            }
        }
    }
}

// Copies rows of positions from a tile, where they lie a slab's pitch apart, to the result.
template <class T>
void deal_out(const Spans<T>& tile, int64_t samples, int64_t rows, int64_t height, int64_t width, int64_t pitch, T* out,
              int64_t sample_stride, int64_t row_stride) {
    for (int64_t n = 0; n < samples; ++n)
        for (int64_t row = 0; row < rows; ++row)
            for (int64_t y = 0; y < height; ++y) {
                const T* const from = tile.to + n * tile.to_group + row * tile.row_stride + y * pitch;
                T* const to = out + n * sample_stride + row * row_stride + y * width;
                cover<T>(width, [=](int64_t x, int used) { store_used(to + x, load(from + x), used); });
            }
}

}  // namespace

template <class T>
void conv2d_direct(const Conv2dDirectArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    const PatchMatrix& m = args.patches;
    const Phases vertical(m.vertical), horizontal(m.horizontal);
    const RowPanels panels(args.rows);
    const int64_t width = m.horizontal.positions, taps = m.taps(), depth = m.rows();
    int64_t* const offset = static_cast<int64_t*>(scratch);
    T* const tile = reinterpret_cast<T*>(offset + block_depth);
    T* const copies = tile + tile_rows * direct_tile_pitch<T>;
    constexpr int64_t copies_size = copied_panels<T> * panel_cols<T> * block_depth;
    T* const slab = copies + copies_size;
    for (int64_t item = begin; item < end; ++item) {
        const int64_t row_tile = item % args.row_tiles, rest = item / args.row_tiles;
        const int64_t y = rest % args.height_tiles * args.height_per_tile;
        const int64_t sample = rest / args.height_tiles % args.sample_tiles * args.samples_per_tile;
        const int64_t group = rest / args.height_tiles / args.sample_tiles;
        const int64_t height = smaller(args.height_per_tile, m.vertical.positions - y);
        const int64_t samples = smaller(args.samples_per_tile, m.samples - sample);
        const int64_t first = row_tile * panels.count / args.row_tiles;
        const int64_t last = (row_tile + 1) * panels.count / args.row_tiles;
        const int64_t out_row = group * args.rows + panels.begin(first);
        const int64_t out_sample = m.groups * args.rows * m.positions();
        T* const out = args.out + sample * out_sample + out_row * m.positions() + y * width;
        const SlabLayout layout(vertical, horizontal, m, height);

        const bool in_place = args.by_row || layout.pitch == width;
        Spans<T> spans;
        if (args.by_row)
            spans = {samples * height, width, layout.pitch, 0, height, out, width, out_sample, m.positions()};
        else if (in_place)
            spans = {samples, height * width, 0, 0, 1, out, 0, out_sample, m.positions()};
        else
            spans = {samples,
                     (height - 1) * layout.pitch + width,
                     0,
                     0,
                     1,
                     tile,
                     0,
                     height * layout.pitch,
                     direct_tile_pitch<T> * (args.rows <= few_rows ? few_rows_wider : 1)};
        PanelPair<T> pair{};
        pair.c_stride = spans.row_stride;
        pair.activation = args.activation;
        pair.b_offset = offset;
        for (int64_t k = 0; k < depth; k += block_depth) {
            pair.depth = smaller(block_depth, depth - k);
            pair.accumulate = k > 0;
            pair.last = k + pair.depth == depth;
            const int64_t channel = k / taps, channels = (k + pair.depth - 1) / taps - channel + 1;
            spans.slab_group = channels * layout.plane;
            for (int64_t n = 0; n < samples; ++n)
                layout.fill(m, args.input + (sample + n) * m.sample_size() + group * m.channels * m.plane(), channel,
                            channels, y, slab + n * spans.slab_group);
            layout.find_offsets(k, pair.depth, channel, m.vertical.taps, m.horizontal.taps, offset);
            const T* const packed = args.packed + group * args.rows * depth + k * args.rows;
            const T* const bias = args.bias ? args.bias + out_row : nullptr;
            if (args.rows <= few_rows && waiting_sums(args.rows, spans) <= copies_size)
                multiply_few_rows(panels, spans, pair, packed, slab, bias, copies);
            else if (panels.begin(last) - panels.begin(first) < fewest_rows)
                multiply_spans(panels, first, last, spans, pair, packed, slab, bias);
            else
                multiply_copied_spans(panels, first, last, spans, pair, packed, slab, bias, copies);
        }
        if (!in_place)
            deal_out(spans, samples, panels.begin(last) - panels.begin(first), height, width, layout.pitch, out,
                     out_sample, m.positions());
    }
}

ADVCORE_INSTANTIATE(conv2d_direct, Conv2dDirectArgs)

}  // namespace advcore::ADVCORE_LEVEL

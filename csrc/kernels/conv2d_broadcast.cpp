#include "conv2d_broadcast.h"

#include "kernel_list.h"
#include "narrow_product.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// Columns [col, col + used) of the right factor for `terms` terms from `term` on, as a panel.
template <class T>
void pack_panel(const WeightMatrix<T>& w, int64_t group, int64_t col, int64_t used, int64_t term, int64_t terms,
                T* panel) {
    pack_strip(w.data + group * w.group_stride + col * w.row_stride + term * w.term_stride, w.row_stride, w.term_stride,
               used, panel_width<T>(used), terms, panel);
}

// The rows of an output whose sums are made side by side.
template <class T>
constexpr int64_t rows_at_once = 512 / static_cast<int64_t>(sizeof(T));

// What some rows of positions see of a sample: the input as packed left panels where the patches are the input, else a
// copy of its rows with the padding in place, from which each element is broadcast.
template <class T>
class Seen {
public:
    Seen(const Conv2dBroadcastArgs<T>& args, T* memory)
        : m_(args.patches),
          in_place_(args.in_place),
          input_(args.input),
          memory_(memory),
          pitch_(extent(m_.horizontal, m_.horizontal.positions)),
          plane_(pitch_ * extent(m_.vertical, args.height_per_tile)),
          before_(smaller(larger(0, -m_.horizontal.first), pitch_)),
          inside_(
              larger(0, smaller(m_.horizontal.source, m_.horizontal.first + pitch_) - larger(0, m_.horizontal.first))) {
        if (in_place_) return;
        const int64_t size = plane_ * smaller(m_.channels, block_depth / m_.taps() + 2);
        for (int64_t i = 0; i < size; i += lanes<T>) store(memory_ + i, Vec<T>{});
        const int64_t width = m_.horizontal.positions;
        for (int64_t i = 0; i < args.height_per_tile * width; ++i)
            position_offset_[i] = i / width * m_.vertical.step * pitch_ + i % width * m_.horizontal.step;
    }

    void look_at(int64_t group, int64_t sample, int64_t y, int64_t height) {
        sample_ = input_ + sample * m_.sample_size() + group * m_.channels * m_.plane();
        top_ = y * m_.vertical.step + m_.vertical.first;
        rows_ = extent(m_.vertical, height);
        panels_ = RowPanels(height * m_.horizontal.positions);
        if (in_place_) pack(sample_ + y * m_.horizontal.positions);
    }

    // Readies terms [term, term + terms).
    void turn_to(int64_t term, int64_t terms) {
        if (!in_place_) {
            const int64_t channel = term / m_.taps(), last = (term + terms - 1) / m_.taps();
            for (int64_t c = channel; c <= last; ++c) copy(sample_ + c * m_.plane(), memory_ + (c - channel) * plane_);
            asked_ = last + 1;
            if (term != term_ || terms != terms_) find_offsets(term, terms);
        }
        term_ = term, terms_ = terms;
    }

    // sums[position, row] (+)= those terms, for a panel of `pair.cols` rows at `pair.b`. Where there is `next`, memory
    // brings the next panel meanwhile.
    void multiply(PanelPair<T> pair, T* sums, const T* next) {
        constexpr int64_t line = 64 / static_cast<int64_t>(sizeof(T));
        const int64_t size = next ? panel_width<T>(pair.cols) * pair.depth : 0;
        pair.a = memory_;
        if (!in_place_) pair.a_term_offset = term_offset_;
        for (int64_t panel = 0; panel < panels_.count; ++panel) {
            const int64_t at = panels_.begin(panel);
            if (in_place_)
                pair.a = memory_ + term_ * panels_.rows + at * pair.depth;
            else
                pair.a_row_offset = position_offset_ + at;
            pair.c = sums + at * pair.c_stride;
            multiply_panels<T>(static_cast<int>(panels_.begin(panel + 1) - at), pair);
            for (int64_t i = panel * size / panels_.count; i < (panel + 1) * size / panels_.count; i += line)
                prefetch(next, i);
            if (!in_place_) ask_for_more();
        }
    }

    int64_t positions() const { return panels_.rows; }

private:
    // What so many positions see along an axis.
    static int64_t extent(const PatchAxis& axis, int64_t positions) {
        return (positions - 1) * axis.step + (axis.taps - 1) * axis.tap_step + 1;
    }

    // Memory brings the planes of the next terms meanwhile, one after each product.
    void ask_for_more() {
        if (asked_ >= m_.channels) return;
        const int64_t top = larger(0, top_), rows = smaller(m_.vertical.source, top_ + rows_) - top;
        const T* const from = sample_ + asked_++ * m_.plane() + top * m_.horizontal.source;
        for (int64_t i = 0; i < rows * m_.horizontal.source; i += 64 / static_cast<int64_t>(sizeof(T)))
            prefetch(from, i);
    }

    // The rows of a plane; the padding beside them is there from the beginning.
    void copy(const T* from, T* to) const {
        const T* const first = from + larger(0, m_.horizontal.first);
        for (int64_t row = 0; row < rows_; ++row, to += pitch_) {
            const int64_t at = top_ + row;
            if (at < 0 || at >= m_.vertical.source) {
                cover<T>(pitch_, [=](int64_t i, int used) { store_used(to + i, Vec<T>{}, used); });
                continue;
            }
            const T* const source = first + at * m_.horizontal.source;
            T* const target = to + before_;
            cover<T>(inside_, [=](int64_t i, int used) { store_used(target + i, load_used(source + i, used), used); });
        }
    }

    void find_offsets(int64_t term, int64_t terms) {
        const PatchAxis &v = m_.vertical, &h = m_.horizontal;
        int64_t s = term % h.taps, r = term / h.taps % v.taps, plane = 0;
        for (int64_t i = 0; i < terms; ++i) {
            term_offset_[i] = plane + r * v.tap_step * pitch_ + s * h.tap_step;
            if (++s < h.taps) continue;
            s = 0;
            if (++r == v.taps) r = 0, plane += plane_;
        }
    }

    // The left factor, block of terms by block.
    void pack(const T* from) {
        for (int64_t k = 0; k < m_.channels; k += block_depth) {
            const int64_t terms = smaller(block_depth, m_.channels - k);
            for (int64_t panel = 0; panel < panels_.count; ++panel) {
                const int64_t at = panels_.begin(panel), count = panels_.begin(panel + 1) - at;
                pack_strip(from + k * m_.plane() + at, 1, m_.plane(), count, count, terms,
                           memory_ + k * panels_.rows + at * terms);
            }
        }
    }

    const PatchMatrix& m_;
    const bool in_place_;
    const T* const input_;
    T* const memory_;
    const int64_t pitch_, plane_, before_, inside_;
    const T* sample_ = nullptr;
    int64_t top_ = 0, rows_ = 0, term_ = -1, terms_ = 0, asked_ = 0;
    RowPanels panels_{0};  // of positions
    int64_t position_offset_[most_broadcast_positions<T>], term_offset_[block_depth];
};

}  // namespace

template <class T>
void conv2d_broadcast_pack(const Conv2dBroadcastPackArgs<T>& args, int64_t begin, int64_t end, void*) {
    const int64_t padded = whole_registers<T>(args.rows);
    for (int64_t item = begin; item < end; ++item) {
        const int64_t first = item % args.row_tiles * args.rows_per_tile, rest = item / args.row_tiles;
        const int64_t k = rest % args.blocks * block_depth, group = rest / args.blocks;
        const int64_t terms = smaller(block_depth, args.depth - k);
        T* const to = args.packed + group * padded * args.depth + k * padded;
        const int64_t last = smaller(args.rows, first + args.rows_per_tile);
        for (int64_t col = first; col < last; col += panel_cols<T>)
            pack_panel(args.weights, group, col, smaller(panel_cols<T>, last - col), k, terms, to + col * terms);
    }
}

template <class T>
void conv2d_broadcast(const Conv2dBroadcastArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    const PatchMatrix& m = args.patches;
    const int64_t width = m.horizontal.positions, plane = m.positions(), depth = m.rows();
    const int64_t padded = whole_registers<T>(args.rows);
    T* const own_right = static_cast<T*>(scratch);
    T* const sums = own_right + block_depth * panel_cols<T>;
    Seen<T> seen(args, sums + (most_broadcast_positions<T> + lanes<T>)*rows_at_once<T>);
    for (int64_t item = begin; item < end; ++item) {
        const int64_t y = item % args.height_tiles * args.height_per_tile, rest = item / args.height_tiles;
        const int64_t sample = rest % m.samples;
        const int64_t row_tile = rest / m.samples % args.row_tiles, group = rest / m.samples / args.row_tiles;
        const int64_t last = smaller((row_tile + 1) * args.rows_per_tile, args.rows);
        const T* const packed = args.packed ? args.packed + group * padded * depth : nullptr;
        seen.look_at(group, sample, y, smaller(args.height_per_tile, m.vertical.positions - y));
        PanelPair<T> pair{};
        pair.activation = args.activation;
        for (int64_t row = row_tile * args.rows_per_tile; row < last; row += rows_at_once<T>) {
            const int64_t rows = smaller(rows_at_once<T>, last - row), out_row = group * args.rows + row;
            T* const result = args.channels_last ? args.out + (sample * plane + y * width) * args.rows + row : sums;
            pair.c_stride = args.channels_last ? args.rows : padded_rows<T>(rows);
            for (int64_t k = 0; k < depth; k += block_depth) {
                pair.depth = smaller(block_depth, depth - k);
                pair.accumulate = k > 0, pair.last = k + pair.depth == depth;
                seen.turn_to(k, pair.depth);
                for (int64_t col = 0; col < rows; col += panel_cols<T>) {
                    pair.cols = static_cast<int>(smaller(panel_cols<T>, rows - col));
                    pair.col_bias = args.bias ? args.bias + out_row + col : nullptr;
                    pair.b = packed ? packed + k * padded + (row + col) * pair.depth : own_right;
                    if (!packed) pack_panel(args.weights, group, row + col, pair.cols, k, pair.depth, own_right);
                    seen.multiply(pair, result + col,
                                  packed ? pair.b + panel_width<T>(pair.cols) * pair.depth : nullptr);
                }
            }
            if (args.channels_last) continue;
            turn(sums, rows, seen.positions(), args.out + (sample * m.groups * args.rows + out_row) * plane + y * width,
                 plane, false);
        }
    }
}

ADVCORE_INSTANTIATE(conv2d_broadcast_pack, Conv2dBroadcastPackArgs)
ADVCORE_INSTANTIATE(conv2d_broadcast, Conv2dBroadcastArgs)

}  // namespace advcore::ADVCORE_LEVEL

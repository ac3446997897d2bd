// A slab: the part of a convolution's input that some output rows see, copied so that every tap of every output row is
// a contiguous piece of it. Rows and columns are sorted by what their number leaves when divided by the stride, and the
// padding is in place; then tap (c, r, s) of output position (y, x) lies at offset(c, r, s) + y * pitch + x.
#pragma once

#include "conv2d.h"
#include "pack.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

ADVCORE_INLINE int64_t floor_div(int64_t a, int64_t b) { return (a >= 0 ? a : a - b + 1) / b; }

// The taps of one axis: tap t of position o looks at source position (o + quotient[t]) * step + residue[slot[t]].
struct Phases {
    int64_t slots = 0, least = 0, spread = 0;  // quotients are in [least, least + spread]
    int64_t residue[most_phased_taps], slot[most_phased_taps], quotient[most_phased_taps];

    explicit Phases(const PatchAxis& axis) {
        for (int64_t tap = 0; tap < axis.taps; ++tap) {
            const int64_t first = axis.first + tap * axis.tap_step;
            quotient[tap] = floor_div(first, axis.step);
            const int64_t rest = first - quotient[tap] * axis.step;
            slot[tap] = 0;
            while (slot[tap] < slots && residue[slot[tap]] != rest) ++slot[tap];
            if (slot[tap] == slots) residue[slots++] = rest;
            least = tap == 0 ? quotient[tap] : smaller(least, quotient[tap]);
            spread = tap == 0 ? quotient[tap] : larger(spread, quotient[tap]);
        }
        spread -= least;
    }
};

// What a row of a slab takes from a row of the input: `count` elements from `from` on, `step` apart, between zeros.
struct RowPiece {
    int64_t step, from, before, count, after;
    RowPiece() = default;
    RowPiece(int64_t source, int64_t step_, int64_t first, int64_t length) : step(step_) {
        before = first >= 0 ? 0 : smaller(length, ceil_div(-first, step));
        from = first + before * step;
        count = larger(0, smaller(length, first < source ? ceil_div(source - first, step) : 0) - before);
        after = length - before - count;
    }
};

// Zeros in whole registers: mostly one, which should not be a call of memset.
template <class T>
ADVCORE_INLINE void clear(T* to, int64_t count) {
    if (count > 0) store(to, Vec<T>{});
    if (count > lanes<T>)
        for (int64_t i = lanes<T>; i < count; i += lanes<T>) store(to + i, Vec<T>{});
}

// Copies it; up to a register more is stored. Step is the step, or 0. `room`: elements that may be read from `row` on.
template <class T, int Step>
ADVCORE_INLINE void sort_row(const RowPiece& piece, const T* row, int64_t room, T* to) {
    constexpr int L = lanes<T>;
    clear(to, piece.before);
    const T* from = row + piece.from;
    T* const copy = to + piece.before;
    int64_t i = 0;
    if constexpr (Step != 0) {
        const int64_t readable = room - piece.from - Step * L;
        for (; i < piece.count && i * Step <= readable; i += L, from += Step * L)
            store(copy + i, load_spaced<T, Step>(from));
    }
    for (; i < piece.count; ++i, from += piece.step) copy[i] = *from;
    clear(copy + piece.count, piece.after);
}

// How the slabs of a tile of output rows lie.
struct SlabLayout {
    const Phases &vertical, &horizontal;
    int64_t pitch, rows;  // of each slot
    int64_t slot, plane;  // what slots and channels lie apart
    SlabLayout(const Phases& v, const Phases& h, const PatchMatrix& m, int64_t output_rows)
        : vertical(v),
          horizontal(h),
          pitch(m.horizontal.positions + h.spread),
          rows(output_rows + v.spread),
          slot(rows * pitch + (v.slots * h.slots > 1 ? slab_gap : 0)),
          plane(v.slots * h.slots * slot) {}

    // Copies channels [channel, channel + channels) of a sample's group for output rows from y on.
    template <class T>
    void fill(const PatchMatrix& m, const T* group_planes, int64_t channel, int64_t channels, int64_t y, T* to) const {
        RowPiece pieces[most_phased_taps];
        for (int64_t column = 0; column < horizontal.slots; ++column)
            pieces[column] = RowPiece(m.horizontal.source, m.horizontal.step,
                                      horizontal.least * m.horizontal.step + horizontal.residue[column], pitch);
        with_step(m.horizontal.step, [&](auto constant) {
            for (int64_t c = channel; c < channel + channels; ++c, to += plane)
                fill_plane<T, constant.value>(m, group_planes + c * m.plane(), (m.channels - c) * m.plane(), pieces, y,
                                              to);
        });
    }

    // Row by row of the input as far as the slots allow, since it may come from far away.
    template <class T, int Step>
    ADVCORE_INLINE void fill_plane(const PatchMatrix& m, const T* from, int64_t room, const RowPiece* pieces, int64_t y,
                                   T* to) const {
        const PatchAxis &v = m.vertical, &h = m.horizontal;
        for (int64_t row = 0; row < rows; ++row, to += pitch) {
            T* copy = to;
            for (int64_t phase = 0; phase < vertical.slots; ++phase) {
                const int64_t at = (y + vertical.least + row) * v.step + vertical.residue[phase];
                const bool inside = at >= 0 && at < v.source;
                const T* const source = from + at * h.source;
                if (inside)
                    for (int64_t i = 0; i < h.source; i += 64 / static_cast<int64_t>(sizeof(T)))
                        prefetch(source + i, m.plane());  // the next channel
                for (int64_t column = 0; column < horizontal.slots; ++column, copy += slot) {
                    if (inside)
                        sort_row<T, Step>(pieces[column], source, room - at * h.source, copy);
                    else
                        clear(copy, pitch);
                }
            }
        }
    }

    // offset[i]: where the tap of row k + i of the patch matrix lies, in a slab that begins with `channel`.
    void find_offsets(int64_t k, int64_t terms, int64_t channel, int64_t v_taps, int64_t h_taps,
                      int64_t* offset) const {
        int64_t s = k % h_taps, r = k / h_taps % v_taps, c = k / (h_taps * v_taps) - channel;
        for (int64_t i = 0; i < terms; ++i) {
            offset[i] = c * plane + (vertical.slot[r] * horizontal.slots + horizontal.slot[s]) * slot +
                        (vertical.quotient[r] - vertical.least) * pitch + horizontal.quotient[s] - horizontal.least;
            if (++s < h_taps) continue;
            s = 0;
            if (++r == v_taps) r = 0, ++c;
        }
    }
};

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL

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

// to[i] = row[first + i * step], zeros outside; up to a register more is stored. Step is the step, or 0.
template <class T, int Step>
ADVCORE_INLINE void sort_row(const T* row, int64_t source, int64_t step, int64_t first, int64_t length, T* to) {
    constexpr int L = lanes<T>;
    if constexpr (Step != 0) step = Step;
    const int64_t begin = first >= 0 ? 0 : smaller(length, ceil_div(-first, step));
    for (int64_t i = 0; i < begin; i += L) store(to + i, Vec<T>{});
    const T* from = row + first + begin * step;
    const int64_t end = smaller(length, first < source ? ceil_div(source - first, step) : 0);
    int64_t i = begin;
    if constexpr (Step == 1) {
        for (; i + L <= end; i += L, from += L) store(to + i, load(from));
        if (i < end) store(to + i, load_part(from, static_cast<int>(end - i)));
        i = larger(i, end);
    } else if constexpr (Step != 0) {
        for (; i + L < end; i += L, from += Step * L) store(to + i, load_spaced<T, Step>(from));
    }
    for (; i < end; ++i, from += step) to[i] = *from;
    for (; i < length; i += L) store(to + i, Vec<T>{});
}

// How the slabs of a tile of output rows lie.
struct SlabLayout {
    const Phases &vertical, &horizontal;
    int64_t pitch, rows;  // of each slot
    int64_t plane;        // of a channel: all slots
    SlabLayout(const Phases& v, const Phases& h, const PatchMatrix& m, int64_t output_rows)
        : vertical(v),
          horizontal(h),
          pitch(m.horizontal.positions + h.spread),
          rows(output_rows + v.spread),
          plane(v.slots * h.slots * rows * pitch) {}

    // Copies channels [channel, channel + channels) of a sample's group for output rows from y on.
    template <class T>
    void fill(const PatchMatrix& m, const T* group_planes, int64_t channel, int64_t channels, int64_t y, T* to) const {
        with_step(m.horizontal.step, [&](auto constant) {
            for (int64_t c = channel; c < channel + channels; ++c, to += plane)
                fill_plane<T, constant.value>(m, group_planes + c * m.plane(), y, to);
        });
    }

    template <class T, int Step>
    ADVCORE_INLINE void fill_plane(const PatchMatrix& m, const T* from, int64_t y, T* to) const {
        const PatchAxis &v = m.vertical, &h = m.horizontal;
        for (int64_t slot = 0; slot < vertical.slots; ++slot)
            for (int64_t column = 0; column < horizontal.slots; ++column)
                for (int64_t row = 0; row < rows; ++row, to += pitch) {
                    const int64_t at = (y + vertical.least + row) * v.step + vertical.residue[slot];
                    const bool inside = at >= 0 && at < v.source;
                    const T* const source = inside ? from + at * h.source : from;
                    if (inside && column == 0)
                        for (int64_t i = 0; i < h.source; i += 64 / static_cast<int64_t>(sizeof(T)))
                            prefetch(source + i, m.plane());  // the next channel
                    sort_row<T, Step>(source, inside ? h.source : 0, h.step,
                                      horizontal.least * h.step + horizontal.residue[column], pitch, to);
                }
    }

    // offset[i]: where the tap of row k + i of the patch matrix lies, in a slab that begins with `channel`.
    void find_offsets(int64_t k, int64_t terms, int64_t channel, int64_t v_taps, int64_t h_taps,
                      int64_t* offset) const {
        for (int64_t i = 0; i < terms; ++i) {
            const int64_t s = (k + i) % h_taps, r = (k + i) / h_taps % v_taps, c = (k + i) / (h_taps * v_taps);
            const int64_t slot = vertical.slot[r] * horizontal.slots + horizontal.slot[s];
            offset[i] = (c - channel) * plane + (slot * rows + vertical.quotient[r] - vertical.least) * pitch +
                        horizontal.quotient[s] - horizontal.least;
        }
    }
};

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL

// Sources whose patches take every second, third, ... column are sorted first: columns that one tap sees side by side
// then lie side by side, with the padding in place, and are copied a register at once.
#pragma once

#include "slab.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

template <class T>
constexpr int64_t sorted_columns_size = (int64_t{1} << 21) / static_cast<int64_t>(sizeof(T));

// The part of a patch matrix's source that columns [col, col + cols) of some channels see, with its columns sorted.
template <class T>
struct SortedColumns {
    PatchMatrix matrix;
    int64_t first_col;  // of `matrix`: what column `col` has become
    int64_t tap_offset[most_phased_taps];
    int64_t size;

    SortedColumns(const PatchMatrix& m, const T* source, int64_t group, int64_t col, int64_t cols,
                  int64_t first_channel, int64_t channels, T* to) {
        const PatchAxis &v = m.vertical, &h = m.horizontal;
        const int64_t sample = col / m.positions(), last_sample = (col + cols - 1) / m.positions();
        const bool whole = last_sample > sample;  // planes
        const int64_t first_y = whole ? 0 : (col - sample * m.positions()) / h.positions;
        const int64_t last_y = whole ? v.positions - 1 : (col + cols - 1 - sample * m.positions()) / h.positions;
        const int64_t begin = larger(0, smaller(v.source, first_y * v.step + v.first));
        const int64_t end = larger(begin, smaller(v.source, last_y * v.step + v.first + (v.taps - 1) * v.tap_step + 1));

        const Phases phases(h);
        const int64_t length = h.positions + phases.spread;
        for (int64_t tap = 0; tap < h.taps; ++tap)
            tap_offset[tap] = phases.slot[tap] * length + phases.quotient[tap] - phases.least;

        const int64_t samples = last_sample - sample + 1;
        matrix = {samples, 1, channels, v, {phases.slots * length, h.positions, h.taps, 1, 0, 0, tap_offset}};
        matrix.vertical.source = end - begin;
        matrix.vertical.positions = v.positions - first_y;
        matrix.vertical.first = v.first + first_y * v.step - begin;
        first_col = col - sample * m.positions() - first_y * h.positions;
        size = samples * matrix.sample_size();
        if (size > sorted_columns_size<T>) return;
        for (int64_t n = 0; n < samples; ++n)
            for (int64_t c = 0; c < channels; ++c) {
                const T* const plane =
                    source + (sample + n) * m.sample_size() + (group * m.channels + first_channel + c) * m.plane();
                for (int64_t y = begin; y < end; ++y)
                    for (int64_t slot = 0; slot < phases.slots; ++slot, to += length)
                        sort_row(plane + y * h.source, h.source, h.step, phases.least * h.step + phases.residue[slot],
                                 length, to);
            }
    }
    SortedColumns(const SortedColumns&) = delete;  // the matrix points into it
};

// Calls use(matrix, source, group, col, k) with what the rows [k, k + depth) and the columns are to be copied from: the
// sorted part of the source where its columns need it and it fits in the buffer, else the source itself.
template <class T, class Use>
ADVCORE_INLINE void with_sorted_columns(const PatchMatrix& m, const T* source, int64_t group, int64_t col, int64_t cols,
                                        int64_t k, int64_t depth, T* buffer, const Use& use) {
    if (m.horizontal.step > 1 && m.horizontal.taps <= most_phased_taps) {
        const int64_t channel = k / m.taps(), channels = (k + depth - 1) / m.taps() - channel + 1;
        const SortedColumns<T> sorted(m, source, group, col, cols, channel, channels, buffer);
        if (sorted.size <= sorted_columns_size<T>)
            return use(sorted.matrix, buffer, 0, sorted.first_col, k - channel * m.taps());
    }
    use(m, source, group, col, k);
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL

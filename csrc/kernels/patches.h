// Writes pieces of a patch matrix, a register of columns at a time.
//
// A register's columns are cut into runs: lanes whose source elements lie evenly spaced in memory. A run is the rest of
// a row of positions, and rows that follow one another in memory share one run. For each tap, what lies outside the
// source is found once as a mask; the innermost loop then walks through the channels.
#pragma once

#include "conv2d.h"
#include "product.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// The columns of one register.
template <class T>
struct PatchColumns {
    int runs = 0;
    int64_t sample[lanes<T>];
    int64_t offset[lanes<T>];  // in the sample, of lane 0 as the run spaces it, for tap offsets of 0
    Mask<T> member[lanes<T>];  // the run's lanes
    Mask<T> x{}, y{};          // source coordinates for tap offsets of 0
    bool inside = true;        // no tap of any lane lies outside the source

    PatchColumns(const PatchMatrix& m, int64_t col, int count) {
        const PatchAxis &v = m.vertical, &h = m.horizontal;
        const Mask<T> lane = lane_numbers<T>();
        int64_t n = col / m.positions();
        int64_t row = col % m.positions() / h.positions, at = col % h.positions;
        for (int64_t done = 0; done < count;) {
            const int64_t length = smaller(h.positions - at, count - done);
            const Mask<T> in = (lane >= static_cast<Int<T>>(done)) & (lane < static_cast<Int<T>>(done + length));
            x += (in & (lane + static_cast<Int<T>>(at - done))) * static_cast<Int<T>>(h.step);
            y += in & static_cast<Int<T>>(row * v.step);
            inside = inside && covers(v, row, row) && covers(h, at, at + length - 1);
            const int64_t from = row * v.step * h.source + (at - done) * h.step;
            if (runs && offset[runs - 1] == from && sample[runs - 1] == n) {
                member[runs - 1] |= in;
            } else {
                sample[runs] = n;
                offset[runs] = from;
                member[runs++] = in;
            }
            done += length;
            at = 0;
            if (++row == v.positions) row = 0, ++n;
        }
    }

    static bool covers(const PatchAxis& axis, int64_t first, int64_t last) {
        if (axis.tap_offset) return true;
        return first * axis.step + axis.first >= 0 &&
               last * axis.step + axis.first + (axis.taps - 1) * axis.tap_step < axis.source;
    }
};

template <class T>
ADVCORE_INLINE Mask<T> within(Mask<T> position, int64_t offset, int64_t extent) {
    const Mask<T> at = position + static_cast<Int<T>>(offset);
    return (at >= 0) & (at < static_cast<Int<T>>(extent));
}

// One tap of one run, for `channels` channels: lane i of the mask stands for element at + i * step of the source, a
// plane further in each channel, and for element i of `to`, `row_step` further in each channel.
template <class T>
struct PatchStrip {
    Mask<T> mask;
    int64_t at, plane, step, channels;
    int64_t sample_begin;  // of the sample in the source
    int64_t element, row_step;
    bool first_run;
};

// Calls visit(PatchStrip) for every part of the rows [k, k + depth) and columns [col, col + cols) of a patch matrix,
// which lies in a buffer of `pitch` elements a row.
template <class T, class Visit>
ADVCORE_INLINE void each_strip(const PatchMatrix& m, int64_t group, int64_t col, int64_t cols, int64_t k, int64_t depth,
                               int64_t pitch, const Visit& visit) {
    const PatchAxis &v = m.vertical, &h = m.horizontal;
    const int64_t taps = m.taps(), plane = m.plane();
    const int64_t first_channel = k / taps, first_tap = k % taps;
    const int64_t last_channel = (k + depth) / taps, last_tap = (k + depth) % taps;
    for (int64_t i = 0; i < cols; i += lanes<T>) {
        const PatchColumns<T> columns(m, col + i, static_cast<int>(smaller(lanes<T>, cols - i)));
        int64_t tap = 0;
        for (int64_t r = 0; r < v.taps; ++r) {
            const int64_t dy = v.first + r * v.tap_step;
            for (int64_t s = 0; s < h.taps; ++s, ++tap) {
                const int64_t dx = h.tap_offset ? h.tap_offset[s] : h.first + s * h.tap_step;
                const int64_t from = first_channel + (tap < first_tap), until = last_channel + (tap < last_tap);
                if (from >= until) continue;
                Mask<T> valid = Mask<T>{} - 1;
                if (!columns.inside) valid = within<T>(columns.x, dx, h.source) & within<T>(columns.y, dy, v.source);
                for (int run = 0; run < columns.runs; ++run) {
                    const int64_t sample_begin = columns.sample[run] * m.sample_size();
                    const int64_t at =
                        sample_begin + (group * m.channels + from) * plane + columns.offset[run] + dy * h.source + dx;
                    visit(PatchStrip<T>{valid & columns.member[run], at, plane, h.step, until - from, sample_begin,
                                        (from * taps + tap - k) * pitch + i, taps * pitch, run == 0});
                }
            }
        }
    }
}

// The channels of a strip for which whole registers, spaced by Step, lie within elements [begin, end) whatever the mask
// takes of them. The others are for going lane by lane: all, where the step is not known ahead.
struct ChannelRange {
    int64_t first, last;
};

template <class T, int Step>
ADVCORE_INLINE ChannelRange whole_registers(const PatchStrip<T>& s, int64_t begin, int64_t end) {
    if (Step == 0) return {0, 0};
    const int64_t room = end - Step * lanes<T> - s.at;  // for the start of the last register
    const int64_t first = s.at >= begin ? 0 : smaller(s.channels, ceil_div(begin - s.at, s.plane));
    const int64_t last = room >= (s.channels - 1) * s.plane ? s.channels : room < 0 ? 0 : room / s.plane + 1;
    return {first, larger(first, last)};
}

// to[(row - k) * pitch + i] = entry (row, col + i) for rows [k, k + depth); whole registers are stored, with zeros from
// `cols` on.
template <class T>
inline void copy_patches(const PatchMatrix& m, const T* source, int64_t group, int64_t col, int64_t cols, int64_t k,
                         int64_t depth, T* to, int64_t pitch) {
    with_step(m.horizontal.step, [&](auto constant) {
        constexpr int Step = constant.value;
        each_strip<T>(m, group, col, cols, k, depth, pitch, [&](const PatchStrip<T>& s) {
            const auto lane_by_lane = [&](int64_t channel) {
                T* const row = to + s.element + channel * s.row_step;
                for (int i = 0; i < lanes<T>; ++i) {
                    if (s.mask[i])
                        row[i] = source[s.at + channel * s.plane + i * s.step];
                    else if (s.first_run)
                        row[i] = T(0);
                }
            };
            const ChannelRange whole = whole_registers<T, Step>(s, 0, m.samples * m.sample_size());
            for (int64_t c = 0; c < whole.first; ++c) lane_by_lane(c);
            if constexpr (Step != 0) {
                const T* from = source + s.at + whole.first * s.plane;
                T* row = to + s.element + whole.first * s.row_step;
                if (s.first_run)
                    for (int64_t c = whole.first; c < whole.last; ++c, from += s.plane, row += s.row_step)
                        store(row, keep<T>(s.mask, load_spaced<T, Step>(from)));
                else
                    for (int64_t c = whole.first; c < whole.last; ++c, from += s.plane, row += s.row_step)
                        store(row, either<T>(load(row), keep<T>(s.mask, load_spaced<T, Step>(from))));
            }
            for (int64_t c = whole.last; c < s.channels; ++c) lane_by_lane(c);
        });
    });
}

// The patch matrix as the right factor of a product, from column `first_col` on.
template <class T>
struct RightPatches {
    const PatchMatrix& matrix;
    const T* source;
    int64_t group, first_col;
    void operator()(int64_t cols, int64_t k, int64_t depth, T* block) const {
        each_panel<T>(cols, depth, block, [&](int64_t col, int64_t used, int64_t width, T* panel) {
            copy_patches(matrix, source, group, first_col + col, used, k, depth, panel, width);
        });
    }
};

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL

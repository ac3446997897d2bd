// The slab of a tile of one plane's output rows: every tap of every output is read at an offset, without a border.
#pragma once

#include "cover.h"
#include "depthwise.h"
#include "slab.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

template <class T>
struct DepthwiseSlab {
    Phases vertical, horizontal;
    SlabLayout layout;
    int64_t offset[most_depthwise_taps];

    DepthwiseSlab(const PatchMatrix& m, int64_t height)
        : vertical(m.vertical), horizontal(m.horizontal), layout(vertical, horizontal, m, height) {
        layout.find_offsets(0, m.taps(), 0, m.vertical.taps, m.horizontal.taps, offset);
    }
    DepthwiseSlab(const DepthwiseSlab&) = delete;  // the layout refers to the phases

    int64_t size() const { return layout.plane; }

    // Fills the slab for output rows from y on.
    void fill(const PatchMatrix& m, const T* plane, int64_t y, T* to) const {
        layout.fill(m, plane, 0, 1, y, to);
        store(to + layout.plane, Vec<T>{});  // what the last registers read beyond it
    }

    // Zeros between its slots and behind it: fill spills there, and the last register of a row of gradients reads it.
    void clear_gaps(T* to) const {
        const int64_t used = layout.rows * layout.pitch;
        for (int64_t at = used; at < layout.plane; at += layout.slot) clear(to + at, layout.slot - used);
        clear(to + layout.plane, horizontal.spread + lanes<T>);
    }

    // The same where another plane's slab is there already, of all output rows: the border stays. For a step of 1.
    void refill(const PatchMatrix& m, const T* plane, T* to) const {
        const int64_t width = m.horizontal.source;
        const auto least = [](const Phases& axis) { return axis.least + axis.residue[0]; };
        const int64_t first = larger(0, least(vertical));
        const int64_t last = smaller(m.vertical.source, least(vertical) + layout.rows);
        const int64_t left = larger(0, least(horizontal));
        const int64_t columns = smaller(width, least(horizontal) + layout.pitch) - left;
        if (columns <= 0) return;
        T* row = to + (first - least(vertical)) * layout.pitch + left - least(horizontal);
        const T* from = plane + first * width + left;
        for (int64_t y = first; y < last; ++y, row += layout.pitch, from += width)
            cover<T>(columns, [=](int64_t at, int used) { store(row + at, load_used(from + at, used)); });
    }

    // The same for a plane whose elements lie spread_y and spread_x apart, and whose step is 1.
    void fill_spread(const PatchMatrix& m, const T* plane, int64_t spread_y, int64_t spread_x, int64_t y, T* to) const {
        const int64_t width = m.horizontal.source;
        const int64_t first = -(horizontal.least + horizontal.residue[0]);  // where the plane's first column lies
        for (int64_t row = 0; row < layout.rows; ++row, to += layout.pitch) {
            for (int64_t i = 0; i < layout.pitch; i += lanes<T>) store(to + i, Vec<T>{});
            const int64_t at = y + vertical.least + row;
            if (at < 0 || at % spread_y || at / spread_y >= m.vertical.source) continue;
            const T* const from = plane + at / spread_y * width;
            const int64_t begin = first < 0 ? ceil_div(-first, spread_x) : 0;
            const int64_t end = smaller(width, first < layout.pitch ? ceil_div(layout.pitch - first, spread_x) : 0);
            for (int64_t i = begin; i < end; ++i) to[first + i * spread_x] = from[i];
        }
    }
};

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL

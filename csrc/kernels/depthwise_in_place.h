// 3 x 3 windows over planes that are read where they lie: what a register sees outside of its row is masked, and rows
// outside of the plane are another's, of zeros. For planes that are copied for longer than they are convolved.
#pragma once

#include "cover.h"
#include "depthwise.h"
#include "depthwise_finish.h"
#include "shuffle.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int window = 3;

// The registers of a row of outputs. Those in [inner, outer) see whole registers, those before and after them what
// masks leave.
template <class T, int Step>
struct WindowColumns {
    static constexpr int64_t most_edges = 3;
    int64_t width, first, count, inner = 0, outer;
    Mask<T> inside[most_edges][window];

    explicit WindowColumns(const PatchAxis& axis)
        : width(axis.positions), first(axis.first), count(ceil_div(width, lanes<T>)), outer(count) {
        const auto sees_all = [&](int64_t i) {
            return at(i) >= 0 && at(i) + (lanes<T> - 1) * Step + window <= axis.source;
        };
        if (!sees_all(0)) inner = 1;
        while (outer > inner && !sees_all(outer - 1)) --outer;
        for (int64_t edge = 0; edge < smaller(most_edges, edges()); ++edge)
            for (int tap = 0; tap < window; ++tap) {
                const Int<T> from = static_cast<Int<T>>(at(edge_at(edge)) + tap);
                const Mask<T> column = lane_numbers<T>() * static_cast<Int<T>>(Step) + from;
                inside[edge][tap] = (column >= 0) & (column < static_cast<Int<T>>(axis.source));
            }
    }
    int64_t x(int64_t i) const { return larger(0, smaller(i * lanes<T>, width - lanes<T>)); }
    int64_t at(int64_t i) const { return x(i) * Step + first; }
    int64_t edges() const { return inner + count - outer; }
    int64_t edge_at(int64_t edge) const { return edge < inner ? edge : outer + edge - inner; }
};

// What windows of Rows x Vectors registers of outputs add up, taps in ascending order: each register of the input is
// read once for all rows that see it. look(tap, seen): what of it is inside the plane.
template <class T, int Step, int Rows, int Vectors, class Look>
ADVCORE_INLINE void add_windows(const T* const (&row)[(Rows - 1) * Step + window], const int64_t (&at)[Vectors],
                                const Look& look, const Vec<T> (&tap)[window * window], Vec<T> (&sum)[Rows * Vectors]) {
#pragma GCC unroll 16
    for (int r = 0; r < (Rows - 1) * Step + window; ++r) {
        Neighbours<T> both[Vectors];
#pragma GCC unroll 3
        for (int c = 0; c < window; ++c) {
            Vec<T> seen[Vectors];
#pragma GCC unroll 2
            for (int v = 0; v < Vectors; ++v) {
                const T* const from = row[r] + at[v] + c;
                if constexpr (Step == 1) {
                    seen[v] = look(c, load(from));
                } else {
                    if (c % 2 == 0) both[v] = load_neighbours(from);
                    seen[v] = look(c, c % 2 ? odd_lanes<T>(both[v]) : even_lanes<T>(both[v]));
                }
            }
#pragma GCC unroll 4
            for (int i = 0; i < Rows; ++i)
                if (r - i * Step >= 0 && r - i * Step < window)
#pragma GCC unroll 2
                    for (int v = 0; v < Vectors; ++v)
                        sum[i * Vectors + v] = fma<T>(tap[(r - i * Step) * window + c], seen[v], sum[i * Vectors + v]);
        }
    }
}

// Convolves planes of a batch one after the other. What registers read beyond a plane must be other planes, so that it
// has neither the first ones nor the last ones.
template <class T, int Step>
struct InPlace {
    static constexpr int64_t beyond = window + Step * lanes<T>;  // elements before or after a plane
    const DepthwiseArgs<T>& args;
    const PatchAxis &vertical, &horizontal;
    WindowColumns<T, Step> columns;
    bool possible;
    const T* zeros;

    InPlace(const DepthwiseArgs<T>& a, T* scratch)
        : args(a),
          vertical(a.patches.vertical),
          horizontal(a.patches.horizontal),
          columns(horizontal),
          zeros(scratch + beyond) {
        const auto fits = [](const PatchAxis& axis) {
            return axis.taps == window && axis.step == Step && axis.tap_step == 1 && axis.first <= 0 &&
                   axis.first > -window;
        };
        // With a step of 1 copies are cheap, but for the narrowest planes.
        possible = fits(vertical) && fits(horizontal) && a.spread_y * a.spread_x == 1 &&
                   columns.edges() <= columns.most_edges && (Step > 1 || columns.count == 1);
        if (possible)
            for (int64_t i = 0; i < horizontal.source + 2 * beyond; i += lanes<T>) store(scratch + i, Vec<T>{});
    }
    bool has(int64_t item) const {
        const int64_t planes = ceil_div(beyond, args.patches.plane());
        return possible && item >= planes && item < args.patches.samples * args.patches.groups - planes;
    }

    // `more`: elements after the result that will be stored later.
    void convolve(const T* plane, const Filter<T>& filter, T* out, int64_t more) const {
        constexpr int together = 4;
        const int64_t height = vertical.positions;
        Vec<T> tap[window * window];
        for (int t = 0; t < window * window; ++t) tap[t] = splat(filter.tap[t]);
        int64_t y = 0;
        if (height < together)
            for (; y < height; ++y) convolve_rows<1>(plane, y, tap, filter, out, more);
        for (; y < height; y += together)
            convolve_rows<together>(plane, smaller(y, height - together), tap, filter, out, more);
    }

    template <int Rows>
    ADVCORE_INLINE void convolve_rows(const T* plane, int64_t y, const Vec<T> (&tap)[window * window],
                                      const Filter<T>& filter, T* out, int64_t more) const {
        constexpr int L = lanes<T>, vectors = Step;
        const T* row[(Rows - 1) * Step + window];
#pragma GCC unroll 16
        for (int r = 0; r < (Rows - 1) * Step + window; ++r) {
            const int64_t at = y * Step + vertical.first + r;
            row[r] = at >= 0 && at < vertical.source ? plane + at * horizontal.source : zeros;
        }
        // Rows below a register's width are stored whole where what is too much is stored over later.
        const int64_t width = columns.width, end = vertical.positions * width + more;
        const bool whole = width >= L || (y + Rows - 1) * width + L <= end;
        const int used = whole ? L : static_cast<int>(width);
        const auto registers = [&](auto count, int64_t i, const auto& look) __attribute__((always_inline)) {
            constexpr int Count = count.value;
            int64_t at[Count], x[Count];
            for (int v = 0; v < Count; ++v) x[v] = columns.x(i + v), at[v] = columns.at(i + v);
            Vec<T> sum[Rows * Count] = {};
            add_windows<T, Step, Rows, Count>(row, at, look, tap, sum);
            finish<T, Rows * Count>(sum, filter, used,
                                    [&](int n) { return out + (y + n / Count) * width + x[n % Count]; });
        };
        const auto all = [](int, Vec<T> seen) { return seen; };
        int64_t i = columns.inner;
        for (; i + vectors <= columns.outer; i += vectors) registers(Constant<vectors>{}, i, all);
        for (; i < columns.outer; ++i) registers(Constant<1>{}, i, all);
        for (int64_t edge = 0; edge < columns.edges(); ++edge) {
            const Mask<T>* const inside = columns.inside[edge];
            registers(Constant<1>{}, columns.edge_at(edge),
                      [=](int t, Vec<T> seen) { return keep<T>(inside[t], seen); });
        }
    }
};

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL

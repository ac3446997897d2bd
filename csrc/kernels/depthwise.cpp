#include "depthwise.h"

#include "depthwise_finish.h"
#include "depthwise_in_place.h"
#include "depthwise_slab.h"
#include "kernel_list.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int most_places = 8;  // registers whose sums grow side by side

// A register of outputs: where it lies in the slab, for a tap offset of 0, and in the tile of the result.
struct Place {
    int32_t in_slab, in_tile;
};
constexpr int64_t most_lists = most_depthwise_slab;  // a register an element at the very worst
static_assert(3 * most_depthwise_slab * 8 + most_lists * int64_t(sizeof(Place)) <= scratch_bytes);

template <class T, int Count>
ADVCORE_INLINE void convolve(const T* slab, const Place* place, const Filter<T> filter, int used, T* out) {
    const T* from[Count];
    Vec<T> sum[Count] = {};
    for (int i = 0; i < Count; ++i) from[i] = slab + place[i].in_slab;
    for (int64_t t = 0; t < filter.taps; ++t) {
        const Vec<T> tap = splat(filter.tap[t]);
        const int64_t offset = filter.offset[t];
#pragma GCC unroll 8
        for (int i = 0; i < Count; ++i) sum[i] = fma<T>(tap, load(from[i] + offset), sum[i]);
    }
    finish<T, Count>(sum, filter, used, [=](int i) { return out + place[i].in_tile; });
}

// 3 x 3 taps side by side: each register of the slab is read once for all output rows that see it. Returns how many
// rows that were.
template <class T>
inline int64_t convolve_3x3(const T* slab, int64_t pitch, int64_t rows, int64_t width, const Filter<T> filter, T* out) {
    constexpr int side = 3, together = 4;
    Vec<T> tap[side * side];
    for (int t = 0; t < side * side; ++t) tap[t] = splat(filter.tap[t]);
    int64_t y = 0;
    for (; y + together <= rows; y += together, slab += together * pitch, out += together * width)
        cover<T>(width, [&](int64_t x, int used) {
            Vec<T> sum[together] = {};
#pragma GCC unroll 6
            for (int row = 0; row < together + side - 1; ++row)
#pragma GCC unroll 3
                for (int col = 0; col < side; ++col) {
                    const Vec<T> seen = load(slab + row * pitch + x + col);
#pragma GCC unroll 4
                    for (int i = 0; i < together; ++i)
                        if (row - i >= 0 && row - i < side) sum[i] = fma<T>(tap[(row - i) * side + col], seen, sum[i]);
                }
            finish<T, together>(sum, filter, used, [&](int i) { return out + i * width + x; });
        });
    return y;
}

template <class T, int Count = most_places>
inline void convolve_all(const T* slab, const Place* place, int64_t places, const Filter<T>& filter, int used, T* out) {
    for (; places >= Count; places -= Count, place += Count) convolve<T, Count>(slab, place, filter, used, out);
    if constexpr (Count > 1) convolve_all<T, Count / 2>(slab, place, places, filter, used, out);
}

}  // namespace

template <class T>
void depthwise(const DepthwiseArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    const PatchMatrix& m = args.patches;
    const int64_t height = m.vertical.positions, width = m.horizontal.positions;
    const DepthwiseSlab<T> slab(m, args.height_per_tile);
    T* const elements = static_cast<T*>(scratch);
    Place* const place = reinterpret_cast<Place*>(static_cast<char*>(scratch) + 2 * most_depthwise_slab * 8);
    int64_t places = 0;
    int used = 0;
    for (int64_t y = 0; y < args.height_per_tile; ++y)
        cover<T>(width, [&](int64_t x, int lanes_used) {
            used = lanes_used;
            place[places++] = {static_cast<int32_t>(y * slab.layout.pitch + x), static_cast<int32_t>(y * width + x)};
        });
    const int64_t places_per_row = places / args.height_per_tile;
    const auto three = [](const PatchAxis& axis) { return axis.taps == 3 && axis.step == 1 && axis.tap_step == 1; };
    const bool one_tile = args.height_per_tile == height && args.spread_y * args.spread_x == 1 &&
                          m.vertical.step == 1 && m.horizontal.step == 1;
    const bool is_3x3 = three(m.vertical) && three(m.horizontal);
    T* const zeros = reinterpret_cast<T*>(place + most_lists);
    const InPlace<T, 1> side_by_side(args, zeros);
    const InPlace<T, 2> every_second(args, zeros);
    bool is_filled = false;

    for (int64_t item = begin; item < end; ++item) {
        const T* const plane = args.input + item * m.plane();
        const int64_t channel = item % m.groups * args.rows;
        T* const out = args.out + item * args.rows * m.positions();
        const auto filter_of = [&](int64_t row) {
            return Filter<T>{args.weight + (channel + row) * m.taps(), slab.offset, m.taps(),
                             args.bias ? args.bias[channel + row] : T(0), args.activation};
        };
        if (side_by_side.has(item) || every_second.has(item)) {
            const int64_t more = item + 1 < end ? m.positions() : 0;
            for (int64_t row = 0; row < args.rows; ++row) {
                T* const to = out + row * m.positions();
                if (side_by_side.possible)
                    side_by_side.convolve(plane, filter_of(row), to, more);
                else
                    every_second.convolve(plane, filter_of(row), to, more);
            }
            continue;
        }
        for (int64_t y = 0; y < height; y += args.height_per_tile) {
            if (one_tile && is_filled)
                slab.refill(m, plane, elements);
            else if (args.spread_y * args.spread_x == 1)
                slab.fill(m, plane, y, elements);
            else
                slab.fill_spread(m, plane, args.spread_y, args.spread_x, y, elements);
            is_filled = true;
            const int64_t rows = smaller(args.height_per_tile, height - y);
            for (int64_t row = 0; row < args.rows; ++row) {
                const Filter<T> filter = filter_of(row);
                T* const to = out + row * m.positions() + y * width;
                const int64_t done =
                    is_3x3 ? convolve_3x3<T>(elements, slab.layout.pitch, rows, width, filter, to) * places_per_row : 0;
                convolve_all<T>(elements, place + done, rows * places_per_row - done, filter, used, to);
            }
        }
    }
}

ADVCORE_INSTANTIATE(depthwise, DepthwiseArgs)

}  // namespace advcore::ADVCORE_LEVEL

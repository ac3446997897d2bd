#include "depthwise.h"

#include "activate.h"
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
static_assert(2 * most_depthwise_slab * 8 + most_lists * int64_t(sizeof(Place)) <= scratch_bytes);

template <class T>
struct Filter {
    const T* tap;
    const int64_t* offset;
    int64_t taps;
    T bias;
    Activation activation;
};

// Stores sums with the bias and the activation, number i at to(i).
template <class T, int Count, class To>
ADVCORE_INLINE void finish(Vec<T> (&sum)[Count], const Filter<T>& filter, int used, const To& to) {
#pragma GCC unroll 8
    for (int i = 0; i < Count; ++i) sum[i] += splat(filter.bias);
    if (filter.activation == Activation::relu) {
#pragma GCC unroll 8
        for (int i = 0; i < Count; ++i) sum[i] = relu<T>(sum[i]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < Count; ++i) store_used(to(i), sum[i], used);
    if (filter.activation != Activation::gelu) return;
#pragma GCC unroll 1
    for (int i = 0; i < Count; ++i) store_used(to(i), gelu<T>(load_used(to(i), used)), used);
}

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

    for (int64_t item = begin; item < end; ++item) {
        const T* const plane = args.input + item * m.plane();
        const int64_t channel = item % m.groups * args.rows;
        T* const out = args.out + item * args.rows * m.positions();
        for (int64_t y = 0; y < height; y += args.height_per_tile) {
            if (one_tile && item > begin)
                slab.refill(m, plane, elements);
            else if (args.spread_y * args.spread_x == 1)
                slab.fill(m, plane, y, elements);
            else
                slab.fill_spread(m, plane, args.spread_y, args.spread_x, y, elements);
            const int64_t rows = smaller(args.height_per_tile, height - y);
            for (int64_t row = 0; row < args.rows; ++row) {
                const Filter<T> filter{args.weight + (channel + row) * m.taps(), slab.offset, m.taps(),
                                       args.bias ? args.bias[channel + row] : T(0), args.activation};
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

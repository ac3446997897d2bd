#include "depthwise.h"

#include "activate.h"
#include "kernel_list.h"
#include "pool_rows.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int64_t samples_per_block = 64;  // whose sums are added up by themselves: one chain would lose digits

// The outputs of a row all of whose taps lie inside the plane, with what a strided register reads too much.
struct Interior {
    int64_t first, last;
    explicit Interior(const PatchAxis& axis) {
        const int64_t reach = axis.first + (axis.taps - 1) * axis.tap_step + axis.step;  // one beyond the last column
        first = smaller(axis.positions, axis.first < 0 ? ceil_div(-axis.first, axis.step) : 0);
        last = larger(first, smaller(axis.positions, axis.source < reach ? 0 : (axis.source - reach) / axis.step + 1));
    }
};

// The taps of one output row that lie inside the plane vertically, and where they begin.
template <class T>
struct TapRows {
    int64_t first, last;
    const T* row;  // of tap row `first`
    int64_t step;
    TapRows(const PatchAxis& v, const T* plane, int64_t width, int64_t y) : step(v.tap_step * width) {
        const int64_t top = y * v.step + v.first;
        first = smaller(v.taps, top < 0 ? ceil_div(-top, v.tap_step) : 0);
        last = larger(first, smaller(v.taps, top >= v.source ? 0 : (v.source - 1 - top) / v.tap_step + 1));
        row = plane + (top + first * v.tap_step) * width;
    }
};

// Registers outputs from column x on: in each the taps in their order.
template <class T, int Stride, int Registers>
ADVCORE_INLINE void convolve(const TapRows<T> rows, const PatchAxis h, const T* weight, int64_t x,
                             Vec<T> (&sum)[Registers]) {
    for (int i = 0; i < Registers; ++i) sum[i] = Vec<T>{};
    const T* from = rows.row + x * Stride + h.first;
    const T* tap = weight + rows.first * h.taps;
    for (int64_t r = rows.first; r < rows.last; ++r, from += rows.step)
        for (int64_t s = 0; s < h.taps; ++s, ++tap) {
            const Vec<T> w = splat(*tap);
#pragma GCC unroll 4
            for (int i = 0; i < Registers; ++i)
                sum[i] =
                    fma<T>(w, load_strided<Stride>(from + s * h.tap_step + i * lanes<T> * Stride, Stride, 0), sum[i]);
        }
}

template <class T, int Stride>
void depthwise_plane(const T* input, const T* weight, T bias, Activation activation, const PatchAxis v,
                     const PatchAxis h, T* out) {
    constexpr int L = lanes<T>;
    const Interior interior(h);
    const auto finish = [=](Vec<T> sum) { return activate<T>(sum + splat(bias), activation); };
    for (int64_t y = 0; y < v.positions; ++y, out += h.positions) {
        const TapRows<T> rows(v, input, h.source, y);
        const auto one = [=](int64_t x) {  // a column at the border
            const int64_t left = x * Stride + h.first;
            const int64_t begin = left < 0 ? ceil_div(-left, h.tap_step) : 0;
            const int64_t end = smaller(h.taps, left >= h.source ? 0 : (h.source - 1 - left) / h.tap_step + 1);
            const T* from = rows.row + left;
            Vec<T> sum{};
            for (int64_t r = rows.first; r < rows.last; ++r, from += rows.step)
                for (int64_t s = begin; s < end; ++s)
                    sum = fma<T>(splat(weight[r * h.taps + s]), splat(from[s * h.tap_step]), sum);
            return finish(sum)[0];
        };
        int64_t x = interior.first;
        const auto cover_with = [&](auto registers) {  // the last ones overlap those before
            constexpr int64_t together = registers.value * L;
            for (; x < interior.last && interior.last - interior.first >= together; x += together) {
                const int64_t at = smaller(x, interior.last - together);
                Vec<T> sum[registers.value];
                convolve<T, Stride>(rows, h, weight, at, sum);
                for (int i = 0; i < registers.value; ++i) store(out + at + i * L, finish(sum[i]));
            }
        };
        cover_with(Constant<4>{});
        cover_with(Constant<2>{});
        cover_with(Constant<1>{});
        for (int64_t i = 0; i < interior.first; ++i) out[i] = one(i);
        for (int64_t i = smaller(x, interior.last); i < h.positions; ++i) out[i] = one(i);
    }
}

// sum[s] += the products of a row of gradients with what tap s sees, lane by lane; Taps of them at once.
template <class T, int Stride, int Taps>
ADVCORE_INLINE void add_row(const T* grad, const T* from, int64_t first, int64_t last, int64_t tap_step,
                            Vec<T>* total) {
    constexpr int L = lanes<T>;
    Vec<T> sum[Taps] = {};
    int64_t x = first;
    for (; x + L <= last; x += L) {
        const Vec<T> g = load(grad + x);
#pragma GCC unroll 8
        for (int s = 0; s < Taps; ++s)
            sum[s] = fma<T>(g, load_strided<Stride>(from + x * Stride + s * tap_step, Stride, 0), sum[s]);
    }
    for (; x < last; ++x) {
        Vec<T> g{};
        g[0] = grad[x];
        for (int s = 0; s < Taps; ++s) sum[s] = fma<T>(g, splat(from[x * Stride + s * tap_step]), sum[s]);
    }
    for (int s = 0; s < Taps; ++s) total[s] += sum[s];
}

template <class T, int Stride>
void depthwise_weight_grad_plane(const T* input, const T* grad, const PatchAxis v, const PatchAxis h, Vec<T>* total) {
    const Interior interior(h);
    for (int64_t y = 0; y < v.positions; ++y, grad += h.positions) {
        const TapRows<T> rows(v, input, h.source, y);
        for (int64_t r = rows.first; r < rows.last; ++r) {
            const T* const from = rows.row + (r - rows.first) * rows.step + h.first;
            Vec<T>* const taps = total + r * h.taps;
            int64_t s = 0;
            for (; s + 3 <= h.taps; s += 3)
                add_row<T, Stride, 3>(grad, from + s * h.tap_step, interior.first, interior.last, h.tap_step, taps + s);
            for (; s < h.taps; ++s)
                add_row<T, Stride, 1>(grad, from + s * h.tap_step, interior.first, interior.last, h.tap_step, taps + s);
            for (int64_t x = 0; x < h.positions; ++x) {
                if (x == interior.first) x = interior.last;
                if (x == h.positions) break;
                Vec<T> g{};
                g[0] = grad[x];
                for (s = 0; s < h.taps; ++s) {
                    const int64_t at = x * h.step + s * h.tap_step;
                    if (at + h.first < 0 || at + h.first >= h.source) continue;
                    taps[s] = fma<T>(g, splat(from[at]), taps[s]);
                }
            }
        }
    }
}

}  // namespace

template <class T>
void depthwise(const DepthwiseArgs<T>& args, int64_t begin, int64_t end, void*) {
    const PatchMatrix& m = args.patches;
    const auto plane = m.horizontal.step == 1 ? depthwise_plane<T, 1> : depthwise_plane<T, 2>;
    for (int64_t item = begin; item < end; ++item) {
        const int64_t channel = item % (m.groups * args.rows);
        plane(args.input + item / args.rows * m.plane(), args.weight + channel * m.taps(),
              args.bias ? args.bias[channel] : T(0), args.activation, m.vertical, m.horizontal,
              args.out + item * m.positions());
    }
}

template <class T>
void depthwise_weight_grad(const DepthwiseWeightGradArgs<T>& args, int64_t begin, int64_t end, void*) {
    const PatchMatrix& m = args.patches;
    const auto plane = m.horizontal.step == 1 ? depthwise_weight_grad_plane<T, 1> : depthwise_weight_grad_plane<T, 2>;
    for (int64_t channel = begin; channel < end; ++channel) {
        Vec<T> sample[most_depthwise_taps], block[most_depthwise_taps] = {}, total[most_depthwise_taps] = {};
        for (int64_t n = 0; n < m.samples; ++n) {
            for (int64_t t = 0; t < m.taps(); ++t) sample[t] = Vec<T>{};
            plane(args.input + (n * m.groups + channel / args.rows) * m.plane(),
                  args.grad_output + (n * m.groups * args.rows + channel) * m.positions(), m.vertical, m.horizontal,
                  sample);
            for (int64_t t = 0; t < m.taps(); ++t) block[t] += sample[t];
            if (n % samples_per_block < samples_per_block - 1 && n + 1 < m.samples) continue;
            for (int64_t t = 0; t < m.taps(); ++t) total[t] += block[t], block[t] = Vec<T>{};
        }
        for (int64_t t = 0; t < m.taps(); ++t) {
            T lane[lanes<T>], sum = 0;
            store(lane, total[t]);
            for (const T part : lane) sum += part;
            args.out[channel * m.taps() + t] = sum;
        }
    }
}

ADVCORE_INSTANTIATE(depthwise, DepthwiseArgs)
ADVCORE_INSTANTIATE(depthwise_weight_grad, DepthwiseWeightGradArgs)

}  // namespace advcore::ADVCORE_LEVEL

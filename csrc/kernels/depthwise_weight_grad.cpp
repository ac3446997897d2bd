#include "depthwise_slab.h"
#include "kernel_list.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int64_t samples_per_block = 64;  // whose sums are added up by themselves: one chain would lose digits

// total[t] += the products of a run of gradients with what tap t sees, lane by lane; Taps of them at once, in blocks of
// 256 terms a lane.
template <class T, int Taps>
ADVCORE_INLINE void add_taps(const T* grad, const T* slab, const int64_t* offset, int64_t length, Vec<T>* total) {
    constexpr int L = lanes<T>;
    const T* from[Taps];
    for (int t = 0; t < Taps; ++t) from[t] = slab + offset[t];
    for (int64_t begin = 0; begin < length; begin += block_depth * L) {
        const int64_t end = smaller(length, begin + block_depth * L);
        Vec<T> sum[Taps] = {};
        for (int64_t i = begin; i < end; i += L) {
            const Vec<T> g = load(grad + i);
#pragma GCC unroll 9
            for (int t = 0; t < Taps; ++t) sum[t] = fma<T>(g, load(from[t] + i), sum[t]);
        }
        for (int t = 0; t < Taps; ++t) total[t] += sum[t];
    }
}

template <class T, int Taps = 9>
inline void add_all_taps(const T* grad, const T* slab, const int64_t* offset, int64_t taps, int64_t length,
                         Vec<T>* total) {
    for (; taps >= Taps; taps -= Taps, offset += Taps, total += Taps)
        add_taps<T, Taps>(grad, slab, offset, length, total);
    if constexpr (Taps > 1) add_all_taps<T, Taps / 2>(grad, slab, offset, taps, length, total);
}

// Rows of gradients in the slab's pitch, with zeros between them and for a register behind them.
template <class T>
inline void space_out(const T* grad, int64_t rows, int64_t width, int64_t pitch, T* to) {
    constexpr int L = lanes<T>;
    for (int64_t row = 0; row < rows; ++row, grad += width, to += pitch) {
        int64_t i = 0;
        for (; i + L <= width; i += L) store(to + i, load(grad + i));
        for (; i < pitch; i += L)
            store(to + i, i < width ? load_part(grad + i, static_cast<int>(width - i)) : Vec<T>{});
    }
    store(to, Vec<T>{});
}

}  // namespace

template <class T>
void depthwise_weight_grad(const DepthwiseWeightGradArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    const PatchMatrix& m = args.patches;
    const int64_t height = m.vertical.positions, width = m.horizontal.positions, taps = m.taps();
    const DepthwiseSlab<T> slab(m, args.height_per_tile);
    T* const elements = static_cast<T*>(scratch);
    T* const grad = elements + most_depthwise_slab;
    const bool one_tile = args.height_per_tile == height && m.vertical.step == 1 && m.horizontal.step == 1;
    bool filled = false;
    for (int64_t channel = begin; channel < end; ++channel) {
        Vec<T> sample[most_depthwise_taps], block[most_depthwise_taps] = {}, total[most_depthwise_taps] = {};
        for (int64_t n = 0; n < m.samples; ++n) {
            const T* const plane = args.input + (n * m.groups + channel / args.rows) * m.plane();
            const T* const out = args.grad_output + (n * m.groups * args.rows + channel) * m.positions();
            for (int64_t t = 0; t < taps; ++t) sample[t] = Vec<T>{};
            for (int64_t y = 0; y < height; y += args.height_per_tile) {
                const int64_t rows = smaller(args.height_per_tile, height - y);
                if (filled)
                    slab.refill(m, plane, elements);
                else
                    slab.fill(m, plane, y, elements), slab.clear_gaps(elements);
                filled = one_tile;
                space_out(out + y * width, rows, width, slab.layout.pitch, grad);
                add_all_taps<T>(grad, elements, slab.offset, taps, rows * slab.layout.pitch, sample);
            }
            for (int64_t t = 0; t < taps; ++t) block[t] += sample[t];
            if (n % samples_per_block < samples_per_block - 1 && n + 1 < m.samples) continue;
            for (int64_t t = 0; t < taps; ++t) total[t] += block[t], block[t] = Vec<T>{};
        }
        for (int64_t t = 0; t < taps; ++t) {
            T lane[lanes<T>], sum = 0;
            store(lane, total[t]);
            for (const T part : lane) sum += part;
            args.out[channel * taps + t] = sum;
        }
    }
}

ADVCORE_INSTANTIATE(depthwise_weight_grad, DepthwiseWeightGradArgs)

}  // namespace advcore::ADVCORE_LEVEL

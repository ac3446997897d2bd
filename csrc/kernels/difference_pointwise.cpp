// Differences through what is not linear: f(a + d) - f(a), computed so that nothing of a small d is lost.
#include "activate.h"
#include "difference.h"
#include "kernel_list.h"
#include "vec.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

template <class T>
ADVCORE_INLINE Vec<T> smallest(Vec<T> a, Vec<T> b) {
    return select<T>(a < b, a, b);
}
template <class T>
ADVCORE_INLINE Vec<T> largest(Vec<T> a, Vec<T> b) {
    return select<T>(a > b, a, b);
}

template <class T>
ADVCORE_INLINE bool any_lane(Mask<T> mask) {
    Int<T> lane[lanes<T>];
    __builtin_memcpy(lane, &mask, sizeof mask);
    Int<T> all = 0;
    for (const Int<T> one : lane) all |= one;
    return all != 0;
}

// f(a, d) over a probe's window, in place.
template <class T, class Args, class Function>
ADVCORE_INLINE void each(const Args& args, int64_t probe, const Function& f) {
    const DifferenceWindow w = args.windows[probe];
    T* d = args.differences + probe * args.size;
    for (int64_t row = 0; row < w.rows; ++row, d += w.cols * args.pitch) {
        const T* const a = args.base[probe] + ((w.row + row) * args.map_cols + w.col) * args.pitch;
        for (int64_t i = 0; i < w.cols * args.pitch; i += lanes<T>) store(d + i, f(load(a + i), load(d + i)));
    }
}

// max(a + d, 0) - max(a, 0) by cases: no sum of a and d is formed that would round d away and then cancel.
template <class T>
ADVCORE_INLINE Vec<T> rectified(Vec<T> a, Vec<T> d) {
    return largest<T>(d + smallest<T>(a, Vec<T>{}), -largest<T>(a, Vec<T>{}));
}

// f(a + d) - f(a) in double precision.
template <class T, class Function>
ADVCORE_INLINE Vec<T> wide_difference(Vec<T> a, Vec<T> d, const Function& f) {
    constexpr int L = lanes<T>, W = lanes<double>;
    T base[L], moved[L];
    store(base, a);
    store(moved, d);
    for (int first = 0; first < L; first += W) {
        double from[W], to[W];
        for (int i = 0; i < W; ++i) from[i] = double(base[first + i]), to[i] = from[i] + double(moved[first + i]);
        store(to, f(load(to)) - f(load(from)));
        for (int i = 0; i < W; ++i) moved[first + i] = T(to[i]);
    }
    return load(moved);
}

}  // namespace

template <class T>
void difference_clip(const DifferenceClipArgs<T>& args, int64_t begin, int64_t end, void*) {
    using V = Vec<T>;
    const V low = splat(args.low), high = splat(args.high), slope = splat(args.slope);
    for (int64_t probe = begin; probe < end; ++probe) {
        Mask<T> kinked{};
        each<T>(args, probe, [&](V a, V d) {
            const V inside = smallest<T>(largest<T>(a, low), high);
            const V beyond = a - inside, down = low - inside, up = high - inside;
            const V plus = smallest<T>(largest<T>(d + beyond, down), up);
            const V minus = smallest<T>(largest<T>(beyond - d, down), up);
            kinked |= plus != -minus;
            return fma<T>(slope, d - plus, plus);
        });
        if (args.kinked) args.kinked[probe] |= any_lane<T>(kinked);
    }
}

template <class T>
void difference_smooth(const DifferenceSmoothArgs<T>& args, int64_t begin, int64_t end, void*) {
    using V = Vec<T>;
    using W = Vec<double>;
    for (int64_t probe = begin; probe < end; ++probe) switch (args.function) {
            case DifferenceFunction::sigmoid:
                each<T>(args, probe,
                        [](V a, V d) { return wide_difference<T>(a, d, [](W x) { return sigmoid<double>(x); }); });
                break;
            case DifferenceFunction::tanh:
                each<T>(args, probe,
                        [](V a, V d) { return wide_difference<T>(a, d, [](W x) { return tanh<double>(x); }); });
                break;
            case DifferenceFunction::gelu:
                each<T>(args, probe,
                        [](V a, V d) { return wide_difference<T>(a, d, [](W x) { return gelu<double>(x); }); });
                break;
            case DifferenceFunction::gelu_tanh:
                each<T>(args, probe,
                        [](V a, V d) { return wide_difference<T>(a, d, [](W x) { return gelu_tanh<double>(x); }); });
                break;
        }
}

template <class T>
void difference_max_pool(const DifferenceMaxPoolArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    constexpr int L = lanes<T>;
    struct Tap {
        const T *base, *difference;  // the difference is null outside of the window
    };
    Tap* const taps = static_cast<Tap*>(scratch);
    for (int64_t probe = begin; probe < end; ++probe) {
        const DifferenceWindow in = args.in_windows[probe], out = args.out_windows[probe];
        const T* const from = args.in + probe * args.in_size;
        T* to = args.out + probe * args.out_size;
        Mask<T> kinked{};
        for (int64_t row = out.row; row < out.row + out.rows; ++row)
            for (int64_t col = out.col; col < out.col + out.cols; ++col, to += args.pitch) {
                int count = 0;
                for (int64_t y = 0; y < args.rows.kernel; ++y)
                    for (int64_t x = 0; x < args.cols.kernel; ++x) {
                        const int64_t r = row * args.rows.stride - args.rows.padding + y * args.rows.dilation;
                        const int64_t c = col * args.cols.stride - args.cols.padding + x * args.cols.dilation;
                        if (r < 0 || r >= args.rows.input || c < 0 || c >= args.cols.input) continue;
                        const int64_t dr = r - in.row, dc = c - in.col;
                        const bool moves = dr >= 0 && dr < in.rows && dc >= 0 && dc < in.cols;
                        taps[count++] = {args.base[probe] + (r * args.cols.input + c) * args.pitch,
                                         moves ? from + (dr * in.cols + dc) * args.pitch : nullptr};
                    }
                const T* const most = args.base_out[probe] + (row * args.cols.output + col) * args.pitch;
                for (int64_t k = 0; k < args.pitch; k += L) {
                    const Vec<T> top = load(most + k);
                    Vec<T> plus = splat(T(-__builtin_inf())), minus = plus;
                    for (int i = 0; i < count; ++i) {
                        const Vec<T> below = load(taps[i].base + k) - top;
                        const Vec<T> d = taps[i].difference ? load(taps[i].difference + k) : Vec<T>{};
                        plus = largest<T>(plus, below + d);
                        minus = largest<T>(minus, below - d);
                    }
                    if (args.relu) plus = rectified<T>(top, plus), minus = rectified<T>(top, minus);
                    kinked |= plus != -minus;
                    store(to + k, plus);
                }
            }
        if (args.kinked) args.kinked[probe] |= any_lane<T>(kinked);
    }
}

ADVCORE_INSTANTIATE(difference_clip, DifferenceClipArgs)
ADVCORE_INSTANTIATE(difference_smooth, DifferenceSmoothArgs)
ADVCORE_INSTANTIATE(difference_max_pool, DifferenceMaxPoolArgs)

}  // namespace advcore::ADVCORE_LEVEL

// Differences through recurrent cells, with no sum that would round a small difference away.
#include "difference_recurrent.h"

#include "kernel_list.h"
#include "vecmath.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

template <class T>
ADVCORE_INLINE bool any_beyond(Vec<T> x, T limit) {
    const Mask<T> beyond = absolute<T>(x) > limit;
    Int<T> lane[lanes<T>];
    __builtin_memcpy(lane, &beyond, sizeof beyond);
    Int<T> all = 0;
    for (const Int<T> one : lane) all |= one;
    return all != 0;
}

// A gate at the sample itself.
template <class T>
struct Gate {
    Vec<T> sum, rising, falling;  // a, sigmoid(a), sigmoid(-a)

    ADVCORE_INLINE Gate(const T* base, int64_t pitch, int index) {
        const T* const from = base + 3 * index * pitch;
        sum = load(from), rising = load(from + pitch), falling = load(from + 2 * pitch);
    }
    // sigmoid(a + d) - sigmoid(a) = (1 - e^-d) sigmoid(-a) sigmoid(a + d), and the same turned over for negative d. All
    // factors are positive and known to the last digits; e^-|d| times the base's own are those of a + d.
    ADVCORE_INLINE Vec<T> difference(Vec<T> d) const {
        constexpr T far = 16;  // further on, e^-|d| sigmoid may be out of range
        const Mask<T> up = d > T(0);
        const Vec<T> change = expm1<T>(-absolute<T>(d));
        if (__builtin_expect(any_beyond<T>(d, far), 0)) {
            const Vec<T> moved = select<T>(up, sigmoid<T>(sum + d), sigmoid<T>(-(sum + d)));
            return copy_sign<T>(change * select<T>(up, falling, rising) * moved, d);
        }
        const Vec<T> near = select<T>(up, rising, falling), other = select<T>(up, falling, rising);
        return copy_sign<T>(change * rising * falling / fma<T>(other, change + T(1), near), d);
    }
    ADVCORE_INLINE Vec<T> tanh_difference(Vec<T> d) const { return T(2) * difference(T(2) * d); }
};

// (a + da) (b + db) - a b
template <class T>
ADVCORE_INLINE Vec<T> product_difference(Vec<T> a, Vec<T> da, Vec<T> b, Vec<T> db) {
    return fma<T>(da, b + db, a * db);
}

// c' = f c + i g, h' = o tanh(c')
template <class T>
ADVCORE_INLINE void lstm(const T* base, const T* sums, T* state, T* cell, int64_t pitch) {
    const Gate<T> i(base, pitch, 0), f(base, pitch, 1), g(base, pitch, 2), o(base, pitch, 3), c(base, pitch, 4);
    const Vec<T> before = load(base + 15 * pitch), tanh_g = load(base + 16 * pitch), tanh_c = load(base + 17 * pitch);
    const Vec<T> di = i.difference(load(sums)), df = f.difference(load(sums + pitch));
    const Vec<T> dg = g.tanh_difference(load(sums + 2 * pitch)), d_o = o.difference(load(sums + 3 * pitch));
    const Vec<T> dc =
        product_difference<T>(f.rising, df, before, load(cell)) + product_difference<T>(i.rising, di, tanh_g, dg);
    store(cell, dc);
    store(state, product_difference<T>(o.rising, d_o, tanh_c, c.tanh_difference(dc)));
}

// n = tanh(p + r q) or tanh(p), h' = n + z (h - n)
template <class T, bool After>
ADVCORE_INLINE void gru(const T* base, const T* sums, T* state, int64_t pitch) {
    const Gate<T> z(base, pitch, 1), n(base, pitch, 2);
    const Vec<T> before = load(base + 9 * pitch), candidate = load(base + 10 * pitch), d = load(state),
                 dz = z.difference(load(sums + pitch));
    Vec<T> sum = load(sums + 2 * pitch);
    if constexpr (After) {
        const Gate<T> r(base, pitch, 0);
        sum = sum + product_difference<T>(r.rising, r.difference(load(sums)), load(base + 11 * pitch),
                                          load(sums + 3 * pitch));
    }
    const Vec<T> dn = n.tanh_difference(sum);
    store(state, dn + product_difference<T>(z.rising, dz, before - candidate, d - dn));
}

template <class T, class Step>
ADVCORE_INLINE void each(const DifferenceCellArgs<T>& args, int64_t begin, int64_t end, const Step& step) {
    for (int64_t item = begin; item < end; ++item) {
        const int64_t own = args.probes[item] * args.pitch;
        for (int64_t unit = 0; unit < args.pitch; unit += lanes<T>)
            step(args.base[item] + unit, args.sums + item * args.sums_size + unit, own + unit,
                 item * args.pitch + unit);
    }
}

}  // namespace

template <class T>
void difference_cell(const DifferenceCellArgs<T>& args, int64_t begin, int64_t end, void*) {
    const int64_t pitch = args.pitch;
    T *const state = args.state, *const cell = args.cell;
    switch (args.kind) {
        case DifferenceCell::rnn_tanh:
            each<T>(args, begin, end, [=](const T* base, const T* sums, int64_t own, int64_t) {
                store(state + own, Gate<T>(base, pitch, 0).tanh_difference(load(sums)));
            });
            break;
        case DifferenceCell::gru_after:
            each<T>(args, begin, end, [=](const T* base, const T* sums, int64_t own, int64_t) {
                gru<T, true>(base, sums, state + own, pitch);
            });
            break;
        case DifferenceCell::gru_before:
            each<T>(args, begin, end, [=](const T* base, const T* sums, int64_t own, int64_t) {
                gru<T, false>(base, sums, state + own, pitch);
            });
            break;
        case DifferenceCell::lstm:
            each<T>(args, begin, end, [=](const T* base, const T* sums, int64_t own, int64_t) {
                lstm<T>(base, sums, state + own, cell + own, pitch);
            });
            break;
    }
}

// gru_before: of r h, which the candidate's weights multiply.
template <class T>
void difference_reset(const DifferenceCellArgs<T>& args, int64_t begin, int64_t end, void*) {
    each<T>(args, begin, end, [&](const T* base, const T* sums, int64_t own, int64_t at) {
        const Gate<T> r(base, args.pitch, 0);
        store(args.reset_state + at, product_difference<T>(r.rising, r.difference(load(sums)),
                                                           load(base + 9 * args.pitch), load(args.state + own)));
    });
}

ADVCORE_INSTANTIATE(difference_cell, DifferenceCellArgs)
ADVCORE_INSTANTIATE(difference_reset, DifferenceCellArgs)

}  // namespace advcore::ADVCORE_LEVEL

// The only file that knows the instruction set. A Vec<T> is one register of T; everything here is in an
// anonymous namespace, so that no level's code can be linked into another level.
#pragma once

#include <stdint.h>

namespace advcore::ADVCORE_LEVEL {
namespace {

#if defined(ADVCORE_LEVEL_IS_avx512)
constexpr int vector_bytes = 64;
constexpr int vector_registers = 32;
#elif defined(ADVCORE_LEVEL_IS_avx2)
constexpr int vector_bytes = 32;
constexpr int vector_registers = 16;
#elif defined(ADVCORE_LEVEL_IS_neon)
constexpr int vector_bytes = 16;
constexpr int vector_registers = 32;
#else
constexpr int vector_bytes = 16;
constexpr int vector_registers = 16;
#endif

template <class T>
constexpr int lanes = vector_bytes / static_cast<int>(sizeof(T));

template <class T>
struct VecOf {
    typedef T type __attribute__((vector_size(vector_bytes)));
};
template <class T>
using Vec = typename VecOf<T>::type;

// The integer as wide as T: the type of comparison results and shuffle indices.
template <class T>
struct IntOf;
template <>
struct IntOf<float> {
    typedef int32_t type;
};
template <>
struct IntOf<double> {
    typedef int64_t type;
};
template <class T>
using Int = typename IntOf<T>::type;
template <class T>
using Mask = Vec<Int<T>>;

#define ADVCORE_INLINE inline __attribute__((always_inline))

template <class T>
ADVCORE_INLINE Vec<T> splat(T value) {
    return value - Vec<T>{};  // x - 0 is x for every x, -0 too, and becomes one broadcast
}

// memcpy, because NumPy's arrays are aligned to their element only.
template <class T>
ADVCORE_INLINE Vec<T> load(const T* from) {
    Vec<T> v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
}

// Half a register from each of two places.
template <class T>
ADVCORE_INLINE Vec<T> load_halves(const T* low, const T* high) {
    typedef T Half __attribute__((vector_size(vector_bytes / 2)));
    Half a, b;
    __builtin_memcpy(&a, low, sizeof a);
    __builtin_memcpy(&b, high, sizeof b);
#if defined(ADVCORE_LEVEL_IS_avx2) && !defined(__clang__)
    // Of shuffled halves GCC makes a load and an insertion, of this one instruction.
    typedef float Floats __attribute__((vector_size(vector_bytes / 2)));
    const Floats lower = reinterpret_cast<Floats>(a), upper = reinterpret_cast<Floats>(b);
    return reinterpret_cast<Vec<T>>(__builtin_ia32_vinsertf128_ps256(__builtin_ia32_ps256_ps(lower), upper, 1));
#else
    if constexpr (lanes<T> == 2)
        return __builtin_shufflevector(a, b, 0, 1);
    else if constexpr (lanes<T> == 4)
        return __builtin_shufflevector(a, b, 0, 1, 2, 3);
    else if constexpr (lanes<T> == 8)
        return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7);
    else
        return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#endif
}

template <class T>
ADVCORE_INLINE void store(T* to, Vec<T> v) {
    __builtin_memcpy(to, &v, sizeof v);
}

// Keeps the compiler from reading a register's content again from where it came from, for want of others.
template <class T>
ADVCORE_INLINE Vec<T> held(Vec<T> v) {
#if defined(__SSE2__)
    asm("" : "+v"(v));
#else
    asm("" : "+w"(v));
#endif
    return v;
}

// Asks for the memory at from[offset], which need not exist, to be brought near.
template <class T>
ADVCORE_INLINE void prefetch(const T* from, int64_t offset) {
    constexpr int second_level = 2;
    const uintptr_t at = reinterpret_cast<uintptr_t>(from) + static_cast<uintptr_t>(offset) * sizeof(T);
    __builtin_prefetch(reinterpret_cast<const void*>(at), 0, second_level);
}

// 0, 1, 2, ...
template <class T>
ADVCORE_INLINE Mask<T> lane_numbers() {
    Mask<T> v{};
    for (int i = 0; i < lanes<T>; ++i) v[i] = i;
    return v;
}

// Parts of registers.

// Lanes [first, last) of a register.
template <class T>
struct LaneSpan {
#if defined(ADVCORE_LEVEL_IS_avx512)
    // A bit a lane. Of loops over lanes GCC makes masked instructions, too, but asks first whether lanes and memory
    // overlap.
    uint32_t bits;
    ADVCORE_INLINE LaneSpan(int first, int last) : bits(below(last) & ~below(first)) {}
    static ADVCORE_INLINE uint32_t below(int lane) {
        return (uint32_t{1} << (lane < 0 ? 0 : lane > lanes<T> ? lanes<T> : lane)) - 1;
    }
#else
    Int<T> first, last;  // as wide as T
    ADVCORE_INLINE LaneSpan(int first_, int last_) : first(first_), last(last_) {}
#endif
};

// Some lanes from memory, zeros elsewhere; memory outside those lanes is not touched.
template <class T>
ADVCORE_INLINE Vec<T> load_span(const T* from, const LaneSpan<T>& some) {
#if defined(ADVCORE_LEVEL_IS_avx512)
    if constexpr (sizeof(T) == 4)
        return __builtin_ia32_loadups512_mask(from, Vec<T>{}, static_cast<uint16_t>(some.bits));
    else
        return __builtin_ia32_loadupd512_mask(from, Vec<T>{}, static_cast<uint8_t>(some.bits));
#else
    T lane[lanes<T>];
#pragma GCC unroll 1
    for (Int<T> i = 0; i < lanes<T>; ++i) lane[i] = (i >= some.first && i < some.last) ? from[i] : T(0);
    return load(lane);
#endif
}

template <class T>
ADVCORE_INLINE Vec<T> load_between(const T* from, int first, int last) {
    return load_span(from, LaneSpan<T>(first, last));
}

template <class T>
ADVCORE_INLINE Vec<T> load_part(const T* from, int count) {
    return load_between(from, 0, count);
}

template <class T, int Count, class V>
ADVCORE_INLINE void store_pieces(T* to, V v, int count) {
    typedef T Piece __attribute__((vector_size(Count * sizeof(T))));
    if (count & Count) {
        Piece piece;
        __builtin_memcpy(&piece, &v, sizeof piece);
        __builtin_memcpy(to, &piece, sizeof piece);
    }
    if constexpr (Count > 1) {
        Piece rest;
        if (count & Count)
            __builtin_memcpy(&rest, reinterpret_cast<const char*>(&v) + sizeof rest, sizeof rest);
        else
            __builtin_memcpy(&rest, &v, sizeof rest);
        store_pieces<T, Count / 2>(to + (count & Count), rest, count);
    }
}

// The first `count` lanes. Where masks are no registers of their own a masked store takes 20 times as long as a whole
// one (on AMD's processors), so that halves, quarters, ... are stored.
template <class T>
ADVCORE_INLINE void store_part(T* to, Vec<T> v, int count) {
#if defined(ADVCORE_LEVEL_IS_avx512)
    const LaneSpan<T> some(0, count);
    if constexpr (sizeof(T) == 4)
        __builtin_ia32_storeups512_mask(to, v, static_cast<uint16_t>(some.bits));
    else
        __builtin_ia32_storeupd512_mask(to, v, static_cast<uint8_t>(some.bits));
#else
    if (count >= lanes<T>) return store(to, v);
    store_pieces<T, lanes<T> / 2>(to, v, count);
#endif
}

// As many elements as a register has doubles, exactly.
template <class T>
ADVCORE_INLINE Vec<double> load_as_double(const T* from) {
    if constexpr (sizeof(T) == 8) {
        return load(from);
    } else {
        double lane[lanes<double>];  // GCC makes two instructions of __builtin_convertvector, of this one
        for (int i = 0; i < lanes<double>; ++i) lane[i] = static_cast<double>(from[i]);
        return load(lane);
    }
}

// Two 16-bit integers in each lane.
typedef Mask<float> Pairs;

// a0 * b0 + a1 * b1 in each lane.
ADVCORE_INLINE Mask<float> dot_pairs(Pairs a, Pairs b) {
#if defined(__SSE2__)
    typedef int16_t Words __attribute__((vector_size(vector_bytes)));
    const Words x = reinterpret_cast<Words>(a), y = reinterpret_cast<Words>(b);
#if defined(ADVCORE_LEVEL_IS_avx512) && !defined(__clang__)
    typedef int32_t Sums __attribute__((vector_size(vector_bytes)));
    return __builtin_ia32_pmaddwd512_mask(x, y, Sums{}, -1);
#elif defined(ADVCORE_LEVEL_IS_avx512)
    return __builtin_ia32_pmaddwd512(x, y);
#elif defined(ADVCORE_LEVEL_IS_avx2)
    return __builtin_ia32_pmaddwd256(x, y);
#else
    return __builtin_ia32_pmaddwd128(x, y);
#endif
#else
    return ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
#endif
}

// Bit i is set where lane i of the comparison holds.
ADVCORE_INLINE uint32_t lane_bits(Mask<float> mask) {
#if defined(ADVCORE_LEVEL_IS_avx512)
    return static_cast<uint16_t>(__builtin_ia32_cvtd2mask512(mask));
#elif defined(ADVCORE_LEVEL_IS_avx2)
    return static_cast<uint32_t>(__builtin_ia32_movmskps256(reinterpret_cast<Vec<float>>(mask)));
#elif defined(__SSE2__)
    return static_cast<uint32_t>(__builtin_ia32_movmskps(reinterpret_cast<Vec<float>>(mask)));
#else
    uint32_t bits = 0;
    for (int i = 0; i < lanes<float>; ++i) bits |= static_cast<uint32_t>(mask[i] & (1 << i));
    return bits;
#endif
}

ADVCORE_INLINE uint32_t lane_bits(Mask<double> mask) {
#if defined(ADVCORE_LEVEL_IS_avx512)
    typedef long long Wide __attribute__((vector_size(vector_bytes)));
    return static_cast<uint8_t>(__builtin_ia32_cvtq2mask512(reinterpret_cast<Wide>(mask)));
#elif defined(ADVCORE_LEVEL_IS_avx2)
    return static_cast<uint32_t>(__builtin_ia32_movmskpd256(reinterpret_cast<Vec<double>>(mask)));
#elif defined(__SSE2__)
    return static_cast<uint32_t>(__builtin_ia32_movmskpd(reinterpret_cast<Vec<double>>(mask)));
#else
    uint32_t bits = 0;
    for (int i = 0; i < lanes<double>; ++i) bits |= static_cast<uint32_t>(mask[i] & (1 << i));
    return bits;
#endif
}

// The mask of those bits, of which the others do not count.
template <class T>
ADVCORE_INLINE Mask<T> mask_of(uint64_t bits) {
    Mask<T> lane_bit{};
    for (int i = 0; i < lanes<T>; ++i) lane_bit[i] = Int<T>{1} << i;
    return ((static_cast<Int<T>>(bits) - Mask<T>{}) & lane_bit) != Mask<T>{};
}

template <class T>
ADVCORE_INLINE Vec<T> select(Mask<T> mask, Vec<T> yes, Vec<T> no) {
    return mask ? yes : no;
}

// The lanes of x where the mask is set, zeros elsewhere.
template <class T>
ADVCORE_INLINE Vec<T> keep(Mask<T> mask, Vec<T> x) {
    return reinterpret_cast<Vec<T>>(mask & reinterpret_cast<Mask<T>>(x));
}

// The union of two registers of which each lane is zero in at least one.
template <class T>
ADVCORE_INLINE Vec<T> either(Vec<T> a, Vec<T> b) {
    return reinterpret_cast<Vec<T>>(reinterpret_cast<Mask<T>>(a) | reinterpret_cast<Mask<T>>(b));
}

// a * b + c with one rounding where the hardware has it; the compiler never contracts on its own. GCC makes one
// instruction of the loop over lanes in most places but not in all, so that x86 names the instruction.
template <class T>
ADVCORE_INLINE Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) {
#if defined(__FMA__) && defined(__clang__)
    return __builtin_elementwise_fma(a, b, c);
#elif defined(__FMA__) && defined(ADVCORE_LEVEL_IS_avx512)
    constexpr int current_rounding = 4;
    if constexpr (sizeof(T) == 4)
        return __builtin_ia32_vfmaddps512_mask(a, b, c, -1, current_rounding);
    else
        return __builtin_ia32_vfmaddpd512_mask(a, b, c, -1, current_rounding);
#elif defined(__FMA__)
    if constexpr (sizeof(T) == 4)
        return __builtin_ia32_vfmaddps256(a, b, c);
    else
        return __builtin_ia32_vfmaddpd256(a, b, c);
#elif defined(__ARM_FEATURE_FMA)
    Vec<T> r;
    for (int i = 0; i < lanes<T>; ++i) {
        if constexpr (sizeof(T) == 4)
            r[i] = __builtin_fmaf(a[i], b[i], c[i]);
        else
            r[i] = __builtin_fma(a[i], b[i], c[i]);
    }
    return r;
#else
    return a * b + c;
#endif
}

// Without errno, which the kernels' flags say, this is one instruction.
template <class T>
ADVCORE_INLINE Vec<T> square_root(Vec<T> x) {
    T lane[lanes<T>];
    store(lane, x);
    for (T& value : lane) {
        if constexpr (sizeof(T) == 4)
            value = __builtin_sqrtf(value);
        else
            value = __builtin_sqrt(value);
    }
    return load(lane);
}

// The larger of the two; a NaN in either is kept.
template <class T>
ADVCORE_INLINE Vec<T> max_nan(Vec<T> a, Vec<T> b) {
    return select<T>((a >= b) | (a != a), a, b);
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL

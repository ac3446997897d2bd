// Elementary functions on one register: no branches and no tables in memory, so that the bits of a lane depend on
// nothing but its own argument. Errors stay below 3 units in the last place (6 for normal_cdf), from tiny arguments to
// denormal results; NaN gives NaN.
#pragma once

#include "vec.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

template <class T>
constexpr int mantissa_bits = sizeof(T) == 4 ? 23 : 52;
template <class T>
constexpr Int<T> exponent_bias = sizeof(T) == 4 ? 127 : 1023;
template <class T>
constexpr Int<T> sign_bit = Int<T>(uint64_t{1} << (8 * sizeof(T) - 1));

// A vector's bits as integers, and back: a cast between vector types keeps the bits.
template <class T>
ADVCORE_INLINE Mask<T> bits_of(Vec<T> x) {
    return (Mask<T>)x;
}
template <class T>
ADVCORE_INLINE Vec<T> from_bits(Mask<T> bits) {
    return (Vec<T>)bits;
}

template <class T>
ADVCORE_INLINE Vec<T> absolute(Vec<T> x) {
    return from_bits<T>(bits_of<T>(x) & ~sign_bit<T>);
}
template <class T>
ADVCORE_INLINE Vec<T> copy_sign(Vec<T> magnitude, Vec<T> sign) {
    return from_bits<T>((bits_of<T>(magnitude) & ~sign_bit<T>) | (bits_of<T>(sign) & sign_bit<T>));
}

// Limits that let NaN through.
template <class T>
ADVCORE_INLINE Vec<T> at_least(Vec<T> x, T limit) {
    return select<T>(x < limit, splat(limit), x);
}
template <class T>
ADVCORE_INLINE Vec<T> at_most(Vec<T> x, T limit) {
    return select<T>(x > limit, splat(limit), x);
}

// 2^n, for n in the range of normal numbers.
template <class T>
ADVCORE_INLINE Vec<T> power_of_two(Mask<T> n) {
    return from_bits<T>((n + exponent_bias<T>) << mantissa_bits<T>);
}

// terms[0] + terms[1] x + ... + terms[Count - 1] x^(Count - 1)
template <int Count, class T>
ADVCORE_INLINE Vec<T> polynomial(Vec<T> x, const double* terms) {
    Vec<T> sum = splat(T(terms[Count - 1]));
#pragma GCC unroll 32
    for (int i = Count - 2; i >= 0; --i) sum = fma<T>(sum, x, splat(T(terms[i])));
    return sum;
}

constexpr double log2_e = 1.4426950408889634;
// log 2 in two parts: n times the first is exact for every exponent n.
template <class T>
constexpr T log_2_high = T(sizeof(T) == 4 ? 0x1.63p-1 : 0x1.62e42feep-1);
template <class T>
constexpr T log_2_low = T(sizeof(T) == 4 ? -2.1219444005469058e-4 : 1.9082149292705877e-10);

// 1 / k! from k = 1: Taylor's series of (exp(x) - 1) / x is exact to the last bit on |x| <= log(2) / 2.
constexpr double exp_terms[] = {
    1.,         1. / 2,      1. / 6,       1. / 24,       1. / 120,       1. / 720,       1. / 5040,
    1. / 40320, 1. / 362880, 1. / 3628800, 1. / 39916800, 1. / 479001600, 1. / 6227020800};
template <class T>
constexpr int exp_count = sizeof(T) == 4 ? 7 : 13;

// exp(x) = 2^power exp(rest), |rest| <= log(2) / 2; x is first brought into the range that does not overflow 2^power.
template <class T>
struct ExpArgument {
    Mask<T> power;
    Vec<T> rest;
};

// `tail` is a part of the argument too small for x to hold.
template <class T>
ADVCORE_INLINE ExpArgument<T> reduce_exp(Vec<T> x, Vec<T> tail = Vec<T>{}) {
    constexpr T lowest = sizeof(T) == 4 ? -104 : -746, highest = sizeof(T) == 4 ? 89 : 710;
    constexpr T to_integer = T(3) * T(Int<T>{1} << (mantissa_bits<T> - 1));  // adding it rounds to an integer
    const Vec<T> limited = at_most<T>(at_least<T>(x, lowest), highest);
    const Vec<T> shifted = fma<T>(limited + tail, splat(T(log2_e)), splat(to_integer));
    const Vec<T> n = shifted - to_integer;
    const Vec<T> rest = fma<T>(n, splat(-log_2_low<T>), fma<T>(n, splat(-log_2_high<T>), limited) + tail);
    return {bits_of<T>(shifted) - bits_of<T>(splat(to_integer)), rest};
}

// exp(x + tail); a denormal result is rounded once.
template <class T>
ADVCORE_INLINE Vec<T> exp_of_sum(Vec<T> x, Vec<T> tail) {
    const ExpArgument<T> a = reduce_exp<T>(x, tail);
    const Vec<T> power = fma<T>(a.rest, polynomial<exp_count<T>, T>(a.rest, exp_terms), splat(T(1)));
    const Mask<T> half = a.power >> 1;  // 2^power alone may be out of range
    return power * power_of_two<T>(half) * power_of_two<T>(a.power - half);
}

template <class T>
ADVCORE_INLINE Vec<T> exp(Vec<T> x) {
    return exp_of_sum<T>(x, Vec<T>{});
}

// exp(x) - 1, to full relative accuracy near 0.
template <class T>
ADVCORE_INLINE Vec<T> expm1(Vec<T> x) {
    const ExpArgument<T> a = reduce_exp<T>(x);
    const Vec<T> square = a.rest * a.rest;
    const Vec<T> rest = fma<T>(square, polynomial<exp_count<T> - 1, T>(a.rest, exp_terms + 1), a.rest);
    const Mask<T> half = a.power >> 1, other = a.power - half;
    const Vec<T> scale = power_of_two<T>(half);
    return fma<T>(rest, scale, scale - power_of_two<T>(-other)) * power_of_two<T>(other);
}

// exp of what is not positive, as the gates of recurrent layers need it: limited on one side only; a denormal
// result is rounded once.
template <class T>
ADVCORE_INLINE ExpArgument<T> reduce_exp_not_positive(Vec<T> x, T lowest) {
    constexpr T to_integer = T(3) * T(Int<T>{1} << (mantissa_bits<T> - 1));
    const Vec<T> limited = at_least<T>(x, lowest);
    const Vec<T> shifted = fma<T>(limited, splat(T(log2_e)), splat(to_integer));
    const Vec<T> n = shifted - to_integer;
    const Vec<T> rest = fma<T>(n, splat(-log_2_low<T>), fma<T>(n, splat(-log_2_high<T>), limited));
    return {bits_of<T>(shifted), rest};  // the integer's low bits are those of n
}

template <class T>
ADVCORE_INLINE Vec<T> exp_not_positive(Vec<T> x) {
    constexpr Int<T> raised = 64;
    const ExpArgument<T> a = reduce_exp_not_positive<T>(x, sizeof(T) == 4 ? -104 : -746);
    const Vec<T> power = fma<T>(a.rest, polynomial<exp_count<T>, T>(a.rest, exp_terms), splat(T(1)));
    return power * power_of_two<T>(a.power + raised) * power_of_two<T>(Mask<T>{} - raised);
}

template <class T>
ADVCORE_INLINE Vec<T> tanh(Vec<T> x) {
    // expm1(-2 |x|), which is -1 to the last bit before the limit.
    const ExpArgument<T> a = reduce_exp_not_positive<T>(T(-2) * absolute<T>(x), sizeof(T) == 4 ? -20 : -40);
    const Vec<T> square = a.rest * a.rest;
    const Vec<T> rest = fma<T>(square, polynomial<exp_count<T> - 1, T>(a.rest, exp_terms + 1), a.rest);
    const Vec<T> scale = power_of_two<T>(a.power);
    const Vec<T> below = fma<T>(rest, scale, scale - T(1));
    return copy_sign<T>(-below / (T(2) + below), x);
}

// 1 / (1 + exp(-x)), to full relative accuracy for negative x.
template <class T>
ADVCORE_INLINE Vec<T> sigmoid(Vec<T> x) {
    const Vec<T> small = exp_not_positive<T>(-absolute<T>(x));
    return select<T>(x >= T(0), splat(T(1)), small) / (T(1) + small);
}

// 1 / (2 k + 1): log(m) = 2 atanh(s) = 2 s (1 + s^2 / 3 + s^4 / 5 + ...), s = (m - 1) / (m + 1)
constexpr double atanh_terms[] = {1.,      1. / 3,  1. / 5,  1. / 7,  1. / 9, 1. / 11,
                                  1. / 13, 1. / 15, 1. / 17, 1. / 19, 1. / 21};
template <class T>
constexpr int atanh_count = sizeof(T) == 4 ? 5 : 11;

template <class T>
ADVCORE_INLINE Vec<T> log(Vec<T> x) {
    constexpr Int<T> root_half = sizeof(T) == 4 ? 0x3f3504f3 : Int<T>(0x3fe6a09e667f3bcd);
    constexpr Int<T> raised = mantissa_bits<T> + 1;  // denormal numbers are made normal by 2^raised
    const Mask<T> tiny = x < from_bits<T>(Mask<T>{} + (Int<T>{1} << mantissa_bits<T>));
    const Mask<T> bits = bits_of<T>(select<T>(tiny, x * power_of_two<T>(Mask<T>{} + raised), x));
    const Mask<T> n = (bits - root_half) >> mantissa_bits<T>;  // x = 2^n m, m in [sqrt(1/2), sqrt(2))
    const Vec<T> m = from_bits<T>(bits - (n << mantissa_bits<T>));
    const Vec<T> s = (m - T(1)) / (m + T(1));
    const Vec<T> power = __builtin_convertvector(n - (tiny & raised), Vec<T>);
    const Vec<T> log_m = T(2) * s * polynomial<atanh_count<T>, T>(s * s, atanh_terms);
    const Vec<T> finite = fma<T>(power, splat(log_2_high<T>), fma<T>(power, splat(log_2_low<T>), log_m));
    const Vec<T> infinity = splat(T(__builtin_inf()));
    const Vec<T> not_positive = select<T>(x == T(0), -infinity, splat(T(__builtin_nan(""))));
    return select<T>(x > T(0), select<T>(x == infinity, x, finite), not_positive);
}

// The normal distribution's tail Phi(-x), x >= 0, is exp(-x^2 / 2) t P(t - 1/2), t = 2.5 / (x + 2.5). P is a Chebyshev
// fit (mpmath.chebyfit, 60 digits) up to the x where the tail is below every number of the type.
template <class T>
struct NormalTail;
template <>
struct NormalTail<float> {
    static constexpr float largest = 14.5f;
    static constexpr int32_t low_bits = 0xfff;
    static constexpr double terms[] = {0.282662663,    0.3469537015,  0.2111795559,   -0.02956367394,
                                       -0.1048912602,  0.02073109919, 0.06490551974,  -0.03766962953,
                                       -0.03331392018, 0.04422443593, 0.001028210282, -0.01677137217};
    static constexpr int count = 12;
};
template <>
struct NormalTail<double> {
    static constexpr double largest = 39;
    static constexpr int64_t low_bits = 0x7ffffff;
    static constexpr double terms[] = {
        0.282662662761150617,   0.346953713477586811,   0.211179645603984677,    -0.0295653587722650805,
        -0.10489616250555886,   0.0208001281169424388,  0.0649768589667540227,   -0.0388711302866569091,
        -0.0332004977580656737, 0.053768904533522735,   -0.00746998447358729068, -0.0462183850901497763,
        0.0482832757030907621,  0.00280539656579300237, -0.05582289178851515,    0.0575328535524825876,
        -0.0014609947010593042, -0.0675091094015312697, 0.0921709663609258261,   -0.0342596149251346925,
        -0.102178161280351218,  0.187263123419548378,   -0.0308755526157031794,  -0.217367697190588274,
        0.154058868074756341,   0.0907943492034019265,  -0.0961880766396282353};
    static constexpr int count = 27;
};

// exp(-x^2 / 2): the square is split so that its rounding error, which exp would magnify, is not lost.
template <class T>
ADVCORE_INLINE Vec<T> bell(Vec<T> x) {
    const Vec<T> limited = at_most<T>(absolute<T>(x), NormalTail<T>::largest);
    const Vec<T> high = from_bits<T>(bits_of<T>(limited) & ~NormalTail<T>::low_bits);
    return exp_of_sum<T>(T(-0.5) * high * high, T(-0.5) * (limited - high) * (limited + high));
}

// Phi(x), the standard normal distribution function, to full relative accuracy for negative x; `density` is bell(x).
template <class T>
ADVCORE_INLINE Vec<T> normal_cdf(Vec<T> x, Vec<T> density) {
    using Tail = NormalTail<T>;
    const Vec<T> t = T(2.5) / (at_most<T>(absolute<T>(x), Tail::largest) + T(2.5));
    const Vec<T> tail = density * (t * polynomial<Tail::count, T>(t - T(0.5), Tail::terms));
    return select<T>(x <= T(0), tail, T(1) - tail);
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL

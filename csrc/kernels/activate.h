// Activations of one register, and their derivatives.
#pragma once

#include "activation.h"
#include "vecmath.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

template <class T>
ADVCORE_INLINE Vec<T> relu(Vec<T> x) {
    return select<T>(x <= T(0), Vec<T>{}, x);
}

// x Phi(x)
template <class T>
ADVCORE_INLINE Vec<T> gelu(Vec<T> x) {
    return x * normal_cdf<T>(x, bell<T>(x));
}

// Phi(x) + x phi(x)
template <class T>
ADVCORE_INLINE Vec<T> gelu_slope(Vec<T> x) {
    constexpr T density_at_0 = T(0.3989422804014327);  // 1 / sqrt(2 pi)
    const Vec<T> density = bell<T>(x);
    return normal_cdf<T>(x, density) + x * (density_at_0 * density);
}

// x / 2 (1 + tanh(u)) = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
constexpr double gelu_scale = 1.5957691216057308;  // 2 sqrt(2 / pi)
constexpr double gelu_cube = 0.044715;

template <class T>
ADVCORE_INLINE Vec<T> gelu_tanh(Vec<T> x) {
    return x * sigmoid<T>(T(gelu_scale) * x * fma<T>(x * x, splat(T(gelu_cube)), splat(T(1))));
}

template <class T>
ADVCORE_INLINE Vec<T> gelu_tanh_slope(Vec<T> x) {
    const Vec<T> limited = at_most<T>(at_least<T>(x, T(-40)), T(40));  // the slope is 0 or 1 beyond; x^2 may overflow
    const Vec<T> square = limited * limited;
    const Vec<T> u = T(gelu_scale) * limited * fma<T>(square, splat(T(gelu_cube)), splat(T(1)));
    const Vec<T> u_slope = T(gelu_scale) * fma<T>(square, splat(T(3 * gelu_cube)), splat(T(1)));
    const Vec<T> rising = sigmoid<T>(u);
    return rising + x * (rising * sigmoid<T>(-u) * u_slope);
}

template <class T>
ADVCORE_INLINE Vec<T> activate(Vec<T> x, Activation activation) {
    if (activation == Activation::relu) return relu<T>(x);
    if (activation == Activation::gelu) return gelu<T>(x);
    return x;
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL

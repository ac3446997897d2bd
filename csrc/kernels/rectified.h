// Which elements of a ReLU's output let a gradient through: a bit each, all that its way back needs.
#pragma once

#include <stdint.h>

namespace advcore {

// bits[sample, word] = of 64 elements of x[sample] each, the first one lowest: whether it is positive or NaN. An item
// is a word.
template <class T>
struct RectifiedBitsArgs {
    const T* x;
    uint64_t* bits;
    int64_t size;  // of a sample
};

// out = grad where the bit is set, zero elsewhere. An item is a word.
template <class T>
struct RectifiedGradArgs {
    const uint64_t* bits;
    const T* grad;
    T* out;
    int64_t size;  // of a sample
};

constexpr int64_t word_bits = 64;
[[gnu::always_inline]] constexpr int64_t rectified_words(int64_t size) { return (size + word_bits - 1) / word_bits; }

}  // namespace advcore

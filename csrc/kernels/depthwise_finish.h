// A plane's filter, and what happens to its sums.
#pragma once

#include "activate.h"
#include "cover.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

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
    if (filter.activation == Activation::gelu) {  // too long to be repeated for each sum
        T kept[Count * lanes<T>];
#pragma GCC unroll 8
        for (int i = 0; i < Count; ++i) store(kept + i * lanes<T>, sum[i]);
#pragma GCC unroll 1
        for (int i = 0; i < Count; ++i) store_used(to(i), gelu<T>(load(kept + i * lanes<T>)), used);
        return;
    }
#pragma GCC unroll 8
    for (int i = 0; i < Count; ++i) store_used(to(i), sum[i], used);
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL

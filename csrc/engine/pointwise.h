// What is computed element by element, or row by row.
#pragma once

#include <cstdint>

#include "../kernels/pointwise.h"
#include "../kernels/rectified.h"

namespace advcore {

// second: the gradient or the second operand, null for operations of one.
template <class T>
void pointwise(Pointwise op, const T* x, const T* second, T* out, int64_t size);

template <class T>
void add(const T* a, const T* b, T* out, int64_t size, bool relu) {
    pointwise(relu ? Pointwise::add_relu : Pointwise::add, a, b, out, size);
}

// The way back of a ReLU: what of its output x it needs, rectified_words(size) a sample, and the gradient before it.
template <class T>
void rectified_bits(const T* x, uint64_t* bits, int64_t samples, int64_t size);
template <class T>
void rectified_grad(const uint64_t* bits, const T* grad_output, T* grad_input, int64_t samples, int64_t size);

// Along the middle axis of arrays (outer, length, inner); of the output's gradient where grad_output is not null, x
// being the output then.
template <class T>
void softmax(int64_t outer, int64_t length, int64_t inner, const T* grad_output, const T* x, T* out, bool log);

}  // namespace advcore

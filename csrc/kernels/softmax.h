// Softmax and log-softmax along the middle axis of (outer, length, inner), and their gradients.
#pragma once

#include <stdint.h>

namespace advcore {

// Items are the rows along the axis where inner is 1, else blocks of `softmax_columns` rows that lie side by side:
// outer x ceil(inner / softmax_columns) of them. A row's sums do not depend on the rows beside it.
constexpr int64_t softmax_columns = 64;

template <class T>
struct SoftmaxArgs {
    const T* grad;  // of the output; null but for gradients
    const T* x;     // the input; for gradients the output of the forward pass
    T* out;
    int64_t outer, length, inner;
    bool log;
};

}  // namespace advcore

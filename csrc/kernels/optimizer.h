// The updates of optimisers, in place: one pass over a parameter, its gradient and its state.
#pragma once

#include <stdint.h>

namespace advcore {

enum class Optimizer : int32_t { sgd, rmsprop, adam };

constexpr int64_t update_chunk = 4096;

// An item is a chunk of `update_chunk` elements. With g' = grad + weight_decay parameter:
// sgd:     velocity = momentum velocity + g', parameter -= rate (velocity, or g' + momentum velocity if nesterov)
// rmsprop: square = decay square + (1 - decay) g'^2, velocity = momentum velocity + g' / (sqrt(square) + eps),
//          parameter -= rate velocity
// adam:    mean += (1 - momentum) (g' - mean), square as rmsprop's,
//          parameter -= rate mean / (sqrt(square) / correction + eps)
template <class T>
struct UpdateArgs {
    Optimizer rule;
    T* parameter;
    const T* grad;
    T* velocity;  // adam: the mean; null for sgd and rmsprop without momentum
    T* square;    // null for sgd
    int64_t size;
    T rate, momentum, one_less_momentum, decay, one_less_decay, eps, correction, weight_decay;
    bool nesterov;
};

}  // namespace advcore

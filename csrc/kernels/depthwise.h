// Convolution of groups of one channel: nothing is shared between planes, so that a product would multiply single rows.
#pragma once

#include <stdint.h>

#include "conv2d.h"

namespace advcore {

// An item is one plane of the result: output channel g * rows + r of a sample, from channel g of the input.
template <class T>
struct DepthwiseArgs {
    PatchMatrix patches;  // of one channel a group
    const T* input;
    const T* weight;  // [groups * rows, taps]
    const T* bias;
    T* out;
    int64_t rows;
    Activation activation;
};

// weight_grad[g * rows + r, taps] = the sum over samples and positions. An item is one output channel.
template <class T>
struct DepthwiseWeightGradArgs {
    PatchMatrix patches;
    const T* input;
    const T* grad_output;
    T* out;
    int64_t rows;
};

constexpr int64_t most_depthwise_taps = 64;  // of both axes together

}  // namespace advcore

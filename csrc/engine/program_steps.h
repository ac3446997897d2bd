// What a program can do: each function appends one step, forward and backward, and returns the buffer of its output.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "conv2d.h"
#include "pooling.h"
#include "program.h"

namespace advcore {

// A convolution whose weight has been brought into its algorithm's order. The shape's number of samples does not count.
template <class T>
struct Convolution {
    ConvShape shape;
    ConvAlgorithm algorithm;
    std::vector<T> packed;

    Convolution(const ConvShape& shape, ConvAlgorithm algorithm, const T* weight);
    void operator()(const T* input, const T* bias, T* out, int64_t samples, Activation activation) const;
};

// Numbers that the steps keep alive and do not copy: large weights would take their memory twice.
template <class T>
using Shared = std::shared_ptr<const T>;

// weight[groups * rows, channels, taps] as it was given; each row is to be multiplied by its factor, if there are any.
template <class T>
struct ConvWeight {
    Shared<T> numbers;
    std::vector<double> factors;

    std::vector<T> scaled(const ConvShape& s) const;
};

// How a convolution is computed.
struct ConvPlan {
    ConvShape shape;
    ConvAlgorithm algorithm;
};

// `turned` is the convolution, with the taps turned around, that gives the input's gradient; without one the weight
// serves as it is. What the way back needs is made when it is first gone. `for_channels_last`: all who read the output
// want its channels side by side.
template <class T>
Buffer add_convolution(Program<T>& p, Buffer x, const ConvPlan& plan, ConvWeight<T> weight, std::vector<T> bias,
                       Activation activation, const std::optional<ConvPlan>& turned, bool for_channels_last);

// weight[outputs, inputs]; bias[outputs] or empty.
template <class T>
Buffer add_linear(Program<T>& p, Buffer x, Shared<T> weights, std::vector<T> bias, int64_t inputs, int64_t outputs,
                  Activation activation);

template <class T>
Buffer add_pointwise(Program<T>& p, Buffer x, Pointwise op);

// Over the last axis, of `length`.
template <class T>
Buffer add_softmax(Program<T>& p, Buffer x, int64_t length, bool log);

template <class T>
Buffer add_sum(Program<T>& p, Buffer a, Buffer b, bool relu);

// Side by side along the first axis of a sample.
template <class T>
Buffer add_concatenation(Program<T>& p, std::vector<Buffer> inputs);

template <class T>
Buffer add_max_pool(Program<T>& p, Buffer x, int64_t channels, const PoolAxis& rows, const PoolAxis& cols);

template <class T>
Buffer add_avg_pool(Program<T>& p, Buffer x, int64_t channels, const PoolAxis& rows, const PoolAxis& cols,
                    bool count_include_pad);

template <class T>
Buffer add_adaptive_avg_pool(Program<T>& p, Buffer x, int64_t channels, const PlaneSize& in, const PlaneSize& out);

}  // namespace advcore

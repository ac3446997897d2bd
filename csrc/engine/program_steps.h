// What a program can do: each function appends one step, forward and backward, and returns the buffer of its output.
#pragma once

#include <cstdint>
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

// `backward` is the convolution of the output's gradient that gives the input's; where there is none, `weight` serves.
template <class T>
Buffer add_convolution(Program<T>& p, Buffer x, Convolution<T> forward, std::optional<Convolution<T>> backward,
                       std::vector<T> weight, std::vector<T> bias, Activation activation);

// weight[outputs, inputs]; bias[outputs] or empty.
template <class T>
Buffer add_linear(Program<T>& p, Buffer x, std::vector<T> weight, std::vector<T> bias, int64_t inputs, int64_t outputs,
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
Buffer add_concatenation(Program<T>& p, const std::vector<Buffer>& inputs);

template <class T>
Buffer add_max_pool(Program<T>& p, Buffer x, int64_t channels, const PoolAxis& rows, const PoolAxis& cols);

template <class T>
Buffer add_avg_pool(Program<T>& p, Buffer x, int64_t channels, const PoolAxis& rows, const PoolAxis& cols,
                    bool count_include_pad);

template <class T>
Buffer add_adaptive_avg_pool(Program<T>& p, Buffer x, int64_t channels, const PlaneSize& in, const PlaneSize& out);

}  // namespace advcore

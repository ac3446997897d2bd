// Steps that are neither convolutions nor pooling.
#include "program_steps.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>

#include "linear.h"
#include "program_layout.h"
#include "program_relu.h"

namespace advcore {

template <class T>
Buffer add_linear(Program<T>& p, Buffer x, Shared<T> weights, std::vector<T> bias, int64_t inputs, int64_t outputs,
                  Activation activation) {
    const auto biases = std::make_shared<const std::vector<T>>(std::move(bias));
    x = in_planes(p, x);
    const int64_t rows = p.size_of(x) / inputs;  // of a sample
    p.count_weights(inputs * outputs);
    return add_step_with_relu(
        p, activation == Activation::relu, {x}, rows * outputs,
        [=](const Operands<T>& at, int64_t samples) {
            linear<T>({samples * rows, inputs, outputs}, at.in(0), weights.get(),
                      biases->empty() ? nullptr : biases->data(), at.out(), activation);
        },
        [=](Program<T>& q, Buffer, Buffer grad) {
            return std::vector<Buffer>{q.emit({grad}, rows * inputs, [=](const Operands<T>& at, int64_t samples) {
                linear_input_grad<T>({samples * rows, inputs, outputs}, at.in(0), weights.get(), at.out());
            })};
        });
}

template <class T>
Buffer add_pointwise(Program<T>& p, Buffer x, Pointwise op) {
    const int64_t size = p.size_of(x);
    const bool by_input = op == Pointwise::gelu || op == Pointwise::gelu_tanh;
    const Pointwise grad_op = op == Pointwise::sigmoid ? Pointwise::sigmoid_grad
                              : op == Pointwise::tanh  ? Pointwise::tanh_grad
                              : op == Pointwise::gelu  ? Pointwise::gelu_grad
                                                       : Pointwise::gelu_tanh_grad;
    const Buffer result = add_step_with_relu(
        p, op == Pointwise::relu, {x}, size,
        [=](const Operands<T>& at, int64_t samples) { pointwise<T>(op, at.in(0), nullptr, at.out(), samples * size); },
        [=](Program<T>& q, Buffer output, Buffer grad_output) {
            if (op == Pointwise::relu) return std::vector<Buffer>{grad_output};
            return std::vector<Buffer>{
                q.emit({by_input ? x : output, grad_output}, size, [=](const Operands<T>& at, int64_t samples) {
                    pointwise<T>(grad_op, at.in(0), at.in(1), at.out(), samples * size);
                })};
        });
    if (p.channels_last(x)) p.set_channels_last(result, p.channels_last(x));
    return result;
}

template <class T>
Buffer add_softmax(Program<T>& p, Buffer x, int64_t length, bool log) {
    x = in_planes(p, x);
    const int64_t size = p.size_of(x);
    return p.add_step(
        {x}, size,
        [=](const Operands<T>& at, int64_t samples) {
            softmax<T>(samples * size / length, length, 1, nullptr, at.in(0), at.out(), log);
        },
        [=](Program<T>& q, Buffer output, Buffer grad_output) {
            return std::vector<Buffer>{q.emit({output, grad_output}, size, [=](const Operands<T>& at, int64_t samples) {
                softmax<T>(samples * size / length, length, 1, at.in(1), at.in(0), at.out(), log);
            })};
        });
}

template <class T>
Buffer add_sum(Program<T>& p, Buffer a, Buffer b, bool relu) {
    const int64_t size = p.size_of(a), channels = std::max(p.channels_last(a), p.channels_last(b));
    if (channels) a = in_channels_last(p, a, channels), b = in_channels_last(p, b, channels);
    const Buffer result = add_step_with_relu(
        p, relu, {a, b}, size,
        [=](const Operands<T>& at, int64_t samples) { add(at.in(0), at.in(1), at.out(), samples * size, relu); },
        [=](Program<T>&, Buffer, Buffer grad) { return std::vector<Buffer>{grad, grad}; });
    if (channels) p.set_channels_last(result, channels);
    return result;
}

template <class T>
Buffer add_concatenation(Program<T>& p, std::vector<Buffer> inputs) {
    std::vector<int64_t> sizes;
    for (Buffer& x : inputs) {
        x = in_planes(p, x);
        sizes.push_back(p.size_of(x));
    }
    const int64_t total = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
    return p.add_step(
        inputs, total,
        [=](const Operands<T>& at, int64_t samples) {
            int64_t before = 0;
            for (std::size_t i = 0; i < sizes.size(); before += sizes[i++])
                for (int64_t n = 0; n < samples; ++n)
                    std::memcpy(at.out() + n * total + before, at.in(static_cast<int>(i)) + n * sizes[i],
                                static_cast<std::size_t>(sizes[i]) * sizeof(T));
        },
        [=](Program<T>& q, Buffer, Buffer grad_output) {
            std::vector<Buffer> gradients;
            int64_t before = 0;
            for (const int64_t size : sizes) {
                gradients.push_back(q.emit({grad_output}, size, [=](const Operands<T>& at, int64_t samples) {
                    for (int64_t n = 0; n < samples; ++n)
                        std::memcpy(at.out() + n * size, at.in(0) + n * total + before,
                                    static_cast<std::size_t>(size) * sizeof(T));
                }));
                before += size;
            }
            return gradients;
        });
}

#define ADVCORE_STEPS(T)                                                                                         \
    template Buffer add_linear<T>(Program<T>&, Buffer, Shared<T>, std::vector<T>, int64_t, int64_t, Activation); \
    template Buffer add_pointwise<T>(Program<T>&, Buffer, Pointwise);                                            \
    template Buffer add_softmax<T>(Program<T>&, Buffer, int64_t, bool);                                          \
    template Buffer add_sum<T>(Program<T>&, Buffer, Buffer, bool);                                               \
    template Buffer add_concatenation<T>(Program<T>&, std::vector<Buffer>);
ADVCORE_STEPS(float)
ADVCORE_STEPS(double)

}  // namespace advcore

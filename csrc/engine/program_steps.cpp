#include "program_steps.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <numeric>

#include "linear.h"
#include "pointwise.h"
#include "winograd.h"
#include "winograd_input_grad.h"

namespace advcore {
namespace {

// In elements: the bits of so many of a ReLU's outputs.
template <class T>
int64_t bits_size(int64_t size) {
    return rectified_words(size) * static_cast<int64_t>(sizeof(uint64_t) / sizeof(T));
}

template <class T>
void keep_bits(const T* x, T* bits, int64_t samples, int64_t size) {
    if (bits) rectified_bits(x, reinterpret_cast<uint64_t*>(bits), samples, size);
}

template <class T>
Buffer emit_relu_grad(Program<T>& p, Buffer bits, Buffer grad_output) {
    const int64_t size = p.size_of(grad_output);
    return p.emit({bits, grad_output}, size, [size](const Operands<T>& at, int64_t samples) {
        rectified_grad(reinterpret_cast<const uint64_t*>(at.in(0)), at.in(1), at.out(), samples, size);
    });
}

// Adds a step whose forward function may apply a ReLU at its end.
template <class T, class Forward, class Backward>
Buffer add_step_with_relu(Program<T>& p, bool relu, const std::vector<Buffer>& inputs, int64_t size, Forward forward,
                          Backward backward) {
    if (!relu) return p.add_step(inputs, size, forward, backward);
    const Buffer result = p.add_step(
        inputs, size,
        [=](const Operands<T>& at, int64_t samples) {
            forward(at, samples);
            keep_bits(at.out(), at.out(1), samples, size);
        },
        [=](Program<T>& q, Buffer output, Buffer grad_output) {
            const bool done = q.is_rectified(output, grad_output);
            return backward(q, output, done ? grad_output : emit_relu_grad(q, output + 1, grad_output));
        },
        {bits_size<T>(size)});
    p.set_rectified(result);
    return result;
}

// What a convolution's way back needs, made by the first thread that asks for it.
template <class T>
class WayBack {
public:
    WayBack(const ConvPlan& forward, ConvWeight<T> weight, const std::optional<ConvPlan>& turned)
        : forward_(forward), given_(std::move(weight)), turned_(turned) {}

    void operator()(const T* grad_output, T* grad_input, int64_t samples) {
        std::call_once(made_, [this] { make(); });
        if (convolution_) return (*convolution_)(grad_output, nullptr, grad_input, samples, Activation::none);
        ConvShape s = forward_.shape;
        s.samples = samples;
        if (is_transposed()) return winograd_input_grad_packed(s, weight_.data(), grad_output, grad_input);
        const bool by_planes = forward_.algorithm == ConvAlgorithm::depthwise && s.rows == 1;
        const auto call = by_planes ? depthwise_input_grad<T> : conv2d_input_grad<T>;
        call(s, weight_.empty() ? given_.numbers.get() : weight_.data(), grad_output, grad_input);
    }

private:
    bool is_transposed() const { return turned_ && turned_->algorithm == ConvAlgorithm::transposed; }

    void make() {
        if (is_transposed()) {
            const ConvShape& s = forward_.shape;
            weight_.resize(static_cast<std::size_t>(winograd_input_grad_packed_size<T>(s)));
            winograd_input_grad_pack(s, given_.factors.empty() ? given_.numbers.get() : given_.scaled(s).data(),
                                     weight_.data());
        } else if (turned_) {
            const std::vector<T> weight = turned_around(forward_.shape, given_.scaled(forward_.shape).data());
            convolution_.emplace(turned_->shape, turned_->algorithm, weight.data());
        } else if (!given_.factors.empty()) {
            weight_ = given_.scaled(forward_.shape);
        }
    }

    ConvPlan forward_;
    ConvWeight<T> given_;
    std::optional<ConvPlan> turned_;
    std::once_flag made_;
    std::optional<Convolution<T>> convolution_;
    std::vector<T> weight_;
};

}  // namespace

template <class T>
std::vector<T> ConvWeight<T>::scaled(const ConvShape& s) const {
    std::vector<T> result(numbers.get(), numbers.get() + s.weight_size());
    const std::size_t size = factors.empty() ? 0 : result.size() / factors.size();  // of a row
    for (std::size_t i = 0; i < factors.size() * size; ++i)
        result[i] = static_cast<T>(static_cast<double>(result[i]) * factors[i / size]);
    return result;
}

template <class T>
Convolution<T>::Convolution(const ConvShape& s, ConvAlgorithm a, const T* weight) : shape(s), algorithm(a) {
    if (algorithm == ConvAlgorithm::winograd) {
        packed.resize(static_cast<std::size_t>(winograd_packed_size<T>(s)));
        winograd_pack(s, weight, packed.data());
    } else if (algorithm == ConvAlgorithm::direct) {
        packed.resize(static_cast<std::size_t>(conv2d_packed_size<T>(s)));
        conv2d_pack(s, weight, packed.data());
    } else {
        packed.assign(weight, weight + s.weight_size());
    }
}

template <class T>
void Convolution<T>::operator()(const T* input, const T* bias, T* out, int64_t samples, Activation activation) const {
    ConvShape s = shape;
    s.samples = samples;
    const auto call = algorithm == ConvAlgorithm::winograd ? winograd_packed<T>
                      : algorithm == ConvAlgorithm::direct ? conv2d_packed<T>
                                                           : depthwise<T>;
    call(s, input, packed.data(), bias, out, activation);
}

template <class T>
Buffer add_convolution(Program<T>& p, Buffer x, const ConvPlan& plan, ConvWeight<T> weight, std::vector<T> bias,
                       Activation activation, const std::optional<ConvPlan>& turned) {
    const ConvShape shape = plan.shape;
    const auto convolve = std::make_shared<const Convolution<T>>(
        shape, plan.algorithm, weight.factors.empty() ? weight.numbers.get() : weight.scaled(shape).data());
    const auto biases = std::make_shared<const std::vector<T>>(std::move(bias));
    const auto way_back = std::make_shared<WayBack<T>>(plan, std::move(weight), turned);
    p.count_weights(static_cast<int64_t>(convolve->packed.size()));
    return add_step_with_relu(
        p, activation == Activation::relu, {x}, shape.output_size(),
        [=](const Operands<T>& at, int64_t samples) {
            (*convolve)(at.in(0), biases->empty() ? nullptr : biases->data(), at.out(), samples, activation);
        },
        [=](Program<T>& q, Buffer, Buffer grad) {
            return std::vector<Buffer>{q.emit({grad}, shape.input_size(), [=](const Operands<T>& at, int64_t samples) {
                (*way_back)(at.in(0), at.out(), samples);
            })};
        });
}

template <class T>
Buffer add_linear(Program<T>& p, Buffer x, Shared<T> weights, std::vector<T> bias, int64_t inputs, int64_t outputs,
                  Activation activation) {
    const auto biases = std::make_shared<const std::vector<T>>(std::move(bias));
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
    return add_step_with_relu(
        p, op == Pointwise::relu, {x}, size,
        [=](const Operands<T>& at, int64_t samples) { pointwise<T>(op, at.in(0), nullptr, at.out(), samples * size); },
        [=](Program<T>& q, Buffer output, Buffer grad_output) {
            if (op == Pointwise::relu) return std::vector<Buffer>{grad_output};
            return std::vector<Buffer>{
                q.emit({by_input ? x : output, grad_output}, size, [=](const Operands<T>& at, int64_t samples) {
                    pointwise<T>(grad_op, at.in(0), at.in(1), at.out(), samples * size);
                })};
        });
}

template <class T>
Buffer add_softmax(Program<T>& p, Buffer x, int64_t length, bool log) {
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
    const int64_t size = p.size_of(a);
    return add_step_with_relu(
        p, relu, {a, b}, size,
        [=](const Operands<T>& at, int64_t samples) { add(at.in(0), at.in(1), at.out(), samples * size, relu); },
        [=](Program<T>&, Buffer, Buffer grad) { return std::vector<Buffer>{grad, grad}; });
}

template <class T>
Buffer add_concatenation(Program<T>& p, const std::vector<Buffer>& inputs) {
    std::vector<int64_t> sizes;
    for (const Buffer x : inputs) sizes.push_back(p.size_of(x));
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

template <class T>
Buffer add_max_pool(Program<T>& p, Buffer x, int64_t channels, const PoolAxis& rows, const PoolAxis& cols) {
    const auto windows = std::make_shared<const PoolWindows>(rows, cols, true);
    const int64_t size = p.size_of(x), outputs = channels * rows.output * cols.output;
    const int64_t places_size = outputs * static_cast<int64_t>(sizeof(int64_t) / sizeof(T));
    // A ReLU before lets a gradient through where the largest of a window is positive; these are fewer to ask.
    const bool relu = p.is_rectified(x);
    return p.add_step(
        {x}, outputs,
        [=](const Operands<T>& at, int64_t samples) {
            max_pool<T>(*windows, at.in(0), at.out(), reinterpret_cast<int64_t*>(at.out(1)), samples * channels);
            if (relu) keep_bits(at.out(), at.out(2), samples, outputs);
        },
        [=](Program<T>& q, Buffer output, Buffer grad_output) {
            const Buffer grad = relu ? emit_relu_grad(q, output + 2, grad_output) : grad_output;
            const Buffer before = q.emit({output + 1, grad}, size, [=](const Operands<T>& at, int64_t samples) {
                max_pool_grad<T>(*windows, at.in(1), nullptr, reinterpret_cast<const int64_t*>(at.in(0)), at.out(),
                                 samples * channels);
            });
            if (relu) q.set_rectified(x, before);
            return std::vector<Buffer>{before};
        },
        relu ? std::vector<int64_t>{places_size, bits_size<T>(outputs)} : std::vector<int64_t>{places_size});
}

template <class T>
Buffer add_avg_pool(Program<T>& p, Buffer x, int64_t channels, const PoolAxis& rows, const PoolAxis& cols,
                    bool count_include_pad) {
    const auto windows = std::make_shared<const PoolWindows>(rows, cols, true);
    const auto transposed = std::make_shared<const PoolWindows>(rows, cols, false);
    const auto divisors = std::make_shared<const Divisors<T>>(rows, cols, count_include_pad);
    const int64_t size = p.size_of(x);
    return p.add_step(
        {x}, channels * rows.output * cols.output,
        [=](const Operands<T>& at, int64_t samples) {
            avg_pool<T>(*windows, *divisors, at.in(0), at.out(), samples * channels);
        },
        [=](Program<T>& q, Buffer, Buffer grad_output) {
            return std::vector<Buffer>{q.emit({grad_output}, size, [=](const Operands<T>& at, int64_t samples) {
                avg_pool_grad<T>(*transposed, *divisors, at.in(0), at.out(), samples * channels);
            })};
        });
}

template <class T>
Buffer add_adaptive_avg_pool(Program<T>& p, Buffer x, int64_t channels, const PlaneSize& in, const PlaneSize& out) {
    return p.add_step(
        {x}, channels * out.rows * out.cols,
        [=](const Operands<T>& at, int64_t samples) {
            adaptive_avg_pool<T>(in, out, at.in(0), at.out(), samples * channels);
        },
        [=](Program<T>& q, Buffer, Buffer grad_output) {
            const int64_t size = channels * in.rows * in.cols;
            return std::vector<Buffer>{q.emit({grad_output}, size, [=](const Operands<T>& at, int64_t samples) {
                adaptive_avg_pool_grad<T>(in, out, at.in(0), at.out(), samples * channels);
            })};
        });
}

#define ADVCORE_STEPS(T)                                                                                         \
    template struct Convolution<T>;                                                                              \
    template struct ConvWeight<T>;                                                                               \
    template Buffer add_convolution<T>(Program<T>&, Buffer, const ConvPlan&, ConvWeight<T>, std::vector<T>,      \
                                       Activation, const std::optional<ConvPlan>&);                              \
    template Buffer add_linear<T>(Program<T>&, Buffer, Shared<T>, std::vector<T>, int64_t, int64_t, Activation); \
    template Buffer add_pointwise<T>(Program<T>&, Buffer, Pointwise);                                            \
    template Buffer add_softmax<T>(Program<T>&, Buffer, int64_t, bool);                                          \
    template Buffer add_sum<T>(Program<T>&, Buffer, Buffer, bool);                                               \
    template Buffer add_concatenation<T>(Program<T>&, const std::vector<Buffer>&);                               \
    template Buffer add_max_pool<T>(Program<T>&, Buffer, int64_t, const PoolAxis&, const PoolAxis&);             \
    template Buffer add_avg_pool<T>(Program<T>&, Buffer, int64_t, const PoolAxis&, const PoolAxis&, bool);       \
    template Buffer add_adaptive_avg_pool<T>(Program<T>&, Buffer, int64_t, const PlaneSize&, const PlaneSize&);
ADVCORE_STEPS(float)
ADVCORE_STEPS(double)

}  // namespace advcore

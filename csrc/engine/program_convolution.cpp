// Convolutions as steps of a program.
#include <memory>
#include <mutex>

#include "channels_last.h"
#include "conv2d_broadcast.h"
#include "program_layout.h"
#include "program_relu.h"
#include "program_steps.h"
#include "winograd.h"
#include "winograd_input_grad.h"

namespace advcore {
namespace {

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

// The frequencies of weights where channels lie last; those of the way back are made by the first thread that asks.
template <class T>
std::vector<T> frequencies_of(const ConvShape& s, const std::vector<T>& weight, bool transposed) {
    std::vector<T> packed(static_cast<std::size_t>(winograd_last_size(s)));
    winograd_last_pack(s, weight.data(), transposed, packed.data());
    return packed;
}

template <class T>
class WayBackLast {
public:
    WayBackLast(const ConvShape& forward, ConvWeight<T> weight, const ConvPlan& turned)
        : forward_(forward), given_(std::move(weight)), turned_(turned) {}

    void operator()(const T* grad_output, T* grad_input, int64_t samples) {
        const bool transposed = turned_.algorithm == ConvAlgorithm::transposed;
        std::call_once(made_, [&] {
            const std::vector<T> weight = given_.scaled(forward_);
            packed_ = transposed ? frequencies_of(forward_, weight, true)
                                 : frequencies_of(turned_.shape, turned_around(forward_, weight.data()), false);
        });
        ConvShape s = transposed ? forward_ : turned_.shape;
        s.samples = samples;
        if (transposed)
            winograd_last_grad<T>(s, packed_.data(), grad_output, grad_input);
        else
            winograd_last<T>(s, grad_output, packed_.data(), nullptr, grad_input, Activation::none);
    }

private:
    ConvShape forward_;
    ConvWeight<T> given_;
    ConvPlan turned_;
    std::once_flag made_;
    std::vector<T> packed_;
};

template <class T, class Back>
std::vector<Buffer> emit_way_back(Program<T>& p, Buffer grad, const ConvShape& shape,
                                  const std::shared_ptr<Back>& way_back) {
    return {p.emit({grad}, shape.input_size(),
                   [way_back](const Operands<T>& at, int64_t samples) { (*way_back)(at.in(0), at.out(), samples); })};
}

template <class T>
Buffer add_convolution_last(Program<T>& p, Buffer x, const ConvShape& shape, ConvWeight<T> weight, std::vector<T> bias,
                            Activation activation, const ConvPlan& turned) {
    const auto packed = std::make_shared<const std::vector<T>>(frequencies_of(shape, weight.scaled(shape), false));
    const auto biases = std::make_shared<const std::vector<T>>(std::move(bias));
    const auto way_back = std::make_shared<WayBackLast<T>>(shape, std::move(weight), turned);
    p.count_weights(static_cast<int64_t>(packed->size()));
    const Buffer result = add_step_with_relu(
        p, activation == Activation::relu, {in_channels_last(p, x, shape.channels)}, shape.output_size(),
        [=](const Operands<T>& at, int64_t samples) {
            ConvShape s = shape;
            s.samples = samples;
            winograd_last<T>(s, at.in(0), packed->data(), biases->empty() ? nullptr : biases->data(), at.out(),
                             activation);
        },
        [=](Program<T>& q, Buffer, Buffer grad) { return emit_way_back(q, grad, shape, way_back); });
    p.set_channels_last(result, shape.rows);
    return result;
}

// A convolution of planes whose output has its channels last.
template <class T>
Buffer add_convolution_to_last(Program<T>& p, Buffer x, const ConvPlan& plan, ConvWeight<T> weight, std::vector<T> bias,
                               Activation activation, const std::optional<ConvPlan>& turned) {
    const ConvShape shape = plan.shape;
    const int64_t depth = shape.patches().rows();
    std::vector<T> packed(static_cast<std::size_t>(conv2d_broadcast_packed_size<T>(shape)));
    conv2d_broadcast_pack<T>(shape, {weight.scaled(shape).data(), 0, depth, 1}, packed.data());
    const auto weights = std::make_shared<const std::vector<T>>(std::move(packed));
    const auto biases = std::make_shared<const std::vector<T>>(std::move(bias));
    const auto way_back = std::make_shared<WayBack<T>>(plan, std::move(weight), turned);
    p.count_weights(static_cast<int64_t>(weights->size()));
    const Buffer result = add_step_with_relu(
        p, activation == Activation::relu, {x}, shape.output_size(),
        [=](const Operands<T>& at, int64_t samples) {
            ConvShape s = shape;
            s.samples = samples;
            conv2d_broadcast<T>(s, at.in(0), weights->data(), {}, biases->empty() ? nullptr : biases->data(), at.out(),
                                activation, true);
        },
        [=](Program<T>& q, Buffer, Buffer grad) {
            const Buffer planes = emit_rearrangement(q, grad, shape.output_size() / shape.rows, shape.rows);
            return emit_way_back(q, planes, shape, way_back);
        });
    p.set_channels_last(result, shape.rows);
    return result;
}

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
                       Activation activation, const std::optional<ConvPlan>& turned, bool for_channels_last) {
    const ConvShape shape = plan.shape;
    const bool is_winograd = plan.algorithm == ConvAlgorithm::winograd;
    if (is_winograd && turned && gains_channels_last(shape.groups, shape.rows, shape.channels))
        return add_convolution_last(p, x, shape, std::move(weight), std::move(bias), activation, *turned);
    x = in_planes(p, x);
    if (for_channels_last && plan.algorithm == ConvAlgorithm::direct && broadcasts_to_channels_last(shape))
        return add_convolution_to_last(p, x, plan, std::move(weight), std::move(bias), activation, turned);
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
        [=](Program<T>& q, Buffer, Buffer grad) { return emit_way_back(q, grad, shape, way_back); });
}

#define ADVCORE_CONVOLUTION_STEPS(T)                                                                        \
    template struct Convolution<T>;                                                                         \
    template struct ConvWeight<T>;                                                                          \
    template Buffer add_convolution<T>(Program<T>&, Buffer, const ConvPlan&, ConvWeight<T>, std::vector<T>, \
                                       Activation, const std::optional<ConvPlan>&, bool);
ADVCORE_CONVOLUTION_STEPS(float)
ADVCORE_CONVOLUTION_STEPS(double)

}  // namespace advcore

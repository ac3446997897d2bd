// Programs: networks in evaluation mode, described step by step and then run as a whole.
#include "../engine/program.h"

#include <array>
#include <cstring>

#include "../engine/channels_last.h"
#include "../engine/program_steps.h"
#include "arrays.h"

namespace advcore {
namespace {

using Pair = std::pair<int64_t, int64_t>;  // of (rows, cols)

template <class T>
std::vector<T> copy_of(const MaybeArray<T>& array) {
    return array ? std::vector<T>(array->data(), array->data() + array->size()) : std::vector<T>{};
}

// Keeps the array alive as long as its numbers are in use, from whatever thread they are dropped.
template <class T>
Shared<T> shared(const Array<T>& array) {
    const auto drop = [](const Array<T>* owner) {
        const py::gil_scoped_acquire locked;
        delete owner;
    };
    const std::shared_ptr<const Array<T>> owner(new Array<T>(array), drop);
    return {owner, owner->data()};
}

// Stride, padding (before the first element) and dilation, each vertical and horizontal, and groups.
using ConvOptions = std::array<int64_t, 7>;

// A convolution of samples (channels, rows, cols) to rows (a group) of planes.
ConvPlan conv_plan(int64_t channels, int64_t rows, Pair taps, Pair input, Pair output, const ConvOptions& o,
                   int algorithm) {
    const ConvShape shape{1,
                          o[6],
                          channels,
                          rows,
                          {input.first, output.first, taps.first, o[0], o[2], o[4]},
                          {input.second, output.second, taps.second, o[1], o[3], o[5]}};
    return {shape, static_cast<ConvAlgorithm>(algorithm)};
}

template <class T>
Buffer conv2d_step(Program<T>& p, Buffer x, const Array<T>& weight, const MaybeArray<double>& factors,
                   const MaybeArray<T>& bias, Pair input, Pair output, const ConvOptions& options, int algorithm,
                   int activation, const std::optional<ConvOptions>& turned_options, int turned_algorithm,
                   bool for_channels_last) {
    const int64_t channels = extent(weight, 1), rows = extent(weight, 0) / options[6];
    const Pair taps{extent(weight, 2), extent(weight, 3)};
    const ConvPlan plan = conv_plan(channels, rows, taps, input, output, options, algorithm);
    std::optional<ConvPlan> turned;
    if (turned_options) turned = conv_plan(rows, channels, taps, output, input, *turned_options, turned_algorithm);
    return add_convolution<T>(p, x, plan, {shared(weight), copy_of(factors)}, copy_of(bias),
                              activation_from(activation), turned, for_channels_last);
}

PoolAxis pool_axis(int64_t input, int64_t output, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
    return {input, output, kernel, stride, padding, dilation, nullptr};
}

template <class T>
Buffer max_pool_step(Program<T>& p, Buffer x, int64_t channels, Pair input, Pair output, Pair kernel, Pair stride,
                     Pair padding, Pair dilation) {
    return add_max_pool<T>(
        p, x, channels, pool_axis(input.first, output.first, kernel.first, stride.first, padding.first, dilation.first),
        pool_axis(input.second, output.second, kernel.second, stride.second, padding.second, dilation.second));
}

template <class T>
Buffer avg_pool_step(Program<T>& p, Buffer x, int64_t channels, Pair input, Pair output, Pair kernel, Pair stride,
                     Pair padding, bool count_include_pad) {
    return add_avg_pool<T>(
        p, x, channels, pool_axis(input.first, output.first, kernel.first, stride.first, padding.first, 1),
        pool_axis(input.second, output.second, kernel.second, stride.second, padding.second, 1), count_include_pad);
}

template <class T>
void bind(py::module_& m, const char* name) {
    const auto fixed = py::arg().noconvert();
    py::class_<Program<T>>(m, name)
        .def(py::init<int64_t>())
        .def("linear",
             [](Program<T>& p, Buffer x, const Array<T>& weight, const MaybeArray<T>& bias, int activation) {
                 return add_linear<T>(p, x, shared(weight), copy_of(bias), extent(weight, 1), extent(weight, 0),
                                      activation_from(activation));
             })
        .def("conv2d", &conv2d_step<T>)
        .def("pointwise",
             [](Program<T>& p, Buffer x, int op) { return add_pointwise<T>(p, x, static_cast<Pointwise>(op)); })
        .def("softmax", &add_softmax<T>)
        .def("sum", &add_sum<T>)
        .def("concatenate", &add_concatenation<T>)
        .def("max_pool", &max_pool_step<T>)
        .def("avg_pool", &avg_pool_step<T>)
        .def("adaptive_avg_pool",
             [](Program<T>& p, Buffer x, int64_t channels, Pair input, Pair output) {
                 return add_adaptive_avg_pool<T>(p, x, channels, {input.first, input.second},
                                                 {output.first, output.second});
             })
        .def("finish", &Program<T>::finish)
        .def("finish_keeping", &Program<T>::finish_keeping)
        .def("kept_size", &Program<T>::kept_size)
        .def("kept_at", &Program<T>::kept_at)
        .def("size_of", &Program<T>::size_of)
        .def(
            "keep",
            [](const Program<T>& p, const Array<T>& x, Array<T> out, Array<T> memory) {
                T *const to = out.mutable_data(), *const kept = memory.mutable_data();
                const py::gil_scoped_release unlocked;
                p.keep(x.data(), to, extent(x, 0), kept);
            },
            fixed, fixed, fixed)
        .def("tape_size", &Program<T>::tape_size)
        .def(
            "run",
            [](Program<T>& p, const Array<T>& x, Array<T> out) {
                T* const to = out.mutable_data();
                const py::gil_scoped_release unlocked;
                p.run(x.data(), to, extent(x, 0));
            },
            fixed, fixed)
        .def(
            "vjp",
            [](Program<T>& p, const Array<T>& x, const Array<T>& cotangent, Array<T> gradient) {
                T* const to = gradient.mutable_data();
                const py::gil_scoped_release unlocked;
                p.vjp(x.data(), cotangent.data(), to, extent(x, 0));
            },
            fixed, fixed, fixed)
        .def(
            "forward",
            [](Program<T>& p, const Array<T>& x, Array<T> out, Array<T> tape) {
                T *const to = out.mutable_data(), *const kept = tape.mutable_data();
                const py::gil_scoped_release unlocked;
                return p.forward(x.data(), to, extent(x, 0), kept);
            },
            fixed, fixed, fixed)
        .def(
            "backward",
            [](Program<T>& p, const Array<T>& x, const Array<T>& out, const Array<T>& cotangent, Array<T> gradient,
               Array<T> tape, int64_t piece) {
                T *const to = gradient.mutable_data(), *const kept = tape.mutable_data();
                const py::gil_scoped_release unlocked;
                p.backward(x.data(), out.data(), cotangent.data(), to, extent(x, 0), kept, piece);
            },
            fixed, fixed, fixed, fixed, fixed, py::arg());
}

// Four chains of multiplications, so that reading memory is what takes the time.
uint64_t checksum(const void* data, std::size_t bytes) {
    constexpr uint64_t prime = 0x9E3779B97F4A7C15;
    uint64_t sum[4] = {1, 2, 3, 4};
    const char* at = static_cast<const char*>(data);
    for (; bytes >= sizeof(sum); bytes -= sizeof(sum), at += sizeof(sum)) {
        uint64_t word[4];
        std::memcpy(word, at, sizeof(word));
        for (int i = 0; i < 4; ++i) sum[i] = (sum[i] ^ word[i]) * prime, sum[i] ^= sum[i] >> 29;
    }
    uint64_t rest[4] = {};
    std::memcpy(rest, at, bytes);
    uint64_t total = 0;
    for (int i = 0; i < 4; ++i) total = (total ^ sum[i] ^ rest[i]) * prime, total ^= total >> 32;
    return total;
}

}  // namespace

void bind_program(py::module_& m) {
    m.def("checksum", [](const py::array& data) {
        const auto bytes = static_cast<std::size_t>(data.nbytes());
        const void* const from = data.data();
        const py::gil_scoped_release unlocked;
        return checksum(from, bytes);
    });
    m.def("gains_channels_last", &gains_channels_last);
    bind<float>(m, "Program32");
    bind<double>(m, "Program64");
}

}  // namespace advcore

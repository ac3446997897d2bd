// Normalisation of arrays of any rank that are folded to (samples, channels, plane); groups is 0 where a channel of all
// samples is normalised.
#include <cmath>
#include <limits>
#include <memory>
#include <tuple>

#include "arrays.h"

namespace advcore {
namespace {

constexpr int64_t elements_per_piece = 32768;  // a thread's share

using Folded = std::tuple<int64_t, int64_t, int64_t>;  // (samples, channels, plane) of an array of any rank

NormShape shape_of(const Folded& folded, int64_t groups) {
    const auto [samples, channels, plane] = folded;
    return {samples, channels, plane, groups, groups > 0 ? channels / groups : 0};
}

// How many of the items a thread takes at once.
int64_t piece(const NormShape& shape, int64_t items) {
    return elements_per_piece * items / (shape.samples * shape.channels * shape.plane);
}

// running = (1 - momentum) running + momentum (the mean over samples of the value of a channel)
template <class T, class Value>
void update(Array<T>& running, int64_t samples, double momentum, Value value) {
    const int64_t channels = extent(running, 0);
    T* const data = running.mutable_data();
    for (int64_t c = 0; c < channels; ++c) {
        double sum = 0;
        for (int64_t n = 0; n < samples; ++n) sum += value(n * channels + c);
        data[c] = static_cast<T>((1 - momentum) * static_cast<double>(data[c]) +
                                 momentum * sum / static_cast<double>(samples));
    }
}

// Running statistics take the unbiased variance; they come with mean and rstd.
template <class T>
void normalize(Array<T> out, MaybeArray<T> mean, MaybeArray<T> rstd, const Array<T>& x, const MaybeArray<T>& weight,
               const MaybeArray<T>& bias, const Folded& folded, int64_t groups, double eps, MaybeArray<T> running_mean,
               MaybeArray<T> running_var, double momentum) {
    if (x.size() == 0) {
        constexpr T unknown = std::numeric_limits<T>::quiet_NaN();
        if (mean) std::fill_n(mean->mutable_data(), mean->size(), unknown);
        if (rstd) std::fill_n(rstd->mutable_data(), rstd->size(), unknown);
        return;
    }
    NormalizeArgs<T> args{};
    args.x = x.data(), args.weight = data_or_null(weight), args.bias = data_or_null(bias);
    args.out = out.mutable_data();
    args.mean = mean ? mean->mutable_data() : nullptr, args.rstd = rstd ? rstd->mutable_data() : nullptr;
    args.eps = eps, args.shape = shape_of(folded, groups);
    const std::unique_ptr<double[]> variance(running_var ? new double[mean->size()] : nullptr);
    args.variance = variance.get();
    {
        const py::gil_scoped_release unlocked;
        run(kernels<T>().normalize, args, args.shape.items(), piece(args.shape, args.shape.items()));
    }
    const int64_t samples = groups == 0 ? 1 : args.shape.samples;
    if (running_mean)
        update(*running_mean, samples, momentum, [&](int64_t i) { return static_cast<double>(args.mean[i]); });
    if (running_var) {
        const auto count = static_cast<double>(x.size() / mean->size());
        update(*running_var, samples, momentum, [&](int64_t i) { return variance[i] * (count / (count - 1)); });
    }
}

template <class T>
void normalize_fixed(Array<T> out, const Array<T>& x, const MaybeArray<T>& mean, const Array<T>& variance,
                     const MaybeArray<T>& weight, const MaybeArray<T>& bias, const Folded& folded, double eps) {
    if (x.size() == 0) return;
    const NormalizeFixedArgs<T> args{
        x.data(), data_or_null(weight), data_or_null(bias), data_or_null(mean), variance.data(), out.mutable_data(),
        eps,      shape_of(folded, 0)};
    const py::gil_scoped_release unlocked;
    run(kernels<T>().normalize_fixed, args, args.items(), piece(args.shape, args.items()));
}

// Parts of a sum over samples: `count` of them, for the weight and for the bias.
template <class T>
struct Parts {
    int64_t count, size;
    std::unique_ptr<T[]> weight, bias;
    Parts(int64_t count_, int64_t size_)
        : count(count_), size(size_), weight(new T[count * size]), bias(new T[count * size]) {}
    void add_into(T* weight_grad, T* bias_grad) const {
        run(kernels<T>().sum_parts, SumPartsArgs<T>{weight.get(), weight_grad, count, size}, size, 4096);
        run(kernels<T>().sum_parts, SumPartsArgs<T>{bias.get(), bias_grad, count, size}, size, 4096);
    }
};

// Planes of one number in groups: the samples are cut into at most 64 parts, of rows that fill a block of the cache at
// least; where few rows do, the sums over samples are a second pass.
template <class T>
void run_rows_grad(NormalizeGradArgs<T> args) {
    const NormShape& shape = args.shape;
    const std::unique_ptr<T[]> shift(new T[shape.samples * shape.groups]);
    const int64_t block = std::clamp<int64_t>(norm_block / shape.channels, 1, norm_rows);
    NormalizeRowsGradArgs<T> rows{args, shift.get(), block};
    constexpr int64_t fewest_rows = 8, most_parts = 64;
    T *const weight_grad = args.weight_grad, *const bias_grad = args.bias_grad;
    const bool second_pass = weight_grad && block < fewest_rows;
    rows.samples_per_part = std::max(block, ceil_div(ceil_div(shape.samples, most_parts), block) * block);
    const int64_t parts = ceil_div(shape.samples, rows.samples_per_part);
    std::optional<Parts<T>> sums;
    if (weight_grad && !second_pass) {
        sums.emplace(parts, shape.channels);
        rows.grad.weight_grad = sums->weight.get(), rows.grad.bias_grad = sums->bias.get();
    }
    if (second_pass) rows.grad.weight_grad = nullptr;
    run(kernels<T>().normalize_rows_grad, rows, parts, piece(shape, parts));
    if (sums) sums->add_into(weight_grad, bias_grad);
    if (!second_pass) return;
    rows.grad.weight_grad = weight_grad;
    const NormalizeRowsSumsArgs<T> columns{rows};
    const int64_t items = columns.blocks() * shape.groups;
    run(kernels<T>().normalize_rows_sums, columns, items, piece(shape, items));
}

// rstd is the variance where eps is given: mean and variance are fixed then.
template <class T>
void normalize_grad(Array<T> grad_x, MaybeArray<T> weight_grad, MaybeArray<T> bias_grad, const Array<T>& grad,
                    const Array<T>& x, const MaybeArray<T>& weight, const Array<T>& mean, const Array<T>& rstd,
                    const Folded& folded, int64_t groups, std::optional<double> eps) {
    if (x.size() == 0) {
        if (weight_grad) std::fill_n(weight_grad->mutable_data(), weight_grad->size(), T(0));
        if (bias_grad) std::fill_n(bias_grad->mutable_data(), bias_grad->size(), T(0));
        return;
    }
    NormalizeGradArgs<T> args{};
    args.grad = grad.data(), args.x = x.data(), args.weight = data_or_null(weight);
    args.mean = mean.data(), args.rstd = rstd.data(), args.grad_x = grad_x.mutable_data();
    args.weight_grad = weight_grad ? weight_grad->mutable_data() : nullptr;
    args.bias_grad = bias_grad ? bias_grad->mutable_data() : nullptr;
    args.fixed = eps.has_value(), args.shape = shape_of(folded, groups);
    std::unique_ptr<T[]> fixed_rstd;
    if (eps) {
        fixed_rstd.reset(new T[args.shape.channels]);
        for (int64_t c = 0; c < args.shape.channels; ++c)
            fixed_rstd[c] = static_cast<T>(1 / std::sqrt(static_cast<double>(args.rstd[c]) + *eps));
        args.rstd = fixed_rstd.get();
    }
    const py::gil_scoped_release unlocked;
    if (groups > 0 && args.shape.plane == 1) return run_rows_grad(args);
    const int64_t items = args.shape.items();
    if (groups == 0 || !weight_grad) return run(kernels<T>().normalize_grad, args, items, piece(args.shape, items));
    const Parts<T> parts(args.shape.samples, args.shape.channels);
    args.weight_grad = parts.weight.get(), args.bias_grad = parts.bias.get();
    run(kernels<T>().normalize_grad, args, items, piece(args.shape, items));
    parts.add_into(weight_grad->mutable_data(), bias_grad->mutable_data());
}

// The first number below 0, or -1.
template <class T>
int64_t first_negative(const Array<T>& x) {
    const T *const begin = x.data(), *const end = begin + x.size();
    const T* const found = std::find_if(begin, end, [](T value) { return value < 0; });
    return found == end ? -1 : found - begin;
}

template <class T>
void bind(py::module_& m) {
    const auto array = [] { return py::arg().noconvert(); };
    const auto maybe = [] { return py::arg().noconvert().none(true); };
    const py::arg plain;
    m.def("normalize", &normalize<T>, array(), maybe(), maybe(), array(), maybe(), maybe(), plain, plain, plain,
          maybe(), maybe(), plain);
    m.def("normalize_fixed", &normalize_fixed<T>, array(), array(), maybe(), array(), maybe(), maybe(), plain, plain);
    m.def("normalize_grad", &normalize_grad<T>, array(), maybe(), maybe(), array(), array(), maybe(), array(), array(),
          plain, plain, plain);
    m.def("first_negative", &first_negative<T>, array());
}

}  // namespace

void bind_normalize(py::module_& m) {
    bind<float>(m);
    bind<double>(m);
}

}  // namespace advcore

// Gradients of normalisation. With d = x - mean, as it is rounded, n numbers that share it, and its rest r = sum d / n:
//   x^ = (d - r) * rstd
//   grad_bias = sum g, grad_weight = sum g x^, each over what shares the weight
//   grad_x = rstd * (w g - sum(w g) / n - x^ sum(w g x^) / n)
// Where mean and variance are fixed, r = 0 and grad_x = rstd w g.
#include "kernel_list.h"
#include "normalize.h"
#include "normalize_sums.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// sum g, sum g d, sum d
struct GradSums {
    double grad = 0, product = 0, distance = 0;
    void add(double weight, const GradSums& more) {
        grad += weight * more.grad, product += weight * more.product, distance += more.distance;
    }
};

// `soon` lies like x and is written soon: asking for it here leaves the writing less to wait for. It may be x itself.
template <class T>
ADVCORE_INLINE GradSums sums_of(const T* grad, const T* x, const T* weight, T mean, const Segments& segments,
                                const T* soon) {
    GradSums total;
    const Vec<T> centre = splat(mean), one = splat(T(1));
    for_each_block<T>(segments, [&](const Segments& block) {
        Vec<T> sum[3];
        block_sums<T>(block, sum, [&](auto read, Vec<T>(&to)[3]) {
            prefetch(soon, read.at);
            const Vec<T> distance = read(x, centre) - centre;
            Vec<T> g = read(grad, Vec<T>{});
            if (weight) g *= read(weight, one);
            to[0] += g;
            to[1] = fma<T>(g, distance, to[1]);
            to[2] += distance;
        });
        total.add(1, {double(sum[0][0]), double(sum[1][0]), double(sum[2][0])});
    });
    return total;
}

// grad_x = rstd * weight * g + slope * d + shift
template <class T>
struct Line {
    T slope, shift, rest;
    // From the sums of weighted gradients over the n numbers.
    Line(const GradSums& sums, double rstd, double share) {  // share = 1 / n
        const double offset = sums.distance * share;
        const double covariance = rstd * rstd * (sums.product - offset * sums.grad) * share;
        slope = T(-rstd * covariance);
        shift = T(rstd * (covariance * offset - sums.grad * share));
        rest = T(offset);
    }
};

template <class T>
ADVCORE_INLINE void grad_plane(const T* grad, const T* x, T* to, int64_t length, T scale, T mean, Line<T> line,
                               int64_t ahead) {
    const Vec<T> a = splat(scale), b = splat(line.slope), c = splat(line.shift), centre = splat(mean);
    cover<T>(length, [&](int64_t at, int used) {
        prefetch(x + at, ahead), prefetch(grad + at, ahead);
        const Vec<T> d = load_used(x + at, used) - centre;
        store_used(to + at, fma<T>(a, load_used(grad + at, used), fma<T>(b, d, c)), used);
    });
}

template <class T>
ADVCORE_INLINE void grad_of_plane_fixed(const T* grad, T* to, int64_t length, T scale) {
    const Vec<T> a = splat(scale);
    cover<T>(length, [&](int64_t at, int used) { store_used(to + at, a * load_used(grad + at, used), used); });
}

// A channel of all samples: one weight.
template <class T>
ADVCORE_INLINE void grad_of_channel(const NormalizeGradArgs<T>& args, int64_t channel) {
    const NormGroup group = group_of(args.shape, channel);
    const T mean = args.mean[channel], rstd = args.rstd[channel];
    GradSums sums = sums_of<T>(args.grad, args.x, nullptr, mean, group.segments(), args.fixed ? args.x : args.grad_x);
    if (args.fixed) sums.distance = 0;
    const T weight = channel_value(args.weight, channel, T(1));
    if (args.weight_grad) {
        const double rest = sums.distance / double(group.planes * group.plane);
        args.weight_grad[channel] = T(double(rstd) * (sums.product - rest * sums.grad));
        args.bias_grad[channel] = T(sums.grad);
    }
    GradSums weighted;
    weighted.add(double(weight), sums);
    const Line<T> line(weighted, double(rstd), 1 / double(group.planes * group.plane));
    for (int64_t i = 0, offset = group.offset; i < group.planes; ++i, offset += group.stride) {
        if (args.fixed)
            grad_of_plane_fixed(args.grad + offset, args.grad_x + offset, group.plane, weight * rstd);
        else
            grad_plane(args.grad + offset, args.x + offset, args.grad_x + offset, group.plane, weight * rstd, mean,
                       line, group.next());
    }
}

// A sample's group of channels: a weight a plane.
template <class T>
ADVCORE_INLINE void grad_of_group(const NormalizeGradArgs<T>& args, int64_t item) {
    const NormGroup group = group_of(args.shape, item);
    const T mean = args.mean[item], rstd = args.rstd[item];
    const int64_t first_part = item * group.planes;  // of the parts (samples, channels)
    GradSums total;
    for (int64_t i = 0; i < group.planes; ++i) {
        const Segments plane{group.offset + i * group.plane, 1, group.plane, 0};
        const GradSums sums = sums_of<T>(args.grad, args.x, nullptr, mean, plane, args.grad_x);
        total.add(double(channel_value(args.weight, group.channel + i, T(1))), sums);
        if (!args.weight_grad) continue;
        args.weight_grad[first_part + i] = T(sums.product);
        args.bias_grad[first_part + i] = T(sums.grad);
    }
    const Line<T> line(total, double(rstd), 1 / double(group.planes * group.plane));
    for (int64_t i = 0; i < group.planes; ++i) {
        const int64_t offset = group.offset + i * group.plane;
        const T weight = channel_value(args.weight, group.channel + i, T(1));
        grad_plane(args.grad + offset, args.x + offset, args.grad_x + offset, group.plane, weight * rstd, mean, line,
                   group.next());
        if (!args.weight_grad) continue;
        T& product = args.weight_grad[first_part + i];
        product = rstd * (product - line.rest * args.bias_grad[first_part + i]);
    }
}

// Channels of one number, of all samples: columns.
template <class T, class C>
ADVCORE_INLINE void grad_of_columns(const NormalizeGradArgs<T>& args, int64_t first, int64_t channels, C columns) {
    constexpr int R = C::registers, L = lanes<T>;
    const int64_t rows = args.shape.samples, pitch = args.shape.channels;
    T mean[R * L] = {}, rstd[R * L] = {}, scale[R * L] = {};
    for (int64_t i = 0; i < channels; ++i) {
        mean[i] = args.mean[first + i], rstd[i] = args.rstd[first + i];
        scale[i] = rstd[i] * channel_value(args.weight, first + i, T(1));
    }
    const T *const grad = args.grad + first, *const x = args.x + first;
    Vec<T> centre[R], sum[R] = {}, product[R] = {}, rest[R] = {};
    for (int r = 0; r < R; ++r) centre[r] = load(mean + r * L);
    for (int64_t block = 0; block < rows; block += norm_rows) {
        Vec<T> sums[R] = {}, products[R] = {}, distances[R] = {};
        for (int64_t row = block; row < smaller(rows, block + norm_rows); ++row)
            for (int r = 0; r < R; ++r) {
                const Vec<T> d = columns.read(x + row * pitch, r) - centre[r], g = columns.read(grad + row * pitch, r);
                sums[r] += g;
                products[r] = fma<T>(g, d, products[r]);
                distances[r] += d;
            }
        for (int r = 0; r < R; ++r) sum[r] += sums[r], product[r] += products[r], rest[r] += distances[r];
    }
    const Vec<T> share = splat(T(1) / T(rows));
    for (int r = 0; r < R; ++r) {
        const Vec<T> a = load(scale + r * L), s = load(rstd + r * L);
        rest[r] *= share;
        if (args.fixed) rest[r] = Vec<T>{};
        const Vec<T> of_weight = s * (product[r] - rest[r] * sum[r]);
        if (args.weight_grad) {
            columns.write(args.weight_grad + first, r, of_weight);
            columns.write(args.bias_grad + first, r, sum[r]);
        }
        // From here on the slope and the shift of grad_x.
        product[r] = -a * s * of_weight * share;
        sum[r] = -a * sum[r] * share - product[r] * rest[r];
    }
    for (int64_t row = 0; row < rows; ++row)
        for (int r = 0; r < R; ++r) {
            const int64_t at = row * pitch;
            const Vec<T> a = load(scale + r * L), g = columns.read(grad + at, r);
            const Vec<T> d = args.fixed ? Vec<T>{} : columns.read(x + at, r) - centre[r];
            columns.write(args.grad_x + first + at, r,
                          args.fixed ? a * g : fma<T>(a, g, fma<T>(product[r], d, sum[r])));
        }
}

// Weights of elements: grad_x of one group, of which a number is a `share`, and the rest of its mean.
template <class T>
ADVCORE_INLINE void grad_of_row(const NormalizeRowsGradArgs<T>& rows, int64_t item, double share) {
    const NormalizeGradArgs<T>& args = rows.grad;
    const NormGroup group = group_of(args.shape, item);
    const T mean = args.mean[item], rstd = args.rstd[item];
    const T *const grad = args.grad + group.offset, *const x = args.x + group.offset;
    const T* const weight = args.weight ? args.weight + group.channel : nullptr;
    const Line<T> line(sums_of<T>(grad, x, weight, mean, Segments{0, 1, group.planes, 0}, x), double(rstd), share);
    rows.shift[item] = -line.rest * rstd;
    if (!weight) return grad_plane(grad, x, args.grad_x + group.offset, group.planes, rstd, mean, line, group.planes);
    const Vec<T> a = splat(rstd), b = splat(line.slope), c = splat(line.shift), centre = splat(mean);
    cover<T>(group.planes, [&](int64_t at, int used) {
        const Vec<T> d = load_used(x + at, used) - centre,
                     g = load_used(grad + at, used) * load_used(weight + at, used);
        store_used(args.grad_x + group.offset + at, fma<T>(a, g, fma<T>(b, d, c)), used);
    });
}

// Adds the samples [first, last), 256 at most, to the sums for the channels [begin, end) of a group.
template <class T>
ADVCORE_INLINE void add_samples(const NormalizeRowsGradArgs<T>& rows, int64_t first, int64_t last, int64_t group,
                                int64_t begin, int64_t end, T* weight_grad, T* bias_grad) {
    const NormalizeGradArgs<T>& args = rows.grad;
    const int64_t pitch = args.shape.channels, groups = args.shape.groups;
    for_each_columns<T>(begin, end, [&](auto columns, int64_t at) {
        constexpr int R = columns.registers;
        Vec<T> products[R] = {}, sums[R] = {};
        for (int64_t sample = first; sample < last; ++sample) {
            const int64_t row = sample * groups + group;
            const Vec<T> mean = splat(args.mean[row]), rstd = splat(args.rstd[row]), shift = splat(rows.shift[row]);
            for (int r = 0; r < R; ++r) {
                const Vec<T> g = columns.read(args.grad + sample * pitch + at, r);
                const Vec<T> d = columns.read(args.x + sample * pitch + at, r) - mean;
                sums[r] += g;
                products[r] = fma<T>(g, fma<T>(d, rstd, shift), products[r]);
            }
        }
        for (int r = 0; r < R; ++r) {
            columns.write(weight_grad + at, r, columns.read(weight_grad + at, r) + products[r]);
            columns.write(bias_grad + at, r, columns.read(bias_grad + at, r) + sums[r]);
        }
    });
}

}  // namespace

template <class T>
void normalize_grad(const NormalizeGradArgs<T>& args_, int64_t begin, int64_t end, void*) {
    const NormalizeGradArgs<T> args = args_;
    for (int64_t item = begin; item < end; ++item) {
        if (!args.shape.across_samples()) {
            grad_of_group(args, item);
        } else if (args.shape.plane > 1) {
            grad_of_channel(args, item);
        } else {
            const int64_t last = smaller(args.shape.channels, (item + 1) * norm_columns);
            for_each_columns<T>(item * norm_columns, last, [&](auto columns, int64_t first) {
                grad_of_columns(args, first, smaller(columns.registers * lanes<T>, last - first), columns);
            });
        }
    }
}

template <class T>
void normalize_rows_grad(const NormalizeRowsGradArgs<T>& args_, int64_t begin, int64_t end, void*) {
    const NormalizeRowsGradArgs<T> args = args_;
    const NormShape& shape = args.grad.shape;
    const double share = 1 / double(shape.together);
    for (int64_t part = begin; part < end; ++part) {
        const int64_t first = part * args.samples_per_part,
                      last = smaller(shape.samples, first + args.samples_per_part);
        T* const weight_grad = args.grad.weight_grad ? args.grad.weight_grad + part * shape.channels : nullptr;
        T* const bias_grad = weight_grad ? args.grad.bias_grad + part * shape.channels : nullptr;
        if (weight_grad)
            for (int64_t i = 0; i < shape.channels; ++i) weight_grad[i] = bias_grad[i] = T(0);
        for (int64_t block = first, block_end; block < last; block = block_end) {
            block_end = smaller(last, block + larger(1, smaller(norm_rows, norm_block / shape.channels)));
            for (int64_t row = block * shape.groups; row < block_end * shape.groups; ++row)
                grad_of_row(args, row, share);
            if (!weight_grad) continue;
            for (int64_t g = 0; g < shape.groups; ++g)
                add_samples(args, block, block_end, g, g * shape.together, (g + 1) * shape.together, weight_grad,
                            bias_grad);
        }
    }
}

template <class T>
void normalize_rows_sums(const NormalizeRowsSumsArgs<T>& args_, int64_t begin, int64_t end, void*) {
    const NormalizeRowsSumsArgs<T> args = args_;
    const NormalizeGradArgs<T>& grad = args.rows.grad;
    for (int64_t item = begin; item < end; ++item) {
        const int64_t group = item / args.blocks(), first = group * grad.shape.together;
        const int64_t from = first + item % args.blocks() * norm_columns;
        const int64_t to = smaller(from + norm_columns, first + grad.shape.together);
        for (int64_t i = from; i < to; ++i) grad.weight_grad[i] = grad.bias_grad[i] = T(0);
        for (int64_t sample = 0; sample < grad.shape.samples; sample += norm_rows)
            add_samples(args.rows, sample, smaller(grad.shape.samples, sample + norm_rows), group, from, to,
                        grad.weight_grad, grad.bias_grad);
    }
}

ADVCORE_INSTANTIATE(normalize_grad, NormalizeGradArgs)
ADVCORE_INSTANTIATE(normalize_rows_grad, NormalizeRowsGradArgs)
ADVCORE_INSTANTIATE(normalize_rows_sums, NormalizeRowsSumsArgs)

}  // namespace advcore::ADVCORE_LEVEL

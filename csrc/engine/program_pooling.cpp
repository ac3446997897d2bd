// Pooling as steps of a program.
#include <memory>

#include "channels_last.h"
#include "program_layout.h"
#include "program_relu.h"
#include "program_steps.h"

namespace advcore {

namespace {

template <class T>
Buffer add_max_pool_last(Program<T>& p, Buffer x, const SideBySide& windows) {
    const int64_t size = p.size_of(x), outputs = windows.out_height * windows.out_width * windows.channels;
    const auto of = [windows](int64_t samples) {
        SideBySide all = windows;
        all.samples = samples;
        return all;
    };
    // A ReLU before lets a gradient through where the largest of a window is positive; these are fewer to ask.
    const bool relu = p.is_rectified(x);
    const Buffer result = p.add_step(
        {x}, outputs,
        [=](const Operands<T>& at, int64_t samples) {
            max_pool_last<T>(of(samples), at.in(0), at.out(), at.out(1));
            if (relu) keep_bits(at.out(), at.out(2), samples, outputs);
        },
        [=](Program<T>& q, Buffer output, Buffer grad_output) {
            const Buffer grad = relu ? emit_relu_grad(q, output + 2, grad_output) : grad_output;
            const Buffer before = q.emit({output + 1, grad}, size, [=](const Operands<T>& at, int64_t samples) {
                max_pool_last_grad<T>(of(samples), at.in(0), at.in(1), at.out());
            });
            if (relu) q.set_rectified(x, before);
            return std::vector<Buffer>{before};
        },
        relu ? std::vector<int64_t>{outputs, bits_size<T>(outputs)} : std::vector<int64_t>{outputs});
    p.set_channels_last(result, windows.channels);
    return result;
}

}  // namespace

template <class T>
Buffer add_max_pool(Program<T>& p, Buffer x, int64_t channels, const PoolAxis& rows, const PoolAxis& cols) {
    if (p.channels_last(x) && is_side_by_side(rows) && is_side_by_side(cols))
        return add_max_pool_last(
            p, x, {1, channels, rows.kernel, cols.kernel, rows.input, cols.input, rows.output, cols.output});
    x = in_planes(p, x);
    const auto windows = std::make_shared<const PoolWindows>(rows, cols, true);
    const int64_t size = p.size_of(x), outputs = channels * rows.output * cols.output;
    const int64_t places_size = outputs * static_cast<int64_t>(sizeof(int64_t) / sizeof(T));
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
    x = in_planes(p, x);
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
    x = in_planes(p, x);
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

#define ADVCORE_POOLING_STEPS(T)                                                                           \
    template Buffer add_max_pool<T>(Program<T>&, Buffer, int64_t, const PoolAxis&, const PoolAxis&);       \
    template Buffer add_avg_pool<T>(Program<T>&, Buffer, int64_t, const PoolAxis&, const PoolAxis&, bool); \
    template Buffer add_adaptive_avg_pool<T>(Program<T>&, Buffer, int64_t, const PlaneSize&, const PlaneSize&);
ADVCORE_POOLING_STEPS(float)
ADVCORE_POOLING_STEPS(double)

}  // namespace advcore

// Pooling: the windows of each axis are worked out here, once a call; arrays are (planes, rows, cols).
#include <algorithm>
#include <limits>
#include <vector>

#include "arrays.h"

namespace advcore {
namespace {

using Pair = std::pair<int64_t, int64_t>;  // of (rows, cols)

constexpr int64_t elements_per_piece = 32768;  // a thread's share, in elements of the larger side

// The part of each window that lies inside the input.
std::vector<Window> windows_in_input(const PoolAxis& axis) {
    std::vector<Window> windows;
    for (int64_t i = 0; i < axis.output; ++i) {
        const int64_t start = i * axis.stride - axis.padding;
        const int64_t first_tap = start < 0 ? ceil_div(-start, axis.dilation) : 0;
        const int64_t last_tap =
            std::min(axis.kernel, ceil_div(std::max<int64_t>(axis.input - start, 0), axis.dilation));
        windows.push_back({start + first_tap * axis.dilation, std::max<int64_t>(last_tap - first_tap, 0)});
    }
    return windows;
}

// The windows that each input element takes part in.
std::vector<Window> windows_over_input(const PoolAxis& axis) {
    std::vector<Window> windows;
    for (int64_t i = 0; i < axis.input; ++i) {
        const int64_t before = i + axis.padding + 1 - axis.kernel;  // the position of the first of them, if positive
        const int64_t first = before > 0 ? ceil_div(before, axis.stride) : 0;
        const int64_t end = std::min(axis.output, (i + axis.padding) / axis.stride + 1);
        windows.push_back({std::min(first, end), std::max<int64_t>(end - first, 0)});
    }
    return windows;
}

// How many elements each window averages over along one axis.
template <class T>
std::vector<T> divisors(const PoolAxis& axis, bool count_include_pad) {
    std::vector<T> counts;
    for (int64_t i = 0; i < axis.output; ++i) {
        const int64_t start = i * axis.stride - axis.padding;
        const int64_t first = count_include_pad ? start : std::max<int64_t>(start, 0);
        const int64_t end = std::min(start + axis.kernel, axis.input + (count_include_pad ? axis.padding : 0));
        counts.push_back(static_cast<T>(end - first));
    }
    return counts;
}

template <class T>
bool all_equal(const std::vector<T>& values) {
    return std::all_of(values.begin(), values.end(), [&](T value) { return value == values[0]; });
}

// The divisors of an average, in the form of the kernels' arguments.
template <class T>
struct Divisors {
    std::vector<T> rows, cols;
    bool uniform;
    Divisors(const PoolAxis& row_axis, const PoolAxis& col_axis, bool count_include_pad)
        : rows(divisors<T>(row_axis, count_include_pad)),
          cols(divisors<T>(col_axis, count_include_pad)),
          uniform(all_equal(rows) && all_equal(cols)) {}
    template <class Args>
    void set(Args& args) const {
        args.divisor = rows[0] * cols[0];
        args.row_divisor = uniform ? nullptr : rows.data();
        args.col_divisor = uniform ? nullptr : cols.data();
    }
};

// The two axes of a pooling of `input` to `output`, with their windows.
template <class T>
struct Axes {
    PoolAxis rows, cols;
    std::vector<Window> row_windows, col_windows;
    bool buffered;  // a row fits in the kernels' buffers

    Axes(const Array<T>& input, const Array<T>& output, Pair kernel, Pair stride, Pair padding, Pair dilation)
        : rows{extent(input, 1), extent(output, 1), kernel.first, stride.first, padding.first, dilation.first, nullptr},
          cols{extent(input, 2), extent(output, 2), kernel.second, stride.second,
               padding.second,   dilation.second,   nullptr} {
        const int64_t reach = (cols.output - 1) * cols.stride + (cols.kernel - 1) * cols.dilation + 1;
        buffered = reach <= longest_pool_row;
    }
    void find(std::vector<Window> (*windows)(const PoolAxis&)) {
        row_windows = windows(rows), col_windows = windows(cols);
        rows.windows = row_windows.data(), cols.windows = col_windows.data();
    }
    // The buffers hold indices as integers of the elements' size.
    void limit_indices(std::size_t bytes) {
        if (bytes == 4 && rows.input * cols.input > std::numeric_limits<int32_t>::max()) buffered = false;
    }
    // The one window is the whole plane.
    bool whole() const { return rows.output * cols.output == 1 && covers(rows) && covers(cols); }
    static bool covers(const PoolAxis& axis) {
        return (axis.dilation == 1 || axis.kernel == 1) && axis.kernel >= axis.input + axis.padding;
    }
};

int64_t rows_per_piece(int64_t plane_size, int64_t rows) { return elements_per_piece * rows / plane_size; }

template <class T>
void run_window_mean(const Array<T>& in, Array<T>& out, const std::vector<Window>& rows,
                     const std::vector<Window>& cols, const std::vector<T>& row_divisors,
                     const std::vector<T>& col_divisors, bool divide_terms) {
    WindowMeanArgs<T> args{in.data(),           out.mutable_data(),  extent(in, 1), extent(in, 2),
                           extent(out, 1),      extent(out, 2),      rows.data(),   cols.data(),
                           row_divisors.data(), col_divisors.data(), divide_terms};
    const int64_t size = std::max(args.in_rows * args.in_cols, args.out_rows * args.out_cols);
    const py::gil_scoped_release unlocked;
    run(kernels<T>().window_mean, args, extent(out, 0) * args.out_rows, rows_per_piece(size, args.out_rows));
}

template <class T>
void run_pool(PoolArgs<T>& args, int64_t planes) {
    const int64_t grain = rows_per_piece(args.rows.input * args.cols.input, args.rows.output);
    const py::gil_scoped_release unlocked;
    // Whole planes are taken by the register, of 16 at most.
    run(kernels<T>().pool, args, planes * args.rows.output, args.whole ? ceil_div(grain + 1, 16) * 16 : grain);
}

template <class T>
void max_pool2d(Array<T> out, MaybeArray<int64_t> indices, const Array<T>& input, Pair kernel, Pair stride,
                Pair padding, Pair dilation) {
    if (out.size() == 0) return;
    Axes<T> axes(input, out, kernel, stride, padding, dilation);
    axes.find(windows_in_input);
    if (axes.buffered && !indices) {
        PoolArgs<T> args{};
        args.input = input.data(), args.output = out.mutable_data();
        args.rows = axes.rows, args.cols = axes.cols;
        args.whole = axes.whole();
        return run_pool(args, extent(input, 0));
    }
    axes.limit_indices(sizeof(T));
    const MaxPoolArgs<T> args{input.data(), out.mutable_data(), indices ? indices->mutable_data() : nullptr,
                              axes.rows,    axes.cols,          axes.buffered};
    const int64_t grain = rows_per_piece(args.rows.input * args.cols.input, args.rows.output);
    const py::gil_scoped_release unlocked;
    run(kernels<T>().max_pool, args, extent(input, 0) * args.rows.output, grain);
}

template <class T>
void avg_pool2d(Array<T> out, const Array<T>& input, Pair kernel, Pair stride, Pair padding, bool count_include_pad) {
    if (out.size() == 0) return;
    Axes<T> axes(input, out, kernel, stride, padding, {1, 1});
    axes.find(windows_in_input);
    const Divisors<T> divisors(axes.rows, axes.cols, count_include_pad);
    if (!axes.buffered)
        return run_window_mean(input, out, axes.row_windows, axes.col_windows, divisors.rows, divisors.cols, false);
    PoolArgs<T> args{};
    args.input = input.data(), args.output = out.mutable_data();
    args.rows = axes.rows, args.cols = axes.cols;
    args.average = true, args.whole = axes.whole();
    divisors.set(args);
    run_pool(args, extent(input, 0));
}

// Returns whether all indices are inside their planes (-1 stands for a window without elements).
template <class T>
bool max_pool2d_grad(Array<T> grad_input, const Array<T>& grad_output, const MaybeArray<T>& input,
                     const MaybeArray<int64_t>& indices, Pair kernel, Pair stride, Pair padding, Pair dilation) {
    if (grad_output.size() == 0) {
        std::fill_n(grad_input.mutable_data(), grad_input.size(), T(0));
        return true;
    }
    Axes<T> axes(grad_input, grad_output, kernel, stride, padding, dilation);
    axes.find(windows_in_input);
    axes.limit_indices(sizeof(T));
    bool outside = false;
    const MaxPoolArgs<T> pool{data_or_null(input), nullptr, nullptr, axes.rows, axes.cols, axes.buffered};
    const MaxPoolGradArgs<T> args{pool, data_or_null(indices), grad_output.data(), grad_input.mutable_data(), &outside};
    const py::gil_scoped_release unlocked;
    run(kernels<T>().max_pool_grad, args, extent(grad_input, 0),
        elements_per_piece / (axes.rows.input * axes.cols.input));
    return !outside;
}

template <class T>
void avg_pool2d_grad(Array<T> grad_input, const Array<T>& grad_output, Pair kernel, Pair stride, Pair padding,
                     bool count_include_pad) {
    if (grad_output.size() == 0) {
        std::fill_n(grad_input.mutable_data(), grad_input.size(), T(0));
        return;
    }
    Axes<T> axes(grad_input, grad_output, kernel, stride, padding, {1, 1});
    axes.find(windows_over_input);
    const Divisors<T> divisors(axes.rows, axes.cols, count_include_pad);
    if (!axes.buffered || axes.cols.input + axes.cols.padding > longest_pool_row / 2)
        return run_window_mean(grad_output, grad_input, axes.row_windows, axes.col_windows, divisors.rows,
                               divisors.cols, true);
    AvgPoolGradArgs<T> args{};
    args.grad_output = grad_output.data(), args.grad_input = grad_input.mutable_data();
    args.rows = axes.rows, args.cols = axes.cols;
    args.whole = axes.whole();
    divisors.set(args);
    const py::gil_scoped_release unlocked;
    run(kernels<T>().avg_pool_grad, args, extent(grad_input, 0) * args.rows.input,
        elements_per_piece / args.cols.input);
}

// Adaptive pooling: window i of n covers [floor(i input / n), ceil((i + 1) input / n)).
std::vector<Window> adaptive_windows(int64_t input, int64_t output) {
    std::vector<Window> windows;
    for (int64_t i = 0; i < output; ++i) {
        const int64_t first = i * input / output;
        windows.push_back({first, ceil_div((i + 1) * input, output) - first});
    }
    return windows;
}

template <class T>
std::vector<T> counts(const std::vector<Window>& windows) {
    std::vector<T> result;
    for (const Window& window : windows) result.push_back(static_cast<T>(window.count));
    return result;
}

template <class T>
void adaptive_avg_pool2d(Array<T> out, const Array<T>& input) {
    if (out.size() == 0) return;
    const auto rows = adaptive_windows(extent(input, 1), extent(out, 1));
    const auto cols = adaptive_windows(extent(input, 2), extent(out, 2));
    run_window_mean(input, out, rows, cols, counts<T>(rows), counts<T>(cols), false);
}

// The windows over an input element are the windows of the opposite adaptive pooling.
template <class T>
void adaptive_avg_pool2d_grad(Array<T> grad_input, const Array<T>& grad_output) {
    if (grad_output.size() == 0) {
        std::fill_n(grad_input.mutable_data(), grad_input.size(), T(0));
        return;
    }
    const int64_t in_rows = extent(grad_input, 1), in_cols = extent(grad_input, 2);
    const int64_t out_rows = extent(grad_output, 1), out_cols = extent(grad_output, 2);
    run_window_mean(grad_output, grad_input, adaptive_windows(out_rows, in_rows), adaptive_windows(out_cols, in_cols),
                    counts<T>(adaptive_windows(in_rows, out_rows)), counts<T>(adaptive_windows(in_cols, out_cols)),
                    true);
}

template <class T>
void bind(py::module_& m) {
    const auto array = [] { return py::arg().noconvert(); };
    const auto maybe = [] { return py::arg().noconvert().none(true); };
    const py::arg plain;
    m.def("max_pool2d", &max_pool2d<T>, array(), maybe(), array(), plain, plain, plain, plain);
    m.def("avg_pool2d", &avg_pool2d<T>, array(), array(), plain, plain, plain, plain);
    m.def("max_pool2d_grad", &max_pool2d_grad<T>, array(), array(), maybe(), maybe(), plain, plain, plain, plain);
    m.def("avg_pool2d_grad", &avg_pool2d_grad<T>, array(), array(), plain, plain, plain, plain);
    m.def("adaptive_avg_pool2d", &adaptive_avg_pool2d<T>, array(), array());
    m.def("adaptive_avg_pool2d_grad", &adaptive_avg_pool2d_grad<T>, array(), array());
}

}  // namespace

void bind_pooling(py::module_& m) {
    bind<float>(m);
    bind<double>(m);
}

}  // namespace advcore

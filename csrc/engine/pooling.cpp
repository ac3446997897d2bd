#include "pooling.h"

#include <algorithm>
#include <limits>

#include "dispatch.h"
#include "parallel.h"

namespace advcore {
namespace {

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

int64_t rows_per_piece(int64_t plane_size, int64_t rows) { return elements_per_piece * rows / plane_size; }

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
void run_window_mean(const WindowMeanArgs<T>& args, int64_t planes) {
    const int64_t size = std::max(args.in_rows * args.in_cols, args.out_rows * args.out_cols);
    run(kernels<T>().window_mean, args, planes * args.out_rows, rows_per_piece(size, args.out_rows));
}

bool covers(const PoolAxis& axis) {
    return (axis.dilation == 1 || axis.kernel == 1) && axis.kernel >= axis.input + axis.padding;
}

}  // namespace

PoolWindows::PoolWindows(const PoolAxis& row_axis, const PoolAxis& col_axis, bool of_output)
    : rows(row_axis),
      cols(col_axis),
      row_windows_(of_output ? windows_in_input(row_axis) : windows_over_input(row_axis)),
      col_windows_(of_output ? windows_in_input(col_axis) : windows_over_input(col_axis)) {
    rows.windows = row_windows_.data(), cols.windows = col_windows_.data();
    const int64_t reach = (cols.output - 1) * cols.stride + (cols.kernel - 1) * cols.dilation + 1;
    fits_buffer = reach <= longest_pool_row;
    whole = rows.output * cols.output == 1 && covers(rows) && covers(cols);
}

template <class T>
Divisors<T>::Divisors(const PoolAxis& row_axis, const PoolAxis& col_axis, bool count_include_pad)
    : rows(divisors<T>(row_axis, count_include_pad)),
      cols(divisors<T>(col_axis, count_include_pad)),
      uniform(all_equal(rows) && all_equal(cols)) {}

template <class T>
void max_pool(const PoolWindows& w, const T* input, T* output, int64_t* indices, int64_t planes) {
    const int64_t grain = rows_per_piece(w.rows.input * w.cols.input, w.rows.output);
    if (w.fits_buffer && !indices) {
        PoolArgs<T> args{};
        args.input = input, args.output = output, args.rows = w.rows, args.cols = w.cols, args.whole = w.whole;
        // Whole planes are taken by the register, of 16 at most.
        return run(kernels<T>().pool, args, planes * w.rows.output, w.whole ? ceil_div(grain + 1, 16) * 16 : grain);
    }
    const MaxPoolArgs<T> args{input, output, indices, w.rows, w.cols, w.fits_indices<T>()};
    run(kernels<T>().max_pool, args, planes * w.rows.output, grain);
}

template <class T>
bool max_pool_grad(const PoolWindows& w, const T* grad_output, const T* input, const int64_t* indices, T* grad_input,
                   int64_t planes) {
    bool outside = false;
    const MaxPoolArgs<T> pool{input, nullptr, nullptr, w.rows, w.cols, w.fits_indices<T>()};
    const MaxPoolGradArgs<T> args{pool, indices, grad_output, grad_input, &outside};
    run(kernels<T>().max_pool_grad, args, planes, elements_per_piece / (w.rows.input * w.cols.input));
    return !outside;
}

template <class T>
void avg_pool(const PoolWindows& w, const Divisors<T>& d, const T* input, T* output, int64_t planes) {
    const PoolAxis &rows = w.rows, &cols = w.cols;
    if (!w.fits_buffer)
        return run_window_mean(WindowMeanArgs<T>{input, output, rows.input, cols.input, rows.output, cols.output,
                                                 rows.windows, cols.windows, d.rows.data(), d.cols.data(), false},
                               planes);
    PoolArgs<T> args{};
    args.input = input, args.output = output, args.rows = rows, args.cols = cols;
    args.average = true, args.whole = w.whole;
    d.set(args);
    const int64_t grain = rows_per_piece(rows.input * cols.input, rows.output);
    run(kernels<T>().pool, args, planes * rows.output, w.whole ? ceil_div(grain + 1, 16) * 16 : grain);
}

template <class T>
void avg_pool_grad(const PoolWindows& w, const Divisors<T>& d, const T* grad_output, T* grad_input, int64_t planes) {
    const PoolAxis &rows = w.rows, &cols = w.cols;
    if (!w.fits_buffer || cols.input + cols.padding > longest_pool_row / 2)
        return run_window_mean(
            WindowMeanArgs<T>{grad_output, grad_input, rows.output, cols.output, rows.input, cols.input, rows.windows,
                              cols.windows, d.rows.data(), d.cols.data(), true},
            planes);
    AvgPoolGradArgs<T> args{};
    args.grad_output = grad_output, args.grad_input = grad_input, args.rows = rows, args.cols = cols;
    args.whole = w.whole;
    d.set(args);
    run(kernels<T>().avg_pool_grad, args, planes * rows.input, elements_per_piece / cols.input);
}

template <class T>
void adaptive_avg_pool(const PlaneSize& in, const PlaneSize& out, const T* input, T* output, int64_t planes) {
    const auto rows = adaptive_windows(in.rows, out.rows), cols = adaptive_windows(in.cols, out.cols);
    const auto row_counts = counts<T>(rows), col_counts = counts<T>(cols);
    run_window_mean(WindowMeanArgs<T>{input, output, in.rows, in.cols, out.rows, out.cols, rows.data(), cols.data(),
                                      row_counts.data(), col_counts.data(), false},
                    planes);
}

template <class T>
void adaptive_avg_pool_grad(const PlaneSize& in, const PlaneSize& out, const T* grad_output, T* grad_input,
                            int64_t planes) {
    // The windows over an input element are the windows of the opposite adaptive pooling.
    const auto rows = adaptive_windows(out.rows, in.rows), cols = adaptive_windows(out.cols, in.cols);
    const auto row_counts = counts<T>(adaptive_windows(in.rows, out.rows));
    const auto col_counts = counts<T>(adaptive_windows(in.cols, out.cols));
    run_window_mean(WindowMeanArgs<T>{grad_output, grad_input, out.rows, out.cols, in.rows, in.cols, rows.data(),
                                      cols.data(), row_counts.data(), col_counts.data(), true},
                    planes);
}

#define ADVCORE_POOLING(T)                                                                               \
    template struct Divisors<T>;                                                                         \
    template void max_pool<T>(const PoolWindows&, const T*, T*, int64_t*, int64_t);                      \
    template bool max_pool_grad<T>(const PoolWindows&, const T*, const T*, const int64_t*, T*, int64_t); \
    template void avg_pool<T>(const PoolWindows&, const Divisors<T>&, const T*, T*, int64_t);            \
    template void avg_pool_grad<T>(const PoolWindows&, const Divisors<T>&, const T*, T*, int64_t);       \
    template void adaptive_avg_pool<T>(const PlaneSize&, const PlaneSize&, const T*, T*, int64_t);       \
    template void adaptive_avg_pool_grad<T>(const PlaneSize&, const PlaneSize&, const T*, T*, int64_t);
ADVCORE_POOLING(float)
ADVCORE_POOLING(double)

}  // namespace advcore

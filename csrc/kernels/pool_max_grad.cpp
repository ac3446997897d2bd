// Gradient of maximum pooling.
#include "pool_max.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// grad_input[indices[i]] += grad_output[i], in order. An index of -1 stands for a window without elements.
template <class T, class Index>
void scatter(const MaxPoolGradArgs<T>& args, const Index* indices, int64_t count, const T* grad_output, T* grad_input) {
    const uint64_t size = static_cast<uint64_t>(args.pool.rows.input * args.pool.cols.input);
    bool outside = false;
    for (int64_t i = 0; i < count; ++i) {
        const int64_t index = indices[i];
        if (static_cast<uint64_t>(index) < size)
            grad_input[index] += grad_output[i];
        else
            outside |= index != -1;
    }
    if (outside) __atomic_store_n(args.outside, true, __ATOMIC_RELAXED);
}

// The lower halves of indices; the upper ones, which must be zero, are added to `rest`.
template <class T>
ADVCORE_INLINE Mask<T> load_indices(const int64_t* from, int used, Mask<T>& rest) {
    int64_t part[lanes<T>] = {};
    if (used < lanes<T>)
        for (int i = 0; i < used; ++i) part[i] = from[i];
    const int64_t* const whole = used < lanes<T> ? part : from;
    if constexpr (sizeof(T) == 8) {
        return load(whole);
    } else {
        const auto words = load_neighbours(reinterpret_cast<const int32_t*>(whole));  // the lower half comes first
        rest |= odd_lanes<int32_t>(words);
        return even_lanes<int32_t>(words);
    }
}

// Windows of 2 x 2 side by side: every register of gradients becomes two registers of two rows, zero where the maximum
// is not. False where an index lies outside its window.
template <class T>
bool spread_over_windows(const MaxPoolGradArgs<T>& args, const int64_t* indices, const T* grad_output, T* grad_input) {
    constexpr int L = lanes<T>;
    const int64_t rows = args.pool.rows.output, cols = args.pool.cols.output, width = 2 * cols;
    const Mask<T> lane = lane_numbers<T>();
    const Int<T> below = static_cast<Int<T>>(width);
    Mask<T> misplaced{};
    for (int64_t y = 0; y < rows; ++y, indices += cols, grad_output += cols, grad_input += 2 * width)
        cover<T>(cols, [&](int64_t at, int used) {
            const Mask<T> index = load_indices<T>(indices + at, used, misplaced);
            const Mask<T> place = index - 2 * lane - static_cast<Int<T>>(2 * (y * width + at));
            const Mask<T> found = (place == 0) | (place == 1) | (place == below) | (place == below + 1);
            misplaced |= ~found & (lane < static_cast<Int<T>>(used));
            const Vec<T> grad = load_used(grad_output + at, used);
            const auto store_pairs = [&](Int<T> left, T* to) {
                const Vec<T> a = keep<T>(place == left, grad), b = keep<T>(place == left + 1, grad);
                store_used(to, interleave<T, 0>(a, b), static_cast<int>(smaller(L, 2 * used)));
                if (2 * used > L) store_used(to + L, interleave<T, 1>(a, b), 2 * used - L);
            };
            store_pairs(0, grad_input + 2 * at);
            store_pairs(below, grad_input + width + 2 * at);
        });
    for (int i = 0; i < L; ++i)
        if (misplaced[i] != 0) return false;
    return true;
}

// The gradient of one plane whose maxima are not given, row by buffered row.
template <class T, int Stride>
void max_pool_grad_rows(const MaxPoolGradArgs<T>& args, const BufferedRows& rows, int64_t plane,
                        const Scratch<T>& scratch, T* grad_input) {
    const int64_t cols = args.pool.cols.output, end = (plane + 1) * args.pool.rows.output;
    for (int64_t first = plane * args.pool.rows.output; first < end; first += rows.together) {
        const int64_t last = smaller(end, first + rows.together);
        maximum_of_group<T, Stride, Int<T>>(args.pool, rows, first, last, scratch.buffers, nullptr, scratch.indices);
        scatter(args, scratch.indices, (last - first) * cols, args.grad_output + first * cols, grad_input);
    }
}

template <class T>
void max_pool_grad_long_rows(const MaxPoolGradArgs<T>& args, int64_t plane, T* grad_input) {
    const int64_t rows = args.pool.rows.output, cols = args.pool.cols.output;
    for (int64_t row = plane * rows; row < (plane + 1) * rows; ++row)
        for (int64_t col = 0; col < cols; ++col) {
            int64_t index;
            maximum_of_long_row<T>(args.pool, row, col, col + 1, nullptr, &index);
            scatter(args, &index, 1, args.grad_output + row * cols + col, grad_input);
        }
}

template <class T, int Stride>
void max_pool_grad_planes(const MaxPoolGradArgs<T>& args, int64_t begin, int64_t end, const Scratch<T>& scratch) {
    const int64_t in_size = args.pool.rows.input * args.pool.cols.input;
    const int64_t out_size = args.pool.rows.output * args.pool.cols.output;
    const BufferedRows rows = rows_for_windows(args.pool.cols);
    if (!args.indices && args.pool.buffered) scratch.pad(rows);
    const auto side_by_side = [](const PoolAxis& axis) {
        return axis.kernel == 2 && axis.stride == 2 && axis.padding == 0 && axis.dilation == 1 &&
               axis.input == 2 * axis.output;
    };
    const bool few = in_size < int64_t{1} << 31;  // indices fit a lane of 32 bits
    const bool windows_of_2 = args.indices && few && side_by_side(args.pool.rows) && side_by_side(args.pool.cols);
    for (int64_t plane = begin; plane < end; ++plane) {
        T* const grad_input = args.grad_input + plane * in_size;
        if (windows_of_2 &&
            spread_over_windows(args, args.indices + plane * out_size, args.grad_output + plane * out_size, grad_input))
            continue;
        __builtin_memset(grad_input, 0, static_cast<uint64_t>(in_size) * sizeof(T));
        if (args.indices)
            scatter(args, args.indices + plane * out_size, out_size, args.grad_output + plane * out_size, grad_input);
        else if (args.pool.buffered)
            max_pool_grad_rows<T, Stride>(args, rows, plane, scratch, grad_input);
        else
            max_pool_grad_long_rows(args, plane, grad_input);
    }
}

}  // namespace

template <class T>
void max_pool_grad(const MaxPoolGradArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    if (args.pool.cols.stride == 1)
        max_pool_grad_planes<T, 1>(args, begin, end, Scratch<T>(scratch));
    else if (args.pool.cols.stride == 2)
        max_pool_grad_planes<T, 2>(args, begin, end, Scratch<T>(scratch));
    else
        max_pool_grad_planes<T, 0>(args, begin, end, Scratch<T>(scratch));
}

ADVCORE_INSTANTIATE(max_pool_grad, MaxPoolGradArgs)

}  // namespace advcore::ADVCORE_LEVEL

// Maximum pooling that says where the maximum was, and its gradient.
//
// torch's order decides between equals: of equal numbers the first in the window wins, of several NaN the last.
#include "kernel_list.h"
#include "pool.h"
#include "pool_rows.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// Indices without a sign: they may overflow in lanes that play no part.
template <class T>
struct UnsignedOf;
template <>
struct UnsignedOf<float> {
    typedef uint32_t type __attribute__((vector_size(vector_bytes)));
};
template <>
struct UnsignedOf<double> {
    typedef uint64_t type __attribute__((vector_size(vector_bytes)));
};
template <class T>
using Wrapping = typename UnsignedOf<T>::type;

// The row of a window that is in the padding.
template <class T>
constexpr Int<T> no_row = Int<T>((uint64_t{1} << (8 * sizeof(T) - 1)) - 1);

// One value a buffered column and the row of the window (0, 1, ...) it comes from.
template <class T>
struct RowBuffers {
    T* values;
    Int<T>* rows;
};

// Finds the maximum of each column over the rows of one window.
template <class T>
ADVCORE_INLINE void maximum_of_rows(const MaxPoolArgs<T>& args, const BufferedRows& rows, const T* plane,
                                    const Window& window, RowBuffers<T> to) {
    const int64_t step = args.rows.dilation * args.cols.input;
    cover<T>(rows.cols, [&](int64_t at, int used) {
        const T* from = plane + window.first * args.cols.input + at;
        Vec<T> value = Maximum<T>::nothing();
        Mask<T> row = Mask<T>{} + no_row<T>;
        for (int64_t k = 0; k < window.count; ++k, from += step) {
            const Vec<T> x = load_used(from, used);
            const Mask<T> better = (x > value) | (x != x) | (row == no_row<T>);
            value = select<T>(better, x, value);
            row = better ? Mask<T>{} + Int<T>(k) : row;
        }
        store_padded<T>(to.values + rows.left + at, value, used, T(-__builtin_inf()));
        store_padded<T>(to.rows + rows.left + at, row, used, no_row<T>);
    });
}

// Finds the maximum of each window along a buffered row; writes it (unless values is null) and its index in the plane.
template <class T, int Stride, class Index>
ADVCORE_INLINE void maximum_of_cols(const MaxPoolArgs<T>& args, const Window& window, RowBuffers<T> from, T* values,
                                    Index* indices) {
    const PoolAxis& cols = args.cols;
    const auto row_step = static_cast<Int<T>>(args.rows.dilation * cols.input);
    const auto col_step = static_cast<Int<T>>(cols.dilation);
    const auto stride = static_cast<Int<T>>(cols.stride);
    cover<T>(cols.output, [&](int64_t at, int used) {
        const T* from_value = from.values + at * cols.stride;
        const Int<T>* from_row = from.rows + at * cols.stride;
        Vec<T> value = load_strided<Stride>(from_value, cols.stride, used);
        Mask<T> row = load_strided<Stride>(from_row, cols.stride, used), col{};
        for (int64_t k = 1; k < cols.kernel; ++k) {
            from_value += cols.dilation;
            from_row += cols.dilation;
            const Vec<T> x = load_strided<Stride>(from_value, cols.stride, used);
            const Mask<T> x_row = load_strided<Stride>(from_row, cols.stride, used);
            const Mask<T> better =
                (x > value) | ((x == value) & (x_row < row)) | ((x != x) & ((value == value) | (x_row >= row)));
            value = select<T>(better, x, value);
            row = better ? x_row : row;
            col = better ? Mask<T>{} + Int<T>(k) : col;
        }
        if (values) store_used(values + at, value, used);
        const auto origin = static_cast<Int<T>>(window.first * cols.input + at * cols.stride - cols.padding);
        const auto times = [](Mask<T> count, Int<T> step) {
            return reinterpret_cast<Wrapping<T>>(count) * reinterpret_cast<Wrapping<T>>(Mask<T>{} + step);
        };
        const auto place = times(row, row_step) + times(col, col_step) + times(lane_numbers<T>(), stride) +
                           reinterpret_cast<Wrapping<T>>(Mask<T>{} + origin);
        const Mask<T> index = row == no_row<T> ? Mask<T>{} - 1 : reinterpret_cast<Mask<T>>(place);
        Int<T> lane[lanes<T>];
        store(lane, index);
        if (used == lanes<T>)
            for (int i = 0; i < lanes<T>; ++i) indices[at + i] = lane[i];
        else
            for (int i = 0; i < used; ++i) indices[at + i] = lane[i];
    });
}

// Finds the maxima of the output rows [first, last), no more than are buffered together.
template <class T, int Stride, class Index>
void maximum_of_group(const MaxPoolArgs<T> args, const BufferedRows rows, int64_t first, int64_t last,
                      RowBuffers<T> buffers, T* values, Index* indices) {
    const int64_t plane_size = args.rows.input * args.cols.input;
    const auto window = [&](int64_t row) { return args.rows.windows[row % args.rows.output]; };
    const auto buffer = [&](int64_t row) {
        const int64_t offset = (row - first) * rows.pitch;
        return RowBuffers<T>{buffers.values + offset, buffers.rows + offset};
    };
    for (int64_t row = first; row < last; ++row)
        maximum_of_rows(args, rows, args.input + row / args.rows.output * plane_size, window(row), buffer(row));
    for (int64_t row = first; row < last; ++row) {
        const int64_t to = (row - first) * args.cols.output;
        maximum_of_cols<T, Stride>(args, window(row), buffer(row), values ? values + to : nullptr, indices + to);
    }
}

// Finds the maxima [first, last) of one output row, straight from the plane: for rows too long for the buffers.
template <class T>
void maximum_of_long_row(const MaxPoolArgs<T>& args, int64_t row, int64_t first, int64_t last, T* values,
                         int64_t* indices) {
    const T* const plane = args.input + row / args.rows.output * args.rows.input * args.cols.input;
    const Window down = args.rows.windows[row % args.rows.output];
    for (int64_t col = first; col < last; ++col) {
        const Window across = args.cols.windows[col];
        T value = T(-__builtin_inf());
        int64_t index = -1;
        for (int64_t i = 0; i < down.count; ++i)
            for (int64_t j = 0; j < across.count; ++j) {
                const int64_t y = down.first + i * args.rows.dilation, x = across.first + j * args.cols.dilation;
                const T candidate = plane[y * args.cols.input + x];
                if (index >= 0 && !(candidate > value) && candidate == candidate) continue;
                value = candidate;
                index = y * args.cols.input + x;
            }
        if (values) values[col - first] = value;
        if (indices) indices[col - first] = index;
    }
}

// A thread's scratch memory: the buffered rows, and the indices of what they give.
template <class T>
struct Scratch {
    RowBuffers<T> buffers;
    Int<T>* indices;
    explicit Scratch(void* scratch) {
        constexpr int64_t size = longest_pool_row + 4 * lanes<T>;  // registers may reach beyond the last row
        static_assert(3 * size * int64_t(sizeof(T)) <= scratch_bytes);
        buffers.values = static_cast<T*>(scratch);
        buffers.rows = reinterpret_cast<Int<T>*>(buffers.values + size);
        indices = buffers.rows + size;
    }
    void pad(const BufferedRows& rows) const {
        pad_rows(rows, T(-__builtin_inf()), buffers.values);
        pad_rows(rows, no_row<T>, buffers.rows);
    }
};

template <class T, int Stride>
void max_pool_rows(const MaxPoolArgs<T>& args, int64_t begin, int64_t end, const Scratch<T>& scratch) {
    const BufferedRows rows = rows_for_windows(args.cols);
    scratch.pad(rows);
    for (int64_t first = begin; first < end; first += rows.together) {
        const int64_t to = first * args.cols.output;
        maximum_of_group<T, Stride>(args, rows, first, smaller(end, first + rows.together), scratch.buffers,
                                    args.output + to, args.indices + to);
    }
}

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
void max_pool(const MaxPoolArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    if (!args.buffered) {
        for (int64_t row = begin; row < end; ++row) {
            const int64_t to = row * args.cols.output;
            maximum_of_long_row<T>(args, row, 0, args.cols.output, args.output + to,
                                   args.indices ? args.indices + to : nullptr);
        }
    } else if (args.cols.stride == 1) {
        max_pool_rows<T, 1>(args, begin, end, Scratch<T>(scratch));
    } else if (args.cols.stride == 2) {
        max_pool_rows<T, 2>(args, begin, end, Scratch<T>(scratch));
    } else {
        max_pool_rows<T, 0>(args, begin, end, Scratch<T>(scratch));
    }
}

template <class T>
void max_pool_grad(const MaxPoolGradArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    if (args.pool.cols.stride == 1)
        max_pool_grad_planes<T, 1>(args, begin, end, Scratch<T>(scratch));
    else if (args.pool.cols.stride == 2)
        max_pool_grad_planes<T, 2>(args, begin, end, Scratch<T>(scratch));
    else
        max_pool_grad_planes<T, 0>(args, begin, end, Scratch<T>(scratch));
}

ADVCORE_INSTANTIATE(max_pool, MaxPoolArgs)
ADVCORE_INSTANTIATE(max_pool_grad, MaxPoolGradArgs)

}  // namespace advcore::ADVCORE_LEVEL

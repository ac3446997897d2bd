// Means over windows of any size and place: adaptive pooling, its gradient, and rows too long for the buffers of the
// other pooling kernels.
#include "kernel_list.h"
#include "pool.h"
#include "pool_rows.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// sums[j] = the sum of column first + j over the rows of a window, for j < count.
template <class T>
ADVCORE_INLINE void sum_rows(const WindowMeanArgs<T>& args, const T* plane, const Window& window, int64_t first,
                             int64_t count, T* sums) {
    const T* const from = plane + window.first * args.in_cols + first;
    cover<T>(count, [&](int64_t at, int used) {
        Vec<T> sum = reduce<T, Sum<T>, 0>(window.count, [=](int64_t k) {
            const Vec<T> x = load_used(from + k * args.in_cols + at, used);
            return args.divide_terms ? x / args.row_divisor[window.first + k] : x;
        });
        if (args.divide_terms) sum /= load_used(args.col_divisor + first + at, used);
        store(sums + at, sum);
    });
}

template <class T>
T sum_between(const T* from, int64_t count) {
    T sum = 0;
    for (int64_t first = 0; first < count; first += block_terms) {
        T block = 0;
        for (int64_t i = first; i < smaller(count, first + block_terms); ++i) block += from[i];
        sum += block;
    }
    return sum;
}

template <class T>
void mean_row(const WindowMeanArgs<T>& args, int64_t row, T* sums) {
    const T* const plane = args.in + row / args.out_rows * args.in_rows * args.in_cols;
    T* const out = args.out + row * args.out_cols;
    const int64_t y = row % args.out_rows;
    const auto end_of = [&](int64_t col) { return args.cols[col].first + args.cols[col].count; };
    for (int64_t first = 0, last; first < args.out_cols; first = last) {
        // As many windows as fit in the buffer together; one alone may need several pieces.
        const int64_t from = args.cols[first].first;
        for (last = first + 1; last < args.out_cols && end_of(last) - from <= longest_pool_row;) ++last;
        for (int64_t col = first; col < last; ++col) out[col] = T(0);
        for (int64_t piece = from; piece < end_of(last - 1); piece += longest_pool_row) {
            const int64_t piece_end = smaller(end_of(last - 1), piece + longest_pool_row);
            sum_rows(args, plane, args.rows[y], piece, piece_end - piece, sums);
            for (int64_t col = first; col < last; ++col) {
                const int64_t begin = larger(piece, args.cols[col].first), end = smaller(piece_end, end_of(col));
                out[col] += sum_between(sums + begin - piece, end - begin);
            }
        }
        if (args.divide_terms) continue;
        for (int64_t col = first; col < last; ++col) out[col] /= args.row_divisor[y] * args.col_divisor[col];
    }
}

}  // namespace

template <class T>
void window_mean(const WindowMeanArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    for (int64_t row = begin; row < end; ++row) mean_row(args, row, static_cast<T*>(scratch));
}

ADVCORE_INSTANTIATE(window_mean, WindowMeanArgs)

}  // namespace advcore::ADVCORE_LEVEL

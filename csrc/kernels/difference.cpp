// Products of differences with weights: panels of six rows, over the terms that are not zero.
#include "difference.h"

#include "kernel_list.h"
#include "pack.h"
#include "tile.h"
#include "vec.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int R = difference_rows;
constexpr int most_vectors = vector_registers >= 32 ? 4 : 2;

// Vectors columns of registers from column `col` on, of one panel.
template <class T, int Vectors>
ADVCORE_INLINE void multiply(const DifferenceProductArgs<T>& args, int64_t panel, int64_t col) {
    constexpr int64_t block = difference_columns<T>;
    const int64_t* const out_offset = args.out_offset + panel * R;
    const T* row[R];
    for (int r = 0; r < R; ++r) row[r] = args.in + args.in_offset[panel * R + r];
    const T* weight[Vectors];
    for (int v = 0; v < Vectors; ++v) {
        const int64_t c = col + v * lanes<T>;
        weight[v] = args.weight + c / block * block * args.depth + c % block;
    }
    const int32_t* const terms = args.terms + panel * block_depth;
    const int64_t count = args.counts[panel];
    Vec<T> sum[R][Vectors] = {};
    for (int64_t i = 0; i < count; ++i) {
        const int64_t k = terms[i];
        Vec<T> w[Vectors];
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) w[v] = load(weight[v] + k * block);
#pragma GCC unroll 6
        for (int r = 0; r < R; ++r) {
            const Vec<T> x = splat(row[r][k]);
#pragma GCC unroll 4
            for (int v = 0; v < Vectors; ++v) sum[r][v] = fma<T>(x, w[v], sum[r][v]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
        T* const to = args.out + out_offset[r] + col;
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) store(to + v * lanes<T>, load(to + v * lanes<T>) + sum[r][v]);
    }
}

// The columns from `col` on that Vectors registers hold, as often as they fit: those weights stay in the cache while
// all panels use them.
template <class T, int Vectors>
ADVCORE_INLINE int64_t multiply_columns(const DifferenceProductArgs<T>& args, int64_t begin, int64_t end, int64_t col) {
    for (; col + Vectors * lanes<T> <= args.cols; col += Vectors * lanes<T>)
        for (int64_t panel = begin; panel < end; ++panel) {
            bool used = args.counts[panel] > 0;
            if (used) {
                used = false;
                for (int r = 0; r < R; ++r) used |= args.out_offset[panel * R + r] != args.unused;
            }
            if (used) multiply<T, Vectors>(args, panel, col);
        }
    return col;
}

}  // namespace

template <class T>
void difference_terms(const DifferenceTermsArgs<T>& args, int64_t begin, int64_t end, void*) {
    constexpr int L = lanes<T>;
    for (int64_t panel = begin; panel < end; ++panel) {
        const int64_t* const offset = args.in_offset + panel * R;
        int32_t* const terms = args.terms + panel * block_depth;
        int32_t count = 0;
        for (int64_t k = args.first; k < args.last; k += L) {
            const int used = static_cast<int>(smaller(L, args.last - k));
            Mask<T> any{};
            for (int r = 0; r < R; ++r) {
                const T* const from = args.in + offset[r] + k;
                any |= (used == L ? load(from) : load_part(from, used)) != T(0);
            }
            Int<T> lane[L];
            __builtin_memcpy(lane, &any, sizeof any);
            for (int i = 0; i < used; ++i) {
                terms[count] = static_cast<int32_t>(k) + i;
                count += lane[i] != 0;
            }
        }
        args.counts[panel] = count;
    }
}

template <class T>
void difference_product(const DifferenceProductArgs<T>& args, int64_t begin, int64_t end, void*) {
    int64_t col = 0;
    if constexpr (most_vectors == 4) col = multiply_columns<T, 4>(args, begin, end, col);
    col = multiply_columns<T, 2>(args, begin, end, col);
    multiply_columns<T, 1>(args, begin, end, col);
}

template <class T>
void difference_depthwise(const DifferenceDepthwiseArgs<T>& args, int64_t begin, int64_t end, void*) {
    for (int64_t probe = begin; probe < end; ++probe) {
        const DifferenceWindow in = args.in_windows[probe], out = args.out_windows[probe];
        const T* const from = args.in + probe * args.in_size;
        T* const to = args.out + probe * args.out_size;
        for (int64_t row = 0; row < out.rows; ++row)
            for (int64_t col = 0; col < out.cols; ++col)
                for (int64_t y = 0; y < args.rows.kernel; ++y)
                    for (int64_t x = 0; x < args.cols.kernel; ++x) {
                        const int64_t at_row =
                            (out.row + row) * args.rows.stride - args.rows.padding + y * args.rows.dilation - in.row;
                        const int64_t at_col =
                            (out.col + col) * args.cols.stride - args.cols.padding + x * args.cols.dilation - in.col;
                        if (at_row < 0 || at_row >= in.rows || at_col < 0 || at_col >= in.cols) continue;
                        const T* const d = from + (at_row * in.cols + at_col) * args.pitch;
                        const T* const w = args.weight + (y * args.cols.kernel + x) * args.pitch;
                        T* const sum = to + (row * out.cols + col) * args.pitch;
                        for (int64_t c = 0; c < args.pitch; c += lanes<T>)
                            store(sum + c, fma<T>(load(d + c), load(w + c), load(sum + c)));
                    }
    }
}

ADVCORE_INSTANTIATE(difference_terms, DifferenceTermsArgs)
ADVCORE_INSTANTIATE(difference_product, DifferenceProductArgs)
ADVCORE_INSTANTIATE(difference_depthwise, DifferenceDepthwiseArgs)

}  // namespace advcore::ADVCORE_LEVEL

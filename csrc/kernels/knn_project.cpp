#include "kernel_list.h"
#include "knn_exact.h"
#include "product.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

template <class T>
struct ProjectScratch {
    T product[product_scratch<T>];
    T strip[max_panel_rows * block_depth];
};
static_assert(sizeof(ProjectScratch<float>) <= scratch_bytes && sizeof(ProjectScratch<double>) <= scratch_bytes);

// The left factor: rows less the centre. The centre is taken off first, or points far from the origin would lose
// digits.
template <class T>
struct CenteredRows {
    const T *rows, *center;
    int64_t dimensions;
    T* strip;

    const T* operator()(int64_t row, int64_t count, int64_t k, int64_t depth, T* buffer) const {
        constexpr int L = lanes<T>;
        for (int64_t i = 0; i < count; ++i) {
            const T* const from = rows + (row + i) * dimensions + k;
            T* const to = strip + i * block_depth;
            int64_t j = 0;
            for (; j + L <= depth; j += L) store(to + j, load(from + j) - load(center + k + j));
            for (; j < depth; ++j) to[j] = from[j] - center[k + j];
        }
        pack_strip(strip, block_depth, 1, count, count, depth, buffer);
        return buffer;
    }
};

}  // namespace

template <class T>
void knn_project(const KnnProjectArgs<T>& args, int64_t begin, int64_t end, void* scratch_memory) {
    constexpr int64_t group = 4;
    ProjectScratch<T>& scratch = *static_cast<ProjectScratch<T>*>(scratch_memory);
    const int64_t d = args.dimensions, m = args.components, width = m + 1;
    const double unit = sizeof(T) == 4 ? 0x1p-24 : 0x1p-53;
    const double terms = static_cast<double>(smaller(d, block_depth) + ceil_div(d, block_depth) + 4);
    const double spread = __builtin_sqrt(static_cast<double>(m)) * terms * unit + args.skew + 2 * unit;
    for (int64_t item = begin; item < end; ++item) {
        const int64_t first = item * knn_project_rows, rows = smaller(knn_project_rows, args.count - first);
        T* const features = args.features + first * width;
        const T* const from = args.rows + first * d;
        for (int64_t col = 0; col < m; col += tile_cols<T>)
            product<T>(rows, smaller(tile_cols<T>, m - col), d, CenteredRows<T>{from, args.center, d, scratch.strip},
                       RightMatrix<T>{args.basis + col, m, 1}, features + col, width, false, {}, scratch.product);
        for (int64_t i = 0; i < rows; i += group) {
            const T* points[group];
            double squared[group];
            for (int64_t j = 0; j < group; ++j) points[j] = from + smaller(i + j, rows - 1) * d;
            squared_distances<T, group>(args.center, points, d, squared);
            for (int64_t j = 0; j < smaller(group, rows - i); ++j) {
                T* const row = features + (i + j) * width;
                double covered = 0;
                for (int64_t c = 0; c < m; ++c) covered += static_cast<double>(row[c]) * static_cast<double>(row[c]);
                const double rest = squared[j] > covered ? __builtin_sqrt(squared[j] - covered) : 0;
                row[m] = static_cast<T>(rest);
                // The coordinates are off by `of_row` at most, the square of what they leave by `of_rest`.
                const double length = __builtin_sqrt(squared[j]), of_row = spread * length;
                const double of_rest = 2 * of_row * length + of_row * of_row + 4 * unit * squared[j];
                const double root = __builtin_sqrt(of_rest);
                const double rest_error = root * rest > of_rest ? of_rest / rest : root;
                args.error[first + i + j] = 1.001 * (of_row + rest_error) + 2 * unit * length;
            }
        }
    }
}

ADVCORE_INSTANTIATE(knn_project, KnnProjectArgs)

}  // namespace advcore::ADVCORE_LEVEL

#include "kernel_list.h"
#include "knn_exact.h"

namespace advcore::ADVCORE_LEVEL {

template <class T>
void knn_center(const KnnCenterArgs<T>& args, int64_t begin, int64_t end, void*) {
    constexpr int64_t L = lanes<T>, group = 4;
    const Vec<T> weight = splat(static_cast<T>(1.0 / static_cast<double>(args.samples)));
    for (int64_t item = begin; item < end; ++item) {
        const int64_t first = item * knn_stretch, last = smaller(args.dimensions, first + knn_stretch);
        for (int64_t k = first; k < last; k += L) {
            const int count = static_cast<int>(smaller(L, last - k));
            Vec<T> center = {};
            for (int64_t i = 0; i < args.samples; ++i) {
                const T* const from = args.rows + i * args.row_stride + k;
                center += (count == L ? load(from) : load_part(from, count)) * weight;
            }
            store_part(args.center + k, center, count);
        }
        for (int64_t i = 0; i < args.samples; i += group) {
            const T* rows[group];
            double squared[group];
            for (int64_t j = 0; j < group; ++j)
                rows[j] = args.rows + smaller(i + j, args.samples - 1) * args.row_stride + first;
            squared_distances<T, group>(args.center + first, rows, last - first, squared);
            for (int64_t j = 0; j < smaller(group, args.samples - i); ++j)
                args.squared[item * args.samples + i + j] = squared[j];
        }
    }
}

ADVCORE_INSTANTIATE(knn_center, KnnCenterArgs)

}  // namespace advcore::ADVCORE_LEVEL

// k nearest neighbours and the dimension that they tell.
#include <algorithm>
#include <memory>

#include "arrays.h"

namespace advcore {
namespace {

constexpr int64_t points_per_part = 256;  // the least that is worth an item of its own

template <class T>
void knn(Array<T> distances, Array<int64_t> indices, const Array<T>& queries, const Array<T>& reference,
         const MaybeArray<int64_t>& exclude) {
    KnnArgs<T> args{};
    KnnMergeArgs<T> merge{};
    args.queries = queries.data(), args.reference = reference.data(), args.exclude = data_or_null(exclude);
    args.query_count = merge.query_count = extent(queries, 0);
    args.reference_count = extent(reference, 0), args.dimensions = extent(queries, 1);
    merge.distance = distances.mutable_data(), merge.index = indices.mutable_data(), merge.k = extent(indices, 1);
    if (args.query_count == 0) return;

    // Few queries share the reference out over the threads; the result does not depend on how.
    const int64_t threads = get_num_threads();
    args.query_tiles = ceil_div(args.query_count, knn_queries_per_tile<T>);
    int64_t parts = 1;
    if (threads > 1 && args.query_tiles < 8 * threads) {
        const int64_t most = std::min(knn_most_parts, args.reference_count / points_per_part) / threads * threads;
        parts = std::clamp<int64_t>(threads * ceil_div(2, args.query_tiles), 1, std::max<int64_t>(most, 1));
    }
    if (parts * args.query_tiles < threads) args.query_tiles = std::min(args.query_count, threads);
    args.reference_per_part = ceil_div(args.reference_count, parts);
    args.parts = merge.parts = ceil_div(args.reference_count, args.reference_per_part);
    args.list_size = merge.list_size = std::min(merge.k, args.reference_per_part);

    std::unique_ptr<T[]> list_distance;
    std::unique_ptr<int64_t[]> list_index;
    if (args.parts == 1) {
        args.list_distance = merge.distance, args.list_index = merge.index;
    } else {
        const size_t entries = static_cast<size_t>(args.parts * args.query_count * args.list_size);
        list_distance.reset(new T[entries]), list_index.reset(new int64_t[entries]);
        args.list_distance = list_distance.get(), args.list_index = list_index.get();
    }
    merge.list_distance = args.list_distance, merge.list_index = args.list_index;
    const py::gil_scoped_release unlocked;
    run(narrow_kernels<T>().knn, args, args.query_tiles * args.parts);
    run(kernels<T>().knn_merge, merge, merge.query_count, 64);
}

template <class T>
void lid(Array<T> out, const Array<T>& distances) {
    LidArgs<T> args{};
    args.distance = distances.data(), args.lid = out.mutable_data(), args.k = extent(distances, 1);
    const py::gil_scoped_release unlocked;
    run(kernels<T>().lid, args, extent(distances, 0), 64);
}

template <class T>
void bind(py::module_& m) {
    m.def("knn", &knn<T>, py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(),
          py::arg().noconvert());
    m.def("lid", &lid<T>, py::arg().noconvert(), py::arg().noconvert());
}

}  // namespace

void bind_neighbors(py::module_& m) {
    bind<float>(m);
    bind<double>(m);
}

}  // namespace advcore

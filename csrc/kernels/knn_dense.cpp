// Every pair is measured. The reference is taken in tiles, and what is near enough goes into the queries' lists at
// once: nothing grows with queries x reference.
#include "kernel_list.h"
#include "knn_exact.h"
#include "knn_select.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int64_t queries_per_tile = knn_dense_queries, points_per_tile = 128;
constexpr int64_t most_packed = 256;  // dimensions: of more, registers that hold terms are as good
constexpr int panel_vectors = 2;
constexpr int panel_points = panel_vectors * lanes<double>;

struct DenseScratch {
    double queries[queries_per_tile * most_packed];
    double points[points_per_tile * most_packed];
    double squared[queries_per_tile * points_per_tile];
    double row[panel_points * most_packed];
};
static_assert(sizeof(DenseScratch) <= scratch_bytes);

template <class T>
void widen(const T* from, int64_t count, double* to) {
    for (int64_t i = 0; i < count; ++i) to[i] = static_cast<double>(from[i]);
}

template <class T>
void pack_points(const T* from, int64_t dimensions, int64_t points, DenseScratch& scratch) {
    for (int64_t first = 0; first < points; first += panel_points) {
        const int64_t used = smaller(panel_points, points - first);
        widen(from + first * dimensions, used * dimensions, scratch.row);
        pack_transposed<double>(scratch.row, dimensions, used, panel_points, dimensions,
                                scratch.points + first * dimensions);
    }
}

void measure_packed(int64_t queries, int64_t points, int64_t dimensions, DenseScratch& scratch) {
    for (int64_t first = 0; first < points; first += panel_points) {
        const double* const panel = scratch.points + first * dimensions;
        int64_t query = 0;
        for (; query + 2 <= queries; query += 2)
            SquaresOfPanel<2, panel_vectors>{scratch.queries + query * dimensions, panel, dimensions, panel_points}
                .measure(scratch.squared + query * points_per_tile + first, points_per_tile);
        if (query < queries)
            SquaresOfPanel<1, panel_vectors>{scratch.queries + query * dimensions, panel, dimensions, panel_points}
                .measure(scratch.squared + query * points_per_tile + first, points_per_tile);
    }
}

template <class T>
void measure_rows(const T* queries, int64_t count, const T* points, int64_t point_count, int64_t dimensions,
                  double* squared) {
    for (int64_t first = 0; first < point_count; first += 4) {
        const T* group[4];
        for (int64_t i = 0; i < 4; ++i) group[i] = points + smaller(first + i, point_count - 1) * dimensions;
        for (int64_t query = 0; query < count; ++query)
            squared_distances<T, 4>(queries + query * dimensions, group, dimensions,
                                    squared + query * points_per_tile + first);
    }
}

}  // namespace

template <class T>
void knn_dense(const KnnDenseArgs<T>& args, int64_t begin, int64_t end, void* scratch_memory) {
    DenseScratch& scratch = *static_cast<DenseScratch*>(scratch_memory);
    const int64_t d = args.dimensions;
    const bool packed = d <= most_packed;
    for (int64_t item = begin; item < end; ++item) {
        const int64_t tile = item % args.query_tiles, part = item / args.query_tiles;
        const int64_t first_query = tile * args.query_count / args.query_tiles;
        const int64_t queries = (tile + 1) * args.query_count / args.query_tiles - first_query;
        const auto nearest = [&](int64_t query) {
            return Nearest::of(args.lists, part * args.query_count + first_query + query);
        };
        for (int64_t query = 0; query < queries; ++query) nearest(query).clear();
        const T* const rows = args.queries + first_query * d;
        if (packed) widen(rows, queries * d, scratch.queries);
        const int64_t last = smaller(args.reference_count, (part + 1) * args.reference_per_part);
        for (int64_t first = part * args.reference_per_part; first < last; first += points_per_tile) {
            const int64_t points = smaller(points_per_tile, last - first);
            if (packed) {
                pack_points(args.reference + first * d, d, points, scratch);
                measure_packed(queries, points, d, scratch);
            } else {
                measure_rows(rows, queries, args.reference + first * d, points, d, scratch.squared);
            }
            const bool fill = first == part * args.reference_per_part && points >= args.lists.size &&
                              args.lists.size <= Nearest::short_heap;
            for (int64_t query = 0; query < queries; ++query) {
                const double* const row = scratch.squared + query * points_per_tile;
                const int64_t exclude = args.exclude ? args.exclude[first_query + query] : -1;
                if (fill)
                    fill_list(nearest(query), row, points, first, exclude);
                else
                    offer_row(nearest(query), row, points, first, exclude);
            }
        }
        for (int64_t query = 0; query < queries; ++query) nearest(query).sort();
    }
}

template <class T>
void knn_merge(const KnnMergeArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    int64_t* const next = static_cast<int64_t*>(scratch);  // of each part, where its list is read
    static_assert(knn_most_parts * sizeof(int64_t) <= scratch_bytes);
    const int64_t size = args.lists.size;
    for (int64_t query = begin; query < end; ++query) {
        for (int64_t part = 0; part < args.parts; ++part) next[part] = (part * args.query_count + query) * size;
        for (int64_t rank = 0; rank < args.k; ++rank) {
            int64_t best = 0;
            double squared = __builtin_inf();
            int64_t index = INT64_MAX;
            for (int64_t part = 0; part < args.parts; ++part) {
                const int64_t at = next[part], list_end = (part * args.query_count + query + 1) * size;
                if (at == list_end || !nearer(args.lists.squared[at], args.lists.index[at], squared, index)) continue;
                best = part, squared = args.lists.squared[at], index = args.lists.index[at];
            }
            ++next[best];
            args.distance[query * args.k + rank] = static_cast<T>(__builtin_sqrt(squared));
            args.index[query * args.k + rank] = index;
        }
    }
}

ADVCORE_INSTANTIATE(knn_dense, KnnDenseArgs)
ADVCORE_INSTANTIATE(knn_merge, KnnMergeArgs)

}  // namespace advcore::ADVCORE_LEVEL

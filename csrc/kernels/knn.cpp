// The reference is taken in tiles: a tile is packed once, measured against all queries of the item, and what is near
// enough goes into their heaps at once. Nothing grows with queries x reference.
#include "knn.h"

#include "kernel_list.h"
#include "knn_panels.h"
#include "knn_select.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// Sized to stay in a second-level cache.
template <class T>
struct KnnScratch {
    T queries[knn_block * knn_queries_per_tile<T>];
    T reference[knn_block * knn_points_per_tile<T>];
    T squared[knn_queries_per_tile<T> * knn_points_per_tile<T>];
};
static_assert(sizeof(KnnScratch<float>) <= scratch_bytes && sizeof(KnnScratch<double>) <= scratch_bytes);

// Queries are dealt evenly to panels: 13 make 7 and 6, not 12 and 1.
struct QueryPanels {
    int64_t queries, count;
    explicit QueryPanels(int64_t queries_) : queries(queries_), count(ceil_div(queries_, knn_panel_rows)) {}
    int64_t begin(int64_t panel) const { return panel * (queries / count) + smaller(panel, queries % count); }
};

// The last panel of points may be half as wide, so that a few points do not cost as much as a whole panel.
template <class T>
ADVCORE_INLINE int vectors_of(int64_t points) {
    return points > lanes<T> ? 2 : 1;
}

template <class T>
void pack_queries(const T* from, int64_t dimensions, int64_t queries, int64_t terms, T* packed) {
    const QueryPanels panels(queries);
    for (int64_t panel = 0; panel < panels.count; ++panel) {
        const int64_t row = panels.begin(panel), rows = panels.begin(panel + 1) - row;
        pack_transposed(from + row * dimensions, dimensions, rows, rows, terms, packed + row * terms);
    }
}

template <class T>
void pack_points(const T* from, int64_t dimensions, int64_t points, int64_t terms, T* packed) {
    for (int64_t col = 0; col < points; col += knn_panel_cols<T>) {
        const int64_t width = vectors_of<T>(points - col) * lanes<T>;
        pack_transposed(from + col * dimensions, dimensions, smaller(width, points - col), width, terms,
                        packed + col * terms);
    }
}

// Some points and some of their dimensions: what is packed and measured at a time.
struct Block {
    int64_t point, points, k, terms;
};

// The points [begin, end), in tiles, each in blocks of dimensions.
template <class T>
struct Blocks {
    int64_t end, dimensions;

    Block at(int64_t point, int64_t k) const {
        return {point, smaller(knn_points_per_tile<T>, end - point), k, smaller(knn_block, dimensions - k)};
    }
    Block after(const Block& block) const {
        const int64_t k = block.k + knn_block;
        return k < dimensions ? at(block.point, k) : at(block.point + knn_points_per_tile<T>, 0);
    }
    bool completes_tile(const Block& block) const { return block.k + block.terms >= dimensions; }
};

// Adds the squared differences of the packed block to `squared`, and fetches the next one meanwhile: its rows are too
// short for the hardware to see them coming.
template <class T>
void add_block(const KnnArgs<T>& args, int64_t queries, const Block& block, const Block& next, KnnScratch<T>& scratch) {
    constexpr int64_t elements_per_line = 64 / static_cast<int64_t>(sizeof(T));
    const QueryPanels panels(queries);
    const int64_t steps = panels.count * ceil_div(block.points, knn_panel_cols<T>);
    const int64_t rows_per_step = ceil_div(next.points, steps);
    int64_t fetched = 0;
    for (int64_t col = 0; col < block.points; col += knn_panel_cols<T>)
        for (int64_t panel = 0; panel < panels.count; ++panel) {
            for (int64_t last = smaller(next.points, fetched + rows_per_step); fetched < last; ++fetched) {
                const T* const from = args.reference + (next.point + fetched) * args.dimensions + next.k;
                for (int64_t i = 0; i < next.terms; i += elements_per_line) __builtin_prefetch(from + i, 0, 2);
            }
            const int64_t row = panels.begin(panel);
            add_squares_any<T>(
                static_cast<int>(panels.begin(panel + 1) - row), vectors_of<T>(block.points - col),
                {block.terms, scratch.queries + row * block.terms, scratch.reference + col * block.terms,
                 scratch.squared + row * knn_points_per_tile<T> + col, knn_points_per_tile<T>, block.k > 0});
        }
}

}  // namespace

template <class T>
void knn(const KnnArgs<T>& args, int64_t begin, int64_t end, void* scratch_memory) {
    KnnScratch<T>& scratch = *static_cast<KnnScratch<T>*>(scratch_memory);
    for (int64_t item = begin; item < end; ++item) {
        const int64_t tile = item % args.query_tiles, part = item / args.query_tiles;
        const int64_t first_query = tile * args.query_count / args.query_tiles;
        const int64_t queries = (tile + 1) * args.query_count / args.query_tiles - first_query;
        const auto nearest = [&](int64_t query) {
            const int64_t at = (part * args.query_count + first_query + query) * args.list_size;
            return Nearest<T>{args.list_distance + at, args.list_index + at, args.list_size};
        };
        for (int64_t query = 0; query < queries; ++query) nearest(query).clear();
        const int64_t last = smaller(args.reference_count, (part + 1) * args.reference_per_part);
        const T* const query_rows = args.queries + first_query * args.dimensions;
        const Blocks<T> blocks{last, args.dimensions};
        const Block first = blocks.at(part * args.reference_per_part, 0);
        Block next;
        for (Block block = first; block.points > 0; block = next) {
            next = blocks.after(block);
            if (block.point == first.point || args.dimensions > knn_block)
                pack_queries(query_rows + block.k, args.dimensions, queries, block.terms, scratch.queries);
            pack_points(args.reference + block.point * args.dimensions + block.k, args.dimensions, block.points,
                        block.terms, scratch.reference);
            add_block(args, queries, block, next, scratch);
            if (!blocks.completes_tile(block)) continue;
            for (int64_t query = 0; query < queries; ++query)
                offer_row(nearest(query), scratch.squared + query * knn_points_per_tile<T>, block.points, block.point,
                          args.exclude ? args.exclude[first_query + query] : -1);
        }
        for (int64_t query = 0; query < queries; ++query) nearest(query).sort();
    }
}

template <class T>
void knn_merge(const KnnMergeArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    int64_t* const next = static_cast<int64_t*>(scratch);  // of each part, where its list is read
    static_assert(knn_most_parts * sizeof(int64_t) <= scratch_bytes);
    for (int64_t query = begin; query < end; ++query) {
        for (int64_t part = 0; part < args.parts; ++part)
            next[part] = (part * args.query_count + query) * args.list_size;
        for (int64_t rank = 0; rank < args.k; ++rank) {
            int64_t best = 0;
            T distance = static_cast<T>(__builtin_inf());
            int64_t index = INT64_MAX;
            for (int64_t part = 0; part < args.parts; ++part) {
                const int64_t at = next[part], list_end = (part * args.query_count + query + 1) * args.list_size;
                if (at == list_end || !nearer(args.list_distance[at], args.list_index[at], distance, index)) continue;
                best = part, distance = args.list_distance[at], index = args.list_index[at];
            }
            ++next[best];
            args.distance[query * args.k + rank] = static_cast<T>(__builtin_sqrt(distance));
            args.index[query * args.k + rank] = index;
        }
    }
}

ADVCORE_INSTANTIATE(knn, KnnArgs)
ADVCORE_INSTANTIATE(knn_merge, KnnMergeArgs)

}  // namespace advcore::ADVCORE_LEVEL

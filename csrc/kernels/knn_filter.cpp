#include "kernel_list.h"
#include "knn_candidates.h"
#include "knn_panels.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int64_t block_pairs = 512;  // of longer images, that a panel of points stays in the first-level cache
constexpr int64_t tile_points = 256, tile_queries = knn_tile_queries;

struct FilterScratch {
    int32_t sums[tile_queries * tile_points];
    int32_t hit[knn_panel_queries * knn_panel_points];
};
static_assert(sizeof(FilterScratch) <= scratch_bytes);

// One tile of queries: the panels [first, last).
template <class T>
struct Tile {
    const KnnFilterArgs<T>& args;
    int64_t part, first_panel, last_panel;
    FilterScratch& scratch;
    KnnQueryPanels dealt{args.query_count};
    int64_t pairs = ceil_div(args.image_dimensions, 2);

    // The points [begin, begin + count) that lie in panels from the column on; counted from the first point here.
    void points(int64_t begin, int64_t end) const {
        for (int64_t k = 0; k < pairs; k += block_pairs) {
            const bool last = k + block_pairs >= pairs;
            for (int64_t point = begin; point < end; point += knn_panel_points)
                for (int64_t panel = first_panel; panel < last_panel; ++panel) multiply(panel, point, begin, k, last);
        }
    }

    void multiply(int64_t panel, int64_t point, int64_t tile_begin, int64_t k, bool last) const {
        const int64_t query = dealt.begin(panel), rows = dealt.begin(panel + 1) - query;
        int32_t* const sums = scratch.sums + (query - dealt.begin(first_panel)) * tile_points + (point - tile_begin);
        uint32_t bits[knn_panel_queries];
        KnnPanels p;
        p.pairs = smaller(block_pairs, pairs - k);
        p.queries = args.query_panels + query * pairs + k * rows;
        p.points = args.point_panels + point * pairs + k * knn_panel_points;
        p.start = k == 0 ? args.point_half_norm + point : sums;
        p.start_stride = k == 0 ? 0 : tile_points;
        p.sums = last ? nullptr : sums, p.sums_stride = tile_points;
        p.limit = args.limit + part * args.query_count + query;
        p.bits = bits, p.hit = scratch.hit;
        if (subtract_panels_any(rows, p)) keep(query, rows, point, bits);
    }

    void keep(int64_t query, int64_t rows, int64_t point, const uint32_t* bits) const {
        for (int64_t r = 0; r < rows; ++r) {
            if (!bits[r]) continue;
            const Candidates<T> candidates{args, part, query + r};
            const int64_t exclude = args.exclude ? args.exclude[query + r] : -1;
            for (uint32_t left = bits[r]; left; left &= left - 1) {
                const int lane = __builtin_ctz(left);
                const int64_t index = args.first_point + point + lane;
                if (index != exclude) candidates.add(scratch.hit[r * knn_panel_points + lane], index);
            }
            if (candidates.count() > args.capacity - knn_panel_points) candidates.measure(args.capacity / 2);
        }
    }
};

}  // namespace

template <class T>
void knn_filter(const KnnFilterArgs<T>& args, int64_t begin, int64_t end, void* scratch_memory) {
    FilterScratch& scratch = *static_cast<FilterScratch*>(scratch_memory);
    const int64_t panels = KnnQueryPanels{args.query_count}.count();
    const bool whole = args.image_dimensions <= 2 * block_pairs;
    for (int64_t item = begin; item < end; ++item) {
        const int64_t tile = item % args.query_tiles, part = item / args.query_tiles;
        const Tile<T> t{args, part, tile * panels / args.query_tiles, (tile + 1) * panels / args.query_tiles, scratch};
        const int64_t first = larger(0, part * args.points_per_part - args.first_point);
        const int64_t last = smaller(args.point_count, (part + 1) * args.points_per_part - args.first_point);
        if (whole)
            t.points(first, last);
        else
            for (int64_t at = first; at < last; at += tile_points) t.points(at, smaller(last, at + tile_points));
    }
}

template <class T>
void knn_finish(const KnnFinishArgs<T>& args, int64_t begin, int64_t end, void*) {
    const KnnFilterArgs<T>& search = args.search;
    for (int64_t item = begin; item < end; ++item) {
        const int64_t tile = item % search.query_tiles, part = item / search.query_tiles;
        const int64_t first = tile * search.query_count / search.query_tiles;
        const int64_t last = (tile + 1) * search.query_count / search.query_tiles;
        for (int64_t query = first; query < last; ++query) {
            const Candidates<T> candidates{search, part, query};
            candidates.measure(0);
            Nearest::of(search.lists, candidates.slot).sort();
        }
    }
}

ADVCORE_INSTANTIATE(knn_filter, KnnFilterArgs)
ADVCORE_INSTANTIATE(knn_finish, KnnFinishArgs)

}  // namespace advcore::ADVCORE_LEVEL

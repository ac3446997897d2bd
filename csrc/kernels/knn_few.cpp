// Few points with many coordinates. Sums of squared differences in T tell most pairs apart: they have no term that
// could cancel another, so that how far they may be from the truth is known, relative to themselves. What they leave is
// measured exactly.
#include "kernel_list.h"
#include "knn_pairs.h"
#include "knn_select.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int few_rows = 3, few_vectors = 4;  // of sums; the points are subtracted from where they are in memory
constexpr int64_t few_terms = (32 << 10) / (few_vectors * vector_bytes);  // a panel stays in the first-level cache

template <class T>
struct FewScratch {
    T sums[knn_few_queries * knn_few_points];
    T panel[few_vectors * lanes<T> * few_terms];
    PairScratch pairs;
};
static_assert(sizeof(FewScratch<double>) <= scratch_bytes && knn_few_points <= DistanceKeys::most);

// Adds terms of Rows queries and a panel of points to sums[Rows][knn_few_points], or begins them.
template <int Rows, int Vectors, class T>
inline void add_squares(const T* queries, int64_t stride, const T* panel, int64_t terms, bool begin, T* sums) {
    constexpr int L = lanes<T>;
    Vec<T> sum[Rows][Vectors] = {};
    for (int64_t k = 0; k < terms; ++k, panel += Vectors * L) {
#pragma GCC unroll 3
        for (int r = 0; r < Rows; ++r) {
            const Vec<T> query = splat(queries[r * stride + k]);
#pragma GCC unroll 4
            for (int v = 0; v < Vectors; ++v) {
                const Vec<T> difference = query - load(panel + v * L);
                sum[r][v] = fma<T>(difference, difference, sum[r][v]);
            }
        }
    }
    for (int r = 0; r < Rows; ++r)
        for (int v = 0; v < Vectors; ++v) {
            T* const to = sums + r * knn_few_points + v * L;
            store(to, begin ? sum[r][v] : load(to) + sum[r][v]);
        }
}

// Of a panel of so many registers: packs it and lets all queries pass by.
template <int Vectors, class T>
void pass_panel(int64_t vectors, const T* queries, int64_t query_count, const T* points, int64_t point_count,
                int64_t dimensions, int64_t terms, bool begin, T* panel, T* sums) {
    if constexpr (Vectors > 1)
        if (vectors < Vectors)
            return pass_panel<Vectors - 1>(vectors, queries, query_count, points, point_count, dimensions, terms, begin,
                                           panel, sums);
    pack_transposed<T>(points, dimensions, point_count, Vectors * lanes<T>, terms, panel);
    int64_t q = 0;
    for (; q + few_rows <= query_count; q += few_rows)
        add_squares<few_rows, Vectors>(queries + q * dimensions, dimensions, panel, terms, begin,
                                       sums + q * knn_few_points);
    for (; q < query_count; ++q)
        add_squares<1, Vectors>(queries + q * dimensions, dimensions, panel, terms, begin, sums + q * knn_few_points);
}

template <class T>
void sum_squares(const T* queries, int64_t query_count, const T* points, int64_t point_count, int64_t dimensions,
                 FewScratch<T>& scratch) {
    const int64_t vectors = ceil_div(point_count, lanes<T>), panels = ceil_div(vectors, few_vectors);
    for (int64_t k = 0; k < dimensions; k += few_terms) {
        const int64_t terms = smaller(few_terms, dimensions - k);
        for (int64_t panel = 0; panel < panels; ++panel) {  // dealt evenly: one register alone waits for itself
            const int64_t begin = panel * vectors / panels, end = (panel + 1) * vectors / panels;
            const int64_t first = begin * lanes<T>, used = smaller(end * lanes<T>, point_count) - first;
            pass_panel<few_vectors>(end - begin, queries + k, query_count, points + first * dimensions + k, used,
                                    dimensions, terms, k == 0, scratch.panel, scratch.sums + first);
        }
    }
}

// The largest sum that a point among the nearest can have. Of a sum, two roundings a term of a block and one a block
// are relative to it (the exact sums' are, too); what is too small for T is lost, what is too large is infinite.
template <class T>
double largest_of_near(const T* sums, int64_t count, int64_t dimensions, int64_t nearest, int64_t exclude) {
    constexpr double unit = sizeof(T) == 4 ? 0x1p-24 : 0x1p-53, least = sizeof(T) == 4 ? 0x1p-149 : 0x1p-1074;
    constexpr double most = sizeof(T) == 4 ? 0x1p127 : 0x1p1023;
    const double terms = static_cast<double>(dimensions);
    const double relative = 1.01 * ((2 * few_terms + terms / few_terms + 16) * unit + (terms + 64) * 0x1p-53);
    const double absolute = (2 * terms + 16) * least;
    const DistanceKeys keys(sums, count, exclude, nearest);
    if (keys.used <= nearest) return __builtin_inf();
    const int64_t last = keys.last(nearest);
    double kth;
    __builtin_memcpy(&kth, &last, sizeof kth);
    const double farthest = kth * (1 + relative) + absolute;
    const double limit = farthest * (1 + relative) + absolute;
    return limit < most ? limit : __builtin_inf();
}

template <class T>
void list_pairs(const double* limit, const int64_t* exclude, int64_t query_count, int64_t point_count,
                FewScratch<T>& scratch) {
    int64_t pairs = 0;
    for (int64_t first = 0, block = 0; first < point_count; first += pair_block, ++block) {
        const int64_t end = smaller(point_count, first + pair_block);
        for (int64_t q = 0; q < query_count; ++q) {
            const int64_t begin = pairs, own = exclude ? exclude[q] : -1;
            for (int64_t i = first; i < end; ++i) {
                scratch.pairs.partner[pairs] = static_cast<int32_t>(i - first);
                pairs += i != own && static_cast<double>(scratch.sums[q * knn_few_points + i]) <= limit[q];
            }
            scratch.pairs.count[block][q] = static_cast<int32_t>(pairs - begin);
        }
    }
}

}  // namespace

template <class T>
void knn_few(const KnnFewArgs<T>& args, int64_t begin, int64_t end, void* scratch_memory) {
    FewScratch<T>& scratch = *static_cast<FewScratch<T>*>(scratch_memory);
    const int64_t d = args.dimensions, points = args.reference_count;
    for (int64_t item = begin; item < end; ++item) {
        const int64_t first = item * args.query_count / args.query_tiles;
        const int64_t queries = (item + 1) * args.query_count / args.query_tiles - first;
        const T* const rows = args.queries + first * d;
        const int64_t* const exclude = args.exclude ? args.exclude + first : nullptr;
        double limit[knn_few_queries];
        sum_squares(rows, queries, args.reference, points, d, scratch);
        for (int64_t q = 0; q < queries; ++q)
            limit[q] = largest_of_near(scratch.sums + q * knn_few_points, points, d, args.lists.size,
                                       exclude ? exclude[q] : -1);
        list_pairs(limit, exclude, queries, points, scratch);
        measure_pairs(rows, queries, args.reference, points, d, scratch.pairs);
        for (int64_t q = 0; q < queries; ++q) Nearest::of(args.lists, first + q).clear();
        int64_t pair = 0;
        for (int64_t block = 0; block * pair_block < points; ++block)
            for (int64_t q = 0; q < queries; ++q) {
                Nearest nearest = Nearest::of(args.lists, first + q);
                for (const int64_t last = pair + scratch.pairs.count[block][q]; pair < last; ++pair)
                    nearest.offer(scratch.pairs.squared[pair], block * pair_block + scratch.pairs.partner[pair]);
            }
        for (int64_t q = 0; q < queries; ++q) Nearest::of(args.lists, first + q).sort();
    }
}

ADVCORE_INSTANTIATE(knn_few, KnnFewArgs)

}  // namespace advcore::ADVCORE_LEVEL

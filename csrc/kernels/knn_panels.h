// Panels of images: how queries are dealt to them, and a panel of queries against one of points.
#pragma once

#include "knn.h"
#include "pack.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// Queries are dealt evenly: 13 make 5, 4 and 4, not 6, 6 and 1.
struct KnnQueryPanels {
    int64_t queries;
    int64_t count() const { return ceil_div(queries, knn_panel_queries); }
    int64_t begin(int64_t panel) const { return panel * (queries / count()) + smaller(panel, queries % count()); }
};

struct KnnPanels {
    int64_t pairs;
    const int32_t* queries;  // [pairs][rows]
    const int32_t* points;   // [pairs][knn_panel_points]
    // What the products are taken from: half norms of the points (stride 0), or the sums so far.
    const int32_t* start;
    int64_t start_stride;
    // If `sums` is given it receives the sums, else `bits` of each row: which are within its limit; returned is whether
    // any is, and then `hit` has the sums of rows that have some.
    int32_t* sums;
    int64_t sums_stride;
    const int32_t* limit;
    uint32_t* bits;
    int32_t* hit;  // [rows][knn_panel_points]
};

constexpr int panel_vectors = static_cast<int>(knn_panel_points) / lanes<float>;

ADVCORE_INLINE Pairs load_pairs(const int32_t* from) {
    Pairs v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
}

ADVCORE_INLINE Pairs splat_pairs(int32_t x) { return x - Pairs{}; }

// Vectors registers of points from the column on.
template <int Rows, int Vectors>
ADVCORE_INLINE uint32_t subtract_products(const KnnPanels& p, int column) {
    constexpr int L = lanes<float>, Width = static_cast<int>(knn_panel_points);
    Mask<float> sum[Rows][Vectors];
    for (int r = 0; r < Rows; ++r)
        for (int v = 0; v < Vectors; ++v) sum[r][v] = load_pairs(p.start + r * p.start_stride + column + v * L);
    const int32_t* query = p.queries;
    const int32_t* point = p.points + column;
    for (int64_t k = 0; k < p.pairs; ++k, query += Rows, point += Width) {
        Pairs right[Vectors];
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) right[v] = load_pairs(point + v * L);
#pragma GCC unroll 6
        for (int r = 0; r < Rows; ++r) {
            const Pairs left = splat_pairs(query[r]);
#pragma GCC unroll 4
            for (int v = 0; v < Vectors; ++v) sum[r][v] -= dot_pairs(left, right[v]);
        }
    }
    if (p.sums) {
#pragma GCC unroll 6
        for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
            for (int v = 0; v < Vectors; ++v)
                __builtin_memcpy(p.sums + r * p.sums_stride + column + v * L, &sum[r][v], sizeof sum[r][v]);
        return 0;
    }
    uint32_t any = 0;
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
        const Pairs limit = splat_pairs(p.limit[r]);
        uint32_t bits = 0;
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) bits |= lane_bits(sum[r][v] <= limit) << (v * L);
        bits <<= column;
        p.bits[r] = column ? p.bits[r] | bits : bits;
        any |= bits;
        if (bits)
            for (int v = 0; v < Vectors; ++v)
                __builtin_memcpy(p.hit + r * Width + column + v * L, &sum[r][v], sizeof sum[r][v]);
    }
    return any;
}

template <int Rows>
__attribute__((noinline)) uint32_t subtract_panels(const KnnPanels& p) {
    constexpr int Vectors = panel_vectors < 2 ? panel_vectors : 2;
    uint32_t any = 0;
    for (int v = 0; v < panel_vectors; v += Vectors) any |= subtract_products<Rows, Vectors>(p, v * lanes<float>);
    return any;
}

template <int Rows = static_cast<int>(knn_panel_queries)>
ADVCORE_INLINE uint32_t subtract_panels_any(int64_t rows, const KnnPanels& p) {
    if constexpr (Rows > 1)
        if (rows < Rows) return subtract_panels_any<Rows - 1>(rows, p);
    return subtract_panels<Rows>(p);
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL

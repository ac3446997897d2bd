// The k nearest reference points of every query, by Euclidean distance; ties go to the lower index.
//
// Squared distances are sums of squared differences in double precision, of eight interleaved chains (knn_exact.h):
// these order the neighbours. Where there are many pairs a filter tells first which of them may be near: every point
// has an image of 16-bit integers no farther from the others' than the points are, but for a known error; products of
// images are exact in 32 bits, and take half the time of products of floats.
#pragma once

#include <stdint.h>

namespace advcore {

constexpr int64_t knn_most_parts = 1024;
constexpr int64_t knn_dense_queries = 128;  // of a tile of knn_dense, at most

// The state of a search: for each part of the reference and each query a list of its nearest points so far, by squared
// distance; a list that has fewer points ends in (inf, INT64_MAX).
struct KnnLists {
    double* squared;  // [parts][queries][size]
    int64_t* index;
    int64_t size;
};

// Measures every pair. An item is one tile of queries against one part of the points, queries fastest; it leaves the
// lists in ascending order.
template <class T>
struct KnnDenseArgs {
    const T *queries, *reference;
    const int64_t* exclude;  // a query's one reference index that must not come back, -1 for none; or null
    KnnLists lists;
    int64_t query_count, reference_count, dimensions;
    int64_t query_tiles, parts, reference_per_part;
};

// Measures all pairs with a few points in T's arithmetic, to some units of its last place, and exactly those whose
// order this cannot tell. An item is one tile of at most knn_few_queries queries; it leaves the lists in ascending
// order, in float32 empty ones where a coordinate is not finite.
template <class T>
struct KnnFewArgs {
    const T *queries, *reference;
    const int64_t* exclude;
    KnnLists lists;
    int64_t query_count, reference_count, dimensions;
    int64_t query_tiles;
};
constexpr int64_t knn_few_points = 128, knn_few_queries = 120, knn_few_dimensions = 32;

// A centre and how far points lie from it, from some rows. An item is a stretch of knn_stretch columns; it leaves its
// share of every row's squared distance to the centre.
template <class T>
struct KnnCenterArgs {
    const T* rows;
    T* center;        // [dimensions]
    double* squared;  // [items][samples]
    int64_t row_stride, samples, dimensions;
};
constexpr int64_t knn_stretch = 256;

// The first coordinates of points in another basis, about a centre, and last the length of what those leave. An item
// is a block of knn_project_rows rows.
template <class T>
struct KnnProjectArgs {
    const T *rows, *center, *basis;  // basis: [dimensions][components], orthonormal but for `skew` (a spectral norm)
    T* features;                     // [count][components + 1]
    double* error;                   // [count], how far a row of features may be from the truth
    int64_t count, dimensions, components;
    double skew;
};
constexpr int64_t knn_project_rows = 120;

// Images: (row - centre) * scale, moved to the nearest point of a ball and rounded to integers. Moving to a ball
// brings no two points farther apart, so that images, less their errors, are never farther apart than points * scale.
// An item is a panel: of points knn_panel_points rows, the last padded; of queries at most knn_panel_queries, dealt
// evenly.
template <class T>
struct KnnImageArgs {
    const T *rows, *center;     // centre: or null
    const double* known_error;  // of each row before it is scaled; or null
    int32_t* panels;            // panel by panel: [pairs of coordinates][rows of the panel]
    int32_t* half_norm;         // half of the squared norm, rounded down; of the rows that pad a panel knn_far
    double* error;              // [count], in units of the image
    int64_t count, dimensions;
    double scale;
    bool queries;
};
constexpr int64_t knn_panel_points = 16, knn_panel_queries = 6;
constexpr int64_t knn_tile_queries = 240;  // of a tile of knn_filter, at most
constexpr int32_t knn_far = INT32_MAX;
constexpr double knn_radius = 32000;

// Lists candidates by their images. An item is one tile of queries' panels against one part of the points, queries
// fastest. Of a query's candidates `pending[0 .. pending_count)` wait, the distance by images in the upper half and
// the index less the part's first in the lower; when there are `capacity` the likeliest are measured.
template <class T>
struct KnnFilterArgs {
    const T *queries, *reference;
    const int64_t* exclude;
    KnnLists lists;
    int64_t query_count, dimensions;
    const int32_t *query_panels, *point_panels;
    const int32_t *query_half_norm, *point_half_norm;
    const double* query_error;
    double point_error, scale;
    int64_t image_dimensions;
    int64_t* pending;        // [parts][queries][capacity]
    int64_t* pending_count;  // [parts][queries]
    int32_t* limit;          // [parts][queries]: no point whose half squared distance, less the query's, is more
    int64_t capacity;
    int64_t first_point, point_count;  // those whose panels are here
    int64_t query_tiles, parts, points_per_part;
};

// Measures what is pending and sorts the lists. An item is a tile of at most half of knn_tile_queries and a part.
template <class T>
struct KnnFinishArgs {
    KnnFilterArgs<T> search;
};

// Merges a query's lists (an item is a query) and takes the root.
template <class T>
struct KnnMergeArgs {
    KnnLists lists;
    T* distance;  // [queries][k]
    int64_t* index;
    int64_t query_count, parts, k;
};

}  // namespace advcore

// The k nearest reference points of every query, by Euclidean distance; ties go to the lower index.
#pragma once

#include <stdint.h>

namespace advcore {

// An item of `knn` is one tile of queries against one part of the reference, queries fastest. It leaves, for each of
// its queries, the `list_size` nearest points of the part in ascending order, by squared distance; a list that has
// fewer points ends in (inf, INT64_MAX).
template <class T>
struct KnnArgs {
    const T *queries, *reference;
    const int64_t* exclude;  // a query's one reference index that must not come back, -1 for none; or null
    T* list_distance;        // [parts][query_count][list_size]
    int64_t* list_index;
    int64_t query_count, reference_count, dimensions;
    int64_t query_tiles, parts, reference_per_part, list_size;
};

// Merges a query's lists (an item is a query) and takes the root. With one part the lists may be the result's own.
template <class T>
struct KnnMergeArgs {
    const T* list_distance;
    const int64_t* list_index;
    T* distance;  // [query_count][k]
    int64_t* index;
    int64_t query_count, parts, list_size, k;
};

template <class T>
constexpr int64_t knn_queries_per_tile = 1920 / static_cast<int64_t>(sizeof(T));
constexpr int64_t knn_most_parts = 1024;

}  // namespace advcore

// Selection: a query's nearest points so far, as a heap whose root is the worst of them. A short heap is kept in
// descending order, where an insertion is a short run of predictable moves.
#pragma once

#include "pack.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

template <class T>
ADVCORE_INLINE bool any(Mask<T> mask) {
    uint64_t words[vector_bytes / 8], all = 0;
    __builtin_memcpy(words, &mask, sizeof mask);
    for (uint64_t word : words) all |= word;
    return all != 0;
}

// By distance, then by index: a total order, so that the selection does not depend on the order of arrival.
template <class T>
ADVCORE_INLINE bool nearer(T distance_a, int64_t index_a, T distance_b, int64_t index_b) {
    return distance_a < distance_b || (distance_a == distance_b && index_a < index_b);
}

template <class T>
struct Nearest {
    T* distance;
    int64_t* index;
    int64_t size;

    void clear() {
        for (int64_t i = 0; i < size; ++i) distance[i] = static_cast<T>(__builtin_inf()), index[i] = INT64_MAX;
    }

    T worst() const { return distance[0]; }

    void offer(T d, int64_t i) {
        if (!nearer(d, i, distance[0], index[0])) return;
        if (size <= short_heap)
            insert(d, i);
        else
            sink(d, i, size);
    }

    // Turns the heap into a list in ascending order.
    void sort() {
        for (int64_t last = size - 1; last > 0; --last) {
            const T d = distance[last];
            const int64_t i = index[last];
            distance[last] = distance[0], index[last] = index[0];
            sink(d, i, last);
        }
    }

private:
    static constexpr int64_t short_heap = 64;

    // Drops the root of a heap in descending order.
    void insert(T d, int64_t i) {
        int64_t at = 0;
        for (; at + 1 < size && nearer(d, i, distance[at + 1], index[at + 1]); ++at)
            distance[at] = distance[at + 1], index[at] = index[at + 1];
        distance[at] = d, index[at] = i;
    }

    // Replaces the root of the first `count` entries.
    void sink(T d, int64_t i, int64_t count) {
        int64_t at = 0;
        for (int64_t child; (child = 2 * at + 1) < count; at = child) {
            if (child + 1 < count && nearer(distance[child], index[child], distance[child + 1], index[child + 1]))
                ++child;
            if (!nearer(d, i, distance[child], index[child])) break;
            distance[at] = distance[child], index[at] = index[child];
        }
        distance[at] = d, index[at] = i;
    }
};

// Offers the points first .. first + count - 1, whose squared distances lie in a row of whole vectors. Of most groups
// of vectors none is near enough, which one test tells; of the others, those that may be are listed without a branch.
template <class T>
inline void offer_row(Nearest<T> nearest, const T* row, int64_t count, int64_t first, int64_t exclude) {
    constexpr int64_t L = lanes<T>, group = 8 * L;
    int32_t near[group];
    for (int64_t begin = 0; begin < count; begin += group) {
        const int64_t end = smaller(count, begin + group);
        const T worst = nearest.worst();
        Mask<T> within = {};
        for (int64_t i = begin; i < end; i += L) within |= load(row + i) <= splat(worst);
        if (!any<T>(within)) continue;
        int64_t found = 0;
        for (int64_t i = begin; i < end; ++i) {
            near[found] = static_cast<int32_t>(i);
            found += row[i] <= worst;
        }
        for (int64_t i = 0; i < found; ++i)
            if (first + near[i] != exclude) nearest.offer(row[near[i]], first + near[i]);
    }
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL

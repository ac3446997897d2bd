// Selection: a query's nearest points so far, as a heap whose root is the worst of them. A short heap is kept in
// descending order, where an insertion is a short run of predictable moves.
#pragma once

#include "knn.h"
#include "pack.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// By distance, then by index: a total order, so that the selection does not depend on the order of arrival.
ADVCORE_INLINE bool nearer(double distance_a, int64_t index_a, double distance_b, int64_t index_b) {
    return distance_a < distance_b || (distance_a == distance_b && index_a < index_b);
}

struct Nearest {
    double* distance;  // squared
    int64_t* index;
    int64_t size;

    static Nearest of(const KnnLists& lists, int64_t query) {
        return {lists.squared + query * lists.size, lists.index + query * lists.size, lists.size};
    }

    void clear() {
        for (int64_t i = 0; i < size; ++i) distance[i] = __builtin_inf(), index[i] = INT64_MAX;
    }

    double worst() const { return distance[0]; }

    void offer(double d, int64_t i) {
        if (!nearer(d, i, distance[0], index[0])) return;
        if (size <= short_heap)
            insert(d, i);
        else
            sink(d, i, size);
    }

    // Puts an entry that belongs there or before, in descending order.
    void put(int64_t at, double d, int64_t i) {
        for (; at > 0 && nearer(distance[at - 1], index[at - 1], d, i); --at)
            distance[at] = distance[at - 1], index[at] = index[at - 1];
        distance[at] = d, index[at] = i;
    }

    // Turns the heap into a list in ascending order.
    void sort() {
        if (size <= short_heap) {
            for (int64_t i = 0; i < size / 2; ++i) exchange(i, size - 1 - i);
            return;
        }
        for (int64_t last = size - 1; last > 0; --last) {
            const double d = distance[last];
            const int64_t i = index[last];
            distance[last] = distance[0], index[last] = index[0];
            sink(d, i, last);
        }
    }

    static constexpr int64_t short_heap = 64;

private:
    void exchange(int64_t a, int64_t b) {
        const double d = distance[a];
        const int64_t i = index[a];
        distance[a] = distance[b], index[a] = index[b];
        distance[b] = d, index[b] = i;
    }

    // Drops the root of a heap in descending order.
    void insert(double d, int64_t i) {
        int64_t at = 0;
        for (; at + 1 < size && nearer(d, i, distance[at + 1], index[at + 1]); ++at)
            distance[at] = distance[at + 1], index[at] = index[at + 1];
        distance[at] = d, index[at] = i;
    }

    // Replaces the root of the first `count` entries.
    void sink(double d, int64_t i, int64_t count) {
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

// Moves the `first` smallest of the keys, which are all different, to the front.
inline void select_smallest(int64_t* keys, int64_t count, int64_t first) {
    int64_t begin = 0, end = count;
    while (begin < first && first < end) {
        const int64_t a = keys[begin], b = keys[begin + (end - begin) / 2], c = keys[end - 1];
        if (end - begin == 2) {
            keys[begin] = smaller(a, c), keys[begin + 1] = larger(a, c);
            return;
        }
        const int64_t pivot = larger(smaller(a, b), smaller(larger(a, b), c));  // neither the least nor the largest
        int64_t below = begin;
        for (int64_t i = begin; i < end; ++i) {  // without a branch on what is compared
            const int64_t key = keys[i];
            keys[i] = keys[below];
            keys[below] = key;
            below += key < pivot;
        }
        (first <= below ? end : begin) = below;
    }
}

// Keys of up to 128 distances, which are not negative: the upper bits of each and its number, which are in their order.
struct DistanceKeys {
    static constexpr int64_t most = 128, low_bits = most - 1;
    int64_t key[most], used = 0;

    // Of all but one; the `wanted` nearest, or as many as there are, come first and in order.
    DistanceKeys(const double* distance, int64_t count, int64_t exclude, int64_t wanted) {
        for (int64_t i = 0; i < count; ++i) {
            int64_t bits;
            __builtin_memcpy(&bits, distance + i, sizeof bits);
            key[used] = (bits & ~low_bits) | i;
            used += i != exclude;
        }
        sort_first(smaller(wanted, used));
    }
    static int64_t number_of(int64_t key) { return key & low_bits; }
    int64_t number(int64_t i) const { return number_of(key[i]); }

private:
    static constexpr int64_t spare = 8;  // keys too many that are sorted sooner than told apart

    void sort_first(int64_t wanted) {
        int64_t low = INT64_MAX, limit = 0, within = used;
        for (int64_t i = 0; i < used; ++i) low = smaller(low, key[i]), limit = larger(limit, key[i]);
        int64_t middle = larger(low, limit - (int64_t{2} << 52));  // a quarter of the largest: most are no nearer
        for (; within > wanted + spare; middle = low + (limit - low) / 2) {
            int64_t found = 0;
            for (int64_t i = 0; i < used; ++i) found += key[i] <= middle;
            if (found < wanted)
                low = middle + 1;
            else
                limit = middle, within = found;
        }
        int64_t near[most], far[most], place = 0;
        for (int64_t i = 0; i < used; ++i) {  // without a branch on what is compared
            near[place] = key[i], far[i - place] = key[i];
            place += key[i] <= limit;
        }
        // Each goes where it belongs by the number of those before it.
        for (int64_t i = 0; i < within; ++i) {
            int64_t before = 0;
            for (int64_t j = 0; j < within; ++j) before += near[j] < near[i];
            key[before] = near[i];
        }
        for (int64_t i = within; i < used; ++i) key[i] = far[i - within];
    }
};

// The first points of an empty list of at most short_heap entries, `count` >= its size of them: selected by keys of the
// upper bits of the distance and the number of the point, then put in order by both in full.
inline void fill_list(Nearest nearest, const double* row, int64_t count, int64_t first, int64_t exclude) {
    const DistanceKeys keys(row, count, exclude - first, nearest.size);
    const int64_t size = smaller(nearest.size, keys.used);
    // Offered from the farthest on, each goes to the end of the list.
    const int64_t empty = nearest.size - size;
    for (int64_t i = 0; i < size; ++i) {
        const int64_t number = keys.number(size - 1 - i);
        nearest.put(empty + i, row[number], first + number);
    }
    for (int64_t i = size; i < keys.used; ++i)  // those that the upper bits cannot tell from the last
        if (keys.key[i] <= (keys.key[size - 1] | DistanceKeys::low_bits))
            nearest.offer(row[keys.number(i)], first + keys.number(i));
}

// Offers the points first .. first + count - 1, whose squared distances lie in a row of whole vectors. Of most groups
// of vectors none is near enough, which one test tells; of the others, those that may be are listed without a branch.
inline void offer_row(Nearest nearest, const double* row, int64_t count, int64_t first, int64_t exclude) {
    constexpr int64_t L = lanes<double>, group = 8 * L;
    int32_t near[group];
    for (int64_t begin = 0; begin < count; begin += group) {
        const int64_t end = smaller(count, begin + group);
        const double worst = nearest.worst();
        Mask<double> within = {};
        for (int64_t i = begin; i < end; i += L) within |= load(row + i) <= splat(worst);
        if (!lane_bits(within)) continue;
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

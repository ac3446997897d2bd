// A query's candidates: those that wait, the list of those that were measured, and the limit that follows from it.
#pragma once

#include "knn_exact.h"
#include "knn_select.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

template <class T>
struct Candidates {
    const KnnFilterArgs<T>& args;
    int64_t part, query;
    int64_t slot = part * args.query_count + query;
    int64_t* pending = args.pending + slot * args.capacity;

    int64_t& count() const { return args.pending_count[slot]; }
    int32_t& limit() const { return args.limit[slot]; }

    void add(int32_t half, int64_t index) const {
        pending[count()++] = static_cast<int64_t>(half) * (int64_t{1} << 32) + (index - part * args.points_per_part);
    }

    // Measures the likeliest, as many as a list holds, and of the others what may be near until at most `left` wait.
    void measure(int64_t left) const {
        int64_t waiting = count(), wanted = args.lists.size, done = 0;
        while (waiting > left) {
            const int64_t some = smaller(wanted, waiting);
            select_smallest(pending + done, waiting, some);
            measure_some(done, done + some);
            done += some, waiting -= some;
            waiting = drop_far(done, waiting);
            wanted = later_group;
        }
        for (int64_t i = 0; i < waiting; ++i) pending[i] = pending[done + i];
        count() = waiting;
    }

    int64_t index_of(int64_t at) const { return pending[at] & 0xffffffff; }  // less the part's first

    // Drops what is too far by now, of what lies from `from` on; returns how many are left.
    int64_t drop_far(int64_t from, int64_t waiting) const {
        int64_t kept = from;
        for (int64_t i = from; i < from + waiting; ++i) {
            pending[kept] = pending[i];
            kept += (pending[i] >> 32) <= limit();
        }
        return kept - from;
    }

private:
    static constexpr int64_t later_group = 16;

    const T* point(int64_t at) const {
        return args.reference + (part * args.points_per_part + index_of(at)) * args.dimensions;
    }

    void measure_some(int64_t begin, int64_t end) const {
        Nearest nearest = Nearest::of(args.lists, slot);
        constexpr int group = 4;
        const T* const row = args.queries + query * args.dimensions;
        for (int64_t first = begin; first < end; first += group) {
            const T* points[group];
            double squared[group];
            for (int64_t i = 0; i < group; ++i) points[i] = point(smaller(first + i, end - 1));
            for (int64_t i = first + group; i < smaller(end, first + 2 * group); ++i)
                for (int64_t line = 0; line < 4; ++line)
                    prefetch(point(i), line * (64 / static_cast<int64_t>(sizeof(T))));
            squared_distances<T, group>(row, points, args.dimensions, squared);
            for (int64_t i = first; i < smaller(end, first + group); ++i)
                nearest.offer(squared[i - first], part * args.points_per_part + index_of(i));
        }
        tighten(nearest.worst());
    }

    // A point whose images lie farther apart than the worst of the list, with all errors, is farther than it. Nothing
    // is lost where a square is computed a little too small: `slack` is more than its terms' roundings.
    void tighten(double worst) const {
        if (!(worst < __builtin_inf())) return;
        const double slack = 1 + (static_cast<double>(args.dimensions) + 64) * 0x1p-53;
        const double images = args.scale * __builtin_sqrt(worst) * slack + args.query_error[query] + args.point_error;
        // Half of (squared norms - 2 products), less the query's own half norm; halves were rounded down.
        const double half = images * images * (0.5 + 0x1p-40) - args.query_half_norm[query] + 1;
        limit() = half < knn_far - 1 ? static_cast<int32_t>(half) : knn_far - 1;
    }
};

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL

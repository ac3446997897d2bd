// Few points with many coordinates. Sums of squared differences in T have no term that could cancel another, so that
// how far they may be from the truth is known, relative to themselves: some units of T's last place. They are the
// distances, but for points that are as near as another one within that error, whose order only exact sums tell.
#include "kernel_list.h"
#include "knn_exact.h"
#include "knn_select.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int chain = 16, chains = 4;  // registers of terms that one sum takes, sums that are added before the lanes
constexpr int tile_queries = 6, tile_points = 2;  // of sums; what is subtracted is read from where it is in memory

// How far a sum may be from the truth, relative to it: two roundings of a difference that is squared, one a register
// of a chain, one a chain and one a halving of the lanes. With it distances are right to a millionth in float32.
template <class T>
constexpr double error_of_sum = 1.01 * (2 + chain + chains + 5) * (sizeof(T) == 4 ? 0x1p-24 : 0x1p-53);
static_assert(error_of_sum<float> < 1.7e-6);

// Adds so many terms of Queries x Points pairs to sums[Queries][knn_few_points].
template <int Queries, int Points, class T>
inline void add_squares(const T* queries, const T* points, int64_t stride, int64_t terms, double* sums) {
    constexpr int64_t L = lanes<T>;
    Vec<T> total[Queries][Points] = {};
    for (int64_t first = 0; first < terms; first += chain * L) {
        const int64_t end = smaller(terms, first + chain * L);
        Vec<T> sum[Queries][Points] = {};
        const auto add = [&](int64_t at, const auto& read) {
            Vec<T> point[Points];
#pragma GCC unroll 4
            for (int p = 0; p < Points; ++p) point[p] = read(points + p * stride + at);
#pragma GCC unroll 6
            for (int q = 0; q < Queries; ++q) {
                const Vec<T> query = read(queries + q * stride + at);
#pragma GCC unroll 4
                for (int p = 0; p < Points; ++p) {
                    const Vec<T> difference = query - point[p];
                    sum[q][p] = fma<T>(difference, difference, sum[q][p]);
                }
            }
        };
        int64_t at = first;
        for (; at + L <= end; at += L) add(at, [](const T* from) { return load(from); });
        if (at < end) add(at, [some = static_cast<int>(end - at)](const T* from) { return load_part(from, some); });
        for (int q = 0; q < Queries; ++q)
            for (int p = 0; p < Points; ++p) total[q][p] += sum[q][p];
    }
    for (int q = 0; q < Queries; ++q)
        for (int p = 0; p < Points; ++p)
            sums[q * knn_few_points + p] += static_cast<double>(sum_of_lanes<T>(total[q][p])[0]);
}

template <int Queries, int Points, class T>
inline void pass_points(const T* queries, const T* points, int64_t count, int64_t stride, int64_t terms, double* sums) {
    int64_t p = 0;
    for (; p + Points <= count; p += Points)
        add_squares<Queries, Points>(queries, points + p * stride, stride, terms, sums + p);
    for (; p < count; ++p) add_squares<Queries, 1>(queries, points + p * stride, stride, terms, sums + p);
}

template <class T>
void sum_squares(const T* queries, int64_t query_count, const T* points, int64_t point_count, int64_t dimensions,
                 double* sums) {
    __builtin_memset(sums, 0, static_cast<uint64_t>(query_count * knn_few_points) * sizeof(double));
    constexpr int64_t block = chain * chains * lanes<T>;
    for (int64_t k = 0; k < dimensions; k += block) {
        const int64_t terms = smaller(block, dimensions - k);
        int64_t q = 0;
        for (; q + tile_queries <= query_count; q += tile_queries)
            pass_points<tile_queries, tile_points>(queries + q * dimensions + k, points + k, point_count, dimensions,
                                                   terms, sums + q * knn_few_points);
        for (; q < query_count; ++q)
            pass_points<1, 4>(queries + q * dimensions + k, points + k, point_count, dimensions, terms,
                              sums + q * knn_few_points);
    }
}

// A query's points by their sums, nearest first: as many as are wanted, and all where more might be among them.
template <class T>
class Order {
public:
    Order(const double* sums, int64_t count, int64_t dimensions, int64_t exclude, int64_t wanted)
        : sums_(sums),
          least_(static_cast<double>(dimensions) * (sizeof(T) == 4 ? 0x1p-100 : 0x1p-960)),
          keys_(sums, count, exclude, wanted),
          wanted_(smaller(wanted, keys_.used)),
          used_(wanted_) {
        if (wanted_ == 0) return;
        int64_t last = 0, next = 0;
        for (int64_t i = 1; i < wanted_; ++i) last = keys_.key[i] > keys_.key[last] ? i : last;
        next = wanted_;
        for (int64_t i = wanted_ + 1; i < keys_.used; ++i) next = keys_.key[i] < keys_.key[next] ? i : next;
        if (next < keys_.used && together(last, next)) used_ = keys_.used;
        for (int64_t i = 1; i < used_; ++i) {
            const int64_t key = keys_.key[i];
            int64_t at = i;
            for (; at > 0 && keys_.key[at - 1] > key; --at) keys_.key[at] = keys_.key[at - 1];
            keys_.key[at] = key;
        }
    }

    // Calls f(begin, end) for groups of which each may hold points that are nearer than others of the same group only.
    template <class Function>
    void each_group(const Function& f) const {
        for (int64_t begin = 0, end; begin < wanted_; begin = end) {
            for (end = begin + 1; end < used_ && together(end - 1, end);) ++end;
            f(begin, end);
        }
    }

    int64_t point(int64_t place) const { return keys_.number(place); }
    double sum(int64_t place) const { return sums_[point(place)]; }

    // Whether no term or sum can have passed T's least or largest number.
    bool is_known(int64_t place) const { return sum(place) >= least_ && sum(place) <= most; }

private:
    static constexpr double most = sizeof(T) == 4 ? 0x1p120 : 0x1p1000;

    // 2^-40: the keys leave out the lowest bits.
    bool together(int64_t near, int64_t far) const {
        const double nearest = sum(near) > least_ ? sum(near) : least_;
        return nearest > most || sum(far) * (1 - 0x1p-40) <= nearest * (1 + 2.1 * error_of_sum<T>);
    }

    const double* const sums_;
    const double least_;
    DistanceKeys keys_;
    const int64_t wanted_;
    int64_t used_;
};

template <class T>
void list_nearest(const T* query, const T* points, int64_t count, int64_t dimensions, int64_t exclude,
                  const double* sums, Nearest nearest) {
    const Order<T> order(sums, count, dimensions, exclude, nearest.size);
    nearest.clear();
    order.each_group([&](int64_t begin, int64_t end) {
        constexpr int at_once = 4;
        if (end - begin == 1 && order.is_known(begin)) return nearest.offer(order.sum(begin), order.point(begin));
        for (int64_t i = begin; i < end; i += at_once) {
            const T* point[at_once];
            double squared[at_once];
            for (int c = 0; c < at_once; ++c) point[c] = points + order.point(smaller(i + c, end - 1)) * dimensions;
            squared_distances<T, at_once>(query, point, dimensions, squared);
            for (int c = 0; c < at_once && i + c < end; ++c) nearest.offer(squared[c], order.point(i + c));
        }
    });
    nearest.sort();
}

}  // namespace

template <class T>
void knn_few(const KnnFewArgs<T>& args, int64_t begin, int64_t end, void* scratch_memory) {
    static_assert(knn_few_queries * knn_few_points * sizeof(double) <= scratch_bytes &&
                  knn_few_points <= DistanceKeys::most);
    double* const sums = static_cast<double*>(scratch_memory);
    const int64_t d = args.dimensions, points = args.reference_count;
    for (int64_t item = begin; item < end; ++item) {
        const int64_t first = item * args.query_count / args.query_tiles;
        const int64_t queries = (item + 1) * args.query_count / args.query_tiles - first;
        const T* const rows = args.queries + first * d;
        sum_squares(rows, queries, args.reference, points, d, sums);
        for (int64_t q = 0; q < queries; ++q)
            list_nearest(rows + q * d, args.reference, points, d, args.exclude ? args.exclude[first + q] : -1,
                         sums + q * knn_few_points, Nearest::of(args.lists, first + q));
    }
}

ADVCORE_INSTANTIATE(knn_few, KnnFewArgs)

}  // namespace advcore::ADVCORE_LEVEL

// The order of a query's points, where their squared distances are known to some units of the last place: exact sums
// are needed for those that are as near as another one within that.
#pragma once

#include "knn_exact.h"
#include "knn_pair_sums.h"
#include "knn_select.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// How far a squared distance may be from the truth, relative to it, to be taken for it. With it distances are right to
// a millionth in float32.
template <class T>
double tolerance(int64_t dimensions) {
    const int64_t added = sizeof(T) == 4 ? 0 : ceil_div(dimensions, sum_block<T>);  // in double precision
    return static_cast<double>(31 + added) * half_unit<T>;
}

constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// Points by their squared distances, nearest first: as many as are wanted, and all where more might be among them.
template <class T>
class Order {
public:
    Order(const double* distances, int64_t count, int64_t dimensions, int64_t exclude, int64_t wanted)
        : squared_(distances),
          least_(static_cast<double>(dimensions) * (sizeof(T) == 4 ? 0x1p-100 : 0x1p-960)),
          apart_(1 + 2.1 * tolerance<T>(dimensions)),
          keys_(distances, count, exclude, wanted),
          wanted_(smaller(wanted, keys_.used)),
          used_(wanted_) {
        int64_t next = INT64_MAX;
        for (int64_t i = wanted_; i < keys_.used; ++i) next = smaller(next, keys_.key[i]);
        if (wanted_ > 0 && wanted_ < keys_.used &&
            together(squared(wanted_ - 1), squared_[DistanceKeys::number_of(next)]))
            keys_ = DistanceKeys(distances, count, exclude, used_ = keys_.used);
    }

    int64_t wanted() const { return wanted_; }

    // The end of the group that begins there: of points of which each may be nearer than others of the group only.
    int64_t end_of_group(int64_t begin) const {
        int64_t end = begin + 1;
        while (end < used_ && together(squared(end - 1), squared(end))) ++end;
        return end;
    }

    int64_t point(int64_t place) const { return keys_.number(place); }
    double squared(int64_t place) const { return squared_[point(place)]; }

    // Whether no term or sum can have passed T's least or largest number.
    bool is_known(int64_t place) const { return squared(place) >= least_ && squared(place) <= most; }

private:
    static constexpr double most = sizeof(T) == 4 ? 0x1p120 : 0x1p1000;

    // 2^-40: the keys leave out the lowest bits.
    bool together(double near, double far) const {
        const double nearest = near > least_ ? near : least_;
        return nearest > most || far * (1 - 0x1p-40) <= nearest * apart_;
    }

    const double* const squared_;
    const double least_, apart_;
    DistanceKeys keys_;
    const int64_t wanted_;
    int64_t used_;
};

// Fills a list in ascending order.
template <class T>
void list_nearest(const T* query, const T* points, int64_t count, int64_t dimensions, int64_t exclude,
                  const double* squared, Nearest nearest) {
    constexpr int at_once = 4;
    const Order<T> order(squared, count, dimensions, exclude, nearest.size);
    for (int64_t begin = 0, end; begin < order.wanted(); begin = end) {
        end = order.end_of_group(begin);
        if (end - begin == 1 && order.is_known(begin)) {
            nearest.distance[begin] = order.squared(begin), nearest.index[begin] = order.point(begin);
            continue;
        }
        Nearest group{nearest.distance + begin, nearest.index + begin, smaller(end, order.wanted()) - begin};
        group.clear();
        for (int64_t i = begin; i < end; i += at_once) {
            const T* point[at_once];
            double exact[at_once];
            for (int c = 0; c < at_once; ++c) point[c] = points + order.point(smaller(i + c, end - 1)) * dimensions;
            squared_distances<T, at_once>(query, point, dimensions, exact);
            for (int c = 0; c < at_once && i + c < end; ++c) group.offer(exact[c], order.point(i + c));
        }
        group.sort();
    }
    for (int64_t i = order.wanted(); i < nearest.size; ++i)
        nearest.distance[i] = __builtin_inf(), nearest.index[i] = INT64_MAX;
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL

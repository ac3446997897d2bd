// Few points with many coordinates. What tells them apart is found in T's own arithmetic, of which is known how far it
// may be from the truth: in float32 from products about a centre, and where these are too far from it for the distance
// from squared differences, of which no term cancels another. Only the order of points that are as near as another one
// within that error is told by exact sums.
#include "cover.h"
#include "knn_few_order.h"
#include "knn_pair_sums.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

template <class T>
constexpr bool by_products = sizeof(T) == 4;

constexpr int64_t group_queries = 12;  // whose coordinates stay in the first-level cache
constexpr int tile_queries = 4, tile_points = vector_registers == 32 ? 3 : 2;  // of sums, which registers hold
constexpr int tile_sums = sum_places<tile_queries * tile_points>;

template <class T>
struct FewScratch {
    static constexpr int64_t block = sum_block<T>, padded_points = round_up(knn_few_points, tile_points);
    T center[block], queries[group_queries * block];
    T points[(padded_points + tile_queries) * block];                    // a tile of queries may begin at the last
    double query_length[knn_few_queries], point_length[knn_few_points];  // from the centre; squared till all are added
    double sums[knn_few_queries / tile_queries * padded_points / tile_points * tile_sums];  // tile by tile
    double squared[padded_points];                                                          // distances of one query
};
static_assert(sizeof(FewScratch<float>) <= scratch_bytes && sizeof(FewScratch<double>) <= scratch_bytes);

// Asks for the next block of rows, some lines at a time.
template <class T>
class Ahead {
public:
    Ahead(const T* rows, int64_t count, int64_t stride, int64_t block, int64_t terms)
        : rows_(rows + block),
          stride_(stride),
          lines_(terms <= block ? 0 : ceil_div(smaller(block, terms - block), line)),
          left_(lines_ * count) {}

    void ask(int64_t lines) {
        for (; lines > 0 && left_ > 0; --lines, --left_) {
            prefetch(rows_, at_);
            if ((at_ += line) == lines_ * line) at_ = 0, rows_ += stride_;
        }
    }
    int64_t left() const { return left_; }

private:
    static constexpr int64_t line = 64 / static_cast<int64_t>(sizeof(T));
    const T* rows_;
    int64_t stride_, lines_, left_, at_ = 0;
};

// Calls f(at, used) for the registers of a row, of which the last may be a part.
template <class T, class Function>
ADVCORE_INLINE void each_register(int64_t terms, const Function& f) {
    for (int64_t at = 0; at < terms; at += lanes<T>) f(at, static_cast<int>(smaller(lanes<T>, terms - at)));
}

// The mean of points is the centre, about which products are as small as they can be.
template <class T>
void find_center(const T* points, int64_t count, int64_t stride, int64_t terms, T* center) {
    const Vec<T> share = splat(1 / static_cast<T>(count));
    each_register<T>(terms, [&](int64_t at, int used) {
        Vec<T> sum = {};
        for (int64_t p = 0; p < count; ++p) sum += load_used(points + p * stride + at, used);
        store(center + at, sum * share);
    });
}

// The sum of the squares of a padded row.
template <class T>
double sum_of_squares(const T* row, int64_t terms) {
    constexpr int64_t L = lanes<double>;
    Vec<double> sum[2] = {};
    for (int64_t at = 0; at < terms; at += 2 * L)
#pragma GCC unroll 2
        for (int i = 0; i < 2; ++i) {
            const Vec<double> x = load_as_double(row + at + i * L);
            sum[i] = fma<double>(x, x, sum[i]);
        }
    return sum_of_lanes<double>(sum[0] + sum[1])[0];
}

// Copies a block of rows, less the centre where products are to tell them apart, and adds to their squared lengths;
// rows of zeros follow up to `padded`.
template <class T>
void put_rows(const T* rows, int64_t count, int64_t padded, int64_t stride, int64_t terms, const T* center, T* to,
              double* squared) {
    for (int64_t r = 0; r < count; ++r, to += sum_block<T>) {
        each_register<T>(terms, [&](int64_t at, int used) {
            const Vec<T> x = load_used(rows + r * stride + at, used);
            store(to + at, by_products<T> ? x - load(center + at) : x);
        });
        if (by_products<T>) squared[r] += sum_of_squares(to, round_up(terms, lanes<T>));
    }
    for (int64_t r = count; r < padded; ++r, to += sum_block<T>)
        each_register<T>(terms, [&](int64_t at, int) { store(to + at, Vec<T>{}); });
}

// A tile of queries with all points.
template <class T>
class FewTile {
public:
    FewTile(const KnnFewArgs<T>& args, int64_t first, int64_t count, FewScratch<T>& scratch)
        : args_(args),
          queries_(args.queries + first * args.dimensions),
          first_(first),
          count_(count),
          points_(args.reference_count),
          own_(own_point()),
          scratch_(scratch) {}

    void search() {
        __builtin_memset(scratch_.query_length, 0, sizeof scratch_.query_length);
        __builtin_memset(scratch_.point_length, 0, sizeof scratch_.point_length);
        __builtin_memset(
            scratch_.sums, 0,
            static_cast<uint64_t>(sums(round_up(count_, tile_queries), 0) - scratch_.sums) * sizeof(double));
        for (int64_t k = 0; k < args_.dimensions; k += scratch_.block) add_block(k);
        if (is_own())
            __builtin_memcpy(scratch_.query_length, scratch_.point_length + own_,
                             static_cast<uint64_t>(count_) * sizeof(double));
        for (double& x : scratch_.query_length) x = __builtin_sqrt(x);
        for (double& x : scratch_.point_length) x = __builtin_sqrt(x);
        if (by_products<T> && !is_finite()) {
            for (int64_t q = 0; q < count_; ++q) Nearest::of(args_.lists, first_ + q).clear();
            return;
        }
        for (int64_t q = 0; q < count_; ++q) {
            const int64_t exclude = args_.exclude ? args_.exclude[first_ + q] : -1;
            const Nearest nearest = Nearest::of(args_.lists, first_ + q);
            const T* const query = queries_ + q * args_.dimensions;
            take_sums(q);
            if (by_products<T>) settle(query, scratch_.query_length[q], exclude, nearest.size);
            list_nearest(query, args_.reference, points_, args_.dimensions, exclude, scratch_.squared, nearest);
        }
    }

private:
    int64_t point_tiles() const { return ceil_div(points_, tile_points); }

    // Which point the first query is, where queries are points themselves: what a pair has in common is found once.
    int64_t own_point() const {
        const uintptr_t query = reinterpret_cast<uintptr_t>(queries_);
        for (int64_t p = 0; p + count_ <= points_; ++p)
            if (query == reinterpret_cast<uintptr_t>(args_.reference + p * args_.dimensions)) return p;
        return points_;
    }

    bool is_own() const { return own_ < points_; }

    // Whether all points of a tile are queries before a tile of queries.
    bool is_mirrored(int64_t query, int64_t point_tile) const {
        const int64_t first = query / tile_queries * tile_queries;
        return point_tile * tile_points >= own_ && (point_tile + 1) * tile_points <= own_ + first;
    }

    void add_block(int64_t begin) {
        constexpr Term term = by_products<T> ? Term::product : Term::square;
        constexpr int64_t block = sum_block<T>;
        const int64_t d = args_.dimensions, terms = smaller(block, d - begin), padded = round_up(terms, lanes<T>);
        const T* const points = args_.reference + begin;
        if (by_products<T>) find_center(points, points_, d, terms, scratch_.center);
        put_rows(points, points_, point_tiles() * tile_points, d, terms, scratch_.center, scratch_.points,
                 scratch_.point_length);
        Ahead<T> next_points(points, points_, d, block, d - begin);
        const int64_t share = ceil_div(next_points.left(), ceil_div(count_, group_queries) * point_tiles());
        for (int64_t group = 0; group < count_; group += group_queries) {
            const int64_t rows = smaller(group_queries, count_ - group);
            const T* const queries = queries_ + group * d + begin;
            const T* const copied = is_own() ? scratch_.points + (own_ + group) * block : scratch_.queries;
            if (!is_own())
                put_rows(queries, rows, round_up(rows, tile_queries), d, terms, scratch_.center, scratch_.queries,
                         scratch_.query_length + group);
            Ahead<T> next_queries(queries, is_own() ? 0 : rows, d, block, d - begin);
            const int64_t query_share = ceil_div(next_queries.left(), point_tiles());
            for (int64_t p = 0; p < point_tiles(); ++p) {
                next_points.ask(share), next_queries.ask(query_share);
                const T* point[tile_points];
                for (int i = 0; i < tile_points; ++i) point[i] = scratch_.points + (p * tile_points + i) * block;
                for (int64_t q = 0; q < rows && !is_mirrored(group + q, p); q += tile_queries)
                    add_terms<term, tile_queries, tile_points>(copied + q * block, block, point, padded,
                                                               sums(group + q, p));
            }
        }
    }

    // Whether all coordinates are, which lengths tell but for those that are beyond the type.
    bool is_finite() const {
        const auto finite = [&](const T* row, double length) {
            if (length < __builtin_inf()) return true;
            T sum = 0;
            for (int64_t k = 0; k < args_.dimensions; ++k) sum += row[k] - row[k];
            return sum == 0;
        };
        for (int64_t q = 0; q < count_; ++q)
            if (!finite(queries_ + q * args_.dimensions, scratch_.query_length[q])) return false;
        for (int64_t p = 0; p < points_; ++p)
            if (!finite(args_.reference + p * args_.dimensions, scratch_.point_length[p])) return false;
        return true;
    }

    double* sums(int64_t query, int64_t point_tile) const {
        return scratch_.sums + (query / tile_queries * point_tiles() + point_tile) * tile_sums;
    }

    void take_sums(int64_t query) {
        const int64_t row = query % tile_queries * tile_points, own = own_ + query;
        for (int64_t tile = 0; tile < point_tiles(); ++tile)
            for (int64_t i = 0, p = tile * tile_points; i < tile_points; ++i, ++p)
                scratch_.squared[p] =
                    is_mirrored(query, tile)
                        ? sums(p - own_, own / tile_points)[(p - own_) % tile_queries * tile_points + own % tile_points]
                        : sums(query, tile)[row + i];
    }

    // Makes of a query's sums of products its squared distances: within the tolerance, or, of points that enough
    // others are nearer than, what they are at least.
    void settle(const T* query, double length, int64_t exclude, int64_t wanted) {
        // Rounding moves points by half a unit of their distances from the centre, and so a distance by both.
        constexpr double shift = 1.01 * half_unit<T>, product = 2 * (error_of_terms<T> + shift);
        const double allowed = tolerance<T>(args_.dimensions);
        double* const squared = scratch_.squared;
        double error[knn_few_points];
        int64_t unknown = 0;
        for (int64_t p = 0; p < points_; ++p) {
            const double other = scratch_.point_length[p], lengths = length * length + other * other;
            squared[p] = lengths - 2 * squared[p];
            const double most = product * length * other + shift * (lengths + __builtin_fabs(squared[p]));
            error[p] = most <= allowed * squared[p] ? 0 : most;
            unknown += error[p] == 0 ? 0 : 1;
        }
        if (unknown) measure_unknown(query, exclude, wanted, error);
    }

    void measure_unknown(const T* query, int64_t exclude, int64_t wanted, double* error) {
        double* const squared = scratch_.squared;
        double most[knn_few_points];
        for (int64_t p = 0; p < points_; ++p) {
            if (!(error[p] < __builtin_inf())) error[p] = __builtin_inf(), squared[p] = 0;
            most[p] = squared[p] + error[p] > 0 ? squared[p] + error[p] : 0;
        }
        const DistanceKeys keys(most, points_, exclude, wanted);
        // No more than what the last of the nearest may be at most.
        const int64_t last = keys.used == 0 ? 0 : keys.key[smaller(wanted, keys.used) - 1] | DistanceKeys::low_bits;
        double limit;
        __builtin_memcpy(&limit, &last, sizeof limit);

        constexpr int at_once = 4;
        int64_t near[knn_few_points], found = 0;
        for (int64_t p = 0; p < points_; ++p) {
            if (error[p] == 0 || p == exclude) continue;
            squared[p] = squared[p] > error[p] ? squared[p] - error[p] : 0;
            near[found] = p;
            found += !(squared[p] > limit);  // which is NaN where lengths are beyond the type
        }
        for (int64_t i = 0; i < found; i += at_once) {
            const T* point[at_once];
            double sum[sum_places<at_once>] = {};
            for (int c = 0; c < at_once; ++c)
                point[c] = args_.reference + near[smaller(i + c, found - 1)] * args_.dimensions;
            for (int64_t k = 0; k < args_.dimensions; k += sum_block<T>) {
                const int64_t terms = smaller(sum_block<T>, args_.dimensions - k);
                add_terms<Term::square, 1, at_once>(query + k, 0, point, terms, sum);
                for (const T*& p : point) p += sum_block<T>;
            }
            for (int c = 0; c < at_once && i + c < found; ++c) squared[near[i + c]] = sum[c];
        }
    }

    const KnnFewArgs<T>& args_;
    const T* const queries_;
    const int64_t first_, count_, points_, own_;
    FewScratch<T>& scratch_;
};

}  // namespace

template <class T>
void knn_few(const KnnFewArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    for (int64_t item = begin; item < end; ++item) {
        const int64_t first = item * args.query_count / args.query_tiles;
        const int64_t last = (item + 1) * args.query_count / args.query_tiles;
        FewTile<T>(args, first, last - first, *static_cast<FewScratch<T>*>(scratch)).search();
    }
}

ADVCORE_INSTANTIATE(knn_few, KnnFewArgs)

}  // namespace advcore::ADVCORE_LEVEL

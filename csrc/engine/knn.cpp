#include "knn.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "dispatch.h"
#include "parallel.h"
#include "pool.h"

namespace advcore {
namespace {

constexpr int64_t samples = 64;            // rows that the centre and the scale are taken from
constexpr double room = 1.25;              // for points farther from the centre than the samples
constexpr int64_t piece_bytes = 4 << 20;   // of the reference's images at a time
constexpr int64_t block_bytes = 12 << 20;  // of what a block of queries takes
constexpr int64_t points_per_part = 256;   // the least that is worth an item of its own

int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

struct Lists {
    Pooled<double> squared;
    Pooled<int64_t> index;
    KnnLists view;
    Lists(int64_t lists, int64_t size)
        : squared(pooled<double>(lists * size)),
          index(pooled<int64_t>(lists * size)),
          view{squared.get(), index.get(), size} {}
};

}  // namespace

template <class T>
struct KnnReference<T>::Query {
    const T* rows;
    int64_t count, k;
    const int64_t* exclude;
    T* distances;
    int64_t* indices;

    Query block(int64_t first, int64_t size, int64_t dimensions) const {
        return {rows + first * dimensions, size, k, exclude ? exclude + first : nullptr, distances + first * k,
                indices + first * k};
    }
};

template <class T>
struct KnnReference<T>::Images {
    Pooled<int32_t> panels, half_norm;
    Pooled<double> error;
    Pooled<T> features;
    Pooled<double> features_error;
    double largest_error = 0;

    Images(int64_t count, int64_t image_dimensions, int64_t components) {
        const int64_t padded = round_up(count, knn_panel_points);
        panels = pooled<int32_t>(padded * ceil_div(image_dimensions, 2));
        half_norm = pooled<int32_t>(padded), error = pooled<double>(padded);
        if (!components) return;
        features = pooled<T>(count * image_dimensions), features_error = pooled<double>(count);
    }
};

template <class T>
KnnReference<T>::~KnnReference() = default;

template <class T>
KnnReference<T>::KnnReference(const T* rows, int64_t count, int64_t dimensions, const KnnBasis<T>& basis)
    : rows_(rows), count_(count), dimensions_(dimensions), basis_(basis) {
    if (count <= knn_few_points || dimensions == 0 || count > std::numeric_limits<int32_t>::max() ||
        dimensions > (1 << 24))
        return;
    const int64_t taken = std::min(samples, count), stretches = ceil_div(dimensions, knn_stretch);
    center_.resize(static_cast<size_t>(dimensions));
    std::vector<double> squared(static_cast<size_t>(stretches * taken));
    KnnCenterArgs<T> args{rows, center_.data(), squared.data(), count / taken * dimensions, taken, dimensions};
    run(kernels<T>().knn_center, args, stretches, 16);
    double largest = 0;
    for (int64_t i = 0; i < taken; ++i) {
        double sum = 0;
        for (int64_t s = 0; s < stretches; ++s) sum += squared[static_cast<size_t>(s * taken + i)];
        largest = std::max(largest, std::sqrt(sum));
    }
    // Neither the scale nor what it multiplies may come near the ends of the type.
    const double least = sizeof(T) == 4 ? 1e-25 : 1e-140, most = sizeof(T) == 4 ? 1e25 : 1e140;
    if (largest > least && largest < most) scale_ = static_cast<double>(static_cast<T>(knn_radius / (room * largest)));
}

template <class T>
void KnnReference<T>::make_images(const T* rows, int64_t count, bool queries, Images& images) const {
    const T* points = rows;
    if (basis_.components) {
        KnnProjectArgs<T> project{
            rows,        center_.data(),    basis_.data, images.features.get(), images.features_error.get(), count,
            dimensions_, basis_.components, basis_.skew};
        run(kernels<T>().knn_project, project, ceil_div(count, knn_project_rows));
        points = images.features.get();
    }
    KnnImageArgs<T> args{points,
                         basis_.components ? nullptr : center_.data(),
                         images.features_error.get(),
                         images.panels.get(),
                         images.half_norm.get(),
                         images.error.get(),
                         count,
                         image_dimensions(),
                         scale_,
                         queries};
    const int64_t items = ceil_div(count, queries ? knn_panel_queries : knn_panel_points);
    run(kernels<T>().knn_image, args, items, grain(count * image_dimensions() * 8, items));
    for (int64_t i = 0; i < count; ++i) images.largest_error = std::max(images.largest_error, images.error[i]);
}

template <class T>
void KnnReference<T>::keep_images() {
    if (scale_ == 0) return;
    auto images = std::make_unique<Images>(count_, image_dimensions(), 0);
    if (basis_.components) {  // piece by piece, or the features would take twice the memory of the images
        const int64_t piece = knn_project_rows * 32;
        const int64_t pairs = ceil_div(image_dimensions(), 2);
        for (int64_t first = 0; first < count_; first += piece) {
            const int64_t size = std::min(piece, count_ - first);
            Images part(size, image_dimensions(), basis_.components);
            make_images(rows_ + first * dimensions_, size, false, part);
            const int64_t padded = round_up(size, knn_panel_points);
            std::copy_n(part.panels.get(), padded * pairs, images->panels.get() + first * pairs);
            std::copy_n(part.half_norm.get(), padded, images->half_norm.get() + first);
            images->largest_error = std::max(images->largest_error, part.largest_error);
        }
    } else {
        make_images(rows_, count_, false, *images);
    }
    images->error.reset();
    images_ = std::move(images);
}

// What measuring every pair takes, in cycles, roughly, as in the functions below: see docs/neighbors.md.
template <class T>
double KnnReference<T>::dense_cycles(const Query& query) const {
    const double d = static_cast<double>(dimensions_);
    return static_cast<double>(query.count) * static_cast<double>(count_) * (d <= 256 ? d / 5 + 4 : d / 4 + 8);
}

template <class T>
bool KnnReference<T>::filter_pays(const Query& query) const {
    if (scale_ == 0 || 2 * query.k > count_) return false;
    const double queries = static_cast<double>(query.count), points = static_cast<double>(count_);
    const double d = static_cast<double>(dimensions_), image = static_cast<double>(image_dimensions());
    const double exact = d / 4 + 20;
    const double make = (basis_.components ? d * image / 14 : d * 2) + 50;
    const double filter = queries * points * (image / 28 + 0.5) + (queries + (images_ ? 0 : points)) * make +
                          queries * (static_cast<double>(query.k) * 2.5 * (exact + 40) + 2000);
    return filter < dense_cycles(query);
}

template <class T>
void KnnReference<T>::search(const T* queries, int64_t count, int64_t k, const int64_t* exclude, T* distances,
                             int64_t* indices) const {
    const Query query{queries, count, k, exclude, distances, indices};
    if (count == 0) return;
    if (few(count_, dimensions_))
        search_few(query);
    else if (filter_pays(query))
        search_filtered(query);
    else
        search_dense(query);
}

template <class T>
void KnnReference<T>::search_few(const Query& all) const {
    const int64_t threads = get_num_threads(), block = threads * knn_few_queries;
    for (int64_t first = 0; first < all.count; first += block) {
        const Query query = all.block(first, std::min(block, all.count - first), dimensions_);
        const Lists lists(query.count, std::min(query.k, count_));
        const KnnFewArgs<T> args{query.rows,  rows_,  query.exclude, lists.view,
                                 query.count, count_, dimensions_,   std::min(query.count, threads)};
        run(kernels<T>().knn_few, args, args.query_tiles);
        const KnnMergeArgs<T> merge{lists.view, query.distances, query.indices, query.count, 1, query.k};
        run(kernels<T>().knn_merge, merge, query.count, std::max<int64_t>(64, 4096 / query.k));
    }
}

template <class T>
void KnnReference<T>::search_dense(const Query& all) const {
    const int64_t pair = dimensions_ + 8, least_work = 1 << 18;
    const int64_t block = std::clamp<int64_t>(block_bytes / (16 * all.k), knn_dense_queries, all.count);
    for (int64_t first = 0; first < all.count; first += block) {
        const Query query = all.block(first, std::min(block, all.count - first), dimensions_);
        // Few queries share the reference out over the threads; the result does not depend on how.
        const int64_t threads = std::clamp<int64_t>(query.count * count_ * pair / least_work, 1, get_num_threads());
        int64_t tiles = ceil_div(query.count, knn_dense_queries), parts = 1;
        if (tiles % threads) tiles = std::min(round_up(tiles, threads), query.count);
        if (tiles < threads)
            parts = std::clamp<int64_t>(count_ / points_per_part, 1, std::min(knn_most_parts, 2 * threads));
        const int64_t per_part = ceil_div(count_, parts);
        parts = ceil_div(count_, per_part);
        const Lists lists(parts * query.count, std::min(query.k, per_part));
        const KnnDenseArgs<T> args{query.rows, rows_,       query.exclude, lists.view, query.count,
                                   count_,     dimensions_, tiles,         parts,      per_part};
        run(narrow_kernels<T>().knn_dense, args, tiles * parts);
        const KnnMergeArgs<T> merge{lists.view, query.distances, query.indices, query.count, parts, query.k};
        run(kernels<T>().knn_merge, merge, query.count, std::max<int64_t>(64, 4096 / query.k));
    }
}

template <class T>
void KnnReference<T>::search_filtered(const Query& all) const {
    const int64_t capacity = round_up(4 * all.k + 2 * knn_panel_points + 32, 16), image = image_dimensions();
    const int64_t per_query =
        16 * all.k + 8 * capacity + 64 + 2 * image + (basis_.components ? static_cast<int64_t>(sizeof(T)) * image : 0);
    const int64_t threads = get_num_threads();
    const int64_t block = std::min(all.count, std::max<int64_t>(block_bytes / per_query, 24 * threads));
    const int64_t per_point = 2 * image + (basis_.components ? static_cast<int64_t>(sizeof(T)) * image : 0);
    const int64_t piece = images_ ? count_
                                  : std::min(round_up(count_, knn_panel_points),
                                             round_up(std::max<int64_t>(piece_bytes / per_point, 256), 240));
    Images mine(images_ ? 0 : piece, image, basis_.components);
    Images queries(block, image, basis_.components);
    for (int64_t first = 0; first < all.count; first += block) {
        const Query query = all.block(first, std::min(block, all.count - first), dimensions_);
        make_images(query.rows, query.count, true, queries);
        const int64_t panels = ceil_div(query.count, knn_panel_queries);
        int64_t tiles = ceil_div(query.count, knn_tile_queries), parts = 1;
        if (tiles % threads) tiles = std::min(round_up(tiles, threads), panels);
        if (tiles < threads)
            parts = std::clamp<int64_t>(count_ / points_per_part, 1, std::min(knn_most_parts, threads));
        const int64_t per_part = round_up(ceil_div(count_, parts), knn_panel_points);
        parts = ceil_div(count_, per_part);
        const int64_t slots = parts * query.count;
        const Lists lists(slots, std::min(query.k, per_part));
        std::fill_n(lists.squared.get(), slots * lists.view.size, std::numeric_limits<double>::infinity());
        std::fill_n(lists.index.get(), slots * lists.view.size, std::numeric_limits<int64_t>::max());
        const auto pending = pooled<int64_t>(slots * capacity);
        const auto pending_count = pooled<int64_t>(slots);
        const auto limit = pooled<int32_t>(slots);
        std::fill_n(pending_count.get(), slots, 0);
        std::fill_n(limit.get(), slots, knn_far - 1);

        KnnFilterArgs<T> args{};
        args.queries = query.rows, args.reference = rows_, args.exclude = query.exclude, args.lists = lists.view;
        args.query_count = query.count, args.dimensions = dimensions_, args.image_dimensions = image;
        args.query_panels = queries.panels.get(), args.query_half_norm = queries.half_norm.get();
        args.query_error = queries.error.get(), args.scale = scale_;
        args.pending = pending.get(), args.pending_count = pending_count.get(), args.limit = limit.get();
        args.capacity = capacity, args.query_tiles = tiles, args.parts = parts, args.points_per_part = per_part;
        for (int64_t point = 0; point < count_; point += piece) {
            Images& images = images_ ? *images_ : mine;
            args.first_point = point, args.point_count = std::min(piece, count_ - point);
            if (!images_) make_images(rows_ + point * dimensions_, args.point_count, false, mine);
            args.point_panels = images.panels.get(), args.point_half_norm = images.half_norm.get();
            args.point_error = images.largest_error;
            run(kernels<T>().knn_filter, args, tiles * parts);
        }
        args.query_tiles = std::min(query.count, round_up(ceil_div(query.count, knn_tile_queries / 2), threads));
        run(kernels<T>().knn_finish, KnnFinishArgs<T>{args}, args.query_tiles * parts);
        const KnnMergeArgs<T> merge{lists.view, query.distances, query.indices, query.count, parts, query.k};
        run(kernels<T>().knn_merge, merge, query.count, std::max<int64_t>(64, 4096 / query.k));
    }
}

template class KnnReference<float>;
template class KnnReference<double>;

}  // namespace advcore

// Exact nearest neighbours: a reference that is made ready once, and searches of it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "../kernels/knn.h"

namespace advcore {

// An orthonormal basis that reaches most of what the points vary in, row by row of [dimensions][components]; none if
// components is 0. Its columns are orthonormal but for `skew`, a bound on the spectral norm.
template <class T>
struct KnnBasis {
    const T* data;
    int64_t components;
    double skew;
};

// Points that are searched; they must outlive it.
template <class T>
class KnnReference {
public:
    KnnReference(const T* rows, int64_t count, int64_t dimensions, const KnnBasis<T>& basis);
    ~KnnReference();

    // Makes the images of all points and keeps them; without, every search makes them, piece by piece.
    void keep_images();

    // Whether a search writes infinite distances where a coordinate, of whichever point, is NaN or infinite.
    static bool tells_nonfinite(int64_t count, int64_t dimensions) { return sizeof(T) == 4 && few(count, dimensions); }

    // Writes the k nearest of every query, ascending: [queries][k]. `exclude` may be null.
    void search(const T* queries, int64_t count, int64_t k, const int64_t* exclude, T* distances,
                int64_t* indices) const;

private:
    struct Images;
    struct Query;  // what is asked

    // By the reference alone: the distances are not those of the other ways to the last bit.
    static bool few(int64_t count, int64_t dimensions) {
        return count <= knn_few_points && dimensions >= knn_few_dimensions;
    }
    double dense_cycles(const Query& query) const;
    bool filter_pays(const Query& query) const;
    int64_t image_dimensions() const { return basis_.components ? basis_.components + 1 : dimensions_; }
    void make_images(const T* rows, int64_t count, bool queries, Images& images) const;
    void search_dense(const Query& query) const;
    void search_few(const Query& query) const;
    void search_filtered(const Query& query) const;

    const T* rows_;
    int64_t count_, dimensions_;
    KnnBasis<T> basis_;
    std::vector<T> center_;
    double scale_ = 0;  // 0: no image would tell the points apart, or they are too few for images
    std::unique_ptr<Images> images_;
};

}  // namespace advcore

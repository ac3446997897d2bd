// k nearest neighbours and the dimension that they tell.
#include <memory>

#include "../engine/knn.h"
#include "arrays.h"

namespace advcore {
namespace {

template <class T>
KnnBasis<T> basis_of(const MaybeArray<T>& basis, double skew) {
    return basis ? KnnBasis<T>{basis->data(), extent(*basis, 1), skew} : KnnBasis<T>{nullptr, 0, 0};
}

template <class T>
void search(const KnnReference<T>& reference, Array<T>& distances, Array<int64_t>& indices, const Array<T>& queries,
            const MaybeArray<int64_t>& exclude) {
    T* const distance = distances.mutable_data();
    int64_t* const index = indices.mutable_data();
    const py::gil_scoped_release unlocked;
    reference.search(queries.data(), extent(queries, 0), extent(indices, 1), data_or_null(exclude), distance, index);
}

template <class T>
void knn(Array<T> distances, Array<int64_t> indices, const Array<T>& queries, const Array<T>& reference,
         const MaybeArray<int64_t>& exclude, const MaybeArray<T>& basis, double skew) {
    const KnnReference<T> prepared(reference.data(), extent(reference, 0), extent(reference, 1), basis_of(basis, skew));
    search(prepared, distances, indices, queries, exclude);
}

template <class T>
bool tells_nonfinite(const Array<T>& reference) {
    return KnnReference<T>::tells_nonfinite(extent(reference, 0), extent(reference, 1));
}

// A reference with its images; it holds the arrays that these were made from.
template <class T>
class Prepared {
public:
    Prepared(Array<T> reference, MaybeArray<T> basis, double skew)
        : rows_(std::move(reference)),
          basis_(std::move(basis)),
          reference_(rows_.data(), extent(rows_, 0), extent(rows_, 1), basis_of(basis_, skew)) {
        const py::gil_scoped_release unlocked;
        reference_.keep_images();
    }
    void search(Array<T> distances, Array<int64_t> indices, const Array<T>& queries,
                const MaybeArray<int64_t>& exclude) const {
        advcore::search(reference_, distances, indices, queries, exclude);
    }

private:
    Array<T> rows_;
    MaybeArray<T> basis_;
    KnnReference<T> reference_;
};

template <class T>
void lid(Array<T> out, const Array<T>& distances) {
    LidArgs<T> args{};
    args.distance = distances.data(), args.lid = out.mutable_data(), args.k = extent(distances, 1);
    const py::gil_scoped_release unlocked;
    run(kernels<T>().lid, args, extent(distances, 0), 64);
}

template <class T>
void bind(py::module_& m, const char* prepared) {
    m.def("knn", &knn<T>, py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(),
          py::arg().noconvert(), py::arg().noconvert(), py::arg());
    m.def("knn_tells_nonfinite", &tells_nonfinite<T>, py::arg().noconvert());
    m.def("lid", &lid<T>, py::arg().noconvert(), py::arg().noconvert());
    py::class_<Prepared<T>>(m, prepared)
        .def(py::init<Array<T>, MaybeArray<T>, double>(), py::arg().noconvert(), py::arg().noconvert(), py::arg())
        .def("search", &Prepared<T>::search, py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(),
             py::arg().noconvert());
}

}  // namespace

void bind_neighbors(py::module_& m) {
    bind<float>(m, "PreparedReference32");
    bind<double>(m, "PreparedReference64");
}

}  // namespace advcore

// The steps of a recurrent layer in one direction: packs the recurrent weight, then runs the groups of samples.
#include <algorithm>
#include <memory>
#include <new>

#include "arrays.h"

namespace advcore {
namespace {

using Lengths = std::optional<py::array_t<int64_t, py::array::c_style>>;

struct FreeAligned {
    void operator()(void* memory) const { ::operator delete(memory, std::align_val_t{64}); }
};

// w_hh ready for the product of every step: transposed for forward, as it is for backward.
template <class T>
class PackedWeight {
public:
    PackedWeight(Cell cell, const T* weight, int64_t hidden, bool transposed)
        : hidden_(hidden), transposed_(transposed) {
        const bool gru = cell == Cell::gru_after || cell == Cell::gru_before;
        const int64_t rows = gru ? 2 * hidden : gate_count(cell) * hidden;
        const int64_t size = packed_size(rows), new_size = gru ? packed_size(hidden) : 0;
        memory_.reset(static_cast<T*>(
            ::operator new(static_cast<std::size_t>(size + new_size) * sizeof(T), std::align_val_t{64})));
        pack(weight, rows, memory_.get());
        if (gru) pack(weight + rows * hidden, hidden, memory_.get() + size);
        new_weight_ = memory_.get() + size;
    }
    const T* weight() const { return memory_.get(); }
    const T* new_weight() const { return new_weight_; }

private:
    static int64_t strips(int64_t cols) { return ceil_div(cols, packed_strip_cols); }
    int64_t packed_size(int64_t rows) const {
        return transposed_ ? hidden_ * strips(rows) * packed_strip_cols : rows * strips(hidden_) * packed_strip_cols;
    }
    void pack(const T* weight, int64_t rows, T* packed) const {
        RecurrentPackArgs<T> args{};
        args.right = weight, args.packed = packed;
        if (transposed_)
            args.depth = hidden_, args.cols = rows, args.depth_stride = 1, args.col_stride = hidden_;
        else
            args.depth = rows, args.cols = hidden_, args.depth_stride = hidden_, args.col_stride = 1;
        constexpr int64_t worth_a_thread = 1 << 15;  // elements
        const int64_t grain = std::max<int64_t>(1, worth_a_thread / (args.depth * packed_strip_cols));
        run(kernels<T>().recurrent_pack, args, strips(args.cols), grain);
    }

    int64_t hidden_;
    bool transposed_;
    std::unique_ptr<T, FreeAligned> memory_;
    const T* new_weight_;
};

// Every thread gets a group of its own where there are samples enough; a sample's result is the same in any group.
template <class T>
int64_t deal_samples(RecurrentSteps<T>& steps) {
    const int64_t threads = std::max<int64_t>(1, get_num_threads());
    const int64_t groups = ceil_div(steps.samples, threads * max_samples_per_item) * threads;
    steps.samples_per_item = ceil_div(steps.samples, groups);
    return ceil_div(steps.samples, steps.samples_per_item);
}

// The array of all steps has the samples along axis 1; an array of one step is overwritten by each.
template <class T>
int64_t step_stride(const Array<T>& array) {
    return extent(array, 0) == 1 ? 0 : extent(array, 1) * extent(array, 2);
}

template <class T>
int64_t stride(const py::array_t<T, 0>& array, int axis) {
    return static_cast<int64_t>(array.strides(axis)) / static_cast<int64_t>(sizeof(T));
}

template <class T>
void read_steps(RecurrentSteps<T>& steps, int cell, bool reverse, const Array<T>& gates, const Array<T>& w_hh,
                const Lengths& lengths) {
    steps.cell = static_cast<Cell>(cell), steps.reverse = reverse;
    steps.steps = extent(gates, 0), steps.samples = extent(gates, 1), steps.hidden = extent(w_hh, 1);
    steps.lengths = lengths ? lengths->data() : nullptr;
}

template <class T>
void recurrent_forward(py::array_t<T, 0> output, Array<T> gates, Array<T> states, std::optional<Array<T>> cells,
                       std::optional<Array<T>> extra, const Array<T>& w_hh, const MaybeArray<T>& new_bias,
                       const Lengths& lengths, int cell, bool reverse) {
    RecurrentForwardArgs<T> args{};
    read_steps(args, cell, reverse, gates, w_hh, lengths);
    args.new_bias = data_or_null(new_bias);
    args.gates = gates.mutable_data(), args.states = states.mutable_data();
    args.cells = cells ? cells->mutable_data() : nullptr;
    args.extra = extra ? extra->mutable_data() : nullptr;
    args.slot_stride = step_stride(states), args.extra_stride = extra ? step_stride(*extra) : 0;
    args.output = output.mutable_data(), args.output_step = stride(output, 0), args.output_sample = stride(output, 1);
    if (args.samples == 0) return;
    const py::gil_scoped_release unlocked;
    const PackedWeight<T> packed(args.cell, w_hh.data(), args.hidden, true);
    args.packed_weight = packed.weight(), args.packed_new_weight = packed.new_weight();
    run(kernels<T>().recurrent_forward, args, deal_samples(args));
}

template <class T>
void recurrent_backward(Array<T> grad_gates, std::optional<Array<T>> grad_extra, Array<T> grad_state,
                        std::optional<Array<T>> grad_cell, const py::array_t<T, 0>& grad_output, const Array<T>& gates,
                        const Array<T>& states, const MaybeArray<T>& cells, const MaybeArray<T>& extra,
                        const Array<T>& w_hh, const Lengths& lengths, int cell, bool reverse) {
    RecurrentBackwardArgs<T> args{};
    read_steps(args, cell, reverse, gates, w_hh, lengths);
    args.gates = gates.data(), args.states = states.data();
    args.cells = data_or_null(cells), args.extra = data_or_null(extra);
    args.grad_output = grad_output.data();
    args.output_step = stride(grad_output, 0), args.output_sample = stride(grad_output, 1);
    args.grad_gates = grad_gates.mutable_data(), args.grad_state = grad_state.mutable_data();
    args.grad_extra = grad_extra ? grad_extra->mutable_data() : nullptr;
    args.grad_extra_stride = grad_extra ? step_stride(*grad_extra) : 0;
    args.grad_cells = grad_cell ? grad_cell->mutable_data() : nullptr;
    if (args.samples == 0) return;
    const py::gil_scoped_release unlocked;
    const PackedWeight<T> packed(args.cell, w_hh.data(), args.hidden, false);
    args.packed_weight = packed.weight(), args.packed_new_weight = packed.new_weight();
    run(kernels<T>().recurrent_backward, args, deal_samples(args));
}

template <class T>
void bind(py::module_& m) {
    m.def("recurrent_forward", &recurrent_forward<T>, py::arg().noconvert(), py::arg().noconvert(),
          py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(),
          py::arg().noconvert(), py::arg().noconvert(), py::arg(), py::arg());
    m.def("recurrent_backward", &recurrent_backward<T>, py::arg().noconvert(), py::arg().noconvert(),
          py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(),
          py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(),
          py::arg().noconvert(), py::arg(), py::arg());
}

}  // namespace

void bind_recurrent(py::module_& m) {
    bind<float>(m);
    bind<double>(m);
}

}  // namespace advcore

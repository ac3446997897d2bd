// The steps of an LSTM with batch normalisation: one call of the kernel a step, over blocks of units.
#include <cstdint>
#include <vector>

#include "arrays.h"

namespace advcore {
namespace {

// w_hh, bias, gamma_ih, gamma_hh, gamma_c, beta_c; where gradients are added up without the first.
template <class T>
using Params = std::vector<Array<T>>;

constexpr int64_t gates_of_lstm = 4;

// Blocks of this many units make whole panels at every level; smaller ones where every thread would not get two.
template <class T>
int64_t units_a_block(int64_t hidden) {
    constexpr int64_t wide = 32, narrow = 16;
    return hidden >= 2 * wide * get_num_threads() ? wide : narrow;
}

template <class T>
class PackedUnitsOf {
public:
    PackedUnitsOf(const T* weight, int64_t hidden, int64_t block_units, bool transposed) {
        constexpr std::size_t alignment = 64;
        const int64_t blocks = ceil_div(hidden, block_units);
        const std::size_t elements = static_cast<std::size_t>(blocks * gates_of_lstm * hidden * block_units);
        memory_.resize(elements + alignment / sizeof(T));
        const std::size_t past = reinterpret_cast<std::uintptr_t>(memory_.data()) % alignment;
        aligned_ = memory_.data() + (past == 0 ? 0 : (alignment - past) / sizeof(T));
        BatchNormLstmPackArgs<T> args{};
        args.weight = weight, args.transposed = transposed, args.hidden = hidden, args.block_units = block_units;
        args.packed = aligned_;
        run(kernels<T>().batch_norm_lstm_pack, args, blocks, grain(gates_of_lstm * hidden * hidden, blocks));
    }
    const T* data() const { return aligned_; }

private:
    std::vector<T> memory_;
    T* aligned_;
};

// Where the arrays of a sequence (time first) hold a step; an array with fewer steps is used in turn.
template <class T>
T* at_step(Array<T>& array, int64_t t) {
    return array.mutable_data() + t % extent(array, 0) * extent(array, 1) * extent(array, 2);
}

// Steps beyond the last one with statistics share that one's. They are written in training alone: users' may be
// read-only.
template <class T>
T* statistics_at(const Array<T>& array, int64_t t) {
    return const_cast<T*>(array.data()) + std::min(t, extent(array, 0) - 1) * extent(array, 1) * extent(array, 2);
}

template <class T>
struct Sequence {
    Array<T> input_part, state_part, gates, states, cells, tanh_cell, mean, variance;

    int64_t steps() const { return extent(input_part, 0); }

    void point(BatchNormLstmStep<T>& args, int64_t t) {
        args.t = t;
        args.input_part = at_step(input_part, t), args.state_part = at_step(state_part, t);
        args.gates = at_step(gates, t), args.tanh_cell = at_step(tanh_cell, t);
        args.state = at_step(states, t), args.cell = at_step(cells, t), args.next_cell = at_step(cells, t + 1);
        args.mean = statistics_at(mean, t), args.variance = statistics_at(variance, t);
    }
};

template <class T>
void read_params(BatchNormLstmStep<T>& args, const Sequence<T>& sequence, const Params<T>& params, double eps,
                 bool training) {
    args.samples = extent(sequence.input_part, 1), args.hidden = extent(params[0], 1);
    args.block_units = units_a_block<T>(args.hidden);
    args.eps = static_cast<T>(eps), args.training = training;
    args.bias = params[1].data(), args.gamma_ih = params[2].data(), args.gamma_hh = params[3].data();
    args.gamma_c = params[4].data(), args.beta_c = params[5].data();
}

template <class Args>
void run_step(void (*kernel)(const Args&, int64_t, int64_t, void*), const Args& args) {
    const int64_t blocks = ceil_div(args.hidden, args.block_units);
    run(kernel, args, blocks, grain(args.samples * gates_of_lstm * args.hidden * args.hidden, blocks));
}

template <class T>
int64_t stride(const StridedArray<T>& array, int axis) {
    return static_cast<int64_t>(array.strides(axis)) / static_cast<int64_t>(sizeof(T));
}

template <class T>
void batch_norm_lstm_forward(StridedArray<T> output, Array<T> input_part, Array<T> state_part, Array<T> gates,
                             Array<T> states, Array<T> cells, Array<T> tanh_cell, Array<T> mean, Array<T> variance,
                             const Params<T>& params, double eps, bool training) {
    Sequence<T> sequence{input_part, state_part, gates, states, cells, tanh_cell, mean, variance};
    BatchNormLstmForwardArgs<T> args{};
    read_params(args, sequence, params, eps, training);
    args.output_sample = stride(output, 1);
    T* const first_output = output.mutable_data();
    const int64_t output_step = stride(output, 0);
    const T* const weight = params[0].data();
    if (args.samples == 0) return;
    const py::gil_scoped_release unlocked;
    const PackedUnitsOf<T> packed(weight, args.hidden, args.block_units, true);
    args.packed_weight = packed.data();
    for (int64_t t = 0; t < sequence.steps(); ++t) {
        sequence.point(args, t);
        args.next_state = at_step(sequence.states, t + 1);
        args.output = first_output + t * output_step;
        run_step(kernels<T>().batch_norm_lstm_forward, args);
    }
}

template <class T>
void batch_norm_lstm_backward(Array<T> grad_input_part, Array<T> grad_state_part, Array<T> grad_state,
                              Array<T> grad_cell, Params<T> grad_params, const StridedArray<T>& grad_output,
                              Array<T> input_part, Array<T> state_part, Array<T> gates, Array<T> states, Array<T> cells,
                              Array<T> tanh_cell, Array<T> mean, Array<T> variance, const Params<T>& params, double eps,
                              bool training) {
    Sequence<T> sequence{input_part, state_part, gates, states, cells, tanh_cell, mean, variance};
    BatchNormLstmBackwardArgs<T> args{};
    read_params(args, sequence, params, eps, training);
    args.output_sample = stride(grad_output, 1);
    args.grad_state = grad_state.mutable_data(), args.grad_cell = grad_cell.mutable_data();
    args.grad_bias = grad_params[0].mutable_data(), args.grad_gamma_ih = grad_params[1].mutable_data();
    args.grad_gamma_hh = grad_params[2].mutable_data(), args.grad_gamma_c = grad_params[3].mutable_data();
    args.grad_beta_c = grad_params[4].mutable_data();
    const T* const first_grad = grad_output.data();
    const int64_t grad_step = stride(grad_output, 0);
    const T* const weight = params[0].data();
    if (args.samples == 0) return;
    const py::gil_scoped_release unlocked;
    const PackedUnitsOf<T> packed(weight, args.hidden, args.block_units, false);
    args.packed_weight = packed.data();
    for (int64_t t = sequence.steps() - 1; t >= 0; --t) {
        sequence.point(args, t);
        args.grad_output = first_grad + t * grad_step;
        args.grad_input_part = at_step(grad_input_part, t), args.grad_state_part = at_step(grad_state_part, t);
        run_step(kernels<T>().batch_norm_lstm_backward, args);
        args.later_grad = args.grad_state_part;
    }
    args.only_product = true;
    run_step(kernels<T>().batch_norm_lstm_backward, args);
}

template <class T>
void bind(py::module_& m) {
    m.def("batch_norm_lstm_forward", &batch_norm_lstm_forward<T>, py::arg().noconvert(), py::arg().noconvert(),
          py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(),
          py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(), py::arg(),
          py::arg());
    m.def("batch_norm_lstm_backward", &batch_norm_lstm_backward<T>, py::arg().noconvert(), py::arg().noconvert(),
          py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(),
          py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(),
          py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(),
          py::arg().noconvert(), py::arg(), py::arg());
}

}  // namespace

void bind_batch_norm_lstm(py::module_& m) {
    bind<float>(m);
    bind<double>(m);
}

}  // namespace advcore

// The steps of a recurrent layer in one direction, forward and backward: packs the weights, deals the samples over the
// threads, and multiplies what all steps have in common.
#include <vector>

#include "../engine/linear.h"
#include "../engine/pool.h"
#include "../kernels/tile.h"
#include "arrays.h"

namespace advcore {
namespace {

using Lengths = MaybeArray<int64_t>;

int64_t strips(int64_t cols) { return ceil_div(cols, packed_strip_cols); }
int64_t packed_size(int64_t depth, int64_t cols) { return depth * strips(cols) * packed_strip_cols; }
bool is_gru(Cell cell) { return cell == Cell::gru_after || cell == Cell::gru_before; }

// A thread packs some thousand numbers at least.
int64_t packing_grain(int64_t strip_size) { return std::max<int64_t>(1, (1 << 15) / std::max<int64_t>(1, strip_size)); }

// Packs some gates' weights [gates * hidden, depth] for forward; returns what follows them.
template <class T>
T* pack_gates(const T* weight, int64_t gates, int64_t hidden, int64_t depth, T* packed) {
    RecurrentPackGatesArgs<T> args{weight, gates, hidden, depth, packed};
    run(kernels<T>().recurrent_pack_gates, args, strips(hidden), packing_grain(depth * gates * packed_strip_cols));
    return packed + packed_size(depth, gates * hidden);
}

// Packs rows of w_hh for backward; returns what follows them.
template <class T>
T* pack_rows(const T* weight, int64_t rows, int64_t hidden, T* packed) {
    RecurrentPackArgs<T> args{weight, rows, hidden, packed};
    run(kernels<T>().recurrent_pack, args, strips(hidden), packing_grain(rows * packed_strip_cols));
    return packed + packed_size(rows, hidden);
}

template <class T>
int64_t stride(const StridedArray<T>& array, int axis) {  // NumPy leaves any number where it plays no part
    return array.shape(axis) > 1 ? static_cast<int64_t>(array.strides(axis)) / static_cast<int64_t>(sizeof(T)) : 0;
}

// How many threads are worth waking.
int64_t useful_threads(int64_t work) {
    constexpr int64_t least_work = 1 << 19;  // multiply-adds
    return std::clamp<int64_t>(work / least_work, 1, std::max(1, get_num_threads()));
}

template <class T>
int64_t work(const RecurrentSteps<T>& steps) {
    return steps.steps * steps.samples * gate_count(steps.cell) * steps.hidden * (steps.inputs + steps.hidden);
}

// Every thread gets a group of its own where there are samples enough; a sample's result is the same in any group.
template <class T>
int64_t deal_samples(RecurrentSteps<T>& steps, int64_t threads, int64_t most) {
    const int64_t groups = ceil_div(steps.samples, threads * most) * threads;
    steps.samples_per_item = ceil_div(steps.samples, groups);
    return ceil_div(steps.samples, steps.samples_per_item);
}

// Cuts the work into items and returns their number. A single step is cut by units: every thread reads its own weights.
template <class T>
int64_t deal(RecurrentForwardArgs<T>& args) {
    constexpr int64_t size = scratch_bytes / static_cast<int64_t>(sizeof(T));
    const int64_t gates = gate_count(args.cell), fixed = recurrent_forward_scratch(0, gates, args.hidden);
    const int64_t a_row = recurrent_forward_scratch(1, gates, args.hidden) - fixed;
    const int64_t most = std::min((size - fixed) / a_row, max_samples_per_item);
    if (most == 0) throw std::length_error("the hidden size is beyond what the scratch memory holds");
    const bool by_units = args.steps == 1 && args.cell != Cell::gru_before;
    constexpr int64_t samples_to_read = 8;  // to read a weight takes as long as to multiply it for some samples
    const int64_t threads = useful_threads(work(args) * (by_units ? ceil_div(samples_to_read, args.samples) : 1));
    const int64_t groups = deal_samples(args, by_units ? 1 : threads, most);
    args.units_per_item = by_units ? ceil_div(strips(args.hidden), threads) * packed_strip_cols : args.hidden;
    args.steps_at_once = std::min(std::max<int64_t>(1, most / args.samples_per_item), args.steps);
    return groups * ceil_div(args.hidden, args.units_per_item);
}

// What is added to the gates beside the input, and to the state's part of the candidate alone.
template <class T>
std::vector<T> biases(Cell cell, int64_t hidden, const T* b_ih, const T* b_hh) {
    const int64_t width = gate_count(cell) * hidden, candidate = 2 * hidden;
    std::vector<T> sum(static_cast<std::size_t>(width + hidden));
    for (int64_t i = 0; b_ih && i < width; ++i) sum[static_cast<std::size_t>(i)] = b_ih[i];
    for (int64_t i = 0; b_hh && i < width; ++i) {
        const bool apart = cell == Cell::gru_after && i >= candidate;
        sum[static_cast<std::size_t>(apart ? width + i - candidate : i)] += b_hh[i];
    }
    return sum;
}

template <class T>
void recurrent_forward(StridedArray<T> output, Array<T> last_state, std::optional<Array<T>> last_cell,
                       const StridedArray<T>& input, const MaybeArray<T>& first_state, const MaybeArray<T>& first_cell,
                       const Array<T>& w_ih, const Array<T>& w_hh, const MaybeArray<T>& b_ih, const MaybeArray<T>& b_hh,
                       const Lengths& lengths, std::optional<Array<T>> gates, std::optional<Array<T>> states,
                       std::optional<Array<T>> cells, std::optional<Array<T>> extra, int cell, bool reverse) {
    RecurrentForwardArgs<T> args{};
    args.cell = static_cast<Cell>(cell), args.reverse = reverse;
    args.steps = static_cast<int64_t>(input.shape(0)), args.samples = static_cast<int64_t>(input.shape(1));
    args.inputs = static_cast<int64_t>(input.shape(2)), args.hidden = extent(w_hh, 1);
    if (args.samples == 0) return;
    args.lengths = lengths ? lengths->data() : nullptr;
    args.input = input.data(), args.input_step = stride(input, 0), args.input_sample = stride(input, 1);
    args.output = output.mutable_data(), args.output_step = stride(output, 0), args.output_sample = stride(output, 1);
    const int64_t slot = args.samples * args.hidden, step_gates = gate_count(args.cell);
    if (gates) args.gates = gates->mutable_data(), args.slot_stride = slot;
    if (extra) args.extra = extra->mutable_data();
    args.states = states ? states->mutable_data() : last_state.mutable_data();
    if (last_cell) args.cells = cells ? cells->mutable_data() : last_cell->mutable_data();
    const T* const given_state = data_or_null(first_state);
    const T* const given_cell = data_or_null(first_cell);
    T* const to_state = last_state.mutable_data();
    T* const to_cell = last_cell ? last_cell->mutable_data() : nullptr;
    const T* const weights[] = {w_ih.data(), w_hh.data(), data_or_null(b_ih), data_or_null(b_hh)};

    const py::gil_scoped_release unlocked;
    const std::vector<T> bias = biases(args.cell, args.hidden, weights[2], weights[3]);
    args.bias = bias.data(), args.new_bias = bias.data() + step_gates * args.hidden;

    // The slot before the first step: the tape's own, or what was given.
    std::vector<T> zeros;
    if (!args.gates && (!given_state || (args.cells && !given_cell))) zeros.resize(static_cast<std::size_t>(slot));
    const auto first = [&](const T* given, T* slots) -> const T* {
        if (!args.gates) return given ? given : zeros.data();
        T* const at = slots + (reverse ? args.steps * slot : 0);
        given ? static_cast<void>(std::copy_n(given, slot, at)) : static_cast<void>(std::fill_n(at, slot, T(0)));
        return at;
    };
    args.first_state = first(given_state, args.states);
    if (args.cells) args.first_cell = first(given_cell, args.cells);

    const int64_t items = deal(args);
    args.packing = args.steps * args.samples <= max_thin_rows ? Packing::none
                   : args.steps == 1                          ? Packing::of_rows
                                                              : Packing::ahead;
    const bool pack = args.packing == Packing::ahead;
    const int64_t width = step_gates * args.hidden;
    const int64_t slack = packed_size(args.hidden, 1);  // where the rows of n are apart
    const Pooled<T> packed =
        pooled<T>(pack ? packed_size(args.inputs, width) + packed_size(args.hidden, width) + slack : 0);
    const int64_t apart = args.cell == Cell::gru_before ? args.hidden : 0;
    args.w_ih = weights[0], args.w_hh = weights[1], args.w_hn = weights[1] + (width - apart) * args.hidden;
    if (pack) {
        T* const state_at = pack_gates(weights[0], step_gates, args.hidden, args.inputs, packed.get());
        T* const new_at = pack_gates(weights[1], step_gates - (apart ? 1 : 0), args.hidden, args.hidden, state_at);
        if (apart) pack_gates(args.w_hn, 1, args.hidden, args.hidden, new_at);
        args.w_ih = packed.get(), args.w_hh = state_at, args.w_hn = new_at;
    }
    run(kernels<T>().recurrent_forward, args, items);
    if (!args.gates) return;
    const int64_t last = reverse ? 0 : args.steps * slot;
    std::copy_n(args.states + last, slot, to_state);
    if (to_cell) std::copy_n(args.cells + last, slot, to_cell);
}

// Gradients of a chunk of steps wait for the products that follow: so many steps that these have rows enough.
template <class T>
int64_t steps_in_chunk(const RecurrentSteps<T>& steps, int64_t row_size) {
    constexpr int64_t chunk_bytes = 4 << 20;
    const int64_t step_bytes = steps.samples * row_size * static_cast<int64_t>(sizeof(T));
    const int64_t wanted = std::max(ceil_div(block_depth, steps.samples), chunk_bytes / step_bytes);
    return std::clamp<int64_t>(wanted, 1, steps.steps);
}

// out[cols, depth] += the sum over rows of left[row, cols] right[row, depth], and sums[cols] those of left.
template <class T>
void add_outer_products(const T* left, int64_t left_stride, int64_t cols, const T* right, int64_t depth, int64_t rows,
                        bool accumulate, T* out) {
    MatmulArgs<T> args{};
    args.a = left, args.b = right, args.c = out;
    args.batch = 1, args.rows = cols, args.cols = depth, args.depth = rows;
    args.a_row = 1, args.a_depth = left_stride, args.b_depth = depth, args.b_col = 1;
    args.accumulate = accumulate;
    matmul(args);
}

template <class T>
void add_column_sums(const T* rows, int64_t stride, int64_t cols, int64_t count, bool accumulate, T* out) {
    if (!out) return;
    const ColumnSumsArgs<T> args{rows, count, stride, cols, accumulate, out};
    const int64_t items = ceil_div(cols, summed_strip_cols);
    run(kernels<T>().column_sums, args, items, grain(count * cols, items));
}

template <class T>
T* mutable_or_null(std::optional<Array<T>>& array) {
    return array ? array->mutable_data() : nullptr;
}

template <class T>
void recurrent_backward(std::optional<Array<T>> grad_input, std::optional<Array<T>> grad_w_ih,
                        std::optional<Array<T>> grad_w_hh, std::optional<Array<T>> grad_b_ih,
                        std::optional<Array<T>> grad_b_hh, Array<T> grad_state, std::optional<Array<T>> grad_cell,
                        const StridedArray<T>& grad_output, const Array<T>& input, const Array<T>& w_ih,
                        const Array<T>& w_hh, const Lengths& lengths, const Array<T>& gates, const Array<T>& states,
                        const MaybeArray<T>& cells, const MaybeArray<T>& extra, int cell, bool reverse) {
    RecurrentBackwardArgs<T> args{};
    args.cell = static_cast<Cell>(cell), args.reverse = reverse;
    args.steps = extent(gates, 0), args.samples = extent(gates, 1);
    args.inputs = extent(input, 2), args.hidden = extent(w_hh, 1);
    args.lengths = lengths ? lengths->data() : nullptr;
    args.gates = gates.data(), args.states = states.data();
    args.cells = data_or_null(cells), args.extra = data_or_null(extra);
    args.grad_output = grad_output.data();
    args.output_step = stride(grad_output, 0), args.output_sample = stride(grad_output, 1);
    args.grad_state = grad_state.mutable_data(), args.grad_cells = mutable_or_null(grad_cell);
    T *const to_input = mutable_or_null(grad_input), *const to_w_ih = mutable_or_null(grad_w_ih);  // null: not needed
    T *const to_w_hh = mutable_or_null(grad_w_hh), *const to_b_ih = mutable_or_null(grad_b_ih);
    T* const to_b_hh = mutable_or_null(grad_b_hh);
    const T *const from_input = input.data(), *const w_ih_data = w_ih.data(), *const w_hh_data = w_hh.data();

    const py::gil_scoped_release unlocked;
    const int64_t hidden = args.hidden, samples = args.samples, inputs = args.inputs;
    const int64_t width = gate_count(args.cell) * hidden, apart = is_gru(args.cell) ? hidden : 0;
    if (samples == 0) {
        for (T* const to : {to_w_ih, to_w_hh, to_b_ih, to_b_hh})
            if (to) std::fill_n(to, width * (to == to_w_ih ? inputs : to == to_w_hh ? hidden : 1), T(0));
        return;
    }
    const int64_t steps_at_once = steps_in_chunk(args, width + apart);
    const Pooled<T> workspace = pooled<T>(packed_size(width, hidden) + steps_at_once * samples * (width + apart));
    T* const new_at = pack_rows(w_hh_data, width - apart, hidden, workspace.get());
    if (apart) pack_rows(w_hh_data + (width - apart) * hidden, hidden, hidden, new_at);
    args.packed_weight = workspace.get(), args.packed_new_weight = new_at;
    args.grad_gates = workspace.get() + packed_size(width, hidden);
    if (apart) args.grad_extra = args.grad_gates + steps_at_once * samples * width;
    if (args.cell == Cell::gru_after) args.grad_extra_stride = samples * hidden;
    const int64_t items = deal_samples(args, useful_threads(work(args)), max_samples_per_item);

    for (int64_t done = 0; done < args.steps; done += steps_at_once) {
        const int64_t count = std::min(steps_at_once, args.steps - done), rows = count * samples;
        args.first_step = reverse ? done : args.steps - done - count;
        args.last_step = args.first_step + count;
        run(kernels<T>().recurrent_backward, args, items);

        const int64_t row = args.first_step * samples;
        if (to_input) {
            MatmulArgs<T> product{};
            product.a = args.grad_gates, product.b = w_ih_data, product.c = to_input + row * inputs;
            product.batch = 1, product.rows = rows, product.cols = inputs, product.depth = width;
            product.a_row = width, product.a_depth = 1, product.b_depth = inputs, product.b_col = 1;
            matmul(product);
        }
        if (!to_w_ih) continue;

        const bool more = done > 0;
        add_outer_products(args.grad_gates, width, width, from_input + row * inputs, inputs, rows, more, to_w_ih);
        add_column_sums(args.grad_gates, width, width, rows, more, to_b_ih);
        // The rows of w_hh, in two parts where they differ in the gradient of their gates or what they multiplied.
        const T* const previous = args.states + (row + (reverse ? samples : 0)) * hidden;
        const bool after = args.cell == Cell::gru_after;
        const T* const new_left = after ? args.grad_extra : args.grad_gates + 2 * hidden;
        const T* const new_right = after ? previous : args.extra + row * hidden;
        const int64_t new_stride = after ? hidden : width;
        add_outer_products(args.grad_gates, width, width - apart, previous, hidden, rows, more, to_w_hh);
        if (to_b_ih && to_b_hh)
            std::copy_n(to_b_ih, width - apart, to_b_hh);
        else
            add_column_sums(args.grad_gates, width, width - apart, rows, more, to_b_hh);
        if (!apart) continue;
        add_outer_products(new_left, new_stride, hidden, new_right, hidden, rows, more, to_w_hh + 2 * hidden * hidden);
        add_column_sums(new_left, new_stride, hidden, rows, more, to_b_hh ? to_b_hh + 2 * hidden : nullptr);
    }
}

template <class T>
void bind(py::module_& m) {
    const auto exact = [] { return py::arg().noconvert(); };
    m.def("recurrent_forward", &recurrent_forward<T>, exact(), exact(), exact(), exact(), exact(), exact(), exact(),
          exact(), exact(), exact(), exact(), exact(), exact(), exact(), exact(), py::arg(), py::arg());
    m.def("recurrent_backward", &recurrent_backward<T>, exact(), exact(), exact(), exact(), exact(), exact(), exact(),
          exact(), exact(), exact(), exact(), exact(), exact(), exact(), exact(), exact(), py::arg(), py::arg());
}

}  // namespace

void bind_recurrent(py::module_& m) {
    bind<float>(m);
    bind<double>(m);
}

}  // namespace advcore

#include "kernel_list.h"
#include "recurrent_cells.h"
#include "recurrent_product.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// The samples [begin, end) at one step, taken back.
template <class T>
struct BackwardStep {
    const RecurrentBackwardArgs<T>& args;
    int64_t begin, end;
    int64_t t;
    T* scratch;

    int64_t gates_row() const { return gate_count(args.cell) * args.hidden; }
    T* grad_gates(int64_t sample) const {
        return args.grad_gates + ((t - args.first_step) * args.samples + sample) * gates_row();
    }
    T* grad_extra(int64_t sample) const {
        return args.grad_extra + (t - args.first_step) * args.grad_extra_stride + sample * args.hidden;
    }
    Target<T> grad_states() const { return {args.grad_state + begin * args.hidden, args.hidden, true}; }

    bool active(int64_t sample) const { return !args.lengths || t < args.lengths[sample]; }

    BackwardRow<T> row(int64_t sample) const {
        const int64_t at = sample * args.hidden, step = t * args.samples * args.hidden;
        const int64_t before = args.reverse ? step + args.samples * args.hidden : step;
        BackwardRow<T> row{};
        row.hidden = args.hidden;
        row.gates = args.gates + (t * args.samples + sample) * gates_row();
        row.state = args.states + before + at;
        if (args.cells) row.cell = args.cells + before + at;
        if (args.extra) row.extra = args.extra + step + at;
        row.grad_output = args.grad_output + t * args.output_step + sample * args.output_sample;
        row.grad_gates = grad_gates(sample);
        if (args.grad_extra) row.grad_extra = grad_extra(sample);
        row.grad_state = args.grad_state + at;
        if (args.grad_cells) row.grad_cell = args.grad_cells + at;
        return row;
    }

    // Samples without this step pass their state's gradient on; the product adds the zeros of their gates to it.
    template <class Update>
    void each_active(const Update& update) const {
        for (int64_t sample = begin; sample < end; ++sample) {
            const BackwardRow<T> at = row(sample);
            if (active(sample)) {
                update(at);
            } else {
                fill_zero(at.grad_gates, gates_row());
                if (at.grad_extra) fill_zero(at.grad_extra, args.hidden);
            }
        }
    }

    // to (+)= from . weight for the group's rows.
    void multiply(const T* from, int64_t stride, const T* weight, int64_t depth, const Target<T>& to) const {
        multiply_packed(end - begin, from, stride, PackedRight<T>{weight, depth, args.hidden}, to, scratch);
    }

    void run() const {
        const int64_t hidden = args.hidden, width = gates_row();
        if (args.cell == Cell::rnn_tanh || args.cell == Cell::lstm) {
            each_active(args.cell == Cell::lstm ? lstm_backward<T> : rnn_backward<T>);
            return multiply(grad_gates(begin), width, args.packed_weight, width, grad_states());
        }
        if (args.cell == Cell::gru_after) {
            each_active(gru_backward<T, true>);
            multiply(grad_extra(begin), hidden, args.packed_new_weight, hidden, grad_states());
        } else {
            each_active(gru_backward<T, false>);
            multiply(grad_gates(begin) + 2 * hidden, width, args.packed_new_weight, hidden,
                     {grad_extra(begin), hidden, false});
            each_active(gru_reset_backward<T>);
        }
        multiply(grad_gates(begin), width, args.packed_weight, 2 * hidden, grad_states());
    }
};

}  // namespace

template <class T>
void recurrent_backward(const RecurrentBackwardArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    for (int64_t item = begin; item < end; ++item) {
        const int64_t first = item * args.samples_per_item;
        const int64_t last = smaller(first + args.samples_per_item, args.samples);
        for (int64_t done = 0; done < args.last_step - args.first_step; ++done) {
            const int64_t t = args.reverse ? args.first_step + done : args.last_step - 1 - done;
            BackwardStep<T>{args, first, last, t, static_cast<T*>(scratch)}.run();
        }
    }
}

template <class T>
void column_sums(const ColumnSumsArgs<T>& args, int64_t begin, int64_t end, void*) {
    for (int64_t item = begin; item < end; ++item) {
        const int64_t col = item * summed_strip_cols, cols = smaller(summed_strip_cols, args.cols - col);
        T* const out = args.out + col;
        if (!args.accumulate) fill_zero(out, cols);
        for (int64_t first = 0; first < args.count; first += block_depth) {
            T sum[summed_strip_cols];
            fill_zero(sum, cols);
            const int64_t last = smaller(first + block_depth, args.count);
            for (int64_t row = first; row < last; ++row) add_row(sum, args.rows + row * args.stride + col, cols);
            add_row(out, sum, cols);
        }
    }
}

ADVCORE_INSTANTIATE(recurrent_backward, RecurrentBackwardArgs)
ADVCORE_INSTANTIATE(column_sums, ColumnSumsArgs)

}  // namespace advcore::ADVCORE_LEVEL

#include "kernel_list.h"
#include "recurrent_cells.h"
#include "recurrent_product.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// The samples [begin, end) at one step.
template <class T>
struct ForwardStep {
    const RecurrentForwardArgs<T>& args;
    int64_t begin, end;
    int64_t t;
    T* scratch;

    int64_t gates_row() const { return gate_count(args.cell) * args.hidden; }
    int64_t slot(bool after) const { return (t + (after != args.reverse)) * args.slot_stride; }
    T* gates() const { return args.gates + (t * args.samples + begin) * gates_row(); }
    T* extra() const { return args.extra + t * args.extra_stride + begin * args.hidden; }
    const T* states() const { return args.states + slot(false) + begin * args.hidden; }

    bool active(int64_t sample) const { return !args.lengths || t < args.lengths[sample]; }
    bool any_active() const {
        for (int64_t sample = begin; sample < end; ++sample)
            if (active(sample)) return true;
        return false;
    }

    ForwardRow<T> row(int64_t sample) const {
        const int64_t at = sample * args.hidden;
        ForwardRow<T> row{};
        row.hidden = args.hidden;
        row.gates = args.gates + (t * args.samples + sample) * gates_row();
        row.state = args.states + slot(false) + at;
        row.next_state = args.states + slot(true) + at;
        if (args.cells) {
            row.cell = args.cells + slot(false) + at;
            row.next_cell = args.cells + slot(true) + at;
        }
        if (args.extra) row.extra = args.extra + t * args.extra_stride + at;
        row.output = args.output + t * args.output_step + sample * args.output_sample;
        return row;
    }

    // The products reach for the gates panel by panel, which no hardware foresees: the next step's are fetched while
    // this step's are worked on.
    void fetch_next(int64_t sample) const {
        const int64_t next = args.reverse ? t - 1 : t + 1;
        if (next < 0 || next >= args.steps) return;
        const T* const row = args.gates + (next * args.samples + sample) * gates_row();
        for (int64_t i = 0; i < gates_row(); i += 64 / static_cast<int64_t>(sizeof(T))) __builtin_prefetch(row + i, 1);
    }

    // A sample that has ended, or in reverse not begun, keeps its state.
    void keep(const ForwardRow<T>& row) const {
        if (row.state != row.next_state) copy_row(row.next_state, row.state, row.hidden);
        if (row.cell != row.next_cell) copy_row(row.next_cell, row.cell, row.hidden);
        if (row.extra) fill_zero(row.extra, row.hidden);
        fill_zero(row.output, row.hidden);
    }

    template <class Update>
    void each_active(const Update& update) const {
        for (int64_t sample = begin; sample < end; ++sample)
            if (active(sample)) {
                fetch_next(sample);
                update(row(sample));
            }
    }

    // to (+)= from . weight for the group's rows.
    void multiply(const T* from, const T* weight, int64_t cols, const Target<T>& to) const {
        multiply_packed(end - begin, from, args.hidden, PackedRight<T>{weight, args.hidden, cols}, to, scratch);
    }

    void rnn() const {
        multiply(states(), args.packed_weight, args.hidden, {gates(), gates_row(), true, nullptr});
        each_active(rnn_forward<T>);
    }

    void lstm() const {
        multiply(states(), args.packed_weight, gates_row(), {gates(), gates_row(), true, nullptr});
        each_active(lstm_forward<T>);
    }

    void gru() const {
        const int64_t hidden = args.hidden;
        multiply(states(), args.packed_weight, 2 * hidden, {gates(), gates_row(), true, nullptr});
        if (args.cell == Cell::gru_after) {
            multiply(states(), args.packed_new_weight, hidden, {extra(), hidden, false, args.new_bias});
            each_active(gru_forward<T, true>);
        } else {
            each_active(gru_reset<T>);
            multiply(extra(), args.packed_new_weight, hidden, {gates() + 2 * hidden, gates_row(), true, nullptr});
            each_active(gru_forward<T, false>);
        }
    }

    void run() const {
        if (any_active()) {
            if (args.cell == Cell::rnn_tanh)
                rnn();
            else if (args.cell == Cell::lstm)
                lstm();
            else
                gru();
        }
        if (args.lengths)
            for (int64_t sample = begin; sample < end; ++sample)
                if (!active(sample)) keep(row(sample));
    }
};

}  // namespace

template <class T>
void recurrent_forward(const RecurrentForwardArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    for (int64_t item = begin; item < end; ++item) {
        const int64_t first = item * args.samples_per_item;
        const int64_t last = smaller(first + args.samples_per_item, args.samples);
        for (int64_t step = 0; step < args.steps; ++step) {
            const int64_t t = args.reverse ? args.steps - 1 - step : step;
            ForwardStep<T>{args, first, last, t, static_cast<T*>(scratch)}.run();
        }
    }
}

ADVCORE_INSTANTIATE(recurrent_forward, RecurrentForwardArgs)

}  // namespace advcore::ADVCORE_LEVEL

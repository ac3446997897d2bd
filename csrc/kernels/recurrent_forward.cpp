#include "kernel_list.h"
#include "narrow_product.h"
#include "recurrent_cells.h"
#include "recurrent_product.h"
#include "thin_product.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// Some units of the samples [begin, end), through all steps.
template <class T>
struct ForwardItem {
    const RecurrentForwardArgs<T>& args;
    int64_t begin, end, first_unit, last_unit;
    int64_t samples, gates;
    T *left, *input_part, *state_part, *update, *reset_state, *turned_sums;

    ForwardItem(const RecurrentForwardArgs<T>& all, int64_t item, T* scratch) : args(all) {
        const int64_t ranges = ceil_div(args.hidden, args.units_per_item);
        first_unit = item % ranges * args.units_per_item;
        last_unit = smaller(first_unit + args.units_per_item, args.hidden);
        begin = item / ranges * args.samples_per_item;
        end = smaller(begin + args.samples_per_item, args.samples);
        samples = end - begin, gates = gate_count(args.cell);
        update = scratch, reset_state = update + samples * args.hidden;
        state_part = reset_state + samples * args.hidden;
        turned_sums = state_part + samples * gates * units_at_once<T>;
        left = turned_sums + gates * packed_strip_cols * block_depth;
        input_part = left + (samples + most_lanes) * args.hidden + 2 * max_samples_per_item * block_depth;
    }

    int64_t part_stride() const { return gates * (last_unit - first_unit); }
    bool active(int64_t sample, int64_t t) const { return !args.lengths || t < args.lengths[sample]; }
    bool any_active(int64_t t) const {
        for (int64_t sample = begin; sample < end; ++sample)
            if (active(sample, t)) return true;
        return false;
    }

    template <class Block>
    void each_block(const Block& block) const {
        for (int64_t unit = first_unit; unit < last_unit; unit += units_at_once<T>)
            block(unit, smaller(units_at_once<T>, last_unit - unit));
    }

    // The rows as they are, at a distance of `stride`, times the weights of a block of units.
    void multiply_thin(int64_t rows, const T* a, int64_t stride, const GateWeights<T>& w, int64_t unit, int64_t units,
                       const Target<T>& to) const {
        for (int64_t gate = 0; gate < w.gates; ++gate)
            thin_product<T>(rows, units, w.depth, a, stride, 1, w.row(gate, unit), w.depth, to.data + gate * units,
                            to.stride, false, Finish<T>{});
    }

    // Packed rows times a block of depth of the weights of a block of units.
    void multiply_packed(int64_t rows, const T* a, const GateWeights<T>& w, int64_t unit, int64_t units, int64_t k,
                         Target<T> to) const {
        const int64_t terms = smaller(block_depth, w.depth - k);
        to.accumulate = k > 0;
        if (args.packing == Packing::of_rows) {
            for (int64_t gate = 0; gate < w.gates; ++gate) {
                multiply_narrow<T>(rows, units, terms, a, w.row(gate, unit) + k, w.depth, turned_sums, false, nullptr);
                turn(turned_sums, rows, units, to.data + gate * units, to.stride, to.accumulate);
            }
            return;
        }
        const PackedRight<T> right{w.data + unit * w.gates * w.depth, w.depth, w.gates * units};
        multiply_block(RowPanels(rows), a, right, k, terms, to);
    }

    // The input's part of the gates of the steps [t, t + count).
    void multiply_input(int64_t t, int64_t count) const {
        const GateWeights<T> w{args.w_ih, gates, args.hidden, args.inputs};
        const auto row = [&](int64_t step) {
            return args.input + (t + step) * args.input_step + begin * args.input_sample;
        };
        const auto part = [&](int64_t step, int64_t unit) {
            return Target<T>{input_part + step * samples * part_stride() + gates * (unit - first_unit), part_stride(),
                             false};
        };
        if (args.packing == Packing::none) {
            for (int64_t step = 0; step < count; ++step)
                each_block([&](int64_t unit, int64_t units) {
                    multiply_thin(samples, row(step), args.input_sample, w, unit, units, part(step, unit));
                });
            return;
        }
        const int64_t rows = count * samples;
        for (int64_t k = 0; k == 0 || k < w.depth; k += block_depth) {
            const int64_t terms = smaller(block_depth, w.depth - k);
            T* const gathered = left + max_samples_per_item * block_depth;
            for (int64_t i = 0; count > 1 && i < rows; ++i)
                copy_row(gathered + i * terms, row(i / samples) + i % samples * args.input_sample + k, terms);
            pack_rows_of(count > 1 ? gathered : row(0) + k, count > 1 ? terms : args.input_sample, rows, terms, left);
            each_block(
                [&](int64_t unit, int64_t units) { multiply_packed(rows, left, w, unit, units, k, part(0, unit)); });
        }
    }

    // One block of depth of a left factor.
    void pack_rows_of(const T* from, int64_t stride, int64_t rows, int64_t terms, T* to) const {
        if (args.packing == Packing::of_rows)
            pack_narrow<T>({from, stride, 1}, rows, terms, to);
        else if (rows == 1)
            copy_row(to, from, terms);
        else
            pack_left<T>(LeftMatrix<T>{from, stride, 1}, rows, terms, 0, to);
    }

    // Makes rows of `hidden` numbers the left factor of multiply_state: the states may be overwritten then.
    void take_left(const T* from) const {
        for (int64_t k = 0; args.packing != Packing::none && k < args.hidden; k += block_depth)
            pack_rows_of(from + k, args.hidden, samples, smaller(block_depth, args.hidden - k), left + k * left_rows());
        for (int64_t i = 0; args.packing == Packing::none && i < samples; ++i)
            copy_row(left + i * args.hidden, from + i * args.hidden, args.hidden);
    }

    int64_t left_rows() const { return args.packing == Packing::of_rows ? padded_rows<T>(samples) : samples; }

    void multiply_state(const GateWeights<T>& w, int64_t unit, int64_t units) const {
        const Target<T> to{state_part, w.gates * units, false};
        if (args.packing == Packing::none) return multiply_thin(samples, left, args.hidden, w, unit, units, to);
        for (int64_t k = 0; k < w.depth; k += block_depth)
            multiply_packed(samples, left + k * left_rows(), w, unit, units, k, to);
    }

    // The state before or after step t.
    const T* before(const T* first, const T* slots, int64_t t) const {
        const bool is_first = t == (args.reverse ? args.steps - 1 : 0);
        return is_first ? first : slots + (t + args.reverse) * args.slot_stride;
    }
    T* after(T* slots, int64_t t) const { return slots + (t + !args.reverse) * args.slot_stride; }

    ForwardRow<T> row(int64_t sample, int64_t t, int64_t step, int64_t unit, int64_t units, int64_t state_gates) const {
        const int64_t hidden = args.hidden, at = sample * hidden + unit, local = sample - begin;
        ForwardRow<T> row;
        row.units = units, row.hidden = hidden;
        row.input_part = input_part + (step * samples + local) * part_stride() + gates * (unit - first_unit);
        row.state_part = state_part + local * state_gates * units;
        row.bias = args.bias + unit, row.new_bias = args.new_bias + unit;
        row.state = before(args.first_state, args.states, t) + at;
        row.next_state = after(args.states, t) + at;
        if (args.cells) {
            row.cell = before(args.first_cell, args.cells, t) + at;
            row.next_cell = after(args.cells, t) + at;
        }
        row.output = args.output + t * args.output_step + sample * args.output_sample + unit;
        row.gates = args.gates ? args.gates + (t * args.samples + sample) * gates * hidden + unit : nullptr;
        row.extra = args.extra ? args.extra + t * args.samples * hidden + at : nullptr;
        row.update = update + local * hidden + unit, row.reset_state = reset_state + local * hidden + unit;
        return row;
    }

    // The products with the state's weights, block by block, and what the cell makes of each at once.
    template <class Cell>
    void take_blocks(const T* weight, int64_t state_gates, int64_t t, int64_t step, const Cell& cell) const {
        const GateWeights<T> w{weight, state_gates, args.hidden, args.hidden};
        each_block([&](int64_t unit, int64_t units) {
            multiply_state(w, unit, units);
            for (int64_t sample = begin; sample < end; ++sample)
                if (active(sample, t)) cell(row(sample, t, step, unit, units, state_gates));
        });
    }

    void take_step(int64_t t, int64_t step) const {
        take_left(before(args.first_state, args.states, t) + begin * args.hidden);
        switch (args.cell) {
            case Cell::rnn_tanh:
                return take_blocks(args.w_hh, 1, t, step, [](const ForwardRow<T>& row) { rnn_forward(row); });
            case Cell::lstm:
                return take_blocks(args.w_hh, 4, t, step, [](const ForwardRow<T>& row) { lstm_forward(row); });
            case Cell::gru_after:
                return take_blocks(args.w_hh, 3, t, step, [](const ForwardRow<T>& row) { gru_after_forward(row); });
            case Cell::gru_before:
                take_blocks(args.w_hh, 2, t, step, [](const ForwardRow<T>& row) { gru_reset(row); });
                take_left(reset_state);
                take_blocks(args.w_hn, 1, t, step, [](const ForwardRow<T>& row) { gru_before_forward(row); });
        }
    }

    // A sample that has ended, or in reverse not begun, keeps its state.
    void keep(int64_t sample, int64_t t) const {
        const ForwardRow<T> at = row(sample, t, 0, 0, args.hidden, gates);
        if (at.state != at.next_state) copy_row(at.next_state, at.state, args.hidden);
        if (args.cells && at.cell != at.next_cell) copy_row(at.next_cell, at.cell, args.hidden);
        if (at.gates) fill_zero(at.gates, gates * args.hidden);
        if (at.extra) fill_zero(at.extra, args.hidden);
        fill_zero(at.output, args.hidden);
    }

    void run() const {
        for (int64_t done = 0; done < args.steps; done += args.steps_at_once) {
            const int64_t count = smaller(args.steps_at_once, args.steps - done);
            const int64_t first = args.reverse ? args.steps - done - count : done;
            if (any_active(first)) multiply_input(first, count);
            for (int64_t i = 0; i < count; ++i) {
                const int64_t step = args.reverse ? count - 1 - i : i, t = first + step;
                if (any_active(t)) take_step(t, step);
                for (int64_t sample = begin; args.lengths && sample < end; ++sample)
                    if (!active(sample, t)) keep(sample, t);
            }
        }
    }
};

}  // namespace

template <class T>
void recurrent_forward(const RecurrentForwardArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    for (int64_t item = begin; item < end; ++item) ForwardItem<T>(args, item, static_cast<T*>(scratch)).run();
}

ADVCORE_INSTANTIATE(recurrent_forward, RecurrentForwardArgs)

}  // namespace advcore::ADVCORE_LEVEL

#include "batch_norm_lstm_product.h"
#include "batch_norm_lstm_units.h"
#include "kernel_list.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// Backward through y = gamma (x - mean) rstd: dx = scale (dy - mean(dy) - unit(x) mean(dy unit(x))). Where the
// statistics are not the batch's own the two means play no part.
template <class T>
struct NormaliseGrad {
    Normalise<T> forward;
    Vec<T> mean, mean_unit;
    ADVCORE_INLINE Vec<T> operator()(Vec<T> grad, Vec<T> x) const {
        return forward.scale * (grad - mean - forward.unit(x) * mean_unit);
    }
};

// One register of units, at one step, for all samples.
template <class T, class At>
struct BackwardUnits : Units<T, At> {
    const BatchNormLstmBackwardArgs<T>& args;
    using Units<T, At>::at, Units<T, At>::unit, Units<T, At>::row, Units<T, At>::normalisation_of;

    NormaliseGrad<T> grad_of(const Normalise<T>& forward, Vec<T> sum, Vec<T> sum_unit) const {
        const T share = args.training ? T(1) / static_cast<T>(args.samples) : T(0);
        return {forward, share * sum, share * sum_unit};
    }

    void add(T* to, Vec<T> x) const { at.put(to, at.get(to) + x); }

    // The state's gradient becomes those of the output gate and, left in its place, of the normalised cell.
    NormaliseGrad<T> state_to_cell() const {
        const int64_t hidden = args.hidden;
        const Normalise<T> cell = normalisation_of(batch_norm_lstm_parts - 1, args.gamma_c);
        const GateNormalisations<T> of = this->gate_normalisations();
        Vec<T> totals[2];
        sum_samples<T, 2>(args.samples, totals, [&](int64_t n, Vec<T>(&sums)[2]) {
            const int64_t place = n * hidden + unit;
            Vec<T> gates[4];
            this->activate(of, n, -args.samples * row(), gates);
            for (int gate = 0; gate < 3; ++gate) at.put(args.gates + n * row() + gate * hidden + unit, gates[gate]);
            const Vec<T> o = gates[3], tanh_c = at.get(args.tanh_cell + place);
            const Vec<T> dh =
                at.get(args.grad_state + place) + at.get(args.grad_output + n * args.output_sample + unit);
            const Vec<T> dy = dh * o * tanh_slope<T>(tanh_c);
            at.put(args.grad_state_part + n * row() + 3 * hidden + unit, dh * tanh_c * sigmoid_slope<T>(o));
            at.put(args.grad_state + place, dy);
            sums[0] += dy;
            sums[1] = fma<T>(dy, cell.unit(at.get(args.next_cell + place)), sums[1]);
        });
        add(args.grad_beta_c + unit, totals[0]);
        add(args.grad_gamma_c + unit, totals[1]);
        return grad_of(cell, totals[0], totals[1]);
    }

    // The cell's gradient becomes those of the other gates, before activation, and of the cell before.
    void cell_to_gates(const NormaliseGrad<T>& through) const {
        const int64_t hidden = args.hidden;
        for (int64_t n = 0; n < args.samples; ++n) {
            const int64_t place = n * hidden + unit;
            const T* const gates = args.gates + n * row() + unit;
            T* const to = args.grad_state_part + n * row() + unit;
            const Vec<T> i = at.get(gates), f = at.get(gates + hidden), g = at.get(gates + 2 * hidden);
            const Vec<T> dc = at.get(args.grad_cell + place) +
                              through(at.get(args.grad_state + place), at.get(args.next_cell + place));
            at.put(to, dc * g * sigmoid_slope<T>(i));
            at.put(to + hidden, dc * at.get(args.cell + place) * sigmoid_slope<T>(f));
            at.put(to + 2 * hidden, dc * i * tanh_slope<T>(g));
            at.put(args.grad_cell + place, dc * f);
        }
    }

    // A gate's gradient becomes those of its two normalised parts.
    void gate_to_parts(int gate) const {
        const int64_t first = gate * args.hidden + unit;
        const Normalise<T> input = normalisation_of(gate, args.gamma_ih + gate * args.hidden);
        const Normalise<T> state = normalisation_of(4 + gate, args.gamma_hh + gate * args.hidden);
        Vec<T> totals[3];
        sum_samples<T, 3>(args.samples, totals, [&](int64_t n, Vec<T>(&sums)[3]) {
            const int64_t place = n * row() + first;
            const Vec<T> grad = at.get(args.grad_state_part + place);
            sums[0] += grad;
            sums[1] = fma<T>(grad, input.unit(at.get(args.input_part + place)), sums[1]);
            sums[2] = fma<T>(grad, state.unit(at.get(args.state_part + place)), sums[2]);
        });
        add(args.grad_bias + first, totals[0]);
        add(args.grad_gamma_ih + first, totals[1]);
        add(args.grad_gamma_hh + first, totals[2]);
        const NormaliseGrad<T> to_input = grad_of(input, totals[0], totals[1]);
        const NormaliseGrad<T> to_state = grad_of(state, totals[0], totals[2]);
        for (int64_t n = 0; n < args.samples; ++n) {
            const int64_t place = n * row() + first;
            const Vec<T> grad = at.get(args.grad_state_part + place);
            at.put(args.grad_input_part + place, to_input(grad, at.get(args.input_part + place)));
            at.put(args.grad_state_part + place, to_state(grad, at.get(args.state_part + place)));
        }
    }

    void run() const {
        cell_to_gates(state_to_cell());
        for (int gate = 0; gate < 4; ++gate) gate_to_parts(gate);
    }
};

}  // namespace

template <class T>
void batch_norm_lstm_backward(const BatchNormLstmBackwardArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    const PackedUnits<T> packed{args.hidden, args.block_units, 1};
    if (args.later_grad)
        multiply_units(args.samples, args.later_grad, packed, args.packed_weight, begin, end, args.grad_state,
                       static_cast<T*>(scratch));
    if (args.only_product) return;
    for (int64_t block = begin; block < end; ++block) {
        along_row<T>(packed.units(block), [&](auto at, int64_t i) {
            BackwardUnits<T, decltype(at)>{{args, at, block * args.block_units + i}, args}.run();
        });
    }
}

ADVCORE_INSTANTIATE(batch_norm_lstm_backward, BatchNormLstmBackwardArgs)

}  // namespace advcore::ADVCORE_LEVEL

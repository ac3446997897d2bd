#include "batch_norm_lstm_product.h"
#include "batch_norm_lstm_units.h"
#include "kernel_list.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// One register of units, at one step, for all samples.
template <class T, class At>
struct ForwardUnits : Units<T, At> {
    const BatchNormLstmForwardArgs<T>& args;
    using Units<T, At>::at, Units<T, At>::unit, Units<T, At>::row;

    void statistics(int part, const T* x) const {
        const int64_t first = part * args.hidden + unit;
        column_statistics<T, 4>(at, args.training, x + unit, row(), args.hidden, args.samples, args.mean + first,
                                args.variance + first);
    }

    void activate_gates() const {
        const int64_t hidden = args.hidden;
        const GateNormalisations<T> of = this->gate_normalisations();
        for (int64_t n = 0; n < args.samples; ++n) {
            const int64_t place = n * hidden + unit;
            Vec<T> gates[4];
            this->activate(of, n, args.samples * row(), gates);
            at.put(args.gates + n * row() + 3 * hidden + unit, gates[3]);
            at.put(args.next_cell + place, fma<T>(gates[1], at.get(args.cell + place), gates[0] * gates[2]));
        }
    }

    void give_state() const {
        const int64_t hidden = args.hidden, last = (batch_norm_lstm_parts - 1) * hidden + unit;
        column_statistics<T, 1>(at, args.training, args.next_cell + unit, hidden, 0, args.samples, args.mean + last,
                                args.variance + last);
        const Normalise<T> cell = this->normalisation_of(batch_norm_lstm_parts - 1, args.gamma_c);
        const Vec<T> beta = at.get(args.beta_c + unit);
        for (int64_t n = 0; n < args.samples; ++n) {
            const int64_t place = n * hidden + unit;
            const Vec<T> tanh_c = tanh<T>(cell.scaled(at.get(args.next_cell + place)) + beta);
            const Vec<T> h = at.get(args.gates + n * row() + 3 * hidden + unit) * tanh_c;
            at.put(args.tanh_cell + place, tanh_c);
            at.put(args.next_state + place, h);
            at.put(args.output + n * args.output_sample + unit, h);
        }
    }

    void run() const {
        statistics(0, args.input_part);
        statistics(4, args.state_part);
        activate_gates();
        give_state();
    }
};

}  // namespace

template <class T>
void batch_norm_lstm_pack(const BatchNormLstmPackArgs<T>& args, int64_t begin, int64_t end, void*) {
    const int64_t hidden = args.hidden;
    const PackedUnits<T> to{hidden, args.block_units, args.transposed ? 4 : 1};
    for (int64_t block = begin; block < end; ++block) {
        for (int64_t part = 0; part < to.parts; ++part) {
            for (int64_t col = 0; col < to.units(block); col += panel_cols<T>) {
                const int64_t used = smaller(panel_cols<T>, to.units(block) - col),
                              unit = block * args.block_units + col;
                const T* const from = args.weight + (args.transposed ? (part * hidden + unit) * hidden : unit);
                pack_strip(from, args.transposed ? hidden : 1, args.transposed ? 1 : hidden, used, panel_width<T>(used),
                           to.depth(), args.packed + to.offset(block, part, col));
            }
        }
    }
}

template <class T>
void batch_norm_lstm_forward(const BatchNormLstmForwardArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    const PackedUnits<T> packed{args.hidden, args.block_units, 4};
    multiply_units(args.samples, args.state, packed, args.packed_weight, begin, end, args.state_part,
                   static_cast<T*>(scratch));
    for (int64_t block = begin; block < end; ++block) {
        along_row<T>(packed.units(block), [&](auto at, int64_t i) {
            ForwardUnits<T, decltype(at)>{{args, at, block * args.block_units + i}, args}.run();
        });
    }
}

ADVCORE_INSTANTIATE(batch_norm_lstm_pack, BatchNormLstmPackArgs)
ADVCORE_INSTANTIATE(batch_norm_lstm_forward, BatchNormLstmForwardArgs)

}  // namespace advcore::ADVCORE_LEVEL

#include "batch_norm_columns.h"
#include "batch_norm_lstm_product.h"
#include "kernel_list.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// One register of units from `unit` on, at one step, for all samples.
template <class T, class At>
struct ForwardUnits {
    const BatchNormLstmForwardArgs<T>& args;
    At at;
    int64_t unit;

    int64_t row() const { return 4 * args.hidden; }

    void statistics(int part, const T* x) const {
        T *const mean = args.mean + part * args.hidden + unit, *const variance =
                                                                   args.variance + part * args.hidden + unit;
        column_statistics<T, 4>(at, args.training, x + unit, row(), args.hidden, args.samples, mean, variance);
    }

    Normalise<T> normalisation_of(int part, const T* gamma) const {
        const int64_t first = part * args.hidden + unit;
        return normalisation(at, args.mean + first, args.variance + first, gamma + unit, args.eps);
    }

    void activate_gates() const {
        const int64_t hidden = args.hidden;
        Normalise<T> input[4], state[4];
        Vec<T> bias[4];
        for (int gate = 0; gate < 4; ++gate) {
            input[gate] = normalisation_of(gate, args.gamma_ih + gate * hidden);
            state[gate] = normalisation_of(4 + gate, args.gamma_hh + gate * hidden);
            bias[gate] = at.get(args.bias + gate * hidden + unit);
        }
        for (int64_t n = 0; n < args.samples; ++n) {
            const int64_t first = n * row() + unit;
            Vec<T> sum[4];
#pragma GCC unroll 4
            for (int gate = 0; gate < 4; ++gate) {
                const T* const input_part = args.input_part + first + gate * hidden;
                prefetch(input_part, args.samples * row());  // of the next step: no hardware sees such strides coming
                const Vec<T> u = at.get(input_part);
                const Vec<T> v = at.get(args.state_part + first + gate * hidden);
                sum[gate] = fma<T>(v - state[gate].mean, state[gate].scale, input[gate].scaled(u) + bias[gate]);
            }
            const Vec<T> i = sigmoid<T>(sum[0]), f = sigmoid<T>(sum[1]), g = tanh<T>(sum[2]), o = sigmoid<T>(sum[3]);
            T* const gates = args.gates + first;
            at.put(gates, i);
            at.put(gates + hidden, f);
            at.put(gates + 2 * hidden, g);
            at.put(gates + 3 * hidden, o);
            at.put(args.next_cell + n * hidden + unit, fma<T>(f, at.get(args.cell + n * hidden + unit), i * g));
        }
    }

    void give_state() const {
        const int64_t hidden = args.hidden, last = (batch_norm_lstm_parts - 1) * hidden + unit;
        column_statistics<T, 1>(at, args.training, args.next_cell + unit, hidden, 0, args.samples, args.mean + last,
                                args.variance + last);
        const Normalise<T> cell = normalisation_of(batch_norm_lstm_parts - 1, args.gamma_c);
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
            ForwardUnits<T, decltype(at)>{args, at, block * args.block_units + i}.run();
        });
    }
}

ADVCORE_INSTANTIATE(batch_norm_lstm_pack, BatchNormLstmPackArgs)
ADVCORE_INSTANTIATE(batch_norm_lstm_forward, BatchNormLstmForwardArgs)

}  // namespace advcore::ADVCORE_LEVEL

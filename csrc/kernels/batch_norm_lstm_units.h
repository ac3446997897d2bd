// What both directions do for one register of units, from `unit` on, at one step.
#pragma once

#include "batch_norm_columns.h"
#include "batch_norm_lstm.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

template <class T>
struct GateNormalisations {
    Normalise<T> input[4], state[4];
    Vec<T> bias[4];
};

template <class T, class At>
struct Units {
    const BatchNormLstmStep<T>& step;
    At at;
    int64_t unit;

    int64_t row() const { return 4 * step.hidden; }

    Normalise<T> normalisation_of(int part, const T* gamma) const {
        const int64_t first = part * step.hidden + unit;
        return normalisation(at, step.mean + first, step.variance + first, gamma + unit, step.eps);
    }

    GateNormalisations<T> gate_normalisations() const {
        GateNormalisations<T> of;
        for (int gate = 0; gate < 4; ++gate) {
            of.input[gate] = normalisation_of(gate, step.gamma_ih + gate * step.hidden);
            of.state[gate] = normalisation_of(4 + gate, step.gamma_hh + gate * step.hidden);
            of.bias[gate] = at.get(step.bias + gate * step.hidden + unit);
        }
        return of;
    }

    // The gates i, f, g, o of a sample. They are cheaper to compute again in backward than to keep for all steps. The
    // parts of the step that is `ahead` elements away come next: no hardware sees such strides coming.
    ADVCORE_INLINE void activate(const GateNormalisations<T>& of, int64_t n, int64_t ahead, Vec<T> (&gates)[4]) const {
#pragma GCC unroll 4
        for (int gate = 0; gate < 4; ++gate) {
            const int64_t place = n * row() + gate * step.hidden + unit;
            prefetch(step.input_part + place, ahead);
            prefetch(step.state_part + place, ahead);
            const Vec<T> v = at.get(step.state_part + place) - of.state[gate].mean;
            gates[gate] =
                fma<T>(v, of.state[gate].scale, of.input[gate].scaled(at.get(step.input_part + place)) + of.bias[gate]);
        }
        gates[0] = sigmoid<T>(gates[0]);
        gates[1] = sigmoid<T>(gates[1]);
        gates[2] = tanh<T>(gates[2]);
        gates[3] = sigmoid<T>(gates[3]);
    }
};

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL

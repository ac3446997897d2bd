// Differences through the cells of recurrent layers: what a step's gates make of the differences of their sums.
//
// A base has rows of `pitch` units for each step. A gate with sum a is known by three of them: a, sigmoid(a) and
// sigmoid(-a); one that is a tanh by those of 2 a, as tanh(a) = 2 sigmoid(2 a) - 1. In order,
//   rnn_tanh: the state's sum;
//   gru: r, z, n, then the state before the step, the candidate tanh, (reset after) the state's part of its sum;
//   lstm: i, f, g, o, the cell after the step, then the cell before it, tanh of g, tanh of the cell after.
#pragma once

#include <stdint.h>

namespace advcore {

enum class DifferenceCell : int32_t { rnn_tanh, gru_after, gru_before, lstm };  // as ops' cells

constexpr int64_t difference_gates(DifferenceCell cell) {
    return cell == DifferenceCell::rnn_tanh ? 1 : cell == DifferenceCell::lstm ? 4 : 3;
}
constexpr int64_t difference_base_rows(DifferenceCell cell) {
    return cell == DifferenceCell::rnn_tanh     ? 3
           : cell == DifferenceCell::gru_after  ? 12
           : cell == DifferenceCell::gru_before ? 11
                                                : 18;
}

// One step of some probes. Takes the differences of the gates' sums, in the order of the base; gru_after has a fourth,
// of the state's part of the candidate. Changes those of the state, and of the cell, in place. An item is a probe.
template <class T>
struct DifferenceCellArgs {
    const T* const* base;   // [items]: a step of the probe's sample
    const int64_t* probes;  // [items]: whose state it is
    const T* sums;          // [items][sums_size]
    T *state, *cell;        // [probes][pitch]
    T* reset_state;         // [items][pitch]: for difference_reset alone
    int64_t sums_size, pitch;
    DifferenceCell kind;
};

}  // namespace advcore

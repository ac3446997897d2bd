// The arithmetic of one step of one sample once its products are there: gates to state, and back.
#pragma once

#include "pack.h"
#include "recurrent.h"
#include "vecmath.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// How a row is read and written: in whole vectors, and at its end the lanes that are left.
template <class T>
struct Whole {
    ADVCORE_INLINE Vec<T> get(const T* from) const { return load(from); }
    ADVCORE_INLINE void put(T* to, Vec<T> x) const { store(to, x); }
};

template <class T>
struct Part {
    int count;
    ADVCORE_INLINE Vec<T> get(const T* from) const { return load_part(from, count); }
    ADVCORE_INLINE void put(T* to, Vec<T> x) const { store_part(to, x, count); }
};

// Calls step(lanes, i) for every vector of a row, i its first element.
template <class T, class Step>
ADVCORE_INLINE void along_row(int64_t size, const Step& step) {
    int64_t i = 0;
    for (; i + lanes<T> <= size; i += lanes<T>) step(Whole<T>{}, i);
    if (i < size) step(Part<T>{static_cast<int>(size - i)}, i);
}

template <class T>
inline void fill_zero(T* row, int64_t size) {
    along_row<T>(size, [=](auto at, int64_t i) { at.put(row + i, Vec<T>{}); });
}

template <class T>
inline void copy_row(T* to, const T* from, int64_t size) {
    along_row<T>(size, [=](auto at, int64_t i) { at.put(to + i, at.get(from + i)); });
}

template <class T>
inline void add_row(T* to, const T* from, int64_t size) {
    along_row<T>(size, [=](auto at, int64_t i) { at.put(to + i, at.get(to + i) + at.get(from + i)); });
}

template <class T>
ADVCORE_INLINE Vec<T> one() {
    return splat(T(1));
}

// d sigmoid and d tanh by their values.
template <class T>
ADVCORE_INLINE Vec<T> sigmoid_slope(Vec<T> y) {
    return y * (one<T>() - y);
}
template <class T>
ADVCORE_INLINE Vec<T> tanh_slope(Vec<T> y) {
    return one<T>() - y * y;
}

// Some units of one sample at one step. The products' results have the gates `units` apart, those of whole layers
// `hidden`.
template <class T>
struct ForwardRow {
    int64_t units, hidden;
    const T *input_part, *state_part;  // of all gates; gru_before: of r and z, then of n
    const T *bias, *new_bias;          // of zeros where there are none
    const T *state, *cell;
    T *next_state, *next_cell;
    T* output;
    T *gates, *extra;         // what a gradient needs; null where there is none
    T *update, *reset_state;  // gru_before: z, and r * state
};

template <class T>
struct BackwardRow {
    int64_t hidden;
    const T *gates, *state, *cell, *extra;
    const T* grad_output;
    T* grad_gates;
    T* grad_extra;
    T *grad_state, *grad_cell;  // of the state after the step on entry, before it on return, but for the product's part
};

// A gate before activation.
template <class T, class At>
ADVCORE_INLINE Vec<T> gate_sum(const ForwardRow<T>& row, At at, int gate, int64_t i) {
    const T* const input = row.input_part + gate * row.units + i;
    return at.get(input) + at.get(row.bias + gate * row.hidden + i) + at.get(row.state_part + gate * row.units + i);
}

template <class T>
inline void rnn_forward(const ForwardRow<T>& row) {
    along_row<T>(row.units, [=](auto at, int64_t i) {
        const Vec<T> h = tanh<T>(gate_sum(row, at, 0, i));
        if (row.gates) at.put(row.gates + i, h);
        at.put(row.next_state + i, h);
        at.put(row.output + i, h);
    });
}

template <class T>
inline void rnn_backward(const BackwardRow<T>& row) {
    along_row<T>(row.hidden, [&](auto at, int64_t i) {
        const Vec<T> grad = at.get(row.grad_state + i) + at.get(row.grad_output + i);
        at.put(row.grad_gates + i, grad * tanh_slope<T>(at.get(row.gates + i)));
        at.put(row.grad_state + i, Vec<T>{});
    });
}

// gru_before, before the product of n.
template <class T>
inline void gru_reset(const ForwardRow<T>& row) {
    along_row<T>(row.units, [=](auto at, int64_t i) {
        const Vec<T> r = sigmoid<T>(gate_sum(row, at, 0, i)), z = sigmoid<T>(gate_sum(row, at, 1, i));
        const Vec<T> reset_state = r * at.get(row.state + i);
        at.put(row.update + i, z);
        at.put(row.reset_state + i, reset_state);
        if (!row.gates) return;
        at.put(row.gates + i, r);
        at.put(row.gates + row.hidden + i, z);
        at.put(row.extra + i, reset_state);
    });
}

// The new state between the old one and the candidate n.
template <class T, class At>
ADVCORE_INLINE void gru_update(const ForwardRow<T>& row, At at, int64_t i, Vec<T> z, Vec<T> n) {
    const Vec<T> h = fma<T>(z, at.get(row.state + i) - n, n);
    at.put(row.next_state + i, h);
    at.put(row.output + i, h);
    if (row.gates) at.put(row.gates + 2 * row.hidden + i, n);
}

template <class T>
inline void gru_before_forward(const ForwardRow<T>& row) {
    along_row<T>(row.units, [=](auto at, int64_t i) {
        const Vec<T> input = at.get(row.input_part + 2 * row.units + i) + at.get(row.bias + 2 * row.hidden + i);
        gru_update(row, at, i, at.get(row.update + i), tanh<T>(input + at.get(row.state_part + i)));
    });
}

template <class T>
inline void gru_after_forward(const ForwardRow<T>& row) {
    along_row<T>(row.units, [=](auto at, int64_t i) {
        const Vec<T> r = sigmoid<T>(gate_sum(row, at, 0, i)), z = sigmoid<T>(gate_sum(row, at, 1, i));
        const Vec<T> input = at.get(row.input_part + 2 * row.units + i) + at.get(row.bias + 2 * row.hidden + i);
        const Vec<T> extra = at.get(row.state_part + 2 * row.units + i) + at.get(row.new_bias + i);
        gru_update(row, at, i, z, tanh<T>(fma<T>(r, extra, input)));
        if (!row.gates) return;
        at.put(row.gates + i, r);
        at.put(row.gates + row.hidden + i, z);
        at.put(row.extra + i, extra);
    });
}

template <class T, bool After>
inline void gru_backward(const BackwardRow<T>& row) {
    const T *const r_row = row.gates, *const z_row = r_row + row.hidden, *const n_row = z_row + row.hidden;
    T *const grad_r = row.grad_gates, *const grad_z = grad_r + row.hidden, *const grad_n = grad_z + row.hidden;
    along_row<T>(row.hidden, [&](auto at, int64_t i) {
        const Vec<T> z = at.get(z_row + i), n = at.get(n_row + i);
        const Vec<T> grad = at.get(row.grad_state + i) + at.get(row.grad_output + i);
        const Vec<T> dn = grad * (one<T>() - z) * tanh_slope<T>(n);
        at.put(grad_z + i, grad * (at.get(row.state + i) - n) * sigmoid_slope<T>(z));
        at.put(grad_n + i, dn);
        at.put(row.grad_state + i, grad * z);
        if constexpr (After) {
            const Vec<T> r = at.get(r_row + i);
            at.put(grad_r + i, dn * at.get(row.extra + i) * sigmoid_slope<T>(r));
            at.put(row.grad_extra + i, dn * r);
        }
    });
}

// gru_before, after the product of n: grad_extra is the gradient of r * state.
template <class T>
inline void gru_reset_backward(const BackwardRow<T>& row) {
    along_row<T>(row.hidden, [&](auto at, int64_t i) {
        const Vec<T> r = at.get(row.gates + i), grad = at.get(row.grad_extra + i);
        at.put(row.grad_gates + i, grad * at.get(row.state + i) * sigmoid_slope<T>(r));
        at.put(row.grad_state + i, fma<T>(grad, r, at.get(row.grad_state + i)));
    });
}

template <class T>
inline void lstm_forward(const ForwardRow<T>& row) {
    along_row<T>(row.units, [=](auto at, int64_t j) {
        const Vec<T> i = sigmoid<T>(gate_sum(row, at, 0, j)), f = sigmoid<T>(gate_sum(row, at, 1, j));
        const Vec<T> g = tanh<T>(gate_sum(row, at, 2, j)), o = sigmoid<T>(gate_sum(row, at, 3, j));
        const Vec<T> c = fma<T>(f, at.get(row.cell + j), i * g);
        const Vec<T> tanh_c = tanh<T>(c);
        const Vec<T> h = o * tanh_c;
        at.put(row.next_cell + j, c);
        at.put(row.next_state + j, h);
        at.put(row.output + j, h);
        if (!row.gates) return;
        at.put(row.gates + j, i);
        at.put(row.gates + row.hidden + j, f);
        at.put(row.gates + 2 * row.hidden + j, g);
        at.put(row.gates + 3 * row.hidden + j, o);
        at.put(row.extra + j, tanh_c);
    });
}

template <class T>
inline void lstm_backward(const BackwardRow<T>& row) {
    const int64_t size = row.hidden;
    along_row<T>(size, [&](auto at, int64_t j) {
        const T* const gates = row.gates + j;
        T* const grad_gates = row.grad_gates + j;
        const Vec<T> i = at.get(gates), f = at.get(gates + size), g = at.get(gates + 2 * size);
        const Vec<T> o = at.get(gates + 3 * size), tanh_c = at.get(row.extra + j);
        const Vec<T> grad = at.get(row.grad_state + j) + at.get(row.grad_output + j);
        const Vec<T> grad_c = fma<T>(grad * o, tanh_slope<T>(tanh_c), at.get(row.grad_cell + j));
        at.put(grad_gates, grad_c * g * sigmoid_slope<T>(i));
        at.put(grad_gates + size, grad_c * at.get(row.cell + j) * sigmoid_slope<T>(f));
        at.put(grad_gates + 2 * size, grad_c * i * tanh_slope<T>(g));
        at.put(grad_gates + 3 * size, grad * tanh_c * sigmoid_slope<T>(o));
        at.put(row.grad_cell + j, grad_c * f);
        at.put(row.grad_state + j, Vec<T>{});
    });
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL

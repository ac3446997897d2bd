// The product of every step: C[rows, cols] (+)= A[rows, depth] B[depth, cols] with few rows and a B packed ahead.
// Its chains are those of product.h: blocks of 256 terms, block sums added in order.
#pragma once

#include "product.h"
#include "recurrent.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// The units of a layer whose gates are multiplied before they are activated: one panel of each gate.
template <class T>
constexpr int64_t units_at_once = panel_cols<T>;

// Packed B: in each block of depth its panels side by side, the last one padded to whole vectors.
template <class T>
struct PackedRight {
    const T* data;
    int64_t depth, cols;
    int64_t padded_cols() const {
        const int64_t last = cols % panel_cols<T>;
        return last == 0 ? cols : cols - last + panel_width<T>(last);
    }
    int64_t offset(int64_t col, int64_t k, int64_t terms) const { return k * padded_cols() + col * terms; }
    const T* panel(int64_t col, int64_t k, int64_t terms) const { return data + offset(col, k, terms); }
};

// The weights [gates * hidden, depth] of some gates.
template <class T>
struct GateWeights {
    const T* data;
    int64_t gates, hidden, depth;
    const T* row(int64_t gate, int64_t unit) const { return data + (gate * hidden + unit) * depth; }
};

// Packs one block of depth of all gates of some units, turned: the columns of the gates side by side.
template <class T>
inline void pack_units(const GateWeights<T>& w, int64_t unit, int64_t units, int64_t k, int64_t terms, T* to) {
    const auto row = [&](int64_t col) { return w.row(col / units, unit + col % units) + k; };
    const int64_t cols = w.gates * units;
    for (int64_t col = 0; col < cols; col += panel_cols<T>) {
        T* const panel = to + col * terms;
        const int64_t used = smaller(panel_cols<T>, cols - col), width = panel_width<T>(used);
        if (units == units_at_once<T>) {
            pack_strip(row(col), w.depth, 1, used, width, terms, panel);
            continue;
        }
        for (int64_t i = 0; i < width; ++i)  // the last units: a panel mixes gates
            for (int64_t term = 0; term < terms; ++term) panel[term * width + i] = i < used ? row(col + i)[term] : T(0);
    }
}

template <class T>
struct Target {
    T* data;
    int64_t stride;
    bool accumulate;
};

// One or two rows against several whole panels at once: enough sums in flight to hide the latency of an addition.
template <class T, int Rows, int Panels>
__attribute__((noinline)) void multiply_few(int64_t terms, const T* a, const T* b, const Target<T>& to, T* c) {
    constexpr int L = lanes<T>;
    const int64_t panel_size = terms * panel_cols<T>;
    Vec<T> sum[Panels][Rows][2] = {};
    for (int64_t k = 0; k < terms; ++k, a += Rows, b += panel_cols<T>) {
#pragma GCC unroll 4
        for (int p = 0; p < Panels; ++p) {
#pragma GCC unroll 2
            for (int v = 0; v < 2; ++v) {
                const Vec<T> right = load(b + p * panel_size + v * L);
#pragma GCC unroll 2
                for (int r = 0; r < Rows; ++r) sum[p][r][v] = fma<T>(splat(a[r]), right, sum[p][r][v]);
            }
        }
    }
#pragma GCC unroll 2
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
        for (int v = 0; v < 2 * Panels; ++v) {
            T* const at = c + r * to.stride + v * L;
            Vec<T> x = sum[v / 2][r][v % 2];
            if (to.accumulate) x = load(at) + x;
            store(at, x);
        }
    }
}

// As many of the whole panels as fit; returns the column after them.
template <class T, int Rows, int Panels = 4 / Rows>
inline int64_t multiply_few_rows(int64_t terms, const T* a, const PackedRight<T>& b, int64_t k, int64_t col,
                                 const Target<T>& to) {
    constexpr int64_t cols = Panels * panel_cols<T>;
    for (; col + cols <= b.cols; col += cols)
        multiply_few<T, Rows, Panels>(terms, a, b.panel(col, k, terms), to, to.data + col);
    if constexpr (Panels > 1) return multiply_few_rows<T, Rows, Panels - 1>(terms, a, b, k, col, to);
    return col;
}

// One block of depth: `a` holds all row panels one after the other.
template <class T>
inline void multiply_block(const RowPanels& panels, const T* a, const PackedRight<T>& b, int64_t k, int64_t terms,
                           const Target<T>& to) {
    int64_t col = 0;
    if (panels.rows == 1) col = multiply_few_rows<T, 1>(terms, a, b, k, col, to);
    if (panels.rows == 2) col = multiply_few_rows<T, 2>(terms, a, b, k, col, to);
    for (; col < b.cols; col += panel_cols<T>) {
        PanelPair<T> pair{};
        pair.depth = terms;
        pair.b = b.panel(col, k, terms);
        pair.c_stride = to.stride;
        pair.cols = static_cast<int>(smaller(panel_cols<T>, b.cols - col));
        pair.accumulate = to.accumulate;
        for (int64_t panel = 0; panel < panels.count; ++panel) {
            const int64_t row = panels.begin(panel);
            pair.a = a + row * terms;
            pair.c = to.data + row * to.stride + col;
            multiply_panels<T>(static_cast<int>(panels.begin(panel + 1) - row), pair);
        }
    }
}

// `a` is contiguous along depth; `scratch` holds max_samples_per_item * block_depth elements.
template <class T>
inline void multiply_packed(int64_t rows, const T* a, int64_t a_stride, const PackedRight<T>& b, Target<T> to,
                            T* scratch) {
    const RowPanels panels(rows);
    for (int64_t k = 0; k < b.depth; k += block_depth) {
        const int64_t terms = smaller(block_depth, b.depth - k);
        const T* left = a + k;
        if (rows > 1) {
            left = scratch;
            pack_left<T>(LeftMatrix<T>{a + k, a_stride, 1}, rows, terms, 0, scratch);
        }
        multiply_block(panels, left, b, k, terms, to);
        to.accumulate = true;
    }
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL

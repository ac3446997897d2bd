// Recurrent layers of a propagation: from the first step that a probe touches on, all probes of a group are the rows of
// one product a step.
#include <algorithm>
#include <memory>

#include "../kernels/tile.h"
#include "dispatch.h"
#include "propagation.h"
#include "propagation_panels.h"

namespace advcore {
namespace {

constexpr int64_t R = difference_rows;

// Gates of a layer's weights, each in whole blocks of columns, so that gates lie `pitch` apart.
template <class T>
struct PackedGates {
    std::vector<T> blocks;
    int64_t depth, cols, real_cols;

    PackedGates(const T* weight, int64_t gates, int64_t hidden, int64_t inputs, int64_t pitch)
        : blocks(static_cast<std::size_t>(packed_size<T>(gates * pitch, inputs))),
          depth(inputs),
          cols(gates * pitch),
          real_cols(gates * hidden) {
        for (int64_t gate = 0; gate < gates; ++gate)
            pack_blocks(
                hidden, inputs, [&](int64_t unit, int64_t k) { return weight[(gate * hidden + unit) * inputs + k]; },
                blocks.data() + packed_size<T>(gate * pitch, inputs));
    }
};

template <class T>
struct Layer {
    int x, y, base;
    int64_t hidden, pitch, steps, sums_size;
    DifferenceCell cell;
    bool reverse, last;
    PackedGates<T> input, state, candidate;  // candidate: the state's weights of gru's n
};

// Rows of differences that lie anywhere, times weights, added to rows of sums.
struct Rows {
    std::vector<int64_t> in, out;
    void add(int64_t in_offset, int64_t out_offset) { in.push_back(in_offset), out.push_back(out_offset); }
    void clear() { in.clear(), out.clear(); }
};

template <class T>
void add_products(ProbeGroup<T>& g, const T* in, const Rows& rows, const PackedGates<T>& weight, T* out,
                  int64_t unused) {
    if (rows.in.empty() || weight.cols == 0) return;
    DifferencePanels& panels = g.panels;
    panels.resize(static_cast<int64_t>(rows.in.size()));
    std::fill(std::copy(rows.in.begin(), rows.in.end(), panels.in_offset.begin()), panels.in_offset.end(),
              rows.in.back());
    std::fill(std::copy(rows.out.begin(), rows.out.end(), panels.out_offset.begin()), panels.out_offset.end(), unused);
    for (int64_t k = 0; k < weight.depth; k += block_depth) {
        DifferenceTermsArgs<T> terms{};
        terms.in = in, terms.in_offset = panels.in_offset.data();
        terms.first = k, terms.last = std::min(weight.depth, k + block_depth);
        terms.terms = panels.terms.data(), terms.counts = panels.counts.data();
        kernels<T>().difference_terms(terms, 0, panels.count, g.scratch);
        for (std::size_t i = 0; i < rows.in.size(); ++i) g.multiply_adds += panels.counts[i / R] * weight.real_cols;
        DifferenceProductArgs<T> product{};
        product.in = in, product.in_offset = terms.in_offset, product.terms = terms.terms;
        product.counts = terms.counts, product.weight = weight.blocks.data(), product.out = out;
        product.out_offset = panels.out_offset.data(), product.unused = unused;
        product.depth = weight.depth, product.cols = weight.cols;
        kernels<T>().difference_product(product, 0, panels.count, g.scratch);
    }
}

// What the steps of a group share. Sums have one row more than there are probes, for what is left out.
template <class T>
struct Memory {
    T *state, *cell, *sums, *reset;

    Memory(ProbeGroup<T>& g, const Layer<T>& layer) {
        const int64_t rows = g.count + 1, own = rows * layer.pitch;
        g.work.resize(static_cast<std::size_t>(3 * own + rows * layer.sums_size));
        state = g.work.data(), cell = state + own, reset = cell + own, sums = reset + own;
        std::fill(state, reset, T(0));
    }
};

template <class T>
void run_steps(ProbeGroup<T>& g, const Layer<T>& layer) {
    const DifferenceMap<T>&from = g.propagation->map(layer.x), &to = g.propagation->map(layer.y);
    const auto &in = g.windows_of(layer.x), &out = g.windows_of(layer.y);
    const Memory<T> memory(g, layer);
    const std::vector<const T*> bases = g.base(layer.base);
    const int64_t base_size = difference_base_rows(layer.cell) * layer.pitch, sums_size = layer.sums_size;
    const int64_t unused = g.count * sums_size;
    const bool after = layer.cell == DifferenceCell::gru_after, before = layer.cell == DifferenceCell::gru_before;
    std::vector<int64_t> probes;  // that have been touched by now
    std::vector<const T*> base;
    Rows inputs, states, resets;
    for (int64_t i = 0; i < layer.steps; ++i) {
        const int64_t step = layer.reverse ? layer.steps - 1 - i : i;
        probes.clear(), base.clear(), inputs.clear(), states.clear(), resets.clear();
        for (int64_t probe = 0; probe < g.count; ++probe) {
            const DifferenceWindow& w = in[static_cast<std::size_t>(probe)];
            if (w.rows == 0 || (layer.reverse ? step >= w.row + w.rows : step < w.row)) continue;
            const auto item = static_cast<int64_t>(probes.size());
            if (step >= w.row && step < w.row + w.rows)
                inputs.add(probe * from.size + (step - w.row) * from.pitch, item * sums_size);
            states.add(probe * layer.pitch, item * sums_size + (after ? 3 * layer.pitch : 0));
            resets.add(item * layer.pitch, item * sums_size);
            probes.push_back(probe), base.push_back(bases[static_cast<std::size_t>(probe)] + step * base_size);
        }
        const auto items = static_cast<int64_t>(probes.size());
        if (items == 0) continue;
        std::fill(memory.sums, memory.sums + items * sums_size, T(0));
        add_products(g, g.at(layer.x), inputs, layer.input, memory.sums, unused);
        DifferenceCellArgs<T> args{};
        args.base = base.data(), args.probes = probes.data(), args.sums = memory.sums;
        args.state = memory.state, args.cell = memory.cell, args.reset_state = memory.reset;
        args.sums_size = sums_size, args.pitch = layer.pitch, args.kind = layer.cell;
        if (after) add_products(g, memory.state, states, layer.candidate, memory.sums, unused);
        if (after)
            for (int64_t& offset : states.out) offset -= 3 * layer.pitch;
        add_products(g, memory.state, states, layer.state, memory.sums, unused);
        if (before) {
            kernels<T>().difference_reset(args, 0, items, g.scratch);
            for (int64_t& offset : resets.out) offset += 2 * layer.pitch;
            add_products(g, memory.reset, resets, layer.candidate, memory.sums, unused);
        }
        kernels<T>().difference_cell(args, 0, items, g.scratch);
        if (layer.last) continue;
        for (const int64_t probe : probes) {
            const T* const state = memory.state + probe * layer.pitch;
            const int64_t row = step - out[static_cast<std::size_t>(probe)].row;
            std::copy(state, state + layer.pitch, g.at(layer.y) + probe * to.size + row * to.pitch);
        }
    }
    if (!layer.last) return;
    for (int64_t probe = 0; probe < g.count; ++probe) {
        const T* const state = memory.state + probe * layer.pitch;
        std::copy(state, state + layer.pitch, g.at(layer.y) + probe * to.size);
    }
}

Reach reach_of_steps(const Reach& reach, int64_t steps, bool reverse, bool last) {
    Reach result;
    for (const Interval& in : reach)
        result.push_back(in.size() == 0 ? Interval{}
                         : last         ? Interval{0, 1}
                         : reverse      ? Interval{0, in.end}
                                        : Interval{in.first, steps});
    return result;
}

}  // namespace

template <class T>
auto Propagation<T>::recurrent(Value x, int base, const RecurrentWeights<T>& w, bool reverse, bool last) -> Value {
    const DifferenceMap<T> from = map(x);
    DifferenceMap<T> to(w.hidden, last ? 1 : from.rows, 1, reach_of_steps(from.row_reach, from.rows, reverse, last),
                        reach_of_all(from.col_reach));
    const int64_t gates = difference_gates(w.cell), hidden = w.hidden, features = from.channels;
    const bool is_gru = w.cell == DifferenceCell::gru_after || w.cell == DifferenceCell::gru_before;
    LayerCost cost;
    cost.per_product = 1, cost.full = from.rows * gates * hidden * (features + hidden);
    const int64_t met = x == input ? 1 : features;  // an element of the input is one of a step's features
    for (const Interval& in : from.row_reach) {
        const int64_t run = in.size() == 0 ? 0 : reverse ? in.end : from.rows - in.first;
        cost.by_row.push_back(gates * hidden * (in.size() * met + run * hidden));
    }
    for (const Interval& in : from.col_reach) cost.by_col.push_back(in.size());
    const Value y = static_cast<Value>(maps_.size());
    const auto layer = std::make_shared<const Layer<T>>(Layer<T>{
        x, y, base, hidden, to.pitch, from.rows, (w.cell == DifferenceCell::gru_after ? 4 : gates) * to.pitch, w.cell,
        reverse, last, PackedGates<T>(w.input, gates, hidden, features, to.pitch),
        PackedGates<T>(w.state, is_gru ? 2 : gates, hidden, hidden, to.pitch),
        PackedGates<T>(w.state + (is_gru ? 2 * hidden * hidden : 0), is_gru ? 1 : 0, hidden, hidden, to.pitch)});
    return add_step({x}, std::move(to), [layer](ProbeGroup<T>& g) { run_steps(g, *layer); }, cost);
}

template Propagation<float>::Value Propagation<float>::recurrent(Value, int, const RecurrentWeights<float>&, bool,
                                                                 bool);
template Propagation<double>::Value Propagation<double>::recurrent(Value, int, const RecurrentWeights<double>&, bool,
                                                                   bool);

}  // namespace advcore

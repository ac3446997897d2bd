// What a network's outputs differ by when one number of its input moves: differences are propagated from layer to
// layer, and only where the number reaches. The sample's own values ("base") are given wherever a layer is not linear.
//
// Probes go through all layers in groups, a group on one thread: near each other they share the positions that they
// touch, and so the rows of products. A probe's bits do not depend on its group.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "../kernels/difference.h"
#include "../kernels/difference_recurrent.h"
#include "conv2d.h"
#include "program.h"
#include "reach.h"

namespace advcore {

template <class T>
class Propagation;

// A layer's values: where probes reach them, and where they lie in a group's memory.
template <class T>
struct DifferenceMap {
    int64_t channels, rows, cols;
    Reach row_reach, col_reach;
    int64_t pitch;        // channels, rounded up to whole blocks of columns
    int64_t size;         // from probe to probe: the largest window, at least what is written behind the last probe
    int64_t offset = -1;  // in the group's memory, which has one place more than it has probes

    DifferenceMap(int64_t channels, int64_t rows, int64_t cols, Reach row_reach, Reach col_reach);
    DifferenceWindow window(int64_t row, int64_t col) const;
};

template <class T>
struct Probe {
    int64_t sample, channel, row, col;
    T step;
    int64_t index;  // of the results
};

// A position of a layer's input that a probe touches.
struct TouchedPosition {
    int64_t probe, row, col;
};

// What products of differences need: panels of six touched positions each, the last one filled up.
struct DifferencePanels {
    int64_t count = 0;
    std::vector<int64_t> in_offset, out_offset;
    std::vector<int32_t> terms, counts;
    void resize(int64_t positions);
};

// The probes that go through the layers together.
template <class T>
struct ProbeGroup {
    const Propagation<T>* propagation;
    const Probe<T>* probes;
    int64_t count, places;
    T* memory;
    void* scratch;
    std::vector<std::vector<DifferenceWindow>> windows;  // of each map, as far as layers have been computed
    std::vector<uint8_t> kinked;
    std::vector<TouchedPosition> touched;
    DifferencePanels panels;
    std::vector<T> work;  // of a recurrent layer
    int64_t multiply_adds = 0;

    T* at(int map) const;
    const std::vector<DifferenceWindow>& windows_of(int map) const { return windows[static_cast<std::size_t>(map)]; }
    std::vector<const T*> base(int index) const;                                          // of each probe
    const T* base_at(int index, int map, int64_t probe, int64_t row, int64_t col) const;  // one that is like that map
};

// A recurrent layer in one direction; weights have torch's gates, one after the other.
template <class T>
struct RecurrentWeights {
    DifferenceCell cell;
    int64_t hidden;
    const T *input, *state;  // [gates * hidden][features], [gates * hidden][hidden]
};

// What a layer costs. The multiply-adds of a probe are per_product by_row[its row] by_col[its column].
struct LayerCost {
    int64_t per_product = 0;                   // multiply-adds of one (position, tap) pair
    int64_t full = 0;                          // of a full pass; 0 for layers without products
    std::vector<int64_t> by_row, by_col;       // pairs along an axis, for each row (column) of the input
    int64_t window_rows = 0, window_cols = 0;  // the largest window of the output
    int64_t done = 0;                          // multiply-adds so far, zeros left out
};

template <class T>
class Propagation {
public:
    using Value = int;
    static constexpr Value input = 0;

    Propagation(int64_t channels, int64_t rows, int64_t cols);
    Propagation(const Propagation&) = delete;

    // Layers: each takes maps and returns that of its output. A base is the index of an array that `prepare` is given:
    // a sample's values before the function, (channels, rows, cols), and after it.
    Value convolve(Value x, const ConvShape& shape, const T* weight);
    Value linear(Value x, int64_t outputs, const T* weight);  // weight[outputs, channels, rows, cols]
    Value scale(Value x, std::vector<T> factors);             // one a channel
    Value clip(Value x, int base, T low, T high, T slope);
    Value smooth(Value x, int base, DifferenceFunction function);
    Value max_pool(Value x, int base, int base_out, const PoolAxis& rows, const PoolAxis& cols, bool relu);
    Value mean(Value x, std::vector<Interval> rows, std::vector<Interval> cols, std::vector<T> row_divisors,
               std::vector<T> col_divisors);
    Value softmax(Value x, int base_out, bool log);  // over the channels of each position
    // Over groups of channels, at each position or over all of them; weight[channels, rows, cols].
    Value normalize(Value x, int base, int64_t groups, bool by_position, const T* weight, double eps);
    Value product(Value x, Value y, int base_x, int base_y);  // extents of 1 are stretched
    // Element i of the output, (channels, rows, cols) in order, is element source[i] of x, or fixed where it is -1;
    // rows and cols say which of x's a row or a column of the output takes.
    Value gather(Value x, const int64_t* source, int64_t channels, const std::vector<Interval>& rows,
                 const std::vector<Interval>& cols);
    // Steps are rows of a map of one column. `base` is of rows: see difference_recurrent.h.
    Value recurrent(Value x, int base, const RecurrentWeights<T>& weights, bool reverse, bool last);
    Value sum(const std::vector<Value>& inputs);
    Value concatenate(const std::vector<Value>& inputs);
    int base_like(Value x);
    int base_of(int64_t size);  // taken as it is, `size` elements a sample
    void finish(Value output);

    // Takes what the layers want of some samples: for each base an array (samples, channels, rows, cols).
    void prepare(const std::vector<const T*>& bases, int64_t samples);
    // The differences of the outputs, [count][outputs] in the order of an array (channels, rows, cols), when the
    // input's element `coordinate` of a sample moves by `step`; and whether the opposite step might not give the
    // opposite.
    void run(const int64_t* sample, const int64_t* coordinate, const T* step, int64_t count, T* out, uint8_t* kinked);

    int64_t output_size() const;
    const std::vector<DifferenceMap<T>>& maps() const { return maps_; }
    const DifferenceMap<T>& map(Value x) const { return maps_[static_cast<std::size_t>(x)]; }
    const T* base(int index, int64_t sample) const;
    std::vector<LayerCost> costs() const;

private:
    struct Step {
        std::vector<Value> inputs;
        Value output;
        std::function<void(ProbeGroup<T>&)> call;
        LayerCost cost;
        bool in_place;
    };
    struct Base {
        Value like;             // -1: none, values lie as they were given
        std::vector<T> values;  // [samples][rows][cols][pitch]
        int64_t size = 0;       // of a sample, if it is like no map
    };

    Value add_step(std::vector<Value> inputs, DifferenceMap<T> output, std::function<void(ProbeGroup<T>&)> call,
                   LayerCost cost = {});
    // The same map again, its differences changed in place.
    Value add_in_place(Value x, std::function<void(ProbeGroup<T>&, Value)> call);
    void plan();
    int64_t group_size(int64_t count) const;
    void run_groups(const std::vector<Probe<T>>& probes, int64_t size, int64_t begin, int64_t end, void* scratch,
                    T* out, uint8_t* kinked);
    void run_group(ProbeGroup<T>& group, T* out, uint8_t* kinked);

    std::vector<DifferenceMap<T>> maps_;
    std::vector<Step> steps_;
    std::vector<Base> bases_;
    std::unique_ptr<std::atomic<int64_t>[]> done_;
    Value output_ = input;
    int64_t memory_ = 0;  // elements a probe
};

}  // namespace advcore

// The layers of a propagation that multiply by weights.
#include <algorithm>
#include <memory>

#include "../kernels/tile.h"
#include "dispatch.h"
#include "propagation.h"
#include "propagation_panels.h"

namespace advcore {
namespace {

constexpr int64_t R = difference_rows;

// Zeros in the windows of a map that sums are added to.
template <class T>
void clear(const ProbeGroup<T>& g, int value) {
    const DifferenceMap<T>& m = g.propagation->map(value);
    for (int64_t i = 0; i < g.count; ++i) {
        const DifferenceWindow& w = g.windows_of(value)[static_cast<std::size_t>(i)];
        T* const place = g.at(value) + i * m.size;
        std::fill(place, place + w.rows * w.cols * m.pitch, T(0));
    }
}

// Where the differences of touched positions are, from the map's beginning.
struct Places {
    std::vector<int64_t> origin, row_pitch;  // of each probe
    int64_t pitch;

    template <class T>
    Places(const DifferenceMap<T>& m, const std::vector<DifferenceWindow>& windows) : pitch(m.pitch) {
        for (const DifferenceWindow& w : windows) {
            row_pitch.push_back(w.cols * pitch);
            origin.push_back(static_cast<int64_t>(origin.size()) * m.size - w.row * row_pitch.back() - w.col * pitch);
        }
    }
    int64_t operator()(int64_t probe, int64_t row, int64_t col) const {
        const auto i = static_cast<std::size_t>(probe);
        return origin[i] + row * row_pitch[i] + col * pitch;
    }
};

// The positions that probes touch, those in the same rows and columns of a stride's grid together: the same taps have
// outputs there.
template <class T>
void list_touched(ProbeGroup<T>& g, int value, int64_t row_stride, int64_t col_stride) {
    const DifferenceMap<T>& m = g.propagation->map(value);
    const auto& windows = g.windows_of(value);
    int64_t first_row = m.rows, end_row = 0, first_col = m.cols, end_col = 0;
    for (const DifferenceWindow& w : windows) {
        if (w.rows == 0) continue;
        first_row = std::min(first_row, w.row), end_row = std::max(end_row, w.row + w.rows);
        first_col = std::min(first_col, w.col), end_col = std::max(end_col, w.col + w.cols);
    }
    g.touched.clear();
    for (int64_t y = 0; y < row_stride; ++y)
        for (int64_t x = 0; x < col_stride; ++x)
            for (int64_t row = first_row + y; row < end_row; row += row_stride)
                for (int64_t col = first_col + x; col < end_col; col += col_stride)
                    for (int64_t i = 0; i < g.count; ++i) {
                        const DifferenceWindow& w = windows[static_cast<std::size_t>(i)];
                        if (row >= w.row && row < w.row + w.rows && col >= w.col && col < w.col + w.cols)
                            g.touched.push_back({i, row, col});
                    }
}

template <class T>
struct Factors {
    const T* weight;  // [taps][packed], of one group of channels
    int64_t depth, cols;
    int64_t in_channel, out_channel;  // the first ones
};

// Panels of the touched positions [first, last) times weights; out_offset(tap)(position) is where the sum belongs,
// less than 0 where there is no output.
template <class T, class Offset>
void multiply(ProbeGroup<T>& g, int in, int out, const Places& places, std::size_t first, std::size_t last,
              int64_t taps, const Factors<T>& f, const Offset& out_offset) {
    DifferencePanels& panels = g.panels;
    const TouchedPosition* const touched = g.touched.data() + first;
    const std::size_t rows = last - first;
    const int64_t unused = g.count * g.propagation->map(out).size;
    panels.resize(static_cast<int64_t>(rows));
    for (std::size_t i = 0; i < panels.in_offset.size(); ++i) {
        const TouchedPosition& at = touched[std::min(i, rows - 1)];
        panels.in_offset[i] = places(at.probe, at.row, at.col);
    }
    std::fill(panels.out_offset.begin(), panels.out_offset.end(), unused);
    for (int64_t k = 0; k < f.depth; k += block_depth) {
        DifferenceTermsArgs<T> terms{};
        terms.in = g.at(in) + f.in_channel, terms.in_offset = panels.in_offset.data();
        terms.first = k, terms.last = std::min(f.depth, k + block_depth);
        terms.terms = panels.terms.data(), terms.counts = panels.counts.data();
        kernels<T>().difference_terms(terms, 0, panels.count, g.scratch);
        for (int64_t tap = 0; tap < taps; ++tap) {
            int64_t used = 0;
            const auto place = out_offset(tap);
            for (std::size_t i = 0; i < rows; ++i) {
                const int64_t at = place(touched[i]);
                panels.out_offset[i] = at < 0 ? unused : at + f.out_channel;
                used += at < 0 ? 0 : panels.counts[i / R];
            }
            if (used == 0) continue;
            g.multiply_adds += used * f.cols;
            DifferenceProductArgs<T> product{};
            product.in = terms.in, product.in_offset = terms.in_offset;
            product.terms = terms.terms, product.counts = terms.counts;
            product.weight = f.weight + tap * packed_size<T>(f.cols, f.depth);
            product.out = g.at(out), product.out_offset = panels.out_offset.data(), product.unused = unused;
            product.depth = f.depth;
            product.cols = ceil_div(f.cols, difference_columns<T>) * difference_columns<T>;
            kernels<T>().difference_product(product, 0, panels.count, g.scratch);
        }
    }
}

ReachAxis reach_axis(const ConvAxis& a) { return {a.input, a.output, a.taps, a.stride, a.padding, a.dilation}; }

PoolAxis pool_axis(const ConvAxis& a) { return {a.input, a.output, a.taps, a.stride, a.padding, a.dilation, nullptr}; }

// Where an input's row (or column) meets a tap: the output's, -1 if there is none.
int64_t output_at(const ConvAxis& a, int64_t in, int64_t tap) {
    const int64_t at = in + a.padding - tap * a.dilation;
    if (at < 0) return -1;
    if (a.stride == 1) return at < a.output ? at : -1;
    return at % a.stride == 0 && at / a.stride < a.output ? at / a.stride : -1;
}

// [tap][row (or column) of the input]
std::vector<int64_t> outputs_of(const ConvAxis& a) {
    std::vector<int64_t> result;
    for (int64_t tap = 0; tap < a.taps; ++tap)
        for (int64_t in = 0; in < a.input; ++in) result.push_back(output_at(a, in, tap));
    return result;
}

}  // namespace

void DifferencePanels::resize(int64_t positions) {
    count = ceil_div(positions, R);
    in_offset.resize(static_cast<std::size_t>(count * R));
    out_offset.resize(in_offset.size());
    terms.resize(static_cast<std::size_t>(count * block_depth));
    counts.resize(static_cast<std::size_t>(count));
}

template <class T>
auto Propagation<T>::convolve(Value x, const ConvShape& s, const T* weight) -> Value {
    const ReachAxis rows = reach_axis(s.vertical), cols = reach_axis(s.horizontal);
    const DifferenceMap<T> from = map(x);
    const int64_t taps = rows.taps * cols.taps;
    DifferenceMap<T> to(s.groups * s.rows, rows.output, cols.output, reach_through(from.row_reach, rows),
                        reach_through(from.col_reach, cols));
    LayerCost cost;
    cost.per_product = s.groups * s.rows * s.channels, cost.full = s.work();
    cost.by_row = products_in(from.row_reach, rows), cost.by_col = products_in(from.col_reach, cols);
    const Value y = static_cast<Value>(maps_.size());
    if (s.channels == 1 && s.rows == 1 && s.groups > 1) {
        auto packed = std::make_shared<std::vector<T>>(static_cast<std::size_t>(taps * to.pitch));
        for (int64_t c = 0; c < s.groups; ++c)
            for (int64_t t = 0; t < taps; ++t)
                (*packed)[static_cast<std::size_t>(t * to.pitch + c)] = weight[c * taps + t];
        return add_step(
            {x}, std::move(to),
            [=, in_size = from.size](ProbeGroup<T>& g) {
                clear(g, y);
                DifferenceDepthwiseArgs<T> args{};
                args.in = g.at(x), args.out = g.at(y), args.weight = packed->data();
                args.in_windows = g.windows_of(x).data(), args.out_windows = g.windows_of(y).data();
                args.in_size = in_size, args.out_size = g.propagation->map(y).size,
                args.pitch = g.propagation->map(y).pitch;
                args.rows = pool_axis(s.vertical), args.cols = pool_axis(s.horizontal);
                kernels<T>().difference_depthwise(args, 0, g.count, g.scratch);
            },
            cost);
    }
    const int64_t size = packed_size<T>(s.rows, s.channels);
    auto packed = std::make_shared<std::vector<T>>(static_cast<std::size_t>(s.groups * taps * size));
    for (int64_t i = 0; i < s.groups * taps; ++i) {
        const int64_t group = i / taps, tap = i % taps;
        pack_blocks(
            s.rows, s.channels,
            [&](int64_t row, int64_t c) { return weight[((group * s.rows + row) * s.channels + c) * taps + tap]; },
            packed->data() + i * size);
    }
    return add_step(
        {x}, std::move(to),
        [=](ProbeGroup<T>& g) {
            clear(g, y);
            list_touched(g, x, s.vertical.stride, s.horizontal.stride);
            if (g.touched.empty()) return;
            const Places in(g.propagation->map(x), g.windows_of(x)), out(g.propagation->map(y), g.windows_of(y));
            const std::vector<int64_t> out_rows = outputs_of(s.vertical), out_cols = outputs_of(s.horizontal);
            for (int64_t group = 0; group < s.groups; ++group)
                multiply(g, x, y, in, 0, g.touched.size(), taps,
                         Factors<T>{packed->data() + group * taps * size, s.channels, s.rows, group * s.channels,
                                    group * s.rows},
                         [&](int64_t tap) {
                             const int64_t* const rows = out_rows.data() + tap / s.horizontal.taps * s.vertical.input;
                             const int64_t* const cols = out_cols.data() + tap % s.horizontal.taps * s.horizontal.input;
                             return [=, &out](const TouchedPosition& at) -> int64_t {
                                 const int64_t row = rows[at.row], col = cols[at.col];
                                 return row < 0 || col < 0 ? -1 : out(at.probe, row, col);
                             };
                         });
        },
        cost);
}

template <class T>
auto Propagation<T>::linear(Value x, int64_t outputs, const T* weight) -> Value {
    const DifferenceMap<T> from = map(x);
    const int64_t positions = from.rows * from.cols, size = packed_size<T>(outputs, from.channels);
    auto packed = std::make_shared<std::vector<T>>(static_cast<std::size_t>(positions * size));
    for (int64_t p = 0; p < positions; ++p)
        pack_blocks(
            outputs, from.channels,
            [&](int64_t row, int64_t c) { return weight[(row * from.channels + c) * positions + p]; },
            packed->data() + p * size);
    LayerCost cost;
    cost.per_product = outputs * from.channels, cost.full = cost.per_product * positions;
    for (const Interval& i : from.row_reach) cost.by_row.push_back(i.size());
    for (const Interval& i : from.col_reach) cost.by_col.push_back(i.size());
    const Value y = static_cast<Value>(maps_.size());
    return add_step(
        {x}, DifferenceMap<T>(outputs, 1, 1, reach_of_all(from.row_reach), reach_of_all(from.col_reach)),
        [=, channels = from.channels, cols = from.cols](ProbeGroup<T>& g) {
            clear(g, y);
            list_touched(g, x, 1, 1);
            const Places in(g.propagation->map(x), g.windows_of(x));
            const int64_t stride = g.propagation->map(y).size;
            for (std::size_t first = 0, last = 0; first < g.touched.size(); first = last) {
                const TouchedPosition at = g.touched[first];
                while (last < g.touched.size() && g.touched[last].row == at.row && g.touched[last].col == at.col)
                    ++last;
                multiply(g, x, y, in, first, last, 1,
                         Factors<T>{packed->data() + (at.row * cols + at.col) * size, channels, outputs, 0, 0},
                         [=](int64_t) { return [=](const TouchedPosition& t) { return t.probe * stride; }; });
            }
        },
        cost);
}

#define ADVCORE_PROPAGATION(T)                                                                                  \
    template Propagation<T>::Value Propagation<T>::convolve(Propagation<T>::Value, const ConvShape&, const T*); \
    template Propagation<T>::Value Propagation<T>::linear(Propagation<T>::Value, int64_t, const T*);
ADVCORE_PROPAGATION(float)
ADVCORE_PROPAGATION(double)

}  // namespace advcore

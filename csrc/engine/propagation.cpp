#include "propagation.h"

#include <algorithm>
#include <cstring>

#include "parallel.h"
#include "pool.h"

namespace advcore {
namespace {

constexpr int64_t cache_bytes = 512 << 10;  // of a core, that the differences on both sides of a layer may fill
constexpr int64_t most_probes = 48;         // of a group

// Bits of both numbers in turn: what is near in the plane is near in this order.
uint64_t interleaved(uint64_t row, uint64_t col) {
    uint64_t bits = 0;
    for (unsigned i = 0; i < 32; ++i) bits |= ((row >> i & 1) << (2 * i + 1)) | ((col >> i & 1) << (2 * i));
    return bits;
}

int64_t rounded(int64_t channels, int64_t block) { return ceil_div(channels, block) * block; }

}  // namespace

template <class T>
DifferenceMap<T>::DifferenceMap(int64_t c, int64_t r, int64_t k, Reach in_rows, Reach in_cols)
    : channels(c), rows(r), cols(k), row_reach(std::move(in_rows)), col_reach(std::move(in_cols)) {
    pitch = rounded(channels, difference_columns<T>);
    const int64_t behind = 2 * pitch + difference_columns<T>;  // a row for what is left out, and what blocks overrun
    size = std::max(longest(row_reach) * longest(col_reach) * pitch, behind);
}

template <class T>
DifferenceWindow DifferenceMap<T>::window(int64_t row, int64_t col) const {
    const Interval r = row_reach[static_cast<std::size_t>(row)], c = col_reach[static_cast<std::size_t>(col)];
    if (r.size() == 0 || c.size() == 0) return {0, 0, 0, 0};
    return {r.first, c.first, r.size(), c.size()};
}

template <class T>
T* ProbeGroup<T>::at(int map) const {
    return memory + propagation->map(map).offset * places;
}

template <class T>
std::vector<const T*> ProbeGroup<T>::base(int index) const {
    std::vector<const T*> result;
    for (int64_t i = 0; i < count; ++i) result.push_back(propagation->base(index, probes[i].sample));
    return result;
}

template <class T>
const T* ProbeGroup<T>::base_at(int index, int map, int64_t probe, int64_t row, int64_t col) const {
    const DifferenceMap<T>& m = propagation->map(map);
    return propagation->base(index, probes[probe].sample) + (row * m.cols + col) * m.pitch;
}

template <class T>
Propagation<T>::Propagation(int64_t channels, int64_t rows, int64_t cols) {
    maps_.emplace_back(channels, rows, cols, reach_of_input(rows), reach_of_input(cols));
}

template <class T>
auto Propagation<T>::add_step(std::vector<Value> inputs, DifferenceMap<T> output,
                              std::function<void(ProbeGroup<T>&)> call, LayerCost cost) -> Value {
    maps_.push_back(std::move(output));
    cost.window_rows = longest(maps_.back().row_reach), cost.window_cols = longest(maps_.back().col_reach);
    const Value value = static_cast<Value>(maps_.size()) - 1;
    steps_.push_back({std::move(inputs), value, std::move(call), std::move(cost), false});
    return value;
}

template <class T>
auto Propagation<T>::add_in_place(Value x, std::function<void(ProbeGroup<T>&, Value)> call) -> Value {
    const Value y = static_cast<Value>(maps_.size());
    const DifferenceMap<T> like = map(x);
    add_step({x}, like, [=](ProbeGroup<T>& g) {
        if (g.at(x) != g.at(y))
            std::memcpy(g.at(y), g.at(x), static_cast<std::size_t>(g.count * like.size) * sizeof(T));
        call(g, y);
    });
    steps_.back().in_place = true;
    return y;
}

template <class T>
int Propagation<T>::base_like(Value x) {
    bases_.push_back({x, {}});
    return static_cast<int>(bases_.size()) - 1;
}

template <class T>
int Propagation<T>::base_of(int64_t size) {
    bases_.push_back({-1, {}, size});
    return static_cast<int>(bases_.size()) - 1;
}

// Maps that are in use at once lie beside one another, each as low as it fits.
template <class T>
void Propagation<T>::plan() {
    std::vector<std::size_t> last(maps_.size(), 0);
    for (std::size_t i = 0; i < steps_.size(); ++i)
        for (const Value x : steps_[i].inputs) last[static_cast<std::size_t>(x)] = i;
    last[static_cast<std::size_t>(output_)] = steps_.size();
    std::vector<Value> used;  // by their offsets
    const auto place = [&](Value value) {
        int64_t at = 0;
        auto before = used.begin();
        for (; before != used.end() && map(*before).offset < at + map(value).size; ++before)
            at = map(*before).offset + map(*before).size;
        used.insert(before, value);
        maps_[static_cast<std::size_t>(value)].offset = at;
        memory_ = std::max(memory_, at + map(value).size);
    };
    place(input);
    for (std::size_t i = 0; i < steps_.size(); ++i) {
        const Step& step = steps_[i];
        const bool ends = last[static_cast<std::size_t>(step.inputs[0])] == i;
        if (step.in_place && ends) {
            maps_[static_cast<std::size_t>(step.output)].offset = map(step.inputs[0]).offset;
            *std::find(used.begin(), used.end(), step.inputs[0]) = step.output;
        } else {
            place(step.output);
            std::erase_if(used, [&](Value value) { return last[static_cast<std::size_t>(value)] <= i; });
        }
    }
}

template <class T>
void Propagation<T>::finish(Value output) {
    output_ = output;
    plan();
    done_ = std::make_unique<std::atomic<int64_t>[]>(steps_.size());
}

template <class T>
int64_t Propagation<T>::output_size() const {
    const DifferenceMap<T>& m = map(output_);
    return m.channels * m.rows * m.cols;
}

template <class T>
const T* Propagation<T>::base(int index, int64_t sample) const {
    const Base& b = bases_[static_cast<std::size_t>(index)];
    if (b.like < 0) return b.values.data() + sample * b.size;
    const DifferenceMap<T>& m = map(b.like);
    return b.values.data() + sample * m.rows * m.cols * m.pitch;
}

template <class T>
void Propagation<T>::prepare(const std::vector<const T*>& given, int64_t samples) {
    for (std::size_t i = 0; i < bases_.size(); ++i) {
        if (bases_[i].like < 0) {
            bases_[i].values.assign(given[i], given[i] + samples * bases_[i].size);
            continue;
        }
        const DifferenceMap<T>& m = map(bases_[i].like);
        bases_[i].values.resize(static_cast<std::size_t>(samples * m.rows * m.cols * m.pitch));
        struct Work {
            const T* from;
            T* to;
            int64_t channels, pitch, positions;
        } const work{given[i], bases_[i].values.data(), m.channels, m.pitch, m.rows * m.cols};
        constexpr int64_t together = 16;  // positions, so that lines of memory are used whole
        const int64_t items = ceil_div(work.positions, together);
        parallel_for(
            samples * items, std::max<int64_t>(1, 16384 / (together * m.channels)),
            [](const void* erased, int64_t begin, int64_t end, void*) {
                const Work& w = *static_cast<const Work*>(erased);
                const int64_t per_sample = ceil_div(w.positions, together);
                for (int64_t item = begin; item < end; ++item) {
                    const int64_t sample = item / per_sample, first = item % per_sample * together;
                    const int64_t last = std::min(w.positions, first + together);
                    const T* const from = w.from + sample * w.channels * w.positions;
                    T* const to = w.to + sample * w.positions * w.pitch;
                    for (int64_t c = 0; c < w.channels; ++c)
                        for (int64_t p = first; p < last; ++p) to[p * w.pitch + c] = from[c * w.positions + p];
                    for (int64_t p = first; p < last; ++p)
                        std::fill(to + p * w.pitch + w.channels, to + (p + 1) * w.pitch, T(0));
                }
            },
            &work);
    }
}

// As many probes as keep the differences on both sides of a layer in a core's cache.
template <class T>
int64_t Propagation<T>::group_size(int64_t count) const {
    int64_t largest = 1;
    for (const Step& step : steps_) largest = std::max(largest, map(step.inputs[0]).size + map(step.output).size);
    const int64_t fits = cache_bytes / static_cast<int64_t>(sizeof(T)) / largest;
    const int64_t size = std::clamp<int64_t>(fits / difference_rows * difference_rows, difference_rows, most_probes);
    const int64_t threads = get_num_threads();
    const int64_t groups = rounded(ceil_div(count, size), threads);  // so that all threads end at about the same time
    return std::min(size, rounded(ceil_div(count, groups), difference_rows));
}

template <class T>
void Propagation<T>::run(const int64_t* sample, const int64_t* coordinate, const T* step, int64_t count, T* out,
                         uint8_t* kinked) {
    std::memset(kinked, 0, static_cast<std::size_t>(count));
    std::memset(out, 0, static_cast<std::size_t>(count * output_size()) * sizeof(T));
    const int64_t cols = map(input).cols, positions = map(input).rows * cols;
    std::vector<std::pair<uint64_t, Probe<T>>> order;
    for (int64_t i = 0; i < count; ++i) {
        if (step[i] == 0) continue;
        const int64_t position = coordinate[i] % positions;
        const Probe<T> probe{sample[i], coordinate[i] / positions, position / cols, position % cols, step[i], i};
        order.emplace_back(interleaved(static_cast<uint64_t>(probe.row), static_cast<uint64_t>(probe.col)), probe);
    }
    std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
        return a.second.sample != b.second.sample ? a.second.sample < b.second.sample : a.first < b.first;
    });
    std::vector<Probe<T>> probes;
    for (const auto& [key, probe] : order) probes.push_back(probe);
    if (probes.empty()) return;
    struct Work {
        Propagation* self;
        const std::vector<Probe<T>>& probes;
        int64_t size;
        T* out;
        uint8_t* kinked;
    } const work{this, probes, group_size(static_cast<int64_t>(probes.size())), out, kinked};
    parallel_for(
        ceil_div(static_cast<int64_t>(probes.size()), work.size), 1,
        [](const void* erased, int64_t begin, int64_t end, void* scratch) {
            const Work& w = *static_cast<const Work*>(erased);
            w.self->run_groups(w.probes, w.size, begin, end, scratch, w.out, w.kinked);
        },
        &work);
}

template <class T>
void Propagation<T>::run_groups(const std::vector<Probe<T>>& probes, int64_t size, int64_t begin, int64_t end,
                                void* scratch, T* out, uint8_t* kinked) {
    const int64_t places = size + 1;
    const Pooled<T> memory = pooled<T>(memory_ * places);
    ProbeGroup<T> group{};
    group.propagation = this, group.scratch = scratch;
    group.memory = memory.get();
    for (int64_t i = begin; i < end; ++i) {
        group.probes = probes.data() + i * size, group.places = places;
        group.count = std::min(size, static_cast<int64_t>(probes.size()) - i * size);
        run_group(group, out, kinked);
    }
}

template <class T>
void Propagation<T>::run_group(ProbeGroup<T>& g, T* out, uint8_t* kinked) {
    const auto windows = [&](Value value) {
        std::vector<DifferenceWindow> result;
        for (int64_t i = 0; i < g.count; ++i) result.push_back(map(value).window(g.probes[i].row, g.probes[i].col));
        g.windows.push_back(std::move(result));
    };
    g.kinked.assign(static_cast<std::size_t>(g.count), 0);
    g.windows.clear();
    windows(input);
    for (int64_t i = 0; i < g.count; ++i) {
        T* const place = g.at(input) + i * map(input).size;
        std::fill(place, place + map(input).pitch, T(0));
        place[g.probes[i].channel] = g.probes[i].step;
    }
    for (std::size_t s = 0; s < steps_.size(); ++s) {
        windows(steps_[s].output);
        const int64_t before = g.multiply_adds;
        steps_[s].call(g);
        done_[s] += g.multiply_adds - before;
    }
    const DifferenceMap<T>& m = map(output_);
    for (int64_t i = 0; i < g.count; ++i) {
        const DifferenceWindow w = g.windows_of(output_)[static_cast<std::size_t>(i)];
        const T* from = g.at(output_) + i * m.size;
        T* const to = out + g.probes[i].index * output_size();
        for (int64_t row = w.row; row < w.row + w.rows; ++row)
            for (int64_t col = w.col; col < w.col + w.cols; ++col, from += m.pitch)
                for (int64_t c = 0; c < m.channels; ++c) to[(c * m.rows + row) * m.cols + col] = from[c];
        kinked[g.probes[i].index] = g.kinked[static_cast<std::size_t>(i)];
    }
}

template <class T>
std::vector<LayerCost> Propagation<T>::costs() const {
    std::vector<LayerCost> result;
    for (std::size_t s = 0; s < steps_.size(); ++s) {
        result.push_back(steps_[s].cost);
        result.back().done = done_[s];
    }
    return result;
}

template struct DifferenceMap<float>;
template struct DifferenceMap<double>;
template struct ProbeGroup<float>;
template struct ProbeGroup<double>;
template class Propagation<float>;
template class Propagation<double>;

}  // namespace advcore

#include "program.h"

#include <algorithm>
#include <stdexcept>

#include "parallel.h"
#include "pointwise.h"
#include "pool.h"
#include "program_layout.h"

namespace advcore {
namespace {

constexpr int64_t alignment = 16;                 // elements
constexpr int64_t cache_bytes = 512 << 10;        // of a core, that a piece's buffers may fill
constexpr int64_t most_bytes = int64_t{1} << 27;  // of one piece

int64_t rounded(int64_t size) { return ceil_div(size, alignment) * alignment; }

}  // namespace

template <class T>
Program<T>::Program(int64_t input_size) : sizes_{input_size} {}

template <class T>
Buffer Program<T>::new_buffer(int64_t size) {
    sizes_.push_back(size);
    return static_cast<Buffer>(sizes_.size()) - 1;
}

template <class T>
Buffer Program<T>::emit(std::vector<Buffer> reads, int64_t size,
                        std::function<void(const Operands<T>&, int64_t)> call) {
    const Buffer written = new_buffer(size);
    instructions_.push_back({std::move(reads), {written}, std::move(call)});
    return written;
}

template <class T>
Buffer Program<T>::add_step(std::vector<Buffer> inputs, int64_t output_size,
                            std::function<void(const Operands<T>&, int64_t)> forward,
                            std::function<Gradients(Program&, Buffer, Buffer)> backward,
                            const std::vector<int64_t>& kept_sizes) {
    const Buffer output = emit(inputs, output_size, std::move(forward));
    for (const int64_t size : kept_sizes) instructions_.back().writes.push_back(new_buffer(size));
    steps_.push_back({std::move(inputs), output, std::move(backward)});
    return output;
}

template <class T>
void Program<T>::finish(Buffer output) {
    output_ = output = in_planes(*this, output);
    const std::size_t forward = instructions_.size();
    cotangent_ = new_buffer(size_of(output));
    std::vector<std::vector<Buffer>> arriving(sizes_.size());
    arriving[static_cast<std::size_t>(output)] = {cotangent_};
    const auto total = [&](const std::vector<Buffer>& parts) {
        Buffer sum = parts[0];
        for (std::size_t i = 1; i < parts.size(); ++i) {
            const int64_t size = size_of(sum);
            sum = emit({sum, parts[i]}, size, [size](const Operands<T>& at, int64_t samples) {
                add(at.in(0), at.in(1), at.out(), samples * size, false);
            });
        }
        return sum;
    };
    for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) {
        const auto& parts = arriving[static_cast<std::size_t>(step->output)];
        if (parts.empty()) continue;
        const Gradients gradients = step->backward(*this, step->output, total(parts));
        for (std::size_t i = 0; i < gradients.size(); ++i)
            arriving[static_cast<std::size_t>(step->inputs[i])].push_back(gradients[i]);
    }
    gradient_ = total(arriving[input]);
    forward_ = plan(forward, forward, {input, output_});
    both_ = plan(instructions_.size(), forward, {input, output_, cotangent_, gradient_});
    steps_.clear();  // with what they hold
}

template <class T>
void Program<T>::finish_keeping(Buffer output) {
    if (!channels_last_.empty()) throw std::logic_error("a program that keeps its values must have them in planes");
    output_ = output;
    forward_ = plan(instructions_.size(), instructions_.size(), {input, output_}, Keep::everything);
    steps_.clear();
}

template <class T>
void Program<T>::keep(const T* x, T* out, int64_t samples, T* memory) const {
    if (samples > 0) execute(forward_, 0, forward_.instructions, {x, nullptr, out, nullptr}, samples, memory, nullptr);
}

// Buffers that are alive at once lie beside one another; the largest are placed first, each as low as it fits.
template <class T>
auto Program<T>::arrange(const std::vector<Life>& lives, std::vector<std::size_t> buffers) const -> Layout {
    std::stable_sort(buffers.begin(), buffers.end(),
                     [&](std::size_t a, std::size_t b) { return sizes_[a] > sizes_[b]; });
    Layout result;
    result.offset.assign(sizes_.size(), -1);
    std::vector<std::size_t> placed;  // by their offsets
    for (const std::size_t b : buffers) {
        int64_t at = 0;
        for (const std::size_t other : placed) {
            const bool together = lives[b].first <= lives[other].last && lives[other].first <= lives[b].last;
            if (together && at + sizes_[b] > result.offset[other] && result.offset[other] + sizes_[other] > at)
                at = rounded(result.offset[other] + sizes_[other]);
        }
        result.offset[b] = at;
        result.size = std::max(result.size, rounded(at + sizes_[b]));
        placed.insert(
            std::upper_bound(placed.begin(), placed.end(), b,
                             [&](std::size_t x, std::size_t y) { return result.offset[x] < result.offset[y]; }),
            b);
    }
    return result;
}

template <class T>
auto Program<T>::plan(std::size_t instructions, std::size_t forward, const std::vector<Buffer>& elsewhere,
                      Keep keep) const -> Plan {
    std::vector<Life> lives(sizes_.size(), {instructions, 0});
    for (std::size_t i = 0; i < instructions; ++i) {
        for (const Buffer b : instructions_[i].writes) lives[static_cast<std::size_t>(b)].first = i;
        for (const Buffer b : instructions_[i].reads) lives[static_cast<std::size_t>(b)].last = i;
    }
    for (const Buffer b : elsewhere) lives[static_cast<std::size_t>(b)].first = instructions;
    std::vector<std::size_t> lasting, passing;
    int64_t moved = 1;
    for (std::size_t b = 0; b < lives.size(); ++b) {
        Life& life = lives[b];
        if (life.first == instructions || life.last == 0) continue;  // the first instruction reads the input alone
        if (keep == Keep::everything) life.last = instructions;
        (life.first < forward && life.last >= forward ? lasting : passing).push_back(b);
        moved += sizes_[b];
    }
    Plan result;
    result.instructions = instructions;
    result.tape = arrange(lives, lasting);
    result.passing = arrange(lives, passing);
    const int64_t cached = cache_bytes / static_cast<int64_t>(sizeof(T)) / std::max<int64_t>(result.size(), 1);
    // Weights are read once a piece, on each of the ways: that should take half as long as moving its buffers, at most.
    const int64_t ways = cotangent_ >= 0 && instructions == instructions_.size() ? 2 : 1;
    result.piece = std::max({cached, ceil_div(2 * ways * weights_, moved), int64_t{1}});
    return result;
}

template <class T>
auto Program<T>::Ends::at(const Program& p, int64_t sample) const -> Ends {
    const auto moved = [&](auto* pointer, int64_t size) { return pointer ? pointer + sample * size : nullptr; };
    return {moved(x, p.input_size()), moved(cotangent, p.output_size()), moved(out, p.output_size()),
            moved(gradient, p.input_size())};
}

template <class T>
void Program<T>::execute(const Plan& plan, std::size_t first, std::size_t last, const Ends& ends, int64_t samples,
                         T* tape, T* passing) const {
    std::vector<T*> place(sizes_.size());
    for (std::size_t b = 0; b < place.size(); ++b) {
        if (plan.tape.offset[b] >= 0) place[b] = tape + plan.tape.offset[b] * samples;
        if (plan.passing.offset[b] >= 0) place[b] = passing + plan.passing.offset[b] * samples;
    }
    place[input] = const_cast<T*>(ends.x);  // read only, as is the cotangent
    if (cotangent_ >= 0) {
        place[static_cast<std::size_t>(cotangent_)] = const_cast<T*>(ends.cotangent);
        place[static_cast<std::size_t>(gradient_)] = ends.gradient;
    }
    place[static_cast<std::size_t>(output_)] = ends.out;
    for (std::size_t i = first; i < last; ++i) {
        const Instruction<T>& instruction = instructions_[i];
        instruction.call({place.data(), instruction.reads.data(), instruction.writes.data()}, samples);
    }
}

template <class T>
int64_t Program<T>::piece_of(const Plan& plan, int64_t samples) const {
    const int64_t threads = get_num_threads();
    const int64_t most =
        std::max<int64_t>(1, most_bytes / static_cast<int64_t>(sizeof(T)) / std::max<int64_t>(plan.size(), 1));
    if (threads > 1 && plan.piece * threads > samples && 4 * samples < plan.piece * threads)
        return std::max<int64_t>(1, std::min(most, samples));
    const int64_t piece = std::max<int64_t>(1, std::min({most, plan.piece, ceil_div(samples, threads)}));
    const int64_t pieces = std::max<int64_t>(1, ceil_div(samples, piece));
    return std::max<int64_t>(1, ceil_div(samples, pieces));  // dealt evenly
}

template <class T>
void Program<T>::run_pieces(const Work& work, int64_t begin, int64_t end) {
    const int64_t tape_size = work.plan.tape.size;
    const Pooled<T> passing = pooled<T>(work.plan.passing.size * work.piece);
    Pooled<T> own;
    if (!work.tape) own = pooled<T>(tape_size * work.piece);
    for (int64_t i = begin; i < end; ++i) {
        const int64_t sample = i * work.piece;
        execute(work.plan, work.first, work.last, work.ends.at(*this, sample),
                std::min(work.piece, work.samples - sample), work.tape ? work.tape + sample * tape_size : own.get(),
                passing.get());
    }
}

// Several pieces are dealt to the threads, each of which runs its own alone; a single one is shared by all of them.
template <class T>
void Program<T>::in_pieces(const Work& work) {
    const int64_t pieces = ceil_div(work.samples, work.piece);
    if (pieces < get_num_threads()) return run_pieces(work, 0, pieces);  // each instruction has all threads
    parallel_for(
        pieces, 1,
        [](const void* erased, int64_t begin, int64_t end, void*) {
            const Work& w = *static_cast<const Work*>(erased);
            w.program->run_pieces(w, begin, end);
        },
        &work);
}

template <class T>
void Program<T>::run(const T* x, T* out, int64_t samples) {
    if (samples == 0) return;
    in_pieces({this,
               forward_,
               0,
               forward_.instructions,
               {x, nullptr, out, nullptr},
               samples,
               piece_of(forward_, samples),
               nullptr});
}

template <class T>
void Program<T>::vjp(const T* x, const T* cotangent, T* gradient, int64_t samples) {
    if (samples == 0) return;
    const Pooled<T> out = pooled<T>(samples * output_size());
    in_pieces({this,
               both_,
               0,
               both_.instructions,
               {x, cotangent, out.get(), gradient},
               samples,
               piece_of(both_, samples),
               nullptr});
}

template <class T>
int64_t Program<T>::forward(const T* x, T* out, int64_t samples, T* tape) {
    const int64_t piece = piece_of(both_, samples);
    if (samples > 0)
        in_pieces({this, both_, 0, forward_.instructions, {x, nullptr, out, nullptr}, samples, piece, tape});
    return piece;
}

template <class T>
void Program<T>::backward(const T* x, const T* out, const T* cotangent, T* gradient, int64_t samples, T* tape,
                          int64_t piece) {
    if (samples > 0)
        in_pieces({this,
                   both_,
                   forward_.instructions,
                   both_.instructions,
                   {x, cotangent, const_cast<T*>(out), gradient},
                   samples,
                   piece,
                   tape});
}

template class Program<float>;
template class Program<double>;

}  // namespace advcore

// A network in evaluation mode, compiled for samples of one shape: instructions between buffers, each buffer written
// once, with a place in memory that is planned ahead. Pieces of the batch run through all instructions one after the
// other, so that what they leave stays in a core's cache.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "../kernels/activation.h"
#include "../kernels/pointwise.h"

namespace advcore {

using Buffer = int;

// Where the operands of an instruction lie for the samples at hand.
template <class T>
struct Operands {
    T* const* place;
    const Buffer *read, *written;
    const T* in(int i) const { return place[read[i]]; }
    T* out(int i = 0) const { return place[written[i]]; }
};

template <class T>
struct Instruction {
    std::vector<Buffer> reads, writes;
    std::function<void(const Operands<T>&, int64_t samples)> call;
};

template <class T>
class Program {
public:
    explicit Program(int64_t input_size);
    Program(const Program&) = delete;

    static constexpr Buffer input = 0;

    // Steps: each takes the buffers of its inputs and returns that of its output. Sizes are elements a sample. What the
    // backward pass needs beside the output may be kept in the buffers after it: out(1), ..., null where nobody will
    // read them.
    using Gradients = std::vector<Buffer>;  // of the inputs, in their order
    Buffer add_step(std::vector<Buffer> inputs, int64_t output_size,
                    std::function<void(const Operands<T>&, int64_t)> forward,
                    std::function<Gradients(Program&, Buffer output, Buffer grad_output)> backward,
                    const std::vector<int64_t>& kept_sizes = {});
    // An instruction of the backward pass.
    Buffer emit(std::vector<Buffer> reads, int64_t size, std::function<void(const Operands<T>&, int64_t)> call);
    Buffer new_buffer(int64_t size);
    // A ReLU wrote the value; a gradient for it may be zero already where that lets nothing through.
    void set_rectified(Buffer value) { rectified_.insert({value, value}); }
    void set_rectified(Buffer value, Buffer gradient) { rectified_.insert({value, gradient}); }
    bool is_rectified(Buffer value) const { return is_rectified(value, value); }
    bool is_rectified(Buffer value, Buffer gradient) const { return rectified_.count({value, gradient}) > 0; }
    // A value whose channels, as many as this, lie side by side at each position; 0: it lies plane by plane.
    void set_channels_last(Buffer value, int64_t channels) { channels_last_[value] = channels; }
    int64_t channels_last(Buffer value) const {
        const auto found = channels_last_.find(value);
        return found == channels_last_.end() ? 0 : found->second;
    }
    // The same value in both orders.
    void set_twins(Buffer a, Buffer b) { twins_[a] = b, twins_[b] = a; }
    std::optional<Buffer> twin(Buffer value) const {
        const auto found = twins_.find(value);
        return found == twins_.end() ? std::nullopt : std::optional<Buffer>(found->second);
    }
    int64_t size_of(Buffer buffer) const { return sizes_[static_cast<std::size_t>(buffer)]; }
    void count_weights(int64_t elements) { weights_ += elements; }

    // Ends the description: derives the backward pass and plans both.
    void finish(Buffer output);

    // Ends the description of a program that runs forward alone and keeps all its buffers: keep() writes those of all
    // samples to `memory`, kept_size() elements a sample, buffer b at kept_at(b) * samples.
    void finish_keeping(Buffer output);
    int64_t kept_size() const { return forward_.tape.size; }
    int64_t kept_at(Buffer buffer) const { return forward_.tape.offset[static_cast<std::size_t>(buffer)]; }
    void keep(const T* x, T* out, int64_t samples, T* memory) const;

    void run(const T* x, T* out, int64_t samples);
    void vjp(const T* x, const T* cotangent, T* gradient, int64_t samples);

    // The two halves of vjp for one batch: `tape`, tape_size() elements a sample, holds what the second needs of the
    // first. forward returns how many samples ran together, which backward must be told; that may be called repeatedly.
    int64_t tape_size() const { return both_.tape.size; }
    int64_t forward(const T* x, T* out, int64_t samples, T* tape);
    void backward(const T* x, const T* out, const T* cotangent, T* gradient, int64_t samples, T* tape, int64_t piece);

    int64_t output_size() const { return size_of(output_); }
    int64_t input_size() const { return size_of(input); }

private:
    // Where buffers lie that are in one memory, in elements a sample; -1: elsewhere, or nobody reads it.
    struct Layout {
        std::vector<int64_t> offset;
        int64_t size = 0;
    };
    struct Plan {
        std::size_t instructions = 0;
        Layout tape;        // what the forward half leaves to the backward one: as much of it as there are samples
        Layout passing;     // what is read in the half that wrote it: of the samples at hand
        int64_t piece = 1;  // samples that keep to the cache
        int64_t size() const { return tape.size + passing.size; }
    };
    struct Step {
        std::vector<Buffer> inputs;
        Buffer output;
        std::function<Gradients(Program&, Buffer, Buffer)> backward;
    };
    struct Ends {  // the batch at hand
        const T *x, *cotangent;
        T *out, *gradient;
        Ends at(const Program& p, int64_t sample) const;
    };

    struct Life {  // the instructions that write a buffer and that read it last
        std::size_t first, last;
    };
    enum class Keep { what_is_read_after_forward, everything };
    Plan plan(std::size_t instructions, std::size_t forward, const std::vector<Buffer>& elsewhere,
              Keep keep = Keep::what_is_read_after_forward) const;
    Layout arrange(const std::vector<Life>& lives, std::vector<std::size_t> buffers) const;
    void execute(const Plan& plan, std::size_t first, std::size_t last, const Ends& ends, int64_t samples, T* tape,
                 T* passing) const;
    // Runs instructions [first, last) for all samples; without a tape each thread has one for the piece at hand.
    struct Work {
        Program* program;
        const Plan& plan;
        std::size_t first, last;
        Ends ends;
        int64_t samples, piece;
        T* tape;
    };
    void in_pieces(const Work& work);
    void run_pieces(const Work& work, int64_t begin, int64_t end);
    int64_t piece_of(const Plan& plan, int64_t samples) const;

    std::vector<int64_t> sizes_;
    std::vector<Instruction<T>> instructions_;
    std::vector<Step> steps_;
    std::set<std::pair<Buffer, Buffer>> rectified_;  // a value and itself, or a gradient for it
    std::map<Buffer, int64_t> channels_last_;
    std::map<Buffer, Buffer> twins_;
    int64_t weights_ = 0;
    Buffer output_ = input, cotangent_ = -1, gradient_ = -1;
    Plan forward_, both_;
};

}  // namespace advcore

// A network in evaluation mode, compiled for samples of one shape: instructions between buffers, each buffer written
// once, with a place in memory that is planned ahead. Pieces of the batch run through all instructions one after the
// other, so that what they leave stays in a core's cache.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
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
    // backward pass needs beside the output may be kept in the buffer after it: out(1), null where nobody will read it.
    using Gradients = std::vector<Buffer>;  // of the inputs, in their order
    Buffer add_step(std::vector<Buffer> inputs, int64_t output_size,
                    std::function<void(const Operands<T>&, int64_t)> forward,
                    std::function<Gradients(Program&, Buffer output, Buffer grad_output)> backward,
                    int64_t kept_size = 0);
    // An instruction of the backward pass.
    Buffer emit(std::vector<Buffer> reads, int64_t size, std::function<void(const Operands<T>&, int64_t)> call);
    Buffer new_buffer(int64_t size);
    int64_t size_of(Buffer buffer) const { return sizes_[static_cast<std::size_t>(buffer)]; }
    void count_weights(int64_t elements) { weights_ += elements; }

    // Ends the description: derives the backward pass and plans both.
    void finish(Buffer output);

    // Ends the description of a program that runs forward alone and keeps all its buffers: keep() writes those of all
    // samples to `memory`, kept_size() elements a sample, buffer b at kept_at(b) * samples.
    void finish_keeping(Buffer output);
    int64_t kept_size() const { return forward_.size; }
    int64_t kept_at(Buffer buffer) const { return forward_.offset[static_cast<std::size_t>(buffer)]; }
    void keep(const T* x, T* out, int64_t samples, T* memory) const;

    void run(const T* x, T* out, int64_t samples);
    void vjp(const T* x, const T* cotangent, T* gradient, int64_t samples);

    // The two halves of vjp for one batch: `tape` is of tape_size(again) elements a sample. forward returns how many
    // samples ran together, which backward must be told. `again`: backward may be called several times.
    int64_t tape_size(bool again) const { return halves(again).size; }
    int64_t forward(const T* x, T* out, int64_t samples, T* tape, bool again);
    void backward(const T* x, const T* out, const T* cotangent, T* gradient, int64_t samples, T* tape, int64_t piece,
                  bool again);

    int64_t output_size() const { return size_of(output_); }
    int64_t input_size() const { return size_of(input); }

private:
    // Where each buffer lies, in elements a sample; `first` to `last` are the instructions that are run.
    struct Plan {
        std::size_t instructions = 0;
        std::vector<int64_t> offset;  // -1: nobody reads it
        int64_t size = 0;
        int64_t piece = 1;  // samples that keep to the cache
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

    // `kept`: what instructions before this one wrote and later ones read is never written over; of all instructions,
    // nothing that is read.
    Plan plan(std::size_t instructions, const std::vector<Buffer>& elsewhere, std::size_t kept = 0) const;
    const Plan& halves(bool again) const { return again ? again_ : both_; }
    void execute(const Plan& plan, std::size_t first, std::size_t last, const Ends& ends, int64_t samples,
                 T* memory) const;
    // Runs instructions [first, last) for all samples; `tape` holds the memory of every piece, or is null: then each
    // thread takes its own.
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
    int64_t weights_ = 0;
    Buffer output_ = input, cotangent_ = -1, gradient_ = -1;
    Plan forward_, both_, again_;
};

}  // namespace advcore

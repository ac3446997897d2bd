// Random numbers from a counter: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as
// 1, 2, 3", 2011). A row of numbers depends on its seed, sample, step, stream and kind of draw alone: not on the
// other rows, the number of threads or the instruction-set level (plain scalar code, and no function of libm that
// rounds differently elsewhere).
#pragma once

#include <cstdint>

namespace advcore {

// Kinds of draw never share numbers, even in one stream.
enum class Draw : uint32_t { uniform = 0, normal = 1, sign = 2, choice = 3 };

constexpr int sample_bits = 48, stream_bits = 12;  // with 4 bits of kind, two counter words

// What a row is drawn from; the counter's first word is left for the position in the row.
struct RandomRow {
    uint64_t seed, sample;
    uint32_t step, stream;
    Draw kind;
};

// out[row, i] = low + (high - low) u, shift + scale z, or -1 and 1 alike, for u uniform in [0, 1) with 53 bits and z
// standard normal. An item is a piece of a row: `numbers_per_item` of them.
template <class T>
struct RandomArgs {
    T* out;
    const int64_t* samples;
    RandomRow row;  // its sample is taken from `samples`
    int64_t rows, size;
    double shift, scale;
};
constexpr int64_t numbers_per_item = 4096;

template <class T>
void draw(const RandomArgs<T>& args, int64_t begin, int64_t end, void* scratch);

// out[row] = `count` different coordinates of 0 .. range - 1, in random order. An item is a row.
struct ChoiceArgs {
    int64_t* out;
    const int64_t* samples;
    RandomRow row;
    int64_t rows, range, count;
};

void choose(const ChoiceArgs& args, int64_t begin, int64_t end, void* scratch);

}  // namespace advcore

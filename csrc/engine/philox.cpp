#include "philox.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

namespace advcore {
namespace {

struct Pair {
    uint64_t first, second;
};

// The numbers 2 * block and 2 * block + 1 of a row.
Pair philox(const RandomRow& row, uint64_t block) {
    uint32_t x0 = static_cast<uint32_t>(block), x1 = row.step, x2 = static_cast<uint32_t>(row.sample);
    uint32_t x3 = static_cast<uint32_t>(row.sample >> 32) | row.stream << (sample_bits - 32) |
                  static_cast<uint32_t>(row.kind) << (sample_bits - 32 + stream_bits);
    uint32_t key0 = static_cast<uint32_t>(row.seed), key1 = static_cast<uint32_t>(row.seed >> 32);
    for (int round = 0; round < 10; ++round, key0 += 0x9E3779B9u, key1 += 0xBB67AE85u) {
        const uint64_t even = uint64_t{0xD2511F53u} * x0, odd = uint64_t{0xCD9E8D57u} * x2;
        x0 = static_cast<uint32_t>(odd >> 32) ^ x1 ^ key0;
        x2 = static_cast<uint32_t>(even >> 32) ^ x3 ^ key1;
        x1 = static_cast<uint32_t>(odd);
        x3 = static_cast<uint32_t>(even);
    }
    return {x0 | uint64_t{x1} << 32, x2 | uint64_t{x3} << 32};
}

double unit(uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }  // in [0, 1)

// log(x) by the series of 2 artanh((m - 1) / (m + 1)), x = m 2^e and m within a factor sqrt(2) of 1.
double natural_log(double x) {
    int e;
    double m = std::frexp(x, &e);
    if (m < 0.70710678118654752) m *= 2, --e;
    const double s = (m - 1) / (m + 1), s2 = s * s;
    double sum = 0;
#pragma GCC unroll 16
    for (int odd = 21; odd >= 1; odd -= 2) sum = sum * s2 + 1.0 / odd;
    return e * 0.69314718055994531 + 2 * s * sum;
}

// cos and sin of 2 pi u by their Taylor series around the nearest quarter turn.
std::pair<double, double> on_circle(double u) {
    const int quarter = static_cast<int>(4 * u + 0.5);
    const double t = 6.2831853071795865 * (u - 0.25 * quarter), t2 = t * t;
    double c = 1, s = 1;
#pragma GCC unroll 8  // unrolled, the quotients are constants
    for (int n = 16; n >= 2; n -= 2) {
        c = 1 - c * t2 * (1.0 / (n * (n - 1)));
        s = 1 - s * t2 * (1.0 / (n * (n + 1)));
    }
    s *= t;
    switch (quarter % 4) {
        case 0:
            return {c, s};
        case 1:
            return {-s, c};
        case 2:
            return {-c, -s};
        default:
            return {s, -c};
    }
}

// Two numbers of a kind, made from one block.
std::pair<double, double> numbers(Draw kind, Pair bits) {
    if (kind == Draw::uniform) return {unit(bits.first), unit(bits.second)};
    if (kind == Draw::sign) return {bits.first >> 63 ? 1.0 : -1.0, bits.second >> 63 ? 1.0 : -1.0};
    const double radius = std::sqrt(-2 * natural_log(1 - unit(bits.first)));  // Box and Muller (1958)
    const auto [c, s] = on_circle(unit(bits.second));
    return {radius * c, radius * s};
}

}  // namespace

template <class T>
void draw(const RandomArgs<T>& args, int64_t begin, int64_t end, void*) {
    const int64_t items_per_row = (args.size + numbers_per_item - 1) / numbers_per_item;
    for (int64_t item = begin; item < end; ++item) {
        RandomRow row = args.row;
        row.sample = static_cast<uint64_t>(args.samples[item / items_per_row]);
        T* const out = args.out + item / items_per_row * args.size;
        const int64_t first = item % items_per_row * numbers_per_item;
        const int64_t last = std::min(args.size, first + numbers_per_item);
        for (int64_t i = first; i < last; i += 2) {
            const auto [a, b] = numbers(row.kind, philox(row, static_cast<uint64_t>(i / 2)));
            out[i] = static_cast<T>(args.shift + args.scale * a);
            if (i + 1 < last) out[i + 1] = static_cast<T>(args.shift + args.scale * b);
        }
    }
}

template void draw<float>(const RandomArgs<float>&, int64_t, int64_t, void*);
template void draw<double>(const RandomArgs<double>&, int64_t, int64_t, void*);

// Fisher and Yates's shuffle, stopped after `count` swaps and then undone, so that the next row starts afresh.
void choose(const ChoiceArgs& args, int64_t begin, int64_t end, void*) {
    std::vector<int64_t> order(static_cast<size_t>(args.range)), swapped(static_cast<size_t>(args.count));
    std::iota(order.begin(), order.end(), int64_t{0});
    for (int64_t item = begin; item < end; ++item) {
        RandomRow row = args.row;
        row.sample = static_cast<uint64_t>(args.samples[item]);
        int64_t* const out = args.out + item * args.count;
        for (int64_t i = 0; i < args.count; ++i) {
            const Pair bits = philox(row, static_cast<uint64_t>(i / 2));
            const uint64_t left = static_cast<uint64_t>(args.range - i);
            // The high half of a 64-bit fraction times `left`: uniform up to left / 2^64.
            const unsigned __int128 scaled = static_cast<unsigned __int128>(i % 2 ? bits.second : bits.first) * left;
            swapped[i] = i + static_cast<int64_t>(scaled >> 64);
            std::swap(order[i], order[swapped[i]]);
            out[i] = order[i];
        }
        for (int64_t i = args.count; i-- > 0;) std::swap(order[i], order[swapped[i]]);
    }
}

}  // namespace advcore

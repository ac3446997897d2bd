#include "limits.h"

#include "kernel_list.h"
#include "pack.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int chains = vector_registers - 4;  // more than latency times throughput, fewer than the registers

}  // namespace

template <class T>
void fma_loop(const FmaLoopArgs<T>& args, int64_t begin, int64_t end, void*) {
    for (int64_t item = begin; item < end; ++item) {
        Vec<T> sum[chains];
        for (int i = 0; i < chains; ++i) sum[i] = splat(T(i + item));  // all different, or one would stand for all
        const Vec<T> a = splat(T(0.5)), b = splat(T(item));
        for (int64_t step = 0; step < args.steps; ++step) {
#pragma GCC unroll 28
            for (int i = 0; i < chains; ++i) sum[i] = fma<T>(sum[i], a, b);
        }
        Vec<T> total{};
        for (int i = 0; i < chains; ++i) total += sum[i];
        T lane[lanes<T>];
        store(lane, total);
        args.out[item] = lane[0];
        args.operations[item] = 2 * chains * lanes<T> * args.steps;
    }
}

template <class T>
void triad(const TriadArgs<T>& args, int64_t begin, int64_t end, void*) {
    const TriadArgs<T> x = args;
    int64_t i = begin;
    for (; i + lanes<T> <= end; i += lanes<T>) store(x.out + i, load(x.a + i) + splat(x.scalar) * load(x.b + i));
    for (; i < end; ++i) x.out[i] = x.a[i] + x.scalar * x.b[i];
}

ADVCORE_INSTANTIATE(fma_loop, FmaLoopArgs)
ADVCORE_INSTANTIATE(triad, TriadArgs)

}  // namespace advcore::ADVCORE_LEVEL

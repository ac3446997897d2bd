#include "signed_step.h"

#include "cover.h"
#include "kernel_list.h"

namespace advcore::ADVCORE_LEVEL {

template <class T>
void signed_step(const SignedStepArgs<T>& args, int64_t begin, int64_t end, void*) {
    for (int64_t item = begin; item < end; ++item) {
        const int64_t at = item * args.size, limits = args.slots[item] * args.size;
        const Vec<T> size = splat(args.sizes[item]);
        cover<T>(args.size, [&](int64_t i, int used) {
            const auto read = [=](const T* from, int64_t row) { return load_used(from + row + i, used); };
            const Vec<T> lower = read(args.lower, limits), upper = read(args.upper, limits);
            const auto clipped = [=](Vec<T> to) {
                const Vec<T> above = select<T>(to < lower, lower, to);
                return select<T>(above > upper, upper, above);
            };
            const Vec<T> x = read(args.x, at), ascent = read(args.ascent, at), none{};
            const Vec<T> sign = select<T>(ascent > none, splat(T(1)), select<T>(ascent < none, splat(T(-1)), none));
            Vec<T> to = clipped(x + size * sign);
            if (args.previous)
                to = clipped((to - x) * args.momentum + (x - read(args.previous, at)) * (T(1) - args.momentum) + x);
            store_used(args.out + at + i, to, used);
        });
    }
}

ADVCORE_INSTANTIATE(signed_step, SignedStepArgs)

}  // namespace advcore::ADVCORE_LEVEL

#include "optimizer.h"

#include "kernel_list.h"
#include "pack.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// The pieces of a parameter and of its state that one register holds.
template <class T>
struct Piece {
    Vec<T> parameter, velocity, square;
};

template <class T>
ADVCORE_INLINE void sgd(const UpdateArgs<T>& args, Vec<T> grad, Piece<T>& x) {
    Vec<T> direction = grad;
    if (args.velocity) {
        x.velocity = fma<T>(splat(args.momentum), x.velocity, grad);
        direction = args.nesterov ? fma<T>(splat(args.momentum), x.velocity, grad) : x.velocity;
    }
    x.parameter = fma<T>(splat(-args.rate), direction, x.parameter);
}

template <class T>
ADVCORE_INLINE Vec<T> mean_square(const UpdateArgs<T>& args, Vec<T> grad, Vec<T> square) {
    return fma<T>(splat(args.one_less_decay) * grad, grad, splat(args.decay) * square);
}

template <class T>
ADVCORE_INLINE void rmsprop(const UpdateArgs<T>& args, Vec<T> grad, Piece<T>& x) {
    x.square = mean_square(args, grad, x.square);
    Vec<T> direction = grad / (square_root<T>(x.square) + args.eps);
    if (args.velocity) direction = x.velocity = fma<T>(splat(args.momentum), x.velocity, direction);
    x.parameter = fma<T>(splat(-args.rate), direction, x.parameter);
}

template <class T>
ADVCORE_INLINE void adam(const UpdateArgs<T>& args, Vec<T> grad, Piece<T>& x) {
    x.velocity = fma<T>(splat(args.one_less_momentum), grad - x.velocity, x.velocity);
    x.square = mean_square(args, grad, x.square);
    const Vec<T> direction = x.velocity / (square_root<T>(x.square) / args.correction + args.eps);
    x.parameter = fma<T>(splat(-args.rate), direction, x.parameter);
}

template <class T, class Rule>
ADVCORE_INLINE void update_all(const UpdateArgs<T>& args, int64_t begin, int64_t end, Rule rule) {
    constexpr int L = lanes<T>;
    const int64_t last = smaller(end * update_chunk, args.size);
    for (int64_t i = begin * update_chunk; i < last; i += L) {
        const int count = static_cast<int>(smaller(L, last - i));
        const auto read = [&](const T* from) {
            return from == nullptr ? Vec<T>{} : count == L ? load(from + i) : load_part(from + i, count);
        };
        const auto write = [&](T* to, Vec<T> x) {
            if (to == nullptr) return;
            if (count == L)
                store(to + i, x);
            else
                store_part(to + i, x, count);
        };
        Piece<T> x{read(args.parameter), read(args.velocity), read(args.square)};
        Vec<T> grad = read(args.grad);
        if (args.weight_decay != 0) grad = fma<T>(splat(args.weight_decay), x.parameter, grad);
        rule(args, grad, x);
        write(args.parameter, x.parameter);
        write(args.velocity, x.velocity);
        write(args.square, x.square);
    }
}

}  // namespace

template <class T>
void update(const UpdateArgs<T>& args, int64_t begin, int64_t end, void*) {
    switch (args.rule) {
        case Optimizer::sgd:
            return update_all(args, begin, end, sgd<T>);
        case Optimizer::rmsprop:
            return update_all(args, begin, end, rmsprop<T>);
        case Optimizer::adam:
            return update_all(args, begin, end, adam<T>);
    }
}

ADVCORE_INSTANTIATE(update, UpdateArgs)

}  // namespace advcore::ADVCORE_LEVEL

#include "softmax.h"

#include "kernel_list.h"
#include "pack.h"
#include "vecmath.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int64_t block_terms = 256;

// A row that is contiguous along the axis: a step takes a register of neighbours, and a total joins the lanes.
template <class T>
struct AlongRow {
    const int64_t length;
    int64_t steps() const { return ceil_div(length, lanes<T>); }
    int lanes_at(int64_t step) const { return static_cast<int>(smaller(lanes<T>, length - step * lanes<T>)); }
    Vec<T> read(const T* row, int64_t step, T beyond) const {
        const int used = lanes_at(step);
        if (used == lanes<T>) return load(row + step * lanes<T>);
        T lane[lanes<T>];
        for (int i = 0; i < lanes<T>; ++i) lane[i] = i < used ? row[step * lanes<T> + i] : beyond;
        return load(lane);
    }
    void write(T* row, int64_t step, Vec<T> x) const {
        const int used = lanes_at(step);
        if (used == lanes<T>)
            store(row + step * lanes<T>, x);
        else
            store_part(row + step * lanes<T>, x, used);
    }
    template <class Join>
    static Vec<T> join(Vec<T> x, Join join_two) {
        T lane[lanes<T>];
        for (int half = lanes<T> / 2; half > 0; half /= 2) {
            store(lane, x);
            T upper[lanes<T>] = {};
            for (int i = 0; i < half; ++i) upper[i] = lane[i + half];
            x = join_two(x, load(upper));
        }
        return splat(T(x[0]));
    }
};

// Rows that lie side by side, one a lane: a step is one term of each, and the lanes stay apart.
template <class T>
struct AcrossRows {
    const int64_t length, stride;
    const int used;
    int64_t steps() const { return length; }
    Vec<T> read(const T* row, int64_t step, T) const {
        return used == lanes<T> ? load(row + step * stride) : load_part(row + step * stride, used);
    }
    void write(T* row, int64_t step, Vec<T> x) const {
        if (used == lanes<T>)
            store(row + step * stride, x);
        else
            store_part(row + step * stride, x, used);
    }
    template <class Join>
    static Vec<T> join(Vec<T> x, Join) {
        return x;
    }
};

// The sum of term(step) in blocks of 256 steps, in order.
template <class T, class Rows, class Term>
ADVCORE_INLINE Vec<T> total(const Rows& rows, Term term) {
    Vec<T> sum{};
    for (int64_t first = 0; first < rows.steps(); first += block_terms) {
        Vec<T> block{};
        for (int64_t step = first; step < smaller(rows.steps(), first + block_terms); ++step) block += term(step);
        sum += block;
    }
    return rows.join(sum, [](Vec<T> a, Vec<T> b) { return a + b; });
}

// The largest term is taken off first, so that no exponential overflows.
template <class T, class Rows>
ADVCORE_INLINE void softmax_rows(const Rows& rows, const T* x, T* out, bool log_of_it) {
    const T lowest = T(-__builtin_inf());
    Vec<T> largest = splat(lowest);
    for (int64_t step = 0; step < rows.steps(); ++step) largest = max_nan<T>(largest, rows.read(x, step, lowest));
    largest = rows.join(largest, [](Vec<T> a, Vec<T> b) { return max_nan<T>(a, b); });
    if (log_of_it) {
        const Vec<T> log_sum =
            log<T>(total<T>(rows, [&](int64_t step) { return exp<T>(rows.read(x, step, lowest) - largest); }));
        for (int64_t step = 0; step < rows.steps(); ++step)
            rows.write(out, step, rows.read(x, step, lowest) - largest - log_sum);
    } else {
        const Vec<T> sum = total<T>(rows, [&](int64_t step) {
            const Vec<T> power = exp<T>(rows.read(x, step, lowest) - largest);
            rows.write(out, step, power);
            return power;
        });
        for (int64_t step = 0; step < rows.steps(); ++step) rows.write(out, step, rows.read(out, step, T(0)) / sum);
    }
}

// softmax: y (grad - sum grad y); log-softmax: grad - exp(y) sum grad
template <class T, class Rows>
ADVCORE_INLINE void softmax_grad_rows(const Rows& rows, const T* grad, const T* y, T* out, bool log_of_it) {
    if (log_of_it) {
        const Vec<T> sum = total<T>(rows, [&](int64_t step) { return rows.read(grad, step, T(0)); });
        for (int64_t step = 0; step < rows.steps(); ++step)
            rows.write(out, step, rows.read(grad, step, T(0)) - exp<T>(rows.read(y, step, T(0))) * sum);
    } else {
        const Vec<T> sum =
            total<T>(rows, [&](int64_t step) { return rows.read(grad, step, T(0)) * rows.read(y, step, T(0)); });
        for (int64_t step = 0; step < rows.steps(); ++step)
            rows.write(out, step, rows.read(y, step, T(0)) * (rows.read(grad, step, T(0)) - sum));
    }
}

// Calls rows(how they lie, offset of their first element) for each item.
template <class T, class Function>
ADVCORE_INLINE void for_each_rows(const SoftmaxArgs<T>& args, int64_t begin, int64_t end, Function function) {
    const int64_t blocks = ceil_div(args.inner, softmax_columns);
    for (int64_t item = begin; item < end; ++item) {
        if (args.inner == 1) {
            function(AlongRow<T>{args.length}, item * args.length);
            continue;
        }
        const int64_t first = item % blocks * softmax_columns, last = smaller(args.inner, first + softmax_columns);
        const int64_t offset = item / blocks * args.length * args.inner;
        for (int64_t column = first; column < last; column += lanes<T>) {
            const int used = static_cast<int>(smaller(lanes<T>, last - column));
            function(AcrossRows<T>{args.length, args.inner, used}, offset + column);
        }
    }
}

constexpr int64_t longest_short_row = 64;

// Rows too short to fill registers are turned, a register of them at once, so that each has a lane of its own.
template <class T, int Inputs, class Function>
ADVCORE_INLINE void for_short_rows(const T* const (&from)[Inputs], T* out, int64_t length, int64_t begin, int64_t end,
                                   T* scratch, Function function) {
    constexpr int64_t L = lanes<T>;
    T* const turned_out = scratch + Inputs * length * L;
    for (int64_t row = begin; row < end; row += L) {
        const int64_t used = smaller(L, end - row);
        for (int i = 0; i < Inputs; ++i)
            pack_transposed(from[i] + row * length, length, used, L, length, scratch + i * length * L);
        function(AcrossRows<T>{length, L, static_cast<int>(L)}, scratch, turned_out);
        pack_transposed(turned_out, L, length, length, used, out + row * length);
    }
}

}  // namespace

template <class T>
void softmax(const SoftmaxArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    if (args.inner == 1 && args.length <= longest_short_row)
        return for_short_rows<T>({args.x}, args.out, args.length, begin, end, static_cast<T*>(scratch),
                                 [&](const auto& rows, T* x, T* out) { softmax_rows<T>(rows, x, out, args.log); });
    for_each_rows(args, begin, end, [&](const auto& rows, int64_t offset) {
        softmax_rows<T>(rows, args.x + offset, args.out + offset, args.log);
    });
}

template <class T>
void softmax_grad(const SoftmaxArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    if (args.inner == 1 && args.length <= longest_short_row)
        return for_short_rows<T>({args.grad, args.x}, args.out, args.length, begin, end, static_cast<T*>(scratch),
                                 [&](const auto& rows, T* given, T* out) {
                                     T* const x = given + args.length * lanes<T>;
                                     softmax_grad_rows<T>(rows, given, x, out, args.log);
                                 });
    for_each_rows(args, begin, end, [&](const auto& rows, int64_t offset) {
        softmax_grad_rows<T>(rows, args.grad + offset, args.x + offset, args.out + offset, args.log);
    });
}

ADVCORE_INSTANTIATE(softmax, SoftmaxArgs)
ADVCORE_INSTANTIATE(softmax_grad, SoftmaxArgs)

}  // namespace advcore::ADVCORE_LEVEL

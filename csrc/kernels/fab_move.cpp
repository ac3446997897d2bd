#include "fab_move.h"

#include "kernel_list.h"
#include "pack.h"
#include "vecmath.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int most_rounds = 64;  // each one fixes at least one more entry at the box, and a few are enough
constexpr double shortest = 1e-8;

// Calls f(i, load) for registers that cover [0, size); load(from) has zeros beyond the end.
template <class T, class Function>
ADVCORE_INLINE void each_register(int64_t size, const Function& f) {
    constexpr int L = lanes<T>;
    int64_t i = 0;
    for (; i + L <= size; i += L) f(i, [i](const T* from) { return load(from + i); });
    if (i < size) f(i, [=](const T* from) { return load_part(from + i, static_cast<int>(size - i)); });
}

template <class T>
ADVCORE_INLINE double total(Vec<T> x) {
    return static_cast<double>(sum_of_lanes<T>(x)[0]);
}

template <class T>
ADVCORE_INLINE T largest_lane(Vec<T> x) {
    T largest = x[0];
    for (int i = 1; i < lanes<T>; ++i) largest = x[i] > largest ? x[i] : largest;
    return largest;
}

template <class T>
ADVCORE_INLINE Vec<T> smaller_of(Vec<T> a, Vec<T> b) {
    return select<T>(a < b, a, b);
}

// The shortest way from a point to a plane. With slopes a = |normal| and the room that the box leaves, its entries have
// size min(t, room) in Linf and min(t a, room) in L2, where t is the zero of a concave, piecewise linear function,
// found by Newton's method from the left. In L1 the entries of the largest slopes use up their room.
template <class T, StepNorm Norm>
class Way {
public:
    Way(const FabMoveArgs<T>& args, const T* point, const T* normal, double gain)
        : size_(args.size), point_(point), normal_(normal), low_(args.low), high_(args.high), turned_(gain < 0) {
        Vec<T> slope{}, room{};
        each([&](int64_t, Vec<T> a, Vec<T> r, Vec<T>) {
            slope = select<T>(a > slope, a, slope), room = select<T>(r > room, r, room);
        });
        if constexpr (Norm == StepNorm::l2) {
            scale_ = largest_lane<T>(slope);
            scale_ = scale_ > tiny ? scale_ : tiny;
        }
        const double height = (turned_ ? -gain : gain) / static_cast<double>(scale_);
        if constexpr (Norm == StepNorm::l1)
            choose(height, largest_lane<T>(slope));
        else
            raise(height);
    }

    // Calls f(i, step).
    template <class Function>
    ADVCORE_INLINE void each_step(const Function& f) const {
        each([&](int64_t i, Vec<T> slope, Vec<T> room, Vec<T> ahead) {
            f(i, copy_sign<T>(reach(i, slope, room), ahead));
        });
    }

    double length() const {
        Vec<T> most{}, part{};
        double sum = 0;
        each_step([&](int64_t i, Vec<T> step) {
            const Vec<T> size = absolute<T>(step);
            if constexpr (Norm == StepNorm::linf)
                most = select<T>(size > most, size, most);
            else
                part += Norm == StepNorm::l2 ? size * size : size;
            if (i % stretch == 0) sum += total<T>(part), part = Vec<T>{};
        });
        sum += total<T>(part);
        return Norm == StepNorm::linf ? static_cast<double>(largest_lane<T>(most))
               : Norm == StepNorm::l2 ? __builtin_sqrt(sum)
                                      : sum;
    }

private:
    static constexpr int64_t stretch = 4096;  // entries that are summed in T
    static constexpr T tiny = sizeof(T) == 4 ? T(1.1754943508222875e-38) : T(2.2250738585072014e-308);

    // Calls f(i, slope, room, direction of ascent); the slope is relative to scale_.
    template <class Function>
    ADVCORE_INLINE void each(const Function& f) const {
        each_register<T>(size_, [&](int64_t i, const auto& read) {
            const Vec<T> normal = read(normal_), ahead = turned_ ? -normal : normal, point = read(point_);
            const Vec<T> room = select<T>(ahead > T(0), high_ - point, point - low_);
            Vec<T> slope = absolute<T>(normal);
            const Mask<T> any = slope > T(0);
            if constexpr (Norm == StepNorm::l2) slope /= scale_;
            f(i, slope, keep<T>(any, room), ahead);
        });
    }

    // sum(a), sum(b) over all entries of what f(slope, room) returns.
    template <class Function>
    ADVCORE_INLINE void sums(double& a, double& b, const Function& f) const {
        a = b = 0;
        Vec<T> part_a{}, part_b{};
        each([&](int64_t i, Vec<T> slope, Vec<T> room, Vec<T>) {
            Vec<T> to_a{}, to_b{};
            f(slope, room, to_a, to_b);
            part_a += to_a, part_b += to_b;
            if (i % stretch == 0) {
                a += total<T>(part_a), b += total<T>(part_b);
                part_a = part_b = Vec<T>{};
            }
        });
        a += total<T>(part_a), b += total<T>(part_b);
    }

    // Where the box ends an entry's way, in units of t.
    ADVCORE_INLINE Vec<T> bend(Vec<T> slope, Vec<T> room) const {
        if constexpr (Norm == StepNorm::linf) return room;
        return room / at_least<T>(slope, T(1e-18));  // the squares of such slopes are nothing beside the largest, 1
    }

    void raise(double height) {
        Vec<T> farthest{};
        each([&](int64_t, Vec<T> slope, Vec<T> room, Vec<T>) {
            const Vec<T> b = bend(slope, room);
            farthest = select<T>(b > farthest, b, farthest);
        });
        const double end = static_cast<double>(largest_lane<T>(farthest));
        for (int round = 0; round < most_rounds; ++round) {
            double full, free;
            sums(full, free, [&](Vec<T> slope, Vec<T> room, Vec<T>& to_full, Vec<T>& to_free) {
                const Mask<T> ended = bend(slope, room) <= level_;
                to_full = keep<T>(ended, slope * room);
                to_free = keep<T>(~ended, Norm == StepNorm::l2 ? slope * slope : slope);
            });
            const double left = height - full, least = static_cast<double>(tiny);
            double next = left / (free > least ? free : least);
            next = next < end ? next : end;
            if (!(static_cast<T>(next) > level_)) return;
            level_ = static_cast<T>(next);
        }
    }

    // The smallest slope whose entries have to move, by bisection of its bits, and what is left for the first of those.
    void choose(double height, T steepest) {
        const auto gained = [&](T least, bool also_equal) {
            double gain, unused;
            sums(gain, unused, [&](Vec<T> slope, Vec<T> room, Vec<T>& to, Vec<T>&) {
                to = keep<T>(also_equal ? slope >= least : slope > least, slope * room);
            });
            return gain;
        };
        Int<T> below = 0,
               above = bits_of<T>(splat(steepest))[0] + 1;  // enough from `below` on, too little from `above` on
        while (above - below > 1) {
            const Int<T> middle = below + (above - below) / 2;
            (gained(from_bits<T>(Mask<T>{} + middle)[0], true) >= height ? below : above) = middle;
        }
        level_ = from_bits<T>(Mask<T>{} + below)[0];
        double left = height - gained(level_, false);
        cut_ = size_, partial_ = T(0);
        if (!(level_ > T(0))) return;
        for (int64_t i = 0; i < size_; ++i) {
            const T slope = normal_[i] < T(0) ? -normal_[i] : normal_[i];
            if (slope != level_) continue;
            const T room = (normal_[i] > T(0)) != turned_ ? high_ - point_[i] : point_[i] - low_;
            const double gain = static_cast<double>(slope) * static_cast<double>(room);
            if (gain >= left) {
                cut_ = i, partial_ = static_cast<T>(left > 0 ? left / static_cast<double>(slope) : 0);
                partial_ = partial_ < room ? partial_ : room;
                return;
            }
            left -= gain;
        }
    }

    ADVCORE_INLINE Vec<T> reach(int64_t i, Vec<T> slope, Vec<T> room) const {
        if constexpr (Norm == StepNorm::linf) return smaller_of<T>(splat(level_), room);
        if constexpr (Norm == StepNorm::l2) return smaller_of<T>(level_ * slope, room);
        const Mask<T> equal = slope == level_, number = lane_numbers<T>() + static_cast<Int<T>>(i);
        const Int<T> cut = static_cast<Int<T>>(cut_);
        const Vec<T> whole = keep<T>((slope > level_) | (equal & (number < cut)), room);
        return select<T>(equal & (number == cut), splat(partial_), whole);
    }

    const int64_t size_;
    const T *const point_, *const normal_;
    const T low_, high_;
    const bool turned_;
    T scale_ = T(1);
    T level_ = T(0);
    int64_t cut_ = 0;  // L1: of the entries of just this slope those before it move all the way, it moves by partial_
    T partial_ = T(0);
};

template <class T, StepNorm Norm>
void move(const FabMoveArgs<T>& args, int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
        const int64_t at = item * args.size;
        const T *const x = args.x + at, *const origin = args.origin + at, *const normal = args.normal + at;
        T* const out = args.out + at;
        double gap = static_cast<double>(args.gap[item]), gap_of_origin = gap;
        Vec<T> part{};
        each_register<T>(args.size, [&](int64_t i, const auto& read) {
            part = fma<T>(read(normal), read(origin) - read(x), part);
            if (i % 4096 == 0) gap_of_origin += total<T>(part), part = Vec<T>{};
        });
        gap_of_origin += total<T>(part);
        const Way<T, Norm> step(args, x, normal, -gap), pull(args, origin, normal, -gap_of_origin);
        const auto least = [](double length) { return length > shortest ? length : shortest; };
        const double step_length = least(step.length()), pull_length = least(pull.length());
        double share = step_length / (step_length + pull_length);
        share = share < args.most_share ? share : args.most_share;
        const T eta = static_cast<T>(args.eta), to_origin = static_cast<T>(share);
        step.each_step([&](int64_t i, Vec<T> way) {
            const int used = static_cast<int>(smaller(lanes<T>, args.size - i));
            const Vec<T> from = used == lanes<T> ? load(x + i) : load_part(x + i, used);
            store_part(out + i, (T(1) - to_origin) * (from + eta * way), used);
        });
        pull.each_step([&](int64_t i, Vec<T> way) {
            const int used = static_cast<int>(smaller(lanes<T>, args.size - i));
            const Vec<T> from = used == lanes<T> ? load(origin + i) : load_part(origin + i, used);
            const Vec<T> moved = load_part(out + i, used) + to_origin * (from + eta * way);
            store_part(out + i, at_most<T>(at_least<T>(moved, args.low), args.high), used);
        });
    }
}

}  // namespace

template <class T>
void fab_move(const FabMoveArgs<T>& args, int64_t begin, int64_t end, void*) {
    if (args.norm == StepNorm::linf) return move<T, StepNorm::linf>(args, begin, end);
    if (args.norm == StepNorm::l2) return move<T, StepNorm::l2>(args, begin, end);
    move<T, StepNorm::l1>(args, begin, end);
}

ADVCORE_INSTANTIATE(fab_move, FabMoveArgs)

}  // namespace advcore::ADVCORE_LEVEL

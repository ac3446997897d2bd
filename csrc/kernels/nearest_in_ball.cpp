#include "nearest_in_ball.h"

#include "kernel_list.h"
#include "pack.h"
#include "vecmath.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int most_rounds = 64;
constexpr int64_t stretch = 8;           // registers that are summed in one chain
constexpr double farthest_step = 1e100;  // whose square is finite

// How far sums of so many squares in two orders may be apart, relative to them: NumPy's takes chains of 16 at most, and
// their sums in pairs. What is less than eps^2 by it here is no more than eps^2 there.
double sum_slack(int64_t size) {
    const int64_t registers = ceil_div(size, lanes<double>);
    int64_t theirs = smaller(ceil_div(size, 8), 16) + 3,
            ours = smaller(registers, stretch) + ceil_div(registers, stretch);
    for (int apart = lanes<double>; apart > 1; apart /= 2) ++ours;
    for (int64_t left = size; left > 128; left = ceil_div(left, 2)) ++theirs;
    return static_cast<double>(ours + theirs + 2) * 0x1p-53;
}

template <class T>
ADVCORE_INLINE Vec<double> read_doubles(const T* from, int used) {
    if (used == lanes<double>) return load_as_double(from);
    Vec<double> some{};
    for (int i = 0; i < used; ++i) some[i] = static_cast<double>(from[i]);
    return some;
}

// The nearest point moves each entry from the origin by min(share |x - origin|, room), where room is what the box
// leaves. The share grows from 0 as each round finds further entries that use up their room.
template <class T>
class Way {
public:
    Way(const NearestInBallArgs<T>& args, int64_t item)
        : args_(args),
          x_(args.x + item * args.size),
          origin_(args.origin + args.slots[item] * args.size),
          lower_(args.lower ? args.lower + args.slots[item] * args.size : nullptr),
          upper_(args.upper ? args.upper + args.slots[item] * args.size : nullptr),
          out_(args.out + item * args.size) {}

    void find() {
        const double most = args_.eps * args_.eps;
        const double spare = sum_slack(args_.size), enough = most * (1 - spare);
        if (write<true>(1) <= enough) return;
        double share = 0;
        for (int round = 0; round < most_rounds; ++round) {
            double full, free;
            sums(share, full, free);
            const double left = most > full ? most - full : 0;
            const double next = free > 0 ? __builtin_sqrt(left / free) : share;
            if (!(next > share)) break;
            share = next < 1 ? next : 1;
        }
        double slack = sizeof(T) == 4 ? 0x1p-24 : spare;
        // Rounding to T then leaves few points outside, which are pulled harder each time.
        share *= 1 - (sizeof(T) == 4 ? slack / 8 : 0.6 * slack);
        while (write<false>(share) > enough) {
            share *= 1 - slack;
            slack = slack < 0.5 ? 2 * slack : 1;
        }
    }

private:
    struct Entries {
        Vec<double> x, origin, lower, upper, way, size, room;
    };

    // Calls f(i, used, entries) for registers that cover the sample.
    template <class Function>
    ADVCORE_INLINE void each(const Function& f) const {
        for (int64_t i = 0; i < args_.size; i += lanes<double>) {
            const int used = static_cast<int>(smaller(lanes<double>, args_.size - i));
            Entries at;
            at.x = read_doubles(x_ + i, used), at.origin = read_doubles(origin_ + i, used);
            at.lower = lower_ ? read_doubles(lower_ + i, used) : splat(static_cast<double>(args_.low));
            at.upper = upper_ ? read_doubles(upper_ + i, used) : splat(static_cast<double>(args_.high));
            at.way = at.x - at.origin;
            at.size = at_most<double>(absolute<double>(at.way), farthest_step);
            at.room = select<double>(at.way > 0.0, at.upper - at.origin, at.origin - at.lower);
            f(i, used, at);
        }
    }

    // The squares of the entries without room at this share, and of what the others would like to move.
    void sums(double share, double& full, double& free) const {
        full = free = 0;
        Vec<double> to_full{}, to_free{};
        each([&](int64_t i, int used, const Entries& at) {
            Mask<double> held = at.size * share >= at.room;
            if (used < lanes<double>) held &= lane_numbers<double>() < used;
            to_full += keep<double>(held, at.room * at.room), to_free += keep<double>(~held, at.size * at.size);
            if ((i / lanes<double> + 1) % stretch == 0) {
                full += sum_of_lanes<double>(to_full)[0], free += sum_of_lanes<double>(to_free)[0];
                to_full = to_free = Vec<double>{};
            }
        });
        full += sum_of_lanes<double>(to_full)[0], free += sum_of_lanes<double>(to_free)[0];
    }

    // Writes the point of this share, or x in the box, and returns its squared distance as stored.
    template <bool Whole>
    double write(double share) const {
        double sum = 0;
        Vec<double> part{};
        each([&](int64_t i, int used, const Entries& at) {
            const Vec<double> moved = at.size * share, reach = select<double>(moved < at.room, moved, at.room);
            const Vec<double> to = Whole ? at.x : at.origin + copy_sign<double>(reach, at.way);
            const Vec<double> above = select<double>(to < at.lower, at.lower, to);
            const Vec<double> inside = select<double>(above > at.upper, at.upper, above);
            for (int lane = 0; lane < used; ++lane) out_[i + lane] = static_cast<T>(inside[lane]);
            const Vec<double> step = read_doubles(out_ + i, used) - at.origin;
            part += step * step;
            if ((i / lanes<double> + 1) % stretch == 0) sum += sum_of_lanes<double>(part)[0], part = Vec<double>{};
        });
        return sum + sum_of_lanes<double>(part)[0];
    }

    const NearestInBallArgs<T>& args_;
    const T *const x_, *const origin_, *const lower_, *const upper_;
    T* const out_;
};

}  // namespace

template <class T>
void nearest_in_ball(const NearestInBallArgs<T>& args, int64_t begin, int64_t end, void*) {
    for (int64_t item = begin; item < end; ++item) Way<T>(args, item).find();
}

ADVCORE_INSTANTIATE(nearest_in_ball, NearestInBallArgs)

}  // namespace advcore::ADVCORE_LEVEL

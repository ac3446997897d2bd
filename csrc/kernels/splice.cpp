#include "splice.h"

#include "cover.h"
#include "kernel_list.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

template <class T>
ADVCORE_INLINE void copy_row(const T* from, T* to, int64_t count) {
    cover<T>(count, [=](int64_t i, int used) { store_used(to + i, load_used(from + i, used), used); });
}

// Numbers [first, last) of an axis that both stretches have.
struct Shared {
    int64_t first, last;
    Shared(int64_t a, int64_t a_size, int64_t b, int64_t b_size)
        : first(larger(a, b)), last(smaller(a + a_size, b + b_size)) {}
    int64_t size() const { return larger(0, last - first); }
};

}  // namespace

template <class T>
void splice(const SpliceArgs<T>& args, int64_t begin, int64_t end, void*) {
    const int64_t plane = args.height * args.width, patch = args.rows * args.cols;
    const int64_t region_plane = args.region_rows * args.region_cols;
    for (int64_t item = begin; item < end; ++item) {
        const int64_t top = args.out_at[2 * item], left = args.out_at[2 * item + 1];
        const Shared inside_y(top, args.rows, 0, args.height), inside_x(left, args.cols, 0, args.width);
        const bool whole = patch == plane && inside_y.size() * inside_x.size() == plane;
        Shared new_y = inside_y, new_x = inside_x;
        if (args.region) {
            const int64_t y = args.region_at[2 * item], x = args.region_at[2 * item + 1];
            new_y = Shared(inside_y.first, inside_y.size(), y, args.region_rows);
            new_x = Shared(inside_x.first, inside_x.size(), x, args.region_cols);
        }
        for (int64_t c = 0; c < args.channels; ++c) {
            const T* const kept = args.kept + (args.slots[item] * args.channels + c) * plane;
            T* const out = args.out + (item * args.channels + c) * patch - top * args.cols - left;  // of place (0, 0)
            if (whole) {
                copy_row(kept, out, plane);
            } else {
                for (int64_t y = top; y < top + args.rows; ++y) {
                    T* const row = out + y * args.cols;
                    const bool inside = y >= inside_y.first && y < inside_y.last;
                    if (!inside || inside_x.size() < args.cols)
                        cover<T>(args.cols, [=](int64_t i, int used) { store_used(row + left + i, Vec<T>{}, used); });
                    if (inside) copy_row(kept + y * args.width + inside_x.first, row + inside_x.first, inside_x.size());
                }
            }
            if (!args.region || new_x.size() == 0) continue;
            const T* const region = args.region + (item * args.channels + c) * region_plane -
                                    args.region_at[2 * item] * args.region_cols - args.region_at[2 * item + 1];
            for (int64_t y = new_y.first; y < new_y.last; ++y)
                copy_row(region + y * args.region_cols + new_x.first, out + y * args.cols + new_x.first, new_x.size());
        }
    }
}

ADVCORE_INSTANTIATE(splice, SpliceArgs)

}  // namespace advcore::ADVCORE_LEVEL

#include "normalize.h"

#include "kernel_list.h"
#include "normalize_sums.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// to = (from - centre) * scale + shift. Asks for what lies `ahead`, which the next item sums up: writing leaves time to
// read.
template <class T>
ADVCORE_INLINE void scale_plane(const T* from, T* to, int64_t length, T centre, T scale, T shift, int64_t ahead) {
    const Vec<T> c = splat(centre), a = splat(scale), b = splat(shift);
    cover<T>(length, [&](int64_t at, int used) {
        prefetch(from + at, ahead);
        store_used(to + at, fma<T>(load_used(from + at, used) - c, a, b), used);
    });
}

// A mean in two parts, as distances from the first alone would be off by its rounding.
template <class T>
struct Centre {
    T high, low;
    explicit Centre(double mean) : high(T(mean)), low(T(mean - double(high))) {}
};

// Weights belong to elements: to = ((from - centre) * rstd + shift) * weight + bias
template <class T>
ADVCORE_INLINE void scale_elements(const NormalizeArgs<T>& args, const NormGroup& group, Centre<T> centre, T rstd) {
    const T* const from = args.x + group.offset;
    T* const to = args.out + group.offset;
    const T* const weight = args.weight ? args.weight + group.channel : nullptr;
    const T* const bias = args.bias ? args.bias + group.channel : nullptr;
    const Vec<T> c = splat(centre.high), a = splat(rstd), b = splat(-centre.low * rstd);
    const auto scale = [&](auto finish) {
        cover<T>(group.planes, [&](int64_t at, int used) {
            prefetch(from + at, group.planes);
            store_used(to + at, finish(fma<T>(load_used(from + at, used) - c, a, b), at, used), used);
        });
    };
    if (weight && bias)
        scale([&](Vec<T> y, int64_t at, int used) {
            return fma<T>(y, load_used(weight + at, used), load_used(bias + at, used));
        });
    else if (weight)
        scale([&](Vec<T> y, int64_t at, int used) { return y * load_used(weight + at, used); });
    else if (bias)
        scale([&](Vec<T> y, int64_t at, int used) { return y + load_used(bias + at, used); });
    else
        scale([&](Vec<T> y, int64_t, int) { return y; });
}

template <class T>
ADVCORE_INLINE void scale_group(const NormalizeArgs<T>& args, int64_t item, const Moments& moments) {
    const NormGroup group = group_of(args.shape, item);
    const Centre<T> centre(moments.mean);
    const T rstd = T(moments.rstd(args.eps));
    if (args.mean) args.mean[item] = centre.high, args.rstd[item] = rstd;
    if (args.variance) args.variance[item] = moments.squares / moments.count;
    if (group.plane == 1) return scale_elements(args, group, centre, rstd);
    for (int64_t i = 0; i < group.planes; ++i) {
        const int64_t offset = group.offset + i * group.stride, channel = group.channel + i * group.channel_step;
        const T scale = rstd * channel_value(args.weight, channel, T(1));
        scale_plane(args.x + offset, args.out + offset, group.plane, centre.high, scale,
                    channel_value(args.bias, channel, T(0)) - centre.low * scale, group.next());
    }
}

// Small groups are taken several at a time, so that one's roots and quotients do not wait for another's.
template <class T>
ADVCORE_INLINE void normalize_groups(const NormalizeArgs<T>& args, int64_t begin, int64_t end) {
    constexpr int64_t most = 8, small = 4096 / sizeof(T);
    const int64_t together = group_of(args.shape, begin).segments().size() <= small ? most : 1;
    const T* const soon = together > 1 ? args.x : args.out;
    Moments moments[most];
    for (int64_t first = begin; first < end; first += together) {
        const int64_t last = smaller(end, first + together);
        for (int64_t item = first; item < last; ++item)
            moments[item - first] = moments_of(args.x, group_of(args.shape, item).segments(), soon);
        for (int64_t item = first; item < last; ++item) scale_group(args, item, moments[item - first]);
    }
}

// The moments of columns over all rows, in blocks of 256 rows.
template <class T, class C>
ADVCORE_INLINE void column_moments(const T* x, int64_t rows, int64_t pitch, C columns, Moments* moments) {
    constexpr int R = C::registers, L = lanes<T>;
    for (int i = 0; i < R * L; ++i) moments[i] = Moments{};
    for (int64_t first = 0; first < rows; first += norm_rows) {
        const int64_t last = smaller(rows, first + norm_rows);
        Vec<T> centre[R] = {}, distances[R] = {}, squares[R] = {};
        for (int64_t row = first; row < last; ++row)
            for (int r = 0; r < R; ++r) centre[r] += columns.read(x + row * pitch, r);
        for (int r = 0; r < R; ++r) centre[r] *= splat(T(1) / T(last - first));
        for (int64_t row = first; row < last; ++row)
            for (int r = 0; r < R; ++r) {
                const Vec<T> distance = columns.read(x + row * pitch, r) - centre[r];
                distances[r] += distance;
                squares[r] = fma<T>(distance, distance, squares[r]);
            }
        for (int i = 0; i < R * L; ++i) {
            const int r = i / L, lane = i % L;
            const Moments block = moments_around(double(centre[r][lane]), double(last - first),
                                                 double(distances[r][lane]), double(squares[r][lane]));
            if (first == 0)
                moments[i] = block;
            else
                moments[i].add(block);
        }
    }
}

// to = (from - centre) * scale + shift, column by column.
template <class T, class C>
ADVCORE_INLINE void scale_columns(const T* from, T* to, int64_t rows, int64_t pitch, C columns, const T* centre,
                                  const T* scale, const T* shift) {
    constexpr int R = C::registers, L = lanes<T>;
    Vec<T> c[R], a[R], b[R];
    for (int r = 0; r < R; ++r) c[r] = load(centre + r * L), a[r] = load(scale + r * L), b[r] = load(shift + r * L);
    for (int64_t row = 0; row < rows; ++row)
        for (int r = 0; r < R; ++r)
            columns.write(to + row * pitch, r, fma<T>(columns.read(from + row * pitch, r) - c[r], a[r], b[r]));
}

template <class T>
ADVCORE_INLINE void normalize_columns(const NormalizeArgs<T>& args, int64_t item) {
    const int64_t begin = item * norm_columns, end = smaller(args.shape.channels, begin + norm_columns);
    for_each_columns<T>(begin, end, [&](auto columns, int64_t first) {
        constexpr int count = columns.registers * lanes<T>;
        const int64_t rows = args.shape.samples, pitch = args.shape.channels;
        Moments moments[count];
        T high[count] = {}, scale[count] = {}, shift[count] = {};
        column_moments(args.x + first, rows, pitch, columns, moments);
        for (int64_t i = 0; i < smaller(count, end - first); ++i) {
            const int64_t channel = first + i;
            const Centre<T> centre(moments[i].mean);
            const T rstd = T(moments[i].rstd(args.eps));
            high[i] = centre.high;
            if (args.mean) args.mean[channel] = centre.high, args.rstd[channel] = rstd;
            if (args.variance) args.variance[channel] = moments[i].squares / moments[i].count;
            scale[i] = rstd * channel_value(args.weight, channel, T(1));
            shift[i] = channel_value(args.bias, channel, T(0)) - centre.low * scale[i];
        }
        scale_columns(args.x + first, args.out + first, rows, pitch, columns, high, scale, shift);
    });
}

template <class T>
ADVCORE_INLINE T fixed_scale(const NormalizeFixedArgs<T>& args, int64_t channel) {
    const T rstd = T(1 / __builtin_sqrt(double(args.variance[channel]) + args.eps));
    return rstd * channel_value(args.weight, channel, T(1));
}

template <class T>
ADVCORE_INLINE void normalize_fixed_columns(const NormalizeFixedArgs<T>& args, int64_t item) {
    const int64_t blocks = args.shape.column_blocks(), row = item / blocks * norm_rows, pitch = args.shape.channels;
    const int64_t begin = item % blocks * norm_columns, end = smaller(pitch, begin + norm_columns);
    for_each_columns<T>(begin, end, [&](auto columns, int64_t first) {
        constexpr int count = columns.registers * lanes<T>;
        T centre[count] = {}, scale[count] = {}, shift[count] = {};
        for (int64_t i = 0; i < smaller(count, end - first); ++i) {
            centre[i] = channel_value(args.mean, first + i, T(0));
            scale[i] = fixed_scale(args, first + i);
            shift[i] = channel_value(args.bias, first + i, T(0));
        }
        scale_columns(args.x + row * pitch + first, args.out + row * pitch + first,
                      smaller(norm_rows, args.shape.samples - row), pitch, columns, centre, scale, shift);
    });
}

}  // namespace

template <class T>
void normalize(const NormalizeArgs<T>& args_, int64_t begin, int64_t end, void*) {
    const NormalizeArgs<T> args = args_;
    if (!args.shape.across_samples() || args.shape.plane > 1) return normalize_groups(args, begin, end);
    for (int64_t item = begin; item < end; ++item) normalize_columns(args, item);
}

template <class T>
void normalize_fixed(const NormalizeFixedArgs<T>& args_, int64_t begin, int64_t end, void*) {
    const NormalizeFixedArgs<T> args = args_;
    for (int64_t item = begin; item < end; ++item) {
        if (args.shape.plane == 1) {
            normalize_fixed_columns(args, item);
            continue;
        }
        const int64_t channel = item % args.shape.channels, offset = item * args.shape.plane;
        scale_plane(args.x + offset, args.out + offset, args.shape.plane, channel_value(args.mean, channel, T(0)),
                    fixed_scale(args, channel), channel_value(args.bias, channel, T(0)), args.shape.plane);
    }
}

ADVCORE_INSTANTIATE(normalize, NormalizeArgs)
ADVCORE_INSTANTIATE(normalize_fixed, NormalizeFixedArgs)

}  // namespace advcore::ADVCORE_LEVEL

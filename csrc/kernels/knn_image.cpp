#include "kernel_list.h"
#include "knn_panels.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int64_t image_block = 1024;                   // dimensions at a time
constexpr int64_t block_stride = image_block / 2 + 32;  // pairs; no power of two
constexpr double box = 1 << 20;

struct ImageScratch {
    int32_t rows[knn_panel_points * block_stride];
};

// One row's way into the image, before the ball: a box keeps it from overflowing.
template <class T>
struct Scaled {
    const T *row, *center;
    Vec<T> scale;

    ADVCORE_INLINE Vec<T> at(int64_t k, int count) const {
        constexpr T edge = static_cast<T>(box);
        Vec<T> x = load_part_or_all(row + k, count);
        if (center) x -= load_part_or_all(center + k, count);
        x *= scale;
        x = select<T>(x < splat(edge), x, splat(edge));
        return select<T>(x > splat(-edge), x, splat(-edge));
    }
    static ADVCORE_INLINE Vec<T> load_part_or_all(const T* from, int count) {
        return count >= lanes<T> ? load(from) : load_part(from, count);
    }
};

template <class T>
ADVCORE_INLINE double total(Vec<T> a) {
    T lane[lanes<T>];
    store(lane, a);
    double sum = 0;
    for (const T x : lane) sum += static_cast<double>(x);
    return sum;
}

template <class T>
double norm(const Scaled<T>& row, int64_t dimensions) {
    constexpr int L = lanes<T>;
    Vec<T> sum[4] = {};
    int64_t k = 0;
    for (; k + 4 * L <= dimensions; k += 4 * L) {
#pragma GCC unroll 4
        for (int v = 0; v < 4; ++v) {
            const Vec<T> x = row.at(k + v * L, L);
            sum[v] = fma<T>(x, x, sum[v]);
        }
    }
    for (; k < dimensions; k += L) {
        const Vec<T> x = row.at(k, static_cast<int>(smaller(L, dimensions - k)));
        sum[0] = fma<T>(x, x, sum[0]);
    }
    double squared = 0;
    for (const Vec<T>& v : sum) squared += total<T>(v);
    return __builtin_sqrt(squared);
}

// Rounds columns [k, k + terms) of a row to 16-bit integers, with zeros after them; adds up what that takes.
template <class T>
void round_row(const Scaled<T>& row, T shrink, int64_t k, int64_t terms, int16_t* to, double& lost) {
    constexpr int L = lanes<T>;
    constexpr T magic = sizeof(T) == 4 ? static_cast<T>(3 << 22) : static_cast<T>(int64_t{3} << 51);
    typedef int16_t Short __attribute__((vector_size(2 * L)));
    Vec<T> squared = {};
    for (int64_t i = 0; i < terms; i += L) {
        const Vec<T> x = row.at(k + i, static_cast<int>(smaller(L, terms - i))) * splat(shrink);
        const Vec<T> shifted = x + splat(magic);  // its lowest bits are the integer
        const Vec<T> rest = x - (shifted - splat(magic));
        squared = fma<T>(rest, rest, squared);
        const Short words = __builtin_convertvector(reinterpret_cast<Mask<T>>(shifted), Short);
        __builtin_memcpy(to + i, &words, sizeof words);
    }
    __builtin_memset(to + ceil_div(terms, L) * L, 0, vector_bytes);
    lost += total<T>(squared);
}

// Of a row that zeros follow. Exact: the sum of all lanes is below 2^31.
int64_t squared_norm(const int32_t* pairs, int64_t count) {
    Mask<float> sum = {};
    for (int64_t i = 0; i < count; i += lanes<float>) sum += dot_pairs(load_pairs(pairs + i), load_pairs(pairs + i));
    int64_t all = 0;
    for (int i = 0; i < lanes<float>; ++i) all += sum[i];
    return all;
}

}  // namespace

template <class T>
void knn_image(const KnnImageArgs<T>& args, int64_t begin, int64_t end, void* scratch_memory) {
    ImageScratch& scratch = *static_cast<ImageScratch*>(scratch_memory);
    const double unit = sizeof(T) == 4 ? 0x1p-24 : 0x1p-53;
    const int64_t d = args.dimensions, pairs = ceil_div(d, 2);
    for (int64_t item = begin; item < end; ++item) {
        const KnnQueryPanels dealt{args.count};
        const int64_t first = args.queries ? dealt.begin(item) : item * knn_panel_points;
        const int64_t width = args.queries ? dealt.begin(item + 1) - first : knn_panel_points;
        const int64_t used = smaller(width, args.count - first);
        double shrink[knn_panel_points], lost[knn_panel_points] = {};
        int64_t squares[knn_panel_points] = {};
        const auto row = [&](int64_t i) {
            return Scaled<T>{args.rows + (first + i) * d, args.center, splat(static_cast<T>(args.scale))};
        };
        for (int64_t i = 0; i < used; ++i) {
            const double length = norm(row(i), d);
            shrink[i] = length > knn_radius ? knn_radius / length : 1;
        }
        for (int64_t k = 0; k < d; k += image_block) {
            const int64_t terms = smaller(image_block, d - k), block_pairs = ceil_div(terms, 2);
            for (int64_t i = 0; i < used; ++i) {
                int32_t* const to = scratch.rows + i * block_stride;
                round_row<T>(row(i), static_cast<T>(shrink[i]), k, terms, reinterpret_cast<int16_t*>(to), lost[i]);
                squares[i] += squared_norm(to, block_pairs);
            }
            pack_transposed<float>(reinterpret_cast<const float*>(scratch.rows), block_stride, used, width, block_pairs,
                                   reinterpret_cast<float*>(args.panels + first * pairs + k / 2 * width));
        }
        for (int64_t i = 0; i < width; ++i) args.half_norm[first + i] = knn_far;
        for (int64_t i = 0; i < used; ++i) {
            args.half_norm[first + i] = static_cast<int32_t>(squares[i] / 2);
            // Rounded are: the difference, the scale and its product, the factor to the ball and its product, and,
            // where that is not 1, a norm of chains of d / 4 lanes.
            const double moved = shrink[i] < 1 ? static_cast<double>(d) + 16 : 0;
            const double known = args.known_error ? args.known_error[first + i] * args.scale : 0;
            args.error[first + i] = 1.001 * (__builtin_sqrt(lost[i]) + known) + (8 + moved) * unit * knn_radius;
        }
    }
}

ADVCORE_INSTANTIATE(knn_image, KnnImageArgs)

}  // namespace advcore::ADVCORE_LEVEL

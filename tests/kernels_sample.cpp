// A sample of kernels against plain loops in double, without Python: for levels that the building machine cannot run.
// .ci/neon builds it for 64-bit ARM and runs it under an emulator. Prints what is wrong; the exit status counts it.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <vector>

#include "../csrc/kernels/kernel_list.h"

namespace {

using namespace advcore;
namespace level = advcore::ADVCORE_LEVEL;

int failures = 0;
void* const scratch = ::operator new(scratch_bytes, std::align_val_t{64});

template <class T>
std::vector<T> numbers(int64_t count, unsigned seed) {
    std::vector<T> result(static_cast<std::size_t>(count));
    for (T& x : result) {
        seed = seed * 1664525u + 1013904223u;
        x = static_cast<T>(static_cast<int>(seed >> 16) - 32768) / T(32768);
    }
    return result;
}

template <class T>
void compare(const char* name, const std::vector<T>& found, const std::vector<double>& expected, double allowed) {
    double worst = 0, largest = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        worst = std::fmax(worst, std::fabs(static_cast<double>(found[i]) - expected[i]));
        largest = std::fmax(largest, std::fabs(expected[i]));
    }
    const double unit = sizeof(T) == 4 ? 1.2e-7 : 2.3e-16;
    const bool ok = worst <= allowed * unit * largest;
    std::printf("%-24s %s %s (%.2g)\n", name, sizeof(T) == 4 ? "float " : "double", ok ? "ok" : "WRONG", worst);
    failures += !ok;
}

template <class T>
void check_matmul(int64_t rows, int64_t cols, int64_t depth) {
    const auto a = numbers<T>(rows * depth, 1), b = numbers<T>(depth * cols, 2);
    std::vector<T> c(static_cast<std::size_t>(rows * cols));
    MatmulArgs<T> args{};
    args.a = a.data(), args.b = b.data(), args.c = c.data();
    args.batch = 1, args.rows = rows, args.cols = cols, args.depth = depth;
    args.a_row = depth, args.a_depth = 1, args.b_depth = cols, args.b_col = 1;
    args.rows_per_tile = rows, args.row_tiles = 1;
    args.cols_per_tile = tile_cols<T>, args.col_tiles = (cols + tile_cols<T> - 1) / tile_cols<T>;
    level::matmul(args, 0, args.col_tiles, scratch);
    std::vector<double> expected(c.size());
    for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < cols; ++j)
            for (int64_t k = 0; k < depth; ++k)
                expected[static_cast<std::size_t>(i * cols + j)] +=
                    static_cast<double>(a[static_cast<std::size_t>(i * depth + k)]) *
                    static_cast<double>(b[static_cast<std::size_t>(k * cols + j)]);
    compare("matmul", c, expected, 64);
}

struct Layer {
    int64_t samples, channels, height, width, rows, taps, stride, padding;
    int64_t out_height() const { return (height + 2 * padding - taps) / stride + 1; }
    int64_t out_width() const { return (width + 2 * padding - taps) / stride + 1; }
};

template <class T>
std::vector<double> convolve(const Layer& l, const std::vector<T>& input, const std::vector<T>& weight) {
    std::vector<double> out;
    for (int64_t n = 0; n < l.samples; ++n)
        for (int64_t k = 0; k < l.rows; ++k)
            for (int64_t y = 0; y < l.out_height(); ++y)
                for (int64_t x = 0; x < l.out_width(); ++x) {
                    double sum = 0;
                    for (int64_t c = 0; c < l.channels; ++c)
                        for (int64_t r = 0; r < l.taps; ++r)
                            for (int64_t s = 0; s < l.taps; ++s) {
                                const int64_t i = y * l.stride + r - l.padding, j = x * l.stride + s - l.padding;
                                if (i < 0 || j < 0 || i >= l.height || j >= l.width) continue;
                                const int64_t at = ((n * l.channels + c) * l.height + i) * l.width + j;
                                const int64_t w = ((k * l.channels + c) * l.taps + r) * l.taps + s;
                                sum += static_cast<double>(input[static_cast<std::size_t>(at)]) *
                                       static_cast<double>(weight[static_cast<std::size_t>(w)]);
                            }
                    out.push_back(sum);
                }
    return out;
}

template <class T>
void check_conv2d(const Layer& l) {
    const auto input = numbers<T>(l.samples * l.channels * l.height * l.width, 3);
    const auto weight = numbers<T>(l.rows * l.channels * l.taps * l.taps, 4);
    const std::vector<double> expected = convolve(l, input, weight);
    std::vector<T> packed(weight.size()), out(expected.size());
    Conv2dPackArgs<T> pack{};
    pack.matrix = weight.data(), pack.packed = packed.data();
    pack.depth = pack.row_stride = l.channels * l.taps * l.taps, pack.depth_stride = 1;
    pack.groups = pack.parts = 1, pack.rows = pack.part_rows = l.rows;
    pack.blocks = (pack.depth + block_depth - 1) / block_depth;
    level::conv2d_pack(pack, 0, pack.blocks, scratch);

    const PatchMatrix patches{l.samples,
                              1,
                              l.channels,
                              {l.height, l.out_height(), l.taps, l.stride, -l.padding, 1},
                              {l.width, l.out_width(), l.taps, l.stride, -l.padding, 1}};
    Conv2dArgs<T> args{};
    args.patches = patches, args.input = input.data(), args.packed = packed.data(), args.out = out.data();
    args.rows = l.rows, args.spans = 1, args.span_columns = l.samples * patches.positions(), args.row_tiles = 1;
    args.columns_per_tile = tile_cols<T>, args.column_tiles = (args.span_columns + tile_cols<T> - 1) / tile_cols<T>;
    level::conv2d(args, 0, args.items(), scratch);
    compare("conv2d by patches", out, expected, 64);

    for (const bool by_row : {false, true}) {
        Conv2dDirectArgs<T> direct{};
        direct.patches = patches, direct.input = input.data(), direct.packed = packed.data();
        direct.out = out.data(), direct.rows = l.rows, direct.by_row = by_row;
        direct.samples_per_tile = 1, direct.sample_tiles = l.samples;
        direct.height_per_tile = 3, direct.height_tiles = (l.out_height() + 2) / 3, direct.row_tiles = 1;
        out.assign(out.size(), T(0));
        level::conv2d_direct(direct, 0, direct.items(), scratch);
        compare(by_row ? "conv2d row by row" : "conv2d from a slab", out, expected, 64);
    }
    if ((l.taps != 3 && l.taps != 5) || l.stride != 1) return;

    WinogradArgs<T> winograd{};
    const int taps = static_cast<int>(l.taps), outputs = tile_outputs(taps);
    winograd.shape = {taps,
                      l.samples,
                      1,
                      l.channels,
                      l.rows,
                      l.height,
                      l.width,
                      l.out_height(),
                      l.out_width(),
                      l.padding,
                      l.padding,
                      (l.out_height() + outputs - 1) / outputs,
                      (l.out_width() + outputs - 1) / outputs};
    winograd.weights = {weight.data(), taps, 0, l.channels * taps * taps, taps * taps, false};
    winograd.input = input.data(), winograd.out = out.data();
    winograd.tiles_per_item = winograd_tiles<T>, winograd.row_items = 1;
    const int64_t tiles = l.samples * winograd.shape.tiles_y * winograd.shape.tiles_x;
    winograd.tile_items = (tiles + winograd_tiles<T> - 1) / winograd_tiles<T>;
    out.assign(out.size(), T(0));
    level::winograd(winograd, 0, winograd.tile_items, scratch);
    compare("conv2d by Winograd", out, expected, 256);
}

// A group of one channel.
template <class T>
void check_depthwise(const Layer& l) {
    const auto input = numbers<T>(l.samples * l.height * l.width, 3);
    const auto weight = numbers<T>(l.rows * l.taps * l.taps, 4);
    const std::vector<double> expected = convolve(l, input, weight);
    std::vector<T> out(expected.size());
    DepthwiseArgs<T> args{};
    args.patches = {l.samples,
                    1,
                    1,
                    {l.height, l.out_height(), l.taps, l.stride, -l.padding, 1},
                    {l.width, l.out_width(), l.taps, l.stride, -l.padding, 1}};
    args.spread_y = args.spread_x = 1, args.height_per_tile = 3, args.rows = l.rows;
    args.input = input.data(), args.weight = weight.data(), args.out = out.data();
    level::depthwise(args, 0, l.samples, scratch);
    compare("depthwise", out, expected, 64);
}

template <class T>
void check_pool(bool average) {
    const int64_t planes = 3, height = 11, width = 37, out_height = 6, out_width = 19;  // 3 x 3, stride 2, padding 1
    const auto input = numbers<T>(planes * height * width, 5);
    std::vector<Window> rows, cols;
    for (int64_t y = 0; y < out_height; ++y) rows.push_back({y ? 2 * y - 1 : 0, y && 2 * y + 1 < height ? 3 : 2});
    for (int64_t x = 0; x < out_width; ++x) cols.push_back({x ? 2 * x - 1 : 0, x && 2 * x + 1 < width ? 3 : 2});
    std::vector<T> out(static_cast<std::size_t>(planes * out_height * out_width));
    PoolArgs<T> args{};
    args.input = input.data(), args.output = out.data(), args.average = average, args.divisor = 9;
    args.rows = {height, out_height, 3, 2, 1, 1, rows.data()};
    args.cols = {width, out_width, 3, 2, 1, 1, cols.data()};
    level::pool(args, 0, planes * out_height, scratch);
    std::vector<double> expected;
    for (int64_t p = 0; p < planes; ++p)
        for (const Window& y : rows)
            for (const Window& x : cols) {
                double sum = 0, most = -INFINITY;
                for (int64_t i = y.first; i < y.first + y.count; ++i)
                    for (int64_t j = x.first; j < x.first + x.count; ++j) {
                        const auto value =
                            static_cast<double>(input[static_cast<std::size_t>((p * height + i) * width + j)]);
                        sum += value, most = std::fmax(most, value);
                    }
                expected.push_back(average ? sum / 9 : most);
            }
    compare(average ? "average pooling" : "max pooling", out, expected, 16);
}

template <class T>
void check_all() {
    check_matmul<T>(17, 33, 300);
    check_matmul<T>(61, 259, 40);
    check_conv2d<T>({2, 13, 9, 14, 17, 3, 1, 1});
    check_conv2d<T>({1, 32, 12, 23, 31, 3, 2, 1});
    check_conv2d<T>({1, 3, 17, 19, 7, 5, 1, 2});
    check_depthwise<T>({3, 1, 17, 19, 2, 3, 2, 1});
    check_depthwise<T>({3, 1, 9, 5, 2, 5, 1, 2});
    check_pool<T>(false);
    check_pool<T>(true);
}

}  // namespace

int main() {
    check_all<float>();
    check_all<double>();
    std::printf("%d wrong\n", failures);
    return failures > 0;
}

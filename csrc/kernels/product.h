// The blocked product that every matrix-like operation calls: C[rows, cols] = A[rows, depth] B[depth, cols].
//
// A is cut into panels of up to `max_panel_rows` rows, B into panels of `panel_cols` columns, both into blocks of
// `block_depth` terms. One panel pair is multiplied entirely in registers; the sum of its block is then added to C.
// So every element of C is a chain of fused multiply-adds in ascending order in each block of 256 terms, and the
// block sums are added in order, wherever the element lies and whatever is computed beside it.
#pragma once

#include "activation.h"
#include "pack.h"
#include "tile.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int max_panel_rows = most_strip_rows;
constexpr int64_t left_run = 16;
template <class T>
constexpr int panel_cols = 2 * lanes<T>;

// What happens to an element once its sum is complete.
template <class T>
struct Finish {
    const T* row_bias = nullptr;
    const T* col_bias = nullptr;
    Activation activation = Activation::none;
};

// Rows are dealt evenly: 17 rows make panels of 9 and 8, not of 14 and 3.
struct RowPanels {
    int64_t rows, count;
    explicit RowPanels(int64_t rows_, int64_t most = max_panel_rows) : rows(rows_), count(ceil_div(rows_, most)) {}
    int64_t begin(int64_t panel) const { return panel * (rows / count) + smaller(panel, rows % count); }
};

}  // namespace

template <class T>
struct PanelPair {
    int64_t depth;
    const T* a;  // [depth][rows of the panel]
    const T* b;  // [depth][columns of the panel, padded to whole vectors]
    // Where given: term k of a's row r is a[a_row_offset[r] + a_term_offset[k]], or row k of b is at b + b_offset[k].
    const int64_t* a_row_offset = nullptr;
    const int64_t* a_term_offset = nullptr;
    const int64_t* b_offset = nullptr;
    // Where given: term k of a's row r is a[r * a_row_stride + k].
    int64_t a_row_stride = 0;
    // Where given: term k of a's row r is a[k / left_run * a_run_step + r * left_run + k % left_run].
    int64_t a_run_step = 0;
    T* c;
    int64_t c_stride;
    const T* begun = nullptr;  // where given, of few rows with b_offset: sums of the block's terms before these
    int64_t begun_stride;
    int cols;
    bool accumulate, last;
    const T* row_bias;
    const T* col_bias;
    Activation activation;
};

// Multiplies a pair of panels, of which that of A has `rows` rows: see product.cpp. With offsets a panel of B may be
// wider, of panel_width_of(rows, cols) columns: two registers of them would leave the sums of few rows waiting.
template <class T>
void multiply_panels(int rows, const PanelPair<T>& p);

namespace {

// How many of `cols` columns to multiply with `rows` rows at once.
template <class T>
ADVCORE_INLINE int64_t panel_width_of(int rows, int64_t cols) {
    constexpr int vectors[] = {12, 6, 4};
    for (const int count : vectors)
        if (count * rows <= 12 && cols >= count * lanes<T>) return count * lanes<T>;
    return smaller(panel_cols<T>, cols);
}

// A panel of `cols` columns is stored with whole vectors only.
template <class T>
ADVCORE_INLINE int64_t panel_width(int64_t cols) {
    return cols > lanes<T> ? panel_cols<T> : lanes<T>;
}

// The panels of B lie one after another: the one that starts at column `col` at `block + col * depth`.
template <class T, class Pack>
ADVCORE_INLINE void each_panel(int64_t cols, int64_t depth, T* block, const Pack& pack) {
    for (int64_t col = 0; col < cols; col += panel_cols<T>) {
        const int64_t used = smaller(panel_cols<T>, cols - col);
        pack(col, used, panel_width<T>(used), block + col * depth);
    }
}

// All panels of a matrix whose rows lie in memory as they are, row by row: reading a panel alone, a line of each row,
// would make every line wait.
template <class T>
inline void pack_row_panels(const T* from, int64_t depth_stride, int64_t cols, int64_t depth, T* block) {
    const int64_t whole = cols / panel_cols<T> * panel_cols<T>;
    for (int64_t k = 0; k < depth; ++k, from += depth_stride) {
        T* to = block + k * panel_cols<T>;
        for (int64_t col = 0; col < whole; col += panel_cols<T>, to += panel_cols<T> * depth) {
            store(to, load(from + col));
            store(to + lanes<T>, load(from + col + lanes<T>));
        }
    }
    if (whole == cols) return;
    const int64_t rest = cols - whole;
    pack_rows(from - depth * depth_stride + whole, depth_stride, rest, panel_width<T>(rest), depth,
              block + whole * depth);
}

template <class T>
constexpr int64_t product_scratch = block_depth * (tile_cols<T> + max_panel_rows);

// One tile of C, at most `tile_cols` wide: the rows of the panels [first, last), of which c and the biases start at the
// first. `a(row, rows, k, depth, buffer)` returns a panel of A, packed into the buffer or already at rest;
// `b(cols, k, depth, block)` packs the panels of B. `scratch` holds product_scratch<T> elements.
template <class T, class PanelOfA, class PanelsOfB>
inline void product(const RowPanels& panels, int64_t first, int64_t last, int64_t cols, int64_t depth,
                    const PanelOfA& a, const PanelsOfB& b, T* c, int64_t c_stride, bool accumulate,
                    const Finish<T>& finish, T* scratch) {
    T* const a_buffer = scratch;
    T* const b_block = scratch + block_depth * max_panel_rows;
    const int64_t first_row = panels.begin(first);
    for (int64_t k = 0; k == 0 || k < depth; k += block_depth) {
        const int64_t terms = smaller(block_depth, depth - k);
        b(cols, k, terms, b_block);
        for (int64_t panel = first; panel < last; ++panel) {
            const int64_t row = panels.begin(panel) - first_row;
            const int panel_rows = static_cast<int>(panels.begin(panel + 1) - panels.begin(panel));
            PanelPair<T> pair;
            pair.depth = terms;
            pair.a = a(first_row + row, panel_rows, k, terms, a_buffer);
            pair.c_stride = c_stride;
            pair.accumulate = accumulate || k > 0;
            pair.last = k + terms >= depth;
            pair.row_bias = finish.row_bias ? finish.row_bias + row : nullptr;
            pair.activation = finish.activation;
            for (int64_t col = 0; col < cols; col += panel_cols<T>) {
                pair.b = b_block + col * terms;
                pair.c = c + row * c_stride + col;
                pair.cols = static_cast<int>(smaller(panel_cols<T>, cols - col));
                pair.col_bias = finish.col_bias ? finish.col_bias + col : nullptr;
                multiply_panels<T>(panel_rows, pair);
            }
        }
    }
}

template <class T, class PanelOfA, class PanelsOfB>
inline void product(int64_t rows, int64_t cols, int64_t depth, const PanelOfA& a, const PanelsOfB& b, T* c,
                    int64_t c_stride, bool accumulate, const Finish<T>& finish, T* scratch) {
    const RowPanels panels(rows);
    product<T>(panels, 0, panels.count, cols, depth, a, b, c, c_stride, accumulate, finish, scratch);
}

// A matrix in memory with any strides, as the left or the right factor.
template <class T>
struct LeftMatrix {
    const T* data;
    int64_t row_stride, depth_stride;
    const T* operator()(int64_t row, int64_t rows, int64_t k, int64_t depth, T* buffer) const {
        pack_strip(data + row * row_stride + k * depth_stride, row_stride, depth_stride, rows, rows, depth, buffer);
        return buffer;
    }
};

template <class T>
struct RightMatrix {
    const T* data;
    int64_t depth_stride, col_stride;
    void operator()(int64_t cols, int64_t k, int64_t depth, T* block) const {
        if (col_stride == 1) return pack_row_panels<T>(data + k * depth_stride, depth_stride, cols, depth, block);
        each_panel<T>(cols, depth, block, [&](int64_t col, int64_t used, int64_t width, T* panel) {
            pack_strip(data + col * col_stride + k * depth_stride, col_stride, depth_stride, used, width, depth, panel);
        });
    }
};

// A left factor packed ahead by pack_left: panel by panel in each block of depth.
template <class T>
struct PackedLeft {
    const T* data;
    int64_t rows;
    const T* operator()(int64_t row, int64_t, int64_t k, int64_t depth, T*) const {
        return data + k * rows + row * depth;
    }
};

template <class T, class PanelOfA>
inline void pack_left(const PanelOfA& matrix, int64_t rows, int64_t depth, int64_t k, T* packed) {
    const RowPanels panels(rows);
    const int64_t terms = smaller(block_depth, depth - k);
    for (int64_t panel = 0; panel < panels.count; ++panel) {
        const int64_t row = panels.begin(panel);
        matrix(row, panels.begin(panel + 1) - row, k, terms, packed + k * rows + row * terms);
    }
}

// c[rows, cols] = a b, or is increased by it; a's panels [first, last) and b's panels are at rest.
template <class T>
inline void multiply_packed(const RowPanels& panels, int64_t first, int64_t last, int64_t cols, int64_t terms,
                            const T* a, const T* b, T* c, bool accumulate) {
    PanelPair<T> pair{};
    pair.depth = terms, pair.c_stride = cols, pair.accumulate = accumulate;
    for (int64_t panel = first; panel < last; ++panel) {
        const int64_t row = panels.begin(panel) - panels.begin(first);
        pair.a = a + row * terms;
        for (int64_t col = 0; col < cols; col += panel_cols<T>) {
            pair.b = b + col * terms;
            pair.c = c + row * cols + col;
            pair.cols = static_cast<int>(smaller(panel_cols<T>, cols - col));
            multiply_panels<T>(static_cast<int>(panels.begin(panel + 1) - panels.begin(panel)), pair);
        }
    }
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL

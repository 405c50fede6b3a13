// Attention with bf16 products, where the processor has instructions for them: sums, softmax and log sums are in fp32, queries, keys, values,
// probabilities and their gradients are bf16 when they are multiplied, as in FlashAttention (arXiv 2205.14135).
//
// Shapes of products are few, whatever the lengths: rows go in tiles of one size, keys in blocks of 32, and what is not there is zero. So
// oneDNN, which libtorch carries, makes code for few shapes.
#include <ATen/Parallel.h>
#include <ATen/native/CPUBlas.h>

#include <algorithm>
#include <vector>

#include "face.h"

namespace {

using at::native::cpublas::brgemm;

// Query rows of a tile: probabilities over 512 keys and their gradients fit the second-level cache.
constexpr int64_t TILE = 64;
// Keys of a block.
constexpr int64_t BLOCK = 32;

int64_t up(int64_t value) { return (value + BLOCK - 1) / BLOCK * BLOCK; }

const PackKernels &packs() { return loops().packs; }

using Half = uint16_t;
using Halves = std::vector<Half>;
using Floats = std::vector<float>;

size_t count(int64_t a, int64_t b) { return static_cast<size_t>(a * b); }

// c (m, n) = a (m, k) b (k, n), or added to c; b is paired.
void product(int64_t m, int64_t n, int64_t k, const Half *a, int64_t lda, const Half *b, int64_t ldb, float *c, int64_t ldc, bool add) {
    brgemm(m, n, k, lda, ldb, ldc, add, reinterpret_cast<const at::BFloat16 *>(a), reinterpret_cast<const at::BFloat16 *>(b), c, true);
}

// The query rows of one tile and the keys that they see.
struct Tile {
    int64_t row, rows, from, keys;

    Tile(const Shape &s, int64_t b, int64_t row_) : row(row_), rows(std::min(TILE, s.length - row_)) {
        from = s.from(b, row, rows) / BLOCK * BLOCK;
        keys = up(row + rows) - from;
    }
};

// Probabilities of a tile, (TILE, keys): rows beyond the last are zero.
void probabilities(const Shape &s, int64_t b, int64_t h, const Tile &tile, float *p, float *lse, float scale, bool known) {
    rows().softmax(p, lse + (b * s.length + tile.row) * s.heads + h, s.heads, s.first + b * s.length, tile.rows, tile.keys, tile.row, tile.from,
                   scale, known);
    std::fill(p + tile.rows * tile.keys, p + TILE * tile.keys, 0.0f);
}

void attend(const Shape &s, const Half *qkv, Half *out, float *lse, float scale) {
    int64_t d = s.head, width = s.heads * d, length = up(s.length);
    at::parallel_for(0, s.batch * s.heads, 1, [&](int64_t begin, int64_t end) {
        Halves kt(count(d, length)), v(count(length, d)), q(count(TILE, d)), p16(count(TILE, length));
        Floats p(count(TILE, length)), o(count(TILE, d));
        for (int64_t task = begin; task < end; ++task) {
            int64_t b = task / s.heads, h = task % s.heads, g = h / (s.heads / s.kv_heads);
            packs().pair_transposed(s.k(qkv, b, g, 0), s.stride, s.length, kt.data(), d, length);
            packs().pair(s.v(qkv, b, g, 0), s.stride, s.length, v.data(), length, d);
            for (int64_t row = 0; row < s.length; row += TILE) {
                Tile tile(s, b, row);
                packs().copy(s.q(qkv, b, h, row), s.stride, tile.rows, q.data(), nullptr, TILE, d);
                product(TILE, tile.keys, d, q.data(), d, kt.data() + 2 * tile.from, length, p.data(), tile.keys, false);
                probabilities(s, b, h, tile, p.data(), lse, scale, false);
                packs().narrow(p.data(), p16.data(), nullptr, TILE, tile.keys);
                product(TILE, d, tile.keys, p16.data(), tile.keys, v.data() + tile.from * d, d, o.data(), d, false);
                packs().narrow_rows(o.data(), out + (b * s.length + row) * width + h * d, width, tile.rows, d);
            }
        }
        at::native::cpublas::brgemm_release();
    });
}

// The gradients of keys and values are summed transposed: so the probabilities are the second factor, which is paired as it is rounded.
void attend_backward(const Shape &s, const Half *dout, const Half *qkv, const Half *out, float *lse, Half *dqkv, float scale) {
    int64_t d = s.head, width = s.heads * d, group = s.heads / s.kv_heads, length = up(s.length);
    at::parallel_for(0, s.batch * s.kv_heads, 1, [&](int64_t begin, int64_t end) {
        Halves kt(count(d, length)), vt(count(d, length)), k(count(length, d));
        Halves q(count(TILE, d)), qt(count(TILE, d)), grad(count(TILE, d)), grad_t(count(TILE, d));
        Halves paired(count(TILE, length)), ds(count(TILE, length));
        Floats p(count(TILE, length)), dp(count(TILE, length)), dq(count(TILE, d)), delta(TILE, 0.0f);
        Floats dkt(count(d, length)), dvt(count(d, length));
        for (int64_t task = begin; task < end; ++task) {
            int64_t b = task / s.kv_heads, g = task % s.kv_heads;
            packs().pair_transposed(s.k(qkv, b, g, 0), s.stride, s.length, kt.data(), d, length);
            packs().pair_transposed(s.v(qkv, b, g, 0), s.stride, s.length, vt.data(), d, length);
            packs().pair(s.k(qkv, b, g, 0), s.stride, s.length, k.data(), length, d);
            std::fill(dkt.begin(), dkt.end(), 0.0f);
            std::fill(dvt.begin(), dvt.end(), 0.0f);
            for (int64_t h = g * group; h < (g + 1) * group; ++h) {
                for (int64_t row = 0; row < s.length; row += TILE) {
                    Tile tile(s, b, row);
                    int64_t keys = tile.keys, from = tile.from, place = (b * s.length + row) * width + h * d;
                    packs().copy(s.q(qkv, b, h, row), s.stride, tile.rows, q.data(), qt.data(), TILE, d);
                    packs().copy(dout + place, width, tile.rows, grad.data(), grad_t.data(), TILE, d);
                    product(TILE, keys, d, q.data(), d, kt.data() + 2 * from, length, p.data(), keys, false);
                    probabilities(s, b, h, tile, p.data(), lse, scale, true);
                    packs().narrow(p.data(), nullptr, paired.data(), TILE, keys);
                    product(d, keys, TILE, grad_t.data(), TILE, paired.data(), keys, dvt.data() + from, length, true);
                    product(TILE, keys, d, grad.data(), d, vt.data() + 2 * from, length, dp.data(), keys, false);
                    packs().row_dots(grad.data(), d, out + place, width, delta.data(), tile.rows, d);
                    rows().softmax_backward(p.data(), dp.data(), delta.data(), TILE, keys, scale);
                    packs().narrow(dp.data(), ds.data(), paired.data(), TILE, keys);
                    product(TILE, d, keys, ds.data(), keys, k.data() + from * d, d, dq.data(), d, false);
                    packs().narrow_rows(dq.data(), s.q(dqkv, b, h, row), s.stride, tile.rows, d);
                    product(d, keys, TILE, qt.data(), TILE, paired.data(), keys, dkt.data() + from, length, true);
                }
            }
            packs().narrow_transposed(dkt.data(), length, s.k(dqkv, b, g, 0), s.stride, d, s.length);
            packs().narrow_transposed(dvt.data(), length, s.v(dqkv, b, g, 0), s.stride, d, s.length);
        }
        at::native::cpublas::brgemm_release();
    });
}

const Half *halves(const at::Tensor &tensor) {
    TORCH_CHECK(kind_of(tensor) == BF16, "this attention needs bf16");
    return static_cast<const Half *>(tensor.const_data_ptr());
}

Half *halves(at::Tensor &tensor) {
    TORCH_CHECK(kind_of(tensor) == BF16, "this attention needs bf16");
    return static_cast<Half *>(tensor.mutable_data_ptr());
}

}  // namespace

extern "C" {

// Whether libtorch's oneDNN multiplies paired bf16 matrices here. It is tried: what libtorch says of itself is yes only with AMX.
int trainyard_has_narrow_products() {
    constexpr int64_t SIZE = 32;
    try {
        // Ones with small whole numbers: exact in every order of sums.
        Halves ones(count(SIZE, SIZE), 0x3f80), rows_(ones.size());
        for (int64_t i = 0; i < SIZE; ++i)
            for (int64_t j = 0; j < SIZE; ++j) rows_[static_cast<size_t>(i * SIZE + j)] = i % 2 ? 0x4000 : 0x3f80;
        Halves paired(rows_.size());
        packs().pair(rows_.data(), SIZE, SIZE, paired.data(), SIZE, SIZE);
        Floats sums(rows_.size());
        product(SIZE, SIZE, SIZE, ones.data(), SIZE, paired.data(), SIZE, sums.data(), SIZE, false);
        at::native::cpublas::brgemm_release();
        return std::all_of(sums.begin(), sums.end(), [](float sum) { return sum == 1.5f * SIZE; }) ? 1 : 0;
    } catch (...) {
        return 0;
    }
}

char *trainyard_narrow_attention(const at::Tensor *qkv, const at::Tensor *first, at::Tensor *out, at::Tensor *lse, int64_t length,
                                 int64_t heads, int64_t kv_heads, int64_t head, double scale) {
    return guarded([&] {
        Shape shape(*qkv, *first, length, heads, kv_heads, head);
        TORCH_CHECK(head % 2 == 0 && out->numel() == qkv->size(0) * heads * head && lse->numel() == qkv->size(0) * heads,
                    "an attention's shapes differ");
        attend(shape, halves(*qkv), halves(*out), floats(*lse), static_cast<float>(scale));
    });
}

char *trainyard_narrow_attention_backward(const at::Tensor *dout, const at::Tensor *qkv, const at::Tensor *first, const at::Tensor *out,
                                          at::Tensor *lse, at::Tensor *dqkv, int64_t length, int64_t heads, int64_t kv_heads, int64_t head,
                                          double scale) {
    return guarded([&] {
        Shape shape(*qkv, *first, length, heads, kv_heads, head);
        TORCH_CHECK(head % 2 == 0 && out->numel() == qkv->size(0) * heads * head && dout->numel() == out->numel() &&
                        lse->numel() == qkv->size(0) * heads && dqkv->numel() == qkv->numel(),
                    "an attention's shapes differ");
        attend_backward(shape, halves(*dout), halves(*qkv), halves(*out), floats(*lse), halves(*dqkv), static_cast<float>(scale));
    });
}

}  // extern "C"

// What tch has no function for: the row kernels and attention over libtorch's threads, and operators that torch-sys leaves out.
//
// Each function takes tensors of libtorch, fills those that the caller made, and returns null or an error as a string that the caller
// frees with trainyard_free. Nothing here allocates beyond scratch memory.
#include <ATen/Parallel.h>

#include <vector>

#include "face.h"

extern "C" void sgemm_(const char *transa, const char *transb, const int *m, const int *n, const int *k, const float *alpha, const float *a,
                       const int *lda, const float *b, const int *ldb, const float *beta, float *c, const int *ldc);

namespace {

// Query rows of one attention tile: a tile of scores over 512 keys fits the second-level cache.
constexpr int64_t TILE = 128;
// Elements that one thread takes at least.
constexpr int64_t GRAIN = 16384;

template <class F>
void over_rows(int64_t count, int64_t width, F &&body) {
    at::parallel_for(0, count, std::max<int64_t>(1, GRAIN / std::max<int64_t>(1, width)), body);
}

// c (m, n) = alpha * op(a) op(b) + beta * c, all row-major with the given strides.
void gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda, const float *b, int64_t ldb, float beta,
          float *c, int64_t ldc) {
    // BLAS counts by columns: the same product of the transposes, in the other order.
    int m_ = static_cast<int>(n), n_ = static_cast<int>(m), k_ = static_cast<int>(k);
    int la = static_cast<int>(ldb), lb = static_cast<int>(lda), lc = static_cast<int>(ldc);
    sgemm_(tb ? "T" : "N", ta ? "T" : "N", &m_, &n_, &k_, &alpha, b, &la, a, &lb, &beta, c, &lc);
}

void attend(const Shape &s, const float *qkv, float *out, float *lse, float scale) {
    at::parallel_for(0, s.batch * s.heads, 1, [&](int64_t begin, int64_t end) {
        std::vector<float> scores(static_cast<size_t>(TILE * s.length));
        for (int64_t task = begin; task < end; ++task) {
            int64_t b = task / s.heads, h = task % s.heads, g = h / (s.heads / s.kv_heads);
            for (int64_t row = 0; row < s.length; row += TILE) {
                int64_t count = std::min(TILE, s.length - row), from = s.from(b, row, count), keys = row + count - from;
                gemm(false, true, count, keys, s.head, 1.0f, s.q(qkv, b, h, row), s.stride, s.k(qkv, b, g, from), s.stride, 0.0f,
                     scores.data(), keys);
                rows().softmax(scores.data(), lse + (b * s.length + row) * s.heads + h, s.heads, s.first + b * s.length, count, keys, row, from,
                               scale, false);
                gemm(false, false, count, s.head, keys, 1.0f, scores.data(), keys, s.v(qkv, b, g, from), s.stride, 0.0f,
                     out + (b * s.length + row) * s.heads * s.head + h * s.head, s.heads * s.head);
            }
        }
    });
}

// Scores are computed again from the log sums; keys and values gather what every query head of their group sends.
void attend_backward(const Shape &s, const float *dout, const float *qkv, const float *out, float *lse, float *dqkv, float scale) {
    int64_t width = s.heads * s.head, group = s.heads / s.kv_heads;
    at::parallel_for(0, s.batch * s.kv_heads, 1, [&](int64_t begin, int64_t end) {
        std::vector<float> p(static_cast<size_t>(TILE * s.length)), dp(p.size()), delta(TILE);
        for (int64_t task = begin; task < end; ++task) {
            int64_t b = task / s.kv_heads, g = task % s.kv_heads;
            float *dk = dqkv + b * s.length * s.stride + (s.heads + g) * s.head, *dv = dk + s.kv_heads * s.head;
            for (int64_t row = 0; row < s.length; ++row) {
                std::memset(dk + row * s.stride, 0, sizeof(float) * static_cast<size_t>(s.head));
                std::memset(dv + row * s.stride, 0, sizeof(float) * static_cast<size_t>(s.head));
            }
            for (int64_t h = g * group; h < (g + 1) * group; ++h) {
                for (int64_t row = 0; row < s.length; row += TILE) {
                    int64_t count = std::min(TILE, s.length - row), from = s.from(b, row, count), keys = row + count - from;
                    int64_t place = (b * s.length + row) * width + h * s.head;
                    gemm(false, true, count, keys, s.head, 1.0f, s.q(qkv, b, h, row), s.stride, s.k(qkv, b, g, from), s.stride, 0.0f, p.data(),
                         keys);
                    rows().softmax(p.data(), lse + (b * s.length + row) * s.heads + h, s.heads, s.first + b * s.length, count, keys, row, from,
                                   scale, true);
                    gemm(true, false, keys, s.head, count, 1.0f, p.data(), keys, dout + place, width, 1.0f, dv + from * s.stride, s.stride);
                    gemm(false, true, count, keys, s.head, 1.0f, dout + place, width, s.v(qkv, b, g, from), s.stride, 0.0f, dp.data(), keys);
                    rows().row_dots(dout + place, width, out + place, width, delta.data(), count, s.head);
                    rows().softmax_backward(p.data(), dp.data(), delta.data(), count, keys, scale);
                    gemm(false, false, count, s.head, keys, 1.0f, dp.data(), keys, s.k(qkv, b, g, from), s.stride, 0.0f,
                         dqkv + (b * s.length + row) * s.stride + h * s.head, s.stride);
                    gemm(true, false, keys, s.head, count, 1.0f, dp.data(), keys, s.q(qkv, b, h, row), s.stride, 1.0f, dk + from * s.stride,
                         s.stride);
                }
            }
        }
    });
}

}  // namespace

extern "C" {

void trainyard_free(char *error) { std::free(error); }

char *trainyard_rms_norm(const at::Tensor *x, const at::Tensor *w, at::Tensor *y, at::Tensor *rstd, double eps) {
    return guarded([&] {
        Kind kind = kind_of(*x);
        same(kind, {w, y});
        int64_t width = w->numel(), count = x->numel() / width;
        TORCH_CHECK(rstd->numel() == count && y->numel() == x->numel(), "a norm's shapes differ");
        const void *x_ = x->const_data_ptr(), *w_ = w->const_data_ptr();
        void *y_ = y->mutable_data_ptr();
        float *rstd_ = floats(*rstd);
        over_rows(count, width, [&](int64_t begin, int64_t end) {
            rows().rms_norm(kind, x_, w_, y_, rstd_, begin, end, width, static_cast<float>(eps));
        });
    });
}

char *trainyard_rms_norm_backward(const at::Tensor *dy, const at::Tensor *x, const at::Tensor *w, const at::Tensor *rstd, at::Tensor *dx) {
    return guarded([&] {
        Kind kind = kind_of(*x);
        same(kind, {dy, w, dx});
        int64_t width = w->numel(), count = x->numel() / width;
        TORCH_CHECK(rstd->numel() == count && dx->numel() == x->numel() && dy->numel() == x->numel(), "a norm's shapes differ");
        const void *dy_ = dy->const_data_ptr(), *x_ = x->const_data_ptr(), *w_ = w->const_data_ptr();
        const float *rstd_ = floats(*rstd);
        void *dx_ = dx->mutable_data_ptr();
        over_rows(count, width,
                  [&](int64_t begin, int64_t end) { rows().rms_norm_backward(kind, dy_, x_, w_, rstd_, dx_, begin, end, width); });
    });
}

char *trainyard_swiglu(const at::Tensor *gate_up, at::Tensor *h) {
    return guarded([&] {
        Kind kind = kind_of(*gate_up);
        same(kind, {h});
        int64_t width = h->size(1), count = h->size(0);
        TORCH_CHECK(gate_up->numel() == 2 * h->numel(), "gate and values have an odd shape");
        const void *gate_up_ = gate_up->const_data_ptr();
        void *h_ = h->mutable_data_ptr();
        over_rows(count, 3 * width, [&](int64_t begin, int64_t end) { rows().swiglu(kind, gate_up_, h_, begin, end, width); });
    });
}

char *trainyard_swiglu_backward(const at::Tensor *dh, at::Tensor *gate_up) {
    return guarded([&] {
        Kind kind = kind_of(*gate_up);
        same(kind, {dh});
        int64_t width = dh->size(1), count = dh->size(0);
        TORCH_CHECK(gate_up->numel() == 2 * dh->numel(), "gate and values have an odd shape");
        const void *dh_ = dh->const_data_ptr();
        void *gate_up_ = gate_up->mutable_data_ptr();
        over_rows(count, 3 * width, [&](int64_t begin, int64_t end) { rows().swiglu_backward(kind, dh_, gate_up_, begin, end, width); });
    });
}

char *trainyard_rope(at::Tensor *x, const at::Tensor *cos, const at::Tensor *sin, int64_t heads, int64_t head, int inverse) {
    return guarded([&] {
        Kind kind = kind_of(*x);
        int64_t count = x->size(0), stride = x->size(1), table_rows = cos->numel() / (head / 2);
        TORCH_CHECK(heads * head <= stride && cos->numel() == sin->numel() && table_rows > 0 && count % table_rows == 0, "angles have an odd shape");
        void *x_ = x->mutable_data_ptr();
        const float *cos_ = floats(*cos), *sin_ = floats(*sin);
        over_rows(count, stride, [&](int64_t begin, int64_t end) {
            rows().rope(kind, x_, cos_, sin_, begin, end, stride, heads, head, table_rows, inverse != 0);
        });
    });
}

char *trainyard_attention(const at::Tensor *qkv, const at::Tensor *first, at::Tensor *out, at::Tensor *lse, int64_t length, int64_t heads,
                          int64_t kv_heads, int64_t head, double scale) {
    return guarded([&] {
        Shape shape(*qkv, *first, length, heads, kv_heads, head);
        TORCH_CHECK(out->numel() == qkv->size(0) * heads * head && lse->numel() == qkv->size(0) * heads, "an attention's shapes differ");
        attend(shape, floats(*qkv), floats(*out), floats(*lse), static_cast<float>(scale));
    });
}

char *trainyard_attention_backward(const at::Tensor *dout, const at::Tensor *qkv, const at::Tensor *first, const at::Tensor *out,
                                   at::Tensor *lse, at::Tensor *dqkv, int64_t length, int64_t heads, int64_t kv_heads, int64_t head,
                                   double scale) {
    return guarded([&] {
        Shape shape(*qkv, *first, length, heads, kv_heads, head);
        TORCH_CHECK(out->numel() == qkv->size(0) * heads * head && dout->numel() == out->numel() && lse->numel() == qkv->size(0) * heads &&
                        dqkv->numel() == qkv->numel(),
                    "an attention's shapes differ");
        attend_backward(shape, floats(*dout), floats(*qkv), floats(*out), floats(*lse), floats(*dqkv), static_cast<float>(scale));
    });
}

char *trainyard_cross_entropy(at::Tensor *logits, const at::Tensor *targets, at::Tensor *loss, at::Tensor *correct, double scale) {
    return guarded([&] {
        int64_t count = logits->size(0), width = logits->size(1);
        TORCH_CHECK(targets->is_cpu() && targets->is_contiguous() && targets->scalar_type() == at::kLong && targets->numel() == count &&
                        loss->numel() == count && correct->numel() == count,
                    "targets have an odd shape");
        const int64_t *targets_ = targets->const_data_ptr<int64_t>();
        for (int64_t row = 0; row < count; ++row)
            TORCH_CHECK(targets_[row] >= 0 && targets_[row] < width, "target ", targets_[row], " is outside a vocabulary of ", width);
        Kind kind = kind_of(*logits);
        void *logits_ = logits->mutable_data_ptr();
        float *loss_ = floats(*loss), *correct_ = floats(*correct);
        over_rows(count, width, [&](int64_t begin, int64_t end) {
            rows().cross_entropy(kind, logits_, targets_, loss_, correct_, begin, end, width, static_cast<float>(scale));
        });
    });
}

// One AdamW update of the flat parameters, as torch.optim.AdamW(fused=True). `step` counts from 1.
char *trainyard_adamw(at::Tensor *p, at::Tensor *g, at::Tensor *m, at::Tensor *v, double step, double rate, double beta1, double beta2,
                      double weight_decay, double eps) {
    return guarded([&] {
        at::Tensor steps = at::full({}, step, p->options().dtype(at::kFloat));
        at::_fused_adamw_({*p}, {*g}, {*m}, {*v}, {}, {steps}, rate, beta1, beta2, weight_decay, eps, /*amsgrad=*/false, /*maximize=*/false);
    });
}

}  // extern "C"

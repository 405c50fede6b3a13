// What tch has no function for: the row kernels over libtorch's threads, and operators that torch-sys leaves out.
//
// Each function takes tensors of libtorch, fills those that the caller made, and returns null or an error as a string that the caller
// frees with trainyard_free. Nothing here allocates beyond scratch memory.
#include <ATen/Parallel.h>

#include <cmath>
#include <vector>

#include "face.h"

namespace {

// Elements that one thread takes at least.
constexpr int64_t GRAIN = 16384;
// Numbers of fp32 that stay in the first-level cache while something is added to them again and again.
constexpr int64_t BLOCK = 2048;
// Numbers that are summed by themselves before the sums are.
constexpr int64_t PIECE = 65536;

template <class F>
void over_rows(int64_t count, int64_t width, F &&body) {
    at::parallel_for(0, count, std::max<int64_t>(1, GRAIN / std::max<int64_t>(1, width)), body);
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

char *trainyard_rms_norm_weight(const at::Tensor *dy, const at::Tensor *x, const at::Tensor *rstd, at::Tensor *out, int64_t size) {
    return guarded([&] {
        Kind kind = kind_of(*x);
        same(kind, {dy});
        int64_t width = out->size(1), groups = out->size(0), count = rstd->numel();
        TORCH_CHECK(size > 0 && groups == (count + size - 1) / size && x->numel() == count * width && dy->numel() == x->numel(),
                    "a norm's shapes differ");
        const void *dy_ = dy->const_data_ptr(), *x_ = x->const_data_ptr();
        const float *rstd_ = floats(*rstd);
        float *out_ = floats(*out);
        over_rows(groups, size * width,
                  [&](int64_t begin, int64_t end) { rows().rms_norm_weight(kind, dy_, x_, rstd_, out_, begin, end, size, count, width); });
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

char *trainyard_divergence(const at::Tensor *logits, at::Tensor *old, at::Tensor *out, double inverse, double scale) {
    return guarded([&] {
        int64_t count = logits->size(0), width = logits->size(1);
        TORCH_CHECK(old->sizes() == logits->sizes() && out->numel() == count && width > 0, "a divergence's shapes differ");
        const float *new_ = floats(*logits);
        float *old_ = floats(*old), *out_ = floats(*out);
        over_rows(count, width, [&](int64_t begin, int64_t end) {
            rows().divergence(new_, old_, out_, begin, end, width, static_cast<float>(inverse), static_cast<float>(scale));
        });
    });
}

// The sum of the squares of x, in pieces of one size: the same whatever the number of threads.
char *trainyard_squares(const at::Tensor *x, double *sum) {
    return guarded([&] {
        int64_t count = x->numel(), pieces = (count + PIECE - 1) / PIECE;
        Kind kind = kind_of(*x);
        auto x_ = static_cast<const char *>(x->const_data_ptr());
        int64_t bytes = kind == BF16 ? 2 : 4;
        std::vector<double> of_pieces(static_cast<size_t>(pieces));
        at::parallel_for(0, pieces, 1, [&](int64_t begin, int64_t end) {
            for (int64_t piece = begin; piece < end; ++piece) {
                int64_t from = piece * PIECE, to = std::min(from + PIECE, count);
                of_pieces[static_cast<size_t>(piece)] = loops().flat.squares(kind, x_ + bytes * from, to - from);
            }
        });
        *sum = 0.0;
        for (double of_piece : of_pieces) *sum += of_piece;
    });
}

// sum += scale * x of dense tensors of as many numbers.
char *trainyard_add(at::Tensor *sum, const at::Tensor *x, double scale) {
    return guarded([&] {
        int64_t count = sum->numel();
        TORCH_CHECK(x->numel() == count, "a sum's shapes differ");
        Kind kind = kind_of(*x);
        float *sum_ = floats(*sum);
        auto x_ = static_cast<const char *>(x->const_data_ptr());
        int64_t bytes = kind == BF16 ? 2 : 4;
        at::parallel_for(0, count, GRAIN, [&](int64_t begin, int64_t end) {
            loops().flat.add(kind, sum_ + begin, x_ + bytes * begin, end - begin, static_cast<float>(scale));
        });
    });
}

// sum += the rows of x (n, count) times their factors: sum is read and written once, whatever the number of rows.
char *trainyard_add_rows(at::Tensor *sum, const at::Tensor *x, const double *factors) {
    return guarded([&] {
        int64_t count = sum->numel(), n = x->size(0);
        TORCH_CHECK(x->dim() == 2 && x->size(1) == count, "a sum's shapes differ");
        Kind kind = kind_of(*x);
        float *sum_ = floats(*sum);
        auto x_ = static_cast<const char *>(x->const_data_ptr());
        int64_t bytes = kind == BF16 ? 2 : 4;
        at::parallel_for(0, count, GRAIN, [&](int64_t begin, int64_t end) {
            for (int64_t from = begin; from < end; from += BLOCK) {
                int64_t size = std::min(BLOCK, end - from);
                for (int64_t row = 0; row < n; ++row)
                    loops().flat.add(kind, sum_ + from, x_ + bytes * (row * count + from), size, static_cast<float>(factors[row]));
            }
        });
    });
}

// The same update as below in one pass over memory, which clears the gradients and writes the parameters rounded to bf16 into `copy` unless
// that is null.
char *trainyard_adamw_flat(at::Tensor *p, at::Tensor *g, at::Tensor *m, at::Tensor *v, at::Tensor *copy, double scale, double step, double rate,
                           double beta1, double beta2, double weight_decay, double eps) {
    return guarded([&] {
        int64_t count = p->numel();
        TORCH_CHECK(g->numel() == count && m->numel() == count && v->numel() == count && (!copy || copy->numel() == count),
                    "the optimizer's shapes differ");
        TORCH_CHECK(!copy || kind_of(*copy) == BF16, "the copy must be bf16");
        AdamWStep with = {static_cast<float>(scale),
                          static_cast<float>(1.0 - rate * weight_decay),
                          static_cast<float>(1.0 - beta1),
                          static_cast<float>(beta2),
                          static_cast<float>(1.0 - beta2),
                          static_cast<float>(rate / (1.0 - std::pow(beta1, step))),
                          static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(beta2, step))),
                          static_cast<float>(eps)};
        float *p_ = floats(*p), *g_ = floats(*g), *m_ = floats(*m), *v_ = floats(*v);
        auto copy_ = copy ? static_cast<uint16_t *>(copy->mutable_data_ptr()) : nullptr;
        at::parallel_for(0, count, GRAIN, [&](int64_t begin, int64_t end) {
            loops().flat.adamw(p_ + begin, g_ + begin, m_ + begin, v_ + begin, copy_ ? copy_ + begin : nullptr, end - begin, with);
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

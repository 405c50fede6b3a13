// See kernels.h. Compiled once for each instruction set, with TRAINYARD_FLAT naming the table.
#include <cmath>

#include "bf16.h"
#include "kernels.h"

namespace {

double squares(const float *x, int64_t count) {
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    return sum;
}

// As torch.optim.AdamW(fused=True) computes it.
template <bool COPY>
void adamw_of(float *p, float *g, float *m, float *v, uint16_t *copy, int64_t count, const AdamWStep &step) {
    const AdamWStep s = step;
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
        float gradient = s.scale * g[i];
        float first = m[i] + s.gain1 * (gradient - m[i]);
        float second = s.beta2 * v[i] + s.gain2 * gradient * gradient;
        float value = s.kept * p[i] - s.rate * first / (std::sqrt(second) * s.root + s.eps);
        m[i] = first;
        v[i] = second;
        p[i] = value;
        g[i] = 0.0f;
        if (COPY) copy[i] = narrow(value);
    }
}

void adamw(float *p, float *g, float *m, float *v, uint16_t *copy, int64_t count, const AdamWStep &step) {
    if (copy) {
        adamw_of<true>(p, g, m, v, copy, count, step);
    } else {
        adamw_of<false>(p, g, m, v, copy, count, step);
    }
}

void add(Kind kind, float *sum, const void *x_, int64_t count, float scale) {
    if (kind == BF16) {
        auto x = static_cast<const uint16_t *>(x_);
#pragma omp simd
        for (int64_t i = 0; i < count; ++i) sum[i] += scale * widen(x[i]);
        return;
    }
    auto x = static_cast<const float *>(x_);
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) sum[i] += scale * x[i];
}

}  // namespace

extern "C" const FlatKernels TRAINYARD_FLAT = {squares, adamw, add};

// See kernels.h. Compiled once for each instruction set, with TRAINYARD_FLAT naming the table.
#include <cmath>

#include "bf16.h"
#include "kernels.h"

namespace {

inline float value(float x) { return x; }
inline float value(uint16_t x) { return widen(x); }

template <class T>
double squares_of(const T *x, int64_t count) {
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < count; ++i) {
        double wide = static_cast<double>(value(x[i]));
        sum += wide * wide;
    }
    return sum;
}

double squares(Kind kind, const void *x, int64_t count) {
    return kind == BF16 ? squares_of(static_cast<const uint16_t *>(x), count) : squares_of(static_cast<const float *>(x), count);
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

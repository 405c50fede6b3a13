// The loops over rows that libtorch has no single operator for, in one table for each instruction set.
//
// Pointers and sizes only: this header and rows.cpp include nothing of libtorch, so that no inline function of its headers is ever compiled
// for an instruction set that the machine may not have.
#pragma once

#include <cstdint>

// Formats of activations: fp32, or bf16 as its upper halves.
enum Kind : int32_t { FP32 = 0, BF16 = 1 };

// Each function works on rows [begin, end) of dense row-major arrays. Sums are in fp32, in an order that depends on the instruction set alone.
struct RowKernels {
    // y = w * round(x * rstd), rstd = 1 / sqrt(mean(x^2) + eps); rstd is (rows).
    void (*rms_norm)(Kind, const void *x, const void *w, void *y, float *rstd, int64_t begin, int64_t end, int64_t width, float eps);
    // dx += the gradient of rms_norm at x for dy.
    void (*rms_norm_backward)(Kind, const void *dy, const void *x, const void *w, const float *rstd, void *dx, int64_t begin, int64_t end,
                              int64_t width);
    // The gradients of rms_norm's w at x for dy, of groups of `size` rows each: out (groups, width). Groups [begin, end); there are `count` rows.
    void (*rms_norm_weight)(Kind, const void *dy, const void *x, const float *rstd, float *out, int64_t begin, int64_t end, int64_t size,
                            int64_t count, int64_t width);
    // h = silu(gate) * up of gate_up (rows, 2 * width).
    void (*swiglu)(Kind, const void *gate_up, void *h, int64_t begin, int64_t end, int64_t width);
    // gate_up becomes its own gradient for dh.
    void (*swiglu_backward)(Kind, const void *dh, void *gate_up, int64_t begin, int64_t end, int64_t width);
    // Turns the first `heads` heads of each row of x (rows, stride) by the angles of row % table_rows of cos and sin (table_rows, head / 2);
    // back by them where `inverse`.
    void (*rope)(Kind, void *x, const float *cos, const float *sin, int64_t begin, int64_t end, int64_t stride, int64_t heads, int64_t head,
                 int64_t table_rows, bool inverse);
    // s becomes exp(scale * s - log sum exp) over columns [first, last] of each row, zero elsewhere; lse gets the logarithm where it is not
    // null and gives it where `known`.
    void (*softmax)(float *s, float *lse, int64_t lse_stride, const int32_t *first, int64_t rows, int64_t columns, int64_t row0,
                    int64_t column0, float scale, bool known);
    // dp becomes p * (dp - delta) * scale.
    void (*softmax_backward)(const float *p, float *dp, const float *delta, int64_t rows, int64_t columns, float scale);
    // Negative log-likelihood of each row's target, whether it was the largest, and, unless scale is 0, logits become
    // scale * (softmax - onehot).
    void (*cross_entropy)(Kind, void *logits, const int64_t *targets, float *loss, float *correct, int64_t begin, int64_t end, int64_t width,
                          float scale);
    // The divergence sum p_old (log p_old - log p_new) of each row's softmax(inverse * logits); old logits become scale * (p_new - p_old).
    void (*divergence)(const float *new_, float *old_, float *out, int64_t begin, int64_t end, int64_t width, float inverse, float scale);
};

// Matrices laid out for products with sums in fp32. The second factor of a bf16 product is "paired": of a (k, n) matrix the elements (2 i, j)
// and (2 i + 1, j) lie side by side, (k / 2, n, 2), as the instructions of Intel, AMD and Arm take them. Rows that are not there are zero.
template <class T>
struct PackKernels {
    // x (rows, n) as a second factor (k, n).
    void (*second)(const T *x, int64_t stride, int64_t rows, T *y, int64_t k, int64_t n);
    // The transpose of x (rows, k) as a second factor (k, n).
    void (*second_transposed)(const T *x, int64_t stride, int64_t rows, T *y, int64_t k, int64_t n);
    // x (rows, n) as it is (m, n), and transposed (n, m) unless that is null.
    void (*first)(const T *x, int64_t stride, int64_t rows, T *y, T *transposed, int64_t m, int64_t n);
    // x (count, n) into rows that lie apart.
    void (*rows)(const float *x, T *y, int64_t stride, int64_t count, int64_t n);
    // The transpose of x (n, k), whose rows lie apart, into k rows of n that lie apart.
    void (*transposed_rows)(const float *x, int64_t x_stride, T *y, int64_t stride, int64_t n, int64_t k);
    // Dot products of the rows of a and b.
    void (*row_dots)(const T *a, int64_t a_stride, const T *b, int64_t b_stride, float *out, int64_t count, int64_t n);
};

struct Packs {
    PackKernels<float> wide;
    PackKernels<uint16_t> narrow;
    // x (m, n) in bf16, as a first factor and as a second; either may be null.
    void (*round)(const float *x, uint16_t *y, uint16_t *paired, int64_t m, int64_t n);
};

// One AdamW update, and what it begins with.
struct AdamWStep {
    // Gradients are multiplied by it first.
    float scale;
    // 1 - rate * weight decay.
    float kept;
    // 1 - beta1, beta2 and 1 - beta2, each rounded once: of a beta close to 1 the difference in fp32 would keep few digits.
    float gain1, beta2, gain2;
    // rate / (1 - beta1^t) and 1 / sqrt(1 - beta2^t).
    float rate, root;
    float eps;
};

// Loops over the flat buffers of parameters, gradients and moments: as many numbers as a model has, so each pass over memory counts.
struct FlatKernels {
    // The sum of squares.
    double (*squares)(Kind, const void *x, int64_t count);
    // Updates p, m and v, clears g, and writes p rounded to bf16 into copy unless that is null.
    void (*adamw)(float *p, float *g, float *m, float *v, uint16_t *copy, int64_t count, const AdamWStep &step);
    // sum += scale * x.
    void (*add)(Kind, float *sum, const void *x, int64_t count, float scale);
};

extern "C" const RowKernels trainyard_rows_base;
extern "C" const Packs trainyard_packs_base;
extern "C" const FlatKernels trainyard_flat_base;
#if defined(__x86_64__)
extern "C" const RowKernels trainyard_rows_avx2;
extern "C" const RowKernels trainyard_rows_avx512;
extern "C" const Packs trainyard_packs_avx2;
extern "C" const Packs trainyard_packs_avx512;
extern "C" const FlatKernels trainyard_flat_avx2;
extern "C" const FlatKernels trainyard_flat_avx512;
#endif

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
    // Dot products of the rows of a and b.
    void (*row_dots)(const float *a, int64_t a_stride, const float *b, int64_t b_stride, float *out, int64_t rows, int64_t width);
    // Negative log-likelihood of each row's target, whether it was the largest, and, unless scale is 0, logits become
    // scale * (softmax - onehot).
    void (*cross_entropy)(Kind, void *logits, const int64_t *targets, float *loss, float *correct, int64_t begin, int64_t end, int64_t width,
                          float scale);
};

// Bf16 matrices laid out for products of bf16 numbers with sums in fp32. The second factor of such a product is "paired": of a (k, n) matrix
// the elements (2 i, j) and (2 i + 1, j) lie side by side, (k / 2, n, 2), as the instructions of Intel, AMD and Arm take them.
struct PackKernels {
    // The pairs of x (k, n), of which only `rows` rows are there; the others count as zero.
    void (*pair)(const uint16_t *x, int64_t stride, int64_t rows, uint16_t *paired, int64_t k, int64_t n);
    // The pairs of the transpose of x (n, k), of which only `rows` rows are there.
    void (*pair_transposed)(const uint16_t *x, int64_t stride, int64_t rows, uint16_t *paired, int64_t k, int64_t n);
    // x (rows, n) as it is and transposed, to (m, n) and (n, m): rows that are not there are zero.
    void (*copy)(const uint16_t *x, int64_t stride, int64_t rows, uint16_t *y, uint16_t *transposed, int64_t m, int64_t n);
    // x (m, n) in bf16, as it is and paired; either may be null.
    void (*narrow)(const float *x, uint16_t *y, uint16_t *paired, int64_t m, int64_t n);
    // x (rows, n) in bf16 into rows that lie apart.
    void (*narrow_rows)(const float *x, uint16_t *y, int64_t stride, int64_t rows, int64_t n);
    // The transpose of x (n, k) in bf16 into k rows of n that lie apart; rows of x are `x_stride` apart.
    void (*narrow_transposed)(const float *x, int64_t x_stride, uint16_t *y, int64_t stride, int64_t n, int64_t k);
    // Dot products of the rows of a and b.
    void (*row_dots)(const uint16_t *a, int64_t a_stride, const uint16_t *b, int64_t b_stride, float *out, int64_t rows, int64_t n);
};

extern "C" const RowKernels trainyard_rows_base;
extern "C" const PackKernels trainyard_packs_base;
#if defined(__x86_64__)
extern "C" const RowKernels trainyard_rows_avx2;
extern "C" const RowKernels trainyard_rows_avx512;
extern "C" const PackKernels trainyard_packs_avx2;
extern "C" const PackKernels trainyard_packs_avx512;
#endif

// See kernels.h. Compiled once for each instruction set, with TRAINYARD_PACKS naming the table.
#include "bf16.h"
#include "kernels.h"

namespace {

void pair(const uint16_t *x, int64_t stride, int64_t rows, uint16_t *paired, int64_t k, int64_t n) {
    for (int64_t i = 0; i < k; i += 2) {
        uint16_t *out = paired + i * n;
        const uint16_t *even = x + i * stride, *odd = even + stride;
        if (i + 1 < rows) {
#pragma omp simd
            for (int64_t j = 0; j < n; ++j) {
                out[2 * j] = even[j];
                out[2 * j + 1] = odd[j];
            }
        } else {
            for (int64_t j = 0; j < n; ++j) {
                out[2 * j] = i < rows ? even[j] : 0;
                out[2 * j + 1] = 0;
            }
        }
    }
}

// A pair of neighbours in a row of x is one word of 32 bits: it is those that are transposed.
void pair_transposed(const uint16_t *x, int64_t stride, int64_t rows, uint16_t *paired, int64_t k, int64_t n) {
    for (int64_t j0 = 0; j0 < n; j0 += 16) {
        int64_t j1 = j0 + 16 < n ? j0 + 16 : n;
        for (int64_t i = 0; i < k / 2; ++i) {
            for (int64_t j = j0; j < j1; ++j) {
                uint32_t word = 0;
                if (j < rows) std::memcpy(&word, x + j * stride + 2 * i, sizeof word);
                std::memcpy(paired + 2 * (i * n + j), &word, sizeof word);
            }
        }
    }
}

void copy(const uint16_t *x, int64_t stride, int64_t rows, uint16_t *y, uint16_t *transposed, int64_t m, int64_t n) {
    for (int64_t row = 0; row < m; ++row) {
        if (row < rows) {
            std::memcpy(y + row * n, x + row * stride, sizeof(uint16_t) * static_cast<size_t>(n));
        } else {
            std::memset(y + row * n, 0, sizeof(uint16_t) * static_cast<size_t>(n));
        }
    }
    if (!transposed) return;
    for (int64_t row0 = 0; row0 < m; row0 += 16) {
        int64_t row1 = row0 + 16 < m ? row0 + 16 : m;
        for (int64_t j = 0; j < n; ++j) {
            for (int64_t row = row0; row < row1; ++row) transposed[j * m + row] = y[row * n + j];
        }
    }
}

// Named apart from the function of a single number.
void narrow_matrix(const float *x, uint16_t *y, uint16_t *paired, int64_t m, int64_t n) {
    if (y) {
#pragma omp simd
        for (int64_t i = 0; i < m * n; ++i) y[i] = narrow(x[i]);
    }
    if (!paired) return;
    for (int64_t i = 0; i < m; i += 2) {
        const float *even = x + i * n, *odd = even + n;
        auto out = reinterpret_cast<uint32_t *>(paired + i * n);
#pragma omp simd
        for (int64_t j = 0; j < n; ++j) out[j] = static_cast<uint32_t>(narrow(even[j])) | static_cast<uint32_t>(narrow(odd[j])) << 16;
    }
}

void narrow_rows(const float *x, uint16_t *y, int64_t stride, int64_t rows, int64_t n) {
    for (int64_t row = 0; row < rows; ++row) {
#pragma omp simd
        for (int64_t j = 0; j < n; ++j) y[row * stride + j] = narrow(x[row * n + j]);
    }
}

void narrow_transposed(const float *x, int64_t x_stride, uint16_t *y, int64_t stride, int64_t n, int64_t k) {
    for (int64_t row0 = 0; row0 < k; row0 += 16) {
        int64_t row1 = row0 + 16 < k ? row0 + 16 : k;
        for (int64_t j = 0; j < n; ++j) {
            for (int64_t row = row0; row < row1; ++row) y[row * stride + j] = narrow(x[j * x_stride + row]);
        }
    }
}

void row_dots(const uint16_t *a, int64_t a_stride, const uint16_t *b, int64_t b_stride, float *out, int64_t rows, int64_t n) {
    for (int64_t row = 0; row < rows; ++row) {
        float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int64_t j = 0; j < n; ++j) sum += widen(a[row * a_stride + j]) * widen(b[row * b_stride + j]);
        out[row] = sum;
    }
}

}  // namespace

extern "C" const PackKernels TRAINYARD_PACKS = {pair, pair_transposed, copy, narrow_matrix, narrow_rows, narrow_transposed, row_dots};

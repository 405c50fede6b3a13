// See kernels.h. Compiled once for each instruction set, with TRAINYARD_PACKS naming the table.
#include "bf16.h"
#include "kernels.h"

namespace {

// Numbers of fp32 are not paired.
void second(const float *x, int64_t stride, int64_t rows, float *y, int64_t k, int64_t n) {
    for (int64_t i = 0; i < k; ++i) {
        for (int64_t j = 0; j < n; ++j) y[i * n + j] = i < rows ? x[i * stride + j] : 0.0f;
    }
}

void second(const uint16_t *x, int64_t stride, int64_t rows, uint16_t *paired, int64_t k, int64_t n) {
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

// A word of 32 bits is a number of fp32, or two of bf16 that lie side by side in a row of x: it is words that are transposed.
template <class T>
void second_transposed(const T *x, int64_t stride, int64_t rows, T *y, int64_t k, int64_t n) {
    constexpr int64_t WORD = 4 / sizeof(T);
    for (int64_t j0 = 0; j0 < n; j0 += 16) {
        int64_t j1 = j0 + 16 < n ? j0 + 16 : n;
        for (int64_t i = 0; i < k / WORD; ++i) {
            for (int64_t j = j0; j < j1; ++j) {
                uint32_t word = 0;
                if (j < rows) std::memcpy(&word, x + j * stride + WORD * i, sizeof word);
                std::memcpy(y + WORD * (i * n + j), &word, sizeof word);
            }
        }
    }
}

template <class T>
void first(const T *x, int64_t stride, int64_t rows, T *y, T *transposed, int64_t m, int64_t n) {
    for (int64_t row = 0; row < m; ++row) {
        if (row < rows) {
            std::memcpy(y + row * n, x + row * stride, sizeof(T) * static_cast<size_t>(n));
        } else {
            std::memset(y + row * n, 0, sizeof(T) * static_cast<size_t>(n));
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

void round(const float *x, uint16_t *y, uint16_t *paired, int64_t m, int64_t n) {
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

inline float value(float x) { return x; }
inline float value(uint16_t x) { return widen(x); }
inline void store(float *y, float x) { *y = x; }
inline void store(uint16_t *y, float x) { *y = narrow(x); }

template <class T>
void rows(const float *x, T *y, int64_t stride, int64_t count, int64_t n) {
    for (int64_t row = 0; row < count; ++row) {
#pragma omp simd
        for (int64_t j = 0; j < n; ++j) store(y + row * stride + j, x[row * n + j]);
    }
}

template <class T>
void transposed_rows(const float *x, int64_t x_stride, T *y, int64_t stride, int64_t n, int64_t k) {
    for (int64_t row0 = 0; row0 < k; row0 += 16) {
        int64_t row1 = row0 + 16 < k ? row0 + 16 : k;
        for (int64_t j = 0; j < n; ++j) {
            for (int64_t row = row0; row < row1; ++row) store(y + row * stride + j, x[j * x_stride + row]);
        }
    }
}

template <class T>
void row_dots(const T *a, int64_t a_stride, const T *b, int64_t b_stride, float *out, int64_t count, int64_t n) {
    for (int64_t row = 0; row < count; ++row) {
        float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int64_t j = 0; j < n; ++j) sum += value(a[row * a_stride + j]) * value(b[row * b_stride + j]);
        out[row] = sum;
    }
}

template <class T>
constexpr PackKernels<T> of_format() {
    return {second, second_transposed<T>, first<T>, rows<T>, transposed_rows<T>, row_dots<T>};
}

}  // namespace

extern "C" const Packs TRAINYARD_PACKS = {of_format<float>(), of_format<uint16_t>(), round};

// See kernels.h. Compiled once for each instruction set, with TRAINYARD_ROWS naming the table.
#include "kernels.h"

#include <cmath>

#include "bf16.h"

namespace {

struct Fp32 {
    using Stored = float;
    static inline float load(const float *p, int64_t i) { return p[i]; }
    static inline void store(float *p, int64_t i, float value) { p[i] = value; }
    static inline float round(float value) { return value; }
};

struct Bf16 {
    using Stored = uint16_t;
    static inline float load(const uint16_t *p, int64_t i) { return widen(p[i]); }
    static inline void store(uint16_t *p, int64_t i, float value) { p[i] = narrow(value); }
    static inline float round(float value) { return widen(narrow(value)); }
};

// exp within 2 units in the last place: 2^n times the Taylor polynomial of degree 7 on |r| <= ln 2 / 2, whose remainder is below 6e-9 there.
// Below -87 it is 0, above 88 infinite, and what is no number stays none. Plain arithmetic, so that the compiler makes vectors of loops of it.
inline float exponential(float x) {
    float clamped = x < -87.0f ? -87.0f : (x > 88.0f ? 88.0f : x);
    float n = clamped * 1.44269504088896341f + 12582912.0f;
    int32_t exponent = static_cast<int32_t>(to_bits(n)) - 0x4b400000;
    n -= 12582912.0f;
    float r = clamped - n * 0.693359375f;
    r -= n * -2.12194440e-4f;
    float y = 1.0f / 5040.0f;
    y = y * r + 1.0f / 720.0f;
    y = y * r + 1.0f / 120.0f;
    y = y * r + 1.0f / 24.0f;
    y = y * r + 1.0f / 6.0f;
    y = y * r + 0.5f;
    y = y * r + 1.0f;
    y = y * r + 1.0f;
    y *= from_bits(static_cast<uint32_t>(exponent + 127) << 23);
    y = x < -87.0f ? 0.0f : y;
    y = x > 88.0f ? from_bits(0x7f800000u) : y;
    return x == x ? y : x;
}

template <class T>
void rms_norm_of(const void *x_, const void *w_, void *y_, float *rstd, int64_t begin, int64_t end, int64_t width, float eps) {
    auto w = static_cast<const typename T::Stored *>(w_);
    for (int64_t row = begin; row < end; ++row) {
        auto x = static_cast<const typename T::Stored *>(x_) + row * width;
        auto y = static_cast<typename T::Stored *>(y_) + row * width;
        float squares = 0.0f;
#pragma omp simd reduction(+ : squares)
        for (int64_t i = 0; i < width; ++i) squares += T::load(x, i) * T::load(x, i);
        float scale = 1.0f / std::sqrt(squares / static_cast<float>(width) + eps);
        rstd[row] = scale;
#pragma omp simd
        for (int64_t i = 0; i < width; ++i) T::store(y, i, T::round(T::load(x, i) * scale) * T::load(w, i));
    }
}

template <class T>
void rms_norm_backward_of(const void *dy_, const void *x_, const void *w_, const float *rstd, void *dx_, int64_t begin, int64_t end,
                          int64_t width) {
    auto w = static_cast<const typename T::Stored *>(w_);
    for (int64_t row = begin; row < end; ++row) {
        auto dy = static_cast<const typename T::Stored *>(dy_) + row * width;
        auto x = static_cast<const typename T::Stored *>(x_) + row * width;
        auto dx = static_cast<typename T::Stored *>(dx_) + row * width;
        float along = 0.0f;
#pragma omp simd reduction(+ : along)
        for (int64_t i = 0; i < width; ++i) along += T::load(dy, i) * T::load(w, i) * T::load(x, i);
        float scale = rstd[row];
        float back = along * scale * scale * scale / static_cast<float>(width);
#pragma omp simd
        for (int64_t i = 0; i < width; ++i)
            T::store(dx, i, T::load(dx, i) + scale * T::load(dy, i) * T::load(w, i) - back * T::load(x, i));
    }
}

template <class T>
void rms_norm_weight_of(const void *dy_, const void *x_, const float *rstd, float *out_, int64_t begin, int64_t end, int64_t size, int64_t count,
                        int64_t width) {
    for (int64_t group = begin; group < end; ++group) {
        float *out = out_ + group * width;
        for (int64_t i = 0; i < width; ++i) out[i] = 0.0f;
        int64_t last = (group + 1) * size < count ? (group + 1) * size : count;
        for (int64_t row = group * size; row < last; ++row) {
            auto dy = static_cast<const typename T::Stored *>(dy_) + row * width;
            auto x = static_cast<const typename T::Stored *>(x_) + row * width;
            float scale = rstd[row];
#pragma omp simd
            for (int64_t i = 0; i < width; ++i) out[i] += T::load(dy, i) * T::round(T::load(x, i) * scale);
        }
    }
}

template <class T>
void swiglu_of(const void *gate_up, void *h_, int64_t begin, int64_t end, int64_t width) {
    for (int64_t row = begin; row < end; ++row) {
        auto gate = static_cast<const typename T::Stored *>(gate_up) + row * 2 * width;
        auto up = gate + width;
        auto h = static_cast<typename T::Stored *>(h_) + row * width;
#pragma omp simd
        for (int64_t i = 0; i < width; ++i) {
            float g = T::load(gate, i);
            T::store(h, i, T::round(g / (1.0f + exponential(-g))) * T::load(up, i));
        }
    }
}

template <class T>
void swiglu_backward_of(const void *dh_, void *gate_up, int64_t begin, int64_t end, int64_t width) {
    for (int64_t row = begin; row < end; ++row) {
        auto dh = static_cast<const typename T::Stored *>(dh_) + row * width;
        auto gate = static_cast<typename T::Stored *>(gate_up) + row * 2 * width;
        auto up = gate + width;
#pragma omp simd
        for (int64_t i = 0; i < width; ++i) {
            float g = T::load(gate, i), d = T::load(dh, i);
            float sigmoid = 1.0f / (1.0f + exponential(-g));
            float dgate = d * T::load(up, i) * sigmoid * (1.0f + g * (1.0f - sigmoid));
            T::store(up, i, d * g * sigmoid);
            T::store(gate, i, dgate);
        }
    }
}

template <class T>
void rope_of(void *x_, const float *cos_, const float *sin_, int64_t begin, int64_t end, int64_t stride, int64_t heads, int64_t head,
             int64_t table_rows, bool inverse) {
    int64_t half = head / 2;
    float sign = inverse ? -1.0f : 1.0f;
    for (int64_t row = begin; row < end; ++row) {
        const float *cos = cos_ + row % table_rows * half;
        const float *sin = sin_ + row % table_rows * half;
        for (int64_t h = 0; h < heads; ++h) {
            auto low = static_cast<typename T::Stored *>(x_) + row * stride + h * head;
            auto high = low + half;
#pragma omp simd
            for (int64_t i = 0; i < half; ++i) {
                float a = T::load(low, i), b = T::load(high, i), s = sign * sin[i];
                T::store(low, i, a * cos[i] - b * s);
                T::store(high, i, b * cos[i] + a * s);
            }
        }
    }
}

void softmax(float *s_, float *lse, int64_t lse_stride, const int32_t *first, int64_t rows, int64_t columns, int64_t row0, int64_t column0,
             float scale, bool known) {
    for (int64_t row = 0; row < rows; ++row) {
        float *s = s_ + row * columns;
        int64_t from = first[row0 + row] - column0;
        int64_t to = row0 + row + 1 - column0;
        for (int64_t i = 0; i < from; ++i) s[i] = 0.0f;
        for (int64_t i = to; i < columns; ++i) s[i] = 0.0f;
        if (known) {
            float log_sum = lse[row * lse_stride];
#pragma omp simd
            for (int64_t i = from; i < to; ++i) s[i] = exponential(scale * s[i] - log_sum);
            continue;
        }
        float most = s[from];
#pragma omp simd reduction(max : most)
        for (int64_t i = from; i < to; ++i) most = s[i] > most ? s[i] : most;
        float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = from; i < to; ++i) {
            s[i] = exponential(scale * (s[i] - most));
            sum += s[i];
        }
        float share = 1.0f / sum;
#pragma omp simd
        for (int64_t i = from; i < to; ++i) s[i] *= share;
        if (lse) lse[row * lse_stride] = scale * most + std::log(sum);
    }
}

void softmax_backward(const float *p, float *dp, const float *delta, int64_t rows, int64_t columns, float scale) {
    for (int64_t row = 0; row < rows; ++row) {
        float own = delta[row];
#pragma omp simd
        for (int64_t i = row * columns; i < (row + 1) * columns; ++i) dp[i] = p[i] * (dp[i] - own) * scale;
    }
}

// The exponentials are computed twice where they are wanted again: in bf16 they could only be kept rounded.
template <class T>
void cross_entropy_of(void *logits, const int64_t *targets, float *loss, float *correct, int64_t begin, int64_t end, int64_t width, float scale) {
    for (int64_t row = begin; row < end; ++row) {
        auto l = static_cast<typename T::Stored *>(logits) + row * width;
        float target = T::load(l, targets[row]);
        float most = T::load(l, 0);
#pragma omp simd reduction(max : most)
        for (int64_t i = 0; i < width; ++i) most = T::load(l, i) > most ? T::load(l, i) : most;
        // The first of the largest counts, as argmax has it.
        int64_t best = 0;
        while (best < width && !(T::load(l, best) == most)) ++best;
        correct[row] = best == targets[row] ? 1.0f : 0.0f;
        float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < width; ++i) sum += exponential(T::load(l, i) - most);
        loss[row] = std::log(sum) + most - target;
        if (scale == 0.0f) continue;
        float share = scale / sum;
#pragma omp simd
        for (int64_t i = 0; i < width; ++i) T::store(l, i, exponential(T::load(l, i) - most) * share);
        T::store(l, targets[row], exponential(target - most) * share - scale);
    }
}

// Sums of pieces are added in fp64: a divergence is a small difference of them.
constexpr int64_t PIECE = 1024;

void divergence(const float *new_, float *old_, float *out, int64_t begin, int64_t end, int64_t width, float inverse, float scale) {
    for (int64_t row = begin; row < end; ++row) {
        const float *n = new_ + row * width;
        float *o = old_ + row * width;
        float most_n = n[0], most_o = o[0];
#pragma omp simd reduction(max : most_n, most_o)
        for (int64_t i = 0; i < width; ++i) {
            most_n = n[i] > most_n ? n[i] : most_n;
            most_o = o[i] > most_o ? o[i] : most_o;
        }
        // With a and b the logits from their maximum on, log p_old - log p_new is a - b and a number that is the same for all.
        double sum_n = 0.0, sum_o = 0.0, along = 0.0;
        for (int64_t start = 0; start < width; start += PIECE) {
            int64_t last = start + PIECE < width ? start + PIECE : width;
            float piece_n = 0.0f, piece_o = 0.0f, piece = 0.0f;
#pragma omp simd reduction(+ : piece_n, piece_o, piece)
            for (int64_t i = start; i < last; ++i) {
                float a = (o[i] - most_o) * inverse, b = (n[i] - most_n) * inverse;
                float p = exponential(a);
                piece_o += p;
                piece_n += exponential(b);
                piece += p * (a - b);
            }
            sum_n += piece_n;
            sum_o += piece_o;
            along += piece;
        }
        out[row] = static_cast<float>(along / sum_o + std::log(sum_n) - std::log(sum_o));
        float share_n = scale / static_cast<float>(sum_n), share_o = scale / static_cast<float>(sum_o);
#pragma omp simd
        for (int64_t i = 0; i < width; ++i)
            o[i] = exponential((n[i] - most_n) * inverse) * share_n - exponential((o[i] - most_o) * inverse) * share_o;
    }
}

#define TRAINYARD_BY_KIND(name, parameters, arguments)        \
    void name parameters {                                    \
        if (kind == BF16) {                                   \
            name##_of<Bf16> arguments;                        \
        } else {                                              \
            name##_of<Fp32> arguments;                        \
        }                                                     \
    }

TRAINYARD_BY_KIND(rms_norm,
                  (Kind kind, const void *x, const void *w, void *y, float *rstd, int64_t begin, int64_t end, int64_t width, float eps),
                  (x, w, y, rstd, begin, end, width, eps))
TRAINYARD_BY_KIND(rms_norm_backward,
                  (Kind kind, const void *dy, const void *x, const void *w, const float *rstd, void *dx, int64_t begin, int64_t end,
                   int64_t width),
                  (dy, x, w, rstd, dx, begin, end, width))
TRAINYARD_BY_KIND(rms_norm_weight,
                  (Kind kind, const void *dy, const void *x, const float *rstd, float *out, int64_t begin, int64_t end, int64_t size,
                   int64_t count, int64_t width),
                  (dy, x, rstd, out, begin, end, size, count, width))
TRAINYARD_BY_KIND(swiglu, (Kind kind, const void *gate_up, void *h, int64_t begin, int64_t end, int64_t width),
                  (gate_up, h, begin, end, width))
TRAINYARD_BY_KIND(swiglu_backward, (Kind kind, const void *dh, void *gate_up, int64_t begin, int64_t end, int64_t width),
                  (dh, gate_up, begin, end, width))
TRAINYARD_BY_KIND(rope,
                  (Kind kind, void *x, const float *cos, const float *sin, int64_t begin, int64_t end, int64_t stride, int64_t heads,
                   int64_t head, int64_t table_rows, bool inverse),
                  (x, cos, sin, begin, end, stride, heads, head, table_rows, inverse))
TRAINYARD_BY_KIND(cross_entropy,
                  (Kind kind, void *logits, const int64_t *targets, float *loss, float *correct, int64_t begin, int64_t end, int64_t width,
                   float scale),
                  (logits, targets, loss, correct, begin, end, width, scale))

}  // namespace

extern "C" const RowKernels TRAINYARD_ROWS = {rms_norm, rms_norm_backward, rms_norm_weight,  swiglu,       swiglu_backward,
                                              rope,     softmax,           softmax_backward, cross_entropy, divergence};

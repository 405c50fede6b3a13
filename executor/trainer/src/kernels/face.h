// What the functions that Rust calls share: errors, formats, the shape of an attention.
#pragma once

#include <ATen/ATen.h>

#include <cstring>
#include <string>

#include "kernels.h"

namespace {

// The loops for what the processor has.
struct Loops {
    const RowKernels &rows;
    const Packs &packs;
    const FlatKernels &flat;
};

inline const Loops &loops() {
    static const Loops best = []() -> Loops {
#if defined(__x86_64__)
        bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq");
        if (avx512) return {trainyard_rows_avx512, trainyard_packs_avx512, trainyard_flat_avx512};
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
            return {trainyard_rows_avx2, trainyard_packs_avx2, trainyard_flat_avx2};
#endif
        return {trainyard_rows_base, trainyard_packs_base, trainyard_flat_base};
    }();
    return best;
}

inline const RowKernels &rows() { return loops().rows; }

template <class F>
char *guarded(F &&body) {
    try {
        body();
        return nullptr;
    } catch (const c10::Error &error) {
        return strdup(error.what_without_backtrace());
    } catch (const std::exception &error) {
        return strdup(error.what());
    } catch (...) {
        return strdup("an unknown error");
    }
}

inline Kind kind_of(const at::Tensor &tensor) {
    TORCH_CHECK(tensor.is_cpu() && tensor.is_contiguous(), "a kernel needs dense memory of the processor");
    if (tensor.scalar_type() == at::kBFloat16) return BF16;
    TORCH_CHECK(tensor.scalar_type() == at::kFloat, "a kernel needs fp32 or bf16, not ", tensor.scalar_type());
    return FP32;
}

inline void same(Kind kind, std::initializer_list<const at::Tensor *> tensors) {
    for (const at::Tensor *tensor : tensors) TORCH_CHECK(kind_of(*tensor) == kind, "the formats of a kernel's tensors differ");
}

inline const float *floats(const at::Tensor &tensor) {
    TORCH_CHECK(kind_of(tensor) == FP32, "a kernel needs fp32 here");
    return tensor.const_data_ptr<float>();
}

inline float *floats(at::Tensor &tensor) {
    TORCH_CHECK(kind_of(tensor) == FP32, "a kernel needs fp32 here");
    return tensor.mutable_data_ptr<float>();
}

// Attention of packed rows: qkv (b * t, (heads + 2 * kv_heads) * head) and the first key that each position of a row sees (b * t).
struct Shape {
    int64_t batch, length, heads, kv_heads, head, stride;
    const int32_t *first;

    Shape(const at::Tensor &qkv, const at::Tensor &first_, int64_t length_, int64_t heads_, int64_t kv_heads_, int64_t head_)
        : batch(qkv.size(0) / length_), length(length_), heads(heads_), kv_heads(kv_heads_), head(head_), stride((heads_ + 2 * kv_heads_) * head_) {
        TORCH_CHECK(qkv.dim() == 2 && qkv.size(0) == batch * length && qkv.size(1) == stride, "queries, keys and values have an odd shape");
        TORCH_CHECK(first_.is_cpu() && first_.is_contiguous() && first_.scalar_type() == at::kInt && first_.numel() == batch * length,
                    "first keys have an odd shape");
        first = first_.const_data_ptr<int32_t>();
    }
    template <class T>
    T *q(T *qkv, int64_t b, int64_t h, int64_t row) const {
        return qkv + (b * length + row) * stride + h * head;
    }
    template <class T>
    T *k(T *qkv, int64_t b, int64_t g, int64_t row) const {
        return q(qkv, b, heads + g, row);
    }
    template <class T>
    T *v(T *qkv, int64_t b, int64_t g, int64_t row) const {
        return q(qkv, b, heads + kv_heads + g, row);
    }
    // The keys that rows [row, row + count) of sequence b see lie in [from, row + count).
    int64_t from(int64_t b, int64_t row, int64_t count) const {
        const int32_t *own = first + b * length;
        int64_t least = own[row];
        for (int64_t i = row + 1; i < row + count; ++i) least = std::min<int64_t>(least, own[i]);
        return least;
    }
};

}  // namespace

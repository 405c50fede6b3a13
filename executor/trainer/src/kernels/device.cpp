// What training on a device needs that torch-sys leaves out, by libtorch's own operators and interfaces: nothing of CUDA is compiled or linked,
// and everything is found once libtorch's CUDA half has been opened.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/CachingDeviceAllocator.h>

#include "face.h"

namespace {

// While it lives, operators add in one order: FlashAttention adds the gradients of queries as they come unless it is told not to, and a run that
// goes on from a checkpoint has to come to the same bits.
class InOrder {
    at::Context &context = at::globalContext();
    bool order = context.deterministicAlgorithms(), warns = context.deterministicAlgorithmsWarnOnly();
    bool fills = context.deterministicFillUninitializedMemory();

   public:
    InOrder() {
        context.setDeterministicAlgorithms(true, false);
        context.setDeterministicFillUninitializedMemory(false);
    }
    ~InOrder() {
        context.setDeterministicAlgorithms(order, warns);
        context.setDeterministicFillUninitializedMemory(fills);
    }
};

// Heads side by side in rows (n, columns), and the sequences that the rows are.
struct Packed {
    int64_t n, heads, kv_heads, head, longest, window;
    const at::Tensor &qkv, &bounds;

    Packed(const at::Tensor &qkv_, const at::Tensor &bounds_, int64_t longest_, int64_t window_, int64_t heads_, int64_t kv_heads_, int64_t head_)
        : n(qkv_.size(0)), heads(heads_), kv_heads(kv_heads_), head(head_), longest(longest_), window(window_), qkv(qkv_), bounds(bounds_) {
        TORCH_CHECK(qkv.is_cuda(), "FlashAttention needs a CUDA device, not ", qkv.device());
        TORCH_CHECK(qkv.dim() == 2 && qkv.size(1) == (heads + 2 * kv_heads) * head, "queries, keys and values have an odd shape");
        TORCH_CHECK(bounds.device() == qkv.device() && bounds.scalar_type() == at::kInt && bounds.dim() == 1 && bounds.size(0) >= 2,
                    "bounds of sequences have an odd shape");
    }
    // `count` heads from `start`, (n, count, head), where they lie.
    at::Tensor part(int64_t start, int64_t count) const { return qkv.narrow(1, start * head, count * head).view({n, count, head}); }
    at::Tensor q() const { return part(0, heads); }
    at::Tensor k() const { return part(heads, kv_heads); }
    at::Tensor v() const { return part(heads + kv_heads, kv_heads); }
    // Positions that a query sees before its own; all of them where it is negative.
    bool causal() const { return window <= 0; }
    int64_t left() const { return window > 0 ? window - 1 : -1; }
};

}  // namespace

extern "C" {

// Attention of sequences that lie one after another in the rows of qkv, from bounds[i] to bounds[i + 1], the longest of `longest` positions; a
// position sees those before it in its sequence, at most `window` with itself, or all where that is 0. `out` and `lse` become new tensors.
char *trainyard_flash_attention(const at::Tensor *qkv, const at::Tensor *bounds, at::Tensor *out, at::Tensor *lse, int64_t longest, int64_t window,
                                int64_t heads, int64_t kv_heads, int64_t head, double scale) {
    return guarded([&] {
        at::NoGradGuard no_grad;
        Packed p(*qkv, *bounds, longest, window, heads, kv_heads, head);
        auto results = at::_flash_attention_forward(p.q(), p.k(), p.v(), *bounds, *bounds, longest, longest, /*dropout_p=*/0.0, p.causal(),
                                                    /*return_debug_mask=*/false, scale, p.left(), /*window_size_right=*/0);
        *out = std::get<0>(results).reshape({p.n, heads * head});
        *lse = std::get<1>(results);
    });
}

// The gradient of it with respect to qkv, in `dqkv`.
char *trainyard_flash_attention_backward(const at::Tensor *dout, const at::Tensor *qkv, const at::Tensor *bounds, const at::Tensor *out,
                                         const at::Tensor *lse, at::Tensor *dqkv, int64_t longest, int64_t window, int64_t heads,
                                         int64_t kv_heads, int64_t head, double scale) {
    return guarded([&] {
        at::NoGradGuard no_grad;
        Packed p(*qkv, *bounds, longest, window, heads, kv_heads, head);
        // What dropout would have drawn: there is none.
        at::Tensor drawn = at::empty({2}, qkv->options().dtype(at::kUInt64)), unused = at::empty({0}, qkv->options());
        InOrder in_order;
        auto grads = at::_flash_attention_backward(dout->view({p.n, heads, head}), p.q(), p.k(), p.v(), out->view({p.n, heads, head}), *lse,
                                                   *bounds, *bounds, longest, longest, /*dropout_p=*/0.0, p.causal(), drawn, unused, scale,
                                                   p.left(), /*window_size_right=*/0);
        *dqkv = at::cat({std::get<0>(grads).reshape({p.n, -1}), std::get<1>(grads).reshape({p.n, -1}), std::get<2>(grads).reshape({p.n, -1})}, 1);
    });
}

// The gradient of RMSNorm at x for dy, in the format of x; w gets none.
char *trainyard_fused_rms_norm_backward(const at::Tensor *dy, const at::Tensor *x, const at::Tensor *w, const at::Tensor *rstd, at::Tensor *dx) {
    return guarded([&] {
        at::NoGradGuard no_grad;
        TORCH_CHECK(x->is_cuda(), "libtorch's fused gradient of RMSNorm needs a CUDA device, not ", x->device());
        *dx = std::get<0>(at::_fused_rms_norm_backward(*dy, *x, w->sizes(), *rstd, *w, {true, false}));
    });
}

// `x` of the processor as `y` on a CUDA device, by way of pinned memory: the copy waits its turn there, and nobody waits for it here.
char *trainyard_send(const at::Tensor *x, at::Tensor *y, int64_t device) {
    return guarded([&] {
        at::Device target(at::kCUDA, static_cast<c10::DeviceIndex>(device));
        *y = x->pin_memory().to(target, x->scalar_type(), /*non_blocking=*/true);
    });
}

// Factors of dropout, drawn where `mask` is: 1 / keep with probability `keep`, else 0. The same for the same seed on the same kind of device.
char *trainyard_dropout(at::Tensor *mask, int64_t seed, double keep) {
    return guarded([&] {
        at::Device device = mask->device();
        at::Generator generator = device.is_cpu()
                                      ? at::make_generator<at::CPUGeneratorImpl>()
                                      : at::globalContext().getAcceleratorHooksInterface(device.type()).getNewGenerator(device.index());
        generator.set_current_seed(static_cast<uint64_t>(seed));
        mask->bernoulli_(keep, generator).mul_(1.0 / keep);
    });
}

// What libtorch's allocator holds of a CUDA device, what it keeps for reuse included, and the most that tensors took at once.
char *trainyard_cuda_memory(int64_t device, int64_t *held, int64_t *peak) {
    return guarded([&] {
        at::DeviceAllocator *allocator = dynamic_cast<at::DeviceAllocator *>(c10::GetAllocator(c10::kCUDA));
        TORCH_CHECK(allocator, "libtorch has no statistics of CUDA's memory");
        c10::CachingDeviceAllocator::DeviceStats stats = allocator->getDeviceStats(static_cast<c10::DeviceIndex>(device));
        constexpr auto ALL = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
        *held = stats.reserved_bytes[ALL].current;
        *peak = stats.allocated_bytes[ALL].peak;
    });
}

}  // extern "C"

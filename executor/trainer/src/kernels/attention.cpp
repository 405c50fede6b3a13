// Attention in fp32 and in bf16: tiles of query rows over the keys that they see, scores computed again in the backward pass.
//
// Sums, softmax and log sums are in fp32; in bf16 it is queries, keys, values, probabilities and their gradients that are rounded where they
// are multiplied, as in FlashAttention (arXiv 2205.14135).
//
// Shapes of products are few, whatever the lengths: rows go in tiles of one size, keys in blocks, and what is not there is zero. So
// oneDNN, which libtorch carries, makes code for few shapes.
#include <ATen/Parallel.h>
#include <ATen/native/CPUBlas.h>

#include <sys/mman.h>

#include <algorithm>
#include <mutex>
#include <set>
#include <tuple>
#include <vector>

#include "face.h"

namespace {

using at::native::cpublas::brgemm;

// Query rows of a tile: probabilities over 512 keys and their gradients fit the second-level cache.
constexpr int64_t TILE = 64;

// Keys of a block: so many that a row has 32 blocks at most, which bounds the shapes of products.
int64_t block_of(int64_t length) {
    int64_t block = 32;
    while (32 * block < length) block *= 2;
    return block;
}

int64_t up(int64_t value, int64_t block) { return (value + block - 1) / block * block; }

// A row with its last block whole.
int64_t padded(const Shape &s) { return up(s.length, block_of(s.length)); }

size_t count(int64_t a, int64_t b) { return static_cast<size_t>(a * b); }

using Floats = std::vector<float>;

// c (m, n) = a (m, k) b (k, n), or added to c; b is a second factor.
void product(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb, float *c, int64_t ldc, bool add) {
    brgemm(m, n, k, lda, ldb, ldc, add, a, b, c, false);
}

void product(int64_t m, int64_t n, int64_t k, const uint16_t *a, int64_t lda, const uint16_t *b, int64_t ldb, float *c, int64_t ldc, bool add) {
    brgemm(m, n, k, lda, ldb, ldc, add, reinterpret_cast<const at::BFloat16 *>(a), reinterpret_cast<const at::BFloat16 *>(b), c, true);
}

// A format of queries, keys and values, and what is multiplied of probabilities in it.
template <class T>
struct Format;

template <>
struct Format<float> {
    // Elements of a second factor's row that lie side by side.
    static constexpr int64_t PAIR = 1;
    static const PackKernels<float> &packs() { return loops().packs.wide; }
    // fp32 is multiplied as it is.
    struct Factors {
        explicit Factors(int64_t) {}
        const float *first(const float *p, int64_t) { return p; }
        const float *second(const float *p, int64_t) { return p; }
        void both(const float *, int64_t) {}
        const float *first_of_both(const float *p) { return p; }
        const float *second_of_both(const float *p) { return p; }
    };
};

template <>
struct Format<uint16_t> {
    static constexpr int64_t PAIR = 2;
    static const PackKernels<uint16_t> &packs() { return loops().packs.narrow; }
    // Rounded as a first or a second factor of a product.
    struct Factors {
        std::vector<uint16_t> as_first, as_second;
        explicit Factors(int64_t length) : as_first(count(TILE, length)), as_second(count(TILE, length)) {}
        const uint16_t *first(const float *p, int64_t keys) {
            loops().packs.round(p, as_first.data(), nullptr, TILE, keys);
            return as_first.data();
        }
        const uint16_t *second(const float *p, int64_t keys) {
            loops().packs.round(p, nullptr, as_second.data(), TILE, keys);
            return as_second.data();
        }
        void both(const float *p, int64_t keys) { loops().packs.round(p, as_first.data(), as_second.data(), TILE, keys); }
        const uint16_t *first_of_both(const float *) { return as_first.data(); }
        const uint16_t *second_of_both(const float *) { return as_second.data(); }
    };
};

// Addresses that nothing else gets, for code that is made later: oneDNN ends the process where it finds no room for the code of a product, and
// once memory has run out nothing is given back. Nothing is ever written there, so it takes no memory.
class Reserve {
    // What oneDNN asks for a product's code; products of a length with as many keys, forward and backward; lengths' blocks at most.
    static constexpr size_t CODE_BYTES = 256 << 10, PRODUCTS = 5, BLOCKS = 32;
    // By how much less is asked for where there is not room for all.
    static constexpr size_t STEP_BYTES = 1 << 20;
    using Key = std::tuple<Kind, int64_t, int64_t, bool>;
    std::mutex lock;
    std::set<Key> known;
    void *held = nullptr;
    size_t bytes = 0;

    static void *taken(size_t bytes) {
        void *room = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        return room == MAP_FAILED ? nullptr : room;
    }
    static size_t wanted(int64_t blocks) { return CODE_BYTES * PRODUCTS * static_cast<size_t>(blocks) * static_cast<size_t>(at::get_num_threads()); }

    void hold() {
        for (bytes = wanted(BLOCKS); bytes >= STEP_BYTES; bytes -= STEP_BYTES) {
            if ((held = taken(bytes))) return;
        }
    }

   public:
    static Reserve &own() {
        static Reserve reserve;
        return reserve;
    }
    // Runs `compute`, with the reserve given up for it where code for its shape may have to be made.
    template <class F>
    void around(Kind kind, const Shape &s, bool backward, F &&compute) {
        std::unique_lock<std::mutex> guard(lock);
        Key key(kind, s.length, s.head, backward);
        if (known.count(key)) {
            guard.unlock();
            return compute();
        }
        size_t needed = wanted(padded(s) / block_of(s.length));
        if (!held) hold();
        TORCH_CHECK(held && bytes >= needed, "can't allocate memory: the code of an attention over ", s.length, " positions may take ", needed, " bytes");
        munmap(held, bytes);
        held = nullptr;
        try {
            compute();
        } catch (...) {
            hold();
            throw;
        }
        known.insert(key);
        hold();
    }
};

// The query rows of one tile and the keys that they see.
struct Tile {
    int64_t row, rows, from, keys;

    Tile(const Shape &s, int64_t b, int64_t row_) : row(row_), rows(std::min(TILE, s.length - row_)) {
        int64_t block = block_of(s.length);
        from = s.from(b, row, rows) / block * block;
        keys = up(row + rows, block) - from;
    }
};

// Probabilities of a tile, (TILE, keys): rows beyond the last are zero.
void probabilities(const Shape &s, int64_t b, int64_t h, const Tile &tile, float *p, float *lse, float scale, bool known) {
    rows().softmax(p, lse + (b * s.length + tile.row) * s.heads + h, s.heads, s.first + b * s.length, tile.rows, tile.keys, tile.row, tile.from,
                   scale, known);
    std::fill(p + tile.rows * tile.keys, p + TILE * tile.keys, 0.0f);
}

template <class T>
void attend(const Shape &s, const T *qkv, T *out, float *lse, float scale) {
    const PackKernels<T> &packs = Format<T>::packs();
    int64_t d = s.head, width = s.heads * d, length = padded(s);
    at::parallel_for(0, s.batch * s.heads, 1, [&](int64_t begin, int64_t end) {
        std::vector<T> kt(count(d, length)), v(count(length, d)), q(count(TILE, d));
        typename Format<T>::Factors factors(length);
        Floats p(count(TILE, length)), o(count(TILE, d));
        for (int64_t task = begin; task < end; ++task) {
            int64_t b = task / s.heads, h = task % s.heads, g = h / (s.heads / s.kv_heads);
            packs.second_transposed(s.k(qkv, b, g, 0), s.stride, s.length, kt.data(), d, length);
            packs.second(s.v(qkv, b, g, 0), s.stride, s.length, v.data(), length, d);
            for (int64_t row = 0; row < s.length; row += TILE) {
                Tile tile(s, b, row);
                int64_t keys = tile.keys, from = tile.from;
                packs.first(s.q(qkv, b, h, row), s.stride, tile.rows, q.data(), nullptr, TILE, d);
                product(TILE, keys, d, q.data(), d, kt.data() + Format<T>::PAIR * from, length, p.data(), keys, false);
                probabilities(s, b, h, tile, p.data(), lse, scale, false);
                product(TILE, d, keys, factors.first(p.data(), keys), keys, v.data() + from * d, d, o.data(), d, false);
                packs.rows(o.data(), out + (b * s.length + row) * width + h * d, width, tile.rows, d);
            }
        }
        at::native::cpublas::brgemm_release();
    });
}

// Scores are computed again from the log sums. The gradients of keys and values are summed transposed, over every query head of their group: so
// probabilities are the second factor.
template <class T>
void attend_backward(const Shape &s, const T *dout, const T *qkv, const T *out, float *lse, T *dqkv, float scale) {
    const PackKernels<T> &packs = Format<T>::packs();
    constexpr int64_t PAIR = Format<T>::PAIR;
    int64_t d = s.head, width = s.heads * d, group = s.heads / s.kv_heads, length = padded(s);
    at::parallel_for(0, s.batch * s.kv_heads, 1, [&](int64_t begin, int64_t end) {
        std::vector<T> kt(count(d, length)), vt(kt.size()), k(kt.size());
        std::vector<T> q(count(TILE, d)), qt(q.size()), grad(q.size()), grad_t(q.size());
        typename Format<T>::Factors factors(length);
        Floats p(count(TILE, length)), dp(p.size()), dq(count(TILE, d)), delta(TILE, 0.0f), dkt(count(d, length)), dvt(dkt.size());
        for (int64_t task = begin; task < end; ++task) {
            int64_t b = task / s.kv_heads, g = task % s.kv_heads;
            packs.second_transposed(s.k(qkv, b, g, 0), s.stride, s.length, kt.data(), d, length);
            packs.second_transposed(s.v(qkv, b, g, 0), s.stride, s.length, vt.data(), d, length);
            packs.second(s.k(qkv, b, g, 0), s.stride, s.length, k.data(), length, d);
            std::fill(dkt.begin(), dkt.end(), 0.0f);
            std::fill(dvt.begin(), dvt.end(), 0.0f);
            for (int64_t h = g * group; h < (g + 1) * group; ++h) {
                for (int64_t row = 0; row < s.length; row += TILE) {
                    Tile tile(s, b, row);
                    int64_t keys = tile.keys, from = tile.from, place = (b * s.length + row) * width + h * d;
                    packs.first(s.q(qkv, b, h, row), s.stride, tile.rows, q.data(), qt.data(), TILE, d);
                    packs.first(dout + place, width, tile.rows, grad.data(), grad_t.data(), TILE, d);
                    product(TILE, keys, d, q.data(), d, kt.data() + PAIR * from, length, p.data(), keys, false);
                    probabilities(s, b, h, tile, p.data(), lse, scale, true);
                    product(d, keys, TILE, grad_t.data(), TILE, factors.second(p.data(), keys), keys, dvt.data() + from, length, true);
                    product(TILE, keys, d, grad.data(), d, vt.data() + PAIR * from, length, dp.data(), keys, false);
                    packs.row_dots(grad.data(), d, out + place, width, delta.data(), tile.rows, d);
                    rows().softmax_backward(p.data(), dp.data(), delta.data(), TILE, keys, scale);
                    factors.both(dp.data(), keys);
                    product(TILE, d, keys, factors.first_of_both(dp.data()), keys, k.data() + from * d, d, dq.data(), d, false);
                    packs.rows(dq.data(), s.q(dqkv, b, h, row), s.stride, tile.rows, d);
                    product(d, keys, TILE, qt.data(), TILE, factors.second_of_both(dp.data()), keys, dkt.data() + from, length, true);
                }
            }
            packs.transposed_rows(dkt.data(), length, s.k(dqkv, b, g, 0), s.stride, d, s.length);
            packs.transposed_rows(dvt.data(), length, s.v(dqkv, b, g, 0), s.stride, d, s.length);
        }
        at::native::cpublas::brgemm_release();
    });
}

}  // namespace

extern "C" {

// Whether libtorch's oneDNN multiplies paired bf16 matrices here. It is tried: what libtorch says of itself is yes only with AMX.
int trainyard_has_narrow_products() {
    constexpr int64_t SIZE = 32;
    try {
        // Ones with small whole numbers: exact in every order of sums.
        std::vector<uint16_t> ones(count(SIZE, SIZE), 0x3f80), numbers(ones.size()), paired(ones.size());
        for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = i / SIZE % 2 ? 0x4000 : 0x3f80;
        loops().packs.narrow.second(numbers.data(), SIZE, SIZE, paired.data(), SIZE, SIZE);
        Floats sums(ones.size());
        product(SIZE, SIZE, SIZE, ones.data(), SIZE, paired.data(), SIZE, sums.data(), SIZE, false);
        at::native::cpublas::brgemm_release();
        return std::all_of(sums.begin(), sums.end(), [](float sum) { return sum == 1.5f * SIZE; }) ? 1 : 0;
    } catch (...) {
        return 0;
    }
}

char *trainyard_attention(const at::Tensor *qkv, const at::Tensor *first, at::Tensor *out, at::Tensor *lse, int64_t length, int64_t heads,
                          int64_t kv_heads, int64_t head, double scale) {
    return guarded([&] {
        Shape shape(*qkv, *first, length, heads, kv_heads, head);
        Kind kind = kind_of(*qkv);
        same(kind, {out});
        TORCH_CHECK(out->numel() == qkv->size(0) * heads * head && lse->numel() == qkv->size(0) * heads, "an attention's shapes differ");
        TORCH_CHECK(kind == FP32 || head % 2 == 0, "attention in bf16 needs heads of an even width, not ", head);
        Reserve::own().around(kind, shape, false, [&] {
            if (kind == FP32) {
                attend<float>(shape, floats(*qkv), floats(*out), floats(*lse), static_cast<float>(scale));
            } else {
                attend<uint16_t>(shape, static_cast<const uint16_t *>(qkv->const_data_ptr()), static_cast<uint16_t *>(out->mutable_data_ptr()),
                                 floats(*lse), static_cast<float>(scale));
            }
        });
    });
}

char *trainyard_attention_backward(const at::Tensor *dout, const at::Tensor *qkv, const at::Tensor *first, const at::Tensor *out,
                                   at::Tensor *lse, at::Tensor *dqkv, int64_t length, int64_t heads, int64_t kv_heads, int64_t head,
                                   double scale) {
    return guarded([&] {
        Shape shape(*qkv, *first, length, heads, kv_heads, head);
        Kind kind = kind_of(*qkv);
        same(kind, {dout, out, dqkv});
        TORCH_CHECK(out->numel() == qkv->size(0) * heads * head && dout->numel() == out->numel() && lse->numel() == qkv->size(0) * heads &&
                        dqkv->numel() == qkv->numel(),
                    "an attention's shapes differ");
        TORCH_CHECK(kind == FP32 || head % 2 == 0, "attention in bf16 needs heads of an even width, not ", head);
        auto of = [](const at::Tensor *tensor) { return static_cast<const uint16_t *>(tensor->const_data_ptr()); };
        Reserve::own().around(kind, shape, true, [&] {
            if (kind == FP32) {
                attend_backward<float>(shape, floats(*dout), floats(*qkv), floats(*out), floats(*lse), floats(*dqkv),
                                       static_cast<float>(scale));
            } else {
                attend_backward<uint16_t>(shape, of(dout), of(qkv), of(out), floats(*lse), static_cast<uint16_t *>(dqkv->mutable_data_ptr()),
                                          static_cast<float>(scale));
            }
        });
    });
}

}  // extern "C"

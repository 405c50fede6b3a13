// Bf16 numbers as the upper halves of fp32 ones.
#pragma once

#include <cstdint>
#include <cstring>

namespace {

inline float from_bits(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

inline uint32_t to_bits(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

inline float widen(uint16_t half) { return from_bits(static_cast<uint32_t>(half) << 16); }

// To nearest, ties to even; what is no number stays none.
inline uint16_t narrow(float value) {
    uint32_t bits = to_bits(value);
    uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    return static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : rounded);
}

}  // namespace

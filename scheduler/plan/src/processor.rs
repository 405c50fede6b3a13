//! What a processor multiplies fastest.

/// Whether a processor that Linux describes so (`/proc/cpuinfo`) multiplies bf16 matrices faster than fp32 ones. AVX512-BF16 of Intel's multiplies no more numbers in a cycle than its fp32 instructions, and
/// libtorch's products by it take twice the time (Emerald Rapids without AMX, a model's shapes: 152 GFLOP/s against 279): there AMX decides.
pub fn fast_bf16(cpuinfo: &str) -> bool {
    let value = |names: &[&str]| {
        let mut pairs = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        pairs.find(|(name, _)| names.contains(&name.trim())).map_or("", |(_, value)| value.trim())
    };
    let fast: &[&str] = match value(&["vendor_id"]) {
        "GenuineIntel" => &["amx_bf16"],
        _ => &["avx512_bf16", "amx_bf16", "bf16", "svebf16"],
    };
    value(&["flags", "Features"]).split_whitespace().any(|flag| fast.contains(&flag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_was_measured() {
        let x86 = |vendor: &str, flags: &str| {
            format!("processor\t: 0\nvendor_id\t: {vendor}\nflags\t\t: fpu {flags}\n")
        };
        assert!(fast_bf16(&x86("AuthenticAMD", "avx512f avx512_bf16")), "474 tokens/s of 247");
        assert!(fast_bf16(&x86("GenuineIntel", "avx512_bf16 amx_bf16 amx_tile")));
        assert!(!fast_bf16(&x86("GenuineIntel", "avx512f avx512_bf16 avx512_fp16")));
        assert!(!fast_bf16(&x86("AuthenticAMD", "avx2 fma")));
        assert!(fast_bf16("processor\t: 0\nFeatures\t: fp asimd bf16 i8mm\n"), "Arm");
        assert!(!fast_bf16(""));
    }
}

//! Every supported architecture gives transformers' logits (tolerance and reasons: `gen/models.py`).

use crate::golden;

fn check(name: &str) {
    let model = golden::model(name);
    let expected = format!("models/{name}/expected.safetensors");
    let input_ids = golden::tensor(&expected, "input_ids");
    let logits = model.logits(&golden::batch(&input_ids, &input_ids)).unwrap();
    let difference = golden::max_difference(&logits, &golden::tensor(&expected, "logits"));
    assert!(difference < 1e-4, "{name}: logits differ by {difference}");
}

macro_rules! models {
    ($($test:ident: $name:literal,)*) => {$(
        #[test]
        fn $test() {
            check($name);
        }
    )*};
}

models! {
    llama: "llama",
    llama_tied: "llama-tied",
    llama_bias: "llama-bias",
    llama_rope3: "llama-rope3",
    llama_linear: "llama-linear",
    llama_dynamic: "llama-dynamic",
    llama_yarn: "llama-yarn",
    mistral: "mistral",
    qwen2: "qwen2",
    qwen2_window: "qwen2-window",
    qwen3: "qwen3",
    llama_v4_dialect_bf16_sharded: "llama-v4-bf16-sharded",
}

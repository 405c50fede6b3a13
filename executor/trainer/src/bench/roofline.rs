//! The least time of a `LoRA` step on this machine: each of its matrix products at the best rate that libtorch reaches at that very
//! shape, and nothing else.
//!
//! No sum of elements, no memory traffic between products, no optimizer: a bound that no step reaches. Attention counts the half of
//! its products that causality leaves, of which a softmax and the gradients of one are left out; beside it stands the bound with libtorch's own
//! operator in its place, forward and backward, which whoever builds on libtorch meets.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use crate::arch::config::ModelConfig;
use crate::cli::BenchArgs;
use crate::device;
use crate::error::Result;
use crate::nn::compute::Compute;
use crate::objective::cross_entropy::chunk_rows;

/// How long a shape is tried, after a warm-up.
const TRY_FOR: Duration = Duration::from_millis(300);
/// How often at least.
const TRIES_MIN: u32 = 3;

/// Matrix products of one shape in a step: (m, k) times (k, n), `count` times.
struct Products {
    part: &'static str,
    m: i64,
    n: i64,
    k: i64,
    count: f64,
}

/// Measures the shapes of a step, each with its rate, and the tokens a second of all together: in the format that products are computed in, and
/// in that of weights and activations, where it is another.
///
/// # Errors
/// As loading and libtorch report.
pub fn bench_roofline(args: &BenchArgs) -> Result<Value> {
    let device = device::named(args.device)?;
    device::set_threads(Some(args.threads));
    let config = ModelConfig::read(&args.model.join("config.json"))?;
    let compute = Compute::new(device, args.precision.kind());
    let _no_grad = tch::no_grad_guard();
    let chunk = chunk_rows(config.vocab_size, device);
    let products = products(&config, args, chunk);
    let mut formats = vec![compute.product_format(), compute.kind];
    formats.dedup();
    let bounds = formats.into_iter().map(|format| {
        let attention = attention_seconds(&config, args, format, device)?;
        bound(&products, attention, args, format, device)
    });
    Ok(json!({ "bounds": bounds.collect::<Result<Vec<_>>>()? }))
}

/// What all products together take in `format`, by themselves and with `attention` seconds in place of attention's.
fn bound(
    products: &[Products],
    attention: f64,
    args: &BenchArgs,
    format: Kind,
    device: Device,
) -> Result<Value> {
    let (mut seconds, mut operations, mut of_attention) = (0.0, 0.0, 0.0);
    let mut rows = Vec::new();
    for products in products {
        let once = best_seconds(products, format, device)?;
        let work = 2.0 * products.m as f64 * products.n as f64 * products.k as f64;
        seconds += once * products.count;
        operations += work * products.count;
        if products.part.starts_with("attention") {
            of_attention += once * products.count;
        }
        rows.push(json!({
            "part": products.part,
            "shape": [products.m, products.k, products.n],
            "count": products.count,
            "gflop_per_second": work / once / 1e9,
            "seconds": once * products.count,
        }));
    }
    let tokens = (args.batch * args.length) as f64;
    Ok(json!({
        "tokens_per_second": tokens / seconds,
        "seconds": seconds,
        "tflop": operations / 1e12,
        "gflop_per_second": operations / seconds / 1e9,
        "format": format!("{format:?}"),
        "products": rows,
        "libtorch_attention": {
            "seconds": attention,
            "tokens_per_second": tokens / (seconds - of_attention + attention),
        },
    }))
}

/// The products of forward and backward pass with an adapter on every linear layer and a target at every position, `chunk` of which go through
/// the head at a time.
fn products(config: &ModelConfig, args: &BenchArgs, chunk: i64) -> Vec<Products> {
    let (n, r, layers) = (args.batch * args.length, args.rank, config.layers as f64);
    let (d, f, k) = (config.hidden_size, config.intermediate_size, config.head_dim);
    let (q, kv) = (config.heads * k, config.kv_heads * k);
    let mut all = Vec::new();
    let mut add = |part, m, n, k, count| all.push(Products { part, m, n, k, count });
    for (out, inputs) in [(q + 2 * kv, d), (d, q), (2 * f, d), (d, f)] {
        add("base, forward", n, out, inputs, layers);
        add("base, backward", n, inputs, out, layers);
    }
    for (out, inputs, count) in [(q, d, 1.0), (kv, d, 2.0), (d, q, 1.0), (f, d, 2.0), (d, f, 1.0)] {
        add("adapter, x A^T and g A", n, r, inputs, count * layers);
        add("adapter, g A", n, inputs, r, count * layers);
        add("adapter, x A^T B^T", n, out, r, count * layers);
        add("adapter, dy B", n, r, out, count * layers);
        add("adapter, dB", out, r, n, count * layers);
        add("adapter, dA", r, inputs, n, count * layers);
    }
    // Half of the scores: forward two products, backward five.
    let heads = (args.batch * config.heads) as f64 * layers;
    add("attention, scores", args.length, args.length, k, 0.5 * 3.0 * heads);
    add("attention, values", args.length, k, args.length, 0.5 * 4.0 * heads);
    let chunk = n.min(chunk);
    let chunks = (n / chunk) as f64;
    add("head, forward", chunk, config.vocab_size, d, chunks);
    add("head, backward", chunk, d, config.vocab_size, chunks);
    all
}

/// The shortest time of one product.
fn best_seconds(of: &Products, kind: Kind, device: Device) -> Result<f64> {
    // The second factor lies transposed in memory, as weights do.
    let a = random(&[of.m, of.k], kind, device)?;
    let b = random(&[of.n, of.k], kind, device)?.f_transpose(0, 1)?;
    let out = Tensor::f_empty([of.m, of.n], (kind, device))?;
    shortest(device, || {
        let _ = a.f_mm_out(&out, &b)?;
        Ok(())
    })
}

/// The shortest time of libtorch's causal attention in a step, forward and backward pass of all layers.
fn attention_seconds(
    config: &ModelConfig,
    args: &BenchArgs,
    kind: Kind,
    device: Device,
) -> Result<f64> {
    let of_heads = |heads| -> Result<Tensor> {
        let tensor = random(&[args.batch, heads, args.length, config.head_dim], kind, device)?;
        Ok(tensor.f_set_requires_grad(true)?)
    };
    let (q, k, v) =
        (of_heads(config.heads)?, of_heads(config.kv_heads)?, of_heads(config.kv_heads)?);
    let once = tch::with_grad(|| {
        shortest(device, || {
            let none = None::<&Tensor>;
            let out =
                Tensor::f_scaled_dot_product_attention(&q, &k, &v, none, 0.0, true, None, true)?;
            Tensor::f_run_backward(&[out], &[&q, &k, &v], false, false)?;
            Ok(())
        })
    })?;
    Ok(once * config.layers as f64)
}

fn random(shape: &[i64], kind: Kind, device: Device) -> Result<Tensor> {
    Ok(Tensor::f_rand(shape, (Kind::Float, device))?.f_to_kind(kind)?)
}

/// The shortest time of `work`, of many after the first.
fn shortest(device: Device, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    work()?;
    let (begun, mut best, mut tries) = (Instant::now(), f64::INFINITY, 0);
    while begun.elapsed() < TRY_FOR || tries < TRIES_MIN {
        let start = Instant::now();
        work()?;
        device::finish(device);
        best = best.min(start.elapsed().as_secs_f64());
        tries += 1;
    }
    Ok(best)
}

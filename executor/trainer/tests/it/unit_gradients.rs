//! Gradients of units side by side equal those of a backward pass of each unit alone.

use tch::{Device, Kind, Tensor};
use trainyard_trainer::arch::{CausalLm, ModelBatch, StepOptions};
use trainyard_trainer::privacy::ghost::Written;
use trainyard_trainer::privacy::gradients::UnitGradients;

use crate::gradients::{adapted, ids};
use crate::methods::trained;
use crate::{full, golden};

/// Tokens of three rows.
const LENGTHS: [i64; 3] = [12, 7, 3];

/// Rows of `lengths` tokens, padded to the longest, and their tokens and labels.
fn padded(lengths: &[i64]) -> (ModelBatch, [Tensor; 2]) {
    let longest = *lengths.iter().max().unwrap();
    let ids = ids(lengths.len() as i64, longest, 4);
    let labels = ids.copy();
    for (row, length) in lengths.iter().enumerate() {
        let _ = labels.get(row as i64).narrow(0, *length, longest - length).fill_(-100);
    }
    (golden::batch(&ids, &labels), [ids, labels])
}

fn row([ids, labels]: &[Tensor; 2], row: i64, length: i64) -> ModelBatch {
    let cut = |tensor: &Tensor| tensor.narrow(0, row, 1).narrow(1, 0, length);
    golden::batch(&cut(ids), &cut(labels))
}

/// The gradient of one batch, its rows summed.
fn summed(model: &CausalLm, batch: &ModelBatch, scale: f64) -> Tensor {
    let mut parameters = model.parameters().share();
    parameters.clear_gradients().unwrap();
    model.accumulate_gradients(batch, scale, &StepOptions::default()).unwrap();
    let gradient = parameters.gradients.copy();
    parameters.clear_gradients().unwrap();
    gradient
}

/// Room for the gradients of `units` units, in the format that the trainer keeps them in.
fn room(model: &CausalLm, units: i64) -> UnitGradients {
    let parameters = model.parameters();
    let format = (parameters.computed().kind(), Device::Cpu);
    UnitGradients::new(units, parameters.blocks(), format).unwrap()
}

/// The gradient of unit `unit` of `units` in the room.
fn of_unit(room: &UnitGradients, unit: i64, units: i64, count: i64) -> Tensor {
    let mut sum = Tensor::zeros([count], (Kind::Float, Device::Cpu));
    let factors: Vec<Vec<f64>> =
        (0..units).map(|other| vec![f64::from(u8::from(other == unit))]).collect();
    room.add_to(&mut sum, &factors, std::slice::from_ref(&(0..count))).unwrap();
    sum
}

/// The gradients of `units` units whose rows are `of_rows`, with these weights.
fn side_by_side(
    model: &CausalLm,
    batch: &ModelBatch,
    (of_rows, weights): (&[i64], &[f32]),
    gradient_checkpointing: bool,
) -> Vec<Tensor> {
    let units = of_rows.iter().max().unwrap() + 1;
    let count = model.parameters().count();
    let room = room(model, units);
    let options = StepOptions {
        gradient_checkpointing,
        units: Some((room.rows(of_rows.to_vec()).unwrap(), weights.to_vec())),
        ..StepOptions::default()
    };
    model.accumulate_gradients(batch, 1.0, &options).unwrap();
    let own = &model.parameters().gradients;
    assert_eq!(own.abs().max().double_value(&[]), 0.0, "the sum got some of it too");
    (0..units).map(|unit| of_unit(&room, unit, units, count)).collect()
}

fn assert_equal(seen: &Tensor, expected: &Tensor, what: &str) {
    let size = expected.abs().max().double_value(&[]);
    let difference = golden::max_difference(seen, expected);
    assert!(size > 0.0 && difference < 1e-5 * size.max(1.0), "{what}: {difference} of {size}");
}

/// The gradient of each of the three rows by itself.
fn by_themselves(model: &CausalLm, rows: &[Tensor; 2]) -> Vec<Tensor> {
    (0..3).map(|at| summed(model, &row(rows, at, LENGTHS[at as usize]), 0.25)).collect()
}

/// The gradients of three rows by themselves, which are those that they have side by side.
fn assert_as_alone(model: &CausalLm, name: &str) -> Vec<Tensor> {
    let (batch, rows) = padded(&LENGTHS);
    let alone = by_themselves(model, &rows);
    for checkpointing in [false, true] {
        let units = side_by_side(model, &batch, (&[0, 1, 2], &[0.25; 3]), checkpointing);
        for (unit, (seen, expected)) in units.iter().zip(&alone).enumerate() {
            let what = format!("{name}, unit {unit}, again {checkpointing}");
            assert_equal(seen, expected, &what);
        }
    }
    alone
}

/// Every layer that takes an adapter, with biases, norms on heads, windows, tied and untied heads.
#[test]
fn each_unit_has_the_gradient_of_its_own_backward_pass() {
    for name in ["llama", "mistral", "qwen2", "qwen3"] {
        for plain in [false, true] {
            let mut model = adapted(name, 0.0);
            if plain {
                model.set_plain();
            }
            assert_as_alone(&model, &format!("{name}, plain {plain}"));
        }
    }
}

/// Every layer there is: linear ones with and without bias, norms, norms on heads, embedding, heads tied and untied; parameter by parameter.
#[test]
fn each_unit_has_its_gradient_of_every_weight() {
    let (batch, rows) = padded(&LENGTHS);
    // The norm on keys sums terms that cancel: 1.4e-5 there, below 1e-5 elsewhere. Of bf16 numbers sums round in other places (pieces of the
    // vocabulary, rows and their padding; a processor without products of them widens): 4.5e-2 in the bias of keys, which softmax would not see
    // without the rotation. A row in another unit's place would be off by about 1.
    for (kind, tolerance) in [(Kind::Float, 2e-5), (Kind::BFloat16, 1e-1)] {
        for name in full::MODELS {
            for plain in [false, true] {
                let mut model = full::model(name, kind);
                if plain {
                    model.set_plain();
                }
                let alone = by_themselves(&model, &rows);
                let units = side_by_side(&model, &batch, (&[0, 1, 2], &[0.25; 3]), plain);
                for (unit, (seen, expected)) in units.iter().zip(&alone).enumerate() {
                    let named = |flat: &Tensor| model.parameters().named_in(flat).unwrap();
                    for ((parameter, seen), (_, expected)) in
                        named(seen).iter().zip(named(expected))
                    {
                        let off = full::off(seen, &expected);
                        assert!(
                            off < tolerance,
                            "{name}, {parameter}, unit {unit}, {kind:?}: {off}"
                        );
                    }
                }
            }
        }
    }
}

/// The norm that a unit is cut by is that of what is added, to the last digit of fp64 sums.
#[test]
fn norms_are_of_what_is_added() {
    for kind in [Kind::Float, Kind::BFloat16] {
        let ((batch, _), model) = (padded(&[9, 5]), full::model("llama-tied", kind));
        let count = model.parameters().count();
        let room = room(&model, 2);
        let options = StepOptions {
            units: Some((room.rows(vec![0, 1]).unwrap(), vec![1.0, 0.5])),
            ..StepOptions::default()
        };
        model.accumulate_gradients(&batch, 1.0, &options).unwrap();
        let norms = room.norms(2, std::slice::from_ref(&(0..count))).unwrap();
        for (unit, seen) in norms.iter().enumerate() {
            let sum = of_unit(&room, unit as i64, 2, count);
            let norm = sum.to_kind(Kind::Double).norm().double_value(&[]);
            assert!((seen[0] / norm - 1.0).abs() < 1e-12, "{} {norm}", seen[0]);
        }
    }
}

/// Gradients that are not written down are those that would be, of units of one row and of several, with a head of its own and one that is the
/// embedding; and no norm is below that of what is added, nor more than rounding calls for above it.
#[test]
fn gradients_that_are_not_written_are_the_same() {
    let (batch, rows) = padded(&LENGTHS);
    for (kind, tolerance, above) in [(Kind::Float, 2e-5, 1e-3), (Kind::BFloat16, 1e-1, 1e-2)] {
        for name in full::MODELS {
            let model = full::model(name, kind);
            let count = model.parameters().count();
            let alone = by_themselves(&model, &rows);
            let mut room = room(&model, 3);
            let whole = std::slice::from_ref(&(0..count)).to_vec();
            for (of_rows, expected) in [
                ([0, 1, 2], vec![alone[0].copy(), alone[1].copy(), alone[2].copy()]),
                ([1, 0, 1], vec![alone[1].copy(), &alone[0] + &alone[2]]),
            ] {
                let units = expected.len() as i64;
                room.clear(units, Written::Never);
                let options = StepOptions {
                    units: Some((room.rows(of_rows.to_vec()).unwrap(), vec![0.25; 3])),
                    ..StepOptions::default()
                };
                model.accumulate_gradients(&batch, 1.0, &options).unwrap();
                let norms = room.norms(units, &whole).unwrap();
                for (unit, expected) in expected.iter().enumerate() {
                    let seen = of_unit(&room, unit as i64, units, count);
                    let norm = seen.to_kind(Kind::Double).norm().double_value(&[]);
                    let over = norms[unit][0] / norm - 1.0;
                    let what = format!("{name}, {kind:?}, rows of {of_rows:?}, unit {unit}");
                    assert!((0.0..above).contains(&over), "{what}: norm off by {over}");
                    let named = |flat: &Tensor| model.parameters().named_in(flat).unwrap();
                    for ((parameter, seen), (_, expected)) in
                        named(&seen).iter().zip(named(expected))
                    {
                        let off = full::off(seen, &expected);
                        assert!(off < tolerance, "{what}, {parameter}: {off}");
                    }
                }
            }
        }
    }
}

/// A unit whose gradient is not finite is seen, and gone when it is left out.
#[test]
fn what_is_not_written_can_be_left_out() {
    let ((batch, rows), model) = (padded(&[9, 5]), full::model("llama-tied", Kind::Float));
    let count = model.parameters().count();
    let mut room = room(&model, 2);
    room.clear(2, Written::Never);
    let options = StepOptions {
        units: Some((room.rows(vec![0, 1]).unwrap(), vec![1.0, f32::INFINITY])),
        ..StepOptions::default()
    };
    model.accumulate_gradients(&batch, 1.0, &options).unwrap();
    let norms = room.norms(2, std::slice::from_ref(&(0..count))).unwrap();
    assert!(norms[0][0].is_finite() && !norms[1][0].is_finite(), "{norms:?}");
    room.leave_out(1).unwrap();
    assert_equal(
        &of_unit(&room, 0, 2, count),
        &summed(&model, &row(&rows, 0, 9), 1.0),
        "the other one alone",
    );
}

/// Factors, virtual tokens, keys and values before the sequence, and a head.
#[test]
fn each_unit_has_its_gradient_of_every_method() {
    let (batch, _) = padded(&LENGTHS);
    for name in [
        "ia3-llama-bias",
        "ia3-qwen2",
        "prompt-llama",
        "prompt-mistral",
        "prefix-llama",
        "prefix-mistral",
        "head-llama",
    ] {
        for plain in [false, true] {
            let mut model = trained(name);
            if plain {
                model.set_plain();
            }
            let alone = assert_as_alone(&model, &format!("{name}, plain {plain}"));
            let units = side_by_side(&model, &batch, (&[1, 0, 1], &[0.25, 0.25, 0.25]), false);
            assert_equal(&units[0], &alone[1], &format!("{name}, one row"));
            assert_equal(&units[1], &(&alone[0] + &alone[2]), &format!("{name}, two rows apart"));
        }
    }
}

#[test]
fn a_unit_of_several_rows_is_their_weighted_sum() {
    let ((batch, rows), model) = (padded(&LENGTHS), adapted("llama", 0.0));
    let alone =
        |at: i64, weight: f64| summed(&model, &row(&rows, at, LENGTHS[at as usize]), weight);
    let units = side_by_side(&model, &batch, (&[1, 0, 1], &[0.5, 1.0, 0.125]), false);
    assert_equal(&units[0], &alone(1, 1.0), "one row");
    assert_equal(&units[1], &(alone(0, 0.5) + alone(2, 0.125)), "two rows apart");

    let model = full::model("llama-tied", Kind::Float);
    let alone =
        |at: i64, weight: f64| summed(&model, &row(&rows, at, LENGTHS[at as usize]), weight);
    let units = side_by_side(&model, &batch, (&[1, 0, 1], &[0.5, 1.0, 0.125]), false);
    assert_equal(&units[0], &alone(1, 1.0), "one row of all weights");
    assert_equal(&units[1], &(alone(0, 0.5) + alone(2, 0.125)), "two rows of all weights");
}

#[test]
fn norms_are_those_of_the_parts_and_what_is_left_out_is_gone() {
    let ((batch, rows), model) = (padded(&[9, 5]), adapted("llama", 0.0));
    let (count, layers) = (model.parameters().count(), model.parameters().layers());
    assert_eq!((layers[0].start, layers.last().unwrap().end), (0, count));
    let mut room = room(&model, 2);
    let options = StepOptions {
        units: Some((room.rows(vec![0, 1]).unwrap(), vec![1.0, f32::INFINITY])),
        ..StepOptions::default()
    };
    model.accumulate_gradients(&batch, 1.0, &options).unwrap();
    let alone = summed(&model, &row(&rows, 0, 9), 1.0);
    let whole = room.norms(2, std::slice::from_ref(&(0..count))).unwrap();
    assert!((whole[0][0] / alone.norm().double_value(&[]) - 1.0).abs() < 1e-5, "{whole:?}");
    assert!(!whole[1][0].is_finite());
    let by_layer = room.norms(2, &layers).unwrap();
    let squares: f64 = by_layer[0].iter().map(|norm| norm * norm).sum();
    assert!((squares.sqrt() / whole[0][0] - 1.0).abs() < 1e-6);

    room.leave_out(1).unwrap();
    let mut sum = Tensor::zeros([count], (Kind::Float, Device::Cpu));
    room.add_to(&mut sum, &[vec![0.5], vec![0.0]], std::slice::from_ref(&(0..count))).unwrap();
    assert_equal(&sum, &(alone * 0.5), "the other one alone");
    let factors: Vec<f64> =
        (0..layers.len()).map(|layer| f64::from(u8::from(layer == 1))).collect();
    let mut of_layer = Tensor::zeros([count], (Kind::Float, Device::Cpu));
    room.add_to(&mut of_layer, &[factors], &layers).unwrap();
    let inside = of_layer.narrow(0, layers[1].start, layers[1].end - layers[1].start);
    assert!(inside.norm().double_value(&[]) > 0.0);
    assert_eq!(of_layer.norm().double_value(&[]), inside.norm().double_value(&[]));
}

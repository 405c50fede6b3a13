//! What a run of stages tells and writes, and that its matrix is what its checkpoints score.

use serde_json::{Value, json};
use tch::Device;
use trainyard_plan::trainer::TrainerEvent;
use trainyard_trainer::arch::CausalLm;
use trainyard_trainer::arch::config::ModelConfig;
use trainyard_trainer::artifact::manifest;
use trainyard_trainer::data::{ChatTokenizer, Dataset, DatasetOptions};
use trainyard_trainer::eval::evaluate;
use trainyard_trainer::peft::lora::LoraSettings;
use trainyard_trainer::rng::Rng;
use trainyard_trainer::train::control::Control;
use trainyard_trainer::weights::safetensors::SafetensorsSource;

use super::{Job, STAGES, checkpoint, done, matrix, place, result};
use crate::trainer::{Place, names, tiny_model};

#[test]
fn stages_are_told_measured_and_written_down() {
    let place = place();
    let ended = done(&place, &Job::new(json!([])), "out");
    let stages: Vec<_> = ended
        .events
        .iter()
        .filter_map(|event| match event {
            TrainerEvent::StageBegan(progress) => Some(format!(
                "{} {}/{} {}+{}",
                progress.name, progress.stage, progress.stages, progress.first_step, progress.steps
            )),
            TrainerEvent::StageEnded { name, kept: true, .. } => Some(format!("{name} kept")),
            TrainerEvent::Checkpoint(written) => {
                written.stage.as_ref().map(|stage| format!("{stage} saved at {}", written.step))
            }
            _ => None,
        })
        .collect();
    let expected = [
        "sums 1/3 0+6",
        "sums kept",
        "sums saved at 6",
        "colours 2/3 6+6",
        "colours kept",
        "colours saved at 12",
        "letters 3/3 12+6",
        "letters kept",
        "letters saved at 18",
    ];
    assert_eq!(stages, expected);
    assert_eq!(ended.steps(), (1..=18).collect::<Vec<_>>());
    // Two are to be kept; the ends of stages are, whatever is kept beside them.
    assert_eq!(
        place.checkpoints("out"),
        ["step-000006", "step-000009", "step-000012", "step-000015", "step-000018"]
    );
    let files = names(&place.path("out/adapter"));
    for name in ["forgetting.csv", "forgetting.svg", "continual.json", "continual.safetensors"] {
        assert!(files.iter().any(|file| file == name), "no {name} in {files:?}");
    }
    manifest::verify(&place.path("out/adapter")).unwrap();
    let csv = String::from_utf8(place.read("out/adapter/forgetting.csv")).unwrap();
    assert_eq!(csv.lines().next().unwrap(), "row,after,outcome,sums,colours,letters,held_out");
    assert_eq!(csv.lines().count(), 5);
    let card = String::from_utf8(place.read("out/adapter/README.md")).unwrap();
    assert!(card.contains("| after | sums | colours | letters | held out |"), "{card}");
    // Rates begin anew with each stage.
    let rates: Vec<f64> = ended
        .events
        .iter()
        .filter_map(|event| match event {
            TrainerEvent::Step(step) => Some(step.learning_rate),
            _ => None,
        })
        .collect();
    assert_eq!(rates[..6], rates[6..12]);
}

/// The loss on a file with the adapter in a checkpoint, computed here.
fn scored(place: &Place, directory: Option<std::path::PathBuf>, file: &str) -> f64 {
    let dir = tiny_model();
    let config = ModelConfig::read(&dir.join("config.json")).unwrap();
    let source = SafetensorsSource::open_dir(&dir).unwrap();
    let mut model = CausalLm::load(&source, &config, Device::Cpu, tch::Kind::Float).unwrap();
    if let Some(directory) = directory {
        let json = std::fs::read(directory.join("adapter_config.json")).unwrap();
        let json: Value = serde_json::from_slice(&json).unwrap();
        let settings = LoraSettings {
            rank: json["r"].as_i64().unwrap(),
            alpha: json["lora_alpha"].as_f64().unwrap(),
            dropout: 0.0,
            target_modules: trainyard_openapi::extension::TargetModules::AllLinear,
            rslora: json["use_rslora"].as_bool().unwrap(),
        };
        model.attach_lora(&settings, &mut Rng::new(1, 1)).unwrap();
        let weights = directory.join("adapter_model.safetensors");
        model.load_adapter(&SafetensorsSource::open_file(&weights).unwrap()).unwrap();
    }
    let tokenizer = ChatTokenizer::load(&dir, &config).unwrap();
    let options = DatasetOptions {
        max_length: 1024,
        overlong: trainyard_openapi::extension::Overlong::Truncate,
        vocab_size: config.vocab_size,
        threads: 1,
        user_field: None,
    };
    let known = ("validation_file", file);
    let (dataset, _) =
        Dataset::load(&place.path(file), known, &tokenizer, &options, &|| Ok(())).unwrap();
    let control = Control::default();
    let stats = evaluate(&model, &dataset, 8, tokenizer.pad_token_id, &control, || Ok(())).unwrap();
    stats.unwrap().mean_loss()
}

#[test]
fn the_matrix_is_what_the_checkpoints_of_stages_score() {
    for strategies in [
        json!([]),
        json!([{"type": "ema", "decay": 0.5}]),
        json!([{"type": "merge", "weights": [1.0, 0.5, 2.0]}]),
        json!([{"type": "o_lora"}]),
    ] {
        let place = place();
        let ended = done(&place, &Job::new(strategies.clone()), "out");
        let told = result(&ended);
        let loss = matrix(&told, "loss");
        assert_eq!((loss.stages.clone(), loss.rows.len()), (STAGES.map(String::from).to_vec(), 3));
        let close = |seen: f64, again: f64| {
            assert!((seen / again - 1.0).abs() < 1e-5, "{strategies}: {seen} {again}");
        };
        for (column, stage) in STAGES.iter().enumerate() {
            let file = format!("{stage}.valid.jsonl");
            close(loss.base.stages[column], scored(&place, None, &file));
            for (row, end) in [6, 12, 18].into_iter().enumerate() {
                let seen = loss.rows[row].stages[column];
                close(seen, scored(&place, Some(checkpoint(&place, "out", end)), &file));
            }
            let adapter = place.path("out/adapter");
            close(loss.rows[2].stages[column], scored(&place, Some(adapter), &file));
        }
        let general = scored(&place, Some(checkpoint(&place, "out", 12)), "general.jsonl");
        close(loss.rows[1].held_out.unwrap(), general);
        let perplexity = matrix(&told, "perplexity");
        close(perplexity.rows[2].stages[1], loss.rows[2].stages[1].exp());
    }
}

#[test]
fn stages_are_trained_in_the_order_that_is_asked_for() {
    let place = place();
    let order = |order: &str| {
        let ended = done(&place, &Job::new(json!([])).with("order", json!(order)), order);
        let told = result(&ended);
        (told.stages.iter().map(|stage| stage.name.clone()).collect::<Vec<_>>(), told)
    };
    let (easiest, told) = order("easiest_first");
    let loss = matrix(&told, "loss");
    assert_eq!(loss.stages, easiest);
    assert!(loss.base.stages.windows(2).all(|pair| pair[0] <= pair[1]), "{:?}", loss.base.stages);
    let (hardest, _) = order("hardest_first");
    assert_eq!(hardest, easiest.iter().rev().cloned().collect::<Vec<_>>());
    let (mut shuffled, _) = order("shuffled");
    shuffled.sort();
    assert_eq!(shuffled, ["colours", "letters", "sums"]);
}

#[test]
fn all_stages_at_once_are_one_row() {
    let place = place();
    let ended = done(&place, &Job::new(json!([{"type": "joint"}])), "out");
    let told = result(&ended);
    assert_eq!((told.stages.len(), told.stages[0].name.as_str()), (1, "joint"));
    let loss = matrix(&told, "loss");
    assert_eq!((loss.stages.len(), loss.rows.len()), (3, 1));
    assert_eq!(loss.after, ["joint"]);
    let csv = String::from_utf8(place.read("out/adapter/forgetting.csv")).unwrap();
    assert!(csv.contains("\r\n1,joint,kept,"), "{csv}");
    let mean = loss.rows[0].stages.iter().sum::<f64>() / 3.0;
    assert!((loss.average.unwrap() + mean).abs() < 1e-12, "{loss:?}");
    assert_eq!(ended.steps().len(), 18, "72 lines, two passes, 8 a step");
}

/// An adapter whose rank has grown is an ordinary one for PEFT: the same loss there, to what fp32 gives.
#[test]
fn peft_loads_what_was_put_together() {
    let python =
        std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/python");
    for (strategy, rank) in [("merge", 12), ("o_lora", 12)] {
        let place = place();
        let job = Job::new(json!([{ "type": strategy }]))
            .changed(json!({"adapter": {"rank": 4, "alpha": 8.0, "rslora": true}}));
        let ended = done(&place, &job, "out");
        let script = "import sys, json, torch\nfrom transformers import AutoModelForCausalLM\nfrom peft import PeftModel\n\
            base = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)\n\
            model = PeftModel.from_pretrained(base, sys.argv[2]).eval()\n\
            ids = torch.tensor([[5, 9, 30, 12, 7, 3, 44, 21]])\n\
            with torch.no_grad():\n    loss = model(input_ids=ids, labels=ids).loss.item()\n\
            print(json.dumps([loss, model.peft_config['default'].r]))";
        let said = std::process::Command::new(&python)
            .args(["-c", script])
            .arg(tiny_model())
            .arg(place.path("out/adapter"))
            .output()
            .unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        let seen: Value = serde_json::from_slice(&said.stdout).unwrap();
        assert_eq!(seen[1], rank, "{:?}", ended.code);
        let dir = tiny_model();
        let config = ModelConfig::read(&dir.join("config.json")).unwrap();
        let source = SafetensorsSource::open_dir(&dir).unwrap();
        let mut model = CausalLm::load(&source, &config, Device::Cpu, tch::Kind::Float).unwrap();
        let json: Value =
            serde_json::from_slice(&place.read("out/adapter/adapter_config.json")).unwrap();
        let settings = LoraSettings {
            rank,
            alpha: json["lora_alpha"].as_f64().unwrap(),
            dropout: 0.0,
            target_modules: trainyard_openapi::extension::TargetModules::AllLinear,
            rslora: json["use_rslora"].as_bool().unwrap(),
        };
        model.attach_lora(&settings, &mut Rng::new(1, 1)).unwrap();
        let weights = place.path("out/adapter/adapter_model.safetensors");
        model.load_adapter(&SafetensorsSource::open_file(&weights).unwrap()).unwrap();
        let ids = tch::Tensor::from_slice(&[5_i64, 9, 30, 12, 7, 3, 44, 21]).view([1, 8]);
        let own = model.evaluate(&crate::golden::batch(&ids, &ids)).unwrap().mean_loss();
        let loss = seen[0].as_f64().unwrap();
        assert!((own / loss - 1.0).abs() < 1e-4, "{strategy}: {own} here, {loss} in PEFT");
    }
}

//! The command line of `trainyard-trainer`.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Trains one job with files alone: no server, no network.
#[derive(Debug, Parser)]
#[command(name = "trainyard-trainer", version, about, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 a fault of machine or engine; 2 the request or its data cannot be trained; \
75 stopped after a checkpoint, run again to go on; 130 cancelled.";

const RUN_EXAMPLES: &str = r#"Examples:
  trainyard-trainer run spec.json --out out
  trainyard-trainer run spec.json --out out --resume never --threads 4

spec.json is the body of POST /v1/fine_tuning/jobs with paths, seen from the file, in place of ids:
  {"model": "models/smollm2-135m", "training_file": "train.jsonl", "validation_file": "valid.jsonl",
   "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3}}},
   "trainyard": {"adapter": {"rank": 16}}}

Events go to standard output, a JSON object a line. The adapter appears in OUT/adapter, checkpoints in OUT/checkpoints."#;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a job.
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArgs),
    /// Look at the files of a run and train nothing: tokens, bad lines, steps. Prints one JSON object.
    Inspect(InspectArgs),
    /// Write a GGUF file as a Hugging Face directory that this trainer, transformers and PEFT load.
    #[command(
        after_help = "Example:\n  trainyard-trainer import SmolLM2-135M-Instruct.Q4_1.gguf --out models/smollm2-135m"
    )]
    Import(ImportArgs),
    /// Measure the speed and memory of a training step.
    #[command(
        after_help = "Example:\n  trainyard-trainer bench-step --model models/smollm2-135m --precision bf16 --threads 2"
    )]
    BenchStep(BenchStepArgs),
    /// Measure what a training step could cost at best: its matrix products alone.
    #[command(
        after_help = "Example:\n  trainyard-trainer bench-roofline --model models/smollm2-135m --precision fp32 --threads 2"
    )]
    BenchRoofline(BenchArgs),
}

/// Settings of `run`.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// A create request with paths in place of ids.
    #[arg(required_unless_present = "plan", conflicts_with = "plan")]
    pub spec: Option<PathBuf>,
    /// A resolved run, as the agent writes it.
    #[arg(long)]
    pub plan: Option<PathBuf>,
    /// Where everything is written.
    #[arg(long)]
    pub out: PathBuf,
    /// Where to go on: `auto` (the newest complete checkpoint in OUT), `never`, or a checkpoint directory.
    #[arg(long, default_value = "auto")]
    pub resume: String,
    /// Threads of matrix products [default: one a physical core]. A resume with another number differs in the last bits.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
    /// Take commands from here, as NDJSON; the end of the input ends the run.
    #[arg(long)]
    pub control: Option<ControlSource>,
    /// Say nothing to people on standard error.
    #[arg(long, short)]
    pub quiet: bool,
}

/// Settings of `inspect`.
#[derive(Debug, clap::Args)]
pub struct InspectArgs {
    /// A resolved run, as the agent writes it.
    #[arg(long)]
    pub plan: PathBuf,
    /// Threads of tokenizing and of matrix products [default: one a physical core].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
}

/// Where commands come from.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ControlSource {
    /// Standard input.
    Stdin,
}

/// Settings of `import`.
#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// The GGUF file.
    pub gguf: PathBuf,
    /// The directory to make; it must not exist.
    #[arg(long)]
    pub out: PathBuf,
    /// The format of the written weights.
    #[arg(long, default_value = "bf16")]
    pub precision: StepPrecision,
}

/// Settings of `bench-roofline`, and most of `bench-step`'s.
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    /// A model directory.
    #[arg(long)]
    pub model: PathBuf,
    /// Rows of the batch.
    #[arg(long, default_value_t = 4)]
    pub batch: i64,
    /// Tokens of a row.
    #[arg(long, default_value_t = 512)]
    pub length: i64,
    /// Rank of the LoRA on all linear layers.
    #[arg(long, default_value_t = 16)]
    pub rank: i64,
    /// Number format of base and activations.
    #[arg(long, default_value = "bf16")]
    pub precision: StepPrecision,
    /// Threads of matrix products.
    #[arg(long, default_value_t = 2)]
    pub threads: u32,
    /// Where; a CUDA device if there is one, where absent.
    #[arg(long)]
    pub device: Option<DeviceName>,
}

/// Settings of `bench-step`.
#[derive(Debug, clap::Args)]
pub struct BenchStepArgs {
    /// What is computed.
    #[command(flatten)]
    pub shape: BenchArgs,
    /// Compute activations again in the backward pass.
    #[arg(long)]
    pub gradient_checkpointing: bool,
    /// Use libtorch's operators alone, without the kernels of this program.
    #[arg(long)]
    pub plain: bool,
    /// Train all weights instead of a LoRA.
    #[arg(long)]
    pub full: bool,
    /// Take private steps: each row a unit, its gradient cut, noise on their sum.
    #[arg(long)]
    pub private: bool,
    /// Steps to time, after one that is not.
    #[arg(long, default_value_t = 5)]
    pub steps: usize,
    /// Instead of --steps a step for each line of standard input; how many seconds each took is said on standard output, the first one's too.
    #[arg(long)]
    pub turns: bool,
    /// Token ids as JSON, a list of rows; random where absent.
    #[arg(long)]
    pub tokens: Option<PathBuf>,
}

/// Devices of the tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeviceName {
    /// The processor.
    Cpu,
    /// The first CUDA device.
    Cuda,
}

/// Number formats of the tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StepPrecision {
    /// 32-bit floats.
    Fp32,
    /// Brain floats.
    Bf16,
}

impl StepPrecision {
    /// As libtorch names it.
    pub fn kind(self) -> tch::Kind {
        match self {
            Self::Fp32 => tch::Kind::Float,
            Self::Bf16 => tch::Kind::BFloat16,
        }
    }
}

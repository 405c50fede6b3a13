//! The result file of a job: a CSV with one row a step, and what each column means.
//!
//! OpenAI leaves its columns undefined; these are ours, under its names.

/// A column of the result file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// The header.
    pub name: &'static str,
    /// Exactly what it holds. Cells are empty where nothing was measured at that step.
    pub meaning: &'static str,
}

/// The columns in order.
pub const COLUMNS: &[Column] = &[
    Column {
        name: "step",
        meaning: "Optimizer steps done after this row's update, from 1. Row 0 holds what was measured before the first.",
    },
    Column {
        name: "epoch",
        meaning: "Passes over the training file begun so far, as a fraction: 1.5 is half-way through the second.",
    },
    Column {
        name: "train_loss",
        meaning: "Sum of the negative log-likelihood (nats, natural logarithm, fp32) of every target token of the step's effective batch, before the update, divided by the number of target tokens. A target token is one whose label is trained on: with chat data the assistant's content and its end-of-turn token.",
    },
    Column {
        name: "train_mean_token_accuracy",
        meaning: "Share of the same target tokens to which the model gave the highest probability.",
    },
    Column {
        name: "valid_loss",
        meaning: "The same loss over the whole validation file with the adapter after this step, dropout off; empty where no evaluation was due.",
    },
    Column {
        name: "valid_mean_token_accuracy",
        meaning: "The same share over the whole validation file.",
    },
    Column {
        name: "full_valid_loss",
        meaning: "valid_loss of the final evaluation, with the adapter that is handed back.",
    },
    Column {
        name: "full_valid_mean_token_accuracy",
        meaning: "valid_mean_token_accuracy of the same.",
    },
    Column { name: "learning_rate", meaning: "The rate used for this step's update." },
    Column {
        name: "grad_norm",
        meaning: "Global L2 norm of the gradient of the adapter's parameters before clipping.",
    },
    Column {
        name: "tokens",
        meaning: "Tokens that went through the model up to and with this step, padding not counted.",
    },
];

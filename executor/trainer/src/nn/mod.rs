//! Layers. Each file is a formula, its parameters, `forward` and `backward`.
//!
//! Gradients are written out rather than recorded: a layer keeps just what its backward pass needs, and computes the cheap rest again.
//!
//! Shapes in names: n = b t rows of all sequences, b rows of the batch, t positions, d width of the residual stream, h heads, k width
//! of a head, f width of the MLP, v vocabulary.

pub mod attention;
pub mod compute;
pub mod context;
pub mod linear;
pub mod norm;
pub mod rescaled;
pub mod rope;
pub mod swiglu;

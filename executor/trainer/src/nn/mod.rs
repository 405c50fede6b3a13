//! Layers. Each file is a formula, its parameters, and `forward`.
//!
//! Shapes in names: b rows, t positions, d width of the residual stream, h heads, k width of a head, v vocabulary.

pub mod attention;
pub mod linear;
pub mod norm;
pub mod rope;

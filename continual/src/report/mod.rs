//! The forgetting matrix for people: as CSV and as a picture.

mod colour;
mod csv;
mod heat_map;
mod text;

pub use csv::csv;
pub use heat_map::heat_map;

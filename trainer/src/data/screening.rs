//! Searches of `eda` and `split` for duplicates, leakage and confounders.

pub mod confounders;
pub mod duplicates;
pub mod leakage;
pub mod survey;

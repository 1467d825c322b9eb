//! Screening of the data for duplicates, leakage and confounders, by `eda` and `split`.

pub mod confounders;
pub mod duplicates;
pub mod leakage;
pub mod survey;

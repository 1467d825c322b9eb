//! From a folder of radiographs to training batches: index, folds by patient, pixels, augmentation, loader.

pub mod augment;
pub mod cache;
pub mod census;
pub mod columns;
pub mod count;
mod defects;
pub mod eda;
pub mod entry;
pub mod folds;
pub mod groups;
pub mod guess;
pub mod index;
pub mod ledger;
pub mod loader;
pub mod loose;
pub mod parallel;
pub mod patient;
pub mod pixels;
pub mod readable;
pub mod recipe;
pub(crate) mod scan;
pub mod screening;
pub mod split;
pub(crate) mod table;

//! From a folder of radiographs to batches: index, patient-grouped folds, decoded pixels, augmentation, loading.

pub mod augment;
pub mod cache;
pub mod folds;
pub mod groups;
pub mod index;
pub mod loader;
pub mod parallel;
pub mod patient;
pub mod pixels;
pub mod readable;

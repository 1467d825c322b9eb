//! Gates: how many images a figure needs before it is shown.

/// Images for a share of images.
pub const SHARE: u64 = 30;
/// Images of the class for sensitivity and specificity.
pub const OF_CLASS: u64 = 50;
/// Labels for the calibration error, of both classes.
pub const CALIBRATION: u64 = 300;
/// Labels of each class for the area under the ROC curve.
pub const AUC_PER_CLASS: u64 = 30;
/// Local labels of each class before they correct the probabilities.
pub const RECALIBRATION_PER_CLASS: u64 = 50;
/// Local labels of each class before images are weighted by their embedding.
pub const REWEIGHTING_PER_CLASS: u64 = 200;

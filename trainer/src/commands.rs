//! The commands: one file each, from arguments to a call of the library.

pub(crate) mod calibrate;
pub(crate) mod consistency;
pub(crate) mod evaluate;
pub(crate) mod export;
pub(crate) mod recalibrate;
pub(crate) mod robustness;
pub(crate) mod run;
pub(crate) mod shared;
pub(crate) mod train;
pub(crate) mod tune;

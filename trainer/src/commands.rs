//! One file for each command that is more than a call of the library.

pub(crate) mod benchmark;
pub(crate) mod consistency;
pub(crate) mod evaluate;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod init;
pub(crate) mod options;
pub(crate) mod recalibrate;
pub(crate) mod register;
pub(crate) mod release;
pub(crate) mod report;
pub(crate) mod robustness;
pub(crate) mod run;
pub(crate) mod track;
pub(crate) mod tune;
pub(crate) mod verify;

//! `cxr-trainer init`.

use anyhow::Result;
use clap::Args;
use cxr_trainer::init::answers::Answers;
use cxr_trainer::init::init;
use cxr_trainer::init::questions::Questions;
use std::io::IsTerminal;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Folder of radiographs: train|val|test / CLASS, CLASS, or any folders with a table that has labels.
    folder: PathBuf,
    /// Configuration file to write.
    #[arg(long, default_value = "cxr.yaml")]
    out: PathBuf,
    /// Replaces an existing file.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    answers: Answers,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let input = std::io::stdin();
    let is_terminal = input.is_terminal();
    let mut lines = input.lock();
    let mut questions = Questions::new(&mut lines, is_terminal);
    init(&arguments.folder, &arguments.out, arguments.replace, &arguments.answers, &mut questions)
}

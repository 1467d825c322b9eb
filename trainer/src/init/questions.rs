//! Questions and their answers: on a terminal one after the other, from a file or a pipe line by line, until there are no more lines.

use crate::progress::say;
use anyhow::{Context, Result, ensure};
use std::io::BufRead;

/// Who answers.
pub struct Questions<'a> {
    input: &'a mut dyn BufRead,
    /// Whether a person answers, who can be asked again.
    is_terminal: bool,
    /// Options that would have answered what nobody did.
    missing: Vec<String>,
}

impl<'a> Questions<'a> {
    /// Questions that these lines answer.
    pub fn new(input: &'a mut dyn BufRead, is_terminal: bool) -> Self {
        Self { input, is_terminal, missing: Vec::new() }
    }

    /// An answer that must be there. `suggestion` is what an empty line means.
    pub(super) fn required<T>(
        &mut self,
        option: &str,
        question: &str,
        suggestion: Option<&str>,
        parse: impl Fn(&str) -> Result<T>,
    ) -> Result<Option<T>> {
        let shown = suggestion.map_or_else(String::new, |suggestion| format!(" [{suggestion}]"));
        while let Some(line) = self.line(&format!("{question}{shown}"))? {
            let answer = if line.is_empty() { suggestion.unwrap_or_default() } else { &line };
            let parsed =
                if answer.is_empty() { Err(anyhow::anyhow!("an answer is needed")) } else { parse(answer) };
            match parsed {
                Ok(value) => return Ok(Some(value)),
                Err(error) if self.is_terminal => say(format!("{error:#}")),
                Err(_) if answer.is_empty() => break,
                Err(error) => return Err(error).with_context(|| format!("{question} {answer:?}")),
            }
        }
        self.missing.push(option.to_owned());
        Ok(None)
    }

    /// An answer that may be missing: an empty line is none.
    pub(super) fn optional<T>(
        &mut self,
        question: &str,
        parse: impl Fn(&str) -> Result<T>,
    ) -> Result<Option<T>> {
        while let Some(line) = self.line(&format!("{question} [not stated]"))? {
            if line.is_empty() {
                return Ok(None);
            }
            match parse(&line) {
                Ok(value) => return Ok(Some(value)),
                Err(error) if self.is_terminal => say(format!("{error:#}")),
                Err(error) => return Err(error).with_context(|| format!("{question} {line:?}")),
            }
        }
        Ok(None)
    }

    /// Refuses to go on without what had to be answered.
    pub(super) fn check(&self) -> Result<()> {
        ensure!(
            self.missing.is_empty(),
            "not answered: {}. Give these options, or start `cxr-trainer init` on a terminal and answer there",
            self.missing.join(", ")
        );
        Ok(())
    }

    /// The next line of the answers without its ends; none where there are no more, and then nothing is asked either.
    fn line(&mut self, question: &str) -> Result<Option<String>> {
        if !self.is_terminal && self.input.fill_buf()?.is_empty() {
            return Ok(None);
        }
        say(question);
        let mut line = String::new();
        let n = self.input.read_line(&mut line).context("the answer cannot be read")?;
        Ok((n > 0).then(|| line.trim().to_owned()))
    }
}

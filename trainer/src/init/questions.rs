//! Asks questions on a terminal, or reads one answer per line from a file or a pipe.

use crate::progress::say;
use anyhow::{Context, Result, ensure};
use std::io::BufRead;

pub struct Questions<'a> {
    input: &'a mut dyn BufRead,
    /// Whether to ask again after an invalid answer.
    is_terminal: bool,
    missing: Vec<String>,
}

impl<'a> Questions<'a> {
    pub fn new(input: &'a mut dyn BufRead, is_terminal: bool) -> Self {
        Self { input, is_terminal, missing: Vec::new() }
    }

    /// `suggestion` is the answer for an empty line. Without an answer, `option` is reported by [`check`](Self::check).
    pub(super) fn required<T>(
        &mut self,
        given: Option<T>,
        option: &str,
        question: &str,
        suggestion: Option<&str>,
        parse: impl Fn(&str) -> Result<T>,
    ) -> Result<Option<T>> {
        if given.is_some() {
            return Ok(given);
        }
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

    /// An empty line is no answer.
    pub(super) fn optional<T>(
        &mut self,
        given: Option<T>,
        question: &str,
        parse: impl Fn(&str) -> Result<T>,
    ) -> Result<Option<T>> {
        if given.is_some() {
            return Ok(given);
        }
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

    pub(super) fn check(&self) -> Result<()> {
        ensure!(
            self.missing.is_empty(),
            "missing answers: {}. Pass these options, or run `cxr-trainer init` on a terminal and answer there",
            self.missing.join(", ")
        );
        Ok(())
    }

    /// Prints the question and reads a trimmed line; at the end of the input it does neither.
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

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

    /// `suggestion` is the answer for an empty line; [`check`](Self::check) reports unanswered options.
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
        let answer = self.ask(&format!("{question}{shown}"), suggestion.unwrap_or_default(), |answer| {
            ensure!(!answer.is_empty(), "an answer is needed");
            parse(answer)
        })?;
        if answer.is_none() {
            self.missing.push(option.to_owned());
        }
        Ok(answer)
    }

    /// An empty line leaves the question unanswered.
    pub(super) fn optional<T>(
        &mut self,
        given: Option<T>,
        question: &str,
        parse: impl Fn(&str) -> Result<T>,
    ) -> Result<Option<T>> {
        if given.is_some() {
            return Ok(given);
        }
        let parse = |answer: &str| if answer.is_empty() { Ok(None) } else { parse(answer).map(Some) };
        Ok(self.ask(&format!("{question} [not stated]"), "", parse)?.flatten())
    }

    /// Asks until an answer is valid. From a file, an invalid answer is an error, and an empty one is none.
    fn ask<T>(
        &mut self,
        question: &str,
        suggestion: &str,
        parse: impl Fn(&str) -> Result<T>,
    ) -> Result<Option<T>> {
        while let Some(line) = self.line(question)? {
            let answer = if line.is_empty() { suggestion } else { &line };
            match parse(answer) {
                Ok(value) => return Ok(Some(value)),
                Err(error) if self.is_terminal => say(format!("{error:#}")),
                Err(_) if answer.is_empty() => break,
                Err(error) => return Err(error).with_context(|| format!("{question} {answer:?}")),
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

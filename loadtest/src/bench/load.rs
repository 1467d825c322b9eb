//! The loads, by name.

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Load {
    /// Clients without think time: each sends its next request when it has the last answer.
    Closed { clients: usize },
    /// Poisson arrivals at a fixed rate, independent of the answers.
    Open {
        /// The rate as a share of the reference's saturation rate.
        share: f64,
    },
}

impl Load {
    /// `closed-16`, `open-60%`.
    pub fn name(self) -> String {
        match self {
            Self::Closed { clients } => format!("closed-{clients}"),
            Self::Open { share } => format!("open-{:.0}%", share * 100.0),
        }
    }

    /// Parses `16` as a number of clients and `60%` as a share.
    pub fn parse(text: &str) -> Result<Self, String> {
        let advice =
            || format!("{text:?} is neither a number of clients, such as 16, nor a rate, such as 60%");
        if let Some(percent) = text.strip_suffix('%') {
            let percent: f64 = percent.parse().map_err(|_| advice())?;
            return if percent > 0.0 { Ok(Self::Open { share: percent / 100.0 }) } else { Err(advice()) };
        }
        match text.parse() {
            Ok(clients) if clients > 0 => Ok(Self::Closed { clients }),
            _ => Err(advice()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_parsed() {
        assert_eq!(Load::parse("16"), Ok(Load::Closed { clients: 16 }));
        assert_eq!(Load::parse("60%").map(Load::name), Ok("open-60%".into()));
        for wrong in ["0", "-3", "0%", "x%", "", "1.5"] {
            assert!(Load::parse(wrong).is_err(), "{wrong}");
        }
    }
}

//! Values that know their range: one that lies outside cannot be built, so nothing checks it a second time.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt::{self, Debug, Display, Formatter};
use std::ops::Deref;
use std::time::Duration;

/// How a refusal begins among serde's errors.
const REFUSED: &str = "refused: ";

/// Why a value was refused, and what to use instead. It never quotes a text, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    pub(super) found: String,
    pub(super) advice: String,
}

/// Written so that [`Refusal::parse`] finds it in an error of serde, which carries nothing but text.
impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{REFUSED}{}; {}", self.found, self.advice)
    }
}

impl Refusal {
    pub(super) fn new(found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { found: found.into(), advice: advice.into() }
    }

    pub(super) fn parse(message: &str) -> Option<Self> {
        let (found, advice) = message.strip_prefix(REFUSED)?.split_once("; ")?;
        Some(Self::new(found, advice))
    }
}

/// What a [`Bounded`] may hold.
pub trait Number: Copy {
    /// What the number counts, for messages.
    const UNIT: &str = "";

    fn of(number: u64) -> Option<Self>;

    fn number(self) -> u64;
}

macro_rules! numbers {
    ($($kind:ty)*) => {$(
        impl Number for $kind {
            fn of(number: u64) -> Option<Self> {
                number.try_into().ok()
            }

            fn number(self) -> u64 {
                self as u64
            }
        }
    )*};
}

numbers!(i32 u32 usize);

/// In milliseconds; the keys end in `_ms`.
impl Number for Duration {
    const UNIT: &str = " milliseconds";

    fn of(number: u64) -> Option<Self> {
        Some(Self::from_millis(number))
    }

    fn number(self) -> u64 {
        self.as_millis() as u64
    }
}

/// A number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bounded<T, const MIN: u64, const MAX: u64>(T);

/// A duration of `MIN` to `MAX` milliseconds.
pub type Millis<const MIN: u64, const MAX: u64> = Bounded<Duration, MIN, MAX>;

/// From a millisecond to an hour.
pub type Timeout = Millis<1, 3_600_000>;

impl<T: Number, const MIN: u64, const MAX: u64> Bounded<T, MIN, MAX> {
    pub fn new(number: u64) -> Result<Self, Refusal> {
        let value = T::of(number).filter(|_| (MIN..=MAX).contains(&number));
        let advice = || format!("use {MIN} to {MAX}{}", T::UNIT);
        value.map(Self).ok_or_else(|| Refusal::new(format!("{number} is out of range"), advice()))
    }

    pub const fn get(self) -> T {
        self.0
    }
}

impl<const MIN: u64, const MAX: u64> Millis<MIN, MAX> {
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl<'de, T: Number, const MIN: u64, const MAX: u64> Deserialize<'de> for Bounded<T, MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u64::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl<T: Number, const MIN: u64, const MAX: u64> Serialize for Bounded<T, MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0.number())
    }
}

/// What a [`Checked`] value must fulfil.
pub trait Rule {
    type Value: Clone + Debug + Serialize + DeserializeOwned;

    /// What to set instead of a refused or missing value.
    const ADVICE: &str;

    /// Checks the value; the error says what is wrong and does not quote it.
    fn check(value: &Self::Value) -> Result<(), String>;
}

/// Declares rules: `Name(Type): "advice", |value| check;`.
macro_rules! rules {
    ($($(#[$doc:meta])* $Rule:ident($Value:ty): $advice:literal, $check:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub enum $Rule {}

        impl Rule for $Rule {
            type Value = $Value;

            const ADVICE: &str = $advice;

            fn check(value: &$Value) -> Result<(), String> {
                let check: fn(&$Value) -> Result<(), String> = $check;
                check(value)
            }
        }
    )+};
}

pub(super) use rules;

/// A value that fulfils its rule. Behind an `Option` it may be missing; by itself it is required.
#[derive(Debug, Clone)]
pub struct Checked<R: Rule>(R::Value);

impl<R: Rule> Checked<R> {
    pub fn new(value: R::Value) -> Result<Self, Refusal> {
        match R::check(&value) {
            Ok(()) => Ok(Self(value)),
            Err(found) => Err(Refusal::new(found, R::ADVICE)),
        }
    }
}

impl<R: Rule> Deref for Checked<R> {
    type Target = R::Value;

    fn deref(&self) -> &R::Value {
        &self.0
    }
}

impl<'de, R: Rule> Deserialize<'de> for Checked<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Option::<R::Value>::deserialize(deserializer)?;
        let value = value.ok_or_else(|| Refusal::new("not set", R::ADVICE));
        value.and_then(Self::new).map_err(de::Error::custom)
    }
}

impl<R: Rule> Serialize for Checked<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// Fails with `found` unless the rule holds.
pub(super) fn ensure(holds: bool, found: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(found.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_outside_its_range_cannot_be_built() {
        type Threads = Bounded<usize, 1, 1024>;
        for n in [1, 1024] {
            assert_eq!(Threads::new(n).unwrap().get() as u64, n);
        }
        for n in [0, 1025, u64::MAX] {
            let Refusal { found, advice } = Threads::new(n).unwrap_err();
            assert_eq!((found, advice.as_str()), (format!("{n} is out of range"), "use 1 to 1024"));
        }
        let delay: Millis<0, 1000> = serde_json::from_str("1000").unwrap();
        assert_eq!(delay.duration(), Duration::from_secs(1));
        assert_eq!(serde_json::to_string(&delay).unwrap(), "1000");
        let error = serde_json::from_str::<Timeout>("0").unwrap_err().to_string();
        assert!(error.contains("0 is out of range; use 1 to 3600000 milliseconds"), "{error}");
        assert!(serde_json::from_str::<Threads>("-1").is_err());
        assert!(serde_json::from_str::<Threads>("1.5").is_err());
    }
}

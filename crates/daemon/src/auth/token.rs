//! A token: whoever has it may do what it allows.

use std::fmt;
use std::fmt::Write as _;

use bireme_core::limits;

/// Random bytes in a token.
const RANDOM_BYTES: usize = 32;
/// Shortest token taken from outside, in bytes: a shorter one could be guessed.
const MIN_BYTES: usize = 16;

/// A bearer token: printable ASCII without spaces. Shown by nothing but [`reveal`](Self::reveal).
#[derive(Clone)]
pub struct Token(String);

/// The text cannot be a token. It is not repeated, as it may nearly be one.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TokenError {
    /// Guessable.
    #[error(
        "token of {0} bytes is too short: use at least {MIN_BYTES}, better 32 random bytes in hex"
    )]
    TooShort(usize),
    /// Beyond the limit.
    #[error("token of {0} bytes is too long: use at most {max}", max = limits::TOKEN_BYTES)]
    TooLong(usize),
    /// Would not pass through a header.
    #[error(
        "token holds a character other than printable ASCII without spaces: use letters and digits"
    )]
    Character,
}

impl Token {
    /// A new one that nobody can guess; fails if the system has no randomness to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random)?;
        let mut text = String::with_capacity(2 * RANDOM_BYTES);
        for byte in random {
            write!(text, "{byte:02x}").expect("a string takes all");
        }
        Ok(Self(text))
    }

    /// Takes a token that was made elsewhere.
    pub fn new(text: impl Into<String>) -> Result<Self, TokenError> {
        let text = text.into();
        if text.len() > limits::TOKEN_BYTES {
            return Err(TokenError::TooLong(text.len()));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Character);
        }
        if text.len() < MIN_BYTES {
            return Err(TokenError::TooShort(text.len()));
        }
        Ok(Self(text))
    }

    /// The token itself, to be written where its owner alone reads it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_tokens_are_long_and_differ() {
        let (one, other) = (Token::generate().unwrap(), Token::generate().unwrap());
        assert_eq!(one.reveal().len(), 64);
        assert_ne!(one.reveal(), other.reveal());
        assert!(Token::new(one.reveal()).is_ok());
    }

    #[test]
    fn a_token_is_not_shown_by_accident() {
        let token = Token::new("correct-horse-battery").unwrap();
        assert_eq!(format!("{token:?}"), "Token(..)");
    }

    #[test]
    fn what_cannot_be_a_token_is_refused() {
        assert_eq!(Token::new("short").unwrap_err(), TokenError::TooShort(5));
        assert_eq!(Token::new("x".repeat(257)).unwrap_err(), TokenError::TooLong(257));
        for text in ["correct horse battery", "correct-horse\r\nbattery", "correct-hörse-battery"]
        {
            assert_eq!(Token::new(text).unwrap_err(), TokenError::Character, "{text}");
        }
    }
}

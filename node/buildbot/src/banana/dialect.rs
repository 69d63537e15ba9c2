//! Which vocabulary the two sides use: the server offers, the client chooses.

use super::Element;

/// A vocabulary. Banana's specification calls it a profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Every string is written out. What is said before the choice is said so.
    #[default]
    None,
    /// Some words have numbers.
    Pb,
}

/// Why there is no dialect that both sides know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialectError {
    /// What came first is not a list of strings: the peer does not speak this protocol.
    #[error("the peer did not offer a list of dialects")]
    NotAnOffer,
    /// Neither "pb" nor "none" is among them.
    #[error("the peer offers no dialect that is known here")]
    NoneKnown,
}

impl Dialect {
    /// Chooses the first of the server's offer that is known here.
    ///
    /// # Errors
    ///
    /// When the element is no offer, or offers nothing that is known. There is no way to go on.
    pub fn choose(offer: &Element) -> Result<Self, DialectError> {
        let Element::List(names) = offer else {
            return Err(DialectError::NotAnOffer);
        };
        for name in names {
            let Element::Bytes(name) = name else {
                return Err(DialectError::NotAnOffer);
            };
            match &name[..] {
                b"pb" => return Ok(Self::Pb),
                b"none" => return Ok(Self::None),
                _ => {}
            }
        }
        Err(DialectError::NoneKnown)
    }

    /// Returns the name to answer with.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pb => "pb",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(offer: Element, expected: Result<Dialect, DialectError>) {
        assert_eq!(Dialect::choose(&offer), expected);
    }

    #[test]
    fn the_first_known_dialect_of_an_offer_is_chosen() {
        let offer = |names: &[&'static str]| Element::List(names.iter().map(|n| Element::word(n)).collect());
        check(offer(&["pb", "none"]), Ok(Dialect::Pb));
        check(offer(&["none", "pb"]), Ok(Dialect::None));
        check(offer(&["newer", "none"]), Ok(Dialect::None));
        check(offer(&["newer"]), Err(DialectError::NoneKnown));
        check(offer(&[]), Err(DialectError::NoneKnown));
    }

    #[test]
    fn anything_else_is_no_offer() {
        check(Element::word("pb"), Err(DialectError::NotAnOffer));
        check(Element::List(vec![Element::Int(1), Element::word("pb")]), Err(DialectError::NotAnOffer));
    }
}

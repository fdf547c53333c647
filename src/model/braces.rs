//! A line of text with fields in braces, as summaries and templates of headers are written: `Pay {path.id}`. Two braces of
//! one kind beside each other are one that is text.

/// In order; no two texts are beside each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<'t> {
    /// Never empty.
    Text(String),
    /// What stands between its braces.
    Field(&'t str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a brace without its other half")]
pub struct Unmatched;

/// `Unmatched`: a brace that opens or closes nothing, and does not stand there twice.
pub fn pieces(text: &str) -> Result<Vec<Piece<'_>>, Unmatched> {
    let (mut pieces, mut literal, mut rest) = (Vec::new(), String::new(), text);
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        literal.push_str(before);
        rest = if let Some(after) = from.strip_prefix("{{") {
            literal.push('{');
            after
        } else if let Some(after) = from.strip_prefix("}}") {
            literal.push('}');
            after
        } else {
            let inner = from.strip_prefix('{').ok_or(Unmatched)?;
            let (name, after) = inner.split_once('}').ok_or(Unmatched)?;
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Field(name));
            after
        };
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_of_a_kind_are_one_that_is_text() {
        let text = |text: &str| Piece::Text(text.to_owned());
        let field = Piece::Field;
        let rows = [
            ("", vec![]),
            ("plain", vec![text("plain")]),
            ("{a}", vec![field("a")]),
            ("{a}{b}", vec![field("a"), field("b")]),
            ("{{a}}", vec![text("{a}")]),
            (
                "x {a}{{{b}}} y",
                vec![text("x "), field("a"), text("{"), field("b"), text("} y")],
            ),
            ("{}", vec![field("")]),
            ("{a{b}", vec![field("a{b")]),
        ];
        for (given, expected) in rows {
            assert_eq!(pieces(given), Ok(expected), "{given}");
        }
        for wrong in ["{", "}", "{a", "a}", "{{}", "{a}}"] {
            assert_eq!(pieces(wrong), Err(Unmatched), "{wrong}");
        }
    }
}

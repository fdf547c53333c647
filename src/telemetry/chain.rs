//! The audit log's chain: every line holds the SHA-256 of the one before it, so that none can be changed, taken out or put
//! in without every later one being written anew. Whoever can write the whole file can do that: a head that was noted
//! elsewhere ([`Head`]) tells.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use ring::digest::{SHA256, digest};
use serde::Deserialize;

use super::LinesError;

/// Read at once from the end of a file.
const BLOCK: u64 = 64 << 10;

/// A line's place: its number, from 1, and its SHA-256 in base64url. What comes next is built on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub number: u64,
    pub hash: String,
}

impl Head {
    /// Of a chain without a line.
    pub fn none() -> Self {
        Self {
            number: 0,
            hash: BASE64URL.encode([0; 32]),
        }
    }

    fn of(number: u64, line: &[u8]) -> Self {
        let hash = BASE64URL.encode(digest(&SHA256, line));
        Self { number, hash }
    }

    /// With `line`, which holds this one's number plus one and hash.
    pub(super) fn followed_by(&self, line: &[u8]) -> Self {
        Self::of(self.number.saturating_add(1), line)
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.number, self.hash)
    }
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a head is a line's number and hash, as `audit verify` prints it: 7:abc…")]
pub struct NoHead;

impl FromStr for Head {
    type Err = NoHead;

    fn from_str(text: &str) -> Result<Self, NoHead> {
        let (number, hash) = text.split_once(':').ok_or(NoHead)?;
        let bytes = BASE64URL.decode(hash).map_err(|_| NoHead)?;
        if bytes.len() != 32 {
            return Err(NoHead);
        }
        let number = number.parse().map_err(|_| NoHead)?;
        let hash = hash.to_owned();
        Ok(Self { number, hash })
    }
}

/// Whatever has it is to be read as a line of the audit log.
const AUDIT: &[u8] = b"audit";

/// Of a line, what the chain is about.
#[derive(Deserialize)]
struct Place {
    log: Option<String>,
    seq: Option<u64>,
    prev: Option<String>,
}

/// `None`: no line of the audit log, such as one of the access log in the same file.
fn place(line: &[u8]) -> Result<Option<Place>, serde_json::Error> {
    let place: Place = serde_json::from_slice(line)?;
    Ok((place.log.as_deref() == Some("audit")).then_some(place))
}

pub(super) fn end_of(path: &Path) -> Result<Head, LinesError> {
    File::open(path)
        .and_then(|mut file| last_in(&mut file))
        .map_err(|source| LinesError::new(path, source))
}

/// The last whole line of the audit log that is in a chain; what a crash tore is in none.
fn last_in(file: &mut File) -> io::Result<Head> {
    // A pipe or a terminal has nothing to be read again.
    if !file.metadata()?.is_file() {
        return Ok(Head::none());
    }
    let mut begin = file.seek(SeekFrom::End(0))?;
    let mut rest: Vec<u8> = Vec::new();
    // Behind the last line feed nothing is whole.
    let mut whole = false;
    while begin > 0 {
        let from = begin.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(from))?;
        let mut block = Vec::new();
        file.by_ref().take(begin - from).read_to_end(&mut block)?;
        block.append(&mut rest);
        begin = from;
        let mut end = block.len();
        while let Some(feed) = memchr::memrchr(b'\n', block.get(..end).unwrap_or_default()) {
            let line = block.get(feed + 1..end).unwrap_or_default();
            if let Some(head) = whole.then(|| head_of(line)).flatten() {
                return Ok(head);
            }
            whole = true;
            end = feed;
        }
        block.truncate(end);
        rest = block;
        if begin == 0
            && let Some(head) = whole.then(|| head_of(&rest)).flatten()
        {
            return Ok(head);
        }
    }
    Ok(Head::none())
}

fn head_of(line: &[u8]) -> Option<Head> {
    let place = place(line).ok()??;
    Some(Head::of(place.seq?, line))
}

/// Where a file is not the chain that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    /// From 1, over all that was read of the file.
    pub line: u64,
    pub what: Broken,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error(
        "does not follow from the one before it: one of the two was changed, or lines between them are gone"
    )]
    Link,
    #[error("begins a new chain: what was written before it can have been taken out")]
    Begins,
    #[error("is in no chain, though lines before it are")]
    Outside,
    #[error("calls itself a line of the audit log, and cannot be read as one")]
    Unreadable,
}

/// What was found in one file or several, one after the other.
#[derive(Clone, Debug)]
pub struct Verifier {
    head: Head,
    /// The first one's number, where the files begin in the middle of a chain.
    pub first: Option<u64>,
    pub lines: u64,
    /// From before there was a chain.
    pub unchained: u64,
    /// No JSON: torn by a crash, or not stepgate's.
    pub unreadable: u64,
    /// Where the last of these is, in its file.
    pub unreadable_at: u64,
    noted: Option<Head>,
    pub met_noted: bool,
}

impl Verifier {
    /// `noted`: a line that has to be there as it was.
    pub fn new(noted: Option<Head>) -> Self {
        Self {
            head: Head::none(),
            first: None,
            lines: 0,
            unchained: 0,
            unreadable: 0,
            unreadable_at: 0,
            noted,
            met_noted: false,
        }
    }

    /// The last line that was read.
    pub fn head(&self) -> &Head {
        &self.head
    }

    pub fn misses_noted(&self) -> bool {
        self.noted.is_some() && !self.met_noted
    }

    /// Reads on in the next file; where that is not what follows.
    pub fn read(&mut self, mut file: impl BufRead) -> io::Result<Vec<Break>> {
        let mut breaks = Vec::new();
        let (mut line, mut number) = (Vec::new(), 0_u64);
        while file.read_until(b'\n', &mut line)? > 0 {
            number += 1;
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            if let Err(what) = self.follow(number, &line) {
                breaks.push(Break { line: number, what });
            }
            line.clear();
        }
        Ok(breaks)
    }

    fn follow(&mut self, at: u64, line: &[u8]) -> Result<(), Broken> {
        let place = match place(line) {
            Ok(place) => place,
            // A crash leaves the beginning of a line. What is whole, and still not what is written, somebody else wrote.
            Err(error) if !error.is_eof() && memchr::memmem::find(line, AUDIT).is_some() => {
                return Err(Broken::Unreadable);
            }
            Err(_) => {
                self.unreadable += 1;
                self.unreadable_at = at;
                return Ok(());
            }
        };
        let Some(place) = place else { return Ok(()) };
        let (Some(number), Some(prev)) = (place.seq, place.prev) else {
            self.unchained += 1;
            return match self.first {
                None => Ok(()),
                Some(_) => Err(Broken::Outside),
            };
        };
        self.lines += 1;
        let before = std::mem::replace(&mut self.head, Head::of(number, line));
        self.met_noted |= self.noted.as_ref() == Some(&self.head);
        // Files that were kept may begin anywhere in the chain.
        let is_first = self.first.is_none();
        self.first.get_or_insert(number);
        let follows = before.number.checked_add(1) == Some(number) && before.hash == prev;
        if is_first || follows {
            Ok(())
        } else if number == 1 {
            Err(Broken::Begins)
        } else {
            Err(Broken::Link)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

    use std::io::Write as _;

    use super::*;

    fn line(before: &Head, what: &str) -> String {
        let number = before.number + 1;
        format!(
            r#"{{"log":"audit","event":"{what}","seq":{number},"prev":"{}"}}"#,
            before.hash
        )
    }

    fn chain(events: &[&str]) -> Vec<String> {
        let mut head = Head::none();
        let mut lines = Vec::new();
        for event in events {
            let line = line(&head, event);
            head = head.followed_by(line.as_bytes());
            lines.push(line);
        }
        lines
    }

    fn verified(lines: &[String]) -> (Vec<(u64, Broken)>, Verifier) {
        let mut verifier = Verifier::new(None);
        let text = lines
            .iter()
            .fold(String::new(), |text, line| text + line + "\n");
        let breaks = verifier.read(text.as_bytes()).unwrap();
        let breaks = breaks.into_iter().map(|it| (it.line, it.what));
        (breaks.collect(), verifier)
    }

    #[test]
    fn whatever_is_done_to_a_line_shows() {
        let good = chain(&["login", "step-up", "refusal", "logout"]);
        let (breaks, verifier) = verified(&good);
        assert_eq!((breaks, verifier.lines), (vec![], 4));

        let mut changed = good.clone();
        changed[1] = changed[1].replace("step-up", "refusal");
        assert_eq!(verified(&changed).0, [(3, Broken::Link)]);
        let mut removed = good.clone();
        removed.remove(1);
        assert_eq!(verified(&removed).0, [(2, Broken::Link)]);
        let mut swapped = good.clone();
        swapped.swap(1, 2);
        assert_eq!(verified(&swapped).0.len(), 3);
        let mut inserted = good.clone();
        inserted.insert(2, good[1].clone());
        assert_eq!(verified(&inserted).0, [(3, Broken::Link)]);
        let mut unchained = good.clone();
        unchained.insert(2, r#"{"log":"audit","event":"login"}"#.to_owned());
        assert_eq!(verified(&unchained).0, [(3, Broken::Outside)]);
        let begun_anew = [good.clone(), chain(&["login"])].concat();
        assert_eq!(verified(&begun_anew).0, [(5, Broken::Begins)]);
        let mut garbled = good;
        garbled[1] = "{".to_owned();
        let (breaks, verifier) = verified(&garbled);
        assert_eq!((breaks, verifier.unreadable), (vec![(3, Broken::Link)], 1));
    }

    #[test]
    fn what_pretends_to_be_a_line_of_it_shows() {
        let good = chain(&["login", "approval-decided", "logout"]);
        let forged =
            r#"{"log":"audit","event":"approval-decided","sub":"erin","seq":"3","prev":5}"#;
        let marked = format!("\u{feff}{}", good[0]);
        for (at, line, broken) in [
            (1, forged, Some((2, Broken::Unreadable))),
            (3, forged, Some((4, Broken::Unreadable))),
            (
                1,
                r#"{"log":"audit","event":"login"} x"#,
                Some((2, Broken::Unreadable)),
            ),
            // A crash tore it; and whatever else writes there.
            (3, r#"{"log":"audit","event":"log"#, None),
            (1, "Listening on 8080", None),
        ] {
            let mut lines = good.clone();
            lines.insert(at, line.to_owned());
            assert_eq!(verified(&lines).0, Vec::from_iter(broken), "{line}");
        }
        let mut hidden = good;
        hidden[0] = marked;
        assert_eq!(verified(&hidden).0, [(1, Broken::Unreadable)]);
    }

    #[test]
    fn what_is_no_part_of_it_breaks_nothing() {
        let mut lines = chain(&["login", "logout"]);
        lines.insert(1, r#"{"log":"access","status":200}"#.to_owned());
        lines.insert(0, r#"{"log":"audit","event":"from before"}"#.to_owned());
        let (breaks, verifier) = verified(&lines);
        assert_eq!(breaks, []);
        assert_eq!((verifier.lines, verifier.unchained), (2, 1));
        // Older files were thrown away.
        let rest = chain(&["login", "step-up", "logout"]).split_off(1);
        let (breaks, verifier) = verified(&rest);
        assert_eq!((breaks, verifier.first), (vec![], Some(2)));
    }

    /// Whoever writes all of it anew, or cuts the end off, cannot make the line that somebody noted.
    #[test]
    fn a_noted_head_tells_of_what_the_chain_does_not() {
        let good = chain(&["login", "step-up", "logout"]);
        let noted = verified(&good).1.head().clone();
        let noted: Head = noted.to_string().parse().unwrap();
        for (lines, is_met) in [
            (good.clone(), true),
            (chain(&["login", "refusal", "logout"]), false),
            (good[..2].to_vec(), false),
        ] {
            let mut verifier = Verifier::new(Some(noted.clone()));
            let text = lines.join("\n");
            assert_eq!(verifier.read(text.as_bytes()).unwrap(), []);
            assert_eq!(!verifier.misses_noted(), is_met, "{text}");
        }
        for text in ["", "1", "1:", "x:AAAA", "1:AAAA", "-1:AAAA"] {
            assert!(text.parse::<Head>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_end_of_a_file_is_found_over_whatever_stands_behind_it() {
        let file = |content: &str| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(content.as_bytes()).unwrap();
            file
        };
        let lines = chain(&["login", "logout"]);
        let whole = Head::none()
            .followed_by(lines[0].as_bytes())
            .followed_by(lines[1].as_bytes());
        let access = format!("{{\"log\":\"access\",\"path\":\"{}\"}}\n", "x".repeat(1000));
        let text = lines.join("\n");
        for behind in [
            "\n",
            "\n{\"log\":\"aud",
            &format!("\n{}", access.repeat(200)),
        ] {
            let found = last_in(&mut file(&format!("{text}{behind}"))).unwrap();
            assert_eq!(found, whole, "{behind}");
        }
        // The last one itself is torn.
        let first = Head::none().followed_by(lines[0].as_bytes());
        assert_eq!(last_in(&mut file(&text)).unwrap(), first);
        for nothing in ["", "\n", "x", &access, r#"{"log":"audit"}"#] {
            assert_eq!(last_in(&mut file(nothing)).unwrap(), Head::none());
        }
    }
}

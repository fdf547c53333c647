#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::io::Write as _;

use super::*;

const PAGE: &str = "<!DOCTYPE html>\r\n<html lang='de'>\n<!-- <head> --><head data-x=\"<a>\">\n<title>Ä &amp; B</title><script>if (a<b) \
                    document.write('<head>')</script></head>\n<body class=a>text <svg><script href=x /></svg></body></html>\n";

fn answer(fields: &[(&str, &str)]) -> ResponseHeader {
    let mut response = ResponseHeader::build(200, None).unwrap();
    for (name, value) in fields {
        response.append_header((*name).to_owned(), *value).unwrap();
    }
    response
}

fn html() -> Vec<(&'static str, &'static str)> {
    vec![("content-type", "text/html; charset=utf-8")]
}

/// In pieces of that size, the end in a piece of its own where it does not come with the last one.
fn streamed(fields: &[(&str, &str)], body: &[u8], size: usize, end_alone: bool) -> Vec<u8> {
    let mut inject = Inject::of(&mut answer(fields), &Method::GET)
        .unwrap()
        .expect("it is a page");
    let mut out = Vec::new();
    let mut pass = |piece: Option<&[u8]>, last: bool| {
        let mut piece = piece.map(Bytes::copy_from_slice);
        inject.piece(&mut piece, last).unwrap();
        assert!(last || piece.as_ref().is_none_or(|piece| !piece.is_empty()));
        out.extend_from_slice(&piece.unwrap_or_default());
    };
    let pieces: Vec<_> = body.chunks(size).collect();
    for (index, piece) in pieces.iter().enumerate() {
        pass(Some(piece), !end_alone && index + 1 == pieces.len());
    }
    if end_alone || pieces.is_empty() {
        pass(None, true);
    }
    out
}

fn plain_tag() -> String {
    format!("<script src=\"{}\"></script>", agent_src())
}

fn with_tag(before: &str, page: &str) -> String {
    let (start, end) = page.split_once(before).unwrap();
    format!("{start}{before}{}{end}", plain_tag())
}

#[test]
fn the_tag_is_all_that_is_new_wherever_the_page_is_cut() {
    let expected = with_tag("<head data-x=\"<a>\">", PAGE);
    for size in 1..=PAGE.len() {
        for end_alone in [false, true] {
            let out = streamed(&html(), PAGE.as_bytes(), size, end_alone);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{size}");
        }
    }
}

#[test]
fn where_there_is_no_head_it_stands_first() {
    let tag = plain_tag();
    for (page, expected) in [
        ("<p>Hello", format!("{tag}<p>Hello")),
        (
            "<!doctype html><title>x</title><script src=app.js></script>",
            format!("<!doctype html>{tag}<title>x</title><script src=app.js></script>"),
        ),
        ("<html><body>x", format!("<html>{tag}<body>x")),
        (
            "\u{feff}<html><head>x",
            format!("\u{feff}<html><head>{tag}x"),
        ),
        ("<HTML><HEAD/>x", format!("<HTML><HEAD/>{tag}x")),
        // No element, no script to wait for.
        ("just text & more", "just text & more".to_owned()),
        ("", String::new()),
        ("<", "<".to_owned()),
        ("<!-- <head> -->", "<!-- <head> -->".to_owned()),
        ("<head", "<head".to_owned()),
    ] {
        for size in [1, 3, 1000] {
            let out = streamed(&html(), page.as_bytes(), size, false);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{page} {size}");
        }
    }
}

/// Of any encoding that has ASCII in it; what it means is not read.
#[test]
fn bytes_stay_as_they_are() {
    let mut page = b"<html><head><title>".to_vec();
    page.extend((0_u8..=255).filter(|byte| *byte != b'<'));
    page.extend(b"</title></head><body>\xff\xfe\x00\xd8</body>");
    for charset in [
        "",
        "; charset=windows-1252",
        "; charset=\"Shift_JIS\"",
        ";charset=gb18030",
    ] {
        let kind = format!("text/html{charset}");
        let out = streamed(&[("content-type", &kind)], &page, 7, false);
        let tag = plain_tag();
        let at = b"<html><head>".len();
        assert_eq!(out[..at], page[..at]);
        assert_eq!(&out[at..at + tag.len()], tag.as_bytes());
        assert_eq!(out[at + tag.len()..], page[at..]);
    }
    let utf_16: Vec<u8> = "\u{feff}<html><head></head>"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for size in [1, 2, 5, 100] {
        assert_eq!(streamed(&html(), &utf_16, size, false), utf_16, "{size}");
    }
}

#[test]
fn a_tag_without_end_is_let_through() {
    let mut page = b"<html><head data-x=\"".to_vec();
    page.resize(LONGEST_TAG * 3, b'x');
    page.extend(b"\"></head>");
    assert!(streamed(&html(), &page, 65536, false) == page);
}

#[test]
fn what_the_app_packed_all_the_same_is_unpacked() {
    let page = PAGE.repeat(200);
    let gzip = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(page.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let deflate = {
        let mut encoder =
            flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(page.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let br = {
        let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20);
        encoder.write_all(page.as_bytes()).unwrap();
        encoder.into_inner()
    };
    let zstd = zstd::stream::encode_all(page.as_bytes(), 0).unwrap();
    let expected = with_tag("<head data-x=\"<a>\">", &page);
    for (name, packed) in [
        ("gzip", &gzip),
        ("deflate", &deflate),
        ("br", &br),
        ("zstd", &zstd),
    ] {
        let mut fields = html();
        fields.push(("content-encoding", name));
        for size in [1, 13, 1000, packed.len()] {
            for end_alone in [false, true] {
                let out = streamed(&fields, packed, size, end_alone);
                assert!(out == expected.as_bytes(), "{name} {size} {end_alone}");
            }
        }
        assert_eq!(streamed(&fields, b"", 1, true), b"", "{name}: nothing");
        // What is not what it says it is breaks the answer off, rather than ending it well.
        let mut inject = Inject::of(&mut answer(&fields), &Method::GET)
            .unwrap()
            .unwrap();
        let mut garbage = Some(Bytes::from_static(
            b"\xff\xff garbage, and no end of it \xff\xff",
        ));
        assert!(inject.piece(&mut garbage, true).is_err(), "{name}");
    }
    let cut = &gzip[..gzip.len() / 2];
    let mut fields = html();
    fields.push(("content-encoding", "gzip"));
    let mut inject = Inject::of(&mut answer(&fields), &Method::GET)
        .unwrap()
        .unwrap();
    assert!(
        inject
            .piece(&mut Some(Bytes::copy_from_slice(cut)), true)
            .is_err()
    );
}

#[test]
fn nothing_but_a_page_is_touched() {
    let rows: [(u16, &[(&str, &str)]); 14] = [
        (200, &[]),
        (200, &[("content-type", "application/json")]),
        (200, &[("content-type", "text/htmlx")]),
        (200, &[("content-type", "application/xhtml+xml")]),
        (200, &[("content-type", "text/html; charset=utf-16")]),
        (200, &[("content-type", "text/html; charset=iso-2022-jp")]),
        (200, &[("content-type", "text/html; charset=unheard-of")]),
        (
            200,
            &[
                ("content-type", "text/html"),
                ("content-encoding", "compress"),
            ],
        ),
        (
            200,
            &[
                ("content-type", "text/html"),
                ("content-encoding", "gzip"),
                ("content-encoding", "br"),
            ],
        ),
        (
            200,
            &[
                ("content-type", "text/html"),
                ("content-disposition", "Attachment; filename=a"),
            ],
        ),
        (
            200,
            &[
                ("content-type", "text/html"),
                ("cache-control", "public, No-Transform"),
            ],
        ),
        (
            206,
            &[
                ("content-type", "text/html"),
                ("content-range", "bytes 0-1/9"),
            ],
        ),
        (304, &[("content-type", "text/html"), ("etag", "\"a\"")]),
        (404, &[("content-type", "text/html")]),
    ];
    for (status, fields) in rows {
        let mut response = answer(fields);
        response.set_status(status).unwrap();
        response.insert_header(header::CONTENT_LENGTH, 7).unwrap();
        let before = format!("{response:?}");
        assert!(
            Inject::of(&mut response, &Method::GET).unwrap().is_none(),
            "{status} {fields:?}"
        );
        assert_eq!(format!("{response:?}"), before, "{fields:?}");
    }
}

#[test]
fn the_header_fits_the_other_body() {
    for method in [Method::GET, Method::HEAD] {
        let mut response = answer(&[
            ("content-type", "text/html"),
            ("content-length", "7"),
            ("content-encoding", "gzip"),
            ("accept-ranges", "bytes"),
            ("etag", "\"a\""),
            ("repr-digest", "sha-256=:AAAA:"),
            ("last-modified", "Wed, 25 Nov 2026 00:00:00 GMT"),
            ("vary", "accept-encoding"),
        ]);
        let inject = Inject::of(&mut response, &method).unwrap();
        assert_eq!(inject.is_some(), method == Method::GET);
        let mut left: Vec<_> = response
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        left.sort();
        assert_eq!(
            left,
            [
                "content-type: text/html",
                "etag: W/\"a\"",
                "last-modified: Wed, 25 Nov 2026 00:00:00 GMT",
                "vary: Accept, Sec-Fetch-Dest, Sec-Fetch-Mode",
                "vary: accept-encoding",
            ]
        );
    }
}

#[test]
fn the_pages_own_nonce_is_carried() {
    let rows = [
        ("script-src 'nonce-abc123=='", Some("abc123==")),
        ("default-src 'self' 'nonce-a'; img-src *", Some("a")),
        (
            "default-src 'nonce-a'; script-src 'strict-dynamic' 'nonce-b'",
            Some("b"),
        ),
        ("script-src 'nonce-b'; script-src-elem 'nonce-c'", Some("c")),
        ("img-src 'self', SCRIPT-SRC 'nonce-d'", Some("d")),
        ("default-src 'nonce-a'; script-src 'self'", None),
        ("script-src 'nonce-\"><script>'", None),
        ("style-src 'nonce-a'", None),
        ("script-src 'self'", None),
    ];
    for (policy, expected) in rows {
        let fields = [
            ("content-type", "text/html"),
            ("content-security-policy", policy),
        ];
        let out = String::from_utf8(streamed(&fields, b"<head>", 10, false)).unwrap();
        let nonce = expected
            .map(|nonce| format!(" nonce=\"{nonce}\""))
            .unwrap_or_default();
        assert_eq!(
            out,
            format!("<head><script src=\"{}\"{nonce}></script>", agent_src()),
            "{policy}"
        );
    }
}

//! Unpacks what an app encoded although it was asked not to: gzip, deflate, br, zstd.

use std::io::{self, Write};

use bytes::Bytes;

/// What one piece may become, in bytes. A page that swells more is no page.
const SWOLLEN: usize = 64 << 20;

pub(super) struct Decoder {
    format: Format,
    /// There was something: an answer without a body has no frame either.
    begun: bool,
}

enum Format {
    Identity,
    Gzip(Box<flate2::write::MultiGzDecoder<Bounded>>),
    /// With zlib's frame, as RFC 9110 8.4.1.2 has it.
    Deflate(Box<flate2::write::ZlibDecoder<Bounded>>),
    Brotli(Box<brotli::DecompressorWriter<Bounded>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Bounded>>),
}

impl Decoder {
    /// `None`: an encoding that is not known here, or several.
    pub(super) fn of(encoding: &str) -> Option<Self> {
        use Format::{Brotli, Deflate, Gzip, Identity, Zstd};
        let format = match encoding.trim().to_ascii_lowercase().as_str() {
            "identity" | "" => Identity,
            "gzip" | "x-gzip" => Gzip(Box::new(flate2::write::MultiGzDecoder::new(
                Bounded::default(),
            ))),
            "deflate" => Deflate(Box::new(
                flate2::write::ZlibDecoder::new(Bounded::default()),
            )),
            "br" => Brotli(Box::new(brotli::DecompressorWriter::new(
                Bounded::default(),
                BUFFER,
            ))),
            "zstd" => Zstd(Box::new(
                zstd::stream::write::Decoder::new(Bounded::default()).ok()?,
            )),
            _ => return None,
        };
        Some(Self {
            format,
            begun: false,
        })
    }

    pub(super) fn piece(&mut self, piece: Bytes, last: bool) -> io::Result<Bytes> {
        self.begun |= !piece.is_empty();
        if !self.begun {
            return Ok(piece);
        }
        let taken = match &mut self.format {
            Format::Identity => return Ok(piece),
            Format::Gzip(decoder) => {
                decoder.write_all(&piece)?;
                match last {
                    true => decoder.try_finish()?,
                    false => decoder.flush()?,
                }
                decoder.get_mut().take()
            }
            Format::Deflate(decoder) => {
                decoder.write_all(&piece)?;
                match last {
                    true => decoder.try_finish()?,
                    false => decoder.flush()?,
                }
                decoder.get_mut().take()
            }
            Format::Brotli(decoder) => {
                decoder.write_all(&piece)?;
                match last {
                    true => decoder.close()?,
                    false => decoder.flush()?,
                }
                decoder.get_mut().take()
            }
            Format::Zstd(decoder) => {
                decoder.write_all(&piece)?;
                decoder.flush()?;
                decoder.get_mut().take()
            }
        };
        Ok(taken)
    }
}

const BUFFER: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Bounded(Vec<u8>);

impl Bounded {
    fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.0).into()
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > SWOLLEN {
            return Err(io::Error::other("one piece swells beyond all bounds"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

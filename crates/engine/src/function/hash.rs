//! Digests of a text's UTF-8 bytes, as lower-case hexadecimal text.

use std::fmt::Write;

use arrow::array::ArrayRef;
use md5::Md5;
use millstream_core::Result;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::args::{Args, build_texts};
use super::definition::{Function, Kind, Returns};
use super::text::plain;

/// The functions of this module.
pub(super) fn functions() -> Vec<Function> {
    const TEXT: (&[Kind], usize, usize) = (&[Kind::Text], 1, 1);
    let text = Returns::Text;
    vec![
        plain("MD5", TEXT, text, digest::<Md5>),
        plain("SHA1", TEXT, text, digest::<Sha1>),
        plain("SHA224", TEXT, text, digest::<Sha224>),
        plain("SHA256", TEXT, text, digest::<Sha256>),
        plain("SHA384", TEXT, text, digest::<Sha384>),
        plain("SHA512", TEXT, text, digest::<Sha512>),
        plain("SHA2", (&[Kind::Text, Kind::Long], 2, 2), text, sha2),
    ]
}

/// `SHA2(text, bits)`: of 224, 256, 384 or 512 bits; null for another number.
fn sha2(args: &Args<'_>) -> Result<ArrayRef> {
    let (input, bits) = (args.texts(0)?, args.longs(1)?);
    Ok(build_texts(args.rows, |row, out| {
        let text = input.get(row)?;
        match bits.get(row)? {
            224 => write_digest::<Sha224>(text, out),
            256 => write_digest::<Sha256>(text, out),
            384 => write_digest::<Sha384>(text, out),
            512 => write_digest::<Sha512>(text, out),
            _ => return None,
        }
        Some(())
    }))
}

fn write_digest<D: Digest>(text: &str, out: &mut String) {
    for byte in D::digest(text) {
        write!(out, "{byte:02x}").expect("writing to a string never fails");
    }
}

fn digest<D: Digest>(args: &Args<'_>) -> Result<ArrayRef> {
    let input = args.texts(0)?;
    Ok(build_texts(args.rows, |row, out| {
        write_digest::<D>(input.get(row)?, out);
        Some(())
    }))
}

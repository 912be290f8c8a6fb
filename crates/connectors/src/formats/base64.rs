//! Base64 (RFC 4648, section 4), for BYTES in text formats. Padding is written; reading takes it
//! or leaves it, but refuses any other character and bits that would be lost.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Value of each character, [`BAD`] for those outside the alphabet.
const VALUES: [u8; 256] = {
    let mut values = [BAD; 256];
    let mut index = 0;
    while index < 64 {
        values[ALPHABET[index] as usize] = index as u8;
        index += 1;
    }
    values
};

const BAD: u8 = 0xff;

/// Appends `bytes` as text.
pub fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let word = u32::from_be_bytes(group);
        for place in 0..4 {
            let value = (word >> (18 - 6 * place) & 63) as usize;
            out.push(if place > chunk.len() {
                b'='
            } else {
                ALPHABET[value]
            });
        }
    }
}

/// Appends the bytes that `text` stands for; `None` if it is not base64, when `out` may have
/// some of them.
pub fn decode(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let padding = text
        .iter()
        .rev()
        .take(2)
        .take_while(|byte| **byte == b'=')
        .count();
    if padding > 0 && !text.len().is_multiple_of(4) {
        return None;
    }
    let text = &text[..text.len() - padding];
    for chunk in text.chunks(4) {
        if chunk.len() == 1 {
            return None;
        }
        let mut word = 0;
        for place in 0..4 {
            let value = chunk
                .get(place)
                .map_or(0, |byte| VALUES[usize::from(*byte)]);
            if value == BAD {
                return None;
            }
            word = word << 6 | u32::from(value);
        }
        let bytes = word.to_be_bytes();
        let (kept, lost) = bytes[1..].split_at(chunk.len() - 1);
        if lost.iter().any(|byte| *byte != 0) {
            return None;
        }
        out.extend_from_slice(kept);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &str, text: &str) {
        let mut out = vec![];
        encode(bytes.as_bytes(), &mut out);
        assert_eq!(out, text.as_bytes());
        for text in [text, text.trim_end_matches('=')] {
            let mut out = vec![];
            decode(text.as_bytes(), &mut out).unwrap();
            assert_eq!(out, bytes.as_bytes());
        }
    }

    #[test]
    fn the_vectors_of_the_rfc() {
        check("", "");
        check("f", "Zg==");
        check("fo", "Zm8=");
        check("foo", "Zm9v");
        check("foob", "Zm9vYg==");
        check("fooba", "Zm9vYmE=");
        check("foobar", "Zm9vYmFy");
    }

    #[test]
    fn refuses_what_is_not_base64() {
        for text in [
            "Z",
            "Zg=",
            "Zh==",
            "Zm9=",
            "Zm9v====",
            "Zm-v",
            "Zm9v Zm9v",
            "=",
            "====",
        ] {
            assert_eq!(decode(text.as_bytes(), &mut vec![]), None, "{text}");
        }
    }
}

//! The envelope of a host's answer: what was cut or is something else is never taken for a result.

use skipper_core::script::{decode_result, encode_result};

/// `data` as a script's whole output, and as the text of a result.
pub fn result(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(decoded) = decode_result(&text) {
        assert_eq!(decode_result(&encode_result(&decoded)), Ok(decoded));
    }
    let encoded = encode_result(&text);
    assert_eq!(decode_result(&encoded).as_deref(), Ok(&*text));
    // Cut anywhere before its last mark is whole, it is no result.
    let whole = encoded.trim_end().len();
    let at = data.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte))) % whole;
    assert!(decode_result(&encoded[..at]).is_err(), "cut at {at}: {encoded:?}");
}

//! A host's answers to `start`, and to the scripts that report nothing but success.

use skipper_core::{
    orchestrator::{
        Orchestrator as _,
        fleet::{Fleet, encode_started},
    },
    script::encode_result,
};

/// `data` as the lines of an answer, and as the whole output of the script.
pub fn started(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = (Fleet.read_started(&text), Fleet.read_done(&text));
    let text = text.replace('\r', " ");
    let output = encode_result(&text);
    // Success is said by one word and by nothing else.
    assert_eq!(Fleet.read_done(&output).is_ok(), text.lines().eq(["done"]), "{text:?}");
    if let Ok(started) = Fleet.read_started(&output) {
        assert_eq!(Fleet.read_started(&encode_started(&started)), Ok(started));
    }
}

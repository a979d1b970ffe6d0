//! A host carries out a command, and tells what it prints as it prints it.

use skipper_core::{
    command::{CommandState, Look, Part, Seen},
    orchestrator::{Orchestrator as _, fleet::Fleet},
};

use crate::host::*;

/// A command on a host, and what was seen of it.
struct Told<'a> {
    host: &'a Host,
    look: Look,
    out: Vec<u8>,
    err: Vec<u8>,
    looks: usize,
}

impl<'a> Told<'a> {
    fn new(host: &'a Host, asked: &str, text: &str) -> Self {
        let look = Look { asked: asked.to_owned(), text: text.to_owned(), out: 0, err: 0 };
        Self { host, look, out: Vec::new(), err: Vec::new(), looks: 0 }
    }

    fn look(&mut self) -> CommandState {
        let output = self.host.run(&Fleet.look_at_command(&scope(), &self.look));
        assert!(output.split(":end").next().unwrap().len() < 24_000, "Systems Manager would cut it");
        let Seen { out, err, state } = Fleet.read_command(&output).unwrap();
        assert_eq!((out.offset, err.offset), (self.look.out, self.look.err));
        self.out.extend(&out.bytes);
        self.err.extend(&err.bytes);
        (self.look.out, self.look.err) = (self.out.len() as u64, self.err.len() as u64);
        self.looks += 1;
        let is_whole = |part: &Part| part.offset + part.bytes.len() as u64 == part.total;
        if is_whole(&out) && is_whole(&err) { state } else { CommandState::Running }
    }

    fn end(&mut self) -> CommandState {
        loop {
            match self.look() {
                CommandState::Running => {}
                state => return state,
            }
        }
    }

    fn texts(&self) -> (String, String) {
        (String::from_utf8_lossy(&self.out).into_owned(), String::from_utf8_lossy(&self.err).into_owned())
    }
}

#[test]
fn a_command_tells_both_its_streams_and_its_exit_code() {
    let host = Host::configured();
    let mut told = Told::new(&host, "a1", "echo \"it's $((40 + 2))\"; echo no >&2; exit 7");
    assert_eq!(told.end(), CommandState::Ended(7));
    assert_eq!(told.texts(), ("it's 42\n".to_owned(), "no\n".to_owned()));
    // A second delivery of the first look begins nothing anew.
    let mut again = Told::new(&host, "a1", "echo \"it's $((40 + 2))\"; echo no >&2; exit 7");
    assert_eq!((again.end(), again.texts().0), (CommandState::Ended(7), "it's 42\n".to_owned()));
    assert_eq!(host.calls("systemd-run"), 1);
    // What replaces its shell keeps its exit code, too.
    assert_eq!(Told::new(&host, "a2", "exec false").end(), CommandState::Ended(1));
    assert_eq!(Told::new(&host, "a3", "kill -9 $$").end(), CommandState::Ended(137));
}

#[test]
fn what_no_answer_holds_comes_whole_and_byte_for_byte() {
    let host = Host::configured();
    // It does not compress: three answers at least. And what is no text.
    let noise: Vec<u8> = (0_u32..1500).flat_map(blob).collect();
    std::fs::write(host.path("world/noise"), &noise).unwrap();
    let path = host.path("world/noise").display().to_string();
    let mut told = Told::new(&host, "b1", &format!("cat {path}; head -c 9000 {path} >&2"));
    assert_eq!(told.end(), CommandState::Ended(0));
    assert!(told.out == noise && told.err == noise[..9000], "{} {}", told.out.len(), told.err.len());
    assert!(told.looks > 2, "{}", told.looks);
    // A log of several megabytes does compress.
    let mut told = Told::new(
        &host,
        "b2",
        "i=0; while [ $i -lt 30000 ]; do echo \"line $i of a log that says the same\"; i=$((i+1)); done",
    );
    assert_eq!(told.end(), CommandState::Ended(0));
    let lines: Vec<String> = (0..30_000).map(|n| format!("line {n} of a log that says the same")).collect();
    assert_eq!(told.texts().0.lines().collect::<Vec<_>>(), lines);
    assert!(told.looks < 60, "{}", told.looks);
}

fn blob(number: u32) -> Vec<u8> {
    let hex = skipper_core::image::hex_digest(&number.to_be_bytes());
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..64).step_by(2).map(byte).collect()
}

#[test]
fn what_is_printed_is_told_while_the_command_goes_on_and_the_end_takes_it_along() {
    let host = Host::configured();
    let mut told = Told::new(&host, "c1", "echo first; while :; do sleep 0.1; done");
    assert_eq!(told.look(), CommandState::Running);
    while told.out.is_empty() {
        told.look();
    }
    assert_eq!(told.texts().0, "first\n");
    assert_eq!(Fleet.read_done(&host.run(&Fleet.end_command(&scope(), "c1"))), Ok(()));
    assert!(!host.path("var/lib/skipper/commands/c1").exists());
    assert_eq!(Fleet.read_done(&host.run(&Fleet.end_command(&scope(), "c1"))), Ok(()), "what has ended is no error");
    // Its offset is that of an output which is gone.
    let output = host.run(&Fleet.look_at_command(&scope(), &told.look));
    assert_eq!(said(Fleet.read_command(&output).map(drop)).1, "what the command has printed is not kept any more");
}

#[test]
fn a_command_that_is_gone_without_an_exit_code_is_lost_and_not_waited_for() {
    let host = Host::configured();
    let mut told = Told::new(&host, "d1", "echo first; while :; do sleep 0.1; done");
    while told.out.is_empty() {
        told.look();
    }
    // As by an administrator, or by a restart of the host.
    let kept = host.path("kept");
    std::fs::rename(host.path("var/lib/skipper/commands/d1"), &kept).unwrap();
    Fleet.read_done(&host.run(&Fleet.end_command(&scope(), "d1"))).unwrap();
    std::fs::rename(&kept, host.path("var/lib/skipper/commands/d1")).unwrap();
    assert_eq!(told.end(), CommandState::Lost);
}

#[test]
fn a_command_that_cannot_be_started_says_why_and_leaves_nothing() {
    let host = Host::configured();
    host.write("world/systemd-run-says", "Failed to start transient service unit: Access denied\n");
    let look = Look { asked: "e1".to_owned(), text: "true".to_owned(), out: 0, err: 0 };
    let output = host.run(&Fleet.look_at_command(&scope(), &look));
    let (_, what) = said(Fleet.read_command(&output).map(drop));
    assert_eq!(what, "the command cannot be started: Failed to start transient service unit: Access denied");
    assert!(!host.path("var/lib/skipper/commands/e1").exists());
    let hostile = Look { asked: "../../etc".to_owned(), ..look };
    let output = host.run(&Fleet.look_at_command(&scope(), &hostile));
    assert_eq!(said(Fleet.read_command(&output).map(drop)).1, "the command has no name");
}

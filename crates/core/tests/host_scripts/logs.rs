//! A host tells what its replicas have printed.

use std::collections::BTreeMap;

use skipper_core::{
    log::{LogLine, LogOf, read_lines},
    observed::Handle,
    orchestrator::{Orchestrator as _, fleet::Fleet},
};

use crate::host::*;

/// What is asked of the host: two of its replicas.
fn of_host(offset: u64) -> LogOf {
    let replicas = ["web_1", "clock_1"].map(|name| (name.parse().unwrap(), Handle(format!("demo-{name}.service"))));
    LogOf { offset, since: Some(1_764_000_000_000_000), replicas: replicas.to_vec() }
}

/// Everything, part by part; and in how many.
fn logs(host: &Host, asked: &str) -> (Vec<LogLine>, usize) {
    let mut collected = String::new();
    for parts in 1.. {
        let of_host = of_host(collected.len() as u64);
        let instances = on_this_host(Vec::<()>::new()).into_keys();
        let hosts: BTreeMap<_, _> = instances.map(|instance| (instance, of_host.clone())).collect();
        let output = host.run(&Fleet.logs(&scope(), 500, asked, &hosts));
        assert!(output.split(":end").next().unwrap().len() < 24_000, "Systems Manager would cut it");
        let part = Fleet.read_logs(&output).unwrap();
        assert_eq!(part.offset, collected.len() as u64);
        collected.push_str(&part.text);
        if collected.len() as u64 == part.total {
            let (lines, cut) = read_lines(&collected, &of_host).unwrap();
            assert!(!cut);
            return (lines, parts);
        }
    }
    unreachable!()
}

fn texts(lines: &[LogLine]) -> Vec<String> {
    lines.iter().map(|line| format!("{} {} {}", line.at, line.replica, line.text)).collect()
}

#[test]
fn lines_of_several_replicas_come_in_the_order_of_time_and_as_they_were_printed() {
    let host = Host::configured();
    // The journal is asked in reverse.
    let web = "1764000002.500000 app docker[7]:   indented: \u{1b}[31mred\n1764000000.000001 app docker[7]: listening: port\t5000\n\
               1764000000.000000 app docker[7]: Error response from daemon: No such container: demo-web_1\n";
    let clock = "1764000009.000000 app docker[9]: demo-clock_1\n1764000001.000000 app docker[8]: tick\n-- Boot 1 --\n";
    host.write("world/journal.demo-web_1.service", web);
    host.write("world/journal.demo-clock_1.service", clock);
    let (lines, parts) = logs(&host, "a1");
    let expected = [
        "1764000000000001 web_1 listening: port 5000",
        "1764000001000000 clock_1 tick",
        "1764000002500000 web_1   indented: \u{1b}[31mred",
    ];
    assert_eq!((texts(&lines), parts), (expected.map(str::to_owned).to_vec(), 1));
    let asked = "journalctl -u demo-web_1.service _TRANSPORT=stdout -n 500 --reverse --all -o short-unix --no-pager --quiet --since @1764000000.000000";
    assert_eq!(host.calls(asked), 1);
    // A second delivery finds what was collected.
    logs(&host, "a1");
    assert_eq!(host.calls(asked), 1);
    assert_eq!(texts(&logs(&Host::configured(), "a2").0), Vec::<String>::new());
}

#[test]
fn what_no_answer_holds_comes_in_parts_and_none_of_it_is_lost() {
    let host = Host::configured();
    // What does not compress; and all of it at one moment.
    let noise = |number: u32| -> String {
        (0..8).map(|part| skipper_core::image::hex_digest(&(number * 10 + part).to_be_bytes())).collect()
    };
    let line = |number: u32| format!("1764000000.000001 app docker[7]: {number} {}\n", noise(number));
    host.write("world/journal.demo-web_1.service", &(0..90).rev().map(line).collect::<String>());
    let (lines, parts) = logs(&host, "b1");
    let numbers: Vec<&str> = lines.iter().map(|line| line.text.split(' ').next().unwrap()).collect();
    assert_eq!(numbers, (0..90).map(|number| number.to_string()).collect::<Vec<_>>());
    assert!(parts > 1, "{parts}");
}

#[test]
fn a_journal_that_cannot_be_read_is_not_taken_for_an_empty_one() {
    let host = Host::configured();
    host.write("world/journal-says", "Failed to open files: Permission denied\n");
    let instances = on_this_host(Vec::<()>::new()).into_keys();
    let hosts: BTreeMap<_, _> = instances.map(|instance| (instance, of_host(0))).collect();
    let output = host.run(&Fleet.logs(&scope(), 500, "c1", &hosts));
    let (_, what) = said(Fleet.read_done(&output));
    assert_eq!(what, "the journal cannot be read: Failed to open files: Permission denied");
}

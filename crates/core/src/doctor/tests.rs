//! Check-ups as people get them.

use std::collections::BTreeMap;

use super::*;
use crate::{
    observed::Agent,
    script::{ResultError, encode_result},
};

fn facts() -> HostFacts {
    HostFacts {
        free: 12 * 1024 * 1024,
        total: 40 * 1024 * 1024,
        clock: 1_000_000,
        update: Some("UPDATE_STATUS_IDLE".to_owned()),
        role: Some("skipper-host".to_owned()),
    }
}

fn judged(facts: &HostFacts) -> Vec<Finding> {
    judge_host(&"web_1".parse().unwrap(), facts, (995_000, 1_003_000), "skipper-host")
}

#[test]
fn a_host_that_is_well_is_fine_in_every_respect() {
    let findings = judged(&facts());
    assert!(
        findings.iter().all(|finding| finding.verdict == Verdict::Fine && finding.hints.is_empty()),
        "{findings:?}"
    );
    assert_eq!(findings[0].says, "12.0 GiB of 40.0 GiB free");
    assert_eq!(Checkup { findings }.exit(), Exit::Serves);
}

#[test]
fn each_thing_that_is_wrong_with_a_host_is_told_with_its_remedy() {
    let cases: [(HostFacts, &str, Verdict, Exit); 5] = [
        (HostFacts { free: 1024 * 1024, ..facts() }, "host `web_1`: disk", Verdict::Wrong, Exit::Blocked),
        (HostFacts { clock: 900_000, ..facts() }, "host `web_1`: clock", Verdict::Wrong, Exit::Blocked),
        (HostFacts { clock: 1_100_000, ..facts() }, "host `web_1`: clock", Verdict::Wrong, Exit::Blocked),
        (HostFacts { role: None, ..facts() }, "host `web_1`: role", Verdict::Wrong, Exit::Blocked),
        (
            HostFacts { update: Some("UPDATE_STATUS_UPDATED_NEED_REBOOT".to_owned()), ..facts() },
            "host `web_1`: update",
            Verdict::Advice,
            Exit::Serves,
        ),
    ];
    for (facts, what, verdict, exit) in cases {
        let findings = judged(&facts);
        let odd: Vec<&Finding> = findings.iter().filter(|finding| finding.verdict != Verdict::Fine).collect();
        let [found] = odd[..] else { panic!("{findings:?}") };
        assert_eq!((found.what.as_str(), found.verdict), (what, verdict));
        let checkup = Checkup { findings: findings.clone() };
        assert_eq!(checkup.exit(), exit);
        assert!(checkup.table().contains(&format!("hint: {what}: ")), "{}", checkup.table());
    }
}

#[test]
fn an_agent_has_to_answer_and_to_know_flatcar() {
    let agents: BTreeMap<_, _> = [
        ("a_1", Agent::Online, Some("3.2.1542.0")),
        ("a_2", Agent::Online, Some("3.2.0.0")),
        ("a_3", Agent::Online, Some("3.10.1.0")),
        ("a_4", Agent::Online, None),
        ("a_5", Agent::Lost, Some("3.3.0.0")),
        ("a_6", Agent::Absent, None),
    ]
    .into_iter()
    .map(|(host, agent, version)| (host.parse().unwrap(), (agent, version.map(str::to_owned))))
    .collect();
    let verdicts: Vec<Verdict> = judge_agents(&agents).iter().map(|finding| finding.verdict).collect();
    use Verdict::{Fine, Wrong};
    assert_eq!(verdicts, [Fine, Wrong, Fine, Fine, Wrong, Wrong]);
}

#[test]
fn a_host_s_answer_is_taken_whole_or_not_at_all() {
    let whole = "room\t123\t456\nclock\t1700000000000\nupdate\t-\nrole\tskipper-host\n";
    let read = read_facts(&encode_result(whole)).unwrap().unwrap();
    assert_eq!((read.free, read.total, read.clock, read.update), (123, 456, 1_700_000_000_000, None));
    for odd in ["", "room\t-\t-\nclock\t1\nupdate\t-\nrole\t-\n", "error\tother\tno\n", &whole[..30]] {
        assert_eq!(read_facts(&encode_result(odd)), Ok(None), "{odd}");
    }
    assert_eq!(read_facts("sh: not found"), Err(ResultError::Missing));
}

#[test]
fn what_is_refused_decides_the_exit_code_before_what_is_wrong() {
    let failure = Failure::new(Exit::Refused, "AWS denied `ec2:RunInstances`").because("no").hint("allow it");
    let refused = Finding::failed("launches", &failure);
    assert_eq!((refused.verdict, refused.says.as_str()), (Verdict::Refused, "AWS denied `ec2:RunInstances`: no"));
    let unknown = Finding::failed("hosts", &Failure::new(Exit::Blocked, "no answer"));
    assert_eq!(unknown.verdict, Verdict::Unknown);
    assert_eq!(Checkup { findings: vec![unknown.clone()] }.exit(), Exit::Blocked);
    assert_eq!(Checkup { findings: vec![unknown, refused] }.exit(), Exit::Refused);
}

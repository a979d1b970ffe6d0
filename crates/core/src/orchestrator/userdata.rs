//! User-data: what must be on a host before it is first reached, and no more; the same for every host of a group.
//!
//! Whatever depends on the cluster is configured over Systems Manager afterwards, so that adding a host changes no other host's user-data.

use serde_json::json;

/// Flatcar reboots itself within minutes of a first boot when an update is there, unless it is told not to
/// (`/etc/flatcar/update.conf`); deployments decide when hosts reboot.
const UPDATE_CONF: &str = "REBOOT_STRATEGY=off\n";

/// An Ignition config of specification 3.3.0, which every Flatcar release since 3185 reads.
pub fn user_data() -> String {
    // Of a data URL's reserved characters only these two are in the text.
    let source = format!("data:,{}", UPDATE_CONF.replace('=', "%3D").replace('\n', "%0A"));
    json!({
        "ignition": {"version": "3.3.0"},
        "storage": {"files": [{
            "path": "/etc/flatcar/update.conf",
            "overwrite": true,
            "mode": 0o644,
            "contents": {"source": source},
        }]},
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_makes_it_too_long_for_ec2() {
        // 16 KB is what EC2 takes; nothing of skipper.yml is in it.
        assert!(user_data().len() < 1024);
    }

    #[test]
    fn a_host_is_told_not_to_reboot_itself() {
        insta::assert_snapshot!(
            user_data(),
            @r#"{"ignition":{"version":"3.3.0"},"storage":{"files":[{"path":"/etc/flatcar/update.conf","overwrite":true,"mode":420,"contents":{"source":"data:,REBOOT_STRATEGY%3Doff%0A"}}]}}"#
        );
    }
}

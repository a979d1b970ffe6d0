//! What is known of the world while a plan is carried out: what was observed, and what steps have made since.

use std::{cell::RefCell, collections::BTreeMap};

use skipper_core::{
    desired::Desired,
    exit::Exit,
    failure::Failure,
    name::HostName,
    observed::{InstanceId, Observed, ObservedHost, SecurityGroup},
};

use crate::ports::GroupIds;

/// Facts by their symbolic names, as the plan speaks of them.
pub(crate) struct Known<'a> {
    pub(crate) desired: &'a Desired,
    pub(crate) observed: &'a Observed,
    hosts: RefCell<BTreeMap<HostName, ObservedHost>>,
    security_groups: RefCell<GroupIds>,
}

impl<'a> Known<'a> {
    pub(crate) fn new(desired: &'a Desired, observed: &'a Observed) -> Self {
        let security_groups =
            observed.security_groups.iter().map(|(name, found)| (name.clone(), found.id.clone())).collect();
        Self {
            desired,
            observed,
            hosts: RefCell::new(observed.hosts.clone()),
            security_groups: RefCell::new(security_groups),
        }
    }

    pub(crate) fn hosts(&self) -> BTreeMap<HostName, ObservedHost> {
        self.hosts.borrow().clone()
    }

    pub(crate) fn host_is(&self, host: &HostName, found: ObservedHost) {
        self.hosts.borrow_mut().insert(host.clone(), found);
    }

    pub(crate) fn host_is_gone(&self, host: &HostName) {
        self.hosts.borrow_mut().remove(host);
    }

    pub(crate) fn instance(&self, host: &HostName) -> Result<InstanceId, Failure> {
        self.hosts
            .borrow()
            .get(host)
            .map(|found| found.instance.clone())
            .ok_or_else(|| Failure::new(Exit::Defect, format!("the plan uses host `{host}` before it exists")))
    }

    pub(crate) fn security_group_is(&self, name: &SecurityGroup, id: String) {
        self.security_groups.borrow_mut().insert(name.clone(), id);
    }

    pub(crate) fn security_groups(&self) -> GroupIds {
        self.security_groups.borrow().clone()
    }

    pub(crate) fn security_group(&self, name: &SecurityGroup) -> Result<String, Failure> {
        self.security_groups.borrow().get(name).cloned().ok_or_else(|| {
            Failure::new(Exit::Defect, format!("the plan uses the security group of {name} before it exists"))
        })
    }
}

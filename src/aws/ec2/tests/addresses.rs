//! Elastic addresses.

use skipper_core::observed::{Address, InstanceId};
use skipper_deploy::ports::{Compute as _, PortErrorKind};

use crate::aws::wire::{aws, ec2_error, scope, xml};

fn item(id: &str, host: &str, instance: &str) -> String {
    format!(
        "<item><allocationId>{id}</allocationId><publicIp>198.51.100.7</publicIp><instanceId>{instance}</instanceId>\
         <tagSet><item><key>skipper:host</key><value>{host}</value></item></tagSet></item>"
    )
}

fn described(items: &str) -> (u16, String) {
    xml("DescribeAddresses", &format!("<addressesSet>{items}</addressesSet>"))
}

fn address(allocation: &str, instance: Option<&str>) -> Address {
    Address {
        host: "web_1".parse().unwrap(),
        allocation: allocation.to_owned(),
        ip: "198.51.100.7".to_owned(),
        instance: instance.map(|id| InstanceId(id.to_owned())),
    }
}

#[tokio::test]
async fn addresses_are_those_of_the_scope_that_say_which_host_they_are_for() {
    let items = [item("eipalloc-2", "web_1", "i-1"), item("eipalloc-1", "web_1", ""), item("eipalloc-3", "nobody", "")];
    let (aws, wire) = aws([described(&items.concat())]).await;
    let found = aws.compute().addresses(&scope()).await.unwrap();
    assert_eq!(found, [address("eipalloc-1", None), address("eipalloc-2", Some("i-1"))]);
    assert_eq!(
        wire.form(0),
        [
            "Action=DescribeAddresses",
            "Filter.1.Name=tag:skipper:project",
            "Filter.1.Value.1=demo",
            "Filter.2.Name=tag:skipper:environment",
            "Filter.2.Value.1=production",
            "Version=2016-11-15",
        ]
    );
}

#[tokio::test]
async fn an_address_is_allocated_with_its_tags_unless_an_earlier_try_has_left_one() {
    let made = xml(
        "AllocateAddress",
        "<publicIp>198.51.100.7</publicIp><domain>vpc</domain><allocationId>eipalloc-1</allocationId>",
    );
    // One that leads somewhere is in use.
    let (fresh, wire) = aws([described(&item("eipalloc-9", "web_1", "i-9")), made]).await;
    let host = "web_1".parse().unwrap();
    assert_eq!(fresh.compute().allocate_address(&scope(), &host).await, Ok(address("eipalloc-1", None)));
    let form = wire.form(1);
    for field in [
        "Domain=vpc",
        "TagSpecification.1.ResourceType=elastic-ip",
        "TagSpecification.1.Tag.1.Key=skipper:project",
        "TagSpecification.1.Tag.3.Key=skipper:group",
        "TagSpecification.1.Tag.4.Value=web_1",
        "TagSpecification.1.Tag.5.Value=demo-production web_1",
    ] {
        assert!(form.contains(&field.to_owned()), "{form:?}");
    }
    let (again, wire) = aws([described(&item("eipalloc-1", "web_1", ""))]).await;
    assert_eq!(again.compute().allocate_address(&scope(), &host).await, Ok(address("eipalloc-1", None)));
    assert_eq!(wire.actions(), ["DescribeAddresses"]);

    let full = ec2_error(400, "AddressLimitExceeded", "The maximum number of addresses has been reached.");
    let (full, _) = aws([described(""), full]).await;
    let error = full.compute().allocate_address(&scope(), &host).await.unwrap_err();
    assert!(error.failure.hints.iter().any(|hint| hint.contains("quota")), "{:?}", error.failure);
}

#[tokio::test]
async fn an_address_is_given_and_given_back() {
    let (aws, wire) = aws([
        xml("AssociateAddress", "<return>true</return><associationId>eipassoc-1</associationId>"),
        ec2_error(400, "InvalidIPAddress.InUse", "The address is in use."),
        ec2_error(400, "InvalidAllocationID.NotFound", "The allocation ID does not exist"),
    ])
    .await;
    let compute = aws.compute();
    let ours = address("eipalloc-1", None);
    compute.associate_address(&ours, &InstanceId("i-1".to_owned())).await.unwrap();
    assert_eq!(
        wire.form(0),
        [
            "Action=AssociateAddress",
            "AllocationId=eipalloc-1",
            "AllowReassociation=true",
            "InstanceId=i-1",
            "Version=2016-11-15",
        ]
    );
    assert_eq!(compute.release_address(&ours).await.unwrap_err().kind, PortErrorKind::InUse);
    compute.release_address(&ours).await.unwrap();
}

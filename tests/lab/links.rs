//! Services that find others by their names, from inside their containers.

use std::time::{Duration, Instant};

use skipper_lab::Host;

use crate::{
    Trials, World, previews,
    shop::{Shop, run},
    stories,
};

pub(crate) const TRIALS: Trials = &[
    ("a_link_follows_its_service_from_host_to_host", a_link_follows_its_service_from_host_to_host),
    ("a_preview_with_links_leaves_nothing", a_preview_with_links_leaves_nothing),
    ("etcd_is_out_of_reach_of_every_container", etcd_is_out_of_reach_of_every_container),
];

/// Two groups of one host each: `web`, which ends where it does not find `clock`, and `clock` on the other one.
fn linked(world: &World, name: &str) -> Shop {
    let shop = Shop::make(world, name).on_one_host();
    shop.replace("skipper.yml", "ports: [\"9000\"]", "ports: [\"9000:9000\"]");
    shop.replace("skipper.yml", "build: web\n", "build: web\n    links: [clock]\n");
    let store = "services: [web]\n  store:\n    size: t3.small\n    services: [clock]";
    shop.replace("skipper.yml", "services: [web, clock]", store);
    let needs_it = "trap 'exit 0' TERM; busybox wget -q -O /dev/null http://clock:9000/cgi-bin/index.cgi || exit 3;";
    shop.replace("web/Dockerfile", "trap 'exit 0' TERM;", needs_it);
    shop
}

/// What a command prints in the container of `web`.
fn inside(host: &Host, command: &str) -> String {
    let web = "docker ps -q --filter label=skipper.service=web | head -n 1";
    let ran = host.exec(&format!("docker exec $({web}) /bin/busybox {command} 2>&1")).unwrap();
    ran.stdout.trim().to_owned()
}

/// The addresses by which a container is to find a name.
fn addresses(host: &Host, name: &str) -> Vec<String> {
    let ends = format!(" {name}");
    inside(host, "cat /etc/hosts").lines().filter_map(|line| Some(line.strip_suffix(&ends)?.to_owned())).collect()
}

#[track_caller]
fn finds_the_clock(host: &Host) {
    let said = inside(host, "wget -q -O - http://clock:9000/cgi-bin/index.cgi");
    assert!(said.starts_with("clock: "), "{said}");
}

fn a_link_follows_its_service_from_host_to_host(world: &World) {
    let shop = linked(world, "linking");
    let told = shop.ship(world, "the first commit").ends_with(0);
    let told = told.says("tell `web_1` that `clock` is on `store_1`: services there link to it");
    let named = |name: &str| {
        let hosts = world.lab.hosts().unwrap();
        let addresses = shop.addresses(world);
        let is_it = |host: &Host| host.name.as_deref() == Some(name) && addresses.contains(&host.address);
        hosts.into_iter().find(is_it).unwrap()
    };
    let (web, store) = (named("web_1"), named("store_1"));
    assert_eq!(addresses(&web, "clock"), [store.address.as_str()]);
    finds_the_clock(&web);
    // It knows itself, too.
    assert_eq!(inside(&web, "hostname"), "web_1");
    for itself in ["localhost", "web_1"] {
        assert_eq!(inside(&web, &format!("wget -q -O - http://{itself}:5000/up")), "ok", "{itself}");
    }
    let before = shop.processes(world, "web");

    // By its security group, which has no other way in, and by no address.
    let opened = "authorize tcp 9000 from group `web` into group `store`";
    assert!(told.outcome.log.contains(opened), "{}", told.outcome.log);

    // One more on the same host is the nearest: by the host's own address, through Docker's published port.
    shop.replace("skipper.yml", "services: [web]", "services: [web, clock]");
    shop.ship(world, "a clock on both").ends_with(0).says("`clock` is on `store_1`, `web_1`");
    assert_eq!(addresses(&web, "clock"), [web.address.as_str(), store.address.as_str()]);
    finds_the_clock(&web);

    // It leaves the other one, and the container that looks for it runs on.
    shop.replace("skipper.yml", "services: [clock]", "services: []");
    let told = shop.ship(world, "the clock moves").ends_with(0);
    told.says("revoke tcp 9000 from group `web` into group `store`: skipper.yml does not ask for it");
    assert_eq!(addresses(&web, "clock"), [web.address.as_str()]);
    finds_the_clock(&web);
    let told = shop.ship_again(world).ends_with(0).says("nothing to do");
    assert!(!told.outcome.log.contains("tell `web_1`"), "{}", told.outcome.log);
    assert_eq!(shop.processes(world, "web"), before);

    // What the host was told is on its disk: there before its units start again.
    web.exec("systemctl restart docker.service").unwrap().success().unwrap();
    let end = Instant::now() + Duration::from_secs(90);
    while !inside(&web, "wget -q -O - http://localhost:5000/up").starts_with("ok") {
        assert!(Instant::now() < end, "{}", web.exec("journalctl -n 50 --no-pager").unwrap().stdout);
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(addresses(&web, "clock"), [web.address.as_str()]);
    finds_the_clock(&web);
}

fn a_preview_with_links_leaves_nothing(world: &World) {
    let shop = linked(world, "previewed");
    let (sha, number) = shop.open(world, "a draft with links");
    let told = run(&shop.preview_job(world, number, &sha, "opened", &[]), &[], number).ends_with(0);
    told.says("authorize tcp 9000 from group `web` into group `store`");
    // EC2 deletes no security group that a rule of another one names.
    let told = run(&shop.preview_job(world, number, &sha, "closed", &[]), &[], number).ends_with(0);
    told.says("revoke tcp 9000 from group `web` into group `store`").says("the preview is removed");
    assert_eq!(previews::remains(world, &shop, number), Vec::<String>::new());
}

fn etcd_is_out_of_reach_of_every_container(world: &World) {
    let shop = stories::shop(world);
    let hosts = shop.hosts(world);
    let member = hosts.iter().find(|host| host.exec("test -e /etc/skipper/member").unwrap().code == Some(0)).unwrap();
    let image =
        "$(docker inspect -f '{{.Config.Image}}' $(docker ps -q --filter label=skipper.service=web | head -n 1))";
    for host in &hosts {
        let run = |script: &str| host.exec(script).unwrap();
        // It is there, and the hosts reach it: what is refused below is refused to containers.
        for url in [
            "http://127.0.0.1:2379/health",
            &format!("http://{}:2379/health", member.address),
            &format!("http://{}:2380/version", member.address),
        ] {
            run(&format!("curl -fsS --max-time 5 {url}")).success().unwrap();
        }
        run("docker network create trial").success().unwrap();
        let gateways = run("docker network inspect -f '{{range .IPAM.Config}}{{.Gateway}}{{end}}' bridge trial")
            .success()
            .unwrap();
        for network in ["bridge", "trial"] {
            let reaches = |address: &str, port: u16| {
                let nc = format!("/bin/busybox timeout 3 /bin/busybox nc {address} {port} </dev/null");
                run(&format!("docker run --rm --network {network} {image} {nc}")).code == Some(0)
            };
            let addresses = hosts.iter().map(|host| host.address.as_str()).chain(gateways.split_whitespace());
            for address in addresses.chain(["127.0.0.1"]) {
                for port in [2379, 2380] {
                    assert!(
                        !reaches(address, port),
                        "{address}:{port} from a container on {network} of {}",
                        host.address
                    );
                }
            }
            // The way itself is open.
            assert!(hosts.iter().all(|host| reaches(&host.address, 80)), "{network} of {}", host.address);
        }
        run("docker network rm trial").success().unwrap();
    }
}

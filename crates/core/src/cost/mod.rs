//! What hosts cost a month before and after a plan: an estimate, from a table of list prices or the file's own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use crate::{
    config::Config,
    name::NameError,
    observed::Observed,
    plan::{Action, Plan},
};

/// The list prices, checked in: a run asks nobody for them.
const LIST: &str = include_str!("prices.csv");
/// When the list was made.
pub const LIST_DATE: &str = "2026-01";
/// The regions whose prices the list has.
const LIST_REGIONS: [&str; 3] = ["us-east-1", "us-east-2", "us-west-2"];
/// An elastic address an hour, in every region alike (AWS's list price since February 2024).
const ADDRESS: Price = Price(5_000);
/// Hours of a month, as AWS's own calculator counts.
const HOURS: u64 = 730;

/// A price in millionths of a US dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Price(u64);

impl Price {
    fn a_month(self) -> Self {
        Self(self.0.saturating_mul(HOURS))
    }

    fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The amount in US dollars, rounded to cents.
    fn dollars(self) -> String {
        let cents = self.0.saturating_add(5_000) / 10_000;
        format!("${}.{:02}", cents / 100, cents % 100)
    }
}

impl FromStr for Price {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError("a price is in US dollars an hour, such as `0.0208`".to_owned());
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| (1..=6).contains(&part.len()) && part.chars().all(|char| char.is_ascii_digit());
        if !digits(whole) || !digits(part) {
            return Err(wrong());
        }
        let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
        Ok(Self(number(whole)? * 1_000_000 + number(&format!("{part:0<6}"))?))
    }
}

/// What hosts cost a month.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// The hosts whose price is known, together.
    pub known: Price,
    /// The sizes of the others.
    pub unknown: BTreeSet<String>,
}

impl Cost {
    /// The same with so many elastic addresses.
    fn with_addresses(mut self, count: usize) -> Self {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.known = self.known.plus(Price(ADDRESS.a_month().0.saturating_mul(count)));
        self
    }

    fn of<'a>(sizes: impl IntoIterator<Item = &'a String>, prices: &BTreeMap<String, Price>) -> Self {
        sizes.into_iter().fold(Self::default(), |mut cost, size| {
            match prices.get(size) {
                Some(price) => cost.known = cost.known.plus(price.a_month()),
                None => drop(cost.unknown.insert(size.clone())),
            }
            cost
        })
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.known.dollars())?;
        if !self.unknown.is_empty() {
            let sizes: Vec<&str> = self.unknown.iter().map(String::as_str).collect();
            write!(f, " and what {} cost", sizes.join(", "))?;
        }
        Ok(())
    }
}

/// What hosts cost a month before and after a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// As things are.
    pub before: Cost,
    /// When the plan has been carried out.
    pub after: Cost,
    /// Where the prices are from, in a few words.
    pub source: String,
}

/// Estimates what the hosts of a plan cost: instances on demand and elastic addresses, without volumes and traffic.
pub fn estimate(config: &Config, observed: &Observed, plan: &Plan) -> Estimate {
    let listed = LIST_REGIONS.contains(&config.region.as_str());
    let mut prices = if listed { list() } else { BTreeMap::new() };
    prices.extend(config.prices.iter().map(|(size, price)| (size.to_string(), *price)));
    let mut sizes: BTreeMap<String, String> =
        observed.hosts.iter().map(|(host, found)| (host.to_string(), found.size.clone())).collect();
    let mut addresses = observed.addresses.len();
    let before = Cost::of(sizes.values(), &prices).with_addresses(addresses);
    for step in &plan.steps {
        match &step.action {
            Action::LaunchHost { host, spec } => drop(sizes.insert(host.to_string(), spec.size.clone())),
            Action::ResizeHost { host, size, .. } => drop(sizes.insert(host.to_string(), size.clone())),
            Action::TerminateHost { host, .. } => drop(sizes.remove(&host.to_string())),
            Action::GiveAddresses { addresses: given } => {
                addresses += given.values().filter(|one| one.is_none()).count()
            }
            Action::ReleaseAddress { .. } => addresses = addresses.saturating_sub(1),
            _ => {}
        }
    }
    let source = match (listed, config.prices.is_empty()) {
        (true, true) => format!("list prices of {}, {LIST_DATE}", config.region),
        (true, false) => format!("`prices` of skipper.yml, else list prices of {}, {LIST_DATE}", config.region),
        (false, false) => "`prices` of skipper.yml".to_owned(),
        (false, true) => format!("no prices of {} are known: `prices` in skipper.yml may say them", config.region),
    };
    Estimate { before, after: Cost::of(sizes.values(), &prices).with_addresses(addresses), source }
}

fn list() -> BTreeMap<String, Price> {
    let lines = LIST.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(','))
        .filter_map(|(size, price)| Some((size.to_owned(), price.parse().ok()?)))
        .collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::config::InstanceType;

    #[test]
    fn every_line_of_the_list_is_a_size_and_its_price() {
        let lines = LIST.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(list().len(), lines);
        assert!(list().keys().all(|size| size.parse::<InstanceType>().is_ok()));
        assert!(LIST.contains(LIST_DATE) && LIST.contains(LIST_REGIONS[0]));
    }

    #[test]
    fn a_month_of_two_small_hosts_is_told_in_dollars_and_what_is_not_known_is_named() {
        let sizes = ["t3.small", "t3.small", "x9.huge"].map(str::to_owned);
        assert_eq!(Cost::of(&sizes[..2], &list()).to_string(), "$30.37");
        assert_eq!(Cost::of(&sizes, &list()).to_string(), "$30.37 and what x9.huge cost");
    }

    #[test]
    fn prices_are_decimals() {
        assert_eq!("0.0208".parse::<Price>().unwrap(), Price(20_800));
        assert_eq!("12".parse::<Price>().unwrap(), Price(12_000_000));
        for text in ["", ".5", "1.", "-1", "1e3", "0.12345678", "a"] {
            assert!(text.parse::<Price>().is_err(), "{text}");
        }
    }
}

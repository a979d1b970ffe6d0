//! Registries of Amazon ECR, as their names tell them.

/// A private registry of ECR.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EcrRegistry {
    /// The account that it belongs to.
    pub account: String,
    /// Its region.
    pub region: String,
}

impl EcrRegistry {
    /// Reads `123456789012.dkr.ecr.eu-west-1.amazonaws.com`, or the same for FIPS or in China; nothing for any other registry
    /// (<https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html>).
    pub fn of(registry: &str) -> Option<Self> {
        let (account, rest) = registry.split_once(".dkr.")?;
        let rest = rest.strip_prefix("ecr.").or_else(|| rest.strip_prefix("ecr-fips."))?;
        let region = rest.strip_suffix(".amazonaws.com").or_else(|| rest.strip_suffix(".amazonaws.com.cn"))?;
        let is_account = account.len() == 12 && account.chars().all(|char| char.is_ascii_digit());
        let is_region = region.contains('-') && !region.contains('.');
        (is_account && is_region).then(|| Self { account: account.to_owned(), region: region.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_of_ecr_is_known_by_its_name_and_no_other_is() {
        let told = |registry: &str| EcrRegistry::of(registry).map(|ecr| (ecr.account, ecr.region));
        let known = |region: &str| Some(("123456789012".to_owned(), region.to_owned()));
        assert_eq!(told("123456789012.dkr.ecr.eu-west-1.amazonaws.com"), known("eu-west-1"));
        assert_eq!(told("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com"), known("us-gov-west-1"));
        assert_eq!(told("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn"), known("cn-north-1"));
        for other in [
            "ghcr.io",
            "public.ecr.aws",
            "12345.dkr.ecr.eu-west-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example",
            "123456789012.dkr.ecr.evil.example/eu-west-1.amazonaws.com",
            "123456789012.dkr.ecr.a.b-1.amazonaws.com",
        ] {
            assert_eq!(told(other), None, "{other}");
        }
    }
}

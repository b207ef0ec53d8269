//! Names as AWS shapes them: ARNs, identifiers, zones.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The account that every ARN of the plane carries.
pub(crate) const ACCOUNT: &str = "123456789012";

macro_rules! identifier {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub(crate) struct $name(pub(crate) String);

        impl $name {
            pub(crate) fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

identifier! {
    /// A Batch job; a child of an array carries `:index`.
    JobId,
    /// An ECS task.
    TaskArn,
    /// An ECS container instance.
    InstanceArn,
    /// An EC2 instance.
    Ec2Id,
}

impl JobId {
    pub(crate) fn fresh() -> Self {
        Self(Uuid::new_v4().to_string())
    }

    /// The id of the array's child at `index`.
    pub(crate) fn child(&self, index: u32) -> Self {
        Self(format!("{}:{index}", self.0))
    }
}

impl Ec2Id {
    pub(crate) fn fresh() -> Self {
        let mut hex = hex32();
        hex.truncate(17);
        Self(format!("i-{hex}"))
    }
}

impl TaskArn {
    /// The last part of the ARN.
    pub(crate) fn id(&self) -> &str {
        self.as_str().rsplit('/').next().unwrap_or(self.as_str())
    }
}

/// 32 random hexadecimal digits, as ECS names tasks and container instances.
pub(crate) fn hex32() -> String {
    Uuid::new_v4().simple().to_string()
}

/// Makes the ARNs of one region.
#[derive(Debug, Clone)]
pub(crate) struct Arns {
    pub(crate) region: String,
}

impl Arns {
    /// `kind` is `compute-environment`, `job-queue`, `job-definition` or `job`.
    pub(crate) fn batch(&self, kind: &str, name: &str) -> String {
        format!("arn:aws:batch:{}:{ACCOUNT}:{kind}/{name}", self.region)
    }

    /// `kind` is `cluster`, `container-instance`, `task` or `container`.
    pub(crate) fn ecs(&self, kind: &str, name: &str) -> String {
        format!("arn:aws:ecs:{}:{ACCOUNT}:{kind}/{name}", self.region)
    }

    /// Of a service that names its things by itself.
    pub(crate) fn service(&self, service: &str, resource: &str) -> String {
        format!("arn:aws:{service}:{}:{ACCOUNT}:{resource}", self.region)
    }

    pub(crate) fn zone(&self) -> String {
        format!("{}a", self.region)
    }

    /// The zone's id, account independent: `use1-az1` of `us-east-1`.
    pub(crate) fn zone_id(&self) -> String {
        let mut parts = self.region.split('-');
        let mut id = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            match part {
                "southeast" => id.push_str("se"),
                "southwest" => id.push_str("sw"),
                "northeast" => id.push_str("ne"),
                "northwest" => id.push_str("nw"),
                other => id.extend(other.chars().next()),
            }
        }
        id + "-az1"
    }
}

/// The name at the end of an ARN, or the text itself when it is no ARN.
pub(crate) fn name_of(name_or_arn: &str) -> &str {
    if name_or_arn.starts_with("arn:") { name_or_arn.rsplit('/').next().unwrap_or(name_or_arn) } else { name_or_arn }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_have_the_ids_that_aws_gives() {
        let id = |region: &str| Arns { region: region.into() }.zone_id();
        assert_eq!(id("us-east-1"), "use1-az1");
        assert_eq!(id("ap-southeast-2"), "apse2-az1");
        assert_eq!(id("eu-central-1"), "euc1-az1");
    }

    #[test]
    fn names_are_found_in_arns() {
        assert_eq!(name_of("arn:aws:batch:r:1:job-queue/q"), "q");
        assert_eq!(name_of("q"), "q");
        assert!(Ec2Id::fresh().as_str().len() == 19);
    }
}

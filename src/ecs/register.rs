//! `RegisterContainerInstance`: what this host is and has, and whether ECS took all of it.

use std::collections::BTreeMap;

use aws_sdk_ecs::types::{Attribute, ContainerInstance, PlatformDevice, PlatformDeviceType, Resource, Tag};
use node_core::ContainerInstanceArn;

use crate::host::gpu::Gpus;
use crate::host::imds::Identity;
use crate::host::resources::HostResources;

/// Everything about the host that a registration carries.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registration {
    pub(crate) identity: Identity,
    pub(crate) resources: HostResources,
    pub(crate) gpus: Gpus,
    /// From [`super::capabilities`].
    pub(crate) capabilities: Vec<String>,
    /// The operator's own attributes; ECS wants them on the first registration only.
    pub(crate) attributes: BTreeMap<String, String>,
    /// The operator's, and EC2's where they are taken over.
    pub(crate) tags: BTreeMap<String, String>,
    /// Such as `amzn_2023`; empty is what amazon-ecs-agent says where it does not know, `LINUX`.
    pub(crate) os_type_detailed: String,
    /// Of the outpost that the host is on.
    pub(crate) outpost: Option<String>,
}

impl Registration {
    /// In amazon-ecs-agent's order: CPU, MEMORY, PORTS, PORTS_UDP. The ports are the ones already taken.
    pub(super) fn resources(&self) -> Vec<Resource> {
        let integer =
            |name: &str, value: i32| Resource::builder().name(name).r#type("INTEGER").integer_value(value).build();
        let ports = |name: &str, taken: &[u16]| {
            Resource::builder()
                .name(name)
                .r#type("STRINGSET")
                .set_string_set_value(Some(taken.iter().map(u16::to_string).collect()))
                .build()
        };
        vec![
            integer("CPU", self.resources.cpu_shares),
            integer("MEMORY", self.resources.memory_mib),
            ports("PORTS", &self.resources.tcp_ports),
            ports("PORTS_UDP", &self.resources.udp_ports),
        ]
    }

    /// The operator's attributes (on a first registration), the capabilities, the GPUs' driver, and the operating system.
    pub(crate) fn attributes(&self, previous: Option<&ContainerInstanceArn>) -> Vec<Attribute> {
        let own = self
            .attributes
            .iter()
            .filter(|_| previous.is_none())
            .map(|(name, value)| (name.as_str(), Some(value.as_str())));
        let capabilities = self.capabilities.iter().map(|name| (name.as_str(), None));
        let detailed = Some(self.os_type_detailed.as_str()).filter(|text| !text.is_empty()).or(Some("LINUX"));
        let system =
            [("ecs.os-type", Some("linux")), ("ecs.os-family", Some("LINUX")), ("ecs.os-type-detailed", detailed)];
        let driver = self.gpus.driver.as_deref().filter(|_| !self.gpus.devices.is_empty());
        let versioned = driver.map(|version| format!("ecs.capability.nvidia-driver-version.{version}"));
        let drivers = [(versioned.as_deref(), None), (driver.map(|_| "ecs.capability.gpu-driver-version"), driver)];
        let drivers = drivers.into_iter().filter_map(|(name, value)| Some((name?, value)));
        own.chain(capabilities)
            .chain(drivers)
            .chain(system)
            .chain(self.outpost.as_deref().map(|arn| ("ecs.outpost-arn", Some(arn))))
            .filter_map(|(name, value)| {
                let value = value.filter(|v| !v.is_empty()).map(str::to_owned);
                // A name is all that the builder insists on.
                Attribute::builder().name(name).set_value(value).build().ok()
            })
            .collect()
    }
}

impl Registration {
    /// The GPUs; `None` where there are none.
    pub(super) fn platform_devices(&self) -> Option<Vec<PlatformDevice>> {
        let device = |uuid: &String| PlatformDevice::builder().id(uuid).r#type(PlatformDeviceType::Gpu).build().ok();
        let devices: Vec<_> = self.gpus.devices.iter().filter_map(|gpu| device(&gpu.uuid)).collect();
        (!devices.is_empty()).then_some(devices)
    }

    /// `None` where there are none: the parameter is then left out, as amazon-ecs-agent does.
    pub(super) fn tags(&self) -> Option<Vec<Tag>> {
        let tag = |(key, value): (&String, &String)| Tag::builder().key(key).value(value).build();
        (!self.tags.is_empty()).then(|| self.tags.iter().map(tag).collect())
    }
}

/// The valued attributes that ECS did not take over as sent: name, sent, got. amazon-ecs-agent holds these to be fatal
/// (`ecs_client.go`, `validateRegisteredAttributes`); name-only ones are not echoed reliably.
pub(super) fn refused(sent: &[Attribute], registered: &ContainerInstance) -> Option<String> {
    let got: BTreeMap<&str, &str> =
        registered.attributes().iter().map(|a| (a.name(), a.value().unwrap_or(""))).collect();
    let differing: Vec<String> = sent
        .iter()
        .filter_map(|a| {
            let (name, sent) = (a.name(), a.value()?);
            let got = got.get(name).copied().unwrap_or("");
            (sent != got).then(|| format!("{name} was sent as {sent:?} and registered as {got:?}"))
        })
        .collect();
    (!differing.is_empty()).then(|| format!("Attribute validation failed: {}", differing.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::gpu::Gpu;

    fn registration() -> Registration {
        Registration {
            resources: HostResources {
                cpu_shares: 4096,
                memory_mib: 15_629,
                tcp_ports: vec![22, 2375],
                udp_ports: vec![],
            },
            capabilities: vec!["ecs.capability.full-sync".into()],
            attributes: BTreeMap::from([("rack".into(), "7".into())]),
            ..Registration::default()
        }
    }

    #[test]
    fn resources_come_in_the_agreed_order() {
        let resources = registration().resources();
        let names: Vec<_> = resources.iter().filter_map(Resource::name).collect();
        assert_eq!(names, ["CPU", "MEMORY", "PORTS", "PORTS_UDP"]);
        assert_eq!(resources[0].integer_value(), 4096);
        assert_eq!(resources[2].string_set_value(), ["22", "2375"]);
        assert_eq!(resources[3].string_set_value, Some(vec![]));
    }

    #[test]
    fn gpus_go_as_devices_and_what_a_host_is_as_attributes() {
        assert_eq!(registration().platform_devices(), None);
        let gpu = |uuid: &str| Gpu { uuid: uuid.into(), name: "L4".into(), memory_mib: None };
        let gpus = Gpus { devices: vec![gpu("GPU-a"), gpu("GPU-b")], driver: Some("550.54.14".into()), trouble: None };
        let of = |gpus: Gpus| Registration { gpus, ..registration() };
        let devices = of(gpus.clone()).platform_devices().unwrap();
        let ids: Vec<_> = devices.iter().map(|device| (device.id(), device.r#type().as_str())).collect();
        assert_eq!(ids, [("GPU-a", "GPU"), ("GPU-b", "GPU")]);
        let drivers = |registration: Registration| -> Vec<(String, Option<String>)> {
            let all = registration.attributes(None);
            let of_driver = all.iter().filter(|a| a.name().contains("driver-version"));
            of_driver.map(|a| (a.name().to_owned(), a.value().map(str::to_owned))).collect()
        };
        let expected = [
            ("ecs.capability.nvidia-driver-version.550.54.14".to_owned(), None),
            ("ecs.capability.gpu-driver-version".to_owned(), Some("550.54.14".to_owned())),
        ];
        assert_eq!(drivers(of(gpus.clone())), expected);
        let outpost = Registration { outpost: Some("arn:op".into()), ..registration() };
        let last = outpost.attributes(None).pop().unwrap();
        assert_eq!((last.name(), last.value()), ("ecs.outpost-arn", Some("arn:op")));
        // An AMI with the driver on a host without GPUs.
        assert_eq!(drivers(of(Gpus { devices: vec![], ..gpus })), []);
    }

    #[test]
    fn own_attributes_go_with_the_first_registration_only() {
        let named = |previous: Option<&ContainerInstanceArn>| -> Vec<String> {
            registration().attributes(previous).iter().map(|a| a.name().to_owned()).collect()
        };
        let system = ["ecs.os-type", "ecs.os-family", "ecs.os-type-detailed"];
        assert_eq!(named(None), [&["rack", "ecs.capability.full-sync"][..], &system].concat());
        let arn = ContainerInstanceArn::new("arn:ci");
        assert!(!named(Some(&arn)).contains(&"rack".to_owned()));
    }

    #[test]
    fn a_valued_attribute_that_did_not_arrive_is_named() {
        let sent = registration().attributes(None);
        let with = |attributes: Vec<Attribute>| ContainerInstance::builder().set_attributes(Some(attributes)).build();
        assert_eq!(refused(&sent, &with(sent.clone())), None);
        // Name-only ones may be missing.
        let valued: Vec<_> = sent.iter().filter(|a| a.value().is_some()).cloned().collect();
        assert_eq!(refused(&sent, &with(valued)), None);
        let text = refused(&sent, &with(vec![])).unwrap();
        assert!(text.contains("rack") && text.contains("ecs.os-type"), "{text}");
    }
}

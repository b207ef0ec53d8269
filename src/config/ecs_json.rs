//! amazon-ecs-agent's JSON file (`ECS_AGENT_CONFIG_FILE_PATH`): the fields of its `Config`, which are its variables under other
//! names, durations in nanoseconds. It is weaker than every variable. Source: agent/config/types.go.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Where ecs-init has it.
pub(super) const DEFAULT_PATH: &str = "/etc/ecs/ecs.config.json";

/// Fields, and the variables that say the same.
const FIELDS: [(&str, &str); 49] = [
    ("APIEndpoint", "ECS_BACKEND_HOST"),
    ("AWSRegion", "AWS_DEFAULT_REGION"),
    ("AWSVPCBlockInstanceMetdata", "ECS_AWSVPC_BLOCK_IMDS"),
    ("AppArmorCapable", "ECS_APPARMOR_CAPABLE"),
    ("AvailableLoggingDrivers", "ECS_AVAILABLE_LOGGING_DRIVERS"),
    ("CgroupCPUPeriod", "ECS_CGROUP_CPU_PERIOD"),
    ("CgroupPath", "ECS_CGROUP_PATH"),
    ("Checkpoint", "ECS_CHECKPOINT"),
    ("Cluster", "ECS_CLUSTER"),
    ("ClusterArn", "ECS_CLUSTER"),
    ("ContainerInstancePropagateTagsFrom", "ECS_CONTAINER_INSTANCE_PROPAGATE_TAGS_FROM"),
    ("ContainerInstanceTags", "ECS_CONTAINER_INSTANCE_TAGS"),
    ("ContainerMetadataEnabled", "ECS_ENABLE_CONTAINER_METADATA"),
    ("ContainerStartTimeout", "ECS_CONTAINER_START_TIMEOUT"),
    ("CredentialsAuditLogDisabled", "ECS_AUDIT_LOGFILE_DISABLED"),
    ("CredentialsAuditLogFile", "ECS_AUDIT_LOGFILE"),
    ("DataDir", "ECS_DATADIR"),
    ("DataDirOnHost", "ECS_HOST_DATA_DIR"),
    ("DeleteNonECSImagesEnabled", "ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP"),
    ("DisableDockerHealthCheck", "ECS_DISABLE_DOCKER_HEALTH_CHECK"),
    ("DisableMetrics", "ECS_DISABLE_METRICS"),
    ("DockerEndpoint", "DOCKER_HOST"),
    ("DockerStopTimeout", "ECS_CONTAINER_STOP_TIMEOUT"),
    ("EngineAuthData", "ECS_ENGINE_AUTH_DATA"),
    ("EngineAuthType", "ECS_ENGINE_AUTH_TYPE"),
    ("GPUSupportEnabled", "ECS_ENABLE_GPU_SUPPORT"),
    ("ImageCleanupDisabled", "ECS_DISABLE_IMAGE_CLEANUP"),
    ("ImageCleanupExclusionList", "ECS_EXCLUDE_UNTRACKED_IMAGE"),
    ("ImageCleanupInterval", "ECS_IMAGE_CLEANUP_INTERVAL"),
    ("ImagePullBehavior", "ECS_IMAGE_PULL_BEHAVIOR"),
    ("ImagePullInactivityTimeout", "ECS_IMAGE_PULL_INACTIVITY_TIMEOUT"),
    ("InferentiaSupportEnabled", "ECS_ENABLE_INF_SUPPORT"),
    ("InstanceAttributes", "ECS_INSTANCE_ATTRIBUTES"),
    ("MinimumImageDeletionAge", "ECS_IMAGE_MINIMUM_CLEANUP_AGE"),
    ("NonECSMinimumImageDeletionAge", "NON_ECS_IMAGE_MINIMUM_CLEANUP_AGE"),
    ("NumImagesToDeletePerCycle", "ECS_NUM_IMAGES_DELETE_PER_CYCLE"),
    ("NvidiaRuntime", "ECS_NVIDIA_RUNTIME"),
    ("OverrideAWSLogsExecutionRole", "ECS_ENABLE_AWSLOGS_EXECUTIONROLE_OVERRIDE"),
    ("PrivilegedDisabled", "ECS_DISABLE_PRIVILEGED"),
    ("ReservedMemory", "ECS_RESERVED_MEMORY"),
    ("ReservedPorts", "ECS_RESERVED_PORTS"),
    ("ReservedPortsUDP", "ECS_RESERVED_PORTS_UDP"),
    ("SELinuxCapable", "ECS_SELINUX_CAPABLE"),
    ("SpotInstanceDrainingEnabled", "ECS_ENABLE_SPOT_INSTANCE_DRAINING"),
    ("TaskCPUMemLimit", "ECS_ENABLE_TASK_CPU_MEM_LIMIT"),
    ("TaskCleanupWaitDuration", "ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION"),
    ("TaskENIEnabled", "ECS_ENABLE_TASK_ENI"),
    ("TaskIAMRoleEnabled", "ECS_ENABLE_TASK_IAM_ROLE"),
    ("TaskIAMRoleEnabledForNetworkHost", "ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST"),
];
const PULL_BEHAVIORS: [&str; 4] = ["default", "always", "once", "prefer-cached"];
const TAG_SOURCES: [&str; 2] = ["none", "ec2_instance"];

/// What a file says, as variables, and the fields that are none of these. The error quotes nothing of the file.
pub(super) fn variables(text: &str) -> Result<(BTreeMap<&'static str, String>, Vec<String>), String> {
    let place = |e: serde_json::Error| format!("line {} column {}: this is not a JSON object", e.line(), e.column());
    let fields: Map<String, Value> = serde_json::from_str(text).map_err(place)?;
    let (mut found, mut unknown) = (BTreeMap::new(), Vec::new());
    for (name, value) in fields {
        // Go reads field names in any case.
        match FIELDS.iter().find(|(field, _)| field.eq_ignore_ascii_case(&name)) {
            Some((_, variable)) => drop(written(variable, &value).and_then(|text| found.insert(*variable, text))),
            None => unknown.push(name),
        }
    }
    Ok((found, unknown))
}

/// A value as the variable has it; `None` for nothing, which counts as not set.
fn written(variable: &str, value: &Value) -> Option<String> {
    let named = |names: &[&'static str]| value.as_u64().and_then(|at| names.get(usize::try_from(at).ok()?).copied());
    let text = match (variable, value) {
        (_, Value::Null) => return None,
        (_, Value::String(text)) => text.clone(),
        ("ECS_IMAGE_PULL_BEHAVIOR", number) => named(&PULL_BEHAVIORS).map_or_else(|| number.to_string(), str::to_owned),
        ("ECS_CONTAINER_INSTANCE_PROPAGATE_TAGS_FROM", number) => {
            named(&TAG_SOURCES).map_or_else(|| number.to_string(), str::to_owned)
        }
        (name, Value::Number(number)) if is_duration(name) => format!("{number}ns"),
        (_, other) => other.to_string(),
    };
    Some(text).filter(|text| !text.trim().is_empty())
}

fn is_duration(variable: &str) -> bool {
    ["_TIMEOUT", "_DURATION", "_INTERVAL", "_AGE", "_PERIOD"].iter().any(|end| variable.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_variables_under_other_names() {
        let text = r#"{"Cluster": "c", "reservedmemory": 64, "ReservedPorts": [22], "TaskCleanupWaitDuration": 60000000000,
            "ImagePullBehavior": 2, "InstanceAttributes": {"a": "b"}, "DisableMetrics": true, "EngineAuthType": "",
            "NoIID": true}"#;
        let (found, unknown) = variables(text).unwrap();
        for (variable, value) in [
            ("ECS_CLUSTER", "c"),
            ("ECS_RESERVED_MEMORY", "64"),
            ("ECS_RESERVED_PORTS", "[22]"),
            ("ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION", "60000000000ns"),
            ("ECS_IMAGE_PULL_BEHAVIOR", "once"),
            ("ECS_INSTANCE_ATTRIBUTES", r#"{"a":"b"}"#),
            ("ECS_DISABLE_METRICS", "true"),
        ] {
            assert_eq!(found[variable], value);
        }
        assert!(!found.contains_key("ECS_ENGINE_AUTH_TYPE"));
        assert_eq!(unknown, ["NoIID"]);
    }

    #[test]
    fn what_is_no_json_is_placed_and_not_quoted() {
        let why = variables("{\"EngineAuthData\": \"hunter2\n").unwrap_err();
        assert!(why.starts_with("line 2 column 0") && !why.contains("hunter2"), "{why}");
    }
}

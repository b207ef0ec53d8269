//! Field names in whatever case: amazon-ecs-agent reads them with Go's `encoding/json`, which takes `MessageID` for `messageId`.

use serde_json::{Map, Value};

/// Objects whose keys are data, not field names.
const DATA: [&str; 6] = ["environment", "labels", "driverOpts", "options", "properties", "overrides"];

/// Brings the field names in `value` to the model's case, wherever the model has such a name. A name that stands there in the right
/// case already wins over one that does not.
pub(crate) fn normalize(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(normalize),
        Value::Object(fields) => {
            rename(fields);
            fields
                .iter_mut()
                .filter(|(name, _)| !DATA.contains(&name.as_str()))
                .for_each(|(_, field)| normalize(field));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn rename(fields: &mut Map<String, Value>) {
    let odd: Vec<_> = fields.keys().filter_map(|name| Some((name.clone(), canonical(name)?))).collect();
    for (name, right) in odd {
        if let Some(field) = fields.remove(&name) {
            fields.entry(right).or_insert(field);
        }
    }
}

/// The model's spelling of a name in another case; `None` for what needs no change.
fn canonical(name: &str) -> Option<&'static str> {
    let at = NAMES.binary_search_by(|known| folded(known).cmp(folded(name))).ok()?;
    NAMES.get(at).copied().filter(|known| *known != name)
}

fn folded(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().map(|byte| byte.to_ascii_lowercase())
}

/// Every field name of `acs-api-2.json`, in the order of its lower case.
#[rustfmt::skip]
const NAMES: &[&str] = &[
    "accessKeyId", "accessPointId", "add", "address", "agentConfiguration", "agentHash", "agentVersion", "arn",
    "asmAuthData", "associations", "attachment", "attachmentArn", "attachmentProperties", "attachments",
    "attachmentType", "authorizationConfig", "autoprovision", "capabilities", "cluster", "clusterArn",
    "command", "condition", "config", "containerArn", "containerInstance", "containerInstanceArn",
    "containerName", "containerPath", "containerPort", "containerPortRange", "containers", "content", "cpu",
    "credentialScope", "credentialsId", "credentialsParameter", "credentialSpecs", "deleteOnTermination",
    "dependsOn", "desiredStatus", "deviceName", "devices", "dockerConfig", "dockerVersion",
    "dockerVolumeConfiguration", "domain", "domainName", "domainNameServers", "driver", "driverOpts", "drop",
    "ebsVolumeConfiguration", "ec2Id", "ecrAuthData", "efsVolumeConfiguration", "elasticNetworkInterfaces",
    "enabled", "enableFaultInjection", "encoding", "endpointOverride", "entryPoint", "environment",
    "environmentFiles", "essential", "executionRoleCredentials", "expiration", "family", "fileSystemId",
    "filesystemType", "firelensConfiguration", "fsxWindowsFileServerVolumeConfiguration", "generatedAt",
    "group", "healthCheckType", "healthy", "host", "hostConfig", "hostPath", "hostPort", "iam",
    "ignoredExitCodes", "image", "index", "initProcessEnabled", "interfaceAssociationProtocol",
    "interfaceIpAddress", "interfaceTunnelProperties", "interfaceVethProperties", "interfaceVlanProperties",
    "ipcMode", "ipv4Addresses", "ipv6Addresses", "isolationMode", "labels", "launchType", "links",
    "linuxParameters", "location", "logDriverVolumeConfiguration", "logsAuthStrategy", "macAddress",
    "managedAgents", "memory", "message", "messageId", "mountPoints", "name", "networkInterfaceNames",
    "networkMode", "options", "overrides", "peerInterface", "permissions", "pidMode", "portMappings", "primary",
    "privateAddress", "privateDnsName", "privileged", "properties", "protocol", "protocolVersion", "provider",
    "proxyConfiguration", "readOnly", "reason", "region", "registryAuthentication", "registryId",
    "restartAttemptPeriod", "restartPolicy", "roleArn", "roleCredentials", "roleType", "rootDirectory", "scope",
    "secretAccessKey", "secrets", "sendCredentials", "seqNum", "serviceName", "sessionToken",
    "sharedMemorySize", "signature", "sourceContainer", "sourcePath", "sourceVolume", "startTimeout",
    "stopCandidates", "stopTasks", "stopTimeout", "subnetGatewayIpv4Address", "subnetGatewayIpv6Address",
    "target", "taskArn", "taskClusterArn", "taskDefinitionAccountId", "tasks", "timeline", "transitEncryption",
    "transitEncryptionPort", "trunkInterfaceMacAddress", "trustedExecutionConfiguration", "tunnelId", "type",
    "updateInfo", "useExecutionRole", "value", "valueFrom", "version", "versionInfo", "vlanId", "volumeId",
    "volumes", "volumesFrom", "waitTimeoutMs", "zone",
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_names_are_in_order() {
        assert!(NAMES.windows(2).all(|pair| folded(pair[0]).lt(folded(pair[1]))));
    }

    #[test]
    fn names_in_any_case_are_the_models_and_data_is_left_alone() {
        let mut value = json!({"MessageID": "m", "tasks": [{"ARN": "a", "Containers": [{"NAME": "default",
            "environment": {"IMAGE": "x", "command": "y"}, "overrides": {"Command": []}, "unheardOf": {"CPU": 1}}]}]});
        normalize(&mut value);
        let expected = json!({"messageId": "m", "tasks": [{"arn": "a", "containers": [{"name": "default",
            "environment": {"IMAGE": "x", "command": "y"}, "overrides": {"Command": []}, "unheardOf": {"cpu": 1}}]}]});
        assert_eq!(value, expected);
        let mut both = json!({"MESSAGEID": "wrong", "messageId": "right"});
        normalize(&mut both);
        assert_eq!(both, json!({"messageId": "right"}));
    }
}

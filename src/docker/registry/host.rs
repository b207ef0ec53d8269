//! The host's own credentials for registries: `registry_auth_data`, in either notation of `ECS_ENGINE_AUTH_DATA`.
//! Source: amazon-ecs-agent, agent/dockerclient/dockerauth/dockerauth.go.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use aws_smithy_types::base64;
use bollard::auth::DockerCredentials;
use ecs_wire::task::Secret;
use serde::Deserialize;

/// How the credentials are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthFormat {
    /// `{"registry": {"username": "..", "password": "..", "email": ".."}}`
    Docker,
    /// What `docker login` writes: `{"registry": {"auth": "base64 of username:password"}}`, or that under `auths`.
    DockerCfg,
}

impl FromStr for AuthFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "docker" => Ok(Self::Docker),
            "dockercfg" => Ok(Self::DockerCfg),
            _ => Err(()),
        }
    }
}

/// A name and its password at a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(super) username: String,
    pub(super) password: Secret,
}

impl Login {
    /// From `base64 of username:password`, as Docker's file and ECR write it.
    pub(super) fn decode(token: &str) -> Option<Self> {
        let text = String::from_utf8(base64::decode(token.trim()).ok()?).ok()?;
        let (username, password) = text.split_once(':')?;
        // Docker pads what it writes with zero bytes.
        let password = password.trim_end_matches('\0').to_owned();
        Some(Self { username: username.to_owned(), password: Secret(password) })
    }

    pub(super) fn for_docker(&self) -> DockerCredentials {
        DockerCredentials {
            username: Some(self.username.clone()),
            password: Some(self.password.0.clone()),
            ..DockerCredentials::default()
        }
    }
}

/// Logins by registry, or by a path in one. `Debug` shows how many there are.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct HostRegistries(BTreeMap<String, Login>);

impl fmt::Debug for HostRegistries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostRegistries({})", self.0.len())
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    username: String,
    password: String,
    auth: String,
}

impl HostRegistries {
    /// The error names the place and never quotes the data.
    pub(crate) fn parse(format: AuthFormat, data: &Secret) -> Result<Self, String> {
        let place = |e: serde_json::Error| format!("line {} column {} of its JSON", e.line(), e.column());
        let mut value: serde_json::Value = serde_json::from_str(&data.0).map_err(place)?;
        if let (AuthFormat::DockerCfg, Some(auths)) = (format, value.get_mut("auths")) {
            value = auths.take();
        }
        let shape = |_| "it is not an object of registries, each with strings in it".to_owned();
        let entries: BTreeMap<String, Entry> = serde_json::from_value(value).map_err(shape)?;
        let login = |(registry, entry): (String, Entry)| {
            let login = match format {
                AuthFormat::Docker => Some(Login { username: entry.username, password: Secret(entry.password) }),
                AuthFormat::DockerCfg => Login::decode(&entry.auth),
            };
            let usable = login.filter(|login| !login.username.is_empty());
            Ok((normal(&registry), usable.ok_or_else(|| format!("the entry of {registry} holds no username"))?))
        };
        entries.into_iter().map(login).collect::<Result<_, _>>().map(Self)
    }

    /// The login of the longest name that `image` begins with.
    pub(super) fn login(&self, image: &str) -> Option<&Login> {
        let image = super::full_name(image);
        let holds = |key: &str| image.strip_prefix(key).is_some_and(|rest| rest.starts_with('/'));
        self.0.iter().filter(|(key, _)| holds(key)).max_by_key(|(key, _)| key.len()).map(|(_, login)| login)
    }
}

/// `https://index.docker.io/v1/` and its like as the names of images begin: `docker.io`.
fn normal(registry: &str) -> String {
    let bare = registry.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    match bare {
        "index.docker.io" | "index.docker.io/v1" | "registry-1.docker.io" => "docker.io".to_owned(),
        other => other.trim_end_matches("/v1").trim_end_matches("/v2").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(format: AuthFormat, data: &str) -> Result<HostRegistries, String> {
        HostRegistries::parse(format, &Secret(data.to_owned()))
    }

    #[test]
    fn both_notations_name_the_same_logins() {
        let docker = r#"{"https://index.docker.io/v1/": {"username":"me","password":"a:b","email":"e@x"},
            "r.example.com:5000": {"username":"you","password":"p"}}"#;
        let cfg = r#"{"https://index.docker.io/v1/": {"auth":"bWU6YTpi"}, "r.example.com:5000": {"auth":"eW91OnA="}}"#;
        let registries = parsed(AuthFormat::Docker, docker).unwrap();
        assert_eq!(parsed(AuthFormat::DockerCfg, cfg).unwrap(), registries);
        assert_eq!(parsed(AuthFormat::DockerCfg, &format!(r#"{{"auths":{cfg}}}"#)).unwrap(), registries);
        let user = |image: &str| registries.login(image).map(|login| login.username.as_str());
        for (image, who) in [
            ("busybox", Some("me")),
            ("docker.io/library/busybox:1", Some("me")),
            ("me/app", Some("me")),
            ("r.example.com:5000/a/b:1", Some("you")),
            ("r.example.com/a", None),
            ("r.example.com:50001/a", None),
        ] {
            assert_eq!(user(image), who, "{image}");
        }
        assert_eq!(registries.login("me/app").unwrap().password.0, "a:b");
    }

    #[test]
    fn the_longest_name_wins() {
        let data = r#"{"r.io":{"username":"all","password":""},"r.io/team":{"username":"team","password":""}}"#;
        let registries = parsed(AuthFormat::Docker, data).unwrap();
        assert_eq!(registries.login("r.io/team/app").unwrap().username, "team");
        assert_eq!(registries.login("r.io/teams/app").unwrap().username, "all");
    }

    #[test]
    fn what_cannot_be_read_is_placed_and_not_quoted() {
        for (format, data) in [
            (AuthFormat::Docker, r#"{"r.io": {"password":"hunter2"}}"#),
            (AuthFormat::Docker, r#"{"r.io": "hunter2"}"#),
            (AuthFormat::Docker, r#"{"r.io": {"username":"me" "hunter2"}}"#),
            (AuthFormat::DockerCfg, r#"{"r.io": {"auth":"hunter2!"}}"#),
        ] {
            let why = parsed(format, data).unwrap_err();
            assert!(!why.contains("hunter2"), "{why}");
        }
        let shown = format!("{:?}", parsed(AuthFormat::Docker, r#"{"r.io":{"username":"me","password":"hunter2"}}"#));
        assert_eq!(shown, "Ok(HostRegistries(1))");
    }
}

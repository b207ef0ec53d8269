//! Which Linux this is, in the words of `ecs.os-type-detailed`.

/// `<ID>_<VERSION_ID>` of os-release, as ecs-init makes it (`ecs-init/docker/docker.go`); `None` if neither is there.
pub(crate) fn detailed() -> Option<String> {
    let text = ["/etc/os-release", "/usr/lib/os-release"].iter().find_map(|path| std::fs::read_to_string(path).ok())?;
    from(&text)
}

fn from(text: &str) -> Option<String> {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
        line.map(|value| value.trim_matches(['"', '\''])).filter(|value| !value.is_empty())
    };
    let id = value("ID")?;
    Some(value("VERSION_ID").map_or_else(|| id.to_owned(), |version| format!("{id}_{version}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_and_the_version_are_joined() {
        let amazon = "NAME=\"Amazon Linux\"\nVERSION=\"2023\"\nID=\"amzn\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"2023\"\n";
        assert_eq!(from(amazon).as_deref(), Some("amzn_2023"));
        assert_eq!(from("ID=arch\n").as_deref(), Some("arch"));
        assert_eq!(from("NAME=x\n"), None);
    }
}

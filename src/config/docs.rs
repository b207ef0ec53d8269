//! The reference of settings, written by the table of keys.

use super::DEFAULT_PATH;
use super::foreign::{Answer, OTHERS};
use super::keys::{Default, Key, PREFIX, keys};
use super::reload::LIVE;

/// docs/configuration.md, word for word.
pub(crate) fn markdown() -> String {
    format!(
        "# Configuration

<!-- Written by `batch-node-agent config --docs`; a test fails when this file differs. -->

The agent reads a TOML file (`--config`, else `{DEFAULT_PATH}` if it exists) and the
environment. A key `idle_timeout` of the file is the variable `{PREFIX}IDLE_TIMEOUT`, and the variable wins. A
variable that is set to nothing counts as not set.

In a variable a list is written `22,2375` or `[22,2375]`, a table `a=b,c=d` or `{{\"a\":\"b\"}}`.
A duration is a whole number and a unit: `ms`, `s`, `m`, `h` or `d`.

Every mistake is reported at once, each with the place where it was made, and the agent then exits with code 5, which
tells systemd not to start it again. `batch-node-agent config` checks a configuration and shows what is in force and
why.

A running agent reads the file again on `systemctl reload batch-node-agent` (SIGHUP), and takes over
{}.
What else has changed is named in a warning, and takes a restart; so does any change of the environment. A file with a mistake
changes nothing.

{}
## Variables of other programs

Where neither the file nor the agent's own variable sets a key, one of these does, if it is in the environment or, as
`KEY=VALUE` lines, in `/etc/ecs/ecs.config` or else `/var/lib/ecs/ecs.config`; or else as the field of the same meaning in
amazon-ecs-agent's JSON file (`ECS_AGENT_CONFIG_FILE_PATH`, else `/etc/ecs/ecs.config.json`). So a host moves over from amazon-ecs-agent
by swapping the service. They are written as amazon-ecs-agent has them: durations as in Go (`1h30m`), lists and tables as
JSON.

{}
amazon-ecs-agent's other variables set nothing here. One whose value asks for something else than what this agent does is
named in a warning at start, and so is an `ECS_` variable that amazon-ecs-agent has not got either.

{}
The endpoints of AWS are set as in every AWS SDK: `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_ECS` (and `_BATCH`, `_EC2`),
`AWS_EC2_METADATA_SERVICE_ENDPOINT`; so are the credentials, which on an instance come from its role.

## Example

```toml
compute_environment = \"my-environment\"
idle_timeout = \"5m\"
image_pull_behavior = \"prefer-cached\"
reserved_memory = 256

[instance_attributes]
stack = \"production\"
```
",
        live(),
        table(),
        foreign(),
        others()
    )
}

/// The keys that take no restart, in lines.
fn live() -> String {
    let names: Vec<String> = LIVE.iter().map(|key| format!("`{key}`")).collect();
    names.chunks(5).map(|line| line.join(", ")).collect::<Vec<_>>().join(",\n")
}

/// A row for each key.
pub(super) fn table() -> String {
    let mut table = "| Key | Default | Value | Meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for key in keys() {
        table.push_str(&row(key));
    }
    table
}

fn row(key: &Key) -> String {
    let default = match key.default {
        Default::Is(value) => format!("`{value}`"),
        Default::Unset(why) => why.to_owned(),
    };
    format!("| `{}` | {default} | {} | {} |\n", key.name, key.expects, key.help)
}

/// A row for each variable of another program that sets a key.
fn foreign() -> String {
    let mut table = "| Variable | Key |\n| --- | --- |\n".to_owned();
    for key in keys() {
        for foreign in key.foreign_variables() {
            table.push_str(&format!("| `{}` | `{}` |\n", foreign.variable, key.name));
        }
    }
    table
}

/// A row for each variable of amazon-ecs-agent that sets none.
fn others() -> String {
    let mut table = "| Variable | What becomes of it |\n| --- | --- |\n".to_owned();
    for (name, answer) in OTHERS {
        let answer = match answer {
            Answer::Always(value) => format!("`{value}` is what this agent does; anything else is not honoured"),
            Answer::Moot(why) => format!("without effect, and without a warning: {why}"),
            Answer::Not(why) => format!("not honoured: {why}"),
        };
        table.push_str(&format!("| `{name}` | {answer} |\n"));
    }
    table
}

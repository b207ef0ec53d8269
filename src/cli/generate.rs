//! `batch-node-agent generate`: what packages install beside the binary, written from the command line's own definition.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Command, Subcommand};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write the man pages, one for each command
    Man {
        /// The folder to write to; it is made if need be
        folder: PathBuf,
    },
    /// Write the completions for a shell, under the name that it looks for
    Completions {
        shell: Shell,
        /// The folder to write to; it is made if need be
        folder: PathBuf,
    },
}

/// The sections of the first page that clap knows nothing of.
const SECTIONS: [(&str, &[(&str, &str)]); 2] = [
    (
        "FILES",
        &[
            (
                "/etc/batch-node-agent/config.toml",
                "The settings, each explained in the file that the package installs.",
            ),
            (
                "/etc/batch-node-agent/environment",
                "Settings as lines BATCH_NODE_AGENT_<KEY>=<value>, for user data to write. They win over config.toml.",
            ),
            ("/var/lib/batch-node-agent", "What the agent knows of its jobs. It must outlive the agent's process."),
            ("/run/batch-node-agent/agent.sock", "Where status, hold, release and drain find the agent."),
        ],
    ),
    (
        "EXIT STATUS",
        &[
            ("0", "The command did its work, or the agent was stopped."),
            ("1", "It failed in a way that another try may mend."),
            ("2", "The command line is wrong."),
            ("5", "A restart cannot mend it, such as a wrong configuration; systemd does not try."),
        ],
    ),
];

pub(crate) fn run(args: GenerateArgs, command: Command) -> anyhow::Result<()> {
    let (What::Man { folder } | What::Completions { folder, .. }) = &args.what;
    let failed = || format!("{} cannot be written to", folder.display());
    std::fs::create_dir_all(folder).with_context(failed)?;
    match &args.what {
        What::Man { .. } => pages(command, folder),
        What::Completions { shell, .. } => completions(*shell, command, folder),
    }
    .with_context(failed)
}

fn completions(shell: Shell, mut command: Command, folder: &Path) -> io::Result<()> {
    let name = command.get_name().to_owned();
    clap_complete::generate_to(shell, &mut command, name, folder).map(drop)
}

fn pages(command: Command, folder: &Path) -> io::Result<()> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    page(&command, &SECTIONS, folder)
}

/// The page of a command, and those of the commands below it.
fn page(command: &Command, sections: &[(&str, &[(&str, &str)])], folder: &Path) -> io::Result<()> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        page(below, &[], folder)?;
    }
    let man = Man::new(command.clone()).manual("batch-node-agent");
    let mut file = BufWriter::new(File::create(folder.join(man.get_filename()))?);
    man.render_title(&mut file)?;
    man.render_name_section(&mut file)?;
    man.render_synopsis_section(&mut file)?;
    man.render_description_section(&mut file)?;
    man.render_options_section(&mut file)?;
    if command.get_subcommands().any(|below| !below.is_hide_set()) {
        man.render_subcommands_section(&mut file)?;
    }
    for (title, entries) in sections {
        section(title, entries).to_writer(&mut file)?;
    }
    file.flush()
}

fn section(title: &str, entries: &[(&str, &str)]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    for (term, text) in entries {
        roff.control("TP", []).text([bold(*term)]).text([roman(*text)]);
    }
    roff
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    fn generated(what: What) -> Vec<(String, String)> {
        let (What::Man { folder } | What::Completions { folder, .. }) = &what;
        let folder = folder.clone();
        run(GenerateArgs { what }, Cli::command()).unwrap();
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.map(|path| (name(&path), std::fs::read_to_string(&path).unwrap())).collect()
    }

    fn name(path: &Path) -> String {
        path.file_name().unwrap().to_string_lossy().into_owned()
    }

    #[test]
    fn each_command_has_a_page_with_all_its_options() {
        let folder = tempfile::tempdir().unwrap();
        let pages = generated(What::Man { folder: folder.path().join("new") });
        let page = |name: &str| &pages.iter().find(|(file, _)| file == name).unwrap_or_else(|| panic!("no {name}")).1;
        for command in Cli::command().get_subcommands() {
            let text = page(&format!("batch-node-agent-{}.1", command.get_name()));
            for option in command.get_arguments().filter(|a| !a.is_hide_set()).filter_map(clap::Arg::get_long) {
                assert!(text.contains(&option.replace('-', "\\-")), "{}: --{option}", command.get_name());
            }
        }
        let first = page("batch-node-agent.1");
        assert!(first.contains(".SH FILES") && first.contains(".SH \"EXIT STATUS\""), "{first}");
    }

    #[test]
    fn each_shell_finds_its_completions_under_the_name_it_looks_for() {
        for (shell, file) in [
            (Shell::Bash, "batch-node-agent.bash"),
            (Shell::Zsh, "_batch-node-agent"),
            (Shell::Fish, "batch-node-agent.fish"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let files = generated(What::Completions { shell, folder: folder.path().to_owned() });
            assert_eq!(files.len(), 1);
            assert_eq!(files[0].0, file);
            assert!(files[0].1.contains("host-shutdown"), "{}", files[0].1);
        }
    }
}

//! What the processors wrote, read back and checked against the files themselves.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, ensure};
use serde::Deserialize;
use tokio::process::Command;

/// Paths that one sha256sum is given: far from the limits of a command line.
const HASH_AT_ONCE: usize = 500;

/// The result of one file, as processor.sh writes it.
#[derive(Debug, Deserialize)]
pub(crate) struct Measured {
    /// The path, relative to the input folder.
    pub(crate) file: String,
    pub(crate) lines: u64,
    pub(crate) words: u64,
    pub(crate) bytes: u64,
    pub(crate) gzip_bytes: u64,
    pub(crate) sha256: String,
}

/// Reads the results that are there; one that is missing is no error here, one that is not JSON is.
pub(crate) fn read(output: &Path, files: &[String]) -> anyhow::Result<Vec<Measured>> {
    let mut results = Vec::with_capacity(files.len());
    for file in files {
        let path = output.join(format!("{file}.json"));
        if path.is_file() {
            let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            results.push(serde_json::from_slice(&text).with_context(|| format!("the result {}", path.display()))?);
        }
    }
    Ok(results)
}

/// Measures every file again, without containers, and says where the results differ. A file that was written to
/// since `started` is passed over: nobody knows which version the job saw.
pub(crate) async fn verify(input: &Path, results: &[Measured], started: SystemTime) -> anyhow::Result<Vec<String>> {
    let still: Vec<&Measured> = results.iter().filter(|result| is_older(&input.join(&result.file), started)).collect();
    let mut hashes = BTreeMap::new();
    for some in still.chunks(HASH_AT_ONCE) {
        hashes.append(&mut sha256sums(input, some).await?);
    }
    let mut mistakes = Vec::new();
    for result in still {
        let (lines, bytes) = count(&input.join(&result.file)).with_context(|| format!("measuring {}", result.file))?;
        if hashes.get(&result.file) != Some(&result.sha256) {
            mistakes.push(format!("{}: the checksum is wrong", result.file));
        }
        if (lines, bytes) != (result.lines, result.bytes) {
            mistakes.push(format!(
                "{}: {} lines and {} bytes, should be {lines} and {bytes}",
                result.file, result.lines, result.bytes
            ));
        }
    }
    Ok(mistakes)
}

fn is_older(path: &Path, than: SystemTime) -> bool {
    path.metadata().and_then(|found| found.modified()).is_ok_and(|modified| modified < than)
}

fn count(path: &Path) -> std::io::Result<(u64, u64)> {
    let mut reader = BufReader::new(File::open(path)?);
    let (mut lines, mut bytes) = (0, 0);
    loop {
        let some = reader.fill_buf()?;
        if some.is_empty() {
            return Ok((lines, bytes));
        }
        lines += some.iter().filter(|&&byte| byte == b'\n').count() as u64;
        bytes += some.len() as u64;
        let read = some.len();
        reader.consume(read);
    }
}

/// Checksums by the host's own program, by path: a second opinion on the busybox that the containers run.
async fn sha256sums(input: &Path, results: &[&Measured]) -> anyhow::Result<BTreeMap<String, String>> {
    let paths = results.iter().map(|result| &result.file);
    let made = Command::new("sha256sum").args(["--zero", "--"]).args(paths).current_dir(input).output().await;
    let made = made.context("running sha256sum")?;
    ensure!(made.status.success(), "sha256sum: {}", String::from_utf8_lossy(&made.stderr).trim());
    let said = String::from_utf8(made.stdout).context("what sha256sum said")?;
    let pairs = said.split_terminator('\0').filter_map(|line| line.split_once("  "));
    Ok(pairs.map(|(hash, path)| (path.to_owned(), hash.to_owned())).collect())
}

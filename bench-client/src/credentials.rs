//! Who the connections are, as the command line tells.
//!
//! Owns the three ways of telling a password. Knows nothing of what it is sent to.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;

/// A password file that is longer is the wrong file.
const PASSWORD_BYTES_MAX: u64 = 4096;

/// User and password.
#[derive(Clone, Debug, Args)]
pub(crate) struct Credentials {
    /// User for AUTH; needs a password.
    #[arg(long, value_name = "USER")]
    username: Option<String>,
    /// Password for AUTH. The environment keeps it out of the process list.
    #[arg(long, value_name = "PASSWORD", env = "SLOTWAY_BENCH_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// File that holds the password for AUTH.
    #[arg(long, value_name = "FILE", conflicts_with = "password")]
    password_file: Option<PathBuf>,
}

impl Credentials {
    /// User and password, read from where they are.
    pub(crate) fn read(self) -> Result<(Option<String>, Option<String>)> {
        let password = match &self.password_file {
            Some(path) => Some(read_password(path)?),
            None => self.password,
        };
        ensure!(
            self.username.is_none() || password.is_some(),
            "--username needs --password, --password-file or SLOTWAY_BENCH_PASSWORD"
        );
        Ok((self.username, password))
    }
}

/// The password in a file, without the line break at its end.
fn read_password(path: &Path) -> Result<String> {
    let cannot = || format!("--password-file {}", path.display());
    let mut text = String::new();
    let file = File::open(path).with_context(cannot)?;
    file.take(PASSWORD_BYTES_MAX).read_to_string(&mut text).with_context(cannot)?;
    let password = text.trim_end_matches(['\r', '\n']);
    ensure!(!password.is_empty(), "--password-file {}: it is empty", path.display());
    Ok(password.to_owned())
}

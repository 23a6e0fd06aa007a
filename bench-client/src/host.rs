//! What is known of the machine this program runs on, and the CPU time and memory that programs use.
//!
//! Owns reading `/proc`. Knows nothing of whose processes they are; what cannot be read is absent, never an error.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Linux counts CPU time for programs in hundredths of a second, whatever the kernel's own tick.
const TICKS_PER_SECOND: u64 = 100;

/// The client's machine.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// Kernel name and release.
    pub(crate) kernel: Option<String>,
    /// The processor's name.
    pub(crate) cpu_model: Option<String>,
    /// Who decides how fast the first core runs.
    pub(crate) cpu_governor: Option<String>,
    /// Cores this program may use.
    pub(crate) cores: usize,
    /// Memory in mebibytes.
    pub(crate) memory_mib: Option<u64>,
}

impl Host {
    /// Reads what there is to read.
    pub(crate) fn read() -> Host {
        let read = |path| fs::read_to_string(path).ok();
        Host {
            kernel: read("/proc/sys/kernel/osrelease").map(|text| format!("Linux {}", text.trim())),
            cpu_model: read("/proc/cpuinfo").as_deref().and_then(cpu_model),
            cpu_governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
                .map(|text| text.trim().to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: read("/proc/meminfo").as_deref().and_then(memory_mib),
        }
    }
}

/// CPU time of all threads of this program so far.
pub(crate) fn cpu_time() -> Option<Duration> {
    fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(parse_cpu_time)
}

/// CPU time, user and system, of all threads of a process so far.
pub(crate) fn cpu_time_of(pid: u32) -> Option<Duration> {
    fs::read_to_string(format!("/proc/{pid}/stat")).ok().as_deref().and_then(parse_cpu_time)
}

/// CPU time of everything that runs on this machine so far, and what a hypervisor gave to others.
pub(crate) fn busy_time() -> Option<Duration> {
    fs::read_to_string("/proc/stat").ok().as_deref().and_then(parse_busy_time)
}

/// The first three figures of `/proc/loadavg`.
pub(crate) fn load_average() -> Option<String> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    Some(text.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
}

/// The memory a process has now, and the most it has had, in KiB.
pub(crate) fn memory_kib_of(pid: u32) -> Option<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let figure = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    Some((figure("VmRSS:")?, figure("VmHWM:")?))
}

/// Starts the count of the most memory a process has had anew. Only its owner may; without it the
/// count is since the process was started.
pub(crate) fn forget_peak_of(pid: u32) {
    let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// Raises the limit on open files as far as it may be; returns it.
pub(crate) fn raise_open_files() -> u64 {
    let files = rustix::process::Resource::Nofile;
    let limit = rustix::process::getrlimit(files);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    match rustix::process::setrlimit(files, raised) {
        Ok(()) => limit.maximum.unwrap_or(u64::MAX),
        Err(_) => limit.current.unwrap_or(u64::MAX),
    }
}

/// How the two ends of a connection lie to each other, as far as addresses tell.
pub(crate) fn network_path(local: IpAddr, peer: SocketAddr) -> &'static str {
    if peer.ip().is_loopback() {
        "loopback: client and target share this machine's cores"
    } else if local == peer.ip() {
        "the target's address is this machine's own: client and target share its cores"
    } else {
        "another address; whether it is another machine cannot be told from here"
    }
}

fn cpu_model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn memory_mib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib / 1024)
}

/// User and system time are the 14th and 15th field; the second is the program's name in brackets,
/// which may itself contain spaces and brackets.
fn parse_cpu_time(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1000 / TICKS_PER_SECOND))
}

/// User, nice, system, interrupts of both kinds and stolen time; idle and waiting left out. Guests
/// are counted as user already.
fn parse_busy_time(stat: &str) -> Option<Duration> {
    let line = stat.lines().find(|line| line.starts_with("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().skip(1).map_while(|t| t.parse().ok()).collect();
    let busy: u64 = [0, 1, 2, 5, 6, 7].iter().filter_map(|field| ticks.get(*field)).sum();
    Some(Duration::from_millis(busy * 1000 / TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_an_odd_name() {
        let stat = "12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 1 0 100";
        assert_eq!(parse_cpu_time(stat), Some(Duration::from_secs(2)));
        assert_eq!(parse_cpu_time("nonsense"), None);
        assert_eq!(parse_cpu_time("1 (x) S 1"), None);
    }

    #[test]
    fn idle_time_is_not_busy() {
        let stat = "cpu  100 0 50 9999 7 1 2 3 40 0\ncpu0 1 1 1 1\n";
        assert_eq!(parse_busy_time(stat), Some(Duration::from_millis(1560)));
        assert_eq!(parse_busy_time("intr 1"), None);
    }

    #[test]
    fn this_program_has_memory_and_a_peak() {
        let (now, peak) = memory_kib_of(std::process::id()).unwrap();
        assert!(now > 0 && peak >= now);
    }

    #[test]
    fn proc_files_are_read() {
        assert_eq!(cpu_model("a: b\nmodel name\t: Fast 9000\n").as_deref(), Some("Fast 9000"));
        assert_eq!(memory_mib("MemTotal:       2048 kB\n"), Some(2));
        assert_eq!(memory_mib("MemTotal:"), None);
    }

    #[test]
    fn shared_machines_are_told() {
        let path =
            |local: &str, peer: &str| network_path(local.parse().unwrap(), peer.parse().unwrap());
        assert!(path("127.0.0.1", "127.0.0.1:1").starts_with("loopback"));
        assert!(path("10.0.0.1", "10.0.0.1:1").contains("own"));
        assert!(path("10.0.0.1", "10.0.0.2:1").starts_with("another"));
    }
}

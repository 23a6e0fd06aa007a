//! How much memory there is: the container's, or else the machine's.
//!
//! Owns the budget of a gateway that was given none. Must not know what it is used for.

/// The part of the machine's or container's memory that is the budget when none is set.
const DEFAULT_PERCENT: u64 = 60;

/// The budget when none is set: a part of the memory that the container, or else the machine, has.
pub fn default_budget() -> usize {
    let bytes = memory_of_container().into_iter().chain(memory_of_machine()).min();
    let share = bytes.unwrap_or(u64::MAX) / 100 * DEFAULT_PERCENT;
    usize::try_from(share).unwrap_or(usize::MAX)
}

/// The limits of the control groups that this process is in; both versions of their files.
fn memory_of_container() -> Option<u64> {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let paths = own.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let limits = paths.chain(["/"]).flat_map(|path| {
        let path = path.trim_end_matches('/');
        [
            format!("/sys/fs/cgroup{path}/memory.max"),
            format!("/sys/fs/cgroup/memory{path}/memory.limit_in_bytes"),
        ]
    });
    limits.filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok()).min()
}

fn memory_of_machine() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_a_part_of_what_there_is() {
        let machine = memory_of_machine().unwrap();
        let budget = default_budget() as u64;
        assert!(budget > 0 && budget <= machine / 100 * DEFAULT_PERCENT);
    }
}

//! Whether the kernel ended a trainer because memory ran out.
//!
//! A SIGKILL says nothing of who sent it, and a trainer that anybody else killed must go on with the same micro-batches: its bits
//! depend on them. The kernel counts what it kills for memory, in a control group and in the whole machine alike.

/// How often the kernel has killed for want of memory since the machine started; `None` where it does not say.
pub(crate) fn kernel_kills() -> Option<u64> {
    count(&std::fs::read_to_string("/proc/vmstat").ok()?)
}

fn count(vmstat: &str) -> Option<u64> {
    vmstat.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_found() {
        assert_eq!(count("pgfault 17\noom_kill 3\noom_kill_disable 0\n"), Some(3));
        assert_eq!(count("pgfault 17\n"), None);
    }
}

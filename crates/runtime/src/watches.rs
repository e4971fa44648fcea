//! Watching files: the kernel counts what all dynos do against the one user who made their namespaces, root. With its
//! usual limit, 128 instances, one dyno could leave the others, and the machine's own services, without.

use std::{fs, path::Path};

use renga_supervision::{INOTIFY_INSTANCES_MAX, INOTIFY_WATCHES_MAX};

use crate::error::{Doing, Result};

/// Makes room for what `dynos` dynos may have; never less than the machine has already.
pub(crate) fn raise(dynos: u32) -> Result<()> {
    let limits = [("max_user_instances", INOTIFY_INSTANCES_MAX), ("max_user_watches", INOTIFY_WATCHES_MAX)];
    for (name, of_one) in limits {
        let path = Path::new("/proc/sys/fs/inotify").join(name);
        let Ok(text) = fs::read_to_string(&path) else { continue };
        if let Some(wanted) = raised(&text, of_one, dynos) {
            fs::write(&path, wanted.to_string()).doing("raise", path.display())?;
            tracing::info!("raised {} from {} to {wanted}", path.display(), text.trim());
        }
    }
    Ok(())
}

/// One share more than the dynos have is the machine's own.
fn raised(now: &str, of_one: u64, dynos: u32) -> Option<u64> {
    let wanted = (of_one * (u64::from(dynos) + 1)).min(i32::MAX as u64);
    now.trim().parse::<u64>().is_ok_and(|now| now < wanted).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_only_raised() {
        assert_eq!(raised("128\n", 128, 256), Some(32_896));
        assert_eq!(raised("40000\n", 128, 256), None);
        assert_eq!(raised("192536\n", 65_536, 256), Some(16_842_752));
        assert_eq!(raised("1\n", 65_536, u32::MAX), Some(2_147_483_647));
        assert_eq!(raised("?\n", 128, 256), None);
    }
}

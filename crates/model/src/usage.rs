//! What a dyno takes of the machine.

use serde::{Deserialize, Serialize};

/// Memory of all processes of a dyno together, as the kernel counts it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryUsage {
    /// What the processes allocated, and what they keep in `/dev/shm` and the like.
    pub resident_bytes: u64,
    /// Files that were read or written a while ago. The kernel gives them up for anything better.
    pub cache_bytes: u64,
    pub swap_bytes: u64,
    /// None where the kernel does not count them (version 2 of control groups).
    pub pages: Option<PagesMoved>,
}

/// Pages that the dyno was charged for, and that it was rid of again, since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PagesMoved {
    pub pages_in: u64,
    pub pages_out: u64,
}

/// The writable layer of a dyno.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskUsage {
    pub total_bytes: u64,
    pub free_bytes: u64,
    /// Files that can still be made.
    pub files_free: u64,
}

impl MemoryUsage {
    /// What is held against the quota (R14). Cache is not: a large slug that was read once would be called greedy.
    pub fn counted_bytes(&self) -> u64 {
        self.resident_bytes.saturating_add(self.swap_bytes)
    }
    pub fn total_bytes(&self) -> u64 {
        self.counted_bytes().saturating_add(self.cache_bytes)
    }
}

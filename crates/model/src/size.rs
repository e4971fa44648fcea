//! Dyno sizes: what a dyno may use. Figures: Heroku's published size table (memory, processes, CPU share).

/// One row of the table. Memory in MiB, processes count threads too, shares are relative to `standard-1x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DynoSize {
    /// As the API shows it: `Standard-1X`. Matched without regard to case.
    pub name: &'static str,
    pub memory_mib: u64,
    pub cpu_shares: u64,
    pub processes_max: u64,
}

pub const SIZES: [DynoSize; 9] = [
    DynoSize { name: "Eco", memory_mib: 512, cpu_shares: 1024, processes_max: 256 },
    DynoSize { name: "Basic", memory_mib: 512, cpu_shares: 1024, processes_max: 256 },
    DynoSize { name: "Standard-1X", memory_mib: 512, cpu_shares: 1024, processes_max: 256 },
    DynoSize { name: "Standard-2X", memory_mib: 1024, cpu_shares: 2048, processes_max: 512 },
    DynoSize { name: "Performance-M", memory_mib: 2560, cpu_shares: 12288, processes_max: 16384 },
    DynoSize { name: "Performance-L", memory_mib: 14336, cpu_shares: 51200, processes_max: 32768 },
    DynoSize { name: "Performance-L-RAM", memory_mib: 30720, cpu_shares: 24576, processes_max: 32768 },
    DynoSize { name: "Performance-XL", memory_mib: 63488, cpu_shares: 51200, processes_max: 32768 },
    DynoSize { name: "Performance-2XL", memory_mib: 129_024, cpu_shares: 102_400, processes_max: 32768 },
];

impl DynoSize {
    pub fn find(name: &str) -> Option<&'static DynoSize> {
        SIZES.iter().find(|size| size.name.eq_ignore_ascii_case(name))
    }
    /// Whether dynos of this size stop while their app has no web traffic.
    pub fn sleeps(name: &str) -> bool {
        name.eq_ignore_ascii_case("eco")
    }
    /// What a new app gets.
    pub fn default_size() -> &'static DynoSize {
        &SIZES[1]
    }
    pub fn memory_bytes(&self) -> u64 {
        self.memory_mib * 1024 * 1024
    }
}

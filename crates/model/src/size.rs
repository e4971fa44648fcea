//! Dyno sizes: what a dyno may use. Heroku's published table (memory, processes, CPU share), which the operator may
//! change and extend: whoever needs a size is handed the [`Sizes`] of the configuration.

/// What one size allows. Processes count threads too; shares are 1024 for each of Heroku's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynoSize {
    /// As the API shows it: `Standard-1X`. Matched without regard to case.
    pub name: String,
    pub memory_mib: u64,
    pub cpu_shares: u64,
    pub processes_max: u64,
    /// Files open at one time, per process.
    pub open_files_max: u64,
    /// Writable layer; none: what dynos have unless told otherwise.
    pub disk_mib: Option<u64>,
}

/// Figures that the operator gives; what is absent stays as it is, or as Standard-1X has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SizeFigures {
    pub memory_mib: Option<u64>,
    pub cpu_shares: Option<u64>,
    pub processes_max: Option<u64>,
    pub open_files_max: Option<u64>,
    pub disk_mib: Option<u64>,
}

/// Every size of a platform, Heroku's first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes(Vec<DynoSize>);

/// The size of new apps, and what one has that is no longer in the table.
const DEFAULT: &str = "Basic";
/// Files open at one time, per process (Heroku: 10,000).
const OPEN_FILES_MAX: u64 = 10_000;
const HEROKU: [(&str, u64, u64, u64); 9] = [
    ("Eco", 512, 1024, 256),
    ("Basic", 512, 1024, 256),
    ("Standard-1X", 512, 1024, 256),
    ("Standard-2X", 1024, 2048, 512),
    ("Performance-M", 2560, 12288, 16384),
    ("Performance-L", 14336, 51200, 32768),
    ("Performance-L-RAM", 30720, 24576, 32768),
    ("Performance-XL", 63488, 51200, 32768),
    ("Performance-2XL", 129_024, 102_400, 32768),
];

impl DynoSize {
    /// Whether dynos of this size stop while their app has no web traffic.
    pub fn sleeps(name: &str) -> bool {
        name.eq_ignore_ascii_case("eco")
    }
    pub fn memory_bytes(&self) -> u64 {
        self.memory_mib * 1024 * 1024
    }

    fn new(name: &str, memory_mib: u64, cpu_shares: u64, processes_max: u64) -> Self {
        let open_files_max = OPEN_FILES_MAX;
        Self { name: name.into(), memory_mib, cpu_shares, processes_max, open_files_max, disk_mib: None }
    }

    fn take(&mut self, figures: &SizeFigures) {
        self.memory_mib = figures.memory_mib.unwrap_or(self.memory_mib);
        self.cpu_shares = figures.cpu_shares.unwrap_or(self.cpu_shares);
        self.processes_max = figures.processes_max.unwrap_or(self.processes_max);
        self.open_files_max = figures.open_files_max.unwrap_or(self.open_files_max);
        self.disk_mib = figures.disk_mib.or(self.disk_mib);
    }
}

impl Sizes {
    /// Heroku's table.
    pub fn heroku() -> Self {
        Self(
            HEROKU
                .iter()
                .map(|(name, memory, shares, most)| DynoSize::new(name, *memory, *shares, *most))
                .collect(),
        )
    }

    pub fn find(&self, name: &str) -> Option<&DynoSize> {
        self.0.iter().find(|size| size.name.eq_ignore_ascii_case(name))
    }

    pub fn iter(&self) -> impl Iterator<Item = &DynoSize> {
        self.0.iter()
    }

    /// What a new app gets.
    pub fn default_size(&self) -> &DynoSize {
        self.find(DEFAULT).unwrap_or(&self.0[0])
    }

    /// The size that a name stands for now. One that the operator has taken out of the table is as the default.
    pub fn standing_for(&self, name: &str) -> &DynoSize {
        self.find(name).unwrap_or_else(|| self.default_size())
    }

    /// The figures of a size that is there change; any other name is a new size.
    pub fn put(&mut self, name: &str, figures: &SizeFigures) {
        let known = self.0.iter().position(|size| size.name.eq_ignore_ascii_case(name));
        let at = known.unwrap_or_else(|| {
            self.0.push(DynoSize::new(name, 512, 1024, 256));
            self.0.len() - 1
        });
        self.0[at].take(figures);
    }

    /// `Eco, Basic and Standard-1X`
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(|size| size.name.as_str()).collect();
        match names.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, before)) => format!("{} and {last}", before.join(", ")),
            None => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_found_changed_and_added() {
        let mut sizes = Sizes::heroku();
        assert_eq!(sizes.default_size().name, "Basic");
        sizes.put("standard-1x", &SizeFigures { memory_mib: Some(768), ..SizeFigures::default() });
        sizes.put(
            "Tiny",
            &SizeFigures { memory_mib: Some(128), disk_mib: Some(64), ..SizeFigures::default() },
        );
        let one = sizes.find("STANDARD-1X").unwrap();
        assert_eq!((one.name.as_str(), one.memory_mib, one.processes_max), ("Standard-1X", 768, 256));
        let tiny = sizes.find("tiny").unwrap();
        assert_eq!((tiny.memory_bytes(), tiny.disk_mib, tiny.open_files_max), (128 << 20, Some(64), 10_000));
        assert_eq!(sizes.iter().count(), 10);
        assert!(sizes.names().ends_with("Performance-2XL and Tiny"), "{}", sizes.names());
        assert_eq!(sizes.find("huge"), None);
        assert_eq!(
            (sizes.standing_for("TINY").memory_mib, &*sizes.standing_for("huge").name),
            (128, "Basic")
        );
    }
}

//! The hand that runs dynos on this machine: mounts, networks, cgroups, supervisors, and the layers they leave.
//!
//! [`Hand`] implements `ports::Runtime`. It runs as root inside the process `renga node`, listens to nobody but its
//! caller, and keeps no database: a dyno is a directory, `DATA_DIR/node/dynos/<id>`, and what it is made of follows
//! from two small files in it that are written before anything is made (`label.json`, who it is; `plan.json`, which
//! numbers and layers it has). Kill the process anywhere, and the next [`Hand::open`] finds every dyno again.
//!
//! ```text
//!            reserve                make                    follow
//! (nothing) ────────> directory ──────────> supervisor ──────────────> running ──port──> ready
//!                        │                      │                         │                │
//!                        └──────failure─────────┴────────> exited <───────┴──────exit──────┘
//!                                                             │ pack, read_file
//!                                              (nothing) <──forget
//! ```
//!
//! * *reserve* chooses number, address and id range, and writes them down.
//! * *make* builds the root file system (stack and layers as clones of images that are mounted once, owners shifted
//!   into the dyno's range of ids; a sparse ext4 image on top) and, at the same time, the network (a veth pair on the
//!   instance's bridge). Then it starts `renga-dyno`, which owns the process from there on and outlives this one.
//! * *follow* watches the supervisor's pidfd, probes the port, and passes wishes to stop on.
//! * *forget* takes everything away again; before it, what the dyno left may be packed into a layer or read.
//!
//! It refuses to run on a machine without user namespaces, seccomp and limits (unless told otherwise), to follow any
//! link that a dyno left, to take input files from anywhere but the exchange directory, and to start or pack when the
//! disk's floor is reached. All names on the machine carry the instance's, so that several live side by side.

mod attach;
mod binds;
mod cgroup;
mod check;
mod config;
mod crowd;
mod disk;
mod end;
mod error;
mod files;
mod follow;
mod freeze;
mod guard;
mod hand;
mod host;
mod images;
mod layers;
mod mounts;
mod net;
mod open;
mod owners;
mod pack;
mod paths;
mod plan;
mod program;
mod rootfs;
mod stack;
mod start;
mod supervisor;
mod sys;
mod table;
mod upper;
mod watches;

pub use attach::{attach, exec};
pub use config::{Config, ConfigMistake, InstanceName, Ipv4Cidr, RANGE_IDS, resolvers};
pub use error::HandError;
pub use hand::Hand;
pub use host::{Finding, HostFacts, Stops, Verdict, judge as judge_host};
pub use net::subnet_conflict;
pub use open::remove_instance;

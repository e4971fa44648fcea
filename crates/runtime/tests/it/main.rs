//! The hand against the real thing: mounts, network namespaces, cgroups and `renga-dyno`, as root.

mod files;
mod lifecycle;
mod network;
mod packing;
mod site;

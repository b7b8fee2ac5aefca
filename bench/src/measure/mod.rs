//! What is measured and how it is written down: distributions, processes, disks, the machine.

pub(crate) mod disk;
pub(crate) mod machine;
pub(crate) mod process;
pub(crate) mod stats;
pub(crate) mod table;

//! Code that is tried beside what runs: it shows what it would do, costs what it may, and writes nothing.

mod assemblies;
mod rows;
mod stage;

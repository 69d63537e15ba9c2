//! The stores against a plain map, on a disk that fails.

mod conformance;
mod damage;
mod faults;
mod format;
mod power_cuts;
mod rows;
mod size;
mod space;
mod subject;

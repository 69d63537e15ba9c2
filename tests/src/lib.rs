//! Whole nodes together. The suites stand beside this folder.

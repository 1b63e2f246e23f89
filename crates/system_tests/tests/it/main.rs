//! The whole system from outside.

mod end_to_end;
mod kills;
mod siege;
mod startup;

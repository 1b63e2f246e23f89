//! The whole system from outside.

mod contract;
mod end_to_end;
mod faults;
mod kills;
mod outage;
mod runserver;
mod siege;
mod startup;
mod stuck;

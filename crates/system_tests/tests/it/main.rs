//! Tests of the whole system, as processes.

mod clocks;
mod contract;
mod end_to_end;
mod faults;
mod kills;
mod outage;
mod pooler;
mod refusals;
mod runserver;
mod siege;
mod silent;
mod startup;
mod stuck;

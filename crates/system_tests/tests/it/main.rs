//! Tests of the whole system, as processes.

mod ambiguous;
mod clocks;
mod contract;
mod end_to_end;
mod faults;
mod idle;
mod kills;
mod outage;
mod pooler;
mod refusals;
mod runserver;
mod siege;
mod silent;
mod startup;
mod stuck;
mod unwritable;

//! The broker from outside: producers and consumer groups of librdkafka through the fixed address, restarts, and the
//! program's own start.

mod broker;
mod program;

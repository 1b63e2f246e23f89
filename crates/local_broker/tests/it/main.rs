//! Tests of the broker with librdkafka's producers and consumer groups through the fixed address, and of the program.

mod broker;
mod program;

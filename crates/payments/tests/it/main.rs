//! payments from outside: its reducer against a model of the world, its ledger on both databases, its gateway adapter and
//! its API.

mod saga_model;

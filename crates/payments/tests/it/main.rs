//! payments from outside: its reducer against a model of the world, its executor and ledger on both databases, its
//! gateway adapter against a scripted gateway, and its start.

mod app;
mod attention;
mod budgets;
mod concurrency;
mod dead_letters;
mod executor;
mod failed_commits;
mod gateway_adapter;
mod harness;
mod key_lifetime;
mod ledger;
mod lists;
mod messages;
mod migrations;
mod model;
mod openapi;
mod operator;
mod outcome_versions;
mod reference;
mod restored;
mod saga_md;
mod saga_model;
mod silence;
mod slow_gateway;
mod times;
mod unclear_answers;
mod webhook;

//! Kafka mechanics over rdkafka: one producer ([`Relay::commit`], outbox, sweeper) and one consumer (batches, offsets after
//! the commit, dead letters). It moves keys, headers and bodies, and knows nothing of claims.
//!
//! It owns the tables `outbox`, `dead_letters` and `write_probe`, and their migrations. A service applies [`MIGRATIONS`] beside its own.

mod client;
mod consumer;
mod dead_letters;
mod insert_rows;
mod mailbox;
mod member;
mod member_context;
mod membership;
mod message;
pub mod metrics;
mod outbox;
mod poison;
mod producer;
mod publications;
mod rebuild;
mod redrive;
mod refusals;
mod relay;
mod schema;
mod security;
mod settings;
mod topics;
mod waiting_keys;

pub use consumer::{Consumer, Handler};
pub use dead_letters::{
    DeadLetter, DeadLetterState, KeptDeadLetter, NewDeadLetters, count as count_dead_letters,
    count_waiting as count_waiting_dead_letters, find as find_dead_letter, insert as insert_dead_letters,
    list as list_dead_letters, unpublishable,
};
pub use insert_rows::InsertRows;
pub use message::{IncomingMessage, OutgoingMessage};
pub use outbox::{EventPointer, OutboxRow, RowHeaders, pending as pending_in_outbox};
pub use publications::Publications;
pub use rebuild::Rebuild;
pub use redrive::{DeadLetterAction, Disposition, discard as discard_dead_letter, redrive as redrive_dead_letter};
pub use relay::{BeforePublish, Relay};
pub use security::{Protocol, SaslMechanism, SecuritySettings};
pub use settings::{ConsumerSettings, KafkaSettings, OutboxSettings, ProducerSettings, TopicSettings};
pub use waiting_keys::for_each_waiting_key;

use diesel_migrations::embed_migrations;
use dual_db::Migrations;

/// The tables of this crate.
pub static MIGRATIONS: Migrations = Migrations {
    sqlite: embed_migrations!("migrations/sqlite"),
    postgres: embed_migrations!("migrations/postgres"),
    probes: schema::PROBES,
};

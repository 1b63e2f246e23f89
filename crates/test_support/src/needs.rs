//! Tests that need a server. Each macro wraps whole tests, with their `#[test]` or `#[tokio::test]`. If the environment named the
//! server at build time (`build.rs`), they are unchanged; otherwise they are ignored, with the reason.

/// Tests that need a PostgreSQL server.
#[cfg(has_postgres)]
#[macro_export]
macro_rules! on_postgres {
    ($($test:item)+) => { $($test)+ };
}

/// Tests that need a PostgreSQL server.
#[cfg(not(has_postgres))]
#[macro_export]
macro_rules! on_postgres {
    ($($test:item)+) => { $( #[ignore = "TEST_POSTGRES_URL names no PostgreSQL server"] $test )+ };
}

/// Tests that need the Kafka of `scripts/services.sh`. Their names end in `_on_kafka`, which the test counts rely on.
#[cfg(has_kafka)]
#[macro_export]
macro_rules! on_kafka {
    ($($test:item)+) => { $($test)+ };
}

/// Tests that need the Kafka of `scripts/services.sh`. Their names end in `_on_kafka`, which the test counts rely on.
#[cfg(not(has_kafka))]
#[macro_export]
macro_rules! on_kafka {
    ($($test:item)+) => { $( #[ignore = "TEST_KAFKA_BROKERS names no Kafka"] $test )+ };
}

/// Tests that need both servers. Their names end in `_and_kafka`, which the test counts rely on.
#[cfg(has_postgres)]
#[macro_export]
macro_rules! on_postgres_and_kafka {
    ($($test:item)+) => { $( $crate::on_kafka! { $test } )+ };
}

/// Tests that need both servers. Their names end in `_and_kafka`, which the test counts rely on.
#[cfg(not(has_postgres))]
#[macro_export]
macro_rules! on_postgres_and_kafka {
    ($($test:item)+) => { $( $crate::on_postgres! { $test } )+ };
}

/// Tests that need `kcat`, an independent Kafka client.
#[cfg(has_kcat)]
#[macro_export]
macro_rules! with_kcat {
    ($($test:item)+) => { $($test)+ };
}

/// Tests that need `kcat`, an independent Kafka client.
#[cfg(not(has_kcat))]
#[macro_export]
macro_rules! with_kcat {
    ($($test:item)+) => { $( #[ignore = "TEST_KCAT names no kcat program: 'bash bootstrap.sh kcat' installs one"] $test )+ };
}

/// Tests that need PostgreSQL and PgBouncer.
#[cfg(has_pgbouncer)]
#[macro_export]
macro_rules! behind_pgbouncer {
    ($($test:item)+) => { $( $crate::on_postgres! { $test } )+ };
}

/// Tests that need PostgreSQL and PgBouncer.
#[cfg(not(has_pgbouncer))]
#[macro_export]
macro_rules! behind_pgbouncer {
    ($($test:item)+) => {
        $( #[ignore = "TEST_PGBOUNCER names no PgBouncer program: 'bash bootstrap.sh pgbouncer' installs one"] $test )+
    };
}

/// Tests that mount a file system, which only root may do.
#[cfg(may_mount)]
#[macro_export]
macro_rules! with_small_disks {
    ($($test:item)+) => { $($test)+ };
}

/// Tests that mount a file system, which only root may do.
#[cfg(not(may_mount))]
#[macro_export]
macro_rules! with_small_disks {
    ($($test:item)+) => { $( #[ignore = "this user may not mount a file system"] $test )+ };
}

/// Tests that need PostgreSQL and mount a file system.
#[cfg(may_mount)]
#[macro_export]
macro_rules! on_postgres_with_small_disks {
    ($($test:item)+) => { $( $crate::on_postgres! { $test } )+ };
}

/// Tests that need PostgreSQL and mount a file system.
#[cfg(not(may_mount))]
#[macro_export]
macro_rules! on_postgres_with_small_disks {
    ($($test:item)+) => { $( $crate::with_small_disks! { $test } )+ };
}

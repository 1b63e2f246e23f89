-- Payments that are pending, refunds that fail after they were approved, and returns in parts.
ALTER TABLE payments ADD COLUMN pending_until_us BIGINT;
ALTER TABLE refunds ADD COLUMN failed_at_us BIGINT;

-- A refund may fail and be made again, and a return may have two parts: `number` counts the entries of a kind.
CREATE TABLE book_of_all (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    at_us BIGINT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('payment', 'refund', 'refund_failed', 'return')),
    payment_key BIGINT NOT NULL REFERENCES payments (id),
    reference TEXT NOT NULL,
    amount_cents BIGINT NOT NULL CHECK (amount_cents > 0),
    entry_id TEXT NOT NULL UNIQUE,
    number BIGINT NOT NULL DEFAULT 0
);
INSERT INTO book_of_all SELECT id, at_us, kind, payment_key, reference, amount_cents, entry_id, 0 FROM book;
DROP TABLE book;
ALTER TABLE book_of_all RENAME TO book;
CREATE UNIQUE INDEX book_each_once ON book (payment_key, kind, number);
CREATE INDEX book_by_reference ON book (reference, kind, amount_cents);

-- What is reported by webhooks, until the receiver confirms it.
CREATE TABLE notices (
    event_id TEXT PRIMARY KEY NOT NULL,
    payment_key BIGINT NOT NULL REFERENCES payments (id),
    kind TEXT NOT NULL CHECK (kind IN ('payment.returned', 'refund.failed')),
    amount_cents BIGINT NOT NULL,
    refund_key TEXT,
    attempts BIGINT NOT NULL,
    next_attempt_at_us BIGINT
);
INSERT INTO notices SELECT r.event_id, r.payment_key, 'payment.returned', p.paid_cents, NULL, r.attempts, r.next_attempt_at_us
    FROM returns r JOIN payments p ON p.id = r.payment_key WHERE p.paid_cents IS NOT NULL;
DROP TABLE returns;
CREATE INDEX notices_next_attempt ON notices (next_attempt_at_us) WHERE next_attempt_at_us IS NOT NULL;

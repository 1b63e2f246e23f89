-- Payments that are pending, refunds that fail after they were approved, and returns in parts.
ALTER TABLE payments ADD COLUMN pending_until_us BIGINT;
ALTER TABLE refunds ADD COLUMN failed_at_us BIGINT;

-- A refund may fail and be made again, and a return may have two parts: `number` counts the entries of a kind.
ALTER TABLE book DROP CONSTRAINT book_kind_check;
ALTER TABLE book ADD CONSTRAINT book_kind_check CHECK (kind IN ('payment', 'refund', 'refund_failed', 'return'));
ALTER TABLE book ADD COLUMN number BIGINT NOT NULL DEFAULT 0;
DROP INDEX book_money_out_once;
DROP INDEX book_money_back_once;
CREATE UNIQUE INDEX book_each_once ON book (payment_key, kind, number);

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

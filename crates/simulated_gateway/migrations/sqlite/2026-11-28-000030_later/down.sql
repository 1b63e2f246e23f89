CREATE TABLE returns (
    payment_key BIGINT PRIMARY KEY NOT NULL REFERENCES payments (id),
    event_id TEXT NOT NULL UNIQUE,
    attempts BIGINT NOT NULL,
    next_attempt_at_us BIGINT
);
INSERT INTO returns SELECT payment_key, MIN(event_id), MAX(attempts), MAX(next_attempt_at_us)
    FROM notices WHERE kind = 'payment.returned' GROUP BY payment_key;
DROP TABLE notices;
CREATE INDEX returns_next_attempt ON returns (next_attempt_at_us) WHERE next_attempt_at_us IS NOT NULL;
CREATE TABLE book_of_old (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    at_us BIGINT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('payment', 'refund', 'return')),
    payment_key BIGINT NOT NULL REFERENCES payments (id),
    reference TEXT NOT NULL,
    amount_cents BIGINT NOT NULL CHECK (amount_cents > 0),
    entry_id TEXT NOT NULL UNIQUE
);
INSERT INTO book_of_old SELECT id, at_us, kind, payment_key, reference, amount_cents, entry_id FROM book WHERE number = 0 AND kind <> 'refund_failed';
DROP TABLE book;
ALTER TABLE book_of_old RENAME TO book;
CREATE UNIQUE INDEX book_money_out_once ON book (payment_key) WHERE kind = 'payment';
CREATE UNIQUE INDEX book_money_back_once ON book (payment_key) WHERE kind <> 'payment';
CREATE INDEX book_by_reference ON book (reference, kind, amount_cents);
ALTER TABLE refunds DROP COLUMN failed_at_us;
ALTER TABLE payments DROP COLUMN pending_until_us;

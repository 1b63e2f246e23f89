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
DELETE FROM book WHERE number <> 0 OR kind = 'refund_failed';
DROP INDEX book_each_once;
ALTER TABLE book DROP COLUMN number;
ALTER TABLE book DROP CONSTRAINT book_kind_check;
ALTER TABLE book ADD CONSTRAINT book_kind_check CHECK (kind IN ('payment', 'refund', 'return'));
CREATE UNIQUE INDEX book_money_out_once ON book (payment_key) WHERE kind = 'payment';
CREATE UNIQUE INDEX book_money_back_once ON book (payment_key) WHERE kind <> 'payment';
ALTER TABLE refunds DROP COLUMN failed_at_us;
ALTER TABLE payments DROP COLUMN pending_until_us;

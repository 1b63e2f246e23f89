DROP TABLE book;
DROP TABLE refunds;
DROP TABLE payments;

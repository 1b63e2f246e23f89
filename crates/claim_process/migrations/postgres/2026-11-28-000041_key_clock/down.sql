DROP TABLE key_clock;

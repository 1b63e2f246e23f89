DROP TABLE operator_acts;
DROP FUNCTION refuse_to_change_operator_acts();

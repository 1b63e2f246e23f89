//! Columns of type `Text` whose values are a type of the program and not any text.

/// Lets Diesel write types to, and read them from, `Text` columns of both databases. A type has `as_str`, and is read by
/// [`FromStr`](std::str::FromStr); it must be defined in the crate that calls the macro.
///
/// A text that the type does not know is the error of the row that has it, [`Error::is_refusal`](crate::Error::is_refusal): it
/// names the column, the text and the type.
///
/// ```text
/// dual_db::text_columns!(Status);
/// claims::table.filter(claims::status.eq(Status::Submitted)).select(claims::status).load::<Status>(c)?
/// ```
#[macro_export]
macro_rules! text_columns {
    ($($type:ty),+ $(,)?) => {$(
        impl<DB: ::diesel::backend::Backend> ::diesel::deserialize::FromSql<::diesel::sql_types::Text, DB> for $type
        where
            String: ::diesel::deserialize::FromSql<::diesel::sql_types::Text, DB>,
        {
            fn from_sql(bytes: DB::RawValue<'_>) -> ::diesel::deserialize::Result<Self> {
                let text = <String as ::diesel::deserialize::FromSql<::diesel::sql_types::Text, DB>>::from_sql(bytes)?;
                Ok(text.parse()?)
            }
        }

        impl<DB: ::diesel::backend::Backend> ::diesel::deserialize::Queryable<::diesel::sql_types::Text, DB> for $type
        where
            Self: ::diesel::deserialize::FromSql<::diesel::sql_types::Text, DB>,
        {
            type Row = Self;

            fn build(row: Self) -> ::diesel::deserialize::Result<Self> {
                Ok(row)
            }
        }

        impl<DB: ::diesel::backend::Backend> ::diesel::serialize::ToSql<::diesel::sql_types::Text, DB> for $type
        where
            str: ::diesel::serialize::ToSql<::diesel::sql_types::Text, DB>,
        {
            fn to_sql<'b>(
                &'b self,
                out: &mut ::diesel::serialize::Output<'b, '_, DB>,
            ) -> ::diesel::serialize::Result {
                ::diesel::serialize::ToSql::<::diesel::sql_types::Text, DB>::to_sql(self.as_str(), out)
            }
        }

        impl ::diesel::expression::AsExpression<::diesel::sql_types::Text> for $type {
            type Expression = <String as ::diesel::expression::AsExpression<::diesel::sql_types::Text>>::Expression;

            fn as_expression(self) -> Self::Expression {
                <String as ::diesel::expression::AsExpression<::diesel::sql_types::Text>>::as_expression(
                    self.as_str().to_owned(),
                )
            }
        }

        impl<'a> ::diesel::expression::AsExpression<::diesel::sql_types::Text> for &'a $type {
            type Expression = <&'a str as ::diesel::expression::AsExpression<::diesel::sql_types::Text>>::Expression;

            fn as_expression(self) -> Self::Expression {
                <&'a str as ::diesel::expression::AsExpression<::diesel::sql_types::Text>>::as_expression(self.as_str())
            }
        }
    )+};
}

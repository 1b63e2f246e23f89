//! The date of service, in the spellings senders use. The time of day, where one is sent, is checked and dropped.

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::Offset;
use std::fmt;
use std::ops::RangeInclusive;

/// The day on which a service was rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceDate(Date);

/// The text is not a date as senders write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotADate;

const TIMES: [&str; 5] = ["%H:%M", "%H:%M:%S", "%H:%M:%S%.f", "%I:%M %p", "%I:%M:%S %p"];

impl ServiceDate {
    /// Reads `2018-03-28`, `3/28/18` or `3/28/2018`, each with or without a time after a blank or a `T`. A year of two
    /// digits is 1969 to 2068, as in POSIX.
    ///
    /// # Errors
    /// When the text has another form or is not a day of the calendar.
    pub fn parse(text: &str) -> Result<Self, NotADate> {
        let text = text.trim();
        let split = text.find(|character: char| character == 'T' || character.is_whitespace());
        let (date, time) = match split {
            Some(at) => (&text[..at], Some(text[at..].trim_start_matches(|c: char| c == 'T' || c.is_whitespace()))),
            None => (text, None),
        };
        if let Some(time) = time {
            check_time(time)?;
        }
        let (year, month, day) = if let Some([year, month, day]) = numbers(date, '-', [4..=4, 1..=2, 1..=2]) {
            (year, month, day)
        } else if let Some([month, day, year]) = numbers(date, '/', [1..=2, 1..=2, 4..=4]) {
            (year, month, day)
        } else if let Some([month, day, year]) = numbers(date, '/', [1..=2, 1..=2, 2..=2]) {
            (if year < 69 { 2000 + year } else { 1900 + year }, month, day)
        } else {
            return Err(NotADate);
        };
        let [month, day] = [month, day].map(|number| i8::try_from(number).map_err(|_| NotADate));
        Date::new(year, month?, day?).map(Self).map_err(|_| NotADate)
    }

    /// The latest calendar day anywhere on Earth at this moment: clocks go up to 14 hours ahead of UTC.
    pub fn latest_at(moment: Timestamp) -> Self {
        Self(Offset::constant(14).to_datetime(moment).date())
    }

    /// How many days later the other date is; negative if it is earlier.
    pub fn days_until(self, other: Self) -> i64 {
        i64::from((other.0 - self.0).get_days())
    }
}

/// The three numbers of a date, with as many digits as these.
fn numbers(date: &str, separator: char, widths: [RangeInclusive<usize>; 3]) -> Option<[i16; 3]> {
    let mut parts = date.split(separator);
    let mut numbers = [0; 3];
    for (number, width) in numbers.iter_mut().zip(widths) {
        let part = parts.next().filter(|part| width.contains(&part.len()))?;
        *number = part
            .bytes()
            .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i16::from(byte - b'0')))?;
    }
    parts.next().is_none().then_some(numbers)
}

fn check_time(time: &str) -> Result<(), NotADate> {
    let time = time.strip_suffix('Z').unwrap_or(time);
    let time = without_offset(time).trim_end();
    if TIMES.iter().any(|format| Time::strptime(format, time).is_ok()) { Ok(()) } else { Err(NotADate) }
}

/// Cuts `+02:00` or `-0500` from the end.
fn without_offset(time: &str) -> &str {
    match time.rfind(['+', '-']) {
        Some(at)
            if matches!(time[at + 1..].replace(':', "").len(), 2 | 4)
                && time[at + 1..].bytes().all(|byte| byte.is_ascii_digit() || byte == b':') =>
        {
            &time[..at]
        }
        _ => time,
    }
}

/// `YYYY-MM-DD`.
impl fmt::Display for ServiceDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_every_spelling_seen() {
        for (text, date) in [
            ("3/28/18 0:00", "2018-03-28"),
            ("02/19/19 03:01", "2019-02-19"),
            ("3/28/2018 0:00:00", "2018-03-28"),
            ("2018-03-28 0:00:00", "2018-03-28"),
            ("2024-06-24", "2024-06-24"),
            ("2025-04-17T11:30:00", "2025-04-17"),
            ("2023-10-01T00:00:00Z", "2023-10-01"),
            (" 2023-10-01T00:00:00.125+02:00 ", "2023-10-01"),
            ("3/28/2018 4:30 PM", "2018-03-28"),
            ("3/28/2018 12:00:00 AM", "2018-03-28"),
            ("3/28/2018 4:30:00 pm", "2018-03-28"),
            ("2/29/24", "2024-02-29"),
        ] {
            assert_eq!(ServiceDate::parse(text).map(|date| date.to_string()), Ok(date.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn a_year_of_two_digits_is_of_1969_to_2068() {
        for (text, date) in [
            ("3/28/69", "1969-03-28"),
            ("3/28/70", "1970-03-28"),
            ("12/31/99", "1999-12-31"),
            ("1/1/00", "2000-01-01"),
            ("3/28/67", "2067-03-28"),
            ("3/28/68", "2068-03-28"),
            ("2/29/68 23:59:59", "2068-02-29"),
        ] {
            assert_eq!(ServiceDate::parse(text).map(|date| date.to_string()), Ok(date.to_owned()), "{text:?}");
        }
        // 1969 has no such day, as 2069 has none.
        assert_eq!(ServiceDate::parse("2/29/69"), Err(NotADate));
    }

    #[test]
    fn refuses_what_is_not_a_day() {
        for text in [
            "",
            "yesterday",
            "2023-02-29",
            "13/1/2020",
            "2020-1",
            "10000-01-01",
            "20200101",
            "18-03-28",
            "018-03-28",
            "02018-03-28",
            "2018-003-28",
            "2018-3-028",
            "+2018-3-28",
            "1/2/3",
            "2020-01-01 25:00",
            "2020-01-01T",
            "2020-01-01 noon",
            "2020-01-01T10:00+2",
            "2020-01-01T10:00+020",
            "2020-01-01T10:00+02:000",
            "2020-01-01T10:00+0a",
            "2020-01-01T10:00-zone",
        ] {
            assert_eq!(ServiceDate::parse(text), Err(NotADate), "{text:?}");
        }
    }

    #[test]
    fn today_is_the_latest_day_anywhere() {
        for (moment, today) in [
            ("2018-03-28T09:59:59Z", "2018-03-28"),
            ("2018-03-28T10:00:00Z", "2018-03-29"),
            ("2018-12-31T23:59:59Z", "2019-01-01"),
        ] {
            assert_eq!(ServiceDate::latest_at(moment.parse().unwrap()).to_string(), today, "{moment}");
        }
    }

    #[test]
    fn days_are_counted_over_months_and_leap_years() {
        let day = |text| ServiceDate::parse(text).unwrap();
        assert_eq!(day("2018-03-28").days_until(day("2018-03-28")), 0);
        assert_eq!(day("2018-03-28").days_until(day("2038-03-28")), 7_305);
        assert_eq!(day("2018-03-28").days_until(day("2018-03-27")), -1);
        assert_eq!(day("0000-01-01").days_until(day("9999-12-31")), 3_652_424);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = ServiceDate::parse(&text);
        }
    }
}

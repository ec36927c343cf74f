//! The figures beside their goals.

use std::fmt;

/// What the runs found, in the order they were made.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Row>,
}

#[derive(Debug)]
enum Row {
    Figure {
        name: String,
        value: String,
        goal: String,
        met: Option<bool>,
    },
    Note(String),
}

impl Table {
    /// A figure without a goal.
    pub fn figure(&mut self, name: &str, value: String) {
        self.add(name, value, "", None);
    }

    /// A figure with one.
    pub fn goal(&mut self, name: &str, value: String, goal: &str, met: bool) {
        self.add(name, value, goal, Some(met));
    }

    /// Closes a subject: how busy other programs kept the machine meanwhile.
    pub fn section(&mut self, name: &str, others: f64) {
        let others = others * 100.0;
        self.rows.push(Row::Note(format!(
            "  ({name}: other programs took {others:.0} % of the processors meanwhile)"
        )));
    }

    fn add(&mut self, name: &str, value: String, goal: &str, met: Option<bool>) {
        println!("  … {name}: {value}");
        self.rows.push(Row::Figure {
            name: name.to_owned(),
            value,
            goal: goal.to_owned(),
            met,
        });
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<50} {:<44} goal", "what", "median of the rounds")?;
        for row in &self.rows {
            match row {
                Row::Note(note) => writeln!(f, "{note}")?,
                Row::Figure {
                    name,
                    value,
                    goal,
                    met,
                } => {
                    let verdict = match met {
                        Some(true) => "met: ",
                        Some(false) => "NOT MET: ",
                        None => "",
                    };
                    writeln!(f, "{name:<50} {value:<44} {verdict}{goal}")?;
                }
            }
        }
        Ok(())
    }
}

/// The median; of an even number, the upper one. `values` must not be empty.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

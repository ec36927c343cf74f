//! What `ping` reported.

/// One run of `ping` of iputils.
#[derive(Debug, Default)]
pub struct Pings {
    /// Requests sent.
    pub sent: u64,
    /// Requests answered.
    pub answered: u64,
    /// Answers that came again.
    pub duplicates: u64,
    /// The answers one by one, as they came: sequence number and round trip in milliseconds. Empty for quiet runs.
    answers: Vec<(u64, f64)>,
}

impl Pings {
    /// Reads the standard output.
    pub fn read(text: &str) -> Self {
        let after = |line: &str, label: &str| -> Option<f64> {
            let (_, rest) = line.split_once(label)?;
            rest.split(|c: char| c != '.' && !c.is_ascii_digit())
                .next()?
                .parse()
                .ok()
        };
        let mut pings = Self::default();
        for line in text.lines() {
            if let (Some(sequence), Some(time)) = (after(line, "icmp_seq="), after(line, "time=")) {
                pings.answers.push((sequence as u64, time));
            }
            // `5000 packets transmitted, 4990 received, +500 duplicates, 0.2% packet loss, time 812ms`
            if line.contains("packets transmitted") {
                for part in line.split(", ") {
                    let number = || {
                        part.trim_start_matches('+')
                            .split(' ')
                            .next()
                            .and_then(|n| n.parse().ok())
                            .unwrap()
                    };
                    match part.split_once(' ').map(|(_, label)| label) {
                        Some("packets transmitted") => pings.sent = number(),
                        Some("received") => pings.answered = number(),
                        Some("duplicates") => pings.duplicates = number(),
                        _ => {}
                    }
                }
            }
        }
        assert!(pings.sent > 0, "not ping's report: {text}");
        pings
    }

    /// Requests without an answer.
    pub fn lost(&self) -> u64 {
        self.sent - self.answered
    }

    /// Answers that came after one to a later request.
    pub fn overtaken(&self) -> usize {
        let mut latest = 0;
        let late = self.answers.iter().filter(|&&(sequence, _)| {
            let overtaken = sequence < latest;
            latest = latest.max(sequence);
            overtaken
        });
        late.count()
    }

    /// How many requests in a row were lost, where any was.
    pub fn mean_burst(&self) -> f64 {
        let gaps = self
            .answers
            .windows(2)
            .filter(|pair| pair[1].0 > pair[0].0 + 1);
        self.lost() as f64 / gaps.count() as f64
    }

    /// The median round trip, which a machine that was busy for a moment leaves alone.
    pub fn median_milliseconds(&self) -> f64 {
        self.quantile_milliseconds(0.5)
    }

    /// The standard deviation of normal round trips, from their interquartile range: busy moments leave it alone, too.
    pub fn normal_deviation_milliseconds(&self) -> f64 {
        let range = self.quantile_milliseconds(0.75) - self.quantile_milliseconds(0.25);
        range / (2.0 * 0.6745)
    }

    fn quantile_milliseconds(&self, share: f64) -> f64 {
        let mut times: Vec<f64> = self.answers.iter().map(|&(_, time)| time).collect();
        times.sort_by(f64::total_cmp);
        times[(times.len() as f64 * share) as usize]
    }

    /// The mean round trip.
    pub fn mean_milliseconds(&self) -> f64 {
        self.answers.iter().map(|(_, time)| time).sum::<f64>() / self.answers.len() as f64
    }

    /// The standard deviation of the round trip.
    pub fn deviation_milliseconds(&self) -> f64 {
        let mean = self.mean_milliseconds();
        let squares = self.answers.iter().map(|(_, time)| (time - mean).powi(2));
        (squares.sum::<f64>() / self.answers.len() as f64).sqrt()
    }
}

/// Whether `count` of `trials` fits a chance of `chance` within a 99 % interval. `inflation` is by how much the variance exceeds
/// that of independent trials.
pub fn within_99_percent(count: u64, trials: u64, chance: f64, inflation: f64) -> bool {
    let trials = trials as f64;
    let deviation = (trials * chance * (1.0 - chance) * inflation).sqrt();
    (count as f64 - trials * chance).abs() <= 2.576 * deviation
}

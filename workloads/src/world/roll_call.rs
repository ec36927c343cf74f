//! Waits until every rank has answered, or tells why one cannot.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, timeout};

use super::WorldError;
use super::diagnosis::{self, Report, SETTLING, Standing};
use super::process::{Event, News};
use super::protocol::{Failure, HEARTBEAT, Reply};

/// The ranks' events and what is known of each rank.
#[derive(Debug)]
pub(super) struct RollCall {
    hosts: Vec<String>,
    events: UnboundedReceiver<Event>,
}

impl RollCall {
    pub(super) fn new(hosts: Vec<String>, events: UnboundedReceiver<Event>) -> Self {
        Self { hosts, events }
    }

    /// One answer of every rank, picked by `pick`, in rank order. A rank may take any time as long as it says that it is
    /// at work; one that says nothing for `patience` is given up.
    pub(super) async fn gather<T>(
        &mut self,
        patience: Duration,
        pick: impl Fn(Reply) -> Option<T>,
    ) -> Result<Vec<T>, WorldError> {
        let answers = self.gather_timed(patience, pick).await?;
        Ok(answers.into_iter().map(|(answer, _)| answer).collect())
    }

    /// The same, each with when it was heard, in nanoseconds of CLOCK_MONOTONIC.
    pub(super) async fn gather_timed<T>(
        &mut self,
        patience: Duration,
        pick: impl Fn(Reply) -> Option<T>,
    ) -> Result<Vec<(T, u64)>, WorldError> {
        let began = Instant::now();
        let mut answers: Vec<Option<(T, u64)>> = self.hosts.iter().map(|_| None).collect();
        let mut heard = vec![began; self.hosts.len()];
        let mut reports: Vec<Report> = Vec::new();
        let mut first_report = None;
        while answers.iter().any(Option::is_none) {
            if let Ok(Some(Event { rank, at_ns, news })) =
                timeout(HEARTBEAT, self.events.recv()).await
            {
                heard[rank] = Instant::now();
                match news {
                    News::Ended(how) => return Err(self.died(rank, how)),
                    News::Reply(Reply::Alive) => {}
                    News::Reply(Reply::Failed(Failure::System {
                        step,
                        errno,
                        message,
                    })) => {
                        return Err(diagnosis::system(
                            rank,
                            &self.hosts[rank],
                            &step,
                            errno,
                            message,
                        ));
                    }
                    News::Reply(Reply::Failed(Failure::Peer {
                        peer,
                        message,
                        waited,
                    })) => {
                        first_report.get_or_insert_with(Instant::now);
                        reports.push(Report {
                            by: rank,
                            about: peer,
                            message,
                            waited,
                        });
                    }
                    News::Reply(reply) => {
                        if let Some(answer) = pick(reply) {
                            answers[rank] = Some((answer, at_ns));
                        }
                    }
                }
            }
            let standing: Vec<Standing> = answers
                .iter()
                .zip(&heard)
                .map(|(answer, heard)| match answer {
                    Some(_) => Standing::Answered,
                    None => Standing::Quiet(heard.elapsed()),
                })
                .collect();
            if first_report.is_some_and(|first: Instant| first.elapsed() >= SETTLING) {
                return Err(diagnosis::cause(&self.hosts, &standing, &reports));
            }
            if let Some(error) = diagnosis::given_up(&self.hosts, &standing, &reports, patience) {
                return Err(error);
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }

    fn died(&self, rank: usize, how: String) -> WorldError {
        WorldError::RankDied {
            rank,
            host: self.hosts[rank].clone(),
            how,
        }
    }
}

//! What NICs count while a point runs, on its way into the result.

use std::collections::BTreeMap;

use longhaul_emulator::hardware::counters::Counter;
use longhaul_reports::result::NicCounter;

/// The counters that have moved, as last read.
#[derive(Debug, Default)]
pub(super) struct Nics(BTreeMap<Series, Counter>);

/// Host, NIC, port and the kernel's name.
type Series = (String, String, Option<u32>, String);

/// Attributes that every metric of NICs has first: the NIC and its port.
const OWN: usize = 2;

impl Nics {
    /// Takes what a counter of `host` has grown by; name, metric and value of its row in the telemetry, if it has moved.
    pub(super) fn take(&mut self, host: &str, counter: &Counter) -> Option<(String, String, f64)> {
        let Counter {
            nic,
            port,
            name,
            measured,
        } = counter;
        let series = (host.to_owned(), nic.clone(), *port, name.clone());
        let known = self.0.insert(series, counter.clone());
        if known.is_some_and(|known| known.measured.value == measured.value) {
            return None;
        }
        let metric = [measured.metric.name].into_iter();
        let metric = metric.chain(measured.attributes[OWN..].iter().map(String::as_str));
        Some((
            told(host, counter).source(),
            metric.collect::<Vec<_>>().join("/"),
            measured.value.real(),
        ))
    }

    /// All of them.
    pub(super) fn summaries(&self) -> Vec<NicCounter> {
        let all = self.0.iter();
        all.map(|((host, ..), counter)| told(host, counter))
            .collect()
    }
}

fn told(host: &str, counter: &Counter) -> NicCounter {
    let measured = &counter.measured;
    let attributes = measured.attributes().skip(OWN);
    NicCounter {
        host: host.to_owned(),
        nic: counter.nic.clone(),
        port: counter.port,
        counter: counter.name.clone(),
        metric: measured.metric.name.to_owned(),
        attributes: attributes
            .map(|(attribute, value)| (attribute.name().to_owned(), value.to_owned()))
            .collect(),
        unit: measured.metric.unit.ucum(),
        growth: measured.value.real(),
    }
}

#[cfg(test)]
mod tests {
    use longhaul_emulator::hardware::counters::Count;

    use super::*;

    fn counter(name: &str, value: u64) -> Counter {
        Counter::of(Count {
            nic: "mlx5_0".to_owned(),
            port: Some(1),
            name: name.to_owned(),
            value,
        })
        .unwrap()
    }

    #[test]
    fn a_counter_is_told_whenever_it_moves_and_summed_up_at_the_end() {
        let mut nics = Nics::default();
        let row = |value| {
            Some((
                "a-0/mlx5_0/1".to_owned(),
                "longhaul.nic.cnp.count/sent".to_owned(),
                value,
            ))
        };
        assert_eq!(nics.take("a-0", &counter("np_cnp_sent", 3)), row(3.0));
        assert_eq!(nics.take("a-0", &counter("np_cnp_sent", 3)), None);
        assert_eq!(nics.take("a-0", &counter("np_cnp_sent", 8)), row(8.0));
        let (_, metric, value) = nics
            .take("b-0", &counter("rx_prio3_pause_duration", 1_500_000))
            .unwrap();
        assert_eq!(
            (metric.as_str(), value),
            ("longhaul.nic.pause.duration/receive/3", 1.5)
        );
        let summaries = nics.summaries();
        assert_eq!(summaries.len(), 2);
        assert_eq!(
            (summaries[0].growth, summaries[0].unit.as_str()),
            (8.0, "{packet}")
        );
        let attributes: Vec<_> = summaries[1].attributes.iter().collect();
        let expected = [
            ("longhaul.nic.priority", "3"),
            ("network.io.direction", "receive"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(
            attributes,
            expected.iter().map(|(a, b)| (a, b)).collect::<Vec<_>>()
        );
    }
}

//! What the NICs of a physical lab's hosts counted.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A counter of a NIC that moved while a point ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NicCounter {
    /// The host.
    pub host: String,
    /// The RDMA device or interface that counts.
    pub nic: String,
    /// Which port of an RDMA device, from 1.
    pub port: Option<u32>,
    /// The kernel's name of the counter: `np_cnp_sent`.
    pub counter: String,
    /// The metric that it is: `longhaul.nic.cnp.count`.
    pub metric: String,
    /// What tells it from the metric's other series of this NIC, by OpenTelemetry's names: `longhaul.cnp.event: sent`.
    pub attributes: BTreeMap<String, String>,
    /// UCUM's: `By`, `s`, `{packet}`.
    pub unit: String,
    /// By how much it grew, warm-up included.
    pub growth: f64,
}

impl NicCounter {
    /// Who counts: `virginia-0/mlx5_0/1`, as in `telemetry.csv`.
    pub fn source(&self) -> String {
        let Self {
            host, nic, port, ..
        } = self;
        match port {
            Some(port) => format!("{host}/{nic}/{port}"),
            None => format!("{host}/{nic}"),
        }
    }

    /// Whether it is the series of `metric` with these values among its attributes.
    pub(crate) fn is(&self, metric: &str, values: &[&str]) -> bool {
        let has = |value: &&str| self.attributes.values().any(|own| own == value);
        self.metric == metric && values.iter().all(has)
    }
}

//! What a switch should be set to, as NVUE's tree has it. Pure.

use longhaul_topologies::hardware::{Priority, State, Switch, SwitchRoce};
use serde_json::{Value, json};

use super::super::place::{Config, at};
use super::NvueError;

const ROUTING: &str = "/router/adaptive-routing";
const ROCE: &str = "/qos/roce";

/// How a switch knows what is on or off: `enable: on` up to Cumulus Linux 5.14, `state: enabled` from then on (NVUE reference,
/// "Adaptive Routing").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Enable,
    State,
}

impl Dialect {
    /// The one of a switch with this configuration, defaults included.
    fn of(effective: &Value) -> Result<Self, NvueError> {
        let has = |key: &str| {
            let places = [ROUTING, ROCE];
            places
                .iter()
                .any(|place| !at(effective, &format!("{place}/{key}")).is_null())
        };
        match (has("state"), has("enable")) {
            (true, _) => Ok(Dialect::State),
            (false, true) => Ok(Dialect::Enable),
            (false, false) => Err(NvueError::Dialect),
        }
    }

    fn set(self, place: &str, state: State) -> (String, Value) {
        let (key, value) = match (self, state) {
            (Dialect::Enable, State::Enabled) => ("enable", "on"),
            (Dialect::Enable, State::Disabled) => ("enable", "off"),
            (Dialect::State, State::Enabled) => ("state", "enabled"),
            (Dialect::State, State::Disabled) => ("state", "disabled"),
        };
        (format!("{place}/{key}"), json!(value))
    }
}

/// All that `switch` says, by path, for a switch whose configuration is `effective`, defaults included.
///
/// # Errors
/// If that configuration does not show how it switches things on.
pub fn wanted(switch: &Switch, effective: &Value) -> Result<Config, NvueError> {
    let mut config = Config::new();
    if switch.roce.is_some() || switch.adaptive_routing.is_some() {
        let dialect = Dialect::of(effective)?;
        if let Some(roce) = switch.roce {
            let mode = match roce {
                SwitchRoce::Disabled => None,
                SwitchRoce::Lossy => Some("lossy"),
                SwitchRoce::Lossless => Some("lossless"),
                SwitchRoce::LosslessSingleIpool => Some("lossless-single-ipool"),
            };
            let state = match mode {
                Some(_) => State::Enabled,
                None => State::Disabled,
            };
            config.extend([dialect.set(ROCE, state)]);
            config.extend(mode.map(|mode| (format!("{ROCE}/mode"), json!(mode))));
        }
        if let Some(routing) = &switch.adaptive_routing {
            let ports = routing.interfaces.iter();
            let ports = ports.map(|port| format!("/interface/{port}{ROUTING}"));
            config.extend(
                [ROUTING.to_owned()]
                    .into_iter()
                    .chain(ports)
                    .map(|place| dialect.set(&place, routing.state)),
            );
        }
    }
    for ecn in &switch.ecn {
        let class = ecn.traffic_class.map(Priority::number);
        let class = class.expect("settings are checked when they are read");
        let place = format!("/qos/congestion-control/default-global/traffic-class/{class}");
        config.insert(format!("{place}/ecn"), json!("enable"));
        config.insert(format!("{place}/min-threshold"), json!(ecn.min.bytes()));
        config.insert(format!("{place}/max-threshold"), json!(ecn.max.bytes()));
        if let Some(percent) = ecn.probability {
            config.insert(format!("{place}/probability"), json!(percent));
        }
    }
    Ok(config)
}

/// Settings by path as a tree, for a PATCH of the whole; a `null` unsets ("Unset a Configuration Change"), and takes the whole that it is
/// part of along if that is one of `absent`: an empty `qos roce` switches RoCE on.
pub(super) fn nested(config: &Config, absent: &[String]) -> Value {
    let mut tree = json!({});
    for (path, value) in config {
        let whole = path.rsplit_once('/').map(|(whole, _)| whole);
        let whole = whole.filter(|whole| value.is_null() && absent.iter().any(|one| one == whole));
        let path = whole.unwrap_or(path);
        let keys = path.split('/').filter(|key| !key.is_empty());
        let place = keys.fold(&mut tree, |tree, key| &mut tree[key]);
        *place = value.clone();
    }
    tree
}

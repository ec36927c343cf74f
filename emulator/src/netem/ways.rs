//! Which lanes the gateways send on: those that are up.
//!
//! A lane that is down keeps its carrier, as its interfaces hold what is under way on it; its gateway gets routes without
//! it instead, in that direction. If none is left, the routes stay, and what takes them is lost.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_topologies::model::LaneState;
use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage};
use netlink_packet_route::RouteNetlinkMessage;

use super::ports::{Place, Port, Sockets};
use crate::engine::EngineError;
use crate::plan::{LabPlan, NextHop, NodeId, Route};
use crate::wiring::route_message;

/// The routes that have a choice of lanes, and which lanes are down.
pub(super) struct Ways {
    /// Of each gateway.
    routes: BTreeMap<NodeId, Vec<Route>>,
    /// The gateways' interfaces, by name.
    interfaces: BTreeMap<(NodeId, String), Port>,
    down: BTreeSet<Port>,
}

impl Ways {
    /// Those of `plan`, whose lanes are all up.
    pub(super) fn new(plan: &LabPlan) -> Self {
        let mut routes = BTreeMap::new();
        for (node, config) in plan.configs.iter().enumerate() {
            let choices = config
                .routes
                .iter()
                .filter(|route| route.next_hops.len() > 1);
            routes.insert(NodeId(node), choices.cloned().collect());
        }
        Self {
            routes,
            interfaces: BTreeMap::new(),
            down: BTreeSet::new(),
        }
    }

    /// `port` is `gateway`'s `interface`.
    pub(super) fn know(&mut self, gateway: NodeId, interface: &str, port: Port) {
        self.interfaces
            .insert((gateway, interface.to_owned()), port);
    }

    /// The lane that begins at `port` is now in `state`.
    pub(super) fn set(
        &mut self,
        sockets: &mut Sockets,
        port: Port,
        state: LaneState,
    ) -> Result<(), EngineError> {
        let changed = match state {
            LaneState::Up => self.down.remove(&port),
            LaneState::Down => self.down.insert(port),
        };
        let Place::Gateway(gateway) = port.place else {
            return Ok(());
        };
        if !changed {
            return Ok(());
        }
        let index = |interface: &str| self.interfaces[&(gateway, interface.to_owned())];
        for route in &self.routes[&gateway] {
            if !route
                .next_hops
                .iter()
                .any(|hop| index(&hop.interface) == port)
            {
                continue;
            }
            let route = usable(route, |hop| !self.down.contains(&index(&hop.interface)));
            let message = route_message(&route, |interface| index(interface).index);
            let mut request = NetlinkMessage::from(RouteNetlinkMessage::NewRoute(message));
            request.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
            sockets.request(port.place, request, || {
                "route around a lane that is down".to_owned()
            })?;
        }
        Ok(())
    }
}

/// `route` by those of its next hops that are up; by all if none is.
fn usable(route: &Route, is_up: impl Fn(&NextHop) -> bool) -> Route {
    let mut usable = route.clone();
    usable.next_hops.retain(is_up);
    if usable.next_hops.is_empty() {
        route.clone()
    } else {
        usable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_avoids_what_is_down_unless_all_is() {
        let plan = LabPlan::new(two_lanes());
        let ways = Ways::new(&plan);
        let gateway = plan.lanes[0].a.gateway;
        let route = &ways.routes[&gateway][0];
        let left = |down: &[&str]| {
            let usable = usable(route, |hop| !down.contains(&&*hop.interface));
            let names = usable.next_hops.into_iter().map(|hop| hop.interface);
            names.collect::<Vec<_>>()
        };
        assert_eq!(left(&[]), ["l0.0", "l0.1"]);
        assert_eq!(left(&["l0.0"]), ["l0.1"]);
        assert_eq!(left(&["l0.0", "l0.1"]), ["l0.0", "l0.1"]);
    }

    fn two_lanes() -> longhaul_topologies::Topology {
        super::super::spread::tests::topology(&[(0, 1, 2)])
    }
}

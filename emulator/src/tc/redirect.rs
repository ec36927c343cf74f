//! Frames from one interface's ingress to another's egress: `sch_ingress`, a classifier that takes all, `act_mirred`.

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{
    TcAction, TcActionAttribute, TcActionGeneric, TcActionMirror, TcActionMirrorOption,
    TcActionOption, TcActionType, TcAttribute, TcFilterMatchAll, TcFilterMatchAllOption,
    TcFilterU32, TcFilterU32Option, TcHandle, TcMessage, TcMirror, TcMirrorActionType, TcOption,
    TcU32Key, TcU32Selector, TcU32SelectorFlags,
};

use super::Qdisc;

/// What filters on arriving frames hang from.
pub const INGRESS: Qdisc = Qdisc {
    parent: TcHandle::INGRESS,
    handle: TcHandle {
        major: 0xffff,
        minor: 0,
    },
    kind: "ingress",
    options: Vec::new(),
};

/// The classifiers that can match every frame, the cheaper first; kernels may lack either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classifier {
    /// `cls_matchall`, which does nothing else.
    MatchAll,
    /// `cls_u32` with a key that masks everything out.
    U32,
}

impl Classifier {
    /// Both, in the order to try them.
    pub const ALL: [Classifier; 2] = [Classifier::MatchAll, Classifier::U32];

    /// The request that sends every frame arriving on interface `from` out of interface `to`.
    pub fn redirect(self, from: u32, to: u32) -> NetlinkMessage<RouteNetlinkMessage> {
        let (kind, option) = match self {
            Classifier::MatchAll => (
                TcFilterMatchAll::KIND,
                vec![TcOption::MatchAll(TcFilterMatchAllOption::Action(vec![
                    mirred(to),
                ]))],
            ),
            Classifier::U32 => {
                let mut all = TcU32Selector::default();
                all.flags = TcU32SelectorFlags::Terminal;
                all.nkeys = 1;
                all.keys = vec![TcU32Key::default()];
                let options = [
                    TcFilterU32Option::Selector(all),
                    TcFilterU32Option::Action(vec![mirred(to)]),
                ];
                (TcFilterU32::KIND, options.map(TcOption::U32).to_vec())
            }
        };
        let mut message = TcMessage::with_index(from.cast_signed());
        message.header.parent = TcHandle {
            major: 0xffff,
            minor: TcHandle::MIN_INGRESS,
        };
        let every_protocol = (libc::ETH_P_ALL as u16).to_be();
        message.header.info = TcHandle {
            major: 1,
            minor: every_protocol,
        }
        .into();
        message.attributes = vec![TcAttribute::Kind(kind.into()), TcAttribute::Options(option)];
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::NewTrafficFilter(message));
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        request
    }
}

fn mirred(to: u32) -> TcAction {
    let mut generic = TcActionGeneric::default();
    generic.action = TcActionType::Stolen;
    let mut mirror = TcMirror::default();
    mirror.generic = generic;
    mirror.eaction = TcMirrorActionType::EgressRedir;
    mirror.ifindex = to;
    let mut action = TcAction::default();
    action.attributes = vec![
        TcActionAttribute::Kind(TcActionMirror::KIND.into()),
        TcActionAttribute::Options(vec![TcActionOption::Mirror(TcActionMirrorOption::Parms(
            mirror,
        ))]),
    ];
    action
}

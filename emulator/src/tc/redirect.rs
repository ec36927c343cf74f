//! Frames from one interface's ingress to another's egress: `sch_ingress`, a classifier that takes all, `act_mirred`.

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{
    TcAction, TcActionAttribute, TcActionGeneric, TcActionMirror, TcActionMirrorOption,
    TcActionOption, TcActionType, TcAttribute, TcFilterMatchAll, TcFilterMatchAllOption,
    TcFilterU32, TcFilterU32Option, TcHandle, TcMessage, TcMirror, TcMirrorActionType, TcOption,
    TcU32Key, TcU32Selector, TcU32SelectorFlags,
};

use super::{Object, Qdisc};

/// What filters on arriving frames hang from.
pub const INGRESS: Qdisc = Qdisc {
    object: Object::Qdisc,
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

#[cfg(test)]
mod tests {
    use super::super::encode::hex;
    use super::*;

    fn encoded(classifier: Classifier) -> String {
        let mut request = classifier.redirect(5, 6);
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        hex(&bytes)
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn both_classifiers_steal_every_frame() {
        insta::assert_snapshot!(encoded(Classifier::MatchAll), @"70000000 2c000506 00000000 00000000 00000000 05000000 00000000 f2ffffff 00030100 0d000100 6d617463 68616c6c 00000000 3c000200 38000200 34000100 0b000100 6d697272 65640000 24000280 20000200 00000000 00000000 04000000 00000000 00000000 01000000 06000000");
        insta::assert_snapshot!(encoded(Classifier::U32), @"8c000000 2c000506 00000000 00000000 00000000 05000000 00000000 f2ffffff 00030100 08000100 75333200 60000200 24000500 01000100 00000000 00000000 00000000 00000000 00000000 00000000 00000000 38000700 34000100 0b000100 6d697272 65640000 24000280 20000200 00000000 00000000 04000000 00000000 00000000 01000000 06000000");
    }
}

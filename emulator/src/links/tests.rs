use std::sync::{Arc, Mutex};

use longhaul_topologies::adjust::Named;
use longhaul_topologies::units::Rate;
use longhaul_topologies::{Document, validate};

use super::*;
use crate::capture::Tap;
use crate::engine::{ChannelCounters, EngineKind, Lateness};
use crate::namespace::Namespace;

/// What an engine was told, in order.
type Told = Arc<Mutex<Vec<(ChannelId, Channel)>>>;

/// An engine that takes everything down, but refuses delays above a second and has no memory for rates above 1 Gbit/s.
struct Mock(Told);

impl LinkEngine for Mock {
    fn kind(&self) -> EngineKind {
        EngineKind::Netem
    }

    fn counters(&mut self) -> Result<Vec<(ChannelId, ChannelCounters)>, EngineError> {
        Ok(Vec::new())
    }

    fn set_all(&mut self, changes: &[(ChannelId, Channel)]) -> Result<(), EngineError> {
        for (id, channel) in changes {
            self.0.lock().unwrap().push((*id, channel.clone()));
            if channel.delay > Duration::from_secs(1) {
                return Err(EngineError::Inexpressible {
                    engine: EngineKind::Netem,
                    what: "such patience".to_owned(),
                });
            }
        }
        Ok(())
    }

    fn make_room(&mut self, wanted: &Topology) -> Result<(), EngineError> {
        let mut channels = ids(wanted).filter_map(|id| channel(wanted, id));
        let most = Rate::from_bits_per_second(1_000_000_000);
        if channels.any(|channel| channel.rate.is_some_and(|rate| rate > most)) {
            return Err(EngineError::Memory {
                total: "9 MiB".to_owned(),
                parts: String::new(),
                available: "8 MiB".to_owned(),
                largest: String::new(),
            });
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), EngineError> {
        Ok(())
    }

    fn capture(&mut self, _: &[Namespace], _: Vec<Tap>) -> Result<(), EngineError> {
        Ok(())
    }

    fn lateness(&mut self) -> Option<Lateness> {
        None
    }
}

/// Two sites and two lanes; what the engine was told.
fn links() -> (Links, Topology, Told) {
    let text = "{name: lab, sites: [{name: a}, {name: b}], links: [{between: [a, b], delay: 40ms, lanes: 2}]}";
    let topology = validate::topology(&Document::from_text("lab.yaml", text).unwrap()).unwrap();
    let told = Told::default();
    let links = Links::new(Box::new(Mock(Arc::clone(&told))), topology.clone());
    (links, topology, told)
}

fn adjustment(settings: &[(&str, &str)]) -> Adjustment {
    Adjustment {
        link: Named {
            from: "b".to_owned(),
            to: "a".to_owned(),
        },
        lane: None,
        direction: Some(Direction::Forward),
        settings: settings
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
    }
}

fn id(lane: usize, direction: Direction) -> ChannelId {
    ChannelId {
        link: LinkId(0),
        lane,
        direction,
    }
}

#[test]
fn settings_reach_the_engine_for_the_channels_they_are_for_and_whoever_follows() {
    let (mut links, _, told) = links();
    let followed = links.follow();
    let changes = links.adjust(&adjustment(&[("state", "down")])).unwrap();
    // From `b` to `a` is the link's own reverse.
    let expected = [0, 1].map(|lane| id(lane, Direction::Reverse));
    assert_eq!(
        changes.iter().map(|change| change.id).collect::<Vec<_>>(),
        expected
    );
    assert_eq!(
        told.lock()
            .unwrap()
            .iter()
            .map(|(id, _)| *id)
            .collect::<Vec<_>>(),
        expected
    );
    assert_eq!(links.down(), expected);
    assert!(
        changes
            .iter()
            .all(|change| change.change == "state up → down"
                && change.origin == Origin::Manual
                && change.late.is_zero())
    );
    assert_eq!(followed.try_iter().collect::<Vec<_>>(), changes);
}

#[test]
fn what_the_machine_has_no_memory_for_never_reaches_the_engine() {
    let (mut links, topology, told) = links();
    let refused = links.adjust(&adjustment(&[("rate", "2Gbit")]));
    assert!(
        matches!(
            refused,
            Err(AdjustError::Engine(EngineError::Memory { .. }))
        ),
        "{refused:?}"
    );
    assert!(told.lock().unwrap().is_empty());
    assert_eq!(*links.now(), topology);
    assert!(
        !links
            .adjust(&adjustment(&[("rate", "1Gbit")]))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn what_is_that_way_already_is_not_set_again() {
    let (mut links, _, told) = links();
    assert_eq!(links.adjust(&adjustment(&[("delay", "40ms")])).unwrap(), []);
    assert!(told.lock().unwrap().is_empty());
}

#[test]
fn if_the_engine_refuses_one_channel_the_others_are_put_back() {
    let (mut links, topology, told) = links();
    let followed = links.follow();
    let mut wanted: Vec<(ChannelId, Channel)> = ids(&topology)
        .map(|id| (id, channel(&topology, id).unwrap().clone()))
        .collect();
    wanted[0].1.delay = Duration::from_millis(60);
    wanted[2].1.delay = Duration::from_secs(2);
    wanted[3].1.delay = Duration::from_millis(80);
    let refused = links.set(&wanted, Origin::Manual, None).unwrap_err();
    assert_eq!(refused.to_string(), "netem cannot express such patience");
    let told: Vec<(ChannelId, Duration)> = (told.lock().unwrap().iter())
        .map(|(id, channel)| (*id, channel.delay))
        .collect();
    let ms = Duration::from_millis;
    let [first, second] = [0, 1].map(|lane| id(lane, Direction::Forward));
    let third = id(1, Direction::Reverse);
    assert_eq!(
        told,
        [
            (first, ms(60)),
            (second, ms(2000)),
            (first, ms(40)),
            (second, ms(40)),
            (third, ms(40))
        ],
        "one set, one refused (and maybe half done), the last one never tried; all put back"
    );
    assert_eq!(*links.now(), topology);
    assert_eq!(followed.try_iter().count(), 0);
}

#[test]
fn a_wrong_setting_reaches_no_engine() {
    let (mut links, topology, told) = links();
    let refused = links
        .adjust(&adjustment(&[("loss", "1%"), ("rate", "fast")]))
        .unwrap_err();
    assert!(
        refused.to_string().starts_with("lab with rate=fast: "),
        "{refused}"
    );
    assert!(told.lock().unwrap().is_empty());
    assert_eq!(*links.now(), topology);
}

#[test]
fn a_reset_puts_back_what_differs_and_tells_nobody() {
    let (mut links, topology, told) = links();
    links.adjust(&adjustment(&[("loss", "1%")])).unwrap();
    told.lock().unwrap().clear();
    let followed = links.follow();
    links.reset(&topology).unwrap();
    assert_eq!(told.lock().unwrap().len(), 2);
    assert_eq!(*links.now(), topology);
    assert_eq!(followed.try_iter().count(), 0);
}

#[test]
fn a_channel_that_does_not_exist_is_for_the_engine_to_refuse() {
    let (mut links, topology, told) = links();
    let unknown = id(7, Direction::Forward);
    let _ = links.set(
        &[(unknown, Channel::of_delay(Duration::ZERO))],
        Origin::Manual,
        None,
    );
    assert_eq!(told.lock().unwrap()[0].0, unknown);
    assert_eq!(*links.now(), topology);
}

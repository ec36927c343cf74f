use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn steps(trace: &RateTrace) -> Vec<(u64, u64)> {
    let step = |step: &RateStep| (step.at.as_millis() as u64, step.bits_per_second);
    trace.steps().iter().map(step).collect()
}

#[test]
fn mahimahi_s_opportunities_pass_in_the_millisecond_before_them() {
    let trace = RateTrace::from_mahimahi("1\n1\n3\n\n5\n").unwrap();
    let packet = 1514 * 8 * 1000;
    assert_eq!(
        steps(&trace),
        [(0, 2 * packet), (1, 0), (2, packet), (3, 0), (4, packet)]
    );
    assert_eq!(trace.period(), Duration::from_millis(5));
    assert_eq!(
        trace.mean(),
        Some(Rate::from_bits_per_second(4 * packet / 5))
    );
}

#[test]
fn mahimahi_s_opportunity_at_0_is_the_last_of_the_round() {
    let trace = RateTrace::from_mahimahi("0\n2").unwrap();
    assert_eq!(steps(&trace), [(0, 0), (1, 2 * 1514 * 8 * 1000)]);
}

#[test]
fn a_rate_of_a_csv_file_holds_over_gaps_and_the_last_as_long_as_the_one_before() {
    let text = "time,rate\n# measured\n10,1000000\n10.5, 3Mbit\n30s,0\n31,0bit\n";
    let trace = RateTrace::from_csv(text).unwrap();
    assert_eq!(
        steps(&trace),
        [(0, 1_000_000), (500, 3_000_000), (20_000, 0)]
    );
    assert_eq!(trace.period(), 22 * SECOND);
}

#[test]
fn one_line_is_a_constant_rate() {
    let trace = RateTrace::from_csv("0,5Mbit").unwrap();
    assert_eq!(steps(&trace), [(0, 5_000_000)]);
    assert_eq!(trace.mean(), Some(Rate::from_bits_per_second(5_000_000)));
}

#[test]
fn wrong_traces_are_told_by_line() {
    let mahimahi = |text: &str| RateTrace::from_mahimahi(text).unwrap_err();
    let csv = |text: &str| RateTrace::from_csv(text).unwrap_err();
    for (error, line, message) in [
        (
            mahimahi("1\n2.5"),
            Some(2),
            "`2.5` is not a time in whole milliseconds",
        ),
        (
            mahimahi("4\n3"),
            Some(2),
            "3 ms is before the 4 ms of the line before it",
        ),
        (
            mahimahi("0\n0"),
            Some(2),
            "the trace ends at 0 ms, and so has no length",
        ),
        (mahimahi("# nothing\n"), None, "the trace is empty"),
        (
            csv("0,1Mbit\n1,"),
            Some(2),
            "the line has no rate: is the file cut off?",
        ),
        (
            csv("0,1Mbit\n1"),
            Some(2),
            "`1` is not `time,rate`: is the file cut off?",
        ),
        (
            csv("0,1Mbit\n0,2Mbit"),
            Some(2),
            "the time 0s is not after that of the line before it",
        ),
        (
            csv("0,1Mbit\n-1,2Mbit"),
            Some(2),
            "`-1` is no time in seconds",
        ),
        (csv("0,-5"), Some(1), "-5 bit/s is no rate"),
        (
            csv("0,0\n1,0"),
            None,
            "the trace lets less than one bit per second pass",
        ),
        (csv("time,rate\n"), None, "the trace is empty"),
        (csv("1,2\nc,d"), Some(2), "`c`"),
    ] {
        assert_eq!(error.line, line, "{error}");
        assert!(error.message.contains(message), "{error}");
    }
}

#[test]
fn delays_are_straight_lines_between_their_points_and_begin_again() {
    let trace = DelayTrace::from_csv("5s,0\n6s,10ms\n8s,0").unwrap();
    for (at, delay) in [
        (0, 0),
        (500, 5),
        (1000, 10),
        (2000, 5),
        (3000, 0),
        (3250, 2),
    ] {
        let found = trace.at(Duration::from_millis(at));
        assert_eq!(found.as_micros() / 1000, delay, "at {at} ms");
    }
    let (mean, deviation) = trace.moments();
    assert!((mean.as_secs_f64() - 5e-3).abs() < 1e-9);
    // Even over 0 to 10 ms.
    assert!((deviation.as_secs_f64() - 10e-3 / 12f64.sqrt()).abs() < 1e-9);
    assert_eq!(trace.range(), (Duration::ZERO, Duration::from_millis(10)));
}

#[test]
fn times_and_delays_beyond_any_use_are_refused_with_their_line() {
    let rates = |text: &str| RateTrace::from_csv(text).unwrap_err();
    let delays = |text: &str| DelayTrace::from_csv(text).unwrap_err();
    for (error, line, message) in [
        (
            rates("0,1Mbit\n1e12,2Mbit"),
            Some(2),
            "a trace of 1000000000000s is too long: at most 366 days",
        ),
        (
            rates("0,1Mbit\n18446744073709551615s,2Mbit"),
            Some(2),
            "is too long",
        ),
        (delays("0,0\n1e12,1ms"), Some(2), "is too long"),
        (
            delays("0,0\n1,10.5s\n2,0"),
            Some(2),
            "a delay of 10.5s is too long: at most 10s",
        ),
        (delays("0,1e19"), Some(1), "a delay of"),
    ] {
        assert_eq!(error.line, line, "{error}");
        assert!(error.message.contains(message), "{error}");
    }
    let far = vec![(Duration::ZERO, Duration::ZERO), (Duration::MAX, SECOND)];
    assert!(DelayTrace::new(far).is_err());
    let step = |at, bits_per_second| RateStep {
        at,
        bits_per_second,
    };
    let steps = vec![step(Duration::ZERO, u64::MAX), step(SECOND, 0)];
    assert!(RateTrace::new(steps.clone(), Duration::MAX).is_err());
    assert!(RateTrace::new(steps, LONGEST).is_ok());
}

#[test]
fn a_table_of_which_nearly_all_delays_are_alike_is_refused() {
    let table = |outliers: usize| {
        let delay = |at| Duration::from_millis(if at < outliers { 9 } else { 1 });
        JitterTable::new((0..1000).map(delay).collect())
    };
    assert!(table(1).is_err());
    assert!(table(50).unwrap_err().message.contains("nearly all"));
    assert!(table(100).is_ok());
    // Alike where the quantiles lie, though not everywhere.
    let delay = |at| Duration::from_millis(if at == 0 { 9 } else { 1 });
    assert!(JitterTable::new((0..1_000_000).map(delay).collect()).is_err());
}

#[test]
fn a_table_of_clocks_far_apart_has_the_spread_of_its_delays() {
    let table = |offset: Duration| {
        JitterTable::new(
            (0..1000)
                .map(|at| offset + Duration::from_micros(at))
                .collect(),
        )
        .unwrap()
    };
    let near = table(Duration::ZERO);
    for offset in [1_700_000_000, u64::MAX - 1].map(Duration::from_secs) {
        let far = table(offset);
        assert_eq!(far.moments().1, near.moments().1);
        assert_eq!(far.quantiles(), near.quantiles());
    }
}

#[test]
fn a_table_is_its_delays_around_their_mean() {
    let table = JitterTable::from_lines("# ms\n9ms\n1ms\n0.002\n").unwrap();
    let milliseconds = [1, 2, 9].map(Duration::from_millis);
    assert_eq!(table.samples(), milliseconds);
    assert_eq!(table.moments().0, Duration::from_millis(4));
    assert!((table.reach() - 3.0 / table.moments().1.as_secs_f64() / 1e3).abs() < 1e-3);
    assert!(JitterTable::from_lines("1ms\n1ms").is_err());
    let many = JitterTable::new((0..100_000).map(Duration::from_micros).collect()).unwrap();
    assert_eq!(many.samples().len(), MOST_SAMPLES);
    assert!(many.samples().is_sorted());
}

#[test]
fn a_table_reaches_as_far_below_its_mean_as_it_is_drawn() {
    // Pareto with the exponent 1.5: most of its deviation lies in the tail that is cut.
    let delays = (1..=4000).map(|at| {
        let place = (f64::from(at) - 0.5) / 4000.0;
        Duration::from_secs_f64(1e-3 * (1.0 - place).powf(-1.0 / 1.5))
    });
    let table = JitterTable::new(delays.collect()).unwrap();
    let (mean, deviation) = table.moments();
    let raw = (mean - table.samples()[0]).as_secs_f64() / deviation.as_secs_f64();
    assert!(table.reach() > 2.0 * raw, "{} {raw}", table.reach());
    let least = -f64::from(table.quantiles()[0]) / quantiles::SCALE;
    assert_eq!(table.reach(), least);
}

#[test]
fn the_longest_gap_may_lie_around_the_end_of_a_trace() {
    let gap = |rates: &[u64]| {
        let step = |(at, &bits_per_second): (usize, &u64)| RateStep {
            at: SECOND * at as u32,
            bits_per_second,
        };
        let steps = rates.iter().enumerate().map(step).collect();
        let trace = RateTrace::new(steps, SECOND * rates.len() as u32).unwrap();
        trace.longest_gap().as_secs()
    };
    assert_eq!(gap(&[5, 9]), 0);
    assert_eq!(gap(&[5, 0, 0, 9, 0]), 2);
    assert_eq!(gap(&[0, 0, 9, 0, 0, 0]), 5);
    assert_eq!(gap(&[0, 9, 0, 0, 0, 9]), 3);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "([0-9a-z.,#-]{0,9}\n){0,12}") {
        let _ = RateTrace::from_mahimahi(&text);
        let _ = RateTrace::from_csv(&text);
        let _ = DelayTrace::from_csv(&text);
        let _ = JitterTable::from_lines(&text);
    }

    #[test]
    fn a_mahimahi_trace_lets_as_many_packets_pass_as_it_has_lines(mut times in prop::collection::vec(0u64..2000, 1..300)) {
        times.sort_unstable();
        prop_assume!(times.last() > Some(&0));
        let text: String = times.iter().map(|time| format!("{time}\n")).collect();
        let trace = RateTrace::from_mahimahi(&text).unwrap();
        let bits = trace.cumulative().1 / 1_000_000_000;
        prop_assert_eq!(bits, times.len() as u128 * 1514 * 8);
    }
}

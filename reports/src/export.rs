//! Results as what other programs read.
//!
//! - `rows`: what all of them tell, a row per point, size and placement, or per point, figure and host.
//! - `nics`: what NICs counted, a row per counter.
//! - `nccl_tests`: what nccl-tests prints, to the column, for what parses that.
//! - `markdown`: tables for a page or a pull request.
//! - `flent`: series over time, for flent's plots.
//! - `parquet`: every iteration, every observed value and every one that programs told, for data frames; with the feature `parquet`.

mod flent;
mod markdown;
mod nccl_tests;
mod nics;
#[cfg(feature = "parquet")]
mod parquet;
mod rows;

use crate::folder::Opened;
pub use flent::{FlentError, write_flent};
#[cfg(feature = "parquet")]
pub use parquet::{ParquetError, write_parquet};

/// What an export is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Export {
    /// A line per point, size and placement, and one per figure that a program or a replay's steps tell.
    Csv,
    /// The same with what they were measured on.
    Json,
    /// Tables.
    Markdown,
    /// A line per counter of a NIC that moved.
    Nics,
    /// What nccl-tests prints.
    NcclTests,
    /// Series over time of each point, as flent has them.
    Flent,
    /// Every sample, every observed value and every one that programs told, in columns.
    Parquet,
}

impl Export {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Self); 7] = [
        ("csv", Self::Csv),
        ("json", Self::Json),
        ("markdown", Self::Markdown),
        ("nics", Self::Nics),
        ("nccl-tests", Self::NcclTests),
        ("flent", Self::Flent),
        ("parquet", Self::Parquet),
    ];

    /// What it is called.
    pub fn name(self) -> &'static str {
        let all = Self::ALL.iter();
        let named = all.clone().find(|(_, one)| *one == self);
        named.map_or("", |(name, _)| name)
    }

    /// The export as text, empty if it has no place for what these results are of; nothing for [`Export::Flent`] and
    /// [`Export::Parquet`], which are none.
    pub fn text(self, results: &[Opened]) -> Option<String> {
        match self {
            Self::Csv => Some(rows::csv(results)),
            Self::Json => Some(rows::json(results)),
            Self::Markdown => Some(markdown::text(results)),
            Self::Nics => Some(nics::csv(results)),
            Self::NcclTests => Some(nccl_tests::text(results)),
            Self::Flent | Self::Parquet => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{self, Shape};
    use crate::folder::ResultFolder;

    fn results() -> Vec<Opened> {
        let (result, telemetry) = example::run(&Shape {
            sweep: ("links.0.queue", &["1bdp", "a|b,\"c\""]),
            sizes: &[1 << 20, 4 << 20],
            seconds: 1.0,
            ..Shape::default()
        });
        vec![Opened::from(ResultFolder { result, telemetry })]
    }

    #[test]
    fn what_nccl_tests_prints() {
        insta::assert_snapshot!(Export::NcclTests.text(&results()).unwrap());
    }

    #[test]
    fn columns_of_nccl_tests_are_as_wide_as_their_figures() {
        let mut results = results();
        for row in &mut results[0].folder.result.points[0].summaries {
            (row.time_us, row.algbw_gbps, row.busbw_gbps) = (12_345_678.0, 0.000_597, 0.000_995);
        }
        let text = Export::NcclTests.text(&results).unwrap();
        let block: Vec<&str> = text.lines().skip(3).step_by(2).take(2).collect();
        insta::assert_snapshot!(block.join("\n"), @"
        #       size         count      type   redop    root      time     algbw     busbw #wrong      time     algbw     busbw #wrong
             1048576        262144     float     sum      -1  12345678  0.000597  0.000995      0  12345678  0.000597  0.000995      0
        ");
    }

    #[test]
    fn markdown_of_a_run_without_a_point_calls_no_link_as_described() {
        let told = |results: &[Opened]| Export::Markdown.text(results).unwrap();
        let mut results = results();
        results[0].folder.result.points[0].fidelity.faithful = false;
        let off = "**Not faithful in 1 of 4 points: do not trust these figures.**";
        assert!(told(&results).contains(off));
        results[0].folder.result.points.clear();
        let text = told(&results);
        assert!(text.contains("\nNothing was measured.\n"), "{text}");
    }

    #[test]
    fn tables_in_markdown() {
        insta::assert_snapshot!(Export::Markdown.text(&results()).unwrap());
    }

    #[test]
    fn a_line_per_point_size_and_placement() {
        let results = results();
        let text = Export::Csv.text(&results).unwrap();
        insta::assert_snapshot!(text.lines().take(3).collect::<Vec<_>>().join("\n"));
        let rows: Vec<csv::StringRecord> = csv::Reader::from_reader(text.as_bytes())
            .into_records()
            .collect::<Result<_, _>>()
            .unwrap();
        let summaries = results[0].folder.result.points.iter();
        assert_eq!(
            rows.len(),
            summaries.map(|point| point.summaries.len()).sum::<usize>()
        );
        assert!(rows.iter().any(|row| &row[3] == "links.0.queue=a|b,\"c\""));
    }

    #[test]
    fn what_programs_measured_is_in_every_export_but_that_of_collectives() {
        let (result, telemetry) = example::programs();
        let results = [Opened::from(ResultFolder { result, telemetry })];
        let told = |export: Export| export.text(&results).unwrap();
        let csv = told(Export::Csv);
        insta::assert_snapshot!(csv.lines().take(3).collect::<Vec<_>>().join("\n"), @"
        result,point,stack,settings,repeat,faithful,size_bytes,count,placement,iterations,time_us,algbw_gbps,busbw_gbps,p50_us,p95_us,p99_us,stdev_us,wrong,bound_share,figure,host,unit,values,mean,least,p50,p95,p99,greatest
        quickstart,0,cubic,,0,true,,,,,,,,,,,,,,throughput,virginia-0,bit/s,6,340639935.8333333,316519255,331624439,363804234,363804234,363804234
        quickstart,0,cubic,,0,true,,,,,,,,,,,,,,rtt,virginia-0,us,60,85434.53333333334,80082,85766,88606,88978,88978
        ");
        let markdown = told(Export::Markdown);
        let table = markdown.lines().filter(|line| line.starts_with('|'));
        insta::assert_snapshot!(table.take(4).collect::<Vec<_>>().join("\n"), @"
        | series | figure | host | values | mean | least | p50 | p95 | p99 | greatest |
        | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
        | cubic | throughput | virginia-0 | 6 | 341 Mbit/s | 317 Mbit/s | 332 Mbit/s | 364 Mbit/s | 364 Mbit/s | 364 Mbit/s |
        | cubic | rtt | virginia-0 | 60 | 85.4 ms | 80.1 ms | 85.8 ms | 88.6 ms | 89 ms | 89 ms |
        ");
        let json: serde_json::Value = serde_json::from_str(&told(Export::Json)).unwrap();
        let measures = results[0].folder.result.points[0].measures.clone();
        assert_eq!(
            json["results"][0]["points"][0]["measures"],
            serde_json::to_value(measures).unwrap()
        );
        assert_eq!(told(Export::NcclTests), "");
    }

    #[test]
    fn a_line_per_counter_of_a_nic() {
        let text = Export::Nics.text(&results()).unwrap();
        insta::assert_snapshot!(text.lines().take(4).collect::<Vec<_>>().join("\n"), @"
        result,point,stack,settings,repeat,seconds,host,nic,port,counter,metric,unit,growth
        quickstart,0,cubic,links.0.queue=1bdp,0,1,virginia-0,mlx5_0,1,port_xmit_data,longhaul.nic.io,By,16777216
        quickstart,0,cubic,links.0.queue=1bdp,0,1,virginia-0,mlx5_0,1,np_cnp_sent,longhaul.nic.cnp.count,{packet},12
        quickstart,0,cubic,links.0.queue=1bdp,0,1,virginia-0,mlx5_0,1,rx_prio3_pause_duration,longhaul.nic.pause.duration,s,0.0015
        ");
    }

    #[test]
    fn json_tells_the_same_with_what_it_was_measured_on() {
        let text = Export::Json.text(&results()).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let first = &value["results"][0];
        assert_eq!(first["name"], "quickstart");
        assert_eq!(first["points"][0]["stack"], "cubic");
        assert_eq!(first["points"][0]["summaries"].as_array().unwrap().len(), 4);
        assert_eq!(first["points"][0].get("samples"), None);
        assert_eq!(first["points"][0]["faithful"], true);
    }
}

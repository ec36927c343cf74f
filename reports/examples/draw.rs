//! Draws the charts of a result's folder again: `draw FOLDER OUT`.

use std::path::Path;
use std::time::Instant;

use longhaul_reports::chart::draw_all;
use longhaul_reports::folder::ResultFolder;
use longhaul_reports::table;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let began = Instant::now();
    let folder = ResultFolder::open(Path::new(&arguments[0])).unwrap();
    eprintln!("read {:?}", began.elapsed());
    if let Some(width) = arguments[1].parse().ok() {
        print!(
            "{}\n{}\n{}\n{}",
            table::results(&folder.result, width),
            table::comparison(&folder.result, width),
            table::delays(&folder.result, width),
            table::fidelity(&folder.result, width)
        );
        return;
    }
    let began = Instant::now();
    let files = draw_all(&folder, Path::new(&arguments[1])).unwrap();
    eprintln!("drew {} files in {:?}", files.len(), began.elapsed());
}

//! The script that runs one part of a sweep: what sbatch takes as a job array, and a shell with the part's number. Pure.

use std::path::Path;

use longhaul_reports::sweep::{SCRIPT_FILE, Sweep};

use crate::args::SlurmArgs;
use crate::commands::shell::quoted;
use crate::exit::Exit;
use crate::failure::Failure;

/// Where a part is run, and what with.
pub struct Place<'a> {
    /// The longhaul that runs it.
    pub longhaul: &'a str,
    /// The folder in which the command was typed: files on it are named from there.
    pub here: &'a str,
    /// The sweep's folder, absolute.
    pub folder: &'a str,
}

/// What of every part is the same: the experiment and options of `longhaul run`, as typed.
pub fn script(sweep: &Sweep, place: &Place<'_>, directives: &[String], run: &[String]) -> String {
    let Sweep {
        name,
        points,
        points_per_part: per_part,
        ..
    } = sweep;
    let parts = sweep.parts().count();
    let directives: String = directives
        .iter()
        .map(|directive| format!("#SBATCH {directive}\n"))
        .collect();
    let run: Vec<String> = run.iter().map(|word| quoted(word)).collect();
    let [longhaul, here, folder] = [place.longhaul, place.here, place.folder].map(quoted);
    format!(
        "#!/bin/sh\n\
         # {name}: {points} points in {parts} parts. `longhaul report` makes one result of this folder.\n\
         #   sbatch {SCRIPT_FILE}             all of them\n\
         #   sbatch --array={last_part} {SCRIPT_FILE}   part {last_part} again, once its folder is gone\n\
         #   sh {SCRIPT_FILE} {last_part}               the same without Slurm\n\
         {directives}\
         set -eu\n\
         part=${{1:-${{SLURM_ARRAY_TASK_ID:?give the number of a part, 0 to {last_part}}}}}\n\
         first=$((part * {per_part}))\n\
         last=$((first + {per_part} - 1))\n\
         [ \"$last\" -lt {points} ] || last={last_point}\n\
         cd {here}\n\
         exec {longhaul} run {run} --points \"$first-$last\" --out {folder}/\"$part\"\n",
        last_part = parts - 1,
        last_point = points - 1,
        run = run.join(" "),
    )
}

/// What the script tells sbatch.
///
/// # Errors
/// If a value is more than one word to sbatch, which reads these lines itself.
pub fn directives(
    sweep: &Sweep,
    folder: &Path,
    options: &SlurmArgs,
) -> Result<Vec<String>, Failure> {
    let last = sweep.parts().count() - 1;
    let log = format!(
        "{}/%a.log",
        one_word("--out", &folder.display().to_string())?
    );
    let mut directives = vec![
        format!("--job-name={}", sweep.name),
        format!("--array=0-{last}"),
        format!("--output={log}"),
    ];
    for (option, value) in [
        ("--partition", &options.partition),
        ("--time", &options.time),
    ] {
        if let Some(value) = value {
            directives.push(format!("{option}={}", one_word(option, value)?));
        }
    }
    directives.extend(options.cpus.map(|cpus| format!("--cpus-per-task={cpus}")));
    for option in &options.sbatch {
        let word = one_word("--sbatch", option)?;
        if !word.starts_with('-') {
            return Err(Failure::with_help(
                Exit::Usage,
                format!("--sbatch {word}: that is no option"),
                "write it with its dashes and, if it has one, its value: --sbatch=--mem=8G",
            ));
        }
        directives.push(word.to_owned());
    }
    Ok(directives)
}

/// `value`, if sbatch takes it as it stands: it knows quotes, escapes, comments and, in paths, patterns.
fn one_word<'a>(option: &str, value: &'a str) -> Result<&'a str, Failure> {
    let plain = |c: char| c.is_alphanumeric() || "-_./:,+=@~[]()*&|".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return Ok(value);
    }
    Err(Failure::with_help(
        Exit::Usage,
        format!("{option} {value:?}: sbatch would not read it as it stands"),
        "take one without spaces, quotes, backslashes, #, % and other signs that mean something there",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep() -> Sweep {
        Sweep {
            name: "buffer-sweep".to_owned(),
            command: String::new(),
            points: 8,
            points_per_part: 3,
        }
    }

    fn options() -> SlurmArgs {
        SlurmArgs {
            partition: Some("long".to_owned()),
            time: Some("1-02:00:00".to_owned()),
            cpus: "4".parse().ok(),
            sbatch: vec!["--exclusive".to_owned(), "--mem=8G".to_owned()],
        }
    }

    #[test]
    fn a_script_says_what_it_does() {
        let directives = directives(&sweep(), Path::new("/shared/out"), &options()).unwrap();
        let place = Place {
            longhaul: "/opt/longhaul",
            here: "/home/me/it's here",
            folder: "/shared/out",
        };
        let run = ["mine; rm -rf /", "--set=topology.links.0.loss=$(id)"].map(str::to_owned);
        insta::assert_snapshot!(script(&sweep(), &place, &directives, &run), @r#"
        #!/bin/sh
        # buffer-sweep: 8 points in 3 parts. `longhaul report` makes one result of this folder.
        #   sbatch sweep.sh             all of them
        #   sbatch --array=2 sweep.sh   part 2 again, once its folder is gone
        #   sh sweep.sh 2               the same without Slurm
        #SBATCH --job-name=buffer-sweep
        #SBATCH --array=0-2
        #SBATCH --output=/shared/out/%a.log
        #SBATCH --partition=long
        #SBATCH --time=1-02:00:00
        #SBATCH --cpus-per-task=4
        #SBATCH --exclusive
        #SBATCH --mem=8G
        set -eu
        part=${1:-${SLURM_ARRAY_TASK_ID:?give the number of a part, 0 to 2}}
        first=$((part * 3))
        last=$((first + 3 - 1))
        [ "$last" -lt 8 ] || last=7
        cd '/home/me/it'\''s here'
        exec /opt/longhaul run 'mine; rm -rf /' '--set=topology.links.0.loss=$(id)' --points "$first-$last" --out /shared/out/"$part"
        "#);
    }

    #[test]
    fn what_sbatch_would_take_for_something_else_is_refused() {
        let refused = |folder: &str, change: fn(&mut SlurmArgs)| {
            let mut options = options();
            change(&mut options);
            let failure = directives(&sweep(), Path::new(folder), &options).unwrap_err();
            assert_eq!(failure.exit(), Exit::Usage);
            failure.plain()
        };
        let nothing: fn(&mut SlurmArgs) = |_| ();
        for folder in [
            "/a b",
            "/a%b",
            "/a\\b",
            "/a\n#SBATCH --wrap=id",
            "/a'b",
            "/a\"b",
        ] {
            assert!(refused(folder, nothing).starts_with("--out "), "{folder}");
        }
        let told = refused("/out", |options| options.time = Some("1 --uid=0".into()));
        assert!(told.starts_with("--time "), "{told}");
        let told = refused("/out", |options| options.sbatch.push("exclusive".into()));
        assert!(told.contains("that is no option"), "{told}");
        let told = refused("/out", |options| options.partition = Some(String::new()));
        assert!(told.starts_with("--partition "), "{told}");
    }
}

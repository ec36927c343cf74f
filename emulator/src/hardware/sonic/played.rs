//! A switch with SONiC, played more strictly than it is documented: it knows the commands that are to be used and no others, lets only those
//! fields be changed that SONiC's own list has (gcu_field_operation_validators.conf.json, "ECN tuning"), checks what its YANG model says of
//! thresholds, and leaves behind what it did of a patch that fails.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use super::shell::{Lost, Shell};

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fault {
    #[default]
    None,
    /// ssh is not let in.
    Stranger,
    /// ssh finds another host's key.
    OtherKey,
    /// Nobody is there.
    Nobody,
    /// The user may not become root.
    NoRoot,
    /// It is no switch with SONiC.
    NoSonic,
    /// There is no room for a checkpoint.
    NoCheckpoint,
    /// A patch fails after its first operation.
    HalfWay,
    /// The same, and the checkpoint cannot be gone back to.
    HalfWayForGood,
    /// The connection is gone after a patch's first operation.
    Lost,
    /// What a patch sets is not there afterwards, and it says nothing.
    Forgets,
}

/// What ends longhaul as a power cut would.
pub(super) struct Crash;

#[derive(Debug)]
pub(super) struct State {
    pub(super) config: Value,
    pub(super) checkpoints: BTreeMap<String, Value>,
    pub(super) commands: Vec<String>,
    pub(super) fault: Fault,
    /// Before which command longhaul ends; of a patch, after its first operation.
    pub(super) crash_before: Option<usize>,
}

/// It, and all shells on it.
#[derive(Clone, Debug)]
pub(super) struct Played(pub(super) Rc<RefCell<State>>);

/// What a command printed, or said when it failed.
type Said = Result<String, String>;

impl Played {
    pub(super) fn new(fault: Fault) -> Self {
        let profile = json!({
            "ecn": "ecn_all",
            "green_min_threshold": "1000",
            "green_max_threshold": "2000",
            "green_drop_probability": "5",
            "wred_green_enable": "true",
        });
        let lossy =
            json!({"ecn": "ecn_none", "green_min_threshold": "1", "green_max_threshold": "2"});
        let config = json!({
            "DEVICE_METADATA": {"localhost": {"hostname": "leaf2"}},
            "WRED_PROFILE": {"AZURE_LOSSLESS": profile, "AZURE_LOSSY": lossy},
        });
        Self(Rc::new(RefCell::new(State {
            config,
            checkpoints: BTreeMap::new(),
            commands: Vec::new(),
            fault,
            crash_before: None,
        })))
    }

    pub(super) fn config(&self) -> Value {
        self.0.borrow().config.clone()
    }
}

impl Shell for Played {
    fn run(&self, command: &str, input: &[u8], _: Duration) -> Result<Said, Lost> {
        let mut state = self.0.borrow_mut();
        let crashes = state.crash_before == Some(state.commands.len());
        let (kind, argument) = known(command);
        state.commands.push(kind.to_owned());
        if crashes && kind != "apply" {
            drop(state);
            // Without the panic's message.
            resume_unwind(Box::new(Crash));
        }
        let ssh = |said: &str| Err(Lost::Ssh(said.to_owned()));
        match state.fault {
            Fault::Stranger => return ssh("admin@leaf2: Permission denied (publickey,password)."),
            Fault::OtherKey => return ssh("Host key verification failed."),
            Fault::Nobody => return ssh("ssh: connect to host leaf2 port 22: Connection refused"),
            Fault::NoRoot => return Ok(Err("sudo: a password is required".into())),
            Fault::NoSonic => return Ok(Err("sudo: sonic-cfggen: command not found".into())),
            _ => {}
        }
        Ok(match kind {
            "read" => Ok(state.config.to_string()),
            "dry run" => state
                .try_patch(input)
                .map(|_| "** DRY RUN EXECUTION **\nPatch applied successfully.\n".into()),
            "checkpoint" => state.checkpoint(argument),
            "apply" => {
                if crashes || state.fault == Fault::Lost {
                    state.half(input);
                    drop(state);
                    if crashes {
                        resume_unwind(Box::new(Crash));
                    }
                    return ssh("client_loop: send disconnect: Broken pipe");
                }
                state.apply(input)
            }
            "rollback" => state.rollback(argument),
            "delete-checkpoint" => match state.checkpoints.remove(argument) {
                Some(_) => Ok("Checkpoint deleted successfully.\n".into()),
                None => fails(
                    "Failed to delete config checkpoint",
                    &format!("Checkpoint '{argument}' does not exist"),
                ),
            },
            _ => unreachable!("{kind}"),
        })
    }

    fn name(&self) -> String {
        "admin@leaf2".to_owned()
    }
}

/// Which of the commands it is, and about what.
fn known(command: &str) -> (&'static str, &str) {
    if command == super::READ {
        return ("read", "");
    } else if command == super::PATCH {
        return ("apply", "");
    } else if command.strip_suffix(super::DRY_RUN) == Some(super::PATCH) {
        return ("dry run", "");
    }
    let words: Vec<&str> = command.split(' ').collect();
    match words[..] {
        ["sudo", "-n", "config", "checkpoint", name] => ("checkpoint", name),
        ["sudo", "-n", "config", "rollback", name] => ("rollback", name),
        ["sudo", "-n", "config", "delete-checkpoint", name] => ("delete-checkpoint", name),
        _ => panic!("no command of SONiC's that is to be used: {command}"),
    }
}

/// As click has it: what failed, how the command is used, and why it failed.
fn fails(what: &str, why: &str) -> Said {
    Err(format!(
        "{what}\nUsage: config apply-patch [OPTIONS] PATCH_FILE_PATH\nTry \"config apply-patch -h\" for help.\n\nError: {why}"
    ))
}

impl State {
    /// The configuration with the patch in it, if the patch is allowed.
    fn try_patch(&self, input: &[u8]) -> Result<Value, String> {
        let refuse = |why: &str| fails("Failed to apply patch", why).map(|_| Value::Null);
        let patch: Vec<Value> = serde_json::from_slice(input).expect("a patch");
        assert!(!patch.is_empty(), "a patch that does nothing");
        let mut config = self.config.clone();
        for operation in &patch {
            let path = operation["path"].as_str().expect("a path");
            let parts: Vec<&str> = path.split('/').skip(1).collect();
            let [table, entry, field] = parts[..] else {
                return refuse(&format!("can't apply operation to {path}"));
            };
            if config.get(table).is_none() {
                return refuse(&format!("member '{table}' not found in {config}"));
            }
            let allowed = [
                "green_min_threshold",
                "green_max_threshold",
                "green_drop_probability",
            ];
            let is_tuning =
                table == "WRED_PROFILE" && entry == "AZURE_LOSSLESS" && allowed.contains(&field);
            if operation["op"] != "replace" || !is_tuning {
                return refuse(&format!(
                    "Modification of {table} table is illegal- validating function returned False"
                ));
            }
            // ConfigDB has texts alone.
            assert!(operation["value"].is_string(), "{operation}");
            config[table][entry][field] = operation["value"].clone();
        }
        let number = |field: &str| {
            config["WRED_PROFILE"]["AZURE_LOSSLESS"][field]
                .as_str()
                .unwrap()
                .parse::<u64>()
                .unwrap()
        };
        if number("green_max_threshold") < number("green_min_threshold")
            || number("green_drop_probability") > 100
        {
            return refuse("Given patch will produce invalid config. Error: Data Loading Failed");
        }
        Ok(config)
    }

    fn apply(&mut self, input: &[u8]) -> Said {
        let config = self.try_patch(input)?;
        assert!(
            !self.checkpoints.is_empty(),
            "there is nothing to go back to"
        );
        match self.fault {
            Fault::HalfWay | Fault::HalfWayForGood => {
                self.half(input);
                return fails(
                    "Failed to apply patch",
                    "after applying patch to config, there are still some parts not updated",
                );
            }
            Fault::Forgets => {}
            _ => self.config = config,
        }
        Ok("Patch application completed.\nPatch applied successfully.\n".into())
    }

    /// The patch's first operation.
    fn half(&mut self, input: &[u8]) {
        let patch: Vec<Value> = serde_json::from_slice(input).expect("a patch");
        let path = patch[0]["path"].as_str().unwrap();
        *self.config.pointer_mut(path).unwrap() = patch[0]["value"].clone();
    }

    fn checkpoint(&mut self, name: &str) -> Said {
        if self.fault == Fault::NoCheckpoint {
            return fails(
                "Failed to create a config checkpoint",
                "[Errno 28] No space left on device",
            );
        }
        let before = self
            .checkpoints
            .insert(name.to_owned(), self.config.clone());
        assert!(before.is_none(), "{name} is there already");
        Ok("Config checkpoint completed.\nCheckpoint created successfully.\n".into())
    }

    fn rollback(&mut self, name: &str) -> Said {
        if self.fault == Fault::HalfWayForGood {
            return fails(
                "Failed to rollback config",
                "After replacing config, there is still some parts not updated",
            );
        }
        match self.checkpoints.get(name) {
            Some(config) => self.config = config.clone(),
            None => {
                return fails(
                    "Failed to rollback config",
                    &format!("Checkpoint '{name}' does not exist"),
                );
            }
        }
        Ok("Config rolled back successfully.\n".into())
    }
}

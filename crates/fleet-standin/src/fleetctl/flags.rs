//! fleetctl's command line, with its broken corners: most mistakes print to standard error and still exit 0.

use std::collections::BTreeMap;

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int,
    Float,
    Text,
}

/// A flag: its name, what it takes, its value when it is not given.
pub(super) type Flag = (&'static str, Kind, &'static str);

/// Flags of every command.
pub(super) const GLOBAL: &[Flag] = &[
    ("ca-file", Kind::Text, ""),
    ("cert-file", Kind::Text, ""),
    ("debug", Kind::Bool, "false"),
    ("driver", Kind::Text, "API"),
    ("endpoint", Kind::Text, "unix:///var/run/fleet.sock"),
    ("etcd-cafile", Kind::Text, ""),
    ("etcd-certfile", Kind::Text, ""),
    ("etcd-key-prefix", Kind::Text, crate::registry::DEFAULT_PREFIX),
    ("etcd-keyfile", Kind::Text, ""),
    ("experimental-api", Kind::Bool, "true"),
    ("h", Kind::Bool, "false"),
    ("help", Kind::Bool, "false"),
    ("key-file", Kind::Text, ""),
    ("known-hosts-file", Kind::Text, "~/.fleetctl/known_hosts"),
    ("request-timeout", Kind::Float, "3"),
    ("ssh-timeout", Kind::Float, "10"),
    ("ssh-username", Kind::Text, "core"),
    ("strict-host-key-checking", Kind::Bool, "true"),
    ("tunnel", Kind::Text, ""),
    ("version", Kind::Bool, "false"),
];

/// Global flags that would change how the cluster is reached in a way that the stand-in does not know.
pub(super) const UNSUPPORTED: &[&str] =
    &["ca-file", "cert-file", "key-file", "etcd-cafile", "etcd-certfile", "etcd-keyfile", "tunnel"];

/// A command and what it takes.
pub(super) struct Command {
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    pub(super) arguments: &'static str,
    pub(super) flags: &'static [Flag],
}

const WAITING: [Flag; 2] = [("block-attempts", Kind::Int, "0"), ("no-block", Kind::Bool, "false")];
const CREATING: [Flag; 2] = [("replace", Kind::Bool, "false"), ("sign", Kind::Bool, "false")];
const LISTING: [Flag; 2] = [("full", Kind::Bool, "false"), ("no-legend", Kind::Bool, "false")];

/// Every command of fleetctl, those that the stand-in refuses too.
pub(super) const COMMANDS: &[Command] = &[
    Command { name: "cat", summary: "Print the text of a unit as the cluster holds it", arguments: "UNIT", flags: &[] },
    Command {
        name: "destroy",
        summary: "Remove units from the cluster",
        arguments: "[--no-block|--block-attempts=N] UNIT...",
        flags: &[WAITING[0], WAITING[1]],
    },
    Command { name: "fd-forward", summary: "Not done by the stand-in", arguments: "SOCKET", flags: &[] },
    Command { name: "help", summary: "Show the commands, or one of them", arguments: "[COMMAND]", flags: &[] },
    Command {
        name: "journal",
        summary: "Print a unit's journal; never works with global units",
        arguments: "[--lines=N] [-f|--follow] [--output=STRING] UNIT",
        flags: &[
            ("f", Kind::Bool, "false"),
            ("follow", Kind::Bool, "false"),
            ("lines", Kind::Int, "10"),
            ("output", Kind::Text, "short"),
            ("ssh-port", Kind::Int, "22"),
            ("sudo", Kind::Bool, "false"),
        ],
    },
    Command {
        name: "list-machines",
        summary: "Enumerate the current hosts in the cluster",
        arguments: "[-l|--full] [--no-legend]",
        flags: &[("fields", Kind::Text, "machine,ip,metadata"), LISTING[0], ("l", Kind::Bool, "false"), LISTING[1]],
    },
    Command {
        name: "list-unit-files",
        summary: "List the units that the cluster knows",
        arguments: "[--fields]",
        flags: &[("fields", Kind::Text, "unit,hash,dstate,state,target"), LISTING[0], LISTING[1]],
    },
    Command {
        name: "list-units",
        summary: "List what the machines say of their units",
        arguments: "[--no-legend] [-l|--full] [--fields]",
        flags: &[("fields", Kind::Text, "unit,machine,active,sub"), LISTING[0], ("l", Kind::Bool, "false"), LISTING[1]],
    },
    Command {
        name: "load",
        summary: "Hand units to systemd without starting them",
        arguments: "[--no-block|--block-attempts=N] UNIT...",
        flags: &[WAITING[0], WAITING[1], CREATING[0], CREATING[1]],
    },
    Command {
        name: "restart",
        summary: "Not done by the stand-in",
        arguments: "[--block-attempts=N] UNIT...",
        flags: &[WAITING[0]],
    },
    Command {
        name: "ssh",
        summary: "Not done by the stand-in",
        arguments: "MACHINE|UNIT",
        flags: &[
            ("machine", Kind::Text, ""),
            ("unit", Kind::Text, ""),
            ("forward-agent", Kind::Bool, "false"),
            ("ssh-port", Kind::Int, "22"),
        ],
    },
    Command {
        name: "start",
        summary: "Start units, first submitting and loading them where needed",
        arguments: "[--no-block|--block-attempts=N] UNIT...",
        flags: &[WAITING[0], WAITING[1], CREATING[0], CREATING[1]],
    },
    Command {
        name: "status",
        summary: "Print what systemd says of units; says nothing of global ones",
        arguments: "[--ssh-port=N] UNIT...",
        flags: &[("ssh-port", Kind::Int, "22")],
    },
    Command {
        name: "stop",
        summary: "Stop units",
        arguments: "[--no-block|--block-attempts=N] UNIT...",
        flags: &[WAITING[0], WAITING[1]],
    },
    Command {
        name: "submit",
        summary: "Give units to the cluster without starting them",
        arguments: "UNIT...",
        flags: &[CREATING[0], CREATING[1]],
    },
    Command {
        name: "unload",
        summary: "Take units from their machines",
        arguments: "[--no-block|--block-attempts=N] UNIT...",
        flags: &[WAITING[0], WAITING[1]],
    },
    Command { name: "verify", summary: "Deprecated", arguments: "UNIT", flags: &[] },
    Command { name: "version", summary: "Print the version", arguments: "", flags: &[] },
];

/// A command line that was understood.
pub(super) struct Parsed {
    pub(super) command: Option<&'static Command>,
    pub(super) arguments: Vec<String>,
    given: BTreeMap<&'static str, String>,
}

/// A command line that was not.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    /// Before anything else is looked at; no usage is shown.
    UnknownCommand(String),
    /// Shown with the usage of the command that it is for.
    Flag { command: Option<&'static str>, message: String },
    /// A shorthand of a known flag is none, but asking for help is no mistake.
    Help { command: Option<&'static str> },
}

impl Parsed {
    /// The value of `flag`: as given, else from the environment, else its own.
    pub(super) fn value(&self, flag: &str) -> String {
        self.given.get(flag).cloned().unwrap_or_default()
    }

    /// Whether `flag` is on.
    pub(super) fn is(&self, flag: &str) -> bool {
        truth(&self.value(flag)).unwrap_or_default()
    }
}

/// Reads a command line. `env` gives the value of `FLEETCTL_…` variables, which stand in for global flags.
pub(super) fn parse(args: &[String], env: impl Fn(&str) -> Option<String>) -> Result<Parsed, Mistake> {
    let command = find_command(args)?;
    let mut given = BTreeMap::new();
    for (name, _, default) in GLOBAL {
        let variable = format!("FLEETCTL_{}", name.replace('-', "_").to_uppercase());
        given.insert(*name, env(&variable).filter(|value| !value.is_empty()).unwrap_or_else(|| (*default).to_owned()));
    }
    let known: Vec<Flag> = command.map_or(&[][..], |command| command.flags).iter().chain(GLOBAL).copied().collect();
    for (name, _, default) in command.map_or(&[][..], |command| command.flags) {
        given.insert(name, (*default).to_owned());
    }
    let wrong = |message: String| Mistake::Flag { command: command.map(|command| command.name), message };
    let mut arguments = Vec::new();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        if arg == "--" {
            arguments.extend(rest.by_ref().cloned());
        } else if let Some(long) = arg.strip_prefix("--") {
            let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            let Some((name, kind, _)) = known.iter().find(|(known, ..)| *known == name) else {
                return Err(wrong(format!("unknown flag: --{name}")));
            };
            let value = match (value, kind) {
                (Some(value), _) => value.to_owned(),
                (None, Kind::Bool) => "true".to_owned(),
                (None, _) => rest.next().cloned().ok_or_else(|| wrong(format!("flag needs an argument: --{name}")))?,
            };
            if let Some(parser) = unreadable(*kind, &value) {
                let why = format!("strconv.{parser}: parsing {value:?}: invalid syntax");
                return Err(wrong(format!("invalid argument {value:?} for --{name}={value}: {why}")));
            }
            given.insert(name, value);
        } else if arg.len() > 1 && arg.starts_with('-') {
            // None of the shorthands that the help shows exists, but -h.
            let letter = arg.chars().nth(1).unwrap_or_default();
            if letter == 'h' {
                return Err(Mistake::Help { command: command.map(|command| command.name) });
            }
            return Err(wrong(format!("unknown shorthand flag: '{letter}' in {arg}")));
        } else {
            arguments.push(arg.clone());
        }
    }
    if command.is_some() {
        arguments.remove(0);
    }
    let parsed = Parsed { command, arguments, given };
    if parsed.is("h") || parsed.is("help") {
        return Err(Mistake::Help { command: command.map(|command| command.name) });
    }
    Ok(parsed)
}

/// The command is the first argument that is neither a flag nor the value of one.
fn find_command(args: &[String]) -> Result<Option<&'static Command>, Mistake> {
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        if let Some(name) = arg.strip_prefix("--").filter(|_| !arg.contains('=')) {
            if !GLOBAL.iter().any(|(known, kind, _)| *known == name && *kind == Kind::Bool) {
                rest.next();
            }
        } else if !arg.starts_with('-') {
            let command = COMMANDS.iter().find(|command| command.name == arg);
            return command.map(Some).ok_or_else(|| Mistake::UnknownCommand(arg.clone()));
        }
    }
    Ok(None)
}

/// Go's parser that would refuse `value`, if it would.
fn unreadable(kind: Kind, value: &str) -> Option<&'static str> {
    match kind {
        Kind::Bool => truth(value).is_none().then_some("ParseBool"),
        Kind::Int => value.parse::<i64>().is_err().then_some("ParseInt"),
        Kind::Float => value.parse::<f64>().is_err().then_some("ParseFloat"),
        Kind::Text => None,
    }
}

fn truth(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// What is printed beside a mistake and for `help`: fleetctl's headings with short texts of our own.
pub(super) fn usage(command: Option<&str>) -> String {
    let options = |flags: &[Flag]| -> String {
        flags.iter().map(|(name, kind, _)| format!("      --{name}{}\n", placeholder(*kind))).collect()
    };
    let global = options(GLOBAL);
    match COMMANDS.iter().find(|known| Some(known.name) == command) {
        Some(Command { name, summary, arguments, flags }) => {
            let own = if flags.is_empty() { String::new() } else { format!("OPTIONS:\n{}\n", options(flags)) };
            format!(
                "NAME:\n\t{name} - {summary}\n\nUSAGE:\n\tfleetctl {name} {arguments}\n\n{own}GLOBAL OPTIONS:\n{global}"
            )
        }
        None => {
            let commands: Vec<Vec<String>> = COMMANDS
                .iter()
                .map(|command| vec![String::new(), command.name.to_owned(), command.summary.to_owned()])
                .collect();
            format!(
                "NAME:\n\tfleetctl - the lab's stand-in for fleetctl {}\n\nUSAGE:\n\tfleetctl\n\nCOMMANDS:\n{}\nOPTIONS:\n{global}",
                crate::VERSION,
                crate::tabs::columns(&commands)
            )
        }
    }
}

fn placeholder(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "",
        Kind::Int => " int",
        Kind::Float => " float",
        Kind::Text => " string",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Parsed, Mistake> {
        let args: Vec<String> = line.split(' ').map(ToOwned::to_owned).collect();
        parse(&args, |_| None)
    }

    fn mistake(line: &str) -> Option<String> {
        match parsed(line) {
            Err(Mistake::Flag { message, .. }) => Some(message),
            _ => None,
        }
    }

    #[test]
    fn flags_are_found_on_either_side_of_the_command() {
        let line = parsed("--driver=etcd --endpoint http://a:1 list-units --no-legend --fields unit,hash x").unwrap();
        assert_eq!(line.command.unwrap().name, "list-units");
        assert_eq!((line.value("driver"), line.value("endpoint")), ("etcd".to_owned(), "http://a:1".to_owned()));
        assert!(line.is("no-legend") && !line.is("full"));
        assert_eq!((line.value("fields"), line.arguments), ("unit,hash".to_owned(), vec!["x".to_owned()]));
    }

    #[test]
    fn the_environment_stands_in_for_global_flags_only() {
        let args = ["list-units".to_owned()];
        let line = parse(&args, |name| Some(name.to_lowercase())).ok();
        // A value that is no truth is not turned into one.
        let line = line.unwrap();
        assert_eq!(line.value("endpoint"), "fleetctl_endpoint");
        assert_eq!(line.value("fields"), "unit,machine,active,sub");
    }

    #[test]
    fn mistakes_are_named_as_fleetctl_names_them() {
        assert_eq!(mistake("list-machines -l").unwrap(), "unknown shorthand flag: 'l' in -l");
        assert_eq!(mistake("list-units --foo").unwrap(), "unknown flag: --foo");
        assert_eq!(mistake("--no-legend list-units").unwrap(), "unknown flag: --no-legend");
        assert_eq!(mistake("list-units --fields").unwrap(), "flag needs an argument: --fields");
        assert_eq!(
            mistake("start --block-attempts=x a").unwrap(),
            "invalid argument \"x\" for --block-attempts=x: strconv.ParseInt: parsing \"x\": invalid syntax"
        );
        assert_eq!(parsed("foo bar").err(), Some(Mistake::UnknownCommand("foo".to_owned())));
        assert_eq!(parsed("start -h").err(), Some(Mistake::Help { command: Some("start") }));
    }
}
